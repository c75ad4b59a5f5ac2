"""Months in figures: each hour a share of the annexes is worked out anew, so that a country costs no more than it may.

A past month never changes once it is settled, three days after its end.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from annexfleet_controller.calendars.calendar import DEFAULT_TIME_ZONE
from annexfleet_controller.readiness import availability
from annexfleet_controller.reports import making
from annexfleet_controller.store import remembered, reports
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.work.worker import Worker

ANNEXES_A_TURN = 300
"""A province is worked out anew each hour; 1,800 annexes take six."""
_AT_ONCE = 20
_REFRESHED_AFTER = timedelta(minutes=50)
_MONTHS_BACK = 13
"""So far back months are worked out that nobody has worked out yet: after an upgrade, and for a year's comparison."""


def make_reports(worker: Worker) -> None:
    """The current month first, then those before it that are not settled; and what is kept no more goes."""
    now = worker.clock.now()
    with reading(worker.engine) as db:
        first = remembered.earliest(db) or now
    left = ANNEXES_A_TURN
    for month in making.months_back(first, now, DEFAULT_TIME_ZONE, at_most=_MONTHS_BACK):
        made = _make(worker, month, now=now, at_most=left)
        if made is None:
            return
        left -= made
        if left <= 0:
            break
    oldest = making.month_of(now - timedelta(days=worker.settings.keep_days_days), DEFAULT_TIME_ZONE)
    with writing(worker.engine) as db:
        reports.prune(db, before=oldest, at_most=2000)


def _make(worker: Worker, month: str, *, now: datetime, at_most: int) -> int | None:
    """How many annexes were worked out; None when the worker shall stop."""
    since, until = availability.bounds(month, DEFAULT_TIME_ZONE)
    with reading(worker.engine) as db:
        stale = reports.stale(
            db, month, begin=since, end=until, before=now - _REFRESHED_AFTER, at_most=at_most,
        )  # fmt: skip
        if not stale and not reports.province_is_behind(db, month):
            return 0
    if not make_some(worker, month, stale, now=now):
        return None
    add_up(worker, month)
    return len(stale)


def make_some(worker: Worker, month: str, annex_ids: Sequence[str], *, now: datetime) -> bool:
    """Work out a month of these annexes; False when the worker shall stop, with some of it done."""
    if not annex_ids:
        return True
    since, until = availability.bounds(month, DEFAULT_TIME_ZONE)
    with reading(worker.engine) as db:
        shared = remembered.month(db, since=since, until=until)
    for start in range(0, len(annex_ids), _AT_ONCE):
        with reading(worker.engine) as db:
            found = [
                (told.annex_id, making.made(told, month, now=now), told.calendar.time_zone)
                for told in remembered.told(db, shared, annex_ids[start : start + _AT_ONCE], since=since, until=until)
            ]
        with writing(worker.engine) as db:
            reports.put(db, [(id_, of, making.is_settled(now, month, zone)) for id_, of, zone in found])
        if not worker.go_on():
            return False
    return True


def add_up(worker: Worker, month: str) -> None:
    """A country is read for a second or two, in which nobody should wait for the writer's place."""
    with reading(worker.engine) as db:
        whole = reports.added_up(db, month)
    if whole is not None:
        with writing(worker.engine) as db:
            reports.put(db, [(reports.PROVINCE, *whole)])
