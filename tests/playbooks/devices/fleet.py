"""A fleet of test devices: real hosts as far as programs can tell, made of namespaces on this one."""

import compileall
import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.house.tree import ROOT
from tests.playbooks.devices import packages
from tests.playbooks.devices.controller import FleetController, running_controller
from tests.playbooks.devices.device import Device, together
from tests.playbooks.devices.ssh import Access, Key

_AGENT = ROOT / "agent" / "annexfleet_agent"
PACKAGES = "/srv/packages"
"""Where a device sees the repository of packages."""
_PROGRAMS = ("ip", "nsenter", "/usr/sbin/sshd", "ssh", "dpkg-deb", "apt-get", "/usr/bin/python3")
_HOLDER = [sys.executable, "-S", "-E", "-s", "-m", "tests.playbooks.devices.holder"]
_START_WITHIN_S = 60.0


@functools.cache
def rights() -> str | None:
    """None if devices can be made here, else why not, as a sentence for the reason of a skip."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "devices for Ansible are made of namespaces, which needs root on Linux"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"devices for Ansible need {', '.join(missing)}"
    with tempfile.TemporaryDirectory(prefix="af-") as directory:
        tried = subprocess.run(
            [*_HOLDER, directory, "--probe"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
    if tried.returncode != 0:
        what = tried.stderr.strip().rpartition("\n")[2]
        return f"devices for Ansible need CAP_SYS_ADMIN, CAP_NET_ADMIN and overlay file systems here: {what}"
    return None


class Fleet:
    """Devices on a bridge of their own.  As a context: all of it is gone at the end, also of a failed test.

    `directory`: for logs (`<number>.log`), keys and packages; must not hold a fleet already.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "fleet"
        self._lock = threading.Lock()
        self._holder: subprocess.Popen[str] | None = None
        self._stack = ExitStack()
        self.devices: list[Device] = []
        self.bridge = self.subnet = ""
        self.holder_pid = 0

    def __enter__(self) -> Self:
        reason = rights()
        if reason:
            raise RuntimeError(reason)
        self._directory.mkdir()
        packages.build(self._directory / "packages")
        self.access = Access(self._directory)
        self._holder = subprocess.Popen(
            [*_HOLDER, self._directory, self.access.controls],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            told = self._listen()
        except BaseException:
            self.stop()
            raise
        self.holder_pid, self.bridge, self.subnet = told["pid"], told["bridge"], told["subnet"]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def gateway(self) -> str:
        """The host's own address on the bridge, by which devices reach it."""
        return f"{self.subnet}.1"

    # -- devices -----------------------------------------------------------------------------------------------------

    def start(self, count: int, *, disk_mib: int = 512) -> list[Device]:
        """Switch on so many new devices; returns when each one's sshd answers.

        `disk_mib`: how much a device may write, in MiB of memory.  Raises RuntimeError, with a device's last words.
        """
        first = len(self.devices) + 1
        new = [self._device(number) for number in range(first, first + count)]
        self.devices += new
        self.access.write(self.devices)
        self.ask({"do": "start", "specs": [self._spec(device, disk_mib) for device in new]})
        for device in new:
            device.wait_for_ssh()
        return new

    def _device(self, number: int) -> Device:
        return Device(self, number, name=f"counter-{number:02}", address=f"{self.subnet}.{10 + number}", host_key=Key())

    def _spec(self, device: Device, disk_mib: int) -> dict[str, Any]:
        return {
            "number": device.number,
            "name": device.name,
            "address": device.address,
            "gateway": self.gateway,
            "machine_id": secrets.token_hex(16),
            "host_key": device.host_key.private,
            "authorized_key": self.access.key.public,
            "packages": PACKAGES,
            "seen": {str(self._directory / "packages"): PACKAGES, **_shadowed()},
            "at_boot": '#!/bin/sh\nfor service in /etc/at-boot/*; do [ -x "$service" ] && "$service"; done\n',
            "disk_mib": disk_mib,
        }

    def start_agents(
        self, controller: FleetController, devices: Sequence[Device] | None = None, settings: str = ""
    ) -> None:
        """Enrol these devices (all) and start their agents, some beside each other; returns when all are online."""
        chosen = list(self.devices if devices is None else devices)
        token = controller.token(max_devices=len(chosen))
        # As an installation does it; without, each start of a runner would compile what it imports.
        compileall.compile_dir(_AGENT, quiet=2)
        together(lambda device: device.start_agent(controller, token=token, settings=settings), chosen)
        controller.wait_until_online([device.agent.device_id for device in chosen if device.agent])

    # -- the controller ----------------------------------------------------------------------------------------------

    def controller(self, **settings: object) -> FleetController:
        """A whole controller on the bridge's address; it ends with the fleet.  `settings` as in controller.toml."""
        return self._stack.enter_context(running_controller(self.gateway, **settings))

    # -- SSH ---------------------------------------------------------------------------------------------------------

    def inventory(self, devices: Sequence[Device] | None = None) -> Path:
        """An inventory file for Ansible over SSH with pipelining and shared connections."""
        return self.access.inventory(self.devices if devices is None else devices)

    # -- the holder --------------------------------------------------------------------------------------------------

    def ask(self, words: dict[str, Any]) -> dict[str, Any]:
        """A request to the holder (`holder.py`).  Raises RuntimeError if it could not do it."""
        with self._lock:
            assert self._holder is not None, "the fleet is not running"
            assert self._holder.stdin is not None
            try:
                self._holder.stdin.write(json.dumps(words) + "\n")
                self._holder.stdin.flush()
            except BrokenPipeError:
                raise RuntimeError("the holder of the devices has ended") from None
            answer = self._listen()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def _listen(self) -> dict[str, Any]:
        assert self._holder is not None
        assert self._holder.stdout is not None
        line = self._holder.stdout.readline()
        if not line:
            raise RuntimeError("the holder of the devices has ended")
        told: dict[str, Any] = json.loads(line)
        return told

    def stop(self) -> None:
        """End everything; harmless when it was done already."""
        try:
            self._stack.close()
        finally:
            holder, self._holder = self._holder, None
            if holder is not None:
                assert holder.stdin is not None
                assert holder.stdout is not None
                with contextlib.suppress(BrokenPipeError):
                    holder.stdin.close()  # this is what it waits for
                try:
                    holder.wait(_START_WITHIN_S)
                finally:
                    holder.kill()
                    holder.wait()
                    holder.stdout.close()
                    shutil.rmtree(self.access.controls, ignore_errors=True)  # it did so, unless it was killed


def _shadowed() -> dict[str, str]:
    """What of this program a device would not see by itself: what lies on another disk, or where it has its own."""
    shown: dict[str, str] = {}
    for path in sorted({ROOT, Path(sys.prefix), Path(sys.base_prefix)}):
        hidden = path.parts[1] in ("root", "home", "tmp", "run", "dev") or path.stat().st_dev != Path("/").stat().st_dev
        if hidden and not any(path.is_relative_to(already) for already in shown):
            shown[str(path)] = str(path)
    return shown
