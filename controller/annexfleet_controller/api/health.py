"""/healthz, /readyz and /metrics: for whoever keeps the controller running."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, EngineOf, Now
from annexfleet_controller.access.door import Anybody, Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.readiness.model import STATES
from annexfleet_controller.store import (
    annexes,
    figures,
    incidents,
    migrate,
    notices,
    readiness,
    rollouts,
    runs,
    set_aside,
)
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.things import SEVERITIES
from annexfleet_controller.waves.model import ROLLOUT_STATES, TARGET_STATES

router = APIRouter(tags=["health"])

INGEST_HEARD_WITHIN = timedelta(minutes=2)
"""Ingest writes its figures every few seconds while it listens, also when no device speaks."""
_INGEST_ALIVE = "ingest_alive_at_seconds"


@router.get("/healthz", dependencies=[Depends(Anybody())])
def alive() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", dependencies=[Depends(Anybody())])
def ready(engine: EngineOf, now: Now) -> JSONResponse:
    """The database can be read and has the tables of this version, and ingest was heard of lately.  503 if not."""
    try:
        with reading(engine) as db:
            heard = figures.read(db).get(_INGEST_ALIVE)
        checks = {
            "database": True,
            "migrated": migrate.is_current(engine),
            "ingest": heard is not None and now - heard[1] < INGEST_HEARD_WITHIN,
        }
    except SQLAlchemyError:
        checks = {"database": False, "migrated": False, "ingest": False}
    good = all(checks.values())
    return JSONResponse({"status": "ready" if good else "not_ready", "checks": checks}, 200 if good else 503)


@router.get("/metrics")
def metrics(request: Request, person: Annotated[Person, Depends(Needs("diagnose"))], db: Db, now: Now) -> Response:
    """Figures about the controller in Prometheus' text format."""
    registry = CollectorRegistry()
    devices = Gauge("annexfleet_devices", "Devices in service, by presence", ["annex", "presence"], registry=registry)
    for annex_id, counts in annexes.counts(db, WHOLE, now=now).items():
        for presence in ("online", "silent", "never"):
            devices.labels(annex_id, presence).set(getattr(counts, presence))
    Gauge("annexfleet_set_aside", "Messages that could not be decoded, still kept", registry=registry).set(
        set_aside.count(db)
    )
    Gauge("annexfleet_open_pages", "Live pages of this process", registry=registry).set(len(request.app.state.hub))
    _trouble(db, registry)
    carried_out = Gauge(
        "annexfleet_runs", "Ansible runs kept, by state and outcome", ["state", "outcome"], registry=registry
    )
    for (state, outcome), count in runs.count(db).items():
        carried_out.labels(state, outcome).set(count)
    _rollouts(db, registry)
    for name, (value, _) in figures.read(db).items():
        Gauge(f"annexfleet_{name}", "A figure that ingest and work keep", registry=registry).set(value)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _rollouts(db: Session, registry: CollectorRegistry) -> None:
    kept = Gauge("annexfleet_rollouts", "Rollouts kept, by state", ["state"], registry=registry)
    counted = rollouts.count(db)
    for state in ROLLOUT_STATES:
        kept.labels(state).set(counted.get(state, 0))
    devices = Gauge(
        "annexfleet_rollout_devices", "Devices of rollouts under way, by state", ["state"], registry=registry
    )
    standing = rollouts.count_targets(db)
    for became in TARGET_STATES:
        devices.labels(became).set(standing.get(became, 0))


def _trouble(db: Session, registry: CollectorRegistry) -> None:
    """What is wrong in the province, and whether people hear of it."""
    open_ones = incidents.open_ones(db)
    severity = Gauge("annexfleet_incidents_open", "Open incidents, by severity", ["severity"], registry=registry)
    for name in SEVERITIES:
        severity.labels(name).set(sum(incident.severity == name for incident in open_ones))
    standing = Gauge("annexfleet_annexes", "Annexes, by the worst of their services", ["readiness"], registry=registry)
    found = [of.readiness.state for of in readiness.now(db)]
    for state in STATES:
        standing.labels(state).set(found.count(state))
    told = Gauge("annexfleet_notices", "Notices, by what became of them", ["state"], registry=registry)
    for became, count in notices.count(db).items():
        told.labels(became).set(count)
