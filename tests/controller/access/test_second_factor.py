"""Codes that change every 30 s: asked for after the password, each opening once."""

import re
import stat
import threading
from datetime import timedelta
from functools import cache

import pyotp
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, func, select, update
from tests.controller.access.test_every_route import TABLES, ask
from tests.controller.site import Site

from annexfleet_controller.access import factor, passwords, sealing, sessions, signing_in, users
from annexfleet_controller.access.errors import CodeRefused, TooManyAttempts
from annexfleet_controller.access.users import By
from annexfleet_controller.store import audit, people
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.people import RecoveryCode, SessionRow, User

PASSWORD = "quatre chevaux bleus"


@cache
def password_hash() -> str:
    return passwords.hashed(PASSWORD)


class Owner:
    """Somebody with a password and a telephone that makes codes."""

    def __init__(self, site: Site, name: str = "clerk", role: str = "admin") -> None:
        self.site, self.name = site, name
        with writing(site.engine) as db:
            user = people.create(
                db, name=name, password_hash=password_hash(), role=role, annex_ids=[], now=site.clock.now()
            )
            people.set_password(db, user.id, password_hash(), must_change=False)
            self.id = user.id
        self.totp = pyotp.TOTP(pyotp.random_base32())
        self.recovery: list[str] = []

    def switch_on(self) -> "Owner":
        offered = factor.begin(self.site.engine, self.site.home, self.id)
        self.totp = pyotp.TOTP(offered.key)
        self.recovery = factor.confirm(
            self.site.engine, self.site.home, self.id, self.code(), session="", now=self.site.clock.now()
        )
        self.site.clock.turn(seconds=90)
        return self

    def code(self, *, steps: int = 0) -> str:
        return self.totp.at(self.site.clock.now() + timedelta(seconds=30 * steps))

    def with_password(self) -> TestClient:
        """A browser in which the password was typed."""
        client = self.site.visitor()
        answer = client.post("/sign-in", data={"name": self.name, "password": PASSWORD})
        assert answer.status_code == 303
        return client

    def enter(self, client: TestClient, code: str, **form: str):
        token = self.site.csrf_token(client.cookies["annexfleet"])
        return client.post("/sign-in/code", data={"code": code, "csrf_token": token, **form})


def act_with(site: Site, client: TestClient, path: str, **form: str):
    token = site.csrf_token(client.cookies["annexfleet"])
    return client.post(path, data={"csrf_token": token, **form})


def acts(site: Site) -> list[str]:
    with reading(site.engine) as db:
        return [entry.act for entry in audit.entries(db, WHOLE, limit=20)]


def test_it_is_set_up_from_the_account_page_and_asked_for_from_then_on(site: Site):
    owner = Owner(site)
    client = owner.with_password()
    other = owner.with_password()
    assert client.get("/").status_code == 200  # there is none yet

    shown = act_with(site, client, "/account/factor", password=PASSWORD)
    assert 'class="segno"' in shown.text
    key = re.search(r"<code>([A-Z2-7 ]{32,})</code>", shown.text)
    assert key is not None
    owner.totp = pyotp.TOTP(key[1].replace(" ", ""))
    done = act_with(site, client, "/account/factor/confirm", code=owner.code())

    assert len(re.findall(r"<li><code>(?:[a-z2-9]{4}-){3}[a-z2-9]{4}</code>", done.text)) == 8
    assert client.get("/").status_code == 200
    assert other.get("/").status_code == 303  # it was opened without
    assert "factor.on" in acts(site)
    site.clock.turn(seconds=60)
    again = site.visitor()
    answer = again.post("/sign-in", data={"name": "clerk", "password": PASSWORD, "next": "/alerts"})
    assert answer.headers["location"] == "/sign-in/code?next=%2Falerts"
    half = again.cookies["annexfleet"]
    assert owner.enter(again, owner.code(), next="/alerts").headers["location"] == "/alerts"
    assert again.cookies["annexfleet"] != half
    assert again.get("/").status_code == 200
    with reading(site.engine) as db:
        assert db.get(SessionRow, sessions.digest(half)) is None


def test_setting_it_up_needs_the_password_and_shows_the_key_once(site: Site):
    client = Owner(site).with_password()

    assert "segno" not in act_with(site, client, "/account/factor", password="a stolen session").text
    assert act_with(site, client, "/account/factor/confirm", code="123456").status_code == 422
    act_with(site, client, "/account/factor", password=PASSWORD)
    wrong = act_with(site, client, "/account/factor/confirm", code="000000")
    assert wrong.status_code == 422
    assert "segno" not in wrong.text
    assert "segno" not in client.get("/account/factor").text
    with reading(site.engine) as db:
        assert db.scalar(select(User.totp_confirmed_at)) is None


def test_half_a_session_opens_no_route_and_lasts_five_minutes(site: Site):
    owner = Owner(site).switch_on()
    client = owner.with_password()
    client.headers["X-CSRF-Token"] = site.csrf_token(client.cookies["annexfleet"])

    reached = {route: ask(site, client, route) for route in TABLES.LOWEST}

    assert reached == {route: 401 if route[1].startswith(("/api", "/metrics")) else 303 for route in TABLES.LOWEST}
    assert client.get("/").headers["location"] == "/sign-in"
    assert client.get("/api/v1/events").status_code == 401
    assert client.get("/sign-in/code").status_code == 200
    site.clock.turn(minutes=5)
    assert client.get("/sign-in/code").headers["location"] == "/sign-in"
    assert owner.enter(client, owner.code()).headers["location"] == "/sign-in"


def test_the_code_needs_the_token_of_its_form_and_our_own_site(site: Site):
    owner = Owner(site).switch_on()
    client = owner.with_password()

    assert client.post("/sign-in/code", data={"code": owner.code()}).status_code == 403
    assert client.post("/sign-in/code", data={"code": owner.code(), "csrf_token": "guess"}).status_code == 403
    token = site.csrf_token(client.cookies["annexfleet"])
    form = {"code": owner.code(), "csrf_token": token}
    assert client.post("/sign-in/code", data=form, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert client.post("/sign-in/code", data=form).status_code == 303


@pytest.mark.parametrize(("steps", "expected"), [(-2, 401), (-1, 303), (0, 303), (1, 303), (2, 401)])
def test_a_code_of_one_step_either_side_is_taken(site: Site, steps: int, expected: int):
    owner = Owner(site).switch_on()

    assert owner.enter(owner.with_password(), owner.code(steps=steps)).status_code == expected


def test_a_code_opens_once_and_none_that_is_older_opens_after_it(site: Site):
    owner = Owner(site).switch_on()
    code, before = owner.code(), owner.code(steps=-1)
    assert owner.enter(owner.with_password(), code).status_code == 303

    assert owner.enter(owner.with_password(), code).status_code == 401
    assert owner.enter(owner.with_password(), before).status_code == 401


def test_of_many_who_type_the_same_code_at_once_one_comes_in(engine: Engine, tmp_path):
    site = Site(engine, tmp_path)
    owner = Owner(site).switch_on()
    halves, met = [], []
    for _ in range(4):
        opened = signing_in.sign_in(engine, "clerk", PASSWORD, address="192.0.2.9", now=site.clock.now())
        half = signing_in.half_open(engine, opened.cookie, now=site.clock.now())
        assert half is not None
        halves.append(half)
    start = threading.Barrier(4)

    def enter(half: signing_in.Half) -> None:
        start.wait()
        try:
            signing_in.enter_code(engine, site.home, half, owner.code(), address="192.0.2.9", now=site.clock.now())
            met.append("in")
        except (CodeRefused, TooManyAttempts):
            met.append("refused")

    threads = [threading.Thread(target=enter, args=(half,)) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(met) == ["in", "refused", "refused", "refused"]


def test_a_recovery_code_opens_once_however_it_is_typed(site: Site):
    owner = Owner(site).switch_on()
    code = factor.grouped(owner.recovery[0])

    assert owner.enter(owner.with_password(), f" {code.upper().replace('-', ' ')} ").status_code == 303
    assert owner.enter(owner.with_password(), code).status_code == 401

    assert "factor.recovery" in acts(site)
    with reading(site.engine) as db:
        digests = db.scalars(select(RecoveryCode.digest)).all()
        assert len(digests) == 8
        assert not set(owner.recovery) & set(digests)
        assert factor.standing(db, site.home, owner.id).codes_left == 7


def test_a_code_in_arabic_digits_is_a_code(site: Site):
    owner = Owner(site).switch_on()
    code = owner.code().translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))

    assert owner.enter(owner.with_password(), code).status_code == 303


def test_guessing_codes_is_slowed_down_and_the_right_password_does_not_forget_it(site: Site):
    owner = Owner(site).switch_on()
    for _ in range(5):
        assert owner.enter(owner.with_password(), "000000").status_code == 401

    assert site.visitor().post("/sign-in", data={"name": "clerk", "password": PASSWORD}).status_code == 429
    site.clock.turn(seconds=2)
    client = owner.with_password()
    assert owner.enter(client, "000000").status_code == 401
    assert owner.enter(client, owner.code()).status_code == 429


def test_switching_off_needs_password_and_code(site: Site):
    owner = Owner(site).switch_on()
    client = owner.with_password()
    owner.enter(client, owner.code())
    site.clock.turn(seconds=60)

    assert act_with(site, client, "/account/factor/off", password="wrong", code=owner.code()).status_code == 422
    assert act_with(site, client, "/account/factor/off", password=PASSWORD, code="000000").status_code == 422
    assert act_with(site, client, "/account/factor/off", password=PASSWORD, code=owner.code()).status_code == 303

    assert "factor.off" in acts(site)
    assert owner.with_password().get("/").status_code == 200
    with reading(site.engine) as db:
        assert db.scalar(select(func.count()).select_from(RecoveryCode)) == 0


def test_new_recovery_codes_end_the_old_ones(site: Site):
    owner = Owner(site).switch_on()
    client = owner.with_password()
    owner.enter(client, owner.code())
    site.clock.turn(seconds=60)

    done = act_with(site, client, "/account/factor/codes", password=PASSWORD, code=owner.code())

    new = re.findall(r"(?:[a-z2-9]{4}-){3}[a-z2-9]{4}", done.text)
    assert len(set(new)) == 8
    assert owner.enter(owner.with_password(), owner.recovery[0]).status_code == 401
    assert owner.enter(owner.with_password(), new[0]).status_code == 303


@pytest.mark.parametrize(
    ("setting", "role", "must"),
    [
        ("optional", "admin", False),
        ("operators", "technician", False),
        ("operators", "operator", True),
        ("operators", "admin", True),
        ("everybody", "staff", True),
    ],
)
def test_who_must_have_one_is_led_there_before_anything_else(
    sqlite_engine: Engine, tmp_path, setting: str, role: str, must: bool
):
    site = Site(sqlite_engine, tmp_path, second_factor=setting)
    owner = Owner(site, role=role)
    client = owner.with_password()

    assert (client.get("/").headers.get("location") == "/account/factor") is must
    refused = client.get("/api/v1/annexes")
    assert refused.status_code == (403 if must else 200)
    assert (refused.json().get("code") == "second_factor_missing") is must
    assert client.get("/account").status_code == 200
    assert (client.get("/account/keys/new").status_code == 303) is must
    key = users.create_key(site.engine, "clerk", "a program", now=site.clock.now())
    bearer = {"Authorization": f"Bearer {key}"}
    assert site.visitor().get("/api/v1/annexes", headers=bearer).status_code == 200
    owner.switch_on()
    client = owner.with_password()
    owner.enter(client, owner.code())
    assert client.get("/").status_code == 200
    site.clock.turn(seconds=60)
    off = act_with(site, client, "/account/factor/off", password=PASSWORD, code=owner.code())
    assert off.status_code == (403 if must else 303)


def test_the_key_of_the_home_is_its_owners_alone_and_seals_for_one_account(site: Site):
    owner = Owner(site).switch_on()

    assert stat.S_IMODE(site.home.accounts_key.stat().st_mode) == 0o600
    with reading(site.engine) as db:
        sealed = people.get(db, "clerk").totp_sealed
    assert sealed is not None
    assert owner.totp.secret.encode() not in sealed
    assert sealing.unseal(site.home, owner.id, sealed) == owner.totp.secret.encode()
    with pytest.raises(sealing.Unsealable):
        sealing.unseal(site.home, owner.id + 1, sealed)


def test_without_the_key_of_the_home_recovery_codes_still_open(site: Site):
    owner = Owner(site).switch_on()
    site.home.accounts_key.unlink()

    assert owner.enter(owner.with_password(), owner.code()).status_code == 401
    assert owner.enter(owner.with_password(), owner.recovery[0]).status_code == 303


def test_of_two_processes_that_need_the_key_first_both_have_the_same(site: Site):
    start, sealed = threading.Barrier(4), []

    def seal() -> None:
        start.wait()
        sealed.append(sealing.seal(site.home, 1, b"x"))

    threads = [threading.Thread(target=seal) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [sealing.unseal(site.home, 1, one) for one in sealed] == [b"x"] * 4
    assert [file.name for file in site.home.path.iterdir()] == ["accounts.key"]


def test_taking_it_away_is_on_record_and_ends_sessions(site: Site):
    owner = Owner(site).switch_on()
    client = owner.with_password()
    owner.enter(client, owner.code())

    with writing(site.engine) as db:
        users.reset_factor(db, people.get(db, "clerk"), now=site.clock.now(), by=By("root"))

    assert client.get("/").status_code == 303
    assert "user.reset_factor" in acts(site)
    assert owner.with_password().get("/").status_code == 200


def test_no_secret_is_on_record(site: Site):
    owner = Owner(site).switch_on()
    owner.enter(owner.with_password(), owner.recovery[0])

    with reading(site.engine) as db:
        told = str(audit.entries(db, WHOLE, limit=50))
    assert not [secret for secret in (PASSWORD, owner.totp.secret, *owner.recovery) if secret in told]


def test_a_disabled_person_cannot_finish_signing_in(site: Site):
    owner = Owner(site).switch_on()
    client = owner.with_password()
    with writing(site.engine) as db:
        db.execute(update(User).values(disabled_at=site.clock.now()))

    assert client.get("/sign-in/code").status_code == 303
    assert owner.enter(client, owner.code()).headers["location"] == "/sign-in"
