"""Puts a relay together and runs it: for one run, or for the console."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from annexfleet_agent.protocol.envelope import Challenge
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.identity.signer import Request
from annexfleet_controller.identity.unix_streams import listening
from annexfleet_controller.rollouts.dispatch import Attachments, Commands, Sessions
from annexfleet_controller.rollouts.relay.admission import Admission, ConsoleAdmission, RunAdmission
from annexfleet_controller.rollouts.relay.background import Background
from annexfleet_controller.rollouts.relay.link import Link
from annexfleet_controller.rollouts.relay.process import Relay
from annexfleet_controller.rollouts.relay.session import Session
from annexfleet_controller.rollouts.relay.signing import Asker, Sign
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import open_database

log = logging.getLogger(__name__)


def run_directory(home: Home, run_id: int) -> Path:
    return home.path / "runs" / str(run_id)


def run_socket(home: Home, run_id: int) -> Path:
    """Where the plugin finds the relay of a run (`ANNEXFLEET_RELAY`)."""
    return run_directory(home, run_id) / "relay.sock"


def attachments_directory(home: Home) -> Path:
    """Where the files lie that commands brought."""
    return home.path / "diagnostics"


def console_socket(home: Home) -> Path:
    return home.path / "relay" / "console.sock"


def _commands(home: Home, relay: Relay, background: Background, engine: Engine, clock: Clock) -> Commands:
    def new(device_id: str, request: Callable[[Challenge], Request]) -> Session:
        return relay.new_session(device_id, request, is_command=True)

    def forget(session: Session, now: float, says_so: bool) -> None:
        relay.forget(session, now, says_so=says_so)

    lent = Sessions(new=new, forget=forget, background=background, mono=clock.mono)
    return Commands(engine, lent, Attachments(attachments_directory(home)), clock)


def run(
    home: Home, stop: threading.Event, *, run_id: int | None = None, sign: Sign | None = None, clock: Clock = SYSTEM
) -> None:
    """Serve one run, or without `run_id` the console, until `stop` is set.

    Raises RunUnknown, and SettingsWrong if the broker was never set up.
    """
    password = home.path / "secrets" / "controller.password"
    if not password.exists():
        raise SettingsWrong(f"{password} is missing: the broker is not set up for this home")
    path = console_socket(home) if run_id is None else run_socket(home, run_id)
    engine = open_database(home.database_url)
    background = Background()
    try:

        def admission(relay: Relay) -> Admission:
            if run_id is None:
                return ConsoleAdmission(engine, background, relay.over, clock)
            return RunAdmission(engine, background, relay.over, run_id, clock)

        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with listening(path) as listener:
            listener.setblocking(False)
            relay = Relay(
                admit=admission,
                link=lambda filters: Link(home.broker_socket, password, filters),
                listener=listener,
                background=background,
                sign=sign or Asker(home, stop),
                mono=clock.mono,
            )
            if run_id is None:
                relay.lodger = _commands(home, relay, background, engine, clock)
            log.info("the relay listens socket=%s channel=%s pid=%s", path, relay.channel, os.getpid())
            try:
                relay.run(stop)
            finally:
                relay.figures.write(path.parent)
    finally:
        background.close()
        engine.dispose()
