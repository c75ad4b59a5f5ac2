"""The page of an error."""

from fastapi import Request
from fastapi.responses import HTMLResponse

from annexfleet_controller.web import render


def show(request: Request, status: int, code: str) -> HTMLResponse:
    return render.page(request, "problem.html", status=status, code=code)
