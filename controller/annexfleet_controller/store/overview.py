"""Annexes in numbers: what the watch saw last, and how the province went over the days.  Reads no device."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, structs
from sqlalchemy import delete, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from annexfleet_controller.readiness.model import STATES, State
from annexfleet_controller.store import bulk
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.alerts import AlertRow, IncidentAnnex, IncidentRow
from annexfleet_controller.store.tables.overview import AnnexNow, PlacePast
from annexfleet_controller.store.tables.places import Annex, District
from annexfleet_controller.store.tables.readiness import ReadinessNow, ReadinessSpan
from annexfleet_controller.store.tables.rollouts import RolloutRow, RolloutTargetRow
from annexfleet_controller.things import Severity


class Numbers(Struct, frozen=True):
    """An annex at one moment; the words are those of the table `annex_now`."""

    is_open: bool = False
    online: int = 0
    silent: int = 0
    never: int = 0
    printers: int = 0
    troubled: int = 0
    ready: int = 0
    degraded: int = 0
    blocked: int = 0
    unknown: int = 0
    waiting: float | None = None
    longest_wait_s: float | None = None
    is_stale: bool = False
    unseen: int = 0


class AnnexLine(Struct, frozen=True, kw_only=True):
    """An annex in a list."""

    id: str
    name_fr: str
    name_ar: str
    district_id: str
    """Empty: none."""
    state: State
    """The worst of its services; unknown where nobody ever looked."""
    numbers: Numbers
    """All zero where nobody ever looked."""


class Pressing(Struct, frozen=True):
    """The open incidents of an annex that maintenance does not keep quiet."""

    count: int
    score: float
    """Of the one that keeps most people waiting."""
    severity: Severity


class Moment(Struct, frozen=True, kw_only=True):
    """How the places in sight stood together; services are those of annexes that were open."""

    at: datetime
    ready: int
    degraded: int
    blocked: int
    unknown: int
    waiting: float | None
    incidents: int

    @property
    def serving_ratio(self) -> float | None:
        """Services that could be provided, of all; None while every annex was closed."""
        count = self.ready + self.degraded + self.blocked + self.unknown
        return (self.ready + self.degraded) / count if count else None


class Turns(Struct, frozen=True):
    """How many alerts opened and cleared of late."""

    opened: int
    cleared: int
    silent: int
    """Of those that opened: devices that fell silent."""
    back: int


class EndedRollout(Struct, frozen=True):
    id: int
    name: str
    state: str
    ended_at: datetime


_FIELDS = Numbers.__struct_fields__
_SILENT = "device.offline"


# -- what the watch writes


def write(db: Session, found: Mapping[str, Numbers], *, now: datetime) -> None:
    """These annexes stand so.  Whether they exist is the caller's matter."""
    at = bulk.micros(now.timestamp())
    rows = [(annex_id, at, *structs.astuple(of)) for annex_id, of in sorted(found.items())]
    bulk.upsert(db, AnnexNow, ["annex_id"], ["annex_id", "at", *_FIELDS], rows)


def remember(db: Session, moments: Mapping[str, Moment]) -> None:
    """By place, the empty name being the province; the same moment again is written over."""
    rows = [
        (place, bulk.micros(m.at.timestamp()), m.ready, m.degraded, m.blocked, m.unknown, m.waiting, m.incidents)
        for place, m in sorted(moments.items())
    ]
    columns = ["place", "at", "ready", "degraded", "blocked", "unknown", "waiting", "incidents"]
    bulk.upsert(db, PlacePast, ["place", "at"], columns, rows)


def forget(db: Session, *, before: datetime) -> None:
    db.execute(delete(PlacePast).where(PlacePast.at < before))


# -- what pages read


def lines(db: Session, scope: Scope) -> list[AnnexLine]:
    """Every annex in sight that is not closed for good, by id."""
    state = func.coalesce(ReadinessNow.state, "unknown")
    query = (
        select(Annex.id, Annex.name_fr, Annex.name_ar, Annex.district_id, state,
               AnnexNow.annex_id, *(getattr(AnnexNow, name) for name in _FIELDS))
        .join(ReadinessNow, ReadinessNow.annex_id == Annex.id, isouter=True)
        .join(AnnexNow, AnnexNow.annex_id == Annex.id, isouter=True)
        .where(scope.limit(Annex.id), Annex.retired_at.is_(None))
        .order_by(Annex.id)
    )  # fmt: skip
    return [
        AnnexLine(
            id=row[0], name_fr=row[1], name_ar=row[2], district_id=row[3],
            state=row[4] if row[4] in STATES else "unknown",
            numbers=NOTHING if row[5] is None else Numbers(*row[6:]),
        )
        for row in map(tuple, db.execute(query))
    ]  # fmt: skip


def troubled(db: Session, scope: Scope) -> dict[str, int]:
    """How many printers in trouble the watch saw, by annex; of those in sight, and where it saw any."""
    query = select(AnnexNow.annex_id, AnnexNow.troubled).where(AnnexNow.troubled > 0, scope.limit(AnnexNow.annex_id))
    return {row.annex_id: row.troubled for row in db.execute(query)}


NOTHING = Numbers()


def districts(db: Session) -> Sequence[District]:
    """All of them, by id."""
    return db.scalars(select(District).order_by(District.id)).all()


def states_of_service(db: Session, scope: Scope, service: str) -> dict[str, State]:
    """How one service stands, by annex; one that does not offer it is missing."""
    query = select(ReadinessSpan.annex_id, ReadinessSpan.state).where(
        scope.limit(ReadinessSpan.annex_id), ReadinessSpan.service == service, ReadinessSpan.until.is_(None)
    )
    return {annex_id: state for annex_id, state in db.execute(query) if state in STATES}


def pressing(db: Session, scope: Scope) -> dict[str, Pressing]:
    """Of each annex in sight with open incidents; those kept quiet by maintenance do not count."""
    query = (
        select(IncidentAnnex.annex_id, IncidentRow.score, IncidentRow.severity)
        .join(IncidentRow, IncidentRow.id == IncidentAnnex.incident_id)
        .where(IncidentRow.state == "open", IncidentRow.muted.is_(False), scope.limit(IncidentAnnex.annex_id))
    )
    found: dict[str, Pressing] = {}
    for annex_id, score, severity in db.execute(query):
        known = found.get(annex_id, _NONE)
        worst = severity if _RANK.get(severity, 0) > _RANK.get(known.severity, 0) else known.severity
        found[annex_id] = Pressing(known.count + 1, max(known.score, score), worst)  # type: ignore[arg-type]  # as written
    return found


_NONE = Pressing(0, 0.0, "info")
_RANK = {"warning": 1, "critical": 2}


def past(db: Session, scope: Scope, *, since: datetime, annexes: Iterable[str] | None = None) -> list[Moment]:
    """How the places in sight stood from then on, oldest first: of all the province every five minutes, else every
    hour the sum over annexes; with `annexes`, over those of them in sight.

    An incident that touches several annexes counts in each of them.
    """
    if scope.annexes is None and annexes is None:
        chosen = PlacePast.place == ""
    elif annexes is None:
        chosen = (PlacePast.place != "") & scope.limit(PlacePast.place)
    else:
        chosen = PlacePast.place.in_(sorted({annex for annex in annexes if annex and scope.covers(annex)}))
    sums = (PlacePast.ready, PlacePast.degraded, PlacePast.blocked, PlacePast.unknown, PlacePast.waiting)
    query = (
        select(PlacePast.at, *(func.sum(column) for column in (*sums, PlacePast.incidents)))
        .where(chosen, PlacePast.at >= since)
        .group_by(PlacePast.at)
        .order_by(PlacePast.at)
    )
    return [
        Moment(at=at, ready=int(ready), degraded=int(degraded), blocked=int(blocked), unknown=int(unknown),
               waiting=waiting, incidents=int(incidents))
        for at, ready, degraded, blocked, unknown, waiting, incidents in (tuple(row) for row in db.execute(query))
    ]  # fmt: skip


def turns(db: Session, scope: Scope, *, since: datetime) -> Turns:
    """What opened and cleared in sight since then."""

    def counted(column: "InstrumentedAttribute[datetime | None]") -> dict[str, int]:
        query = select(AlertRow.rule_id, func.count()).where(column > since, scope.limit(AlertRow.annex_id))
        return {row[0]: row[1] for row in db.execute(query.group_by(AlertRow.rule_id))}

    opened = counted(AlertRow.opened_at)
    cleared = counted(AlertRow.cleared_at)
    return Turns(sum(opened.values()), sum(cleared.values()), opened.get(_SILENT, 0), cleared.get(_SILENT, 0))


def rollouts_ended(db: Session, scope: Scope, *, since: datetime, limit: int) -> list[EndedRollout]:
    """Those in sight that ended since then, the last first."""
    query = select(RolloutRow.id, RolloutRow.name, RolloutRow.state, RolloutRow.ended_at).where(
        RolloutRow.ended_at > since
    )
    if scope.annexes is not None:
        touched = select(RolloutTargetRow.rollout_id).where(scope.limit(RolloutTargetRow.annex_id))
        query = query.where(RolloutRow.id.in_(touched))
    rows = db.execute(query.order_by(RolloutRow.ended_at.desc()).limit(limit))
    return [EndedRollout(id_, name, state, at) for id_, name, state, at in rows if at is not None]
