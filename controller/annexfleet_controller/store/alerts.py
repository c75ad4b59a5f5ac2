"""Alerts: those that live, those that passed, and what people did about them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AlertUnknown
from annexfleet_controller.store import facts
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.alerts import AlertRow
from annexfleet_controller.things import Alert, Facts, Thing

_AT_ONCE = 500


def live(db: Session, *, annex_ids: Collection[str] | None = None) -> list[Alert]:
    """Every alert that is pending or open, by id; of all annexes, or of some."""
    query = select(AlertRow).where(AlertRow.state != "cleared").order_by(AlertRow.id)
    if annex_ids is not None:
        query = query.where(AlertRow.annex_id.in_(annex_ids))
    return [_alert(row) for row in db.scalars(query)]


def cleared_since(db: Session, since: datetime) -> list[Alert]:
    """Alerts that were open and cleared after this moment, by id."""
    query = select(AlertRow).where(AlertRow.state == "cleared", AlertRow.cleared_at > since).order_by(AlertRow.id)
    return [_alert(row) for row in db.scalars(query)]


def of_incident(db: Session, incident_id: int) -> list[Alert]:
    """The alerts of an incident: its causes first, then their effects, each by when they opened."""
    query = select(AlertRow).where(AlertRow.incident_id == incident_id)
    return [_alert(row) for row in db.scalars(query.order_by(AlertRow.is_effect, AlertRow.opened_at, AlertRow.id))]


def effects(
    db: Session, scope: Scope, incident_ids: Collection[int], *, each: int = 20
) -> dict[int, tuple[list[Alert], int]]:
    """By incident the first effects in sight that are not over, the oldest first, and how many there are in all."""
    found: dict[int, tuple[list[Alert], int]] = {}
    live = (AlertRow.state != "cleared", AlertRow.is_effect, scope.limit(AlertRow.annex_id))
    for some in _chunks(sorted(incident_ids)):
        of = (AlertRow.incident_id.in_(some), *live)
        place = func.row_number().over(
            partition_by=AlertRow.incident_id, order_by=(AlertRow.opened_at, AlertRow.id)
        ).label("place")  # fmt: skip
        numbered = select(AlertRow.id, place).where(*of).subquery()
        first = select(AlertRow).join(numbered, numbered.c.id == AlertRow.id).where(numbered.c.place <= each)
        counts = select(AlertRow.incident_id, func.count()).where(*of).group_by(AlertRow.incident_id)
        found |= {incident_id: ([], count) for incident_id, count in db.execute(counts) if incident_id is not None}
        for row in db.scalars(first.order_by(AlertRow.opened_at, AlertRow.id)):
            if row.incident_id is not None:
                found[row.incident_id][0].append(_alert(row))
    return found


def by_ids(db: Session, ids: Collection[int]) -> list[Alert]:
    """These alerts, whatever their state, by id; those that were forgotten are missing."""
    rows: list[AlertRow] = []
    for some in _chunks(sorted(ids)):
        rows += db.scalars(select(AlertRow).where(AlertRow.id.in_(some)).order_by(AlertRow.id))
    return [_alert(row) for row in rows]


def in_sight(db: Session, scope: Scope, ids: Collection[int]) -> list[Alert]:
    """Those of these alerts that a person may see, by id."""
    rows: list[AlertRow] = []
    for some in _chunks(sorted(ids)):
        rows += db.scalars(_seen(scope).where(AlertRow.id.in_(some)).order_by(AlertRow.id))
    return [_alert(row) for row in rows]


def save(db: Session, alerts: Iterable[Alert]) -> list[Alert]:
    """Write alerts, new ones and old ones; gives them with their ids, in the order they came."""
    ordered = list(alerts)
    new = [alert for alert in ordered if not alert.id]
    ids: list[int] = []
    for start in range(0, len(new), _AT_ONCE):
        rows = [_values(alert) for alert in new[start : start + _AT_ONCE]]
        ids += db.scalars(insert(AlertRow).returning(AlertRow.id, sort_by_parameter_order=True), rows)
    numbered = iter(ids)
    stored = [alert if alert.id else msgspec.structs.replace(alert, id=next(numbered)) for alert in ordered]
    old = [{"id": alert.id, **_values(alert, but=_OF_PEOPLE)} for alert in ordered if alert.id]
    if old:
        db.execute(update(AlertRow), old)
    return stored


def forget(db: Session, ids: Collection[int]) -> None:
    """Delete alerts that never opened."""
    for some in _chunks(sorted(ids)):
        db.execute(delete(AlertRow).where(AlertRow.id.in_(some)))


def listing(
    db: Session,
    scope: Scope,
    *,
    states: Collection[str] = ("open",),
    annex_id: str = "",
    rule_id: str = "",
    severity: str = "",
    thing: Thing | None = None,
    acknowledged: bool | None = None,
    search: str = "",
    alone: bool = False,
    before: tuple[datetime, int] | None = None,
    limit: int = 100,
) -> list[Alert]:
    """Alerts in sight, those that opened last first, from before that moment and id (see `moment`).

    `alone`: only those that belong to no incident.
    """
    # What is pending has not opened yet: it stands where it began.
    moment_of = func.coalesce(AlertRow.opened_at, AlertRow.since) if "pending" in states else AlertRow.opened_at
    query = _seen(scope).where(AlertRow.state.in_(states))
    if alone:
        query = query.where(AlertRow.incident_id.is_(None))
    if annex_id:
        query = query.where(AlertRow.annex_id == annex_id)
    if rule_id:
        query = query.where(AlertRow.rule_id == rule_id)
    if severity:
        query = query.where(AlertRow.severity == severity)
    if thing is not None:
        query = query.where(AlertRow.thing_kind == thing.kind, AlertRow.thing_id == thing.id)
    if acknowledged is not None:
        query = query.where(
            AlertRow.acknowledged_at.is_not(None) if acknowledged else AlertRow.acknowledged_at.is_(None)
        )
    if search:
        pattern = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        columns = (AlertRow.facts, AlertRow.rule_id, AlertRow.cause, AlertRow.annex_id)
        query = query.where(or_(*(column.ilike(pattern, escape="\\") for column in columns)))
    if before is not None:
        at, id_ = before
        query = query.where(or_(moment_of < at, and_(moment_of == at, AlertRow.id < id_)))
    query = query.order_by(moment_of.desc(), AlertRow.id.desc()).limit(limit)
    return [_alert(row) for row in db.scalars(query)]


def of_things(
    db: Session, scope: Scope, things: Collection[Thing], *, annex_id: str, since: datetime, limit: int = 200
) -> list[Alert]:
    """Alerts of these things in their annex that were open at any moment since then, the newest first.

    By annex, because for that there is an index: what a device had in an annex where it stood before stays there.
    """
    named: dict[str, list[str]] = {}
    for thing in things:
        named.setdefault(thing.kind, []).append(thing.id)
    of = or_(*(and_(AlertRow.thing_kind == kind, AlertRow.thing_id.in_(ids)) for kind, ids in named.items()))
    query = _seen(scope).where(
        AlertRow.annex_id == annex_id, AlertRow.state.in_(("open", "cleared")), AlertRow.opened_at.is_not(None),
        or_(AlertRow.cleared_at.is_(None), AlertRow.cleared_at > since), of,
    )  # fmt: skip
    return [
        _alert(row) for row in db.scalars(query.order_by(AlertRow.opened_at.desc(), AlertRow.id.desc()).limit(limit))
    ]


def moment(alert: Alert) -> datetime:
    """By which `listing` orders: when it opened, or began where it has not opened."""
    return alert.opened_at or alert.since


def get(db: Session, scope: Scope, alert_id: int) -> Alert:
    """Raises AlertUnknown where there is none, or none in sight."""
    row = db.scalar(_seen(scope).where(AlertRow.id == alert_id))
    if row is None:
        raise AlertUnknown(f"no alert {alert_id}")
    return _alert(row)


def acknowledge(
    db: Session, scope: Scope, ids: Collection[int], *, by: str, note: str = "", now: datetime
) -> list[Alert]:
    """Somebody takes care of these; gives those that nobody had acknowledged before.

    Alerts that are out of sight, or cleared, are left alone.
    """
    rows = db.scalars(
        _seen(scope).where(
            AlertRow.id.in_(ids), AlertRow.state != "cleared", AlertRow.acknowledged_at.is_(None)
        ).with_for_update()
    ).all()  # fmt: skip
    for row in rows:
        row.acknowledged_at, row.acknowledged_by = now, by
        row.note = note or row.note
    db.flush()
    return [_alert(row) for row in rows]


def withdraw_acknowledgement(db: Session, scope: Scope, ids: Collection[int]) -> list[Alert]:
    """Nobody takes care of these after all; gives those that changed."""
    rows = db.scalars(
        _seen(scope).where(
            AlertRow.id.in_(ids), AlertRow.state != "cleared", AlertRow.acknowledged_at.is_not(None)
        ).with_for_update()
    ).all()  # fmt: skip
    for row in rows:
        row.acknowledged_at, row.acknowledged_by = None, ""
    db.flush()
    return [_alert(row) for row in rows]


def prune(db: Session, *, before: datetime, at_most: int) -> int:
    """Forget alerts that cleared before this moment; gives how many went, so that the caller knows to come back."""
    old = select(AlertRow.id).where(AlertRow.state == "cleared", AlertRow.cleared_at < before)
    ids = db.scalars(old.order_by(AlertRow.cleared_at).limit(at_most)).all()
    db.execute(delete(AlertRow).where(AlertRow.id.in_(ids)))
    return len(ids)


def _seen(scope: Scope) -> Select[AlertRow]:
    """Every query of a person starts here: what belongs to no annex is for who sees the whole province."""
    return select(AlertRow).where(scope.limit(AlertRow.annex_id))


_COPIED = (
    "rule_id", "part", "annex_id", "state", "severity", "cause", "since", "evidence_at", "samples", "clearing_since",
    "unknown_since", "opened_at", "cleared_at", "flaps", "acknowledged_at", "acknowledged_by", "note", "muted_by",
    "suppressed_by", "incident_id", "is_effect",
)  # fmt: skip


_OF_PEOPLE = frozenset({"acknowledged_at", "acknowledged_by", "note"})
"""What people write; the watch loop, which may know an older state of it, never does."""


def _values(alert: Alert, *, but: Collection[str] = ()) -> dict[str, Any]:
    values = {name: getattr(alert, name) for name in _COPIED if name not in but}
    return values | {
        "thing_kind": alert.thing.kind,
        "thing_id": alert.thing.id,
        "facts": facts.written(alert.facts),
        "returned_at": msgspec.json.encode([at.timestamp() for at in alert.returned_at]).decode(),
    }


def _alert(row: AlertRow) -> Alert:
    values = {name: getattr(row, name) for name in _COPIED}
    return Alert(
        id=row.id,
        thing=Thing(row.thing_kind, row.thing_id),  # type: ignore[arg-type]
        facts=msgspec.json.decode(row.facts.encode(), type=Facts),
        returned_at=tuple(datetime.fromtimestamp(at, UTC) for at in msgspec.json.decode(row.returned_at.encode())),
        **values,
    )


def _chunks(ids: Sequence[int], size: int = _AT_ONCE) -> Iterable[Sequence[int]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
