"""The page of an error."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from annexfleet_controller.web import render


def show(request: Request, status: int, code: str) -> HTMLResponse:
    """Asks the database nothing: it may be what failed."""
    return render.page(request, "problem.html", status=status, code=code, open_incidents=None)
