"""When each wave of a rollout is expected: blocks on a calendar for the eye, and the same as lines for everybody."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Literal

from msgspec import Struct

from annexfleet_controller.waves.forecast import ExpectedWave
from annexfleet_controller.web import waves
from annexfleet_controller.web.waves import Night

FEWEST_NIGHTS, MOST_NIGHTS = 7, 14
_LEAST_WIDTH = 0.7
"""Of 100: a block of some minutes is seen, too."""
_LABEL_WIDTH = 7.0
"""Of 100: labels nearer to each other are one."""


class Block(Struct, frozen=True, kw_only=True):
    """A piece of a night in which a wave is changed or watched."""

    wave: int
    kind: Literal["changed", "watched"]
    start: float
    """Of 100."""
    width: float


class Label(Struct, frozen=True):
    """Which wave, or which waves, the blocks from here on belong to."""

    start: float
    first: int
    last: int


class Day(Struct, frozen=True, kw_only=True):
    """A night of the calendar with what is expected in it."""

    night: Night
    blocks: list[Block]
    labels: list[Label]


class Span(Struct, frozen=True):
    since: datetime
    until: datetime
    on: date
    """The day on which it begins, by the clock on the wall."""
    until_on: date


class Line(Struct, frozen=True, kw_only=True):
    """One wave in words."""

    number: int
    spans: list[Span]
    watched_until: datetime | None
    watched_on: date | None
    """The day of that."""
    is_after_deadline: bool


def nights_needed(of: Sequence[ExpectedWave], *, since: datetime, zone: tzinfo) -> int:
    """How many nights the calendar has: as many as are needed to see the end, within reason."""
    if not of:
        return FEWEST_NIGHTS
    first = (since.astimezone(zone) - timedelta(hours=12)).date()
    last = (of[-1].soaked_at.astimezone(zone) - timedelta(hours=12)).date()
    return max(FEWEST_NIGHTS, min(MOST_NIGHTS, (last - first).days + 1))


def days(
    of: Sequence[ExpectedWave],
    windows: Mapping[str, Sequence[tuple[datetime, datetime]]],
    *,
    since: datetime,
    zone: tzinfo,
    count: int,
) -> list[Day]:
    """The nights from this one on, with the windows of each annex and the waves that are expected."""
    found = []
    for night in waves.nights(windows, since=since, zone=zone, count=count):
        noon, next_noon = waves.bounds(night.on, zone)
        blocks = sorted(
            [
                block
                for wave in of
                for kind, spans in _spans(wave)
                for span in spans
                if (block := _block(wave.number, kind, span, noon, next_noon)) is not None
            ],
            key=lambda block: (block.start, block.wave),
        )
        found.append(Day(night=night, blocks=blocks, labels=_labels(blocks)))
    return found


def first_beyond(of: Sequence[ExpectedWave], last: Day, zone: tzinfo) -> int | None:
    """The first wave that ends after the calendar does; None where it shows all of them."""
    end = waves.bounds(last.night.on, zone)[1]
    return next((wave.number for wave in of if wave.soaked_at > end), None)


def lines(of: Sequence[ExpectedWave], zone: tzinfo) -> list[Line]:
    return [
        Line(
            number=wave.number,
            spans=[
                Span(since, until, since.astimezone(zone).date(), until.astimezone(zone).date())
                for since, until in wave.spans
            ],
            watched_until=wave.soaked_at if wave.soaked_at > wave.rolled_at else None,
            watched_on=wave.soaked_at.astimezone(zone).date() if wave.soaked_at > wave.rolled_at else None,
            is_after_deadline=wave.is_after_deadline,
        )
        for wave in of
    ]


def _spans(
    wave: ExpectedWave,
) -> list[tuple[Literal["changed", "watched"], Sequence[tuple[datetime, datetime]]]]:
    return [("changed", wave.spans), ("watched", [(wave.rolled_at, wave.soaked_at)])]


def _block(
    wave: int, kind: Literal["changed", "watched"], span: tuple[datetime, datetime], noon: datetime, end: datetime
) -> Block | None:
    since, until = (at.astimezone(noon.tzinfo) for at in span)
    if since >= until or since >= end or until <= noon:
        return None
    day = end - noon
    start = 100 * (max(since, noon) - noon) / day
    width = max(_LEAST_WIDTH, 100 * (min(until, end) - noon) / day - start)
    return Block(wave=wave, kind=kind, start=round(min(start, 100 - width), 3), width=round(width, 3))


def _labels(blocks: Sequence[Block]) -> list[Label]:
    """One where each wave begins, or goes on from the night before."""
    found: list[Label] = []
    known: set[int] = set()
    for block in blocks:
        if block.wave in known:
            continue
        known.add(block.wave)
        if found and block.start - found[-1].start < _LABEL_WIDTH:
            found[-1] = Label(found[-1].start, found[-1].first, block.wave)
        else:
            found.append(Label(block.start, block.wave, block.wave))
    return found
