"""A broker that was taken over, on the real wire: it hears, holds back, forges and repeats what it likes.

It has the controller's own account at the broker, and envelopes that the real signer signed and it did not deliver.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select, update
from tests.agent.runner.authority import Made, Signer
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.linking import ids
from tests.playbooks.tapping import CHANNEL, Attacker
from tests.playbooks.walking import PLACE, TEXT, Walks

from annexfleet_agent.protocol.envelope import (
    CHALLENGE_LIFETIME_S,
    Challenge,
    Delivery,
    Knock,
    Signed,
    pack,
    parse,
)
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.identity import signer
from annexfleet_controller.rollouts.relay.signing import request_for_run
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Device as DeviceRow

CANARY = "canary-of-the-wire-8841"
LISTENER = "/usr/local/sbin/syslog.py"
SYSLOG = "/var/log/syslog-of-the-test"
_LISTENS_TO_SYSLOG = f"""
import os, socket
log = open({SYSLOG!r}, "ab", buffering=0)
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind("/dev/log")
while True:
    log.write(heard.recv(65536) + bytes([10]))
"""
KEPT_ON_DEVICES = (
    "/var/lib/annexfleet-agent",
    "/var/log",
    "/var/tmp",
    "/tmp",
    "/run",
    "/etc/annexfleet",
    "/root/.ansible",
)
METRIC = "envelopes_refused_count"
RULE = "runner.forged"


class Front:
    """The fleet, a run that is held between two tasks on both devices, and the attacker."""

    def __init__(self, walks: Walks, gate: Path) -> None:
        self.walks = walks
        self.one, self.other = walks.devices
        self.one_id, self.other_id = walks.ids
        with writing(walks.controller.engine) as db:
            # In its first hour a device raises no alert.
            db.execute(update(DeviceRow).values(enrolled_at=SYSTEM.now() - timedelta(hours=2)))
        self.attacker = Attacker(walks.controller.home)
        self.gate = gate
        self.one.write(LISTENER, _LISTENS_TO_SYSLOG)
        self.one.run(["sh", "-c", f"setsid -f /usr/bin/python3 {LISTENER} >/dev/null 2>&1 </dev/null"])
        self.one.wait_until(lambda: self.one.exists(SYSLOG), "a system log")
        walks.let_go()
        self.run_id = walks.order(word=CANARY, variables={"walk_gate": str(gate)}, timeout_s=900)
        walks.controller.wait_until(Path(f"{gate}.reached").exists, "the wait between two tasks", 120)

    def genuine(self, challenge: Challenge, device_id: str) -> bytes:
        """An envelope of the real signer's for this session, which the broker did not deliver."""
        return signer.ask(self.walks.controller.home, request_for_run(self.run_id, device_id, challenge)).delivery

    def exchange_key(self, device_id: str) -> bytes:
        with reading(self.walks.controller.engine) as db:
            return bytes(db.scalars(select(DeviceRow.exchange_key).where(DeviceRow.id == device_id)).one() or b"")

    def refused_count(self, device_id: str) -> float:
        readings = self.walks.controller.ask(f"devices/{device_id}")["readings"]
        return sum(float(reading["value"]) for reading in readings if reading["metric"] == METRIC)

    def obeyed(self, device: Device) -> int:
        """How many envelopes this device's runner took."""
        assert device.agent is not None
        return device.agent.log.count("an envelope is obeyed")

    @contextmanager
    def refused(self, device: Device, count: int = 1) -> Iterator[None]:
        """What is tried in the block is refused and done by nobody, counted and told."""
        (device_id,) = ids([device])
        had, obeyed = self.refused_count(device_id), self.obeyed(device)
        yield
        assert self.obeyed(device) == obeyed
        self.walks.controller.wait_until(
            lambda: self.refused_count(device_id) >= had + count, f"{METRIC} of {device.name}"
        )


@pytest.fixture(scope="module")
def front(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    walks = Walks(fleet, tmp_path_factory.mktemp("walks"), count=2)
    made = Front(walks, tmp_path_factory.mktemp("gate") / "gate")
    yield made
    made.attacker.close()


@pytest.fixture(scope="module")
def held(front: Front) -> tuple[float, Challenge, bytes]:
    """A genuine envelope that the attacker holds back from now on: since when, for which challenge, and itself."""
    challenge = front.attacker.knock(front.one_id)
    return time.monotonic(), challenge, front.genuine(challenge, front.one_id)


def test_an_envelope_of_a_foreign_key_is_refused(front: Front, held: object):
    challenge = front.attacker.knock(front.one_id)
    known = _Known(front.one_id, front.exchange_key(front.one_id))

    with front.refused(front.one):
        made = Made(known, challenge, sequence=2**52)
        assert front.attacker.refusal(front.one_id, challenge.session, made.packet) == "unknown_key"


def test_a_tampered_envelope_is_refused(front: Front, held: object):
    challenge = front.attacker.knock(front.one_id)
    delivery = parse(front.genuine(challenge, front.one_id)[1:], Delivery)
    body = bytearray(delivery.envelope.body)
    at = body.index(b'"session_timeout_s"') if b'"session_timeout_s"' in body else body.index(b'"sequence":') + 12
    body[at] ^= 1

    with front.refused(front.one):
        forged = pack(Delivery(envelope=Signed(body=bytes(body), proof=delivery.envelope.proof), keys=delivery.keys))
        assert front.attacker.refusal(front.one_id, challenge.session, forged) == "bad_signature"


def test_an_envelope_for_another_device_is_refused(front: Front, held: object):
    session = secrets.token_hex(8)
    for device_id in (front.one_id, front.other_id):
        front.attacker.say(device_id, pack(Knock(session=session, channel=CHANNEL)))
    challenge = front.attacker.answer(front.one_id, session, Challenge)
    front.attacker.answer(front.other_id, session, Challenge)

    with front.refused(front.other):
        packet = front.genuine(challenge, front.one_id)
        assert front.attacker.refusal(front.other_id, session, packet) == "other_device"


def test_a_replayed_envelope_is_refused(front: Front, held: object):
    """Twice the same, and one that is older than one that was obeyed."""
    first, second = front.attacker.knock(front.one_id), front.attacker.knock(front.one_id)
    older, newer = (front.genuine(challenge, front.one_id) for challenge in (first, second))
    # To deliver once what the controller signed is all that a broker can do; without its keys the session is no use.
    front.attacker.say(front.one_id, newer)
    front.walks.controller.wait_until(lambda: front.attacker.spoke(second.session), "the one that is delivered")

    with front.refused(front.one, 2):
        assert front.attacker.refusal(front.one_id, second.session, newer) == "foreign_challenge"
        assert front.attacker.refusal(front.one_id, first.session, older) == "replayed"


def test_an_envelope_of_before_a_restart_is_refused(front: Front, held: object):
    before = front.attacker.knock(front.other_id)
    packet = front.genuine(before, front.other_id)
    front.other.reboot()
    front.walks.controller.wait_until(
        lambda: front.attacker.knocked(front.other_id, before.boot_id), "the device with another boot id", 120
    )

    # The knock brought its runner up; the name of the session is the old one's, so that it may be answered.
    front.attacker.say(front.other_id, pack(Knock(session=before.session, channel=CHANNEL)))
    with front.refused(front.other):
        assert front.attacker.refusal(front.other_id, before.session, packet) == "stale_boot"


def test_an_envelope_that_was_held_back_is_refused(front: Front, held: tuple[float, Challenge, bytes]):
    since, challenge, packet = held
    front.walks.controller.wait_until(
        lambda: time.monotonic() - since > CHALLENGE_LIFETIME_S + 1, "the end of the challenge", 90
    )

    with front.refused(front.one):
        reason = front.attacker.refusal(front.one_id, challenge.session, packet)
    assert reason in ("expired", "foreign_challenge")


def test_each_device_that_was_attacked_has_an_alert(front: Front):
    def alarmed() -> set[str]:
        alerts = front.walks.controller.ask(f"alerts?rule={RULE}")["items"]
        return {alert["thing"]["id"] for alert in alerts}

    front.walks.controller.wait_until(lambda: alarmed() == {front.one_id, front.other_id}, f"alerts of {RULE}")


def test_a_secret_stands_in_no_command_line_and_no_environment_while_its_run_lasts(front: Front):
    named = [name for name, text in _running() if CANARY in text]

    assert named == []


def test_who_hears_everything_learns_no_word_and_the_run_goes_on(front: Front):
    front.gate.touch()
    run = front.walks.finish(front.run_id)

    assert run["state"] == "ended"
    assert front.walks.outcomes(front.run_id)[front.one_id] == "changed", front.walks.told(front.run_id)
    assert front.one.read(f"{PLACE}/file") == f"{TEXT} {CANARY}\n"
    packets = [packet for topic, packet in front.attacker.heard if "run" in topic.split("/")]
    assert sum(map(len, packets)) > 50_000
    for word in (CANARY.encode(), b"walk_place", PLACE.encode(), b"ansible", b"Ansi"):
        assert not any(word in packet for packet in packets), word


def test_a_secret_is_found_nowhere_when_its_run_has_ended(front: Front):
    front.walks.wait_until_nothing_is_left(front.run_id)

    home = front.walks.controller.home.path
    told = [file for file in home.rglob("*") if file.is_file() and CANARY.encode() in file.read_bytes()]
    there = front.one.run(["sh", "-c", f"grep -rlF {CANARY} {' '.join(KEPT_ON_DEVICES)}"], check=False).stdout.split()
    one = f"runs/{front.run_id}/hosts/{front.one_id}"
    answers = [
        front.walks.controller.ask(path, role="technician")
        for path in (f"runs/{front.run_id}", one, f"runs/{front.run_id}/diffs")
    ]

    assert told == []
    assert there == []
    assert CANARY not in str(answers)
    assert front.one.exists(SYSLOG)


def _running() -> Iterator[tuple[str, str]]:
    """Every process of this machine and of all devices, with its arguments and its environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            yield process.name(), f"{process.cmdline()} {process.environ()}"


class _Known:
    """What a broker knows of a device, for `Made`."""

    def __init__(self, device_id: str, public: bytes) -> None:
        self.device_id, self.public, self.signer = device_id, public, Signer()
