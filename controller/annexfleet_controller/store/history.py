"""How a device's numbers went: beats as they came, and the hours and days that older ones were folded into."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import groupby
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Summary
from annexfleet_controller.store import bulk, folding
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import History

AS_IT_CAME = 0
HOUR = 3600
DAY = 86_400

_decode = msgspec.json.Decoder(Beat).decode
"""What stands here was checked when it came, and an hour may be longer than what is believed of a device."""
_STEPS = (AS_IT_CAME, 900, 1800, HOUR, 3 * HOUR, 6 * HOUR, DAY)
"""What a chart's points may sum up, in seconds."""
_BEAT_S = 300
_POINTS = 750
"""About as many as a chart has pixels.  24 h show every beat, 7 days quarters of an hour, 90 days three hours."""


class Series(msgspec.Struct, frozen=True):
    """One number over time: lists of equal length, oldest first, as uPlot draws them.

    `at` in Unix seconds, the rest in the unit the metric's name ends with.  Where a device was silent, or had no such
    reading, there is a None, never a zero.
    """

    at: list[float]
    values: list[float | None]
    """Means."""
    mins: list[float | None]
    maxs: list[float | None]
    step_s: int
    """What a point sums up; 0: a beat as it came."""


class _Point(NamedTuple):
    at: float
    width_s: float
    value: Summary | None


def add(db: Session, beats: Iterable[tuple[int, float, bytes]]) -> None:
    """(device number, at, payload) of beats as they came."""
    columns = ("device_number", "resolution_s", "at", "payload")
    rows = [(number, AS_IT_CAME, bulk.micros(at), payload) for number, at, payload in beats]
    bulk.insert(db, History, columns, rows)


def series(
    db: Session,
    device_number: int,
    subject: str,
    metric: str,
    *,
    since: datetime,
    until: datetime,
    points: int = _POINTS,
) -> Series:
    """One number of one device over time.

    The longer the span, the more a point sums up, so that there are never many more than `points`.  All lists are empty
    if nothing is known.
    """
    return several(db, device_number, [(subject, metric)], since=since, until=until, points=points)[0]


def several(
    db: Session,
    device_number: int,
    wanted: Sequence[tuple[str, str]],
    *,
    since: datetime,
    until: datetime,
    points: int = _POINTS,
) -> list[Series]:
    """As `series`, of several numbers (subject and metric), for little more than one costs: rows are read once."""
    span = (until - since).total_seconds()
    step = next((step for step in _STEPS if span / (step or _BEAT_S) <= points), DAY)
    read = _points(db, device_number, wanted, since=since, until=until)
    return [_series(found, step) for found in read]


def _series(found: list[_Point], step: int) -> Series:
    drawn = list(_with_gaps(_summed_up(found, step) if step else found))
    if all(point.value is None for point in drawn):
        drawn = []
    return Series(
        at=[point.at for point in drawn],
        values=[point.value.mean if point.value else None for point in drawn],
        mins=[point.value.min if point.value else None for point in drawn],
        maxs=[point.value.max if point.value else None for point in drawn],
        step_s=step,
    )


def subjects(db: Session, device_number: int, *, since: datetime) -> dict[str, list[str]]:
    """Which numbers the newest beat since then has: subject to metrics."""
    newest = select(History.payload).where(
        History.device_number == device_number, History.resolution_s == AS_IT_CAME, History.at >= since
    )
    payload = db.scalar(newest.order_by(History.at.desc()).limit(1))
    return {} if payload is None else {subject: list(of) for subject, of in beat(payload).numbers.items()}


def _points(
    db: Session, device_number: int, wanted: Sequence[tuple[str, str]], *, since: datetime, until: datetime
) -> list[list[_Point]]:
    """For each number what there is of any resolution, oldest first."""
    rows = db.execute(
        select(History.at, History.resolution_s, History.payload)
        .where(
            History.device_number == device_number,
            History.resolution_s.in_((AS_IT_CAME, HOUR, DAY)),  # said, so that the index serves
            History.at > since,
            History.at <= until,
        )
        .order_by(History.at, History.resolution_s.desc())
    )
    decoders = [_narrow_decoder(subject, metric) for subject, metric in wanted]
    found: list[list[_Point]] = [[] for _ in wanted]
    for at, resolution_s, payload in rows:
        json, moment = wire.unpack_own(payload), at.timestamp()
        for decode, points in zip(decoders, found, strict=True):
            beat = decode(json)
            value = beat.numbers.subject.metric if beat.numbers.subject else None
            if isinstance(value, float):
                value = Summary(value, value, value, value)
            points.append(_Point(moment, max(resolution_s, beat.seconds), value))
    return found


def _summed_up(found: list[_Point], step: int) -> Iterator[_Point]:
    for end, group in groupby(found, key=lambda point: folding.bucket_end(point.at, step)):
        points = list(group)
        known = [(point.width_s or 1.0, point.value) for point in points if point.value is not None]
        width = max(step, points[0].width_s)
        yield _Point(end, width, folding.combine(known) if known else None)


def _with_gaps(found: Iterable[_Point]) -> Iterator[_Point]:
    """The same, with a point of no value wherever more than half a point is missing."""
    before: _Point | None = None
    for point in found:
        start = point.at - point.width_s
        if before and start - before.at > max(30.0, point.width_s / 2):
            yield _Point(start, 0, None)
        yield point
        before = point


@lru_cache(maxsize=256)
def _narrow_decoder(subject: str, metric: str) -> Any:
    """A decoder that builds one number of a beat and skips over the rest, at a third of the cost."""
    try:
        metrics = msgspec.defstruct("M", [("metric", float | Summary | None, None)], rename={"metric": metric})
        numbers = msgspec.defstruct("N", [("subject", metrics | None, None)], rename={"subject": subject})
    except ValueError:  # a device may put quotes and backslashes into a name, and no field can be called so
        return partial(_one_of_all, subject, metric)
    return msgspec.json.Decoder(msgspec.defstruct("B", [("seconds", float), ("numbers", numbers)])).decode


def _one_of_all(subject: str, metric: str, json: bytes) -> SimpleNamespace:
    beat = msgspec.json.decode(json, type=Beat)
    number = SimpleNamespace(metric=beat.numbers.get(subject, {}).get(metric))
    return SimpleNamespace(seconds=beat.seconds, numbers=SimpleNamespace(subject=number))


# -- folding and forgetting -------------------------------------------------------------------------------------------


def devices_with(db: Session, resolution_s: int, *, until: datetime, after: int, at_most: int) -> list[int]:
    """Devices, by rising number from `after` on, that have rows of this resolution up to this moment."""
    rows = exists().where(
        History.device_number == Device.number, History.resolution_s == resolution_s, History.at <= until
    )
    statement = select(Device.number).where(Device.number > after, rows).order_by(Device.number)
    return list(db.scalars(statement.limit(at_most)))


def fold(db: Session, device_number: int, *, of: int, into: int, until: datetime, at_most: int) -> int:
    """Fold a device's rows up to this moment, which should be the end of an hour or day; gives how many rows went.

    A row that comes late joins the hour that was folded before it.  Each row counts once, because it goes in the same
    transaction.
    """
    rows = db.execute(
        select(History.id, History.at, History.payload)
        .where(History.device_number == device_number, History.resolution_s == of, History.at <= until)
        .order_by(History.at, History.id)
        .limit(at_most)
    ).all()
    if not rows:
        return 0
    ends = [folding.bucket_end(row.at.timestamp(), into) for row in rows]
    there = _coarse_rows(db, device_number, into, first=ends[0], last=ends[-1])
    new = []
    for end, group in groupby(zip(ends, rows, strict=True), key=lambda pair: pair[0]):
        beats = [beat(row.payload) for _, row in group]
        if (old := there.get(end)) is not None:
            old.payload = wire.encode(folding.merge([beat(old.payload), *beats], at=end))
        else:
            new.append((device_number, into, bulk.micros(end), wire.encode(folding.merge(beats, at=end))))
    bulk.insert(db, History, ("device_number", "resolution_s", "at", "payload"), new)
    db.execute(delete(History).where(History.id.in_([row.id for row in rows])))
    return len(rows)


def _coarse_rows(db: Session, device_number: int, resolution_s: int, *, first: int, last: int) -> dict[int, History]:
    """Hours or days of a device that are there already, by their end."""
    oldest, newest = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
    place = (History.device_number == device_number, History.resolution_s == resolution_s)
    found = db.scalars(select(History).where(*place, History.at.between(oldest, newest)))
    return {round(row.at.timestamp()): row for row in found}


def forget(db: Session, device_number: int, resolution_s: int, *, until: datetime) -> int:
    """Delete a device's rows of this resolution up to this moment; gives how many."""
    gone = db.execute(
        delete(History).where(
            History.device_number == device_number, History.resolution_s == resolution_s, History.at <= until
        )
    )
    return int(gone.rowcount)  # type: ignore[attr-defined]


def beat(payload: bytes) -> Beat:
    return _decode(wire.unpack_own(payload))
