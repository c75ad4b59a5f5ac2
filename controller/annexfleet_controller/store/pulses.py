"""One row a committed batch: which devices and annexes it touched.  Open pages and the watch loop follow these rows."""

import json
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.talk import Pulse as PulseRow

_LATE = timedelta(seconds=10)
"""Rows of several processes can become visible out of order; after this long none is awaited any more."""
_LATE_AT_MOST = 1000
"""Numbers: so many batches are more than a few seconds hold."""


class Pulse(NamedTuple):
    """What a batch touched.

    Devices with letters: b(eat) c(hange) l(ive) h(ello) g(one) k (a command); annexes with letters: a(lert) i(ncident)
    r(eadiness) m(aintenance) u (a run) o (a rollout) d (what is wanted, or who differs), where an empty name stands for
    the province.
    """

    id: int
    at: datetime
    devices: dict[int, str]
    annexes: dict[str, str]


COLUMNS = (PulseRow.id, PulseRow.at, PulseRow.devices, PulseRow.annexes)


def pulse(id_: int, at: datetime, devices: str, annexes: str) -> Pulse:
    """A pulse from its row."""
    return Pulse(id_, at, {int(k): v for k, v in json.loads(devices).items()}, json.loads(annexes))


class Follower:
    """Hands out every pulse once, from now on, in whichever order the processes that write them commit."""

    def __init__(self) -> None:
        self._after: int | None = None
        self._seen: deque[tuple[datetime, int]] = deque()

    def poll(self, db: Session) -> list[Pulse]:
        """What came since the last call, oldest first; the first call gives nothing and starts from there."""
        if self._after is None:
            self._begin(db)
            return []
        seen = {number for _, number in self._seen}
        rows = db.execute(select(*COLUMNS).where(PulseRow.id > self._after).order_by(PulseRow.id))
        fresh = [row for row in rows if row.id not in seen]
        self._seen.extend((row.at, row.id) for row in fresh)
        while self._seen and self._seen[0][0] < self._seen[-1][0] - _LATE:
            self._after = max(self._after, self._seen.popleft()[1])
        return [pulse(*row) for row in fresh]

    def _begin(self, db: Session) -> None:
        """From now on; rows with lower numbers than the newest may still be on their way."""
        newest = db.execute(select(PulseRow.id, PulseRow.at).order_by(PulseRow.id.desc()).limit(1)).one_or_none()
        if newest is None:
            self._after = 0
            return
        query = select(PulseRow.at, PulseRow.id).where(
            PulseRow.id > newest.id - _LATE_AT_MOST, PulseRow.at >= newest.at - _LATE
        )
        self._seen.extend((row.at, row.id) for row in db.execute(query.order_by(PulseRow.id)))
        self._after = self._seen[0][1] - 1


def add(
    db: Session,
    devices: Mapping[int, str],
    *,
    now: datetime,
    origin: str = "ingest",
    annexes: Mapping[str, str] | None = None,
) -> None:
    """Tell which devices and annexes this transaction touched, and how."""
    if devices or annexes:
        text = json.dumps({str(number): kinds for number, kinds in devices.items()}, separators=(",", ":"))
        places = json.dumps(annexes or {}, separators=(",", ":"))
        db.add(PulseRow(at=now, devices=text, annexes=places, origin=origin))


def prune(db: Session, *, before: datetime) -> None:
    """Forget pulses that every open page has seen long ago."""
    db.execute(delete(PulseRow).where(PulseRow.at < before))
