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
    begins: datetime | None
    """When the first annex may be worked in; None where none may."""
    ends: datetime | None
    annexes: int
    slots: list[Slot]
    is_whole: bool = False
    """Whether some annex may be worked in from noon to noon."""

    @property
    def hours(self) -> tuple[str, str]:
        """From when to when, by the clock on the wall."""
        return tuple(at.strftime("%H:%M") if at else "" for at in (self.begins, self.ends))  # type: ignore[return-value]


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
        noon = datetime(on.year, on.month, on.day, 12, tzinfo=zone)
        next_day = on + timedelta(days=1)
        next_noon = datetime(next_day.year, next_day.month, next_day.day, 12, tzinfo=zone)
        found.append(_night(windows, on, noon, next_noon))
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
        begins=min((a for a, _ in every), default=None),
        ends=max((b for _, b in every), default=None),
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
