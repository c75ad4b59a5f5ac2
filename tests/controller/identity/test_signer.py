"""What is signed and what is refused, on both databases."""

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, delete, update
from tests.controller.identity.signable import (
    COMMAND,
    DEVICE,
    EXCHANGE,
    NOW,
    OTHER,
    TurnedClock,
    asks,
    fill,
    home_with_keys,
    opened,
)  # fmt: skip

from annexfleet_agent.protocol.envelope import CHALLENGE_LIFETIME_S, Delivery, unpack
from annexfleet_controller.identity import authority, signing
from annexfleet_controller.identity.granting import REASONS, Refused
from annexfleet_controller.identity.signer import Request, Signer
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.commands import CommandRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def home(tmp_path: Path, engine: Engine) -> Home:
    fill(engine)
    return home_with_keys(tmp_path, engine)


@pytest.fixture
def signer(home: Home, engine: Engine, clock: TurnedClock) -> Signer:
    return Signer(home, engine, clock=clock)


@pytest.fixture
def root(home: Home) -> str:
    return authority.load(home).root_pem.decode()


def test_a_run_gets_leave_for_one_session_with_one_of_its_devices(signer: Signer, root: str):
    answer = signer.judge(asks())

    envelope, arguments = opened(answer, root)
    assert (envelope.action, envelope.command_id, envelope.device_id) == ("run", "run-1", DEVICE)
    assert (envelope.session, envelope.boot_id, envelope.challenge) == (
        "0011223344556677", "0123456789ab", "ab" * 16,
    )  # fmt: skip
    assert envelope.bundle_digest == "cd" * 32
    assert envelope.sequence == answer.sequence == int(NOW.timestamp() * 1000)
    assert envelope.expires_at - envelope.issued_at == CHALLENGE_LIFETIME_S
    assert arguments.command == ""
    assert arguments.session_timeout_s == 3030.0  # ten of its sixty minutes are over; the controller is to be first


def test_a_command_travels_sealed_with_its_parameters(signer: Signer, root: str):
    answer = signer.judge(asks(what="command", id=COMMAND))

    envelope, arguments = opened(answer, root)
    assert (envelope.action, envelope.command_id) == ("command", COMMAND)
    assert (arguments.command, arguments.parameters) == ("reboot", {"delay_s": 5})
    assert arguments.receipt_key == b"receipt key"
    assert b"reboot" not in answer.delivery
    assert base64.b64encode(b"receipt key") not in answer.delivery


def test_a_command_that_was_sent_may_be_sent_again_until_it_is_given_up(
    signer: Signer, engine: Engine, root: str, clock
):
    changed(engine, CommandRow, state="sent")
    clock.turn(minutes=59, seconds=30)

    envelope, _ = opened(signer.judge(asks(what="command", id=COMMAND)), root)

    assert envelope.expires_at == (NOW + timedelta(hours=1)).timestamp()


def test_a_run_at_the_console_needs_leave_too(signer: Signer, engine: Engine, root: str):
    changed(engine, RunRow, kind="console", started_at=None, bundle_digest="")

    _, arguments = opened(signer.judge(asks()), root)

    assert arguments.session_timeout_s == 3630.0


def test_no_two_envelopes_are_sealed_or_numbered_alike(signer: Signer, root: str):
    answers = [signer.judge(asks()) for _ in range(20)]

    assert len({answer.down for answer in answers} | {answer.up for answer in answers}) == 40
    numbers = [answer.sequence for answer in answers]
    assert numbers == sorted(set(numbers))


def changed(engine: Engine, table: type, **values: object) -> None:
    with writing(engine) as db:
        db.execute(update(table).values(**values))


def without_host(engine: Engine) -> None:
    with writing(engine) as db:
        db.execute(delete(RunHostRow))


REFUSALS: list[tuple[str, Callable[[Engine], None] | None, dict[str, object]]] = [
    ("device_unknown", None, {"device_id": "d-" + "z" * 26}),
    ("device_revoked", lambda engine: changed(engine, Device, revoked_at=NOW), {}),
    ("no_exchange_key", lambda engine: changed(engine, Device, exchange_key=None), {}),
    ("no_exchange_key", lambda engine: changed(engine, Device, exchange_key=bytes(32)), {}),
    ("exchange_key_differs", None, {"exchange_key": "ab" * 32}),
    ("run_unknown", None, {"id": "2"}),
    ("run_unknown", None, {"id": "run-1"}),
    ("run_unknown", None, {"id": "9" * 16}),
    ("run_unknown", None, {"id": COMMAND}),
    ("run_unknown", lambda engine: changed(engine, RunRow, kind="other"), {}),
    ("not_in_run", None, {"device_id": OTHER}),
    ("not_in_run", without_host, {}),
    ("run_cancelled", lambda engine: changed(engine, RunRow, cancelled_at=NOW), {}),
    ("run_not_running", lambda engine: changed(engine, RunRow, state="queued"), {}),
    ("run_not_running", lambda engine: changed(engine, RunRow, state="ended"), {}),
    ("host_ended", lambda engine: changed(engine, RunHostRow, state="ended"), {}),
    ("run_overdue", lambda engine: changed(engine, RunRow, timeout_s=600.0), {}),
    ("command_unknown", None, {"what": "command", "id": "c-other"}),
    ("command_unknown", None, {"what": "command", "id": "1"}),
    ("other_device", None, {"what": "command", "id": COMMAND, "device_id": OTHER}),
    ("command_ended", lambda engine: changed(engine, CommandRow, state="ended"), {"what": "command", "id": COMMAND}),
    ("command_expired", lambda engine: changed(engine, CommandRow, give_up_at=NOW), {"what": "command", "id": COMMAND}),
    ("command_invalid", lambda engine: changed(engine, CommandRow, name="rm"), {"what": "command", "id": COMMAND}),
    (
        "command_invalid",
        lambda engine: changed(engine, CommandRow, parameters='{"delay_s": 99999}'),
        {"what": "command", "id": COMMAND},
    ),
    ("command_invalid", lambda engine: changed(engine, CommandRow, parameters="{"), {"what": "command", "id": COMMAND}),
    ("keys_behind", None, {"keys_version": 2**50}),
]


@pytest.mark.parametrize(("reason", "before", "change"), REFUSALS)
def test_what_nobody_ordered_is_not_signed(signer: Signer, engine: Engine, reason: str, before, change: dict):
    if before is not None:
        before(engine)

    with pytest.raises(Refused) as refused:
        signer.judge(asks(**change))

    assert refused.value.reason == reason
    assert reason in REASONS


def test_the_key_that_the_device_says_it_has_is_only_compared(signer: Signer, root: str):
    answer = signer.judge(asks(exchange_key=EXCHANGE.public_key().public_bytes_raw().hex()))

    opened(answer, root)


@pytest.mark.parametrize("days", [-400, 4000])
def test_a_clock_that_cannot_be_right_signs_nothing(signer: Signer, clock: TurnedClock, days: int):
    clock.turn(days=days)

    with pytest.raises(Refused, match="clock_wrong"):
        signer.judge(asks())


def test_a_database_that_is_away_is_a_refusal(home: Home, engine: Engine, clock: TurnedClock):
    from annexfleet_controller.store.database import open_database

    away = open_database("sqlite:////nowhere/at/all.db")

    with pytest.raises(Refused, match="database"):
        Signer(home, away, clock=clock).judge(asks())


def test_a_disk_that_takes_no_number_signs_nothing(home: Home, signer: Signer, clock: TurnedClock, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("annexfleet_controller.identity.files.write", full)

    with pytest.raises(Refused, match="sequence"):
        signer.judge(asks())


# -- keys


def test_the_key_set_goes_along_until_the_device_has_it(signer: Signer, home: Home, root: str):
    keys = signing.load(home).keys
    older, same = signer.judge(asks(keys_version=keys.version - 1)), signer.judge(asks(keys_version=keys.version))

    assert delivery(older).keys is not None
    assert delivery(same).keys is None
    opened(same, root, keys=keys)


def test_a_rotation_is_noticed_by_the_running_signer(signer: Signer, home: Home, root: str):
    before = signing.load(home)
    signer.judge(asks())

    after = signing.rotate(home, NOW)
    answer = signer.judge(asks(keys_version=before.keys.version))

    envelope, _ = opened(answer, root)
    assert envelope.key_id == after.key_id != before.key_id
    assert signer.status().keys_version == after.keys.version > before.keys.version


def test_a_signer_without_keys_waits_for_them(tmp_path: Path, engine: Engine, clock: TurnedClock):
    fill(engine)
    home = home_with_keys(tmp_path, engine)
    (home.signer_dir / signing.KEYS).rename(tmp_path / "away")
    signer = Signer(home, engine, clock=clock)
    with pytest.raises(Refused, match="no_keys"):
        signer.judge(asks())
    assert signer.status().keys_version == 0
    assert "keys rotate" in signer.status().problem

    (tmp_path / "away").rename(home.signer_dir / signing.KEYS)

    assert signer.judge(asks()).sequence


@pytest.mark.parametrize(
    "change",
    [
        {"what": "exec"}, {"id": ""}, {"id": "a/b"}, {"id": "1\n"}, {"device_id": "d" * 65}, {"session": "x"},
        {"challenge": ""}, {"boot_id": "b" * 65}, {"keys_version": -1}, {"exchange_key": "ab"},
    ],
)  # fmt: skip
def test_a_request_with_a_field_that_cannot_be_is_none(change: dict):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(asks(**change)), type=Request)


def delivery(answer) -> Delivery:
    found = unpack(answer.delivery)
    assert isinstance(found, Delivery)
    return found
