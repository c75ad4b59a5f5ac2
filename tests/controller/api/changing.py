"""A site with a playbook that can be rolled out and taken back, and devices that take commands."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, ran

from annexfleet_controller.store import rollout_targets, run_queue
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceState
from annexfleet_controller.store.tables.rollouts import RolloutRow
from annexfleet_controller.waves.model import GateReason, GateVerdict, GateWord

SPEC = """
argument_specs: {main: {short_description: Text, options: {greet_version: {type: str, required: true},
  greet_word: {type: str, no_log: true}}}}
"""
NATURE = """
configures: greeting
expects:
  - {fact: agent_version, equals: {variable: greet_version}}
reverse:
  playbook: greet
  before: {greet_version: agent_version}
takes_s: 60
"""
NEW, OLD = "2.0.0", "0.1.0"


def province(engine: Engine, tmp_path: Path, *, first: int = 3, second: int = 1) -> Site:
    """So many counters in berkane-1 and, numbered on, in berkane-2; all report version 0.1.0 and take commands."""
    playbooks(tmp_path / "library")
    site = Site(engine, tmp_path, playbooks_dir=str(tmp_path / "library"))
    now = site.clock.now()
    with writing(engine) as db:
        places.annex(db, 1, now)
        places.annex(db, 2, now)
        for number in range(1, first + second + 1):
            places.device(db, number, "berkane-1" if number <= first else "berkane-2", now=now, agent_version=OLD)
            ran.takes_commands(db, number)
    return site


def playbooks(library: Path) -> Path:
    meta = library / "roles" / "greet" / "meta"
    meta.mkdir(parents=True)
    (library / "greet.yml").write_text("- hosts: all\n")
    (library / "plain.yml").write_text("- hosts: all\n")
    (meta / "argument_specs.yml").write_text(SPEC)
    (meta / "rollout.yml").write_text(NATURE)
    return library


def wish(**over: object) -> dict[str, object]:
    """Everything in sight gets version 2.0.0."""
    return {
        "name": "Greeting", "playbook": "greet", "variables": {"greet_version": NEW}, "selector": {}, **over,
    }  # fmt: skip


def drafted(client: TestClient, **over: object) -> dict[str, Any]:
    made = client.post("/api/v1/rollouts", json=wish(**over))
    assert made.status_code == 201, made.text
    return dict(made.json())


def act(client: TestClient, rollout: Mapping[str, Any], what: str, **body: object) -> dict[str, Any]:
    """Do it with the version that was read, and give the rollout as it is then."""
    done = client.post(f"/api/v1/rollouts/{rollout['id']}/{what}", json={"version": rollout["version"], **body})
    assert done.status_code == 200, done.text
    return dict(done.json())


def approved(site: Site, **over: object) -> dict[str, Any]:
    """Drafted and submitted by a technician, approved by an operator."""
    technician = site.signed_in("technician")
    rollout = act(technician, drafted(technician, **over), "submit")
    return act(site.signed_in("operator"), rollout, "approve")


def came_out(site: Site, rollout_id: int, became: Mapping[int, str], *, state: str = "") -> None:
    """Write what the conductor would: how devices, by number, ended; and the rollout's own state."""
    now = site.clock.now()
    with writing(site.engine) as db:
        before = {number: {"agent_version": OLD} for number in became}
        numbers = list(became)
        run_id = ran.queued(db, numbers, now=now, playbook="greet")
        if "running" not in became.values():
            assert run_queue.take(db, now=now) == run_id
            run_queue.finish(db, run_id, 1, outcome="failed", now=now)
        rollout_targets.begin(db, rollout_id, before, run_id=run_id, now=now)
        for number, ended in became.items():
            if ended == "running":
                continue
            if ended == "succeeded":
                rollout_targets.settle(db, rollout_id, number, "verifying", of_state="running", now=now)
            rollout_targets.settle(
                db, rollout_id, number, ended, of_state="verifying" if ended == "succeeded" else "running",  # type: ignore[arg-type]
                duration_s=40.0, reason="" if ended == "succeeded" else "play_failed", now=now,
            )  # fmt: skip
        if state:
            row = db.get_one(RolloutRow, rollout_id)
            row.state, row.version = state, row.version + 1
            row.ended_at = now if state in ("done", "aborted", "superseded") else None


def devices(*numbers: int) -> list[str]:
    return [device_id(number) for number in numbers]


def reports(db: Session, number: int, version: str) -> None:
    """A device says that its agent has this version."""
    row = db.get_one(DeviceState, number)
    row.agent_version = version


def takes_none(db: Session, number: int) -> None:
    db.get_one(Device, number).exchange_key = None


def verdict(word: GateWord, code: str, *, at: datetime, **facts: str | int | float) -> str:
    """As the row of a rollout keeps it."""
    return msgspec.json.encode(GateVerdict(word=word, reasons=(GateReason(code, facts),), at=at)).decode()
