"""The list of revoked certificates while several processes make it: the newest one tells of all, and stays."""

import fcntl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from annexfleet_controller.clock import Clock
from annexfleet_controller.identity import authority, broker, crl, revoked
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import certificates

START = datetime(2027, 1, 4, 8, 0, tzinfo=UTC)


class Still(Clock):
    def now(self) -> datetime:
        return START


def is_locked(home: Home) -> bool:
    """Whether another process that wants to change the authority's files would have to wait."""
    with (home.authority_dir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_who_is_revoked_is_asked_when_nobody_else_can_publish(
    tmp_path: Path, sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    # Asked before, a list of a moment ago would replace the one that another process made in between: the device
    # revoked there would come in again.
    home = Home(tmp_path, Settings())
    authority.ensure(home, clock=Still())
    asked_while_locked = []
    ask = certificates.revoked

    def watched(*args, **options):
        asked_while_locked.append(is_locked(home))
        return ask(*args, **options)

    monkeypatch.setattr(certificates, "revoked", watched)

    revoked.publish(home, sqlite_engine, START)

    assert asked_while_locked == [True]


def test_the_broker_is_given_the_list_when_nobody_else_can_publish(
    tmp_path: Path, sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    home = Home(tmp_path, Settings())
    authority.ensure(home, clock=Still())
    broker.write(home, engine=sqlite_engine, clock=Still())
    read_while_locked = []
    check = crl.check

    def watched(*args, **options):
        read_while_locked.append(is_locked(home))
        return check(*args, **options)

    monkeypatch.setattr(crl, "check", watched)

    broker.install_certificates(home, clock=Still())

    assert read_while_locked == [True]
