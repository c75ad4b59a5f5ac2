#!/usr/bin/python3
"""Puts a new agent in force, and the old one back if the new one does not say hello in time.

    switch.py HOME VERSION DEADLINE_S SETTLE_S KEPT SETTINGS RESTART-COMMAND...

It runs on the device, apart from the connection that asked for it and from the agent that it replaces.  What became of
it stands in HOME/update-VERSION.json: `state` is `switching`, `updated`, `returned` or `stranded`.  A reboot in between
leaves either the old or the new link in force; the file then says `switching`, and the role puts it right.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

_LOOK_EVERY_S = 2.0
_COMMAND_S = 60.0


class Switch:
    def __init__(self, arguments):
        home, version, deadline_s, settle_s, kept, settings, *restart = arguments
        self.home = Path(home)
        self.version = version
        self.deadline_s = float(deadline_s)
        self.settle_s = float(settle_s)
        self.kept = int(kept)
        self.settings = ["--settings", settings] if settings else []
        self.restart_command = restart or ["systemctl", "restart", "annexfleet-agent.service"]
        self.before = self._version_of("current")

    def run(self):
        self._tell("switching")
        time.sleep(self.settle_s)
        self._put_in_force(self.version)
        reason = self._start_and_look(self.version, self.deadline_s)
        if not reason:
            self._forget_old()
            self._tell("updated")
        elif not self.before:
            self._tell("stranded", reason)
        else:
            self._put_in_force(self.before)
            again = self._start_and_look(self.before, self.deadline_s)
            self._tell("stranded" if again else "returned", f"{reason}; the old one: {again}" if again else reason)

    def _put_in_force(self, version):
        """In one step, so that a power cut leaves the one or the other."""
        draft = self.home / ".current"
        draft.unlink(missing_ok=True)
        draft.symlink_to(Path("versions") / version)
        draft.replace(self.home / "current")
        programs = self.home / "bin"
        if not programs.exists():  # the fixed name, which the unit file knows
            programs.unlink(missing_ok=True)
            programs.symlink_to("current/bin")
        descriptor = os.open(self.home, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def _start_and_look(self, version, within_s):
        """Empty, or why this version does not serve."""
        since = time.time()
        deadline = time.monotonic() + within_s
        try:
            ended = subprocess.run(  # noqa: S603  # what the administrator said
                self.restart_command, timeout=_COMMAND_S, capture_output=True, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"it could not be started: {error}"[:300]
        if ended.returncode:
            return f"it could not be started: {ended.stderr.decode(errors='replace').strip()}"[:300]
        seen = "it never said how it is"
        while time.monotonic() < deadline:
            status = self._status()
            if status:
                seen = f"version {status.get('agent_version')} is {status.get('link')}"
                newly = float(status.get("started_at") or 0) >= since - 2
                if newly and status.get("agent_version") == version and status.get("link") == "connected":
                    return ""
            time.sleep(_LOOK_EVERY_S)
        return f"no hello within {within_s:.0f} s: {seen}"

    def _status(self):
        program = self.home / "current" / "bin" / "annexfleet-agent"
        try:
            asked = subprocess.run(  # noqa: S603
                [program, *self.settings, "status", "--json"], timeout=_COMMAND_S, capture_output=True, check=False
            )
            found = json.loads(asked.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return {}
        return found if isinstance(found, dict) and found.get("running", True) else {}

    def _version_of(self, link):
        try:
            return (self.home / link).readlink().name
        except OSError:
            return ""

    def _forget_old(self):
        """All but the newest few that are not in force."""
        versions = self.home / "versions"
        old = [place for place in versions.iterdir() if place.name != self.version and not place.is_symlink()]
        for place in sorted(old, key=lambda place: place.stat().st_mtime, reverse=True)[self.kept :]:
            shutil.rmtree(place, ignore_errors=True)

    def _tell(self, state, reason=""):
        words = {"version": self.version, "before": self.before, "state": state, "reason": reason, "at": time.time()}
        draft = self.home / f".update-{self.version}"
        draft.write_text(json.dumps(words))
        draft.replace(self.home / f"update-{self.version}.json")


if __name__ == "__main__":
    Switch(sys.argv[1:]).run()
