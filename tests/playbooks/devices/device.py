"""One device of a fleet, as tests handle it from outside."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

if TYPE_CHECKING:
    from tests.playbooks.devices.agents import DeviceAgent
    from tests.playbooks.devices.controller import FleetController
    from tests.playbooks.devices.fleet import Fleet
    from tests.playbooks.devices.ssh import Key

DEADLINE_S = 30.0
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


class Traffic(NamedTuple):
    """Of one device, as it sees it."""

    received_bytes: int
    sent_bytes: int


class Device:
    """Made by `Fleet.start`."""

    def __init__(self, fleet: "Fleet", number: int, *, name: str, address: str, host_key: "Key") -> None:
        self._fleet = fleet
        self.number = number
        self.name = name
        self.address = address
        self.host_key = host_key
        self.agent: DeviceAgent | None = None

    # -- power and cable ---------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The host's number of its process 1; 0 while it is off."""
        return int(self._state()["pid"])

    @property
    def boots(self) -> int:
        """How often it was switched on, its own reboots included."""
        return int(self._state()["boots"])

    def _state(self, ask: str = "tell") -> dict[str, Any]:
        state: dict[str, Any] = self._fleet.ask({"do": ask, "number": self.number})["devices"][str(self.number)]
        return state

    def kill(self) -> None:
        """A power cut: nobody hears a goodbye.  The disk keeps what was written."""
        self._state("kill")

    def power_on(self) -> None:
        """As the button does it; returns when its sshd answers."""
        self._state("boot")
        self.wait_for_ssh()

    def reboot(self) -> None:
        """A power cut and a new start, with a new boot id.  (`reboot` run inside works as well.)"""
        self.kill()
        self.power_on()

    @property
    def _port(self) -> str:
        """The host's end of its cable (`Holder.port`)."""
        return f"af{self._fleet.holder_pid}p{self.number}"

    def link(self, *, up: bool) -> None:
        """Plug the network cable in, or pull it out."""
        subprocess.run(["ip", "link", "set", self._port, "up" if up else "down"], check=True)

    @contextmanager
    def slow_line(self, *, kbit: int) -> Iterator[None]:
        """What goes to the device goes no faster than this (kbit/s) for as long as the block lasts."""
        queue = ["tbf", "rate", f"{kbit}kbit", "burst", "16kb", "latency", "400ms"]
        subprocess.run(["tc", "qdisc", "add", "dev", self._port, "root", *queue], check=True)
        try:
            yield
        finally:
            subprocess.run(["tc", "qdisc", "del", "dev", self._port, "root"], check=False)

    def traffic(self) -> Traffic:
        """What went over its cable since it was switched on, packets' headers included."""
        statistics = Path("/sys/class/net", self._port, "statistics")
        return Traffic(
            received_bytes=int((statistics / "tx_bytes").read_text()),
            sent_bytes=int((statistics / "rx_bytes").read_text()),
        )

    def wait_for_ssh(self) -> None:
        self.wait_until(self._answers, "an answer of sshd")

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, 22), timeout=1) as probe:
                return probe.recv(4) == b"SSH-"
        except OSError:
            return False

    def wait_until(self, happened: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
        deadline = time.monotonic() + within_s
        while not happened():
            assert time.monotonic() < deadline, f"{what} did not happen on {self.name}"
            time.sleep(0.02)  # real processes are waited for

    # -- inside ------------------------------------------------------------------------------------------------------

    def argv(self, *command: str | Path) -> list[str]:
        """What the host runs so that this runs inside."""
        pid = self.pid
        assert pid, f"{self.name} is off"
        into = ("--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd")
        return ["nsenter", "--target", str(pid), *into, "--", *map(str, command)]

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        input: str | None = None,  # noqa: A002  # as subprocess calls it
        check: bool = True,
        timeout_s: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as root, to its end.  With `check`, a failure is an AssertionError with what it said."""
        return _run(
            self.argv(*argv), words=input, check=check, timeout_s=timeout_s,
            environment={**ENVIRONMENT, **(environment or {})},
        )  # fmt: skip

    def write(self, path: str | Path, text: str, *, mode: int = 0o644) -> None:
        """A file with its directories."""
        script = 'umask 022; mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
        self.run(["sh", "-c", script, "sh", path, f"{mode:o}"], input=text)

    def read(self, path: str | Path) -> str:
        """A file's text; AssertionError if it is not there."""
        return self.run(["cat", path]).stdout

    def exists(self, path: str | Path) -> bool:
        return self.run(["test", "-e", path], check=False).returncode == 0

    @property
    def boot_id(self) -> str:
        return self.read("/proc/sys/kernel/random/boot_id").strip()

    def pids(self, matching: str = "") -> list[int]:
        """The host's numbers of its processes whose command line holds this text, for `os.kill` and psutil."""
        return [process.pid for process in self.processes() if matching in _command_line(process)]

    def processes(self) -> list[psutil.Process]:
        """Everything that runs inside, process 1 first."""
        pid = self.pid
        if not pid:
            return []
        inside = Path(f"/proc/{pid}/ns/pid").readlink()
        found = []
        for process in psutil.process_iter():
            try:
                if Path(f"/proc/{process.pid}/ns/pid").readlink() == inside:
                    found.append(process)
            except OSError:
                continue
        return sorted(found, key=lambda process: (process.pid != pid, process.pid))

    def cpu_s(self) -> float:
        """Processor time that the device used since it was switched on, ended processes included.

        A program that `run` started counts only as long as it runs, for its time goes to this process.
        """
        total = 0.0
        for process in self.processes():
            try:
                total += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
        return total

    # -- the agent ---------------------------------------------------------------------------------------------------

    def start_agent(
        self, controller: "FleetController", *, token: str = "", settings: str = "", at_boot: bool = True
    ) -> "DeviceAgent":
        """Enrol the real agent and start it as root; it also starts at each boot unless told otherwise.

        `settings`: more of agent.toml, such as sections.  A device that is enrolled already is only started.
        """
        from tests.playbooks.devices.agents import DeviceAgent

        self.agent = self.agent or DeviceAgent(self)
        self.agent.install(settings, at_boot=at_boot)
        if not self.agent.is_enrolled:
            self.agent.enrol(token or controller.token())
        self.agent.start()
        return self.agent


def together(do: Callable[[Device], object], devices: Iterable[Device]) -> None:
    """Do it for each device, a few beside each other; the first error is raised at the end."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done in [pool.submit(do, device) for device in devices]:
            done.result()


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _run(
    argv: list[str],
    *,
    words: str | None,
    check: bool,
    timeout_s: float,
    environment: Mapping[str, str],
) -> subprocess.CompletedProcess[str]:
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL if words is None else subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=dict(environment),
    )  # fmt: skip
    try:
        stdout, stderr = process.communicate(words, timeout=timeout_s)
    except BaseException:
        # The child inside first: nsenter then reaps it, else it would keep its namespace from ending.
        for child in psutil.Process(process.pid).children(recursive=True):
            child.send_signal(signal.SIGKILL)
        process.kill()
        process.communicate()
        raise
    done = subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)
    said = f"{stdout[-2000:]}{stderr[-2000:]}"
    assert not check or done.returncode == 0, f"{argv[-3:]} ended with {done.returncode}: {said}"
    return done
