"""`annexfleet serve --with-broker` as a real process, for tests."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import psutil
from tests.flow.broker import broker_home

from annexfleet_controller.settings import Home

DEADLINE_S = 90.0


class Serve:
    """The whole controller of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.log = home.path / "serve.log"
        (home.path / "controller.toml").write_text(
            "".join(f"{name} = {json.dumps(value)}\n" for name, value in msgspec.structs.asdict(home.settings).items())
        )
        self.process = self.annexfleet("serve", "--with-broker")

    def annexfleet(self, *argv: str) -> "subprocess.Popen[bytes]":
        """A command of its own process on this home; it ends with the thread that started it, however that ends."""
        program = [sys.executable, "-m", "annexfleet_controller", "--home", str(self.home.path), *argv]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *program],
                stdout=log, stderr=log,
                env={key: value for key, value in os.environ.items() if not key.startswith("ANNEXFLEET_")},
            )  # fmt: skip

    @property
    def parts(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.home.settings.web_port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait_until(self, happened: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
        deadline = time.monotonic() + within_s
        while not happened():
            assert self.process.poll() is None, f"serve ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"{what} did not happen: {self.log.read_text()[-4000:]}"
            time.sleep(0.05)  # real processes are waited for

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


@contextmanager
def running_serve(**settings: object) -> Iterator[Serve]:
    """A controller that is ready; everything ends and vanishes with the block."""
    with broker_home(**settings) as home:
        serve = Serve(home)
        try:
            serve.wait_until(serve.is_ready, "readiness")
            yield serve
        finally:
            serve.stop()
