"""A real runner, driven over its socket by a relay of the test."""

import hashlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
from tests.agent.runner.authority import Enrolled, Made, Signer
from tests.agent.runner.relays import Device, Link, Relay

from annexfleet_agent.protocol.channel import Part
from annexfleet_agent.protocol.envelope import ENVELOPE, Challenge, Knock, Refusal, Request, pack
from annexfleet_agent.runner import framing, keys


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


def names(directory):
    return [path.name for path in directory.iterdir()]


def living(marker):
    """Processes with this word among their arguments."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and marker.encode() in (place / "cmdline").read_bytes().split(b"\0"):
                found.append(int(place.name))
        except OSError:
            continue
    return found


class TestRequests:
    def test_a_program_runs_with_its_input_output_and_exit_code(self, relay):
        result, output, errors = relay.run("/bin/sh", "-c", "cat; echo no >&2; exit 7", data=b"hello")

        assert (result.exit_code, result.error, output, errors) == (7, "", b"hello", b"no\n")

    def test_a_program_gets_a_clean_environment(self, relay):
        _, output, _ = relay.run("/usr/bin/env")

        assert {line.partition("=")[0] for line in output.decode().splitlines()} == {
            "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"
        }  # fmt: skip

    def test_files_that_programs_make_are_as_usual_and_the_runners_own_are_not(self, relay, device, tmp_path):
        relay.run("/bin/sh", "-c", f"touch {tmp_path}/made")

        assert (tmp_path / "made").stat().st_mode & 0o777 == 0o644
        for own in ("ledger.db", "runner.sock", "exchange.key", "modules", "warm"):
            assert (device.enrolled.directory / own).stat().st_mode & 0o077 == 0, own

    def test_much_output_comes_whole(self, relay):
        result, output, _ = relay.run("/bin/sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x")

        assert result.exit_code == 0
        assert output == b"x" * 20_000_000

    def test_much_input_goes_in_whole(self, relay):
        content = os.urandom(5_000_000)

        _, output, _ = relay.run("/usr/bin/sha256sum", data=content)

        assert output.split()[0].decode() == hashlib.sha256(content).hexdigest()

    def test_a_file_goes_there_and_back(self, relay, tmp_path):
        content = os.urandom(3_000_000)

        put = relay.upload(tmp_path / "file", content)
        fetched, back = relay.fetch(tmp_path / "file")

        assert put.sha256 == fetched.sha256 == hashlib.sha256(content).hexdigest()
        assert back == content
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600

    def test_what_cannot_be_done_is_said_and_the_session_goes_on(self, relay):
        for request, error in (
            (Request(op="exec", argv=["/no/such/program"]), "not_found"),
            (Request(op="exec", argv=[]), "malformed"),
            (Request(op="exec", argv=["a\0b"]), "malformed"),
            (Request(op="exec", argv=["/tmp"]), "denied"),
            (Request(op="module"), "malformed"),
            (Request(op="put", path="nowhere"), "malformed"),
            (Request(op="fetch", path="/no/such/file"), "not_found"),
            (Request(op="put", path="/tmp/x/y/z/file", size_bytes=3), "not_found"),
        ):
            number = relay.ask(request)
            assert relay.result(number).error == error
        assert relay.run("/bin/echo", "fine")[1] == b"fine\n"

    def test_bytes_that_are_no_request_are_malformed_and_the_session_goes_on(self, relay):
        relay.put(Part("request", 77, b"not deflated"))

        assert relay.result(77).error == "malformed"
        assert relay.run("/bin/echo", "fine")[1] == b"fine\n"

    def test_requests_of_a_session_are_done_one_after_the_other(self, relay, tmp_path):
        log = tmp_path / "log"
        first = relay.ask(Request(op="exec", argv=["/bin/sh", "-c", f"sleep 0.5; echo 1 >> {log}"]))
        second = relay.ask(Request(op="exec", argv=["/bin/sh", "-c", f"cat >> {log}"]), b"2\n")

        relay.result(second)

        assert relay.results[first].exit_code == 0
        assert log.read_text() == "1\n2\n"

    def test_a_request_that_takes_too_long_is_ended(self, relay):
        number = relay.ask(Request(op="exec", argv=["/bin/sleep", "300"], timeout_s=0.3))

        assert relay.result(number).error == "timed_out"

    def test_a_ping_is_answered_while_something_runs(self, relay):
        relay.ask(Request(op="exec", argv=["/bin/sleep", "300"]))
        relay.put(Part("ping", 0, b"now"))

        relay.until(lambda: relay.parts["pong"])
        assert relay.parts["pong"][0].data == b"now"


class TestCancels:
    def test_a_cancel_of_a_request_ends_it_whole(self, relay):
        marker = str(3_000_000 + os.getpid())
        script = f"sleep {marker} & setsid sleep {marker} & wait"
        number = relay.ask(Request(op="exec", argv=["/bin/sh", "-c", script]))
        relay.until(lambda: len(living(marker)) == 2)

        relay.put(Part("cancel", number))

        assert relay.result(number).error == "cancelled"
        relay.until(lambda: not living(marker), 5)
        assert relay.run("/bin/echo", "fine")[1] == b"fine\n"

    @pytest.mark.parametrize("kind", ["cancel", "bye"])
    def test_a_cancel_of_the_session_ends_all_of_it(self, relay, kind):
        marker = str(4_000_000 + os.getpid())
        first = relay.ask(Request(op="exec", argv=["/bin/sleep", marker]))
        second = relay.ask(Request(op="exec", argv=["/bin/sleep", marker]))
        relay.until(lambda: living(marker))

        relay.put(Part(kind, 0))

        assert relay.result(first).error == relay.result(second).error == "cancelled"
        relay.until(lambda: relay.is_bye and not living(marker))

    def test_an_upload_that_is_cancelled_leaves_nothing(self, relay, tmp_path):
        number = relay.ask(
            Request(op="put", path=str(tmp_path / "file"), size_bytes=10**6, sha256="0" * 64), wants_input=False
        )
        relay.put(Part("input", number, b"x" * 1000, last=False))
        relay.until(lambda: names(tmp_path))

        relay.put(Part("cancel", number))

        assert relay.result(number).error == "cancelled"
        assert names(tmp_path) == []

    def test_a_runner_that_is_told_to_end_leaves_nothing_running(self, device, relay):
        marker = str(5_000_000 + os.getpid())
        relay.ask(Request(op="exec", argv=["/bin/sh", "-c", f"setsid sleep {marker} & wait"]))
        relay.until(lambda: living(marker))

        device.process.send_signal(signal.SIGTERM)

        assert device.process.wait(10) == 0
        assert not living(marker)


class TestGate:
    @pytest.fixture
    def knocked(self, device):
        relay = Relay(device, device.link())
        return relay, relay.knock()

    def test_a_challenge_tells_what_the_signer_needs(self, device, knocked):
        _, challenge = knocked

        assert isinstance(challenge, Challenge)
        assert challenge.exchange_key == device.enrolled.public.hex()
        assert (challenge.keys_version, challenge.busy) == (1, False)

    def test_attacks_are_refused_counted_and_told(self, device, knocked, tmp_path):
        relay, challenge = knocked
        stranger = Enrolled(tmp_path / "other")
        wrong = msgspec.structs.replace
        attacks = {
            "unknown_key": Made(device.enrolled, challenge, signer=Signer()),
            "other_device": Made(device.enrolled, challenge, device_id="d-" + "b" * 26),
            "stale_boot": Made(device.enrolled, wrong(challenge, boot_id="f" * 12)),
            "foreign_challenge": Made(device.enrolled, wrong(challenge, challenge="ab" * 16)),
            "expired": Made(device.enrolled, challenge, issued_at=1e9, expires_at=1e9),
            "sealed_wrong": Made(device.enrolled, challenge, public=stranger.public),
        }
        for reason, made in attacks.items():
            relay.send(made)
            assert relay.answer(Refusal).reason == reason

        relay.link.until(lambda: relay.link.said and relay.link.refused().by_reason == dict.fromkeys(attacks, 1))
        assert sum(relay.link.refused().by_hour.values()) == len(attacks)
        relay.send(Made(device.enrolled, challenge))  # the challenge is still good for who may use it
        relay.until(lambda: relay.channel_spoke)

    def test_a_copy_is_refused_while_the_session_lives_and_after(self, device):
        relay = Relay(device, device.link())
        made = Made(device.enrolled, relay.knock())
        relay.send(made)
        relay.until(lambda: relay.channel_spoke)

        relay.link.packet(made.packet)
        assert relay.answer(Refusal).reason == "foreign_challenge"
        assert relay.run("/bin/echo", "fine")[1] == b"fine\n"

        relay.put(Part("bye", 0))
        relay.until(lambda: relay.is_bye)
        relay.link.packet(made.packet)
        assert relay.answer(Refusal).reason == "foreign_challenge"

    def test_after_a_restart_neither_copies_nor_old_numbers_are_good(self, device):
        relay = Relay(device, device.link())
        made = Made(device.enrolled, relay.knock(), sequence=50)
        relay.send(made)
        relay.until(lambda: relay.channel_spoke)
        device.kill()
        device.start()
        again = Relay(device, device.link(), session=relay.session)

        again.link.packet(made.packet)
        # The runner of now does not know where that relay hears: the agent does.
        again.link.until(lambda: again.link.packets[""])
        challenge = again.knock()
        again.send(Made(device.enrolled, challenge, sequence=50))
        assert again.answer(Refusal).reason == "replayed"
        assert sum(again.link.refused().by_hour.values()) == 1, "the copy; one that was overtaken is no attack"
        again.send(Made(device.enrolled, again.knock(), sequence=51))
        again.until(lambda: again.channel_spoke)

    def test_a_new_key_set_that_comes_with_an_envelope_is_in_force_from_then_on(self, device, knocked):
        relay, challenge = knocked
        new = Signer()
        signed = device.enrolled.root.key_set(2, new)

        relay.send(Made(device.enrolled, challenge, signer=new, keys_=signed))
        relay.until(lambda: relay.channel_spoke)

        assert keys.trust(device.enrolled.directory).keys_version == 2
        other = Relay(device, relay.link)
        challenge = other.knock()
        assert challenge.keys_version == 2
        other.send(Made(device.enrolled, challenge))
        assert other.answer(Refusal).reason == "unknown_key"

    def test_a_flood_of_forgeries_costs_no_signature_work_and_locks_nobody_out_for_long(self, device, knocked):
        relay, challenge = knocked
        for _ in range(20):
            relay.send(Made(device.enrolled, challenge, signer=Signer()))
            assert relay.answer(Refusal).reason == "unknown_key"

        relay.send(Made(device.enrolled, challenge, signer=Signer()))
        assert relay.answer(Refusal).reason == "busy"
        relay.send(Made(device.enrolled, challenge, device_id="d-" + "b" * 26))
        assert relay.answer(Refusal).reason == "other_device"

    def test_a_flood_is_counted_whole_and_costs_few_writes_to_the_disk(self, device, relay):
        for _ in range(300):
            relay.link.packet(ENVELOPE + b"junk")

        relay.link.until(
            lambda: (
                [m for m in relay.link.said if m[:1] == framing.REFUSED]
                and relay.link.refused().by_reason.get("malformed") == 300
            )
        )
        told = [message for message in relay.link.said if message[:1] == framing.REFUSED]
        assert len(told) < 10
        assert relay.run("/bin/echo", "still here")[1] == b"still here\n"

    def test_without_keys_nobody_is_obeyed(self, device):
        (device.enrolled.directory / "trust.json").unlink()

        assert Relay(device, device.link()).knock().reason == "not_ready"

    def test_while_something_runs_another_session_is_told_to_wait(self, device, relay):
        number = relay.ask(Request(op="exec", argv=["/bin/sleep", "300"]))
        other = Relay(device, relay.link)
        relay.until(lambda: (challenge := Relay(device, relay.link).knock()) and challenge.busy)
        challenge = other.knock()
        other.send(Made(device.enrolled, challenge))
        assert other.answer(Refusal).reason == "busy"

        relay.put(Part("cancel", number))
        relay.result(number)

        assert other.open().run("/bin/echo", "now")[1] == b"now\n"

    def test_a_knock_cannot_turn_a_session_to_another_channel(self, device, relay):
        relay.link.packet(pack(Knock(session=relay.session, channel="thief")))

        assert relay.run("/bin/echo", "fine")[1] == b"fine\n"
        assert not relay.link.packets["thief"]


class TestLine:
    def test_frames_lost_with_the_line_come_when_it_is_back(self, device, relay):
        relay.run("/bin/true")
        relay.link.sock.send(framing.LINK_DOWN)
        number = relay.ask(Request(op="exec", argv=["/bin/sh", "-c", "head -c 500000 /dev/zero"]))
        relay.link.hear(0.3)
        assert number not in relay.results

        relay.link.sock.send(framing.LINK_UP)
        relay.channel.resume(time.monotonic())

        assert relay.result(number).exit_code == 0
        assert len(relay.data[number, "output"]) == 500_000

    def test_an_agent_that_was_started_anew_finds_its_sessions(self, device, relay):
        number = relay.ask(Request(op="exec", argv=["/bin/sh", "-c", "sleep 0.5; echo done"]))
        relay.until(lambda: relay.channel.is_drained)
        relay.link.sock.close()
        relay.link = device.link()
        relay.channel._send = relay.link.packet

        assert relay.result(number).exit_code == 0
        assert relay.data[number, "output"] == b"done\n"

    def test_a_runner_that_was_killed_does_not_know_the_session_any_more(self, device, relay):
        marker = str(6_000_000 + os.getpid())
        relay.ask(Request(op="exec", argv=["/bin/sleep", marker]))
        relay.until(lambda: living(marker))
        device.kill()
        os.kill(living(marker)[0], signal.SIGKILL)
        device.start()
        again = device.link()

        again.packet(b"F" + bytes.fromhex(relay.session) + b"\0\0\0\x09" + b"x" * 40)

        again.until(lambda: again.packets[""])
        assert again.packets[""][0] == pack(Refusal(session=relay.session, reason="no_session"))

    def test_a_frame_that_nobody_sealed_does_not_end_what_runs(self, device, relay, tmp_path):
        relay.ask(Request(op="exec", argv=["/bin/sh", "-c", f"sleep 0.5; touch {tmp_path}/done"]))
        relay.until(lambda: relay.channel.is_drained)
        number = relay.channel._next

        relay.link.packet(b"F" + bytes.fromhex(relay.session) + number.to_bytes(4, "big") + b"x" * 40)

        relay.link.until((tmp_path / "done").exists)

    def test_junk_is_ignored(self, device, relay):
        for junk in (b"", b"Z", b"F", b"A" * 5, b"K{", b"C{}", b"R{}", b"E", b"F" + b"\0" * 100):
            relay.link.packet(junk)
        relay.link.sock.send(b"?")

        assert relay.run("/bin/echo", "fine")[1] == b"fine\n"
        assert not relay.link.packets["x"]


def test_it_ends_when_nobody_wants_anything():
    place = Path(tempfile.mkdtemp(prefix="af-runner-"))
    device = Device(place, "idle_s = 1")
    process = device.start()
    link = device.link()

    assert process.wait(15) == 0
    link.until(lambda: link.is_over)
    assert link.said[-1] == framing.ENDS
    assert not device.path.exists()
    link.sock.close()
    shutil.rmtree(place)


def test_a_second_runner_leaves_the_first_one_alone(device, relay):
    first = device.process
    second = device.start()

    assert second.wait(15) == 0
    assert first.poll() is None
    device.process = first
    assert relay.run("/bin/echo", "fine")[1] == b"fine\n"


def test_a_socket_that_systemd_listens_on_is_taken_over():
    import socket
    import subprocess
    import sys

    place = Path(tempfile.mkdtemp(prefix="af-runner-"))
    device = Device(place, "idle_s = 1")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(device.path))
    listener.listen()
    # As systemd does it: the socket as descriptor 3, and the process id in the environment.
    code = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
        "os.execv(sys.executable, [sys.executable, '-m', 'annexfleet_agent.runner', '--settings', sys.argv[2]])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(listener.fileno()), str(device.file)],
        pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        link = Link(device.path)
        with link.sock:
            assert isinstance(Relay(device, link).knock(), Challenge)
    finally:
        process.kill()
        process.wait()
        listener.close()

    assert device.path.exists(), "the socket is systemd's"
    shutil.rmtree(place)
