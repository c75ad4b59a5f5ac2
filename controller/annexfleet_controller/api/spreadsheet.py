"""Lists for a spreadsheet: CSV that Excel opens right in Arabic too, and in which a device's word can do nothing."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

from fastapi.responses import Response
from msgspec import Struct

from annexfleet_controller.i18n.direction import plain

MEDIA_TYPE = "text/csv"
Cell = str | int | float | None

_BYTE_ORDER_MARK = "\ufeff"
"""Without it Excel takes UTF-8 for the machine's own code page."""
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "|", "%")
"""What a spreadsheet takes for the begin of a formula (OWASP, CSV injection), and what some take for a command."""
_FORMULA_INSIDE = re.compile(r"([;,\t\r\n][\s\"]*)(?=[=+\-@＝＋－＠|%])")
"""The same where a spreadsheet of another language, which separates otherwise, would begin a cell."""


class Habits(Struct, frozen=True):
    """What a spreadsheet of a language expects of a file."""

    separator: str = ","
    decimal: str = "."


ENGLISH = Habits()
MOROCCAN = Habits(";", ",")
"""Of fr-MA and ar-MA, where 12.5 would be read as the 12th of May."""


def habits(language_code: str) -> Habits:
    return ENGLISH if language_code == "en" else MOROCCAN


def table(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], *, file_name: str, habits: Habits = ENGLISH
) -> Response:
    """One header, then the rows, for download: `written`."""
    return Response(
        written(header, rows, habits=habits),
        media_type=MEDIA_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{file_name}.csv"'},
    )


def written(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, habits: Habits = ENGLISH) -> bytes:
    """One header, then the rows; CRLF at the ends (RFC 4180).  A None leaves the cell empty."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=habits.separator)
    writer.writerow([_cell(name, habits) for name in header])
    writer.writerows([_cell(value, habits) for value in row] for row in rows)
    return (_BYTE_ORDER_MARK + out.getvalue()).encode()


def wanted(accept: str) -> bool:
    """Whether a program asks for a table rather than for JSON."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return MEDIA_TYPE in kinds and "application/json" not in kinds


def _cell(value: Cell, habits: Habits) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, float):
        return str(value).replace(".", habits.decimal)
    if not isinstance(value, str):
        return value
    text = _FORMULA_INSIDE.sub(r"\1'", plain(value))
    # The apostrophe says "this is text"; quotes of CSV alone do not stop a spreadsheet from calculating.
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
