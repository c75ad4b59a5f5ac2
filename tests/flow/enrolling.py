"""The enrolment listener for tests: the real application, over real TLS, on a free port."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import uvicorn
from sqlalchemy import Engine

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.identity import authority, tokens
from annexfleet_controller.identity.enrol_app import create_enrol
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.places import Annex

ANNEX = "berkane-1"
DEADLINE_S = 20.0


def url(home: Home) -> str:
    return f"https://{home.settings.enrol_host}:{home.settings.enrol_port}"


def new_annex(engine: Engine, annex_id: str = ANNEX) -> None:
    with writing(engine) as db:
        db.add(Annex(id=annex_id, name_fr="Annexe 1", name_ar="الملحقة 1", created_at=SYSTEM.now()))


def new_token(
    engine: Engine,
    home: Home,
    *,
    max_devices: int = 1,
    role: str = "counter",
    lifetime: timedelta = tokens.LIFETIME,
    clock: Clock = SYSTEM,
) -> str:
    """A token for `ANNEX`, which must be there."""
    now = clock.now()
    with writing(engine) as db:
        return tokens.create(
            db,
            ANNEX,
            role=role,
            max_devices=max_devices,
            expires_at=now + lifetime,
            created_by="test",
            enrol_url=url(home),
            authority_pin=authority.load(home).pin,
            now=now,
        )


@contextmanager
def enrolment_served(home: Home, engine: Engine, *, clock: Clock = SYSTEM) -> Iterator[str]:
    """The listener's address while the block lasts."""
    certificate, key = authority.service_files(home)
    config = uvicorn.Config(
        create_enrol(home, engine=engine, clock=clock),
        host=home.settings.enrol_host,
        port=home.settings.enrol_port,
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        log_level="warning",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + DEADLINE_S
    while not server.started:
        assert thread.is_alive(), "the listener ended"
        assert time.monotonic() < deadline, "the listener did not start"
        time.sleep(0.01)
    try:
        yield url(home)
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)


def agent(command: str, *arguments: str, state_dir: Path, more: str = "") -> subprocess.CompletedProcess[str]:
    """Run `annexfleet-agent enrol`, `renew` and the like as a person would; `more` goes into its settings."""
    settings = state_dir / "agent.toml"
    state_dir.mkdir(exist_ok=True)
    settings.write_text(f'[agent]\nstate_dir = "{state_dir}"\n{more}')
    program = [sys.executable, "-m", "annexfleet_agent", "--settings", settings, command, *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
