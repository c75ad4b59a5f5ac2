"""A rollout's devices as bars, squares and nights: shapes for the pages, thought out here and only drawn there."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo

from msgspec import Struct

from annexfleet_controller.store.rollout_targets import TargetRow
from annexfleet_controller.waves.model import BAD, SETTLED, TargetState

ORDER: tuple[TargetState, ...] = (
    "succeeded", "compliant", "skipped", "failed", "timed_out", "unknown", "verifying", "running", "deferred",
    "waiting",
)  # fmt: skip
"""In a bar: what has ended first, what was not begun last."""
FIRST: tuple[TargetState, ...] = (
    "failed", "timed_out", "unknown", "running", "verifying", "deferred", "waiting", "succeeded", "skipped",
    "compliant",
)  # fmt: skip
"""In a list: what needs somebody stands on top."""
SLOTS = 48
"""Of a day in the calendar: half hours."""


class Part(Struct, frozen=True):
    """One piece of a bar: devices that stand alike."""

    state: TargetState
    count: int
    start: float
    """Of 100."""
    width: float


class Wave(Struct, frozen=True, kw_only=True):
    """One wave of a rollout under way."""

    number: int
    bar: list[Part]
    count: int
    ended: int
    bad: int
    missed: int
    """Not reached until the deadline; these are not among `bad`."""
    is_now: bool
    squares: Sequence[TargetRow]
    left_out: int
    """Devices without a square, as there are too many."""


class Slot(Struct, frozen=True):
    """A piece of a day during which equally many annexes may be worked in."""

    start: float
    """Of 100."""
    width: float
    share: int
    """Of the annexes: 1 to 4 quarters."""


class Night(Struct, frozen=True, kw_only=True):
    """From noon to noon: when it may be done."""

    on: date
    """Its evening."""
    spans: list[tuple[datetime, datetime]]
    """When some annex may be worked in, in order and apart; empty where none may."""
    annexes: int
    slots: list[Slot]
    is_whole: bool = False
    """Whether some annex may be worked in from noon to noon."""

    @property
    def hours(self) -> list[tuple[str, str]]:
        """From when to when, by the clock on the wall; where it is interrupted, each piece."""
        return [(since.strftime("%H:%M"), until.strftime("%H:%M")) for since, until in self.spans]


def bar(tally: Mapping[TargetState, int]) -> list[Part]:
    """The pieces of a bar."""
    whole = sum(tally.values())
    parts, start = [], 0.0
    for state in ORDER:
        count = tally.get(state, 0)
        if count:
            width = 100 * count / whole
            parts.append(Part(state, count, round(start, 3), round(width, 3)))
            start += width
    return parts


def ended(tally: Mapping[TargetState, int]) -> int:
    return sum(count for state, count in tally.items() if state in SETTLED)


def bad(tally: Mapping[TargetState, int]) -> int:
    return sum(count for state, count in tally.items() if state in BAD)


def nights(
    windows: Mapping[str, Sequence[tuple[datetime, datetime]]], *, since: datetime, zone: tzinfo, count: int = 7
) -> list[Night]:
    """The nights from this one on, by the windows of each annex; of a day only what is yet to come."""
    first = (since.astimezone(zone) - timedelta(hours=12)).date()
    found = []
    for number in range(count):
        on = first + timedelta(days=number)
        found.append(_night(windows, on, *bounds(on, zone)))
    return found


def bounds(on: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """The noon before a night and the one after it, by the clock on the wall."""
    noon, next_noon = (
        datetime(day.year, day.month, day.day, 12, tzinfo=zone) for day in (on, on + timedelta(days=1))
    )  # fmt: skip
    return noon, next_noon


def _together(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """All of them as one where they touch or overlap."""
    found: list[tuple[datetime, datetime]] = []
    for since, until in sorted(spans):
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((since, until))
    return found


def _night(
    windows: Mapping[str, Sequence[tuple[datetime, datetime]]], on: date, noon: datetime, next_noon: datetime
) -> Night:
    clipped = {
        annex_id: [
            (max(a, noon).astimezone(noon.tzinfo), min(b, next_noon).astimezone(noon.tzinfo))
            for a, b in spans
            if a < next_noon and b > noon
        ]
        for annex_id, spans in windows.items()
    }
    clipped = {annex_id: spans for annex_id, spans in clipped.items() if spans}
    every = [span for spans in clipped.values() for span in spans]
    day = next_noon - noon
    return Night(
        on=on,
        spans=_together(every),
        annexes=len(clipped),
        is_whole=(noon, next_noon) in every,
        slots=_slots([((a - noon) / day, (b - noon) / day) for a, b in every], len(windows)),
    )


def _slots(shares: Iterable[tuple[float, float]], annexes: int) -> list[Slot]:
    """Half hours with how many annexes may be worked in for all of them; equal neighbours are one."""
    open_in = [0] * SLOTS
    for begins, ends in shares:
        for slot in range(SLOTS):
            if begins <= slot / SLOTS + 1e-9 and (slot + 1) / SLOTS <= ends + 1e-9:
                open_in[slot] += 1
    found: list[Slot] = []
    for slot, number in enumerate(open_in):
        share = -(-4 * min(number, annexes) // annexes) if annexes else 0
        if not share:
            continue
        start, width = 100 * slot / SLOTS, 100 / SLOTS
        if found and found[-1].share == share and abs(found[-1].start + found[-1].width - start) < 1e-6:
            found[-1] = Slot(found[-1].start, found[-1].width + width, share)
        else:
            found.append(Slot(start, width, share))
    return found
