"""The process that holds a fleet: its bridge, the disks of its devices, and their first processes as children.

It reads a JSON object a line from its standard input and answers with one.  When that input ends, which it also does
when whoever started it was killed, everything goes: devices, disks, bridge.  (The kernel's signal at a parent's death
comes when the parent's *thread* ends; so the holder waits for the end of its input, and only devices use the signal.)
Disks lie on tmpfs in a mount namespace of the holder's own: they survive a device's reboot and nothing else.
Standard library only, run with `python -S -E -s -m`.
"""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from tests.playbooks.devices import inside, kernel

SUBNETS = [f"10.{second}.{third}" for second in (213, 214) for third in range(256)]
PREFIX = "afb"
"""A bridge's name ends with its holder's process id, so that what a killed one left behind is known."""
_BOOT_WITHIN_S = 60.0


class Device:
    """What the holder knows of one."""

    def __init__(self, spec: dict[str, Any], disk: str) -> None:
        self.spec, self.disk = spec, disk
        self.pid = 0
        """Of its process 1, as the host counts; 0 while it is off."""
        self.boots = 0
        self.ended_by = 0
        """The signal that ended it last; SIGHUP if it asked for a reboot, SIGINT if for power off."""


class Holder:
    def __init__(self, directory: str, controls: str) -> None:
        self.directory = directory
        self.controls = controls
        """The directory of sockets of shared SSH connections; removed at the end."""
        self.devices: dict[int, Device] = {}
        self.bridge = f"{PREFIX}{os.getpid()}"
        self._pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._subnet_kept: socket.socket | None = None
        self.subnet = ""

    # -- the network -------------------------------------------------------------------------------------------------

    def open_network(self) -> None:
        sweep()
        self.subnet = self._free_subnet()
        _ip(
            f"link add {self.bridge} type bridge",
            f"addr add {self.subnet}.1/24 dev {self.bridge}",
            f"link set {self.bridge} up",
        )

    def _free_subnet(self) -> str:
        taken = subprocess.run(["ip", "-o", "-4", "route"], capture_output=True, text=True, check=True).stdout
        first = os.getpid() % len(SUBNETS)
        for subnet in SUBNETS[first:] + SUBNETS[:first]:
            if f"{subnet}." in taken:
                continue
            # An abstract name lives in the network namespace, as the subnet does, and dies with this process.
            keeper = socket.socket(socket.AF_UNIX)
            try:
                keeper.bind(f"\0annexfleet-test-devices-{subnet}")
            except OSError:
                keeper.close()
                continue
            self._subnet_kept = keeper
            return subnet
        raise RuntimeError("every subnet for test devices is taken")

    def port(self, number: int) -> str:
        """The host's end of a device's cable."""
        return f"af{os.getpid()}p{number}"

    # -- what is asked -----------------------------------------------------------------------------------------------

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.look_after_the_ended()
        match asked["do"]:
            case "start":
                for spec in asked["specs"]:
                    self.devices[spec["number"]] = self._new(spec)
                self.boot([self.devices[spec["number"]] for spec in asked["specs"]])
            case "boot":
                device = self.devices[asked["number"]]
                if not device.pid:
                    self.boot([device])
            case "kill":
                self._kill(self.devices[asked["number"]])
            case "tell":
                pass
        return {
            "devices": {n: {"pid": d.pid, "boots": d.boots, "ended_by": d.ended_by} for n, d in self.devices.items()}
        }

    def _new(self, spec: dict[str, Any]) -> Device:
        disk = f"{self.directory}/disks/{spec['number']}"
        Path(disk).mkdir(parents=True)
        kernel.mount("tmpfs", disk, "tmpfs", kernel.NO_DEVICES, f"mode=755,size={spec['disk_mib']}m")
        inside.prepare_disk(disk)
        return Device(spec, disk)

    def boot(self, devices: list[Device]) -> None:
        """Switch these on; returns when each has started its sshd.  Raises RuntimeError with what it said last."""
        births = [self._fork(device) for device in devices]
        for birth in births:
            birth.hear(b"n")
        _ip(*(step for birth in births for step in self._cable(birth.device)))
        for birth in births:
            birth.go_on()
        for birth in births:
            birth.hear(b"u")
            birth.close()

    def _cable(self, device: Device) -> list[str]:
        number = device.spec["number"]
        port, mac = self.port(number), "02:af:{1:02x}:{2:02x}:00:{0:02x}".format(
            number, *map(int, self.subnet.split(".")[1:])
        )  # fmt: skip
        return [
            f"link add name {port} type veth peer name eth0 address {mac} netns {device.pid}",
            f"link set {port} master {self.bridge} up",
        ]

    def _fork(self, device: Device) -> "Birth":
        birth = Birth(device, f"{self.directory}/{device.spec['number']}.log")
        kernel.unshare(kernel.NEW_PIDS)
        try:
            device.pid = os.fork()
            if device.pid == 0:
                birth.be_born()
        finally:
            kernel.enter(self._pids, kernel.NEW_PIDS)  # later children are the host's again
        device.boots += 1
        birth.forked()
        return birth

    def _kill(self, device: Device) -> None:
        if not device.pid:
            return
        # First the cable: a device without power says no goodbye.
        _ip(f"link del {self.port(device.spec['number'])}", check=False)
        os.kill(device.pid, signal.SIGKILL)
        os.waitpid(device.pid, 0)
        device.pid, device.ended_by = 0, int(signal.SIGKILL)

    def look_after_the_ended(self) -> None:
        """Switch on again what asked for a reboot."""
        again = []
        for device in self.devices.values():
            if device.pid and (ended := os.waitpid(device.pid, os.WNOHANG))[0]:
                device.pid, device.ended_by = 0, os.WTERMSIG(ended[1])
                _ip(f"link del {self.port(device.spec['number'])}", check=False)
                if device.ended_by == signal.SIGHUP:
                    again.append(device)
        if again:
            self.boot(again)

    def close(self) -> None:
        self._let_go_of_shared_connections()
        running = [device for device in self.devices.values() if device.pid]
        for device in running:
            os.kill(device.pid, signal.SIGKILL)
        for device in running:
            os.waitpid(device.pid, 0)
        _ip(*(f"link del {self.port(device.spec['number'])}" for device in running), check=False)
        _ip(f"link del {self.bridge}", check=False)

    def _let_go_of_shared_connections(self) -> None:
        """Those that `ssh` keeps open for later commands would outlive the devices by a minute."""
        for control in Path(self.controls).glob("*"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                end = ["ssh", "-F", "none", "-S", control, "-O", "exit", "any"]
                subprocess.run(end, check=False, capture_output=True, timeout=5)
        shutil.rmtree(self.controls, ignore_errors=True)


class Birth:
    """The talk with a first process until it stands by itself."""

    def __init__(self, device: Device, log: str) -> None:
        self.device = device
        self._log = log
        self._heard, self._says = os.pipe()
        self._waits, self._tells = os.pipe()

    def be_born(self) -> NoReturn:
        """In the child: become the device."""
        try:
            kernel.die_with_parent()
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            self._let_go_of_the_holders_files()
            kernel.name_process("device-init")
            kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_HOSTNAME | kernel.NEW_IPC | kernel.NEW_NETWORK)
            os.write(self._says, b"n")
            inside.live(
                self.device.spec,
                self.device.disk,
                wired=lambda: _demand(os.read(self._waits, 1) == b"g"),
                up=lambda: _demand(os.write(self._says, b"u") == 1),
            )
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def _let_go_of_the_holders_files(self) -> None:
        nothing = os.open("/dev/null", os.O_RDONLY)
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        kept = {self._says, self._waits}
        highest = max(kept)
        for number in range(3, highest):
            if number not in kept:
                with contextlib.suppress(OSError):
                    os.close(number)
        os.closerange(highest + 1, 1024)

    def forked(self) -> None:
        os.close(self._says)
        os.close(self._waits)

    def hear(self, word: bytes) -> None:
        ready = select.select([self._heard], [], [], _BOOT_WITHIN_S)[0]
        if not ready or os.read(self._heard, 1) != word:
            said = Path(self._log).read_text("utf-8", "replace") if Path(self._log).exists() else ""
            raise RuntimeError(f"{self.device.spec['name']} does not start: {said[-2000:]}")

    def go_on(self) -> None:
        os.write(self._tells, b"g")

    def close(self) -> None:
        os.close(self._tells)
        os.close(self._heard)


def _demand(done: bool) -> None:
    if not done:
        raise RuntimeError("the holder is gone")


def _ip(*steps: str, check: bool = True) -> None:
    """Change the network; with `check` false what cannot be done is left."""
    argv = ["ip", "-batch", "-"] if check else ["ip", "-force", "-batch", "-"]
    done = subprocess.run(
        argv, input="".join(f"{step}\n" for step in steps), capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"ip: {done.stderr}")


def sweep() -> None:
    """Remove bridges of holders that were killed so hard that they could not do it themselves."""
    shown = subprocess.run(["ip", "-o", "link", "show", "type", "bridge"], capture_output=True, text=True, check=True)
    for name, pid in re.findall(rf"^\d+: ({PREFIX}(\d+)):", shown.stdout, re.MULTILINE):
        if not Path(f"/proc/{pid}").exists():
            _ip(f"link del {name}", check=False)


def probe(directory: str) -> None:
    """Try everything that a device needs, once.  Raises OSError or RuntimeError."""
    kernel.mount("tmpfs", directory, "tmpfs", 0, "size=4m")
    inside.prepare_disk(directory)
    layers = f"lowerdir=/,upperdir={directory}/upper,workdir={directory}/work"
    kernel.mount("overlay", f"{directory}/whole", "overlay", 0, layers)
    kernel.unshare(kernel.NEW_HOSTNAME | kernel.NEW_IPC | kernel.NEW_NETWORK | kernel.NEW_PIDS)
    pid = os.fork()
    if pid == 0:
        try:
            kernel.mount("proc", f"{directory}/whole/proc", "proc")
            _ip("link add afprobe type bridge", "link add afp0 type veth peer name afp1")
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        raise RuntimeError("a new network or /proc")


def main() -> None:
    directory = sys.argv[1]
    os.umask(0o022)
    kernel.unshare(kernel.NEW_MOUNTS)
    kernel.mount("", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    if sys.argv[2:] == ["--probe"]:
        try:
            probe(directory)
        except (OSError, RuntimeError) as error:
            sys.exit(str(error))
        return
    holder = Holder(directory, sys.argv[2])
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    ends: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda number, _: ends.append(number))
    try:
        holder.open_network()
        _say({"pid": os.getpid(), "bridge": holder.bridge, "subnet": holder.subnet})
        _listen(holder, woken, ends)
    finally:
        holder.close()


def _listen(holder: Holder, woken: int, ends: list[int]) -> None:
    rest = b""
    while not ends:
        readable = select.select([0, woken], [], [])[0]
        if woken in readable:
            os.read(woken, 4096)
            holder.look_after_the_ended()
        if 0 in readable:
            chunk = os.read(0, 1 << 20)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                began = time.monotonic()
                try:
                    answer = holder.answer(json.loads(line))
                except (OSError, RuntimeError) as error:
                    answer = {"error": str(error)}
                _say({**answer, "took_s": time.monotonic() - began})


def _say(words: dict[str, Any]) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")  # below PIPE_BUF or not, there is one reader


if __name__ == "__main__":
    main()
