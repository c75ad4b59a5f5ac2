"""Lists as CSV: nothing in a cell is calculated, whichever separator the spreadsheet takes."""

import csv
import io

import pytest

from annexfleet_controller.api.spreadsheet import ENGLISH, MOROCCAN, Habits, written


@pytest.mark.parametrize("habits", [ENGLISH, MOROCCAN])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "word", ["Salle 3{}=1+1", "Salle 3{}  @SUM(A1)", 'Salle 3{}"=1+1', "Salle 3{}＝1", "Salle 3\n=1{}x", "a{}+1{}-1"]
)
def test_no_separator_makes_a_formula_of_what_follows_it(habits: Habits, separator: str, word: str):
    text = written(["Name"], [["first", word.format(";", ";")], ["first", word.format(",", ",")]], habits=habits)

    rows = csv.reader(io.StringIO(text.decode("utf-8-sig")), delimiter=separator)

    cells = [line for row in rows for cell in row for line in cell.splitlines()]
    assert [cell for cell in cells if cell.lstrip().lstrip('"').startswith(("=", "+", "-", "@", "＝"))] == []


def test_numbers_and_ordinary_words_stay_as_they_are():
    row = ["Guichet 2; HP-M404, étage 1", "2026-11-26", -3, -1.5, None]

    text = written(["Name"], [row], habits=MOROCCAN).decode("utf-8-sig")

    assert next(csv.reader(io.StringIO(text.splitlines()[1]), delimiter=";")) == [row[0], row[1], "-3", "-1,5", ""]
