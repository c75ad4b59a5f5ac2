"""Claims that something is mended, and what became of them."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import exists, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from annexfleet_controller.fixes import Claim
from annexfleet_controller.store.tables.alerts import IncidentRow
from annexfleet_controller.store.tables.fixes import FixClaim
from annexfleet_controller.store.tables.readings import DeviceState
from annexfleet_controller.things import Thing

_AT_ONCE = 500


def of_incident(db: Session, incident_id: int) -> Claim | None:
    """The newest claim about an incident."""
    query = select(FixClaim).where(FixClaim.incident_id == incident_id).order_by(FixClaim.id.desc()).limit(1)
    row = db.scalar(query)
    return None if row is None else _claim(row)


def of_incidents(db: Session, incident_ids: Collection[int]) -> dict[int, Claim]:
    """The newest claim about each of these incidents, where there is one."""
    found: dict[int, Claim] = {}
    for some in _chunks(sorted(incident_ids)):
        query = select(FixClaim).where(FixClaim.incident_id.in_(some)).order_by(FixClaim.id)
        found |= {row.incident_id: _claim(row) for row in db.scalars(query)}
    return found


def confirmed_lately(db: Session, annex_id: str, *, since: datetime) -> list[Claim]:
    """Claims about incidents of one annex that devices confirmed after this moment, the newest first."""
    query = (
        select(FixClaim)
        .join(IncidentRow, IncidentRow.id == FixClaim.incident_id)
        .where(IncidentRow.annex_id == annex_id, FixClaim.outcome == "confirmed", FixClaim.settled_at > since)
        .order_by(FixClaim.settled_at.desc())
    )
    return [_claim(row) for row in db.scalars(query)]


def add(db: Session, claim: Claim) -> tuple[Claim, bool]:
    """Keep a new claim: it with its id and True, or the one that is being verified already and False."""
    before = of_incident(db, claim.incident_id)
    if before is not None and before.outcome == "checking":
        return before, False
    try:
        with db.begin_nested():
            id_ = db.scalar(insert(FixClaim).values(**_values(claim)).returning(FixClaim.id))
    except IntegrityError:  # somebody else said so at the same moment
        other = of_incident(db, claim.incident_id)
        if other is None or other.outcome != "checking":
            raise
        return other, False
    assert id_ is not None, "the database numbers rows"
    return msgspec.structs.replace(claim, id=id_), True


def any_open(db: Session) -> bool:
    """Whether `open_ones` would give any."""
    return bool(db.scalar(select(exists().where(FixClaim.outcome == "checking"))))


def open_ones(db: Session) -> list[Claim]:
    """Every claim that is being verified, by id."""
    query = select(FixClaim).where(FixClaim.outcome == "checking").order_by(FixClaim.id)
    return [_claim(row) for row in db.scalars(query)]


def settle(db: Session, claim: Claim) -> bool:
    """Write what became of a claim; False if another worker did so before."""
    still_open = (FixClaim.id == claim.id, FixClaim.outcome == "checking")
    values = {"outcome": claim.outcome, "settled_at": claim.settled_at, "still": claim.still}
    done = db.execute(update(FixClaim).where(*still_open).values(**values))
    return bool(done.rowcount)  # type: ignore[attr-defined]


def heard_at(db: Session, numbers: Collection[int]) -> dict[int, datetime]:
    """When these devices were heard last, by number; those never heard are missing."""
    found: dict[int, datetime] = {}
    for some in _chunks(sorted(numbers)):
        query = select(DeviceState.device_number, DeviceState.heard_at)
        rows = db.execute(query.where(DeviceState.device_number.in_(some)))
        found |= {number: at for number, at in rows if at is not None}
    return found


_COPIED = ("incident_id", "cause", "claimed_at", "by", "deadline", "reads_within_s", "outcome", "settled_at", "still")


def _values(claim: Claim) -> dict[str, Any]:
    values = {name: getattr(claim, name) for name in _COPIED}
    return values | {
        "thing_kind": claim.thing.kind,
        "thing_id": claim.thing.id,
        "alerts": msgspec.json.encode(claim.alerts).decode(),
        "numbers": msgspec.json.encode(claim.numbers).decode(),
    }


def _claim(row: FixClaim) -> Claim:
    values = {name: getattr(row, name) for name in _COPIED}
    return Claim(
        id=row.id,
        thing=Thing(row.thing_kind, row.thing_id),  # type: ignore[arg-type]
        alerts=msgspec.json.decode(row.alerts.encode(), type=tuple[int, ...]),
        numbers=msgspec.json.decode(row.numbers.encode(), type=tuple[int, ...]),
        **values,
    )


def _chunks(numbers: "list[int]", size: int = _AT_ONCE) -> Iterable["list[int]"]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))
