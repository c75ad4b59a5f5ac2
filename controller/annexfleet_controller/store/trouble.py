"""Incidents and alerts as notices need them: what is open, and what was."""

from collections.abc import Collection
from typing import Literal, cast

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.alerts import AlertRow, IncidentAnnex, IncidentRow
from annexfleet_controller.things import Alert, Incident, IncidentKind, Rank, Severity, Thing, ThingKind


def incidents(db: Session, ids: Collection[int] = (), *, and_open: bool = False) -> list[Incident]:
    """Those of these ids, and with `and_open` every open one too, by id."""
    wanted = IncidentRow.id.in_(ids)
    query = select(IncidentRow).where(or_(wanted, IncidentRow.state == "open") if and_open else wanted)
    rows = db.scalars(query.order_by(IncidentRow.id)).all()
    annexes: dict[int, list[str]] = {}
    places = select(IncidentAnnex.incident_id, IncidentAnnex.annex_id).order_by(IncidentAnnex.annex_id)
    for incident_id, annex_id in db.execute(places.where(IncidentAnnex.incident_id.in_([row.id for row in rows]))):
        annexes.setdefault(incident_id, []).append(annex_id)
    return [_incident(row, tuple(annexes.get(row.id, ()))) for row in rows]


def open_alerts(db: Session, incident_ids: Collection[int]) -> dict[int, list[Alert]]:
    """The open alerts of these incidents, by incident."""
    query = select(AlertRow).where(AlertRow.incident_id.in_(incident_ids), AlertRow.state == "open")
    found: dict[int, list[Alert]] = {}
    for row in db.scalars(query.order_by(AlertRow.id)):
        found.setdefault(row.incident_id or 0, []).append(_alert(row))
    return found


def _incident(row: IncidentRow, annexes: tuple[str, ...]) -> Incident:
    return Incident(
        id=row.id, key=row.key, kind=cast("IncidentKind", row.kind), cause=row.cause, annex_id=row.annex_id,
        annexes=annexes or ((row.annex_id,) if row.annex_id else ()),
        thing=Thing(cast("ThingKind", row.thing_kind), row.thing_id),
        state=cast('Literal["open", "resolved"]', row.state), severity=cast("Severity", row.severity),
        facts=msgspec.json.decode(row.facts), began_at=row.began_at, opened_at=row.opened_at,
        resolved_at=row.resolved_at, ended_at=row.ended_at, acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by, rank=msgspec.json.decode(row.rank, type=Rank), muted=row.muted,
    )  # fmt: skip


def _alert(row: AlertRow) -> Alert:
    return Alert(
        id=row.id, rule_id=row.rule_id, thing=Thing(cast("ThingKind", row.thing_kind), row.thing_id), part=row.part,
        annex_id=row.annex_id, state="open", severity=cast("Severity", row.severity), cause=row.cause,
        facts=msgspec.json.decode(row.facts), since=row.since, evidence_at=row.evidence_at, samples=row.samples,
        opened_at=row.opened_at, muted_by=row.muted_by, suppressed_by=row.suppressed_by,
        incident_id=row.incident_id, is_effect=row.is_effect,
    )  # fmt: skip
