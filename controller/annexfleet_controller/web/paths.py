"""Addresses that came from a browser, and where a person is."""

import re
from urllib.parse import urlencode, urlsplit

from fastapi import Request
from starlette.routing import Match

from annexfleet_controller.access.door import SAFE_METHODS, own_hosts

_OWN_PATH = re.compile(r"/(?![/\\])[\w\-./~%]*(\?[!$-;=?-\[\]^-~]*)?")
LONGEST = 2000
_LONGEST_QUERY = 1000
_NO_PAGES = ("/api/", "/static/", "/sign-in", "/sign-out")
BY_LINK = ("/board/", "/p/", "/wall/")
"""Pages that open without signing in; their browser says of a form's page only the site."""


def own_path(path: str) -> str:
    """A path of this site, with its query, or `/`: a link must not lead elsewhere."""
    return path if _OWN_PATH.fullmatch(path) else "/"


def page_of(request: Request) -> str:
    """The page that is open while this is asked, with its query; one that can be asked for again.

    A page's own address; of a piece of a page that page's; of a form the page on which it stood.
    """
    if request.headers.get("hx-request") == "true":
        return _elsewhere(request, "hx-current-url") or "/"
    if request.method in SAFE_METHODS:
        return _with_query(request.url.path, request.url.query)
    stood_on = "" if request.url.path.startswith(BY_LINK) else _elsewhere(request, "referer")
    return stood_on or above(request, request.url.path)


def above(request: Request, path: str) -> str:
    """The nearest page on the way up from an address, which may be one itself."""
    while path.strip("/"):
        if _is_page(request, path):
            return own_path(path)
        path = path.rpartition("/")[0]
    return "/"


def sign_in(next_path: str = "/", *, ended: bool = False) -> str:
    """The page for signing in; `ended`: it says that what was typed is not saved."""
    query = ({"ended": "1"} if ended else {}) | ({"next": next_path} if next_path != "/" else {})
    return f"/sign-in?{urlencode(query)}" if query else "/sign-in"


def _elsewhere(request: Request, header: str) -> str:
    """The page that a header names; empty if it is of another site, or no page."""
    try:
        url = urlsplit(request.headers.get(header, ""))
    except ValueError:
        return ""
    if url.netloc not in own_hosts(request) or not _is_page(request, url.path):
        return ""
    return _with_query(url.path, url.query)


def _with_query(path: str, query: str) -> str:
    whole = f"{path}?{query}" if query and len(query) <= _LONGEST_QUERY else path
    return whole if _OWN_PATH.fullmatch(whole) else own_path(path)


def _is_page(request: Request, path: str) -> bool:
    if path.startswith(_NO_PAGES) and request.url.path != path:
        return False
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
