"""A real runner, driven over its socket."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.agent.runner.relays import Device, Relay

from annexfleet_agent.protocol.envelope import Challenge, Refusal


@pytest.fixture
def device():
    place = Path(tempfile.mkdtemp(prefix="af-runner-"))  # pytest's own paths are too long for a socket
    made = Device(place)
    made.start()
    yield made
    made.close()
    shutil.rmtree(place)


@pytest.fixture
def relay(device):
    return Relay(device, device.link()).open()


def test_a_program_runs_with_its_input_output_and_exit_code(relay):
    result, output, errors = relay.run("/bin/sh", "-c", "cat; echo no >&2; exit 7", data=b"hello")

    assert (result.exit_code, result.error, output, errors) == (7, "", b"hello", b"no\n")


def test_a_program_gets_a_clean_environment(relay):
    _, output, _ = relay.run("/usr/bin/env")

    assert {line.partition("=")[0] for line in output.decode().splitlines()} == {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"
    }  # fmt: skip


def test_much_output_comes_whole(relay):
    result, output, _ = relay.run("/bin/sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x")

    assert result.exit_code == 0
    assert output == b"x" * 20_000_000


def test_much_input_goes_in_whole(relay):
    content = os.urandom(5_000_000)

    _, output, _ = relay.run("/usr/bin/sha256sum", data=content)

    assert output.split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_a_file_goes_there_and_back(relay, tmp_path):
    content = os.urandom(3_000_000)

    put = relay.upload(tmp_path / "file", content)
    fetched, back = relay.fetch(tmp_path / "file")

    assert put.sha256 == fetched.sha256 == hashlib.sha256(content).hexdigest()
    assert back == content
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_forged_envelope_is_refused_counted_and_told(device):
    link = device.link()
    relay = Relay(device, link)
    other = Device(Path(tempfile.mkdtemp(prefix="af-other-")))
    challenge = relay.knock()
    assert isinstance(challenge, Challenge)
    from tests.agent.runner.authority import Made

    relay.send(Made(device.enrolled, challenge, signer=other.enrolled.signer))

    assert relay.answer(Refusal).reason == "unknown_key"
    link.until(lambda: link.said and link.refused().by_reason == {"unknown_key": 1})
