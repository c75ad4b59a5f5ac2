"""Lists for a spreadsheet: CSV that Excel opens right in Arabic too, and in which a device's word can do nothing."""

import csv
import io
from collections.abc import Iterable, Sequence

from fastapi.responses import Response

from annexfleet_controller.i18n.direction import plain

MEDIA_TYPE = "text/csv"
Cell = str | int | float | None

_BYTE_ORDER_MARK = "\ufeff"
"""Without it Excel takes UTF-8 for the machine's own code page."""
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "|", "%")
"""What a spreadsheet takes for the begin of a formula (OWASP, CSV injection), and what some take for a command."""


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, file_name: str) -> Response:
    """One header, then the rows; commas between, CRLF at the ends (RFC 4180).  A None leaves the cell empty."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return Response(
        (_BYTE_ORDER_MARK + out.getvalue()).encode(),
        media_type=MEDIA_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{file_name}.csv"'},
    )


def wanted(accept: str) -> bool:
    """Whether a program asks for a table rather than for JSON."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return MEDIA_TYPE in kinds and "application/json" not in kinds


def _cell(value: Cell) -> str | int | float:
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = plain(value)
    # The apostrophe says "this is text"; quotes of CSV alone do not stop a spreadsheet from calculating.
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
