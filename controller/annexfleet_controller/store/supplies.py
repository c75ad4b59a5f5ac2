"""What printers had left, a day at a time, and what is on the shelf."""

from collections.abc import Collection, Iterable
from datetime import date, datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Select, delete, func, select, tuple_
from sqlalchemy.orm import Session

from annexfleet_controller.errors import Invalid
from annexfleet_controller.store import bulk
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.alerts import IncidentAnnex, IncidentRow
from annexfleet_controller.store.tables.supplies import SupplyDayRow, SupplyStock
from annexfleet_controller.things import Facts, Incident, SupplyDay, Thing

MOST_IN_STOCK = 9_999


class Stock(Struct, frozen=True):
    """A part on the shelf."""

    quantity: int
    updated_at: datetime
    by: str


_KEY = ("printer_id", "supply", "day")
_COLUMNS = (*_KEY, "annex_id", "kind", "colour", "level_ratio", "pages_count", "printer_name", "printer_model")


def note(db: Session, rows: Iterable[SupplyDay]) -> None:
    """Keep each supply's level of its day; a later one of the same day replaces it.

    One without a level replaces nothing: a printer that sleeps cannot tell, and what it told before still counts.
    """
    known: dict[tuple[str, str, str], tuple[object, ...]] = {}
    unknown: dict[tuple[str, str, str], tuple[object, ...]] = {}
    for row in rows:
        key = (row.printer_id, row.supply, row.day.isoformat())
        (unknown if row.level_ratio is None else known)[key] = (
            *key, row.annex_id, row.kind, row.colour, row.level_ratio, row.pages_count, row.printer_name,
            row.printer_model,
        )  # fmt: skip
    # In the keys' order, so that two writers never wait for each other in a circle.
    bulk.upsert(db, SupplyDayRow, _KEY, _COLUMNS, [known[key] for key in sorted(known)])
    bulk.insert_missing(db, SupplyDayRow, _KEY, _COLUMNS, [unknown[key] for key in sorted(unknown)])


def days_kept(db: Session, annex_id: str) -> int:
    """On how many days levels of an annex were written down."""
    query = select(func.count(SupplyDayRow.day.distinct())).where(SupplyDayRow.annex_id == annex_id)
    return db.scalar(query) or 0


def series(db: Session, scope: Scope, *, since: date, until: date | None = None, annex_id: str = "") -> list[SupplyDay]:
    """Every day of every supply in sight from `since` on: by annex, printer and supply, the oldest day first.

    With `until` none later than that day.
    """
    query = (
        select(SupplyDayRow.__table__)
        .where(scope.limit(SupplyDayRow.annex_id), SupplyDayRow.day >= since.isoformat())
        .order_by(SupplyDayRow.annex_id, SupplyDayRow.printer_id, SupplyDayRow.supply, SupplyDayRow.day)
    )
    if annex_id:
        query = query.where(SupplyDayRow.annex_id == annex_id)
    if until is not None:
        query = query.where(SupplyDayRow.day <= until.isoformat())
    return _days(db, query)


def of_printer(db: Session, scope: Scope, printer_id: str, *, since: date) -> list[SupplyDay]:
    """Every day of every supply of one printer from `since` on, by supply, the oldest day first."""
    query = (
        select(SupplyDayRow.__table__)
        .where(
            scope.limit(SupplyDayRow.annex_id), SupplyDayRow.printer_id == printer_id,
            SupplyDayRow.day >= since.isoformat(),
        )
        .order_by(SupplyDayRow.supply, SupplyDayRow.day)
    )  # fmt: skip
    return _days(db, query)


def latest(db: Session, scope: Scope, *, since: date) -> list[SupplyDay]:
    """The newest day of every supply in sight that was told of since then."""
    newest = (
        select(SupplyDayRow.printer_id, SupplyDayRow.supply, func.max(SupplyDayRow.day).label("day"))
        .where(scope.limit(SupplyDayRow.annex_id), SupplyDayRow.day >= since.isoformat())
        .group_by(SupplyDayRow.printer_id, SupplyDayRow.supply)
        .subquery()
    )
    query = (
        select(SupplyDayRow.__table__)
        .join(
            newest,
            (SupplyDayRow.printer_id == newest.c.printer_id)
            & (SupplyDayRow.supply == newest.c.supply)
            & (SupplyDayRow.day == newest.c.day),
        )
        .order_by(SupplyDayRow.annex_id, SupplyDayRow.printer_id, SupplyDayRow.supply)
    )
    return _days(db, query)


def count(db: Session, *, since: date, at_most: int) -> int:
    """How many supplies somebody told of since then, counted no further than `at_most`."""
    some = select(SupplyDayRow.printer_id, SupplyDayRow.supply).where(SupplyDayRow.day >= since.isoformat())
    return db.scalar(select(func.count()).select_from(some.distinct().limit(at_most).subquery())) or 0


def prune(db: Session, *, before: date, at_most: int) -> int:
    """Forget days before this one; gives how many rows went."""
    key = (SupplyDayRow.printer_id, SupplyDayRow.supply, SupplyDayRow.day)
    old = select(*key).where(SupplyDayRow.day < before.isoformat()).limit(at_most)
    gone = db.execute(delete(SupplyDayRow).where(tuple_(*key).in_(old)))
    return int(gone.rowcount)  # type: ignore[attr-defined]


def stock(db: Session) -> dict[str, Stock]:
    """What is on the shelf, by order key."""
    return {row.order_key: Stock(row.quantity, row.updated_at, row.by) for row in db.scalars(select(SupplyStock))}


def put_stock(db: Session, order_key: str, quantity: int, *, by: str, now: datetime) -> Stock:
    """Write down what was counted.  Raises Invalid for a number that no shelf holds."""
    if not 0 <= quantity <= MOST_IN_STOCK:
        raise Invalid(f"{quantity} on the shelf", field="quantity")
    row = db.merge(SupplyStock(order_key=order_key, quantity=quantity, updated_at=now, by=by[:80]))
    db.flush()
    return Stock(row.quantity, row.updated_at, row.by)


def open_incidents(db: Session, scope: Scope, *, kinds: Collection[str] | None, annex_id: str = "") -> list[Incident]:
    """Open incidents of these kinds (None: of all) in one annex each and in sight, the worst first.

    Muted ones are left out.
    """
    query = (
        select(IncidentRow)
        .join(IncidentAnnex, IncidentAnnex.incident_id == IncidentRow.id)
        .where(
            scope.limit(IncidentAnnex.annex_id),
            IncidentRow.annex_id == IncidentAnnex.annex_id,
            IncidentRow.state == "open",
            IncidentRow.muted.is_(False),
        )
        .order_by(IncidentRow.score.desc(), IncidentRow.opened_at, IncidentRow.id)
    )
    if kinds is not None:
        query = query.where(IncidentRow.kind.in_(kinds))
    if annex_id:
        query = query.where(IncidentRow.annex_id == annex_id)
    return [
        Incident(
            id=row.id, key=row.key, kind=row.kind, cause=row.cause,  # type: ignore[arg-type]  # written from a struct
            annex_id=row.annex_id, annexes=(row.annex_id,), thing=Thing(row.thing_kind, row.thing_id),  # type: ignore[arg-type]
            severity=row.severity, facts=msgspec.json.decode(row.facts, type=Facts),  # type: ignore[arg-type]
            began_at=row.began_at, opened_at=row.opened_at,
        )
        for row in db.scalars(query)
    ]  # fmt: skip


def _days(db: Session, query: "Select[Any]") -> list[SupplyDay]:
    return [SupplyDay(**{**row, "day": date.fromisoformat(row["day"])}) for row in db.execute(query).mappings()]
