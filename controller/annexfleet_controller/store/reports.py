"""Months in figures as they were worked out."""

import logging
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, true
from sqlalchemy.orm import Session

from annexfleet_controller.reports import Figures, merged
from annexfleet_controller.store import bulk
from annexfleet_controller.store.annexes import like
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.places import Annex, District
from annexfleet_controller.store.tables.reports import ReportMonth

log = logging.getLogger(__name__)

PROVINCE = "*"
"""As an area: no annex can be called so."""

Order = Literal["worst", "incidents", "name"]
_decoder = msgspec.json.Decoder(Figures)
_COLUMNS = (
    "month", "area", "as_of", "settled", "open_s", "serving_s", "blocked_s", "unknown_s", "maintenance_s",
    "served_ratio", "incidents", "incidents_s", "pages", "jams", "payload",
)  # fmt: skip


class Line(Struct, frozen=True, kw_only=True):
    """A month of an annex or of a district, in one line.  Seconds are of opening time."""

    id: str
    """Of the annex or the district; empty: the annexes of none."""
    name_fr: str
    name_ar: str
    district_id: str = ""
    annexes: int = 1
    open_s: float
    serving_s: float
    blocked_s: float
    unknown_s: float
    maintenance_s: float
    incidents: int
    incidents_s: float
    pages: int | None
    jams: int

    @property
    def served_ratio(self) -> float | None:
        known_s = self.serving_s + self.blocked_s
        return self.serving_s / known_s if known_s else None

    @property
    def known_ratio(self) -> float | None:
        judged_s = self.serving_s + self.blocked_s + self.unknown_s
        return (self.serving_s + self.blocked_s) / judged_s if judged_s else None


class Page(Struct, frozen=True):
    """Some lines of a longer list."""

    lines: list[Line]
    count: int
    """Of the whole list."""


def put(db: Session, found: Sequence[tuple[str, Figures, bool]]) -> None:
    """(area, figures, settled) to be kept; what was kept of the same month and area goes."""
    rows = [
        (
            of.month, area, bulk.micros(of.as_of.timestamp()), settled, of.whole.open_s, of.whole.serving_s,
            of.whole.blocked_s, of.whole.unknown_s, of.whole.maintenance_s, of.whole.served_ratio, of.incidents.count,
            of.incidents.open_s, of.printing.pages if of.printing.counted else None, of.printing.jams,
            zlib.compress(msgspec.json.encode(of), 3),
        )
        for area, of, settled in sorted(found, key=lambda one: one[0])
    ]  # fmt: skip
    bulk.upsert(db, ReportMonth, _COLUMNS[:2], _COLUMNS, rows)


def stale(db: Session, month: str, *, begin: datetime, end: datetime, before: datetime, at_most: int) -> list[str]:
    """Annexes whose month was never worked out, or last before this moment and not for good; the oldest first."""
    query = (
        select(Annex.id)
        .join(ReportMonth, and_(ReportMonth.month == month, ReportMonth.area == Annex.id), isouter=True)
        .where(
            Annex.created_at < end,
            Annex.retired_at.is_(None) | (Annex.retired_at > begin),
            or_(ReportMonth.as_of.is_(None), and_(ReportMonth.as_of < before, ReportMonth.settled.is_(False))),
        )
        .order_by(ReportMonth.as_of.is_not(None), ReportMonth.as_of, Annex.id)
    )
    return list(db.scalars(query.limit(at_most)))


def province_is_behind(db: Session, month: str) -> bool:
    """Whether the province is to be added up though no annex is: it never was, or not since all were settled."""
    kept = db.scalar(select(ReportMonth.settled).where(ReportMonth.month == month, ReportMonth.area == PROVINCE))
    if kept is None:
        return bool(db.scalar(select(exists().where(ReportMonth.month == month))))
    return not kept and _all_settled(db, month)


def added_up(db: Session, month: str) -> tuple[Figures, bool] | None:
    """The province's month, from those of its annexes, and whether all of these are settled; None without any."""
    settled = _all_settled(db, month)
    parts = _figures(db, select(ReportMonth.payload).where(ReportMonth.month == month, ReportMonth.area != PROVINCE))
    whole = merged(parts)
    return None if whole is None else (whole, settled)


def add_up(db: Session, month: str) -> None:
    """Keep the province's month, from those of its annexes."""
    found = added_up(db, month)
    if found is not None:
        put(db, [(PROVINCE, *found)])


def _all_settled(db: Session, month: str) -> bool:
    of_annexes = (ReportMonth.month == month, ReportMonth.area != PROVINCE)
    return not db.scalar(select(exists().where(*of_annexes, ReportMonth.settled.is_(False))))


def months(db: Session) -> list[str]:
    """Those of which anything is kept, the newest first."""
    query = select(ReportMonth.month).where(ReportMonth.area == PROVINCE)
    return list(db.scalars(query.order_by(ReportMonth.month.desc())))


def figures(
    db: Session, scope: Scope, month: str, *, annex_id: str = "", district_id: str | None = None
) -> Figures | None:
    """A month of one annex, of a district, or of all that is in sight; None if nothing is kept.

    Whether the annex may be seen is the caller's matter too: out of sight there is nothing.
    """
    of_month = select(ReportMonth.payload).where(ReportMonth.month == month)
    if annex_id:
        return merged(_figures(db, of_month.where(ReportMonth.area == annex_id, scope.limit(ReportMonth.area))))
    if district_id is None and scope.annexes is None:
        found = _figures(db, of_month.where(ReportMonth.area == PROVINCE))
        return found[0] if found else None
    query = of_month.join(Annex, Annex.id == ReportMonth.area).where(scope.limit(Annex.id))
    if district_id is not None:
        query = query.where(Annex.district_id == district_id)
    return merged(_figures(db, query))


def lines(
    db: Session,
    scope: Scope,
    month: str,
    *,
    annex_id: str = "",
    district_id: str | None = None,
    search: str = "",
    order: Order = "worst",
    offset: int = 0,
    limit: int | None = None,
) -> Page:
    """A month of each annex in sight, in this order, from that place on."""
    where: list[ColumnElement[bool]] = [ReportMonth.month == month, scope.limit(Annex.id)]
    if annex_id:
        where.append(Annex.id == annex_id)
    if district_id is not None:
        where.append(Annex.district_id == district_id)
    if search:
        pattern = like(search)
        names = (Annex.id, Annex.name_fr, Annex.name_ar)
        where.append(or_(*(name.ilike(pattern, escape="\\") for name in names)))
    joined = and_(Annex.id == ReportMonth.area, *where)
    count = db.scalar(select(func.count()).select_from(ReportMonth).join(Annex, joined)) or 0
    query = select(Annex.id, Annex.name_fr, Annex.name_ar, Annex.district_id, *_shown()).join(ReportMonth, joined)
    query = query.order_by(*_ORDERS[order], Annex.id)
    rows = db.execute(query.offset(offset).limit(limit)).mappings()
    return Page([Line(**row) for row in rows], count)


def districts(db: Session, scope: Scope, month: str) -> list[Line]:
    """A month of each district, as far as it is in sight, by id; the annexes of none come last."""
    sums = [func.sum(column).label(column.key) for column in _shown()]
    query: Select[Any] = (
        select(Annex.district_id, func.count().label("annexes"), *sums)
        .join(ReportMonth, ReportMonth.area == Annex.id)
        .where(ReportMonth.month == month, scope.limit(Annex.id))
        .group_by(Annex.district_id)
    )
    names = {row.id: row for row in db.scalars(select(District))}
    found = []
    for row in db.execute(query).mappings():
        values: dict[str, Any] = dict(row)
        id_ = values.pop("district_id")
        known = names.get(id_)
        values["pages"] = None if values["pages"] is None else int(values["pages"])
        whole: dict[str, Any] = {name: int(values.pop(name)) for name in ("incidents", "jams")}
        found.append(
            Line(
                id=id_ if known else "", name_fr=known.name_fr if known else "", name_ar=known.name_ar if known else "",
                **values, **whole,
            )
        )  # fmt: skip
    return sorted(found, key=lambda line: (not line.id, line.id))


def district_names(db: Session, scope: Scope) -> dict[str, tuple[str, str]]:
    """French and Arabic names, by id, of the districts that have an annex in sight."""
    held = select(Annex.district_id).where(scope.limit(Annex.id), Annex.district_id != "")
    query = select(District).where(true() if scope.annexes is None else District.id.in_(held)).order_by(District.id)
    return {row.id: (row.name_fr, row.name_ar) for row in db.scalars(query)}


def prune(db: Session, *, before: str, at_most: int) -> int:
    """Forget months before this one; gives how many rows went."""
    old = select(ReportMonth.month, ReportMonth.area).where(ReportMonth.month < before).limit(at_most)
    keys = [tuple(row) for row in db.execute(old)]
    for month, area in keys:
        db.execute(delete(ReportMonth).where(ReportMonth.month == month, ReportMonth.area == area))
    return len(keys)


def _shown() -> "tuple[Any, ...]":
    of = ReportMonth
    return (
        of.open_s, of.serving_s, of.blocked_s, of.unknown_s, of.maintenance_s, of.incidents, of.incidents_s, of.pages,
        of.jams,
    )  # fmt: skip


_ORDERS: dict[str, tuple[Any, ...]] = {
    # Of what nobody knows anything is not said to be bad: it comes after what is.
    "worst": (func.coalesce(ReportMonth.served_ratio, 2.0), ReportMonth.incidents_s.desc()),
    "incidents": (ReportMonth.incidents.desc(), ReportMonth.incidents_s.desc()),
    "name": (Annex.name_fr,),
}


def _figures(db: Session, query: Select[Any]) -> list[Figures]:
    """Without those that cannot be read: a newer version wrote them."""
    found = []
    for payload in db.scalars(query):
        try:
            found.append(_decoder.decode(zlib.decompress(payload)))
        except (msgspec.MsgspecError, zlib.error):
            log.exception("report of a month cannot be read")
    return found
