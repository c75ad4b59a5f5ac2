import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from tests.agent.runner.authority import Made
from tests.agent.runner.relays import Device, Relay

from annexfleet_agent.protocol.channel import Part
from annexfleet_agent.protocol.commands import COMMANDS
from annexfleet_agent.protocol.envelope import Arguments, Request
from annexfleet_agent.runner import acting, diagnostics, framing
from annexfleet_agent.runner.commands import CommandFailed, CommandRefused, Here, plan
from annexfleet_agent.settings import Agent, Runner, Settings


def here(tmp_path, *programs, has_systemd=True, **runner):
    for name in programs:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    return Here(
        settings=Settings(runner=Runner(**runner)), settings_path=None, search=str(tmp_path), has_systemd=has_systemd
    )


class TestPlans:
    def test_every_command_of_the_catalogue_has_one(self, tmp_path):
        where = here(tmp_path, "systemctl", "cancel")
        given = {"unit": "cups.service", "printer": "Lobby", "delay_s": 10, "seconds": 10}

        for name, command in COMMANDS.items():
            made = plan(name, {one.name: given[one.name] for one in command.parameters}, where)
            assert made.argv or made.afterwards or made.watch_s is not None
            assert made.timeout_s == command.timeout_s

    @pytest.mark.parametrize(
        ("has_systemd", "argv"),
        [(True, ["systemctl", "restart", "--", "cups.service"]), (False, ["service", "cups", "restart"])],
    )
    def test_a_service_of_the_settings_is_restarted_by_what_the_system_has(self, tmp_path, has_systemd, argv):
        where = here(tmp_path, "systemctl", "service", has_systemd=has_systemd)

        made = plan("restart_service", {"unit": "cups"}, where)

        assert [Path(made.argv[0]).name, *made.argv[1:]] == argv

    @pytest.mark.parametrize(
        "unit", ["ssh", "ssh.service", "cups.socket", "annexfleet-agent.service", "cups.service.x"]
    )
    def test_another_service_is_refused(self, tmp_path, unit):
        with pytest.raises(CommandRefused, match="not_allowed"):
            plan("restart_service", {"unit": unit}, here(tmp_path, "systemctl"))

    def test_an_installation_may_allow_others(self, tmp_path):
        where = here(tmp_path, "systemctl", services=["portal.service"])

        assert plan("restart_service", {"unit": "portal"}, where).argv
        with pytest.raises(CommandRefused):
            plan("restart_service", {"unit": "cups"}, where)

    @pytest.mark.parametrize(
        ("name", "parameters", "detail"),
        [
            ("shell", {}, "unknown_command"),
            ("restart_service", {}, "missing"),
            ("restart_service", {"unit": "--help"}, "wrong_form"),
            ("restart_service", {"unit": "cups; reboot"}, "wrong_form"),
            ("clear_print_queue", {"printer": "-a"}, "wrong_form"),
            ("clear_print_queue", {"printer": "x", "also": "y"}, "unknown"),
            ("reboot", {"delay_s": 1e9}, "out_of_range"),
            ("reboot", {"delay_s": True}, "wrong_type"),
        ],
    )
    def test_what_is_not_in_the_catalogue_is_refused(self, tmp_path, name, parameters, detail):
        with pytest.raises(CommandRefused, match=detail):
            plan(name, parameters, here(tmp_path, "systemctl", "cancel"))

    def test_a_program_that_is_not_there_fails(self, tmp_path):
        with pytest.raises(CommandFailed, match="no_such_program"):
            plan("clear_print_queue", {"printer": "Lobby"}, here(tmp_path))

    @pytest.mark.parametrize(("delay_s", "sleeps"), [(0, "5"), (90, "90")])
    def test_a_reboot_leaves_time_for_its_receipt(self, tmp_path, delay_s, sleeps):
        made = plan("reboot", {"delay_s": delay_s}, here(tmp_path, "systemctl"))

        assert made.afterwards[-3:] == (sleeps, str(tmp_path / "systemctl"), "reboot")


def test_what_is_left_to_itself_goes_on_in_a_session_of_its_own(tmp_path):
    acting.leave_to_itself(
        ("/bin/sh", "-c", 'sleep "$1"; shift; exec "$@"', "sh", "0", "/bin/sh", "-c", f"ps -o sid= $$ > {tmp_path}/sid")
    )
    os.waitpid(-1, 0)

    assert int((tmp_path / "sid").read_text()) != os.getsid(0)


class TestReceipts:
    """With a real runner."""

    @pytest.fixture
    def device(self):
        place = Path(tempfile.mkdtemp(prefix="af-runner-"))
        made = Device(place)
        made.start()
        yield made
        made.close()
        shutil.rmtree(place)

    def command(self, device, link, name, command_id="c-1", **parameters):
        relay = Relay(device, link)
        arguments = Arguments(command=name, parameters=parameters, request_timeout_s=COMMANDS[name].timeout_s)
        relay.send(Made(device.enrolled, relay.knock(), action="command", command_id=command_id, arguments=arguments))
        return relay

    def test_a_watch_is_handed_to_the_agent_and_has_a_receipt(self, device):
        link = device.link()

        result = self.command(device, link, "watch", seconds=120).result()

        assert (result.receipt, result.error) == ("done", "")
        link.until(link.receipts)
        assert framing.WATCH + b"120.0" in link.said
        assert [(told.command_id, told.outcome) for told in link.receipts()] == [("c-1", "done")]

    def test_a_refusal_of_the_installation_has_a_receipt_too(self, device):
        link = device.link()

        result = self.command(device, link, "restart_service", unit="ssh").result()

        assert (result.receipt, result.detail) == ("refused", "not_allowed")
        link.until(link.receipts)
        assert link.receipts()[0].detail == "not_allowed"

    def test_the_same_command_again_is_not_done_again(self, device):
        link = device.link()
        self.command(device, link, "watch", seconds=100).result()

        result = self.command(device, link, "watch", seconds=100).result()

        assert result.receipt == "done"
        link.until(lambda: len(link.receipts()) == 2)
        assert len([said for said in link.said if said[:1] == framing.WATCH]) == 1

    def test_a_receipt_is_told_until_the_agent_keeps_it(self, device):
        link = device.link()
        self.command(device, link, "watch", seconds=100).result()
        link.until(link.receipts)
        link.sock.close()

        again = device.link()
        again.until(again.receipts)
        again.sock.send(framing.KEPT + b"c-1")
        Relay(device, again).knock()  # its answer says that what came before was heard
        again.sock.close()
        device.kill()
        device.start()
        third = device.link()
        self.command(device, third, "watch", "c-2", seconds=0).result()

        assert [told.command_id for told in third.receipts()] == ["c-2"]

    def test_no_request_can_be_made_in_a_session_of_a_command(self, device):
        relay = self.command(device, device.link(), "watch", seconds=100)
        relay.result()

        number = relay.ask(Request(op="exec", argv=["/bin/true"]), wants_input=False) + 1
        assert number == 2
        relay.put(Part("bye", 0))
        relay.until(lambda: relay.is_bye)
        assert relay.results[1].error == "malformed"

    def test_a_command_that_was_killed_in_the_middle_is_unknown_and_never_repeated(self, device):
        link = device.link()
        relay = self.command(device, link, "diagnostics")
        relay.until(lambda: relay.data[1, "output"], seconds=120)  # it asks apt and more, slowly on a busy machine
        device.kill()

        device.start()
        again = device.link()
        again.until(again.receipts)
        assert [(told.command_id, told.outcome, told.detail) for told in again.receipts()] == [
            ("c-1", "unknown", "interrupted")
        ]
        repeated = self.command(device, again, "diagnostics")
        assert repeated.result().receipt == "unknown"
        assert not repeated.data[1, "output"]

    def test_diagnostics_come_as_an_archive(self, device):
        relay = self.command(device, device.link(), "diagnostics")

        result = relay.result(seconds=120)

        assert (result.receipt, result.exit_code) == ("done", 0), relay.data[1, "errors"]
        with tarfile.open(fileobj=io.BytesIO(relay.data[1, "output"])) as archive:
            names = archive.getnames()
            readings = json.load(archive.extractfile("diagnostics/readings.json"))
        assert {"diagnostics/status.json", "diagnostics/processes.txt", "diagnostics/disks.txt"} <= set(names)
        assert readings


class TestDiagnostics:
    def test_it_is_bounded_and_tells_nothing_of_people(self, tmp_path, monkeypatch):
        secret = f"canary-{os.getpid()}"
        program = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)", secret], env={"SECRET": secret}
        )
        monkeypatch.setattr(
            diagnostics, "_PROGRAMS",
            (
                ("long.txt", ("/bin/sh", "-c", "yes line | head -c 3000000; echo the end")),
                ("printers.txt", ("/bin/sh", "-c", "echo device for Lobby: ipp://user:wo/r@d@10.0.0.9/ipp")),
                ("fails.txt", ("/bin/sh", "-c", "echo wrong >&2; exit 1")),
                ("away.txt", ("/no/such/program",)),
            ),
        )  # fmt: skip
        monkeypatch.setattr(diagnostics, "_readings", lambda _path: b"{}")
        out = io.BytesIO()
        diagnostics.pack(Settings(agent=Agent(state_dir=str(tmp_path))), None, out, now=0)
        program.kill()
        program.wait()

        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
            found = {Path(name).name: archive.extractfile(name).read() for name in archive.getnames()}
        assert len(found["long.txt"]) == diagnostics.MAX_FILE_BYTES
        assert found["long.txt"].endswith(b"the end\n")
        assert found["printers.txt"] == b"device for Lobby: ipp://10.0.0.9/ipp\n"
        assert found["fails.txt"] == b"wrong\n"
        assert b"there is no" in found["away.txt"]
        assert b"python" in found["processes.txt"]
        assert not any(secret.encode() in content for content in found.values())
