"""When disks are full and supplies are empty: worked out in turn, a few at a time, because a trend changes slowly."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from annexfleet_agent.protocol.messages import Value
from annexfleet_controller import trend, zones
from annexfleet_controller.alerts.books import Books
from annexfleet_controller.alerts.fleet import Fleet
from annexfleet_controller.store import history, supplies
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.supplies import forecast

log = logging.getLogger(__name__)

_Key = TypeVar("_Key", int, str)

DISKS_EVERY = timedelta(minutes=30)
SUPPLIES_EVERY = timedelta(hours=1)
AVERAGES_EVERY = timedelta(days=1)
FROM_USED_RATIO = 0.6
"""Of an emptier disk nobody asks when it is full."""
_LOOK_BACK = timedelta(days=7)
_QUEUES_LOOK_BACK = timedelta(days=14)
_SUPPLIES_LOOK_BACK = timedelta(days=90)
_DISKS_AT_ONCE = 4
_REST = timedelta(seconds=30)
"""When no disk was due nobody goes through all of them again so soon."""
_ANNEXES_AT_ONCE = 2
"""In one look, so that it delays no alert; at one look every 2 s that is 3,600 disks and 3,600 annexes an hour."""


class Trends:
    """What was worked out last."""

    def __init__(self) -> None:
        self.disk_full_in_s: dict[int, dict[str, float]] = {}
        """By device number and mount point, from the moment it was worked out."""
        self.supply_days_left: dict[tuple[str, str], float] = {}
        """Opening days, by printer and supply."""
        self.average_waiting: dict[str, dict[str, float]] = {}
        """People who wait on average in opening hours, by annex and service."""
        self._averages_at: dict[str, datetime] = {}
        self._disks_at: dict[int, datetime] = {}
        self._disks_rest_until: datetime | None = None
        self._supplies_at: dict[str, datetime] = {}

    def renew(self, db: Session, fleet: Fleet, books: Books, *, now: datetime) -> None:
        """Work out a few of those that are due."""
        if self._disks_rest_until is None or now >= self._disks_rest_until:
            filling = (number for number, view in fleet.views.items() if any(map(_is_filling, view.disks.values())))
            numbers = _due(filling, self._disks_at, now - DISKS_EVERY, _DISKS_AT_ONCE)
            for number in numbers:
                self._disks_at[number] = now
                with _fence("disks", number):
                    self.disk_full_in_s[number] = self._disks(db, number, fleet, now)
            self._disks_rest_until = None if numbers else now + _REST
        for annex_id in _due(fleet.annexes, self._supplies_at, now - SUPPLIES_EVERY, _ANNEXES_AT_ONCE):
            self._supplies_at[annex_id] = now
            with _fence("supplies", annex_id):
                self._supplies(db, annex_id, books, now)
        for annex_id in _due(fleet.annexes, self._averages_at, now - AVERAGES_EVERY, _ANNEXES_AT_ONCE):
            self._averages_at[annex_id] = now
            with _fence("queues", annex_id):
                self.average_waiting[annex_id] = self._averages(db, annex_id, fleet, books, now)
            if not self.average_waiting.get(annex_id):  # a new annex: look again when there is something to see
                self._averages_at[annex_id] = now - AVERAGES_EVERY + DISKS_EVERY

    def _disks(self, db: Session, number: int, fleet: Fleet, now: datetime) -> dict[str, float]:
        found: dict[str, float] = {}
        for mount, values in fleet.views[number].disks.items():
            if not _is_filling(values):
                continue
            told = history.series(db, number, f"disk:{mount}", "disk_used_ratio", since=now - _LOOK_BACK, until=now)
            points = [
                (datetime.fromtimestamp(at, now.tzinfo), value)
                for at, value in zip(told.at, told.values, strict=True)
                if value is not None
            ]
            full = trend.disk_full_in(points, now=now)
            if full is not None:
                found[mount] = full.earliest if full.is_tight else full.reaches_in
        return found

    @staticmethod
    def _averages(db: Session, annex_id: str, fleet: Fleet, books: Books, now: datetime) -> dict[str, float]:
        calendar = books.calendar(annex_id)
        found: dict[str, float] = {}
        for device in fleet.of_annex(annex_id):
            for queue in device.queues:
                told = history.series(
                    db, device.number, f"queue:{queue.service}", "queue_waiting_count", since=now - _QUEUES_LOOK_BACK,
                    until=now,
                )  # fmt: skip
                waiting = [
                    value
                    for at, value in zip(told.at, told.values, strict=True)
                    if value is not None and calendar.is_open(datetime.fromtimestamp(at, now.tzinfo))
                ]
                if waiting:
                    found[queue.service] = sum(waiting) / len(waiting)
        return found

    def _supplies(self, db: Session, annex_id: str, books: Books, now: datetime) -> None:
        since = (now - _SUPPLIES_LOOK_BACK).astimezone(zones.PROVINCE).date()
        rows = supplies.series(db, WHOLE, since=since, annex_id=annex_id)
        for key, days_left in forecast.days_left(rows, books.calendar(annex_id), now).items():
            cautious = forecast.cautious(days_left)
            if cautious is None:
                self.supply_days_left.pop(key, None)
            else:
                self.supply_days_left[key] = cautious


@contextmanager
def _fence(what: str, of: object) -> Iterator[None]:
    """What was told of one device or annex must not keep the others' trends, and the watch, from going on."""
    try:
        yield
    except SQLAlchemyError:
        raise
    except Exception:
        log.exception("trend cannot be worked out what=%s of=%s", what, of)


def _is_filling(values: Mapping[str, Value]) -> bool:
    used = values.get("disk_used_ratio")
    return isinstance(used, int | float) and used >= FROM_USED_RATIO


def _due(keys: Iterable[_Key], done: dict[_Key, datetime], before: datetime, at_most: int) -> list[_Key]:
    found = []
    for key in keys:
        if key not in done or done[key] < before:
            found.append(key)
            if len(found) == at_most:
                break
    return found
