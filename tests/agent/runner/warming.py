"""Runs a recorded module warm, and as Ansible would without us."""

import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.recorded import Wanted

from annexfleet_agent.protocol.envelope import Module
from annexfleet_agent.runner.modules import ModuleCache, unpacked
from annexfleet_agent.runner.warmth import Started, Warm
from annexfleet_controller.rollouts.modules import pack

DEADLINE_S = 30.0


class Outcome(NamedTuple):
    exit_code: int | None
    output: bytes
    errors: bytes

    @property
    def said(self) -> dict[str, Any]:
        return json.loads(self.output)


def surroundings(home: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "USER": "root",
        "LOGNAME": "root", "SHELL": "/bin/sh", "LANG": "C.UTF-8",
    }  # fmt: skip


class Device:
    """A device's cache and warm Pythons."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.home.mkdir(parents=True)
        self.cache = ModuleCache(directory / "modules")
        self.warm = Warm(directory / "warm", environment=surroundings(self.home))

    def archive(self, wanted: Wanted, module: Module | None = None) -> Path:
        """As relay and runner do it: what is missing is packed, sent, unpacked and added."""
        module = module or wanted.module
        missing = self.cache.missing(module)
        if missing:
            for digest, content in unpacked(pack(wanted.split.contents, missing), missing):
                self.cache.add(digest, content)
        return self.cache.archive(module)

    def start(self, wanted: Wanted, module: Module | None = None, **options: Any) -> "Running":
        module = module or wanted.module
        archive = self.archive(wanted, module)
        (output, stdout), (errors, stderr) = os.pipe(), os.pipe()
        try:
            started = self.warm.start(module, archive, stdout, stderr, **options)
        except BaseException:
            os.close(output)
            os.close(errors)
            raise
        finally:
            os.close(stdout)
            os.close(stderr)
        return Running(started, output, errors)

    def run(self, wanted: Wanted, module: Module | None = None, **options: Any) -> Outcome:
        return self.start(wanted, module, **options).outcome()

    def close(self) -> None:
        self.warm.close()


class Running:
    """Reads what a module writes until it has ended."""

    def __init__(self, started: Started, output: int, errors: int) -> None:
        self.started = started
        self._pipes = {output: bytearray(), errors: bytearray()}
        self._events = selectors.DefaultSelector()
        for pipe in self._pipes:
            os.set_blocking(pipe, False)
            self._events.register(pipe, selectors.EVENT_READ)
        self._events.register(started, selectors.EVENT_READ)

    def outcome(self) -> Outcome:
        try:
            code = None
            deadline = time.monotonic() + DEADLINE_S
            while code is None:
                ready = self._events.select(deadline - time.monotonic())
                assert time.monotonic() < deadline, "it did not end"
                for key, _ in ready:
                    if key.fileobj is self.started:
                        code = self.started.exit_code()
                    else:
                        self._read(key.fd)
            for pipe in self._pipes:
                self._read(pipe)
        finally:
            self.close()
        output, errors = self._pipes.values()
        return Outcome(code, bytes(output), bytes(errors))

    def close(self) -> None:
        self._events.close()
        self.started.close()
        for pipe in self._pipes:
            os.close(pipe)

    def _read(self, pipe: int) -> None:
        while True:
            try:
                data = os.read(pipe, 65536)
            except BlockingIOError:
                return
            if not data:
                if pipe in self._events.get_map():
                    self._events.unregister(pipe)
                return
            self._pipes[pipe] += data


def plainly(wanted: Wanted, home: Path) -> Outcome:
    """The command as Ansible sends it, but for the shell around it."""
    call = wanted.call
    done = subprocess.run(
        [call.interpreter], input=wanted.in_data, capture_output=True, check=False, timeout=DEADLINE_S,
        env=surroundings(home) | call.environment, cwd=home, start_new_session=True,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def eventually(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never was so"
        time.sleep(0.01)
