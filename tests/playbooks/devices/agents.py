"""The real agent inside a device: enrolled, started as its service would be, killed."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from tests.playbooks.devices.device import Device

SETTINGS = Path("/etc/annexfleet/agent.toml")
STATE_DIR = Path("/var/lib/annexfleet-agent")
LOG = Path("/var/log/annexfleet-agent.log")
_SERVICE = Path("/usr/local/sbin/start-annexfleet-agent")
_AT_BOOT = Path("/etc/at-boot/annexfleet-agent")
_PROGRAM = f"-m annexfleet_agent --settings {SETTINGS}"


class DeviceAgent:
    """Made by `Device.start_agent`."""

    sample_period_s, beat_period_s = 1, 5
    """Much quicker than in a fleet, so that tests need not wait; a bench sets what is usual."""

    def __init__(self, device: "Device") -> None:
        self._device = device

    def install(self, settings: str, *, at_boot: bool) -> None:
        """Write its settings, and the script that starts it."""
        device = self._device
        periods = f"sample_period_s = {self.sample_period_s}\nbeat_period_s = {self.beat_period_s}\n"
        own = f'[agent]\nstate_dir = "{STATE_DIR}"\n{periods}'
        device.write(SETTINGS, own + settings, mode=0o600)
        exports = "".join(f"export {name}='{value}'\n" for name, value in _environment().items())
        run = f"setsid -f {sys.executable} {_PROGRAM} run >>{LOG} 2>&1 </dev/null"
        device.write(_SERVICE, f"#!/bin/sh\n{exports}exec {run}\n", mode=0o755)
        if at_boot:
            device.run(["sh", "-c", f"mkdir -p {_AT_BOOT.parent} && ln -sf {_SERVICE} {_AT_BOOT}"])

    def enrol(self, token: str) -> None:
        """As a person at the device does it.  AssertionError with its words if the controller refuses."""
        self._device.run(
            [sys.executable, *_PROGRAM.split(), "enrol", "-"], input=token + "\n", environment=_environment()
        )

    @property
    def is_enrolled(self) -> bool:
        return self._device.exists(STATE_DIR / "identity" / "connection.json")

    @property
    def device_id(self) -> str:
        """What the controller calls this device: `d-…`."""
        record = json.loads(self._device.read(STATE_DIR / "identity" / "connection.json"))
        return str(record["device_id"])

    def start(self) -> None:
        self._device.run([_SERVICE])
        self._device.wait_until(lambda: self.pid != 0, "the start of the agent")

    @property
    def pid(self) -> int:
        """The host's number of the resident process; 0 if it does not run."""
        return next(iter(self._device.pids(f"{_PROGRAM} run")), 0)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the resident process alone; returns when it is gone."""
        process = psutil.Process(self.pid)
        process.send_signal(number)
        process.wait(30)

    def stop(self) -> None:
        """An orderly end."""
        self.kill(signal.SIGTERM)

    @property
    def log(self) -> str:
        """What it said since it was installed."""
        return self._device.read(LOG)


def _environment() -> dict[str, str]:
    """What the program needs to be found; the device has the code from the host, which it does not write to."""
    wanted = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "PYTHONDONTWRITEBYTECODE": "1"}
    return {name: value for name, value in wanted.items() if value}
