"""The page of an error."""

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from annexfleet_controller.web import paths, render


def show(request: Request, status: int, code: str) -> Response:
    """Asks the database nothing: it may be what failed."""
    if not request.url.path.startswith(paths.BY_LINK):
        here = {"here": paths.above(request, request.url.path)} if status == 405 else {}
        return render.page(request, "problem.html", status=status, code=code, open_incidents=None, **here)
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
