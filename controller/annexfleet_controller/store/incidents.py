"""Incidents and their stories."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, insert, or_, select, true, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import IncidentUnknown
from annexfleet_controller.store import facts
from annexfleet_controller.store.annexes import like
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.alerts import AlertRow, IncidentAnnex, IncidentEvent, IncidentRow
from annexfleet_controller.things import Facts, Incident, Rank, Thing


class Told(Struct, frozen=True):
    """One line of an incident's story, as it is to be written or as it was."""

    incident_id: int
    at: datetime
    kind: str
    by: str = ""
    facts: Facts = {}
    id: int = 0


def open_ones(db: Session) -> list[Incident]:
    """Every incident that is open, by id."""
    return _with_annexes(db, db.scalars(_ordered().where(IncidentRow.state == "open")).all())


def by_ids(db: Session, ids: Collection[int]) -> list[Incident]:
    """These incidents, by id, in whatever state."""
    return _with_annexes(db, db.scalars(_ordered().where(IncidentRow.id.in_(sorted(ids)))).all())


def resolved_since(db: Session, since: datetime) -> list[Incident]:
    """Incidents that were resolved after this moment: they may come back, or be seen in another light."""
    query = _ordered().where(IncidentRow.state == "resolved", IncidentRow.resolved_at > since)
    return _with_annexes(db, db.scalars(query).all())


def save(db: Session, incidents: Iterable[Incident]) -> list[Incident]:
    """Write incidents, new ones and old ones, with the annexes they touch; gives them with their ids."""
    stored = []
    for incident in incidents:
        saved = incident
        if incident.id:
            values = {name: value for name, value in _values(incident).items() if name not in _OF_PEOPLE}
            db.execute(update(IncidentRow).where(IncidentRow.id == incident.id).values(**values))
        else:
            id_ = db.scalar(insert(IncidentRow).values(**_values(incident)).returning(IncidentRow.id))
            saved = msgspec.structs.replace(incident, id=id_)
        had = set(db.scalars(select(IncidentAnnex.annex_id).where(IncidentAnnex.incident_id == saved.id)))
        wanted = {annex for annex in (saved.annex_id, *saved.annexes) if annex}
        db.add_all(IncidentAnnex(incident_id=saved.id, annex_id=annex) for annex in sorted(wanted - had))
        stored.append(saved)
    db.flush()
    return stored


def listing(
    db: Session,
    scope: Scope,
    *,
    state: str = "open",
    annex_id: str = "",
    kind: str = "",
    severity: str = "",
    acknowledged: bool | None = None,
    before: tuple[float, datetime, int] | None = None,
    limit: int = 100,
) -> list[Incident]:
    """Incidents in sight, the highest ranked first, then the newest; from after that score, moment and id."""
    query = _seen(scope)
    if state:
        query = query.where(IncidentRow.state == state)
    if annex_id:
        query = query.where(_touches(_in_sight(scope, annex_id)))
    if kind:
        query = query.where(IncidentRow.kind == kind)
    if severity:
        query = query.where(IncidentRow.severity == severity)
    if acknowledged is not None:
        taken = IncidentRow.acknowledged_at
        query = query.where(taken.is_not(None) if acknowledged else taken.is_(None))
    if before is not None:
        score, at, id_ = before
        later = or_(IncidentRow.opened_at < at, and_(IncidentRow.opened_at == at, IncidentRow.id < id_))
        query = query.where(or_(IncidentRow.score < score, and_(IncidentRow.score == score, later)))
    order = (IncidentRow.score.desc(), IncidentRow.opened_at.desc(), IncidentRow.id.desc())
    return _with_annexes(db, db.scalars(query.order_by(*order).limit(limit)).all())


class Wanted(Struct, frozen=True, kw_only=True):
    """What a list of incidents is narrowed to; what is empty narrows nothing."""

    annexes: frozenset[str] | None = None
    """They touch one of these; None: any."""
    kind: str = ""
    severity: str = ""
    taken: bool | None = None
    """Whether somebody takes care of it."""
    by: str = ""
    """Who does."""
    text: str = ""
    """Found in what is known of it or in who takes care of it, or by either of the next two."""
    causes: frozenset[str] = frozenset()
    """Those whose words hold the text, in the reader's language."""
    places: frozenset[str] = frozenset()
    """Annexes whose names hold it."""


def open_page(
    db: Session,
    scope: Scope,
    wanted: Wanted,
    *,
    after: tuple[float, datetime, int] | None = None,
    limit: int,
) -> list[Incident]:
    """Open incidents in sight, the highest ranked first, then the newest; from after that score, moment and id."""
    query = _seen(scope).where(IncidentRow.state == "open", *_conditions(scope, wanted))
    if after is not None:
        score, at, id_ = after
        later = or_(IncidentRow.opened_at < at, and_(IncidentRow.opened_at == at, IncidentRow.id < id_))
        query = query.where(or_(IncidentRow.score < score, and_(IncidentRow.score == score, later)))
    order = (IncidentRow.score.desc(), IncidentRow.opened_at.desc(), IncidentRow.id.desc())
    return _with_annexes(db, db.scalars(query.order_by(*order).limit(limit)).all())


def over_page(
    db: Session,
    scope: Scope,
    wanted: Wanted,
    *,
    since: datetime,
    after: tuple[datetime, int] | None = None,
    limit: int,
) -> list[Incident]:
    """Incidents in sight that were resolved since then, the last first; from after that moment and id."""
    ended = IncidentRow.resolved_at
    # Not `== "resolved"`: then SQLite goes by the index of states, through everything that ever ended.
    query = _seen(scope).where(IncidentRow.state != "open", ended > since, *_conditions(scope, wanted))
    if after is not None:
        at, id_ = after
        query = query.where(or_(ended < at, and_(ended == at, IncidentRow.id < id_)))
    return _with_annexes(db, db.scalars(query.order_by(ended.desc(), IncidentRow.id.desc()).limit(limit)).all())


def _conditions(scope: Scope, wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.annexes is not None:
        found.append(_touches({annex_id for annex_id in wanted.annexes if scope.covers(annex_id)}))
    if wanted.kind:
        found.append(IncidentRow.kind == wanted.kind)
    if wanted.severity:
        found.append(IncidentRow.severity == wanted.severity)
    if wanted.taken is not None:
        taken = IncidentRow.acknowledged_at
        found.append(taken.is_not(None) if wanted.taken else taken.is_(None))
    if wanted.by:
        found.append(IncidentRow.acknowledged_by == wanted.by)
    if wanted.text:
        found.append(_says(scope, wanted))
    return found


def _says(scope: Scope, wanted: Wanted) -> ColumnElement[bool]:
    """Whether an incident has to do with a text.  What it knows of others' annexes answers no question."""
    pattern = like(wanted.text)
    inside: ColumnElement[bool] = or_(
        IncidentRow.facts.ilike(pattern, escape="\\"), IncidentRow.acknowledged_by.ilike(pattern, escape="\\")
    )
    if scope.annexes is not None:
        outside = exists().where(
            IncidentAnnex.incident_id == IncidentRow.id, IncidentAnnex.annex_id.not_in(sorted(scope.annexes))
        )
        inside = and_(inside, ~outside)
    named = {annex_id for annex_id in wanted.places if scope.covers(annex_id)}
    return or_(inside, IncidentRow.cause.in_(sorted(wanted.causes)), _touches(named))


def recent(db: Session, scope: Scope, *, since: datetime, limit: int = 200) -> list[Incident]:
    """Incidents in sight that opened or ended since then, the newest first."""
    query = _seen(scope).where(or_(IncidentRow.opened_at > since, IncidentRow.resolved_at > since))
    return _with_annexes(db, db.scalars(query.order_by(IncidentRow.opened_at.desc()).limit(limit)).all())


def of_annex(db: Session, annex_id: str, *, kind: str, since: datetime) -> list[Incident]:
    """Incidents of this kind in an annex that began after this moment, by id."""
    query = _ordered().where(IncidentRow.annex_id == annex_id, IncidentRow.kind == kind, IncidentRow.began_at > since)
    return _with_annexes(db, db.scalars(query).all())


def held_by(db: Session, scope: Scope, name: str, *, limit: int) -> list[Incident]:
    """Open incidents in sight that this person takes care of, the highest ranked first."""
    query = _seen(scope).where(IncidentRow.state == "open", IncidentRow.acknowledged_by == name)
    order = (IncidentRow.score.desc(), IncidentRow.opened_at.desc(), IncidentRow.id.desc())
    return _with_annexes(db, db.scalars(query.order_by(*order).limit(limit)).all())


def in_sight(db: Session, scope: Scope, ids: Collection[int]) -> list[Incident]:
    """Those of these that are in sight, by id."""
    query = _seen(scope).where(IncidentRow.id.in_(sorted(ids))).order_by(IncidentRow.id)
    return _with_annexes(db, db.scalars(query).all())


def of_thing(db: Session, scope: Scope, thing: Thing, *, ended_after: datetime, limit: int = 5) -> list[Incident]:
    """Incidents in sight about a thing that are open or ended after this moment: the open first, then the newest."""
    query = _seen(scope).where(IncidentRow.thing_kind == thing.kind, IncidentRow.thing_id == thing.id)
    query = query.where(or_(IncidentRow.state == "open", IncidentRow.resolved_at > ended_after))
    order = (IncidentRow.state, IncidentRow.opened_at.desc(), IncidentRow.id.desc())  # `open` before `resolved`
    return _with_annexes(db, db.scalars(query.order_by(*order).limit(limit)).all())


def acknowledgements(db: Session) -> dict[int, tuple[datetime, str]]:
    """When and by whom the open incidents were acknowledged that were."""
    query = select(IncidentRow.id, IncidentRow.acknowledged_at, IncidentRow.acknowledged_by)
    query = query.where(IncidentRow.state == "open", IncidentRow.acknowledged_at.is_not(None))
    return {id_: (at, by) for id_, at, by in db.execute(query) if at is not None}


def get(db: Session, scope: Scope, incident_id: int) -> Incident:
    """Raises IncidentUnknown where there is none, or none in sight."""
    row = db.scalar(_seen(scope).where(IncidentRow.id == incident_id))
    if row is None:
        raise IncidentUnknown(f"no incident {incident_id}")
    return _with_annexes(db, [row])[0]


def acknowledge(db: Session, incident_id: int, *, by: str, now: datetime) -> bool:
    """Somebody takes care of it; False if somebody did already, or it is over."""
    free = (IncidentRow.id == incident_id, IncidentRow.state == "open", IncidentRow.acknowledged_at.is_(None))
    done = db.execute(update(IncidentRow).where(*free).values(acknowledged_at=now, acknowledged_by=by))
    return bool(done.rowcount)  # type: ignore[attr-defined]


def withdraw_acknowledgement(db: Session, incident_id: int) -> bool:
    """Nobody takes care of it after all; False if nobody did."""
    held = (IncidentRow.id == incident_id, IncidentRow.acknowledged_at.is_not(None))
    done = db.execute(update(IncidentRow).where(*held).values(acknowledged_at=None, acknowledged_by=""))
    return bool(done.rowcount)  # type: ignore[attr-defined]


def tell(db: Session, lines: Iterable[Told]) -> None:
    """Add lines to stories."""
    rows = [
        {
            "incident_id": line.incident_id, "at": line.at, "kind": line.kind, "by": line.by,
            "facts": facts.written(line.facts),
        }
        for line in lines
    ]  # fmt: skip
    if rows:
        db.execute(insert(IncidentEvent), rows)


def story(db: Session, incident_id: int, *, limit: int = 500) -> list[Told]:
    """What happened to an incident, oldest first; of a very long story the end."""
    query = select(IncidentEvent).where(IncidentEvent.incident_id == incident_id)
    newest = db.scalars(query.order_by(IncidentEvent.at.desc(), IncidentEvent.id.desc()).limit(limit)).all()
    return [_told(row) for row in reversed(newest)]


def help_asked(db: Session, incident_ids: Collection[int]) -> dict[int, Told]:
    """Who asked for help last, of those of these incidents where somebody did since they last ended."""
    found: dict[int, Told] = {}
    ids = sorted(incident_ids)
    for start in range(0, len(ids), 500):
        query = select(IncidentEvent).where(
            IncidentEvent.incident_id.in_(ids[start : start + 500]), IncidentEvent.kind.in_(("help_asked", "resolved"))
        )
        for row in db.scalars(query.order_by(IncidentEvent.id)):
            if row.kind == "resolved":  # an incident may come back; then nobody has asked yet
                found.pop(row.incident_id, None)
            else:
                found[row.incident_id] = _told(row)
    return found


def count_open(db: Session, scope: Scope, *, annex_id: str = "") -> int:
    """How many incidents in sight are open, without those that maintenance keeps quiet."""
    seen = _seen(scope).where(IncidentRow.state == "open", IncidentRow.muted.is_(False))
    if annex_id:
        seen = seen.where(_touches(_in_sight(scope, annex_id)))
    return db.scalar(select(func.count()).select_from(seen.subquery())) or 0


def prune(db: Session, *, before: datetime, at_most: int) -> int:
    """Forget incidents that were resolved before this moment, with their stories; gives how many went."""
    old = select(IncidentRow.id).where(IncidentRow.state == "resolved", IncidentRow.resolved_at < before)
    ids = db.scalars(old.order_by(IncidentRow.resolved_at).limit(at_most)).all()
    db.execute(update(AlertRow).where(AlertRow.incident_id.in_(ids)).values(incident_id=None))
    for table in (IncidentEvent, IncidentAnnex):
        db.execute(delete(table).where(table.incident_id.in_(ids)))
    db.execute(delete(IncidentRow).where(IncidentRow.id.in_(ids)))
    return len(ids)


def _told(row: IncidentEvent) -> Told:
    said = msgspec.json.decode(row.facts.encode(), type=Facts)
    return Told(row.incident_id, row.at, row.kind, row.by, said, row.id)


def _ordered() -> Select[IncidentRow]:
    return select(IncidentRow).order_by(IncidentRow.id)


def _seen(scope: Scope) -> Select[IncidentRow]:
    """Every query of a person starts here: an incident is in sight of who sees one of its annexes."""
    return select(IncidentRow).where(true() if scope.annexes is None else _touches(scope.annexes))


def _in_sight(scope: Scope, annex_id: str) -> set[str]:
    """Whether something reaches into an annex is told to nobody who does not see that annex."""
    return {annex_id} if scope.covers(annex_id) else set()


def _touches(annex_ids: Collection[str]) -> ColumnElement[bool]:
    return exists().where(IncidentAnnex.incident_id == IncidentRow.id, IncidentAnnex.annex_id.in_(sorted(annex_ids)))


_COPIED = (
    "key", "kind", "cause", "annex_id", "state", "severity", "began_at", "opened_at", "resolved_at", "ended_at",
    "acknowledged_at", "acknowledged_by", "muted",
)  # fmt: skip


_OF_PEOPLE = frozenset({"acknowledged_at", "acknowledged_by"})
"""What people write; the watch loop, which may know an older state of it, never does."""


def _values(incident: Incident) -> dict[str, Any]:
    values = {name: getattr(incident, name) for name in _COPIED}
    return values | {
        "thing_kind": incident.thing.kind,
        "thing_id": incident.thing.id,
        "facts": facts.written(incident.facts),
        "score": incident.rank.score,
        "rank": msgspec.json.encode(incident.rank).decode(),
    }


def _with_annexes(db: Session, rows: Iterable[IncidentRow]) -> list[Incident]:
    listed = list(rows)
    annexes: dict[int, list[str]] = {row.id: [] for row in listed}
    ids = sorted(annexes)
    for start in range(0, len(ids), 500):
        query = select(IncidentAnnex.incident_id, IncidentAnnex.annex_id)
        query = query.where(IncidentAnnex.incident_id.in_(ids[start : start + 500])).order_by(IncidentAnnex.annex_id)
        for incident_id, annex_id in db.execute(query):
            annexes[incident_id].append(annex_id)
    return [_incident(row, annexes) for row in listed]


def _incident(row: IncidentRow, annexes: Mapping[int, list[str]]) -> Incident:
    values = {name: getattr(row, name) for name in _COPIED}
    return Incident(
        id=row.id,
        thing=Thing(row.thing_kind, row.thing_id),  # type: ignore[arg-type]
        annexes=tuple(annexes[row.id]),
        facts=msgspec.json.decode(row.facts.encode(), type=Facts),
        rank=msgspec.json.decode(row.rank.encode(), type=Rank),
        **values,
    )
