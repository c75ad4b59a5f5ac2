"""The page of an error."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from msgspec import Struct

from annexfleet_controller.access.door import SAFE_METHODS
from annexfleet_controller.web import paths, render


class Field(Struct, frozen=True):
    """A field of a form, or of an address, that cannot be so."""

    name: str
    bound: str = ""
    """`string_too_long`, `less_than_equal` or `greater_than_equal`, with `amount`; else empty."""
    amount: int = 0


_BOUNDS = {"string_too_long": "max_length", "less_than_equal": "le", "greater_than_equal": "ge"}


def fields_of(errors: Sequence[Mapping[str, Any]]) -> list[Field]:
    """The fields that a form was refused for, each once; from pydantic's errors."""
    found: dict[str, Field] = {}
    for error in errors:
        named = [part for part in error.get("loc", ())[1:] if isinstance(part, str)]
        if named:
            bound = _BOUNDS.get(error["type"], "")
            amount = int(error.get("ctx", {}).get(bound, 0)) if bound else 0
            found.setdefault(named[0], Field(named[0], error["type"] if bound else "", amount))
    return list(found.values())


def show(request: Request, status: int, code: str, *, fields: Sequence[Field] = ()) -> Response:
    """Asks the database nothing: it may be what failed.  `fields`: those that cannot be so."""
    if not request.url.path.startswith(paths.BY_LINK):
        here = paths.above(request, request.url.path) if status == 405 else paths.page_of(request)
        return render.page(
            request, "problem.html", status=status, code=code, open_incidents=None, here=here, fields=fields,
            back=here if request.method not in SAFE_METHODS else "",
        )  # fmt: skip
    if request.headers.get("hx-request") == "true":  # let the whole page say it, not a piece within another
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    return _for_staff(request, status, code)


def _for_staff(request: Request, status: int, code: str) -> HTMLResponse:
    """For people who came by a link and know nothing of this program; why it opens nothing is nobody's to learn."""
    unknown = status == 404
    answer = render.page(
        request, "link_unknown.html", status=status, code="link_unknown" if unknown else code, is_unknown=unknown,
        open_incidents=None,
    )  # fmt: skip
    answer.headers["Referrer-Policy"] = "strict-origin"
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    return answer
