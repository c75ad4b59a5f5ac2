"""One row a committed batch: which devices it touched.  Open pages follow these rows."""

import json
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.talk import Pulse as PulseRow

_LATE = timedelta(seconds=10)
"""Rows of several processes can become visible out of order; after this long none is awaited any more."""


class Pulse(NamedTuple):
    """Devices that a batch touched, each with letters: b(eat) c(hange) l(ive) h(ello) g(one)."""

    id: int
    at: datetime
    devices: dict[int, str]


class Follower:
    """Hands out every pulse once, from now on, in whichever order the processes that write them commit."""

    def __init__(self) -> None:
        self._after: int | None = None
        self._seen: deque[tuple[datetime, int]] = deque()

    def poll(self, db: Session) -> list[Pulse]:
        """What came since the last call, oldest first; the first call gives nothing and starts from there."""
        if self._after is None:
            self._after = db.scalar(select(func.max(PulseRow.id))) or 0
            return []
        seen = {number for _, number in self._seen}
        columns = (PulseRow.id, PulseRow.at, PulseRow.devices)
        rows = db.execute(select(*columns).where(PulseRow.id > self._after).order_by(PulseRow.id))
        fresh = [row for row in rows if row.id not in seen]
        self._seen.extend((row.at, row.id) for row in fresh)
        while self._seen and self._seen[0][0] < self._seen[-1][0] - _LATE:
            self._after = max(self._after, self._seen.popleft()[1])
        return [Pulse(row.id, row.at, {int(k): v for k, v in json.loads(row.devices).items()}) for row in fresh]


def add(db: Session, devices: Mapping[int, str], *, now: datetime, origin: str = "ingest") -> None:
    """Tell which devices this transaction touched, and how."""
    if devices:
        text = json.dumps({str(number): kinds for number, kinds in devices.items()}, separators=(",", ":"))
        db.add(PulseRow(at=now, devices=text, origin=origin))


def prune(db: Session, *, before: datetime) -> None:
    """Forget pulses that every open page has seen long ago."""
    db.execute(delete(PulseRow).where(PulseRow.at < before))
