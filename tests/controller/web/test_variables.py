"""What a form shows of a playbook's variables, and what it makes of what was typed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.controller.web.library import library

from annexfleet_controller.errors import VariableWrong
from annexfleet_controller.i18n.catalogues import language
from annexfleet_controller.rollouts import bundle
from annexfleet_controller.rollouts.variables import Variable, checked
from annexfleet_controller.web import variables


@pytest.fixture
def tea(tmp_path: Path) -> tuple[Variable, ...]:
    settings = SimpleNamespace(playbooks_dir=str(library(tmp_path / "library")))
    return bundle.playbook(SimpleNamespace(settings=settings), "tea").variables  # type: ignore[arg-type]


def typed(**of: str) -> dict[str, str]:
    return {f"v.{name.replace('__', '.')}": text for name, text in of.items()}


def test_a_field_for_each_kind(tea: tuple[Variable, ...]):
    found = {f.name: f for f in variables.fields(tea, variables.typed_of(tea, {}), language("en"))}

    assert {name: field.kind for name, field in found.items()} == {
        "v.tea_kind": "choice", "v.tea_name": "text", "v.tea_sugar": "truth", "v.tea_cups": "number",
        "v.tea_herbs": "lines", "v.tea_guests": "rows", "v.tea_extra": "json", "v.tea_wait_s": "number",
        "v.tea_password": "text",
    }  # fmt: skip
    assert (found["v.tea_kind"].value, found["v.tea_kind"].choices) == ("green", ["green", "black"])
    assert (found["v.tea_sugar"].value, found["v.tea_cups"].value) == ("true", "2")
    assert found["v.tea_herbs"].value == "mint"
    assert found["v.tea_name"].required
    assert found["v.tea_password"].secret
    assert [found[name].seldom for name in ("v.tea_wait_s", "v.tea_extra", "v.tea_cups")] == [True, True, False]
    assert [part.name for part in found["v.tea_guests"].rows[1]] == [
        "v.tea_guests.1.name", "v.tea_guests.1.age", "v.tea_guests.1.wishes",
    ]  # fmt: skip
    assert len(found["v.tea_guests"].rows) == variables.MORE_ROWS


def test_without_words_the_authors_own_are_shown(tea: tuple[Variable, ...]):
    [kind] = variables.fields(tea[:1], {}, language("ar"))

    assert (kind.label, kind.help) == ("tea_kind", "Which kind it is.")


def test_what_was_not_touched_is_left_to_the_playbook(tea: tuple[Variable, ...]):
    of = [variable for variable in tea if not variable.secret]

    assert variables.given(of, variables.typed_of(of, {})) == {"tea_name": ""}


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({"tea_kind": "black"}, {"tea_kind": "black"}),
        ({"tea_sugar": ""}, {"tea_sugar": False}),
        ({"tea_cups": " 7 "}, {"tea_cups": "7"}),
        ({"tea_herbs": " sage \r\n\r\nmint\n"}, {"tea_herbs": ["sage", "mint"]}),
        ({"tea_herbs": ""}, {"tea_herbs": []}),
        ({"tea_extra": '{"a": 1}'}, {"tea_extra": {"a": 1}}),
        ({"tea_guests__0__name": "Amina", "tea_guests__0__age": "4"}, {"tea_guests": [{"name": "Amina", "age": "4"}]}),
        ({"tea_guests__1__name": "Sara", "tea_guests__0__name": " "}, {"tea_guests": [{"name": "Sara"}]}),
        ({"tea_guests__0__wishes": '{"milk": true}'}, {"tea_guests": [{"wishes": {"milk": True}}]}),
        ({"tea_guests__100__name": "late", "tea_guests__x__name": "odd"}, {}),
    ],
)
def test_what_was_typed_becomes_values(tea: tuple[Variable, ...], of: dict[str, str], expected: dict[str, Any]):
    open_ = [variable for variable in tea if not variable.secret and not variable.required]
    start = variables.typed_of(open_, {})

    assert variables.given(open_, start | typed(**of)) == expected


def test_values_come_back_as_they_were(tea: tuple[Variable, ...]):
    values = {
        "tea_kind": "black", "tea_name": "x", "tea_sugar": False, "tea_cups": 9, "tea_herbs": ["sage"],
        "tea_guests": [{"name": "Amina", "age": 4}, {"name": "Sara", "wishes": {"milk": True}}],
        "tea_extra": {"deep": [1, {"a": None}]}, "tea_wait_s": 5,
    }  # fmt: skip
    open_ = [variable for variable in tea if not variable.secret]

    again = variables.given(open_, variables.typed_of(open_, values))

    assert checked(open_, again, {}) == values


@pytest.mark.parametrize(
    ("of", "field"),
    [({"tea_extra": "{"}, "tea_extra"), ({"tea_guests__1__wishes": "no"}, "tea_guests.1.wishes")],
)
def test_what_is_no_json_is_refused_and_marked(tea: tuple[Variable, ...], of: dict[str, str], field: str):
    with pytest.raises(VariableWrong) as refused:
        variables.given(tea, typed(**of))

    assert (refused.value.facts["field"], refused.value.facts["reason"]) == (field, "wrong_form")
    found = variables.fields(tea, typed(**of), language("en"), wrong=refused.value)
    parts = [part for one in found for part in [one, *(p for row in one.rows for p in row)]]
    assert [part.name for part in parts if part.wrong] == [f"v.{field}"]


def test_an_error_of_a_row_marks_its_field(tea: tuple[Variable, ...]):
    wrong = VariableWrong("x", field="tea_guests[1].age", reason="wrong_type")
    found = variables.fields(tea, typed(tea_guests__1__age="old"), language("en"), wrong=wrong)

    assert [p.name for one in found for row in one.rows for p in row if p.wrong] == ["v.tea_guests.1.age"]
