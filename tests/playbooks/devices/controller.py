"""A whole controller that devices of a fleet can reach, with an annex, people and their keys."""

import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from sqlalchemy import Engine
from tests.flow.broker import broker_home
from tests.flow.enrolling import ANNEX, new_annex, new_token
from tests.flow.serving import Serve

from annexfleet_controller.access import users
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.settings import Home
from annexfleet_controller.store import database, people

PEOPLE = ("technician", "operator")
"""One person of each role, named like it; both see the whole province."""
READY_WITHIN_S = 120.0
"""Eight processes import their code, on a machine that may be under load."""


class FleetController:
    """Made by `Fleet.controller`; `serve` is the process, `home` its directory."""

    annex_id = ANNEX

    def __init__(self, serve: Serve, engine: Engine) -> None:
        self.serve = serve
        self.home: Home = serve.home
        self.engine = engine
        self.url = f"http://127.0.0.1:{self.home.settings.web_port}"
        new_annex(engine)
        self.keys: dict[str, str] = {}
        """Role -> bearer key for the API."""
        for role in PEOPLE:
            users.create(engine, role, role, now=SYSTEM.now())
            with database.writing(engine) as db:
                user = people.get(db, role)
                # Who still has a one-time password may do nothing else than change it.
                people.set_password(db, user.id, user.password_hash, must_change=False)
            self.keys[role] = users.create_key(engine, role, "tests", now=SYSTEM.now())

    def kill(self) -> None:
        """End `serve` with all its parts and the broker at once (-9); the processes of runs are not among them."""
        main = psutil.Process(self.serve.process.pid)
        parts = [main, *main.children()]
        for process in parts:
            process.kill()
        self.serve.process.wait()
        psutil.wait_procs(parts, timeout=30)

    def restart(self) -> None:
        """Start `serve` again; returns when it is ready."""
        self.serve.process = self.serve.annexfleet("serve", "--with-broker")
        self.serve.wait_until(self.serve.is_ready, "readiness", READY_WITHIN_S)

    def token(self, *, max_devices: int = 1) -> str:
        """Leave for so many devices to enrol in the annex."""
        return new_token(self.engine, self.home, max_devices=max_devices)

    def ask(self, path: str, *, role: str = "operator", method: str = "GET", body: object = None) -> Any:
        """An answer of the API as Python's objects.  Raises urllib.error.HTTPError."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.keys[role]}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def devices(self) -> list[dict[str, Any]]:
        """The devices of the annex as the API tells them: `id`, `name`, `presence`, …"""
        items: list[dict[str, Any]] = self.ask("devices?limit=500")["items"]
        return items

    def wait_until(self, happened: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
        """Poll; AssertionError with the end of the controller's log when the time is over."""
        self.serve.wait_until(happened, what, within_s)

    def wait_until_online(self, device_ids: Sequence[str]) -> None:
        self.wait_until(lambda: set(device_ids) <= self._online(), f"presence of {', '.join(device_ids)}")

    def _online(self) -> set[str]:
        return {device["id"] for device in self.devices() if device["presence"] == "online"}


@contextmanager
def running_controller(host: str, **settings: object) -> Iterator[FleetController]:
    """A controller that is ready, for devices that reach it at this address; ended and removed with the block."""
    with broker_home(**{"broker_host": host, "enrol_host": host, **settings}) as home:
        serve = Serve(home)
        engine = database.open_database(home.database_url)
        try:
            serve.wait_until(serve.is_ready, "readiness", READY_WITHIN_S)
            yield FleetController(serve, engine)
        finally:
            engine.dispose()
            serve.stop()
            _end_runs(str(home.path))


def _end_runs(home: str) -> None:
    """Runs go on when their controller ends; those of a test that failed must not."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(home in word for word in process.cmdline()):
                process.kill()
