"""The enrolment listener's answers, without TLS."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from annexfleet_controller.clock import Clock
from annexfleet_controller.identity import authority, enrol_app
from annexfleet_controller.settings import Home, Settings

START = datetime(2027, 1, 4, 8, 0, tzinfo=UTC)


class Still(Clock):
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START

    def mono(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Still:
    return Still()


@pytest.fixture
def client(tmp_path: Path, sqlite_engine: Engine, clock: Still) -> TestClient:
    home = Home(tmp_path / "home", Settings())
    authority.ensure(home, clock=clock)
    app = enrol_app.create_enrol(home, engine=sqlite_engine, clock=clock)
    return TestClient(app, raise_server_exceptions=False)


def test_a_nonce_comes_with_the_time_and_the_authority(client: TestClient):
    answer = client.post("/enrol/nonce")

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["time"] == START.timestamp()
    assert answer.json()["authority"].startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("POST", "/enrol", b"", 400, "malformed"),
        ("POST", "/enrol", b"[[[[", 400, "malformed"),
        ("POST", "/enrol", b"\xff\xfe", 400, "malformed"),
        ("POST", "/enrol", b'{"body": "!", "proof": ""}', 400, "malformed"),
        ("POST", "/enrol", b"x" * 20_000, 413, "too_big"),
        ("POST", "/enrol/renew", b"{}", 400, "malformed"),
        ("GET", "/enrol", b"", 405, "refused"),
        ("GET", "/", b"", 404, "not_found"),
        ("GET", "/docs", b"", 404, "not_found"),
        ("GET", "/openapi.json", b"", 404, "not_found"),
        ("POST", "/enrol/nonce/../../etc/passwd", b"", 404, "not_found"),
    ],
)
def test_whatever_else_is_said_is_a_problem_with_a_code(  # noqa: PLR0917  # a table
    client: TestClient, method: str, path: str, content: bytes, status: int, code: str
):
    answer = client.request(method, path, content=content)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_one_address_may_ask_sixty_times_a_minute(client: TestClient, clock: Still):
    answers = [client.post("/enrol/nonce").status_code for _ in range(61)]
    clock.seconds += 60
    later = client.post("/enrol/nonce").status_code

    assert answers == [200] * 60 + [429]
    assert later == 200


def test_only_so_many_addresses_are_remembered(clock: Still):
    limit = enrol_app.RateLimit(1, clock)

    for n in range(20_000):
        assert limit.admits(str(n))

    assert not limit.admits("19999")
    assert limit.admits("0")


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(clock: Still, first: str, second: str, alike: bool):
    limit = enrol_app.RateLimit(1, clock)

    limit.admits(first)

    assert limit.admits(second) is not alike


def test_nothing_but_three_addresses_is_served(client: TestClient):
    assert sorted(route.path for route in client.app.routes) == ["/enrol", "/enrol/nonce", "/enrol/renew"]
