"""Alerts and incidents as the watch loop leaves them, for pages and the API."""

from datetime import datetime, timedelta
from typing import Any

from msgspec import structs
from sqlalchemy.orm import Session
from tests.controller.fleet import device_id
from tests.controller.web import places

from annexfleet_controller.store import alerts, incidents, readiness
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.things import Alert, Incident, IncidentKind, Rank, Thing, ThingKind

PRINTER = Thing("printer", "3f0c9a3b1d5e7f90aa11bb22")


def alert(
    db: Session, rule: str, kind: ThingKind, thing_id: str, annex: str = "berkane-1", *, now: datetime, **told: Any
) -> Alert:
    """One that has been open for twelve minutes, unless told otherwise."""
    since = now - timedelta(minutes=14)
    fields: dict[str, Any] = {
        "state": "open", "evidence_at": now, "opened_at": since + timedelta(minutes=2), "since": since, **told,
    }  # fmt: skip
    return alerts.save(db, [Alert(rule_id=rule, thing=Thing(kind, thing_id), annex_id=annex, **fields)])[0]


def incident(
    db: Session,
    kind: IncidentKind,
    cause: str,
    of: list[Alert],
    annex: str = "berkane-1",
    *,
    now: datetime,
    **told: Any,
) -> Incident:
    """One around these alerts, of which the first is the cause, with the first lines of its story."""
    first = of[0]
    fields: dict[str, Any] = {
        "key": f"{kind}:{first.thing.id}", "thing": first.thing, "severity": first.severity, "facts": first.facts,
        "began_at": first.since, "opened_at": first.opened_at or now, "annexes": (annex,) if annex else (), **told,
    }  # fmt: skip
    saved = incidents.save(db, [Incident(kind=kind, cause=cause, annex_id=annex, **fields)])[0]
    alerts.save(db, [structs.replace(one, incident_id=saved.id, is_effect=one is not first) for one in of])
    about = {"rule": first.rule_id, "cause": first.cause, "thing": first.thing.id, "thing_kind": first.thing.kind}
    incidents.tell(db, [Told(saved.id, saved.opened_at, "opened", facts=about)])
    return saved


def jam(db: Session, annex: str = "berkane-1", *, now: datetime, name: str = "guichet-hp", **told: Any) -> Incident:
    """A printer that is jammed, while twelve people wait for two services."""
    of = alert(
        db, "printer.blocked", "printer", PRINTER.id if annex == "berkane-1" else f"{annex}-printer", annex, now=now,
        severity="critical", cause="paper_jam", facts={"printer": name, "model": "HP LaserJet"},
    )  # fmt: skip
    rank = Rank(
        score=336.0, people_waiting=12.0, services_blocked=("etat-civil", "residence"), minutes=14.0,
    )  # fmt: skip
    return incident(db, "printer", "paper_jam", [of], annex, now=now, **{"rank": rank, **told})


def line_cut(db: Session, annex: str = "berkane-2", *, now: datetime, devices: int = 3, **told: Any) -> Incident:
    """An annex without a line: devices that are silent and a service that cannot be given are its effects."""
    facts = {"services": "residence", "fixes": f"line_cut@annex:{annex}"}
    of = [
        alert(db, "annex.link_down", "annex", annex, annex, now=now, severity="critical", cause="line_cut", facts=facts)
    ]
    of += [
        alert(
            db, "device.offline", "device", device_id(number), annex, now=now, cause="device_offline",
            facts={"device": f"guichet-{number}", "seconds": 840.0}, suppressed_by="annex.link_down",
        )
        for number in range(15, 15 + devices)
    ]  # fmt: skip
    rank = Rank(score=70.0, people_waiting=5.0, people_estimated=True, services_blocked=("residence",), minutes=14.0)
    return incident(db, "line_cut", "line_cut", of, annex, now=now, **{"rank": rank, **told})


def two_annexes(db: Session, *, now: datetime) -> tuple[Incident, Incident]:
    """A jam in the first, a line cut in the second; gives both incidents."""
    for number in (1, 2):
        places.annex(db, number, now)
    return jam(db, now=now), line_cut(db, now=now)


def looked(db: Session, now: datetime) -> None:
    """The watch loop was there."""
    readiness.note(db, {}, now=now)
