"""Services and what they need, how each stands now, and how each stood."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import ServicesWrong
from annexfleet_controller.readiness.availability import Span
from annexfleet_controller.readiness.document import (
    parse_override,
    parse_service,
    written_service,
)
from annexfleet_controller.readiness.model import STATES, AnnexReadiness, ServiceReadiness, State
from annexfleet_controller.readiness.services import Override, ServiceDefinition
from annexfleet_controller.store import bulk
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.readiness import (
    AnnexServiceRow,
    ReadinessNow,
    ReadinessSpan,
    ReadinessWatch,
    ServiceRow,
)

log = logging.getLogger(__name__)

LONGEST_GAP = timedelta(minutes=10)
"""A watch that did not look for longer knows nothing of the time between."""
_AT_ONCE = 500
"""Annexes named in one statement."""
_MOST_REASONS = 12
_readiness = msgspec.json.Decoder(AnnexReadiness)


class _Short(Struct):
    causes: list[str] = []


_short = msgspec.json.Decoder(list[_Short])


class Found(Struct, frozen=True):
    """How an annex stands."""

    at: datetime | None
    """When that was found; None if nobody ever looked: then nothing is known of it."""
    readiness: AnnexReadiness


class Stood(Struct, frozen=True):
    """How a service stood in a time, and the causes of all that it lacked when that began."""

    service: str
    state: State
    since: datetime
    until: datetime | None
    causes: frozenset[str]


# -- services


def own_services(db: Session) -> tuple[ServiceDefinition, ...]:
    """Those that the province described itself, by code."""
    rows = db.execute(select(ServiceRow.code, ServiceRow.document).order_by(ServiceRow.code))
    found = (_service(code, document) for code, document in rows)
    return tuple(service for service in found if service is not None)


def replace_services(db: Session, services: Iterable[ServiceDefinition], *, by: str, now: datetime) -> None:
    """These and no others are the province's own."""
    db.execute(delete(ServiceRow))
    for service in services:
        document = msgspec.json.encode(written_service(service)).decode()
        db.add(ServiceRow(code=service.code, document=document, updated_at=now, updated_by=by))
    db.flush()


def overrides(db: Session, annex_id: str) -> dict[str, Override]:
    """What one annex says of services, by code."""
    return all_overrides(db, annex_id).get(annex_id, {})


def all_overrides(db: Session, annex_id: str = "") -> dict[str, dict[str, Override]]:
    """What annexes say of services, by annex and code."""
    query = select(AnnexServiceRow.annex_id, AnnexServiceRow.service, AnnexServiceRow.document)
    if annex_id:
        query = query.where(AnnexServiceRow.annex_id == annex_id)
    found: dict[str, dict[str, Override]] = {}
    for annex, service, document in db.execute(query.order_by(AnnexServiceRow.annex_id, AnnexServiceRow.service)):
        override = _override(annex, service, document)
        if override is not None:
            found.setdefault(annex, {})[service] = override
    return found


def services_version(db: Session) -> tuple[int, int, datetime | None, datetime | None]:
    """Something that differs when any of the above has changed; asked cheaply and often."""
    province = db.execute(select(func.count(), func.max(ServiceRow.updated_at))).one()
    annexes = db.execute(select(func.count(), func.max(AnnexServiceRow.updated_at))).one()
    return province[0], annexes[0], province[1], annexes[1]


def _service(code: str, document: str) -> ServiceDefinition | None:
    """None for one that cannot be read: written by a newer version, perhaps."""
    try:
        return parse_service(msgspec.json.decode(document))
    except (ServicesWrong, msgspec.DecodeError):
        log.exception("service cannot be read code=%s", code)
        return None


def _override(annex_id: str, service: str, document: str) -> Override | None:
    try:
        return parse_override(msgspec.json.decode(document))
    except (ServicesWrong, msgspec.DecodeError):
        log.exception("what an annex says of a service cannot be read annex=%s service=%s", annex_id, service)
        return None


# -- now


def write_now(db: Session, found: Mapping[str, AnnexReadiness], *, now: datetime) -> None:
    """How these annexes stand, for pages and the API."""
    at = bulk.micros(now.timestamp())
    rows = [(annex, at, of.state, msgspec.json.encode(of).decode()) for annex, of in found.items()]
    bulk.upsert(db, ReadinessNow, ["annex_id"], ["annex_id", "at", "state", "payload"], rows)


def now_of(db: Session, annex_id: str) -> Found:
    """How one annex stands.  Whether one may see it, and whether it exists, is the caller's matter."""
    row = db.get(ReadinessNow, annex_id)
    return _found(annex_id, None, None) if row is None else _found(annex_id, row.at, row.payload)


def now(
    db: Session, scope: Scope = WHOLE, *, state: State | None = None, after: str = "", limit: int | None = None
) -> list[Found]:
    """How the annexes in sight stand, by id, from after that id: also those at which nobody ever looked."""
    query = (
        select(Annex.id, ReadinessNow.at, ReadinessNow.payload)
        .join(ReadinessNow, ReadinessNow.annex_id == Annex.id, isouter=True)
        .where(scope.limit(Annex.id), Annex.id > after, Annex.retired_at.is_(None))
    )
    if state is not None:
        query = query.where(func.coalesce(ReadinessNow.state, "unknown") == state)
    return [_found(*row) for row in db.execute(query.order_by(Annex.id).limit(limit))]


def states(db: Session, annex_ids: Collection[str]) -> dict[str, State]:
    """The states of these annexes, by id; one at which nobody ever looked, or that is closed for good, is missing."""
    wanted = sorted(annex_ids)
    found: dict[str, State] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        query = (
            select(ReadinessNow.annex_id, ReadinessNow.state)
            .join(Annex, Annex.id == ReadinessNow.annex_id)
            .where(ReadinessNow.annex_id.in_(wanted[start : start + _AT_ONCE]), Annex.retired_at.is_(None))
        )
        found |= {annex_id: state for annex_id, state in db.execute(query) if state in STATES}
    return found


def _found(annex_id: str, at: datetime | None, payload: str | None) -> Found:
    """Unknown for what cannot be read: a newer version wrote it, and the watch will write it anew."""
    try:
        return Found(at, _readiness.decode(payload or ""))
    except msgspec.MsgspecError:
        if payload:
            log.exception("readiness cannot be read annex=%s", annex_id)
        return Found(None, AnnexReadiness(annex_id, ()))


# -- spans


def current(db: Session, scope: Scope = WHOLE, annexes: Sequence[str] | None = None) -> dict[str, dict[str, Span]]:
    """The open spans in sight, by annex and service; with `annexes`, theirs."""
    query = select(ReadinessSpan).where(scope.limit(ReadinessSpan.annex_id), ReadinessSpan.until.is_(None))
    found: dict[str, dict[str, Span]] = {}
    parts = [None] if annexes is None else [annexes[at : at + _AT_ONCE] for at in range(0, len(annexes), _AT_ONCE)]
    for part in parts:
        for row in db.scalars(query if part is None else query.where(ReadinessSpan.annex_id.in_(part))):
            found.setdefault(row.annex_id, {})[row.service] = _span(row)
    return found


def note(db: Session, found: Mapping[str, AnnexReadiness], *, now: datetime) -> bool:
    """Remember how these annexes stand, and that somebody looked: again and again the same changes nothing.

    To be called at least every few minutes, with those annexes that changed.  True if nobody had looked for longer than
    LONGEST_GAP, or ever: all open spans then end where somebody looked last, and `found` must hold every annex.
    """
    gap = _looked(db, now)
    standing = current(db, annexes=sorted(found))
    ended: list[tuple[str, str]] = []
    begun: list[ReadinessSpan] = []
    for annex_id, readiness in found.items():
        open_of = standing.get(annex_id, {})
        for of in readiness.services:
            before = open_of.get(of.service)
            if before is not None and before.state == of.state:
                continue
            if before is not None:
                ended.append((annex_id, of.service))
            row = ReadinessSpan(annex_id=annex_id, service=of.service, state=of.state, since=now, reason=_reason(of))
            begun.append(row)
        offered = {of.service for of in readiness.services}
        ended += [(annex_id, service) for service in open_of if service not in offered]
    for annex_id, service in ended:
        _end(db, annex_id, service, now)
    db.add_all(begun)
    db.flush()
    return gap


def watched_until(db: Session) -> datetime | None:
    """When somebody looked last; None if nobody ever did."""
    return db.scalar(select(ReadinessWatch.at))


def spans(db: Session, annex_id: str, *, since: datetime, until: datetime) -> list[Span]:
    """How the services of an annex stood within [since, until), in order.  May be seen is the caller's matter."""
    query = select(ReadinessSpan).where(
        ReadinessSpan.annex_id == annex_id,
        ReadinessSpan.since < until,
        ReadinessSpan.until.is_(None) | (ReadinessSpan.until > since),
    )
    return [_span(row) for row in db.scalars(query.order_by(ReadinessSpan.since, ReadinessSpan.service))]


def stood(db: Session, *, since: datetime, looked_back: timedelta) -> dict[str, list[Stood]]:
    """Of every annex in which a service was degraded or blocked after that moment: how its services stood, in order.

    From `looked_back` before that moment on, so that one learns how they stood then.
    """
    lately = ReadinessSpan.until.is_(None) | (ReadinessSpan.until > since)
    fallen = select(ReadinessSpan.annex_id).where(lately, ReadinessSpan.state.in_(("degraded", "blocked"))).distinct()
    annexes = sorted(db.scalars(fallen))
    found: dict[str, list[Stood]] = {}
    for start in range(0, len(annexes), _AT_ONCE):
        query = select(ReadinessSpan).where(
            ReadinessSpan.annex_id.in_(annexes[start : start + _AT_ONCE]),
            ReadinessSpan.until.is_(None) | (ReadinessSpan.until > since - looked_back),
        )
        for row in db.scalars(query.order_by(ReadinessSpan.since, ReadinessSpan.service)):
            state: State = row.state  # type: ignore[assignment]  # as written
            one = Stood(row.service, state, row.since, row.until, _causes(row.reason))
            found.setdefault(row.annex_id, []).append(one)
    return found


def _causes(reason: str) -> frozenset[str]:
    """None where it cannot be read."""
    try:
        return frozenset(cause for short in _short.decode(reason) for cause in short.causes)
    except msgspec.MsgspecError:
        return frozenset()


def prune(db: Session, *, before: datetime, at_most: int = 500) -> int:
    """Forget what ended before that, but no more spans than so many; how many it were."""
    oldest = select(ReadinessSpan.id).where(ReadinessSpan.until < before).limit(at_most)
    gone = db.execute(delete(ReadinessSpan).where(ReadinessSpan.id.in_(oldest)))
    return int(gone.rowcount)  # type: ignore[attr-defined]


def _looked(db: Session, now: datetime) -> bool:
    last = watched_until(db)
    if last is None:
        db.add(ReadinessWatch(id=1, at=now))
        db.flush()
    elif now > last:  # a clock that was set back writes nothing until it has caught up
        db.execute(update(ReadinessWatch).values(at=now))
    if last is not None and now - last <= LONGEST_GAP:
        return False
    open_ones = update(ReadinessSpan).where(ReadinessSpan.until.is_(None))
    db.execute(open_ones.values(until=ReadinessSpan.since if last is None else last))
    return True


def _end(db: Session, annex_id: str, service: str, now: datetime) -> None:
    open_one = (
        ReadinessSpan.annex_id == annex_id, ReadinessSpan.service == service, ReadinessSpan.until.is_(None),
    )  # fmt: skip
    db.execute(delete(ReadinessSpan).where(*open_one, ReadinessSpan.since >= now))  # it never lasted
    db.execute(update(ReadinessSpan).where(*open_one).values(until=now))


def _span(row: ReadinessSpan) -> Span:
    return Span(row.service, row.state, row.since, row.until)  # type: ignore[arg-type]  # a State, as written


def _reason(of: ServiceReadiness) -> str:
    short = [
        {"capability": reason.capability, "causes": sorted({f.cause for leaf in reason.failing for f in leaf.fixes})}
        for reason in of.reasons[:_MOST_REASONS]
    ]
    return msgspec.json.encode(short).decode()
