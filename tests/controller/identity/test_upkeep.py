"""What is done as time goes by, and what is left alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import Engine

from annexfleet_controller.clock import Clock
from annexfleet_controller.identity import authority, broker, crl, upkeep
from annexfleet_controller.settings import Home, Settings

START = datetime(2027, 1, 4, 8, 0, tzinfo=UTC)


class Still(Clock):
    def __init__(self, now: datetime = START) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment


def installed(home: Home) -> tuple[int, datetime]:
    """The number of the list that the broker has, and the end of its certificate."""
    directory = broker.directory(home)
    listed = crl.number(x509.load_pem_x509_crl((directory / "device.crl").read_bytes()))
    certificate = x509.load_pem_x509_certificates((directory / "service.pem").read_bytes())[0]
    return listed, certificate.not_valid_after_utc


@pytest.mark.parametrize(
    ("later", "list_number", "certificate_ends"),
    [
        (timedelta(hours=1), 1, START + timedelta(days=397)),
        (timedelta(hours=25), 2, START + timedelta(days=397)),
        (timedelta(days=40), 2, START + timedelta(days=397)),
        (timedelta(days=340), 2, START + timedelta(days=340 + 397)),
    ],
)
def test_what_is_due(
    tmp_path: Path, sqlite_engine: Engine, later: timedelta, list_number: int, certificate_ends: datetime
):
    home = Home(tmp_path, Settings())
    authority.ensure(home, clock=Still())
    broker.write(home, clock=Still())

    upkeep.tend(home, sqlite_engine, clock=Still(START + later))

    assert installed(home) == (list_number, certificate_ends)


def test_a_home_without_a_broker_is_tended_too(tmp_path: Path, sqlite_engine: Engine):
    home = Home(tmp_path, Settings())
    ours = authority.ensure(home, clock=Still())

    upkeep.tend(home, sqlite_engine, clock=Still(START + timedelta(days=2)))

    assert crl.number(x509.load_pem_x509_crl(ours.crl_path.read_bytes())) == 2
    assert not broker.directory(home).exists()


def test_a_controller_that_was_off_for_months_starts_again(tmp_path: Path, sqlite_engine: Engine):
    home = Home(tmp_path, Settings())
    authority.ensure(home, clock=Still())
    broker.write(home, engine=sqlite_engine, clock=Still())
    spring = Still(START + timedelta(days=100))

    authority.ensure(home, clock=spring)
    broker.write(home, engine=sqlite_engine, clock=spring)

    assert installed(home)[0] == 2
