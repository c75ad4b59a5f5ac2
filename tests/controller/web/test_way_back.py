"""Where people come back to: after signing in again, and after another language or look was chosen."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.controller.fleet import add_annex
from tests.controller.site import ORIGIN, Site

ENDED = "what you typed was not saved"


def location(answer) -> tuple[str, dict[str, str]]:
    url = urlsplit(answer.headers.get("location") or answer.headers["hx-redirect"])
    return url.path, {name: value[0] for name, value in parse_qs(url.query).items()}


def backs(html: str) -> set[str]:
    return {unescape(back) for back in re.findall(r'name="back" value="([^"]*)"', html)}


def test_a_page_is_come_back_to_with_its_query(site: Site):
    add_annex(site.engine, "berkane-1")

    answer = site.visitor().get("/devices?annex=berkane-1&q=a%20b")

    assert location(answer) == ("/sign-in", {"next": "/devices?annex=berkane-1&q=a%20b"})
    password = site.person("clerk")
    answer = site.visitor().post(
        "/sign-in", data={"name": "clerk", "password": password, "next": "/devices?annex=berkane-1&q=a%20b"}
    )
    assert answer.headers["location"] == "/devices?annex=berkane-1&q=a%20b"


@pytest.mark.parametrize(
    ("path", "referer", "expected"),
    [
        ("/admin/rules/disk.low", f"{ORIGIN}/admin/rules?annex=berkane-1", "/admin/rules?annex=berkane-1"),
        ("/admin/rules/disk.low", "", "/admin/rules/disk.low"),
        ("/admin/rules/disk.low", "https://elsewhere.example/evil", "/admin/rules/disk.low"),
        ("/admin/rules/disk.low", f"{ORIGIN}/api/v1/rules", "/admin/rules/disk.low"),
        ("/admin/links/boards", "", "/admin/links"),
        ("/maintenance/7/move-end", f"{ORIGIN}/maintenance/7/move-end", "/maintenance"),
        ("/maintenance/7/move-end", "https://[", "/maintenance"),
    ],
)  # fmt: skip
def test_a_form_that_came_after_the_end_of_a_session_is_said_to_be_lost(
    site: Site, path: str, referer: str, expected: str
):
    client = site.signed_in("operator")
    site.clock.turn(minutes=31)

    answer = client.post(path, data={"annex": "berkane-1", "reason": "much"}, headers={"Referer": referer})

    assert answer.status_code == 303
    assert location(answer) == ("/sign-in", {"ended": "1", "next": expected})
    assert ENDED in client.get(answer.headers["location"]).text
    assert ENDED not in client.get(f"/sign-in?next={expected}").text


def test_signing_out_twice_says_nothing_of_a_form(site: Site):
    assert site.visitor().post("/sign-out").headers["location"] == "/sign-in"


@pytest.mark.parametrize(
    ("method", "current", "expected"),
    [
        ("GET", f"{ORIGIN}/alerts?kind=printer", {"next": "/alerts?kind=printer"}),
        ("POST", f"{ORIGIN}/alerts?kind=printer", {"next": "/alerts?kind=printer", "ended": "1"}),
        ("GET", "https://elsewhere.example/alerts", {}),
        ("GET", "javascript:alert(1)", {}),
    ],
)
def test_a_piece_of_a_page_leads_back_to_the_page(site: Site, method: str, current: str, expected: dict[str, str]):
    path = "/alerts" if method == "GET" else "/incidents/1/fixed"

    answer = site.visitor().request(method, path, headers={"HX-Request": "true", "HX-Current-URL": current})

    assert answer.status_code == 204
    assert location(answer) == ("/sign-in", expected)


@pytest.mark.parametrize("path", ["/alerts?kind=printer", "/account?x=1", "/sign-in?next=%2Falerts%3Fkind%3Dprinter"])
def test_language_and_look_keep_the_query(site: Site, path: str):
    client = site.visitor() if path.startswith("/sign-in") else site.signed_in()

    assert backs(client.get(path).text) == {path} if "alerts" not in path else path in backs(client.get(path).text)
    for act, chosen in (("/language", {"code": "fr"}), ("/theme", {"theme": "dark"})):
        answer = client.post(act, data={**chosen, "back": path})
        assert answer.headers["location"] == path


@pytest.mark.parametrize(
    ("path", "referer"),
    [
        ("/admin/links/boards", f"{ORIGIN}/admin/links?annex=berkane-1"),
        ("/admin/links/boards", f"{ORIGIN}/admin/links/boards"),
        ("/admin/links/boards", ""),
    ],
)
def test_after_a_form_language_and_look_lead_to_a_page_that_can_be_asked_for(site: Site, path: str, referer: str):
    add_annex(site.engine, "berkane-1")
    client = site.signed_in("operator")

    answer = client.post(path, data={"annex": "berkane-1", "label": "Hall"}, headers={"Referer": referer})

    (back,) = backs(answer.text)
    assert client.get(back).status_code == 200


def test_a_page_of_an_error_leads_to_a_page_too(site: Site):
    client = site.signed_in("operator")

    assert backs(client.get("/admin/links/boards").text) == {"/admin/links"}


def test_a_wrong_password_does_not_lose_the_way(site: Site):
    answer = site.visitor().post("/sign-in", data={"name": "nobody", "password": "x", "next": "/alerts?kind=printer"})

    assert backs(answer.text) == {"/sign-in?next=%2Falerts%3Fkind%3Dprinter"}
