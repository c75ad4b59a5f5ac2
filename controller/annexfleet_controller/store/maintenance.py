"""Planned work: what lasts, what is planned, what is over."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, delete, exists, false, insert, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import Forbidden, MaintenanceChanged, MaintenanceUnknown
from annexfleet_controller.maintenance import Area, Maintenance, Weekly, last_moment
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.maintenance import MaintenanceAnnex, MaintenanceRow


def create(db: Session, m: Maintenance) -> Maintenance:
    """Keep a new one; gives it with its id."""
    id_ = db.scalar(insert(MaintenanceRow).values(version=1, **_values(m)).returning(MaintenanceRow.id))
    assert id_ is not None, "the database numbers rows"
    db.add_all(MaintenanceAnnex(maintenance_id=id_, annex_id=annex) for annex in m.touches)
    db.flush()
    return msgspec.structs.replace(m, id=id_, version=1)


def save(db: Session, m: Maintenance) -> Maintenance:
    """Write one that was changed; its area cannot change.  Gives it with its new version.

    Raises MaintenanceChanged if somebody else wrote it after this one was read.
    """
    same = (MaintenanceRow.id == m.id, MaintenanceRow.version == m.version)
    done = db.execute(update(MaintenanceRow).where(*same).values(version=m.version + 1, **_values(m)))
    if not done.rowcount:  # type: ignore[attr-defined]
        raise MaintenanceChanged(f"maintenance {m.id} is no longer version {m.version}")
    return msgspec.structs.replace(m, version=m.version + 1)


def current(db: Session, *, since: datetime, now: datetime) -> list[Maintenance]:
    """Those that may last now or may have been left after `since`, of everybody, by id; for whoever mutes alerts."""
    query = select(MaintenanceRow).where(MaintenanceRow.starts_at <= now, MaintenanceRow.last_at >= since)
    # What it touches is for whoever looks at it; muting asks its area alone.
    return [_maintenance(row, ()) for row in db.scalars(query.order_by(MaintenanceRow.id))]


def within(db: Session, *, since: datetime, until: datetime) -> list[Maintenance]:
    """Those that may have lasted at some time of [since, until), of everybody, by id, with what they touch."""
    query = select(MaintenanceRow).where(MaintenanceRow.starts_at < until, MaintenanceRow.last_at > since)
    return _whole(db, query.order_by(MaintenanceRow.id))


def to_come(
    db: Session,
    scope: Scope,
    *,
    now: datetime,
    annex_id: str = "",
    after: tuple[datetime, int] | None = None,
    limit: int = 500,
) -> list[Maintenance]:
    """Those in sight that last or will last again, by their start and id, from after that pair."""
    query = _seen(scope).where(MaintenanceRow.last_at > now)
    if annex_id:
        query = query.where(_covers(scope, annex_id))
    if after is not None:
        at, id_ = after
        later = (MaintenanceRow.starts_at == at) & (MaintenanceRow.id > id_)
        query = query.where(or_(MaintenanceRow.starts_at > at, later))
    return _whole(db, query.order_by(MaintenanceRow.starts_at, MaintenanceRow.id).limit(limit))


def past(
    db: Session,
    scope: Scope,
    *,
    now: datetime,
    annex_id: str = "",
    before: tuple[datetime, int] | None = None,
    limit: int = 50,
) -> list[Maintenance]:
    """Those in sight that are over, the last first, from before that `last_moment` and id."""
    query = _seen(scope).where(MaintenanceRow.last_at <= now)
    if annex_id:
        query = query.where(_covers(scope, annex_id))
    if before is not None:
        at, id_ = before
        earlier = (MaintenanceRow.last_at == at) & (MaintenanceRow.id < id_)
        query = query.where(or_(MaintenanceRow.last_at < at, earlier))
    return _whole(db, query.order_by(MaintenanceRow.last_at.desc(), MaintenanceRow.id.desc()).limit(limit))


def around(
    db: Session, scope: Scope, annex_id: str, *, since: datetime, until: datetime, limit: int = 100
) -> list[Maintenance]:
    """Those in sight that touch an annex, or cover the province, and may have lasted within this span, by their start.

    Of weekly ones only `maintenance.spans` knows when they did.
    """
    lasting = (MaintenanceRow.starts_at <= until, MaintenanceRow.last_at >= since)
    query = _seen(scope).where(*lasting, _covers(scope, annex_id))
    return _whole(db, query.order_by(MaintenanceRow.starts_at.desc(), MaintenanceRow.id.desc()).limit(limit))


def place(m: Maintenance, *, past: bool) -> tuple[datetime, int]:
    """Its place in the list, for `before` and `after`."""
    return (last_moment(m) if past else m.starts_at), m.id


def get(db: Session, scope: Scope, maintenance_id: int) -> Maintenance:
    """Raises MaintenanceUnknown where there is none, or none in sight."""
    found = _whole(db, _seen(scope).where(MaintenanceRow.id == maintenance_id))
    if not found:
        raise MaintenanceUnknown(f"no maintenance {maintenance_id}")
    return found[0]


def may_change(scope: Scope, m: Maintenance) -> bool:
    """Whether somebody's sight holds all that it covers."""
    return scope.annexes is None or (not m.area.province and scope.annexes.issuperset(m.touches))


def get_to_change(db: Session, scope: Scope, maintenance_id: int) -> Maintenance:
    """Raises MaintenanceUnknown, or Forbidden where it covers more than this person's annexes."""
    m = get(db, scope, maintenance_id)
    if not may_change(scope, m):
        raise Forbidden(f"maintenance {maintenance_id} covers other annexes too")
    return m


def prune(db: Session, *, before: datetime, at_most: int) -> int:
    """Forget those that were over before this moment; gives how many went."""
    old = select(MaintenanceRow.id).where(MaintenanceRow.last_at < before).order_by(MaintenanceRow.last_at)
    ids = db.scalars(old.limit(at_most)).all()
    db.execute(delete(MaintenanceAnnex).where(MaintenanceAnnex.maintenance_id.in_(ids)))
    db.execute(delete(MaintenanceRow).where(MaintenanceRow.id.in_(ids)))
    return len(ids)


def _seen(scope: Scope) -> Select[MaintenanceRow]:
    """Every query of a person starts here: what covers the whole province is in everybody's sight."""
    query = select(MaintenanceRow)
    if scope.annexes is None:
        return query
    return query.where(or_(MaintenanceRow.province, _touches(scope.annexes)))


def _covers(scope: Scope, annex_id: str) -> Any:
    """What an annex is covered by; of one that is out of sight nothing is told."""
    return or_(MaintenanceRow.province, _touches({annex_id})) if scope.covers(annex_id) else false()


def _touches(annex_ids: Iterable[str]) -> Any:
    return exists().where(
        MaintenanceAnnex.maintenance_id == MaintenanceRow.id, MaintenanceAnnex.annex_id.in_(sorted(annex_ids))
    )


_COPIED = (
    "starts_at", "ends_at", "time_zone", "reason", "author", "created_at", "cancelled_at", "cancelled_by", "skip_from",
    "skip_until",
)  # fmt: skip


def _values(m: Maintenance) -> dict[str, Any]:
    values = {name: getattr(m, name) for name in _COPIED}
    return values | {
        "area": msgspec.json.encode(m.area).decode(),
        "province": m.area.province,
        "weekly": "" if m.weekly is None else msgspec.json.encode(m.weekly).decode(),
        "last_at": last_moment(m),
    }


def _whole(db: Session, query: Select[MaintenanceRow]) -> list[Maintenance]:
    rows = db.scalars(query).all()
    touched: dict[int, list[str]] = {row.id: [] for row in rows}
    columns = (MaintenanceAnnex.maintenance_id, MaintenanceAnnex.annex_id)
    named = select(*columns).where(MaintenanceAnnex.maintenance_id.in_(list(touched)))
    for id_, annex_id in db.execute(named.order_by(MaintenanceAnnex.annex_id)):
        touched[id_].append(annex_id)
    return [_maintenance(row, tuple(touched[row.id])) for row in rows]


def _maintenance(row: MaintenanceRow, touches: tuple[str, ...]) -> Maintenance:
    values = {name: getattr(row, name) for name in _COPIED}
    return Maintenance(
        id=row.id,
        area=msgspec.json.decode(row.area.encode(), type=Area),
        touches=touches,
        weekly=msgspec.json.decode(row.weekly.encode(), type=Weekly) if row.weekly else None,
        version=row.version,
        **values,
    )
