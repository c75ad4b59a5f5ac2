import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, func, select
from tests.controller.fleet import add_annex
from tests.controller.site import ORIGIN, Site

from annexfleet_controller.access import users
from annexfleet_controller.errors import UserExists, UserUnknown
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.tables.people import ApiKey, SessionRow, SignInFailure, User


def sign_in(client: TestClient, name: str, password: str, **form: str):
    return client.post("/sign-in", data={"name": name, "password": password, **form})


def count(engine: Engine, table: type) -> int:
    with reading(engine) as db:
        return db.scalar(select(func.count()).select_from(table)) or 0


def test_a_one_time_password_lets_in_only_to_choose_another_one(site: Site):
    password = site.person("clerk")
    client = site.visitor()

    assert sign_in(client, "clerk", password).headers["location"] == "/"
    assert client.get("/").headers["location"] == "/password"
    assert client.get("/api/v1/annexes").json()["code"] == "password_must_change"
    token = site.csrf_token(client.cookies["annexfleet"])
    form = {"old": password, "new": "quatre chevaux bleus", "again": "quatre chevaux bleus", "csrf_token": token}
    assert client.post("/password", data=form).headers["location"] == "/"

    assert client.get("/").status_code == 200
    assert count(site.engine, SessionRow) == 1
    again = site.visitor()
    assert sign_in(again, "clerk", "quatre chevaux bleus").status_code == 303
    assert again.get("/").status_code == 200


@pytest.mark.parametrize(
    ("old", "new", "again", "said"),
    [
        ("", "short", "short", "shorter than 12"),
        ("", "quatre chevaux bleus", "quatre chevaux verts", "differ"),
        ("wrong", "quatre chevaux bleus", "quatre chevaux bleus", "present password is not right"),
    ],
)
def test_a_new_password_that_will_not_do_is_told_so(site: Site, old: str, new: str, again: str, said: str):
    password = site.person("clerk")
    client = site.visitor()
    sign_in(client, "clerk", password)
    token = site.csrf_token(client.cookies["annexfleet"])

    answer = client.post("/password", data={"old": old or password, "new": new, "again": again, "csrf_token": token})

    assert answer.status_code == 422
    assert said in answer.text


def test_the_cookie_is_hidden_from_scripts_and_stored_as_a_digest_only(site: Site):
    client = site.visitor()

    answer = sign_in(client, "clerk", site.person("clerk"))

    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("annexfleet=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    with reading(site.engine) as db:
        assert client.cookies["annexfleet"] not in str(db.scalars(select(SessionRow.digest)).all())


def test_over_https_the_cookie_is_bound_to_the_host(sqlite_engine: Engine, tmp_path):
    site = Site(sqlite_engine, tmp_path, public_url="https://testserver")
    client = site.visitor()

    answer = sign_in(client, "clerk", site.person("clerk"))

    assert answer.headers["set-cookie"].startswith("__Host-annexfleet=")
    assert "Secure" in answer.headers["set-cookie"]
    assert "Path=/" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


def test_nobody_can_tell_a_wrong_name_from_a_wrong_password(site: Site):
    site.person("clerk")
    client = site.visitor()

    wrong_password = sign_in(client, "clerk", "not this one")
    wrong_name = sign_in(client, "yassine", "not this one")

    assert wrong_password.status_code == wrong_name.status_code == 401
    assert wrong_password.text.replace("clerk", "yassine") == wrong_name.text


def test_guessing_is_slowed_down_and_a_wait_lets_in_again(site: Site):
    password = site.person("clerk")
    client = site.visitor()
    for _ in range(5):
        assert sign_in(client, "clerk", "guess").status_code == 401

    slowed = sign_in(client, "clerk", password)
    assert slowed.status_code == 429
    assert "1 sec" in slowed.text

    site.clock.turn(seconds=2)
    assert sign_in(client, "clerk", password).status_code == 303
    with reading(site.engine) as db:
        assert not db.scalars(select(SignInFailure).where(SignInFailure.name == "clerk")).all()


@pytest.mark.parametrize(
    ("next_path", "expected"),
    [
        ("/devices/d-1", "/devices/d-1"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_signing_in_leads_to_our_own_pages_only(site: Site, next_path: str, expected: str):
    answer = sign_in(site.visitor(), "clerk", site.person("clerk"), next=next_path)

    assert answer.headers["location"] == expected


def test_a_session_ends_when_idle_and_when_old(site: Site):
    client = site.signed_in()
    for _ in range(20):  # used every 29 minutes
        site.clock.turn(minutes=29)
        assert client.get("/").status_code == 200
    site.clock.turn(minutes=29)
    assert client.get("/").headers["location"].startswith("/sign-in")  # ten hours are over

    idle = site.signed_in()
    site.clock.turn(minutes=31)
    assert idle.get("/").headers["location"].startswith("/sign-in")


def test_what_a_page_asks_by_itself_does_not_keep_a_session_open(site: Site):
    client = site.signed_in()

    for _ in range(4):
        site.clock.turn(minutes=10)
        answer = client.get("/", headers={"X-By-Itself": "1", "HX-Request": "true"})

    assert answer.status_code == 204
    assert answer.headers["hx-redirect"] == "/sign-in"


def test_signing_out_ends_the_session_and_not_only_the_cookie(site: Site):
    client = site.signed_in()
    cookie = client.cookies["annexfleet"]

    assert client.post("/sign-out").headers["location"] == "/sign-in"

    thief = site.visitor()
    thief.cookies.set("annexfleet", cookie)
    assert thief.get("/").headers["location"].startswith("/sign-in")


def test_a_disabled_person_is_out_at_once_with_all_keys(site: Site):
    site.person("clerk")
    key = users.create_key(site.engine, "clerk", "grafana", now=site.clock.now())
    client = site.signed_in(name="clerk")
    assert client.get("/").status_code == 200

    users.disable(site.engine, "clerk", now=site.clock.now())

    assert client.get("/").status_code == 303
    assert site.visitor().get("/api/v1/annexes", headers={"Authorization": f"Bearer {key}"}).status_code == 401
    assert count(site.engine, ApiKey) == 0


def test_a_reset_ends_all_sessions_and_gives_a_new_one_time_password(site: Site):
    old = site.person("clerk")
    client = site.signed_in(name="clerk")

    new = users.reset(site.engine, "clerk", now=site.clock.now())

    assert client.get("/").status_code == 303
    assert sign_in(site.visitor(), "clerk", old).status_code == 401
    assert sign_in(site.visitor(), "clerk", new).status_code == 303
    with reading(site.engine) as db:
        assert db.scalar(select(User.must_change_password))


def test_a_key_opens_the_api_until_it_expires(site: Site):
    site.person("clerk")
    site.signed_in(name="clerk")  # has chosen a password
    key = users.create_key(site.engine, "clerk", "grafana", now=site.clock.now(), days=30)
    bearer = {"Authorization": f"Bearer {key}"}

    assert site.visitor().get("/api/v1/annexes", headers=bearer).status_code == 200
    site.clock.turn(days=31)
    refused = site.visitor().get("/api/v1/annexes", headers=bearer)

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    with reading(site.engine) as db:
        assert key not in str(db.scalars(select(ApiKey.digest)).all())


def test_names_are_unique_and_people_must_exist(site: Site):
    site.person("clerk")

    with pytest.raises(UserExists):
        site.person("clerk")
    with pytest.raises(UserUnknown):
        users.reset(site.engine, "yassine", now=site.clock.now())


def test_a_form_needs_the_token_of_its_session(site: Site):
    add_annex(site.engine)
    client = site.signed_in()
    del client.headers["X-CSRF-Token"]
    form = {"id": "berkane-9", "name_fr": "Annexe 9", "name_ar": "الملحقة 9"}
    token = site.csrf_token(client.cookies["annexfleet"])

    assert client.post("/admin/annexes", data=form).status_code == 403
    assert client.post("/admin/annexes", data={**form, "csrf_token": "guess"}).status_code == 403
    assert client.post("/admin/annexes", data={**form, "csrf_token": token}).status_code == 303


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 303),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_forms_of_other_sites_are_refused_even_with_the_token(site: Site, headers: dict[str, str], expected: int):
    client = site.signed_in()

    answer = client.post("/admin/annexes", data={"id": "b-9", "name_fr": "9", "name_ar": "9"}, headers=headers)

    assert answer.status_code == expected


def test_another_site_cannot_sign_anybody_in(site: Site):
    password = site.person("clerk")

    answer = site.visitor().post(
        "/sign-in", data={"name": "clerk", "password": password}, headers={"Origin": "https://elsewhere.example"}
    )

    assert answer.status_code == 403


def test_a_cookie_beside_a_bad_key_does_not_count(site: Site):
    client = site.signed_in()

    assert client.get("/api/v1/annexes", headers={"Authorization": "Bearer afk1.nothing"}).status_code == 401
