"""/account: who one is, and where one is signed in."""

import re

import pytest
from sqlalchemy import select
from tests.controller.fleet import add_annex
from tests.controller.site import Site

from annexfleet_controller.access import clients, sessions
from annexfleet_controller.access.clients import Client
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.tables.people import SessionRow

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = (
    "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"
)
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Version/18.6 Safari/604.1"


def ids(page: str) -> list[str]:
    return re.findall(r"/account/sessions/([0-9a-f]{16})/end", page)


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (FIREFOX, Client("Firefox", "Windows")),
        (CHROME, Client("Chrome", "Android")),
        (EDGE, Client("Edge", "Windows")),
        (IPHONE, Client("Safari", "iPhone")),
        ("curl/8.5.0", Client("curl", "")),
        ("<script>", Client("", "")),
        ("", Client("", "")),
    ],
)
def test_a_browser_is_named_as_somebody_would(user_agent: str, expected: Client):
    assert clients.client(user_agent) == expected


def test_it_says_who_one_is_in_words(site: Site):
    add_annex(site.engine, "berkane-1")

    page = site.signed_in("staff", annex="berkane-1").get("/account")

    assert page.headers["cache-control"] == "no-store"
    assert "Annex staff" in page.text
    assert "/password" in page.text
    assert "/account/factor" in page.text


def test_sessions_are_told_by_browser_and_address(site: Site):
    password = site.person("clerk")
    client = site.visitor()
    client.headers["User-Agent"] = FIREFOX
    client.post("/sign-in", data={"name": "clerk", "password": password})

    page = client.get("/account").text

    assert "Firefox" in page
    assert "Windows" in page
    assert "testclient" in page  # the address that the test's browser has
    assert "this one" in page
    assert client.cookies["annexfleet"] not in page
    with reading(site.engine) as db:
        assert db.scalars(select(SessionRow.client)).all() == [FIREFOX]


def test_one_session_or_all_others_are_ended(site: Site):
    here, there, third = (site.signed_in(name="clerk") for _ in range(3))
    stranger = site.signed_in(name="stranger")
    theirs = sessions.public_id(sessions.digest(stranger.cookies["annexfleet"]))
    page = here.get("/account").text
    assert len(ids(page)) == 2
    assert sessions.digest(there.cookies["annexfleet"]) not in page

    assert here.post(f"/account/sessions/{theirs}/end").status_code == 404
    digest = sessions.digest(there.cookies["annexfleet"])
    assert here.post(f"/account/sessions/{digest}/end").status_code == 404
    assert here.post(f"/account/sessions/{sessions.public_id(digest)}/end").status_code == 303
    assert there.get("/").status_code == 303
    assert third.get("/").status_code == 200
    assert here.post("/account/sessions/end-others").status_code == 303
    assert third.get("/").status_code == 303
    assert here.get("/").status_code == 200
    assert stranger.get("/").status_code == 200


def test_the_public_name_of_a_session_opens_nothing(site: Site):
    client = site.signed_in()
    digest = sessions.digest(client.cookies["annexfleet"])

    for guess in (digest, sessions.public_id(digest)):
        thief = site.visitor()
        thief.cookies.set("annexfleet", guess)
        assert thief.get("/").status_code == 303


def test_the_rules_for_a_password_stand_there_before_one_is_typed(site: Site):
    page = site.signed_in().get("/password").text

    assert "at least 12 characters" in page
    assert "does not hold your name" in page
    assert page.index("at least 12 characters") < page.index('name="new"')


@pytest.mark.parametrize("code", ["fr", "ar", "en"])
@pytest.mark.parametrize("path", ["/account", "/account/factor", "/account/keys/new", "/password", "/sign-in"])
def test_every_page_is_there_in_every_language(site: Site, code: str, path: str):
    client = site.visitor() if path == "/sign-in" else site.signed_in()
    client.cookies.set("annexfleet_language", code)

    page = client.get(path)

    assert page.status_code == 200
    assert f'<html lang="{code}"' in page.text
