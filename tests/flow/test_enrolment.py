"""From a token to a connection, with the real listener, the real child process and the real broker."""

import stat
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import Engine, select
from tests.flow.broker import Broker, IssuedDevice, broker_home, free_port
from tests.flow.enrolling import agent, enrolment_served, new_annex, new_token
from tests.flow.talking import outcome_of_connecting

from annexfleet_agent import identity
from annexfleet_agent.pinned_https import (
    EXIT_ALREADY,
    EXIT_CLOCK_WRONG,
    EXIT_DONE,
    EXIT_FILES,
    EXIT_REFUSED,
    EXIT_TOKEN_WRONG,
    EXIT_UNREACHABLE,
    EXIT_WRONG_AUTHORITY,
)
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.identity import authority, revocation
from annexfleet_controller.settings import Home
from annexfleet_controller.store import tokens
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Certificate, Device, Token


class Shifted(Clock):
    """A clock that is wrong by so much."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def now(self) -> datetime:
        return SYSTEM.now() + self.by


@pytest.fixture
def home() -> Iterator[Home]:
    with broker_home() as made:
        authority.ensure(made)
        yield made


@pytest.fixture
def listener(home: Home, sqlite_engine: Engine) -> Iterator[Engine]:
    """The listener is served; its database."""
    new_annex(sqlite_engine)
    with enrolment_served(home, sqlite_engine):
        yield sqlite_engine


def held(state_dir: Path) -> identity.Identity:
    found = identity.load(state_dir / "identity")
    assert found is not None
    return found


def as_issued(found: identity.Identity, pair: identity.Pair | None = None) -> IssuedDevice:
    pair = pair or found.pair
    return IssuedDevice(found.device_id, pair.key, pair.certificate, pair.authority, 0)


def test_a_device_with_a_token_connects_to_the_broker(home: Home, listener: Engine, tmp_path: Path):
    broker = Broker(home)
    broker.start()

    done = agent("enrol", new_token(listener, home), state_dir=tmp_path)

    assert done.returncode == EXIT_DONE, done.stderr
    me = held(tmp_path)
    assert me.device_id in done.stdout
    assert (me.broker_host, me.broker_port) == (broker.host, broker.port)
    assert stat.S_IMODE(me.key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o700
    try:
        assert outcome_of_connecting(broker, as_issued(me)) == "Success"
    finally:
        broker.stop()
    with reading(listener) as db:
        device = db.scalars(select(Device)).one()
    assert (device.id, device.annex_id, device.role) == (me.device_id, "berkane-1", "counter")


def test_a_renewed_device_connects_with_the_new_key_and_still_with_the_old(
    home: Home, listener: Engine, tmp_path: Path
):
    broker = Broker(home)
    broker.start()
    agent("enrol", new_token(listener, home), state_dir=tmp_path)
    old = held(tmp_path)

    done = agent("renew", state_dir=tmp_path)

    assert done.returncode == EXIT_DONE, done.stderr
    new = held(tmp_path)
    assert new.device_id == old.device_id
    assert new.key.read_bytes() != old.key.read_bytes()
    assert new.previous == old.pair
    try:
        assert outcome_of_connecting(broker, as_issued(new)) == "Success"
        assert outcome_of_connecting(broker, as_issued(new, new.previous)) == "Success"
    finally:
        broker.stop()


def test_the_second_renewal_reuses_the_first_slot(home: Home, listener: Engine, tmp_path: Path):
    agent("enrol", new_token(listener, home), state_dir=tmp_path)
    first = held(tmp_path)

    for _ in range(2):
        assert agent("renew", state_dir=tmp_path).returncode == EXIT_DONE

    assert held(tmp_path).key == first.key
    with reading(listener) as db:
        assert len(db.scalars(select(Certificate)).all()) == 3


def test_an_enrolled_machine_is_not_enrolled_twice_unless_told(home: Home, listener: Engine, tmp_path: Path):
    agent("enrol", new_token(listener, home), state_dir=tmp_path)
    first = held(tmp_path)
    token = new_token(listener, home)

    refused = agent("enrol", token, state_dir=tmp_path)
    again = agent("enrol", token, "--again", state_dir=tmp_path)

    assert refused.returncode == EXIT_ALREADY
    assert first.device_id in refused.stderr
    assert again.returncode == EXIT_DONE
    assert held(tmp_path).device_id != first.device_id


def test_a_lost_answer_costs_no_second_place(home: Home, listener: Engine, tmp_path: Path):
    token = new_token(listener, home)
    agent("enrol", token, state_dir=tmp_path)
    me = held(tmp_path)
    # As it would be had the machine lost its power before the answer came.
    identity.path(tmp_path / "identity").unlink()
    me.certificate.unlink()
    (me.key.parent / "pending").write_text(_token_id(listener))

    done = agent("enrol", token, state_dir=tmp_path)

    assert done.returncode == EXIT_DONE, done.stderr
    assert held(tmp_path).device_id == me.device_id


def _token_id(engine: Engine) -> str:
    with reading(engine) as db:
        return db.scalars(select(Token)).one().id


@pytest.mark.parametrize(
    ("spoiled", "says"),
    [
        (lambda text: text[:-1] + ("A" if text[-1] != "A" else "Q"), "mistyped"),
        (lambda text: text[:60], "mistyped or cut short"),
        (lambda text: text[:30] + "!" + text[31:], "character"),
        (lambda _: "hello", "begins with aft1."),
    ],
)
def test_a_mistyped_token_is_told(home: Home, listener: Engine, tmp_path: Path, spoiled, says: str):
    done = agent("enrol", spoiled(new_token(listener, home)), state_dir=tmp_path)

    assert done.returncode == EXIT_TOKEN_WRONG
    assert says in done.stderr


def test_a_token_that_is_no_longer_good_is_told(home: Home, listener: Engine, tmp_path: Path):
    used_up = new_token(listener, home)
    agent("enrol", used_up, state_dir=tmp_path / "first")
    expired = new_token(listener, home, lifetime=timedelta(hours=1), clock=Shifted(-timedelta(hours=2)))
    revoked = new_token(listener, home)
    with writing(listener) as db:
        for token in tokens.listing(db):
            if not token.used and token.expires_at > SYSTEM.now():
                tokens.revoke(db, token.id, SYSTEM.now())

    said = {
        name: agent("enrol", text, state_dir=tmp_path / name)
        for name, text in {"used_up": used_up, "expired": expired, "revoked": revoked}.items()
    }

    assert {name: done.returncode for name, done in said.items()} == dict.fromkeys(said, EXIT_REFUSED)
    for name, done in said.items():
        assert f"token_{name}" in done.stderr
        assert not (tmp_path / name / "identity" / "connection.json").exists()


def test_an_unreachable_controller_is_told(home: Home, sqlite_engine: Engine, tmp_path: Path):
    new_annex(sqlite_engine)

    done = agent("enrol", new_token(sqlite_engine, home), state_dir=tmp_path)

    assert done.returncode == EXIT_UNREACHABLE
    assert "cannot be reached" in done.stderr


def test_somebody_in_between_is_noticed(home: Home, sqlite_engine: Engine, tmp_path: Path):
    new_annex(sqlite_engine)
    token = new_token(sqlite_engine, home)
    with broker_home(enrol_port=home.settings.enrol_port) as other:
        authority.ensure(other)
        with enrolment_served(other, sqlite_engine):
            done = agent("enrol", token, state_dir=tmp_path)

    assert done.returncode == EXIT_WRONG_AUTHORITY
    assert "Somebody" in done.stderr or "somebody" in done.stderr
    with reading(sqlite_engine) as db:
        assert db.scalars(select(Device)).all() == []


def test_somebody_in_between_who_shows_the_right_authority_is_noticed(
    home: Home, sqlite_engine: Engine, tmp_path: Path
):
    new_annex(sqlite_engine)
    token = new_token(sqlite_engine, home)
    with broker_home(enrol_port=home.settings.enrol_port) as other:
        authority.ensure(other)
        # The root's certificate is public: anybody can hand it out, but not be certified by it.
        for name in ("service.pem", "service.key"):
            (home.authority_dir / name).write_bytes((other.authority_dir / name).read_bytes())
        with enrolment_served(home, sqlite_engine):
            done = agent("enrol", token, state_dir=tmp_path)

    assert done.returncode == EXIT_WRONG_AUTHORITY
    assert "not certified by the authority" in done.stderr


def test_a_clock_a_year_off_is_told(sqlite_engine: Engine, tmp_path: Path):
    ahead = Shifted(timedelta(days=400))
    with broker_home() as home:
        authority.ensure(home, clock=ahead)
        new_annex(sqlite_engine)
        with enrolment_served(home, sqlite_engine, clock=ahead):
            done = agent("enrol", new_token(sqlite_engine, home, clock=ahead), state_dir=tmp_path)

    assert done.returncode == EXIT_CLOCK_WRONG
    assert "400 days behind" in done.stderr


def test_a_directory_that_cannot_be_written_is_told(home: Home, listener: Engine, tmp_path: Path):
    (tmp_path / "identity").write_text("a file where the directory should be")

    done = agent("enrol", new_token(listener, home), state_dir=tmp_path)

    assert done.returncode == EXIT_FILES


def test_a_revoked_device_is_not_renewed(home: Home, listener: Engine, tmp_path: Path):
    agent("enrol", new_token(listener, home), state_dir=tmp_path)
    revocation.revoke(home, held(tmp_path).device_id, engine=listener)

    done = agent("renew", state_dir=tmp_path)

    assert done.returncode == EXIT_REFUSED
    assert "device_revoked" in done.stderr


@pytest.mark.parametrize(("late", "exit_code"), [(timedelta(days=29), EXIT_DONE), (timedelta(days=31), EXIT_REFUSED)])
def test_a_certificate_is_renewed_up_to_30_days_late(
    home: Home, listener: Engine, tmp_path: Path, late: timedelta, exit_code: int
):
    agent("enrol", new_token(listener, home), state_dir=tmp_path)
    with writing(listener) as db:
        db.scalars(select(Certificate)).one().expires_at = SYSTEM.now() - late

    done = agent("renew", state_dir=tmp_path)

    assert done.returncode == exit_code
    assert exit_code == EXIT_DONE or "certificate_too_old" in done.stderr


def test_five_at_once_with_a_token_for_one(engine: Engine, tmp_path: Path):
    with broker_home(enrol_port=free_port()) as home:
        authority.ensure(home)
        new_annex(engine)
        token = new_token(engine, home, max_devices=1)
        codes: list[int] = []
        with enrolment_served(home, engine):
            threads = [
                threading.Thread(
                    target=lambda n=n: codes.append(agent("enrol", token, state_dir=tmp_path / str(n)).returncode)
                )
                for n in range(5)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    assert sorted(codes) == [EXIT_DONE, *[EXIT_REFUSED] * 4]
    with reading(engine) as db:
        assert len(db.scalars(select(Device)).all()) == 1
        assert db.scalars(select(Token)).one().used == 1


def test_the_certificate_says_only_what_the_controller_chose(home: Home, listener: Engine, tmp_path: Path):
    agent("enrol", new_token(listener, home), state_dir=tmp_path)

    me = held(tmp_path)
    leaf = x509.load_pem_x509_certificates(me.certificate.read_bytes())[0]

    assert leaf.subject.rfc4514_string() == f"CN={me.device_id}"
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=45, hours=1)
    uris = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert uris.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:annexfleet:device:{me.device_id}"]
