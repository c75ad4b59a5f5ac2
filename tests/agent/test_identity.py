"""Reading who this device is."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from annexfleet_agent import identity

RECORD = identity.Record(
    device_id="d-" + "a" * 26,
    broker_host="broker.example.ma",
    broker_port=8883,
    enrol_url="https://broker.example.ma:8443",
    slot="b",
    previous_slot="a",
    expires_at=2e9,
    renew_at=1.9e9,
)


@pytest.fixture
def enrolled(tmp_path: Path) -> Path:
    """A directory with an identity in slot b and the one before it in a."""
    for slot in identity.SLOTS:
        pair = identity.pair(tmp_path, slot)
        pair.key.parent.mkdir()
        for file in pair.key, pair.certificate, pair.authority:
            file.write_text(slot)
    identity.path(tmp_path).write_bytes(msgspec.json.encode(RECORD))
    return tmp_path


def test_a_device_that_was_never_enrolled_has_none(tmp_path: Path):
    assert identity.load(tmp_path) is None


def test_the_pair_in_force_and_the_one_before_it(enrolled: Path):
    found = identity.load(enrolled)

    assert found is not None
    assert (found.device_id, found.broker_host, found.renew_at) == (RECORD.device_id, "broker.example.ma", 1.9e9)
    assert found.pair == identity.pair(enrolled, "b")
    assert found.previous == identity.pair(enrolled, "a")


@pytest.mark.parametrize("name", ["device.key", "device.pem", "authority.pem"])
def test_a_lost_file_is_told(enrolled: Path, name: str):
    (enrolled / "b" / name).unlink()

    with pytest.raises(identity.IdentityBroken, match=f"{name}.*enrol this device again"):
        identity.load(enrolled)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", msgspec.json.encode({"device_id": "../../etc"})])
def test_a_spoiled_record_is_told(enrolled: Path, content: bytes):
    identity.path(enrolled).write_bytes(content)

    with pytest.raises(identity.IdentityBroken, match="enrol this device again"):
        identity.load(enrolled)


def test_reading_it_loads_nothing_heavy():
    program = "import sys, annexfleet_agent.identity; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert not {"cryptography", "ssl", "http.client", "asyncio", "email", "subprocess"} & set(loaded)
