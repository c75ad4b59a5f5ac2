"""Opening hours: documents of the province and its annexes, holidays, Ramadans; and the calendars they make."""

import logging
from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from annexfleet_controller import zones
from annexfleet_controller.calendars import Calendar, CalendarDocument, Holiday, Missing, Ramadan, parse, resolve
from annexfleet_controller.calendars import missing_religious as missing_of
from annexfleet_controller.calendars import written as as_json
from annexfleet_controller.calendars.calendar import DEFAULT_TIME_ZONE
from annexfleet_controller.calendars.holidays import feast_days
from annexfleet_controller.errors import AnnexUnknown, CalendarChanged, CalendarWrong, HolidayUnknown
from annexfleet_controller.store.tables.calendars import CalendarRow, HolidayRow, RamadanRow
from annexfleet_controller.store.tables.places import Annex

log = logging.getLogger(__name__)

PROVINCE = ""
"""The scope of the document that counts for every annex."""
MOST_HOLIDAYS_A_YEAR = 60
_A_FEAST_MOVES_BY = timedelta(days=12)
"""Entered again within so many days, it is the same feast, corrected."""
_SHARED = 4
"""Provinces' documents, with the holidays of their time, whose calendars are remembered."""


class Kept(Struct, frozen=True):
    """A document with where it comes from; version 0 if nobody ever wrote one."""

    document: CalendarDocument
    version: int = 0
    updated_at: datetime | None = None
    updated_by: str = ""

    @property
    def is_own(self) -> bool:
        return self.document != CalendarDocument()


class EnteredHoliday(Struct, frozen=True):
    holiday: Holiday
    entered_at: datetime
    entered_by: str


class EnteredRamadan(Struct, frozen=True):
    ramadan: Ramadan
    entered_at: datetime
    entered_by: str


# -- calendars


def of_all(db: Session) -> dict[str, Calendar]:
    """The calendar of every annex, by its id.  Annexes with the same hours share one, from one call to the next too."""
    documents = _texts(db)
    shared = _shared(documents.get(PROVINCE, ""), *_entered(db))
    annexes = db.execute(select(Annex.id, Annex.time_zone))
    return {annex_id: shared.calendar(documents.get(annex_id, ""), zone) for annex_id, zone in annexes}


def of(db: Session, annex_id: str) -> Calendar:
    """The calendar of one annex.  Raises AnnexUnknown."""
    zone = db.scalar(select(Annex.time_zone).where(Annex.id == annex_id))
    if zone is None:
        raise AnnexUnknown(f"no annex {annex_id!r}")
    documents = _texts(db, PROVINCE, annex_id)
    return _shared(documents.get(PROVINCE, ""), *_entered(db)).calendar(documents.get(annex_id, ""), zone)


def of_province(db: Session) -> Calendar:
    """What counts for an annex without a document of its own."""
    text = _texts(db, PROVINCE).get(PROVINCE, "")
    return _shared(text, *_entered(db)).calendar("", DEFAULT_TIME_ZONE)


class _Shared:
    """Calendars of annexes under one province's document, each made once, so that what it has worked out stays."""

    def __init__(
        self, province: CalendarDocument, holidays: tuple[Holiday, ...], ramadans: tuple[Ramadan, ...]
    ) -> None:
        self._province = province
        self._holidays = holidays
        self._ramadans = ramadans
        self._made: dict[tuple[str, str], Calendar] = {}

    def calendar(self, document: str, zone: str) -> Calendar:
        made = self._made.get((document, zone))
        if made is None:
            annex = _decode(document)
            made = resolve(self._province, annex, self._holidays, self._ramadans, _known_zone(zone))
            if len(self._made) >= 10_000:  # every version of every document that this process has seen
                self._made.clear()
            self._made[document, zone] = made
        return made


@lru_cache(maxsize=_SHARED)
def _shared(province: str, holidays: tuple[Holiday, ...], ramadans: tuple[Ramadan, ...]) -> _Shared:
    return _Shared(_decode(province), holidays, ramadans)


def _texts(db: Session, *scopes: str) -> dict[str, str]:
    """The documents of these scopes, or of all, by scope."""
    query = select(CalendarRow.scope, CalendarRow.document)
    rows = db.execute(query.where(CalendarRow.scope.in_(scopes)) if scopes else query)
    return {row.scope: row.document for row in rows}


def _entered(db: Session) -> tuple[tuple[Holiday, ...], tuple[Ramadan, ...]]:
    return tuple(one.holiday for one in holidays(db)), tuple(one.ramadan for one in ramadans(db))


def _known_zone(name: str) -> str:
    try:
        zones.zone(name)
    except ValueError:  # known when the annex was created, gone from tzdata since
        log.exception("annex has a time zone that is not known zone=%s", name)
        return DEFAULT_TIME_ZONE
    return name


# -- documents


def get(db: Session, scope: str) -> Kept:
    """The document of the province or of an annex."""
    return documents(db, [scope])[scope]


def documents(db: Session, scopes: Collection[str]) -> dict[str, Kept]:
    """The documents of these scopes, each of them."""
    rows = db.scalars(select(CalendarRow).where(CalendarRow.scope.in_(scopes)))
    found = {row.scope: Kept(_decode(row.document), row.version, row.updated_at, row.updated_by) for row in rows}
    return {scope: found.get(scope, Kept(CalendarDocument())) for scope in scopes}


def put(db: Session, scope: str, document: CalendarDocument, *, version: int, by: str, now: datetime) -> int:
    """Write a document over that of `version`, 0 for none; gives its new version.

    Raises CalendarChanged if somebody wrote another one meanwhile.  Whether the annex exists is the caller's matter.
    """
    return _put(db, scope, _encode(document), version=version, by=by, now=now)


def _put(db: Session, scope: str, text: str, *, version: int, by: str, now: datetime) -> int:
    values = {"document": text, "version": version + 1, "updated_at": now, "updated_by": by}
    if version == 0:
        _insert(db, CalendarRow(scope=scope, **values))
        return 1
    changed = db.execute(
        update(CalendarRow)
        .where(CalendarRow.scope == scope, CalendarRow.version == version)
        .values(values)
        .execution_options(synchronize_session="fetch")
    )
    if not changed.rowcount:  # type: ignore[attr-defined]
        raise CalendarChanged(f"the calendar of {scope!r} is no longer version {version}")
    return version + 1


def take_back(db: Session, annex_id: str, *, by: str, now: datetime) -> None:
    """Back to the province's hours, whatever the version."""
    kept = get(db, annex_id)
    if kept.is_own:
        put(db, annex_id, CalendarDocument(), version=kept.version, by=by, now=now)


def record(db: Session, scope: str) -> list[str | int]:
    """The document as text, whatever version of this program wrote it, and its version."""
    row = db.get(CalendarRow, scope, populate_existing=True)
    return ["", 0] if row is None else [row.document, row.version]


def restore(db: Session, scope: str, text: str, *, by: str, now: datetime) -> None:
    """Write what `record` gave, over whatever stands."""
    _put(db, scope, text, version=int(record(db, scope)[1]), by=by, now=now)


def _encode(document: CalendarDocument) -> str:
    if document == CalendarDocument():
        return ""
    return msgspec.json.encode(as_json(document)).decode()


def _decode(text: str) -> CalendarDocument:
    """Nothing decided, for a text that cannot be read: written by a newer version, perhaps, and better closed by the
    province's hours than not at all."""
    if not text:
        return CalendarDocument()
    try:
        return parse(msgspec.json.decode(text))
    except (CalendarWrong, msgspec.DecodeError):
        log.exception("calendar document cannot be read text=%s", text[:200])
        return CalendarDocument()


# -- holidays


def holidays(db: Session, *, since: date | None = None, until: date | None = None) -> list[EnteredHoliday]:
    """Those that were entered, from a day to a day, both included; in order."""
    query = select(HolidayRow).order_by(HolidayRow.day, HolidayRow.name)
    if since is not None:
        query = query.where(HolidayRow.day >= since.isoformat())
    if until is not None:
        query = query.where(HolidayRow.day <= until.isoformat())
    return [
        EnteredHoliday(
            Holiday(date.fromisoformat(row.day), row.name, row.religious), row.entered_at, row.entered_by
        )
        for row in db.scalars(query)
    ]  # fmt: skip


def add_holiday(db: Session, day: date, name: str, *, by: str, now: datetime) -> Holiday:
    """A day that is a holiday this once.  One that is there already stays.

    Raises CalendarWrong when its year is full.
    """
    _check_room(db, day.year)
    if db.get(HolidayRow, (day.isoformat(), name)) is None:
        _insert(db, HolidayRow(day=day.isoformat(), name=name, religious=False, entered_at=now, entered_by=by))
    return Holiday(day, name)


def enter_feast(db: Session, name: str, first_day: date, *, by: str, now: datetime) -> list[Holiday]:
    """The days of a religious holiday; entered again within 12 days it is moved.  Raises CalendarWrong."""
    days = feast_days(name, first_day)
    near = HolidayRow.day.between(
        (first_day - _A_FEAST_MOVES_BY).isoformat(), (first_day + _A_FEAST_MOVES_BY).isoformat()
    )
    db.execute(delete(HolidayRow).where(HolidayRow.name == name, HolidayRow.religious, near))
    _check_room(db, first_day.year)
    for day in days:
        row = HolidayRow(day=day.date.isoformat(), name=name, religious=True, entered_at=now, entered_by=by)
        _insert(db, row)
    return days


def remove_holiday(db: Session, day: date, name: str) -> None:
    """Raises HolidayUnknown."""
    gone = db.execute(delete(HolidayRow).where(HolidayRow.day == day.isoformat(), HolidayRow.name == name))
    if not gone.rowcount:  # type: ignore[attr-defined]
        raise HolidayUnknown


def holiday_records(db: Session) -> list[list[Any]]:
    """All that were entered, in order, as plain values."""
    return [
        [one.holiday.date.isoformat(), one.holiday.name, one.holiday.religious, one.entered_at.isoformat(),
         one.entered_by]
        for one in holidays(db)
    ]  # fmt: skip


def put_holidays(db: Session, records: Sequence[Sequence[Any]]) -> None:
    """These and no others, as `holiday_records` gave them."""
    db.execute(delete(HolidayRow))
    for day, name, religious, at, by in records:
        db.add(
            HolidayRow(
                day=day, name=name, religious=religious, entered_at=datetime.fromisoformat(at), entered_by=by
            )
        )  # fmt: skip
    db.flush()


def _check_room(db: Session, year: int) -> None:
    if len(holidays(db, since=date(year, 1, 1), until=date(year, 12, 31))) >= MOST_HOLIDAYS_A_YEAR:
        raise CalendarWrong(field="date", reason="too_many")


# -- Ramadan


def ramadans(db: Session) -> Sequence[EnteredRamadan]:
    """Those that were entered, in order."""
    return [
        EnteredRamadan(
            Ramadan(row.year, date.fromisoformat(row.first_day), date.fromisoformat(row.last_day), row.confirmed),
            row.entered_at, row.entered_by,
        )
        for row in db.scalars(select(RamadanRow).order_by(RamadanRow.year))
    ]  # fmt: skip


def put_ramadan(db: Session, ramadan: Ramadan, *, by: str, now: datetime) -> None:
    """Enter it, or correct what was entered for its year."""
    values = {
        "first_day": ramadan.first_day.isoformat(), "last_day": ramadan.last_day.isoformat(),
        "confirmed": ramadan.confirmed, "entered_at": now, "entered_by": by,
    }  # fmt: skip
    changed = db.execute(update(RamadanRow).where(RamadanRow.year == ramadan.year).values(values))
    if not changed.rowcount:  # type: ignore[attr-defined]
        _insert(db, RamadanRow(year=ramadan.year, **values))


def remove_ramadan(db: Session, year: int) -> None:
    """Raises HolidayUnknown."""
    gone = db.execute(delete(RamadanRow).where(RamadanRow.year == year))
    if not gone.rowcount:  # type: ignore[attr-defined]
        raise HolidayUnknown


def ramadan_records(db: Session) -> list[list[Any]]:
    """All that were entered, in order, as plain values."""
    return [
        [one.ramadan.year, one.ramadan.first_day.isoformat(), one.ramadan.last_day.isoformat(), one.ramadan.confirmed,
         one.entered_at.isoformat(), one.entered_by]
        for one in ramadans(db)
    ]  # fmt: skip


def put_ramadans(db: Session, records: Sequence[Sequence[Any]]) -> None:
    """These and no others, as `ramadan_records` gave them."""
    db.execute(delete(RamadanRow))
    for year, first, last, confirmed, at, by in records:
        db.add(
            RamadanRow(
                year=year, first_day=first, last_day=last, confirmed=confirmed,
                entered_at=datetime.fromisoformat(at), entered_by=by,
            )
        )  # fmt: skip
    db.flush()


def missing(db: Session, now: datetime) -> list[Missing]:
    """The religious dates that somebody has to enter or confirm, in order."""
    entered = _entered(db)
    return missing_of(*entered, now)


def _insert(db: Session, row: CalendarRow | HolidayRow | RamadanRow) -> None:
    """Raises CalendarChanged if somebody else was first."""
    try:
        with db.begin_nested():
            db.add(row)
    except IntegrityError:
        raise CalendarChanged(f"somebody wrote the same row of {row.__tablename__} meanwhile") from None
