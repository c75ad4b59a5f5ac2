"""The figures of a month.  Sums and counts only, so that those of annexes add up to those of a district.

Times are in seconds; ratios are worked out when they are shown.  What nobody knows is a part of its own everywhere.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, field

WAIT_EDGES_S = (
    60.0, 120.0, 180.0, 240.0, 300.0, 420.0, 600.0, 780.0, 900.0, 1200.0, 1500.0, 1800.0, 2400.0, 3000.0, 3600.0,
    4500.0, 5400.0, 7200.0, 10_800.0, 14_400.0,
)  # fmt: skip
"""Upper edges of the steps into which longest waits are sorted; the last step has none."""
REPEATS = 3
"""Who has so many incidents in a month is one that comes again and again."""
MOST_LISTED = 50
"""Printers and repeaters of a district or the province that are named; all are counted."""
MOST_CHANGES = 200


class Opening(Struct):
    """Opening time, by how it stood.  What was planned as maintenance is in none of the other parts."""

    ready_s: float = 0.0
    degraded_s: float = 0.0
    blocked_s: float = 0.0
    unknown_s: float = 0.0
    maintenance_s: float = 0.0

    @property
    def judged_s(self) -> float:
        """Opening time without maintenance."""
        return self.ready_s + self.degraded_s + self.blocked_s + self.unknown_s

    @property
    def open_s(self) -> float:
        return self.judged_s + self.maintenance_s

    @property
    def serving_s(self) -> float:
        return self.ready_s + self.degraded_s

    @property
    def known_s(self) -> float:
        return self.serving_s + self.blocked_s

    @property
    def served_ratio(self) -> float | None:
        """Of the time of which anything is known, the part in which citizens could be served; None: nothing is."""
        return self.serving_s / self.known_s if self.known_s else None

    @property
    def known_ratio(self) -> float | None:
        """Of the opening time without maintenance, the part of which anything is known."""
        return self.known_s / self.judged_s if self.judged_s else None


class Mean(Struct):
    """Many durations in two numbers."""

    count: int = 0
    total_s: float = 0.0

    @property
    def mean_s(self) -> float | None:
        return self.total_s / self.count if self.count else None


class CauseFigures(Struct):
    """Incidents of one cause."""

    count: int = 0
    """Those that opened in the month."""
    open_s: float = 0.0
    """Opening time within the month during which they lasted; those of before count here too."""
    people: float = 0.0
    """Who waited for what they blocked, as ranks tell."""
    people_estimated: bool = False


class SharedIncident(Struct):
    """An incident of several annexes, kept by its number so that a district counts it once."""

    cause: str
    opened_here: bool
    open_s: float
    people: float
    people_estimated: bool
    acknowledged_s: float | None = None
    repaired_s: float | None = None


class Repeater(Struct):
    """A thing with REPEATS incidents or more."""

    kind: str
    id: str
    name: str
    annex_id: str
    count: int
    open_s: float


class Incidents(Struct):
    causes: dict[str, CauseFigures] = {}
    """Of incidents of one annex."""
    shared: dict[int, SharedIncident] = {}
    acknowledged: Mean = field(default_factory=Mean)
    """From when we noticed to when somebody took it in charge; of incidents of one annex."""
    repaired: Mean = field(default_factory=Mean)
    """From the beginning of the trouble to its end."""
    muted: int = 0
    """Kept quiet by maintenance, and not among the others."""
    repeaters: list[Repeater] = []

    def by_cause(self) -> dict[str, CauseFigures]:
        """All of them, the most frequent cause first."""
        found = {
            cause: CauseFigures(of.count, of.open_s, of.people, of.people_estimated)
            for cause, of in self.causes.items()
        }
        for one in self.shared.values():
            into = found.setdefault(one.cause, CauseFigures())
            into.count += one.opened_here
            into.open_s += one.open_s
            into.people += one.people
            into.people_estimated = into.people_estimated or one.people_estimated
        return dict(sorted(found.items(), key=lambda pair: (-pair[1].count, -pair[1].open_s, pair[0])))

    @property
    def count(self) -> int:
        return sum(of.count for of in self.causes.values()) + sum(one.opened_here for one in self.shared.values())

    @property
    def open_s(self) -> float:
        return sum(of.open_s for of in self.causes.values()) + sum(one.open_s for one in self.shared.values())

    @property
    def people(self) -> float:
        return sum(of.people for of in self.causes.values()) + sum(one.people for one in self.shared.values())

    def mean_acknowledged_s(self) -> float | None:
        return _with(self.acknowledged, (one.acknowledged_s for one in self.shared.values())).mean_s

    def mean_repaired_s(self) -> float | None:
        return _with(self.repaired, (one.repaired_s for one in self.shared.values())).mean_s


class PrinterFigures(Struct):
    id: str
    name: str
    model: str
    annex_id: str
    pages: int | None = None
    """None: its counter told no two days."""
    days: int = 0
    """Days of which its counter is known."""
    jams: int = 0
    blocked_s: float = 0.0
    """Opening time during which it had a critical incident."""


class Printing(Struct):
    printers: int = 0
    counted: int = 0
    """Of these, the ones whose pages are known."""
    pages: int = 0
    jams: int = 0
    blocked_s: float = 0.0
    by_day: dict[str, int] = {}
    """Pages by local day, such as 2026-11-25; a day that is missing is not known."""
    listed: list[PrinterFigures] = []
    """The most troubled first, at most MOST_LISTED."""


class Cell(Struct):
    """An hour of a weekday."""

    seconds: float = 0.0
    """Of annexes' opening time in which people were counted."""
    person_seconds: float = 0.0

    @property
    def mean(self) -> float | None:
        """People waiting in an annex; None where nobody counted."""
        return self.person_seconds / self.seconds if self.seconds else None


class Queues(Struct):
    annexes: int = 0
    """That count people."""
    open_s: float = 0.0
    """Their opening time."""
    cells: dict[str, Cell] = {}
    """By weekday from Monday as 0, and hour: `0-9`."""
    waits: list[float] = []
    """Seconds of counting, by the step of WAIT_EDGES_S in which the longest wait lay; empty: nobody told waits."""
    wait_total_s: float = 0.0
    """The longest wait, times the seconds for which it stood."""

    @property
    def counted_s(self) -> float:
        return sum(cell.seconds for cell in self.cells.values())

    @property
    def mean_waiting(self) -> float | None:
        counted = self.counted_s
        return sum(cell.person_seconds for cell in self.cells.values()) / counted if counted else None

    @property
    def mean_wait_s(self) -> float | None:
        total = sum(self.waits)
        return self.wait_total_s / total if total else None

    def wait_quantile_s(self, part: float) -> float | None:
        """Of the counted time, this part had a longest wait no longer than that; between edges on a straight line.

        None where nobody told waits.  Beyond the last edge it is that edge.
        """
        total = sum(self.waits)
        if not total:
            return None
        left, lower = part * total, 0.0
        for edge, seconds in zip(WAIT_EDGES_S, self.waits, strict=False):
            if seconds >= left and seconds > 0:
                return lower + (edge - lower) * left / seconds
            left -= seconds
            lower = edge
        return WAIT_EDGES_S[-1]


class RolloutFigures(Struct):
    name: str
    playbook: str
    state: str
    started_at: datetime | None
    devices: int
    succeeded: int
    failed: int


class RunFigures(Struct):
    playbook: str
    check: bool
    outcome: str
    at: datetime
    devices: int
    failed: int


class MaintenanceFigures(Struct):
    reason: str
    first_at: datetime
    planned_s: float
    """How long it lasted in the month, opening time or not."""


class Changes(Struct):
    """By their numbers, so that a district counts each once; the newest MOST_CHANGES of each are kept."""

    rollouts: dict[int, RolloutFigures] = {}
    runs: dict[int, RunFigures] = {}
    """Those that no rollout began, and those of rollouts."""
    maintenance: dict[int, MaintenanceFigures] = {}


class Figures(Struct):
    """A month of some annexes, as far as it had passed at `as_of`."""

    month: str
    as_of: datetime
    """When the oldest part of it was worked out."""
    annexes: int
    since: datetime
    until: datetime
    whole: Opening
    """Each annex, at each moment as its worst service stood."""
    services: dict[str, Opening] = {}
    incidents: Incidents = field(default_factory=Incidents)
    printing: Printing = field(default_factory=Printing)
    queues: Queues = field(default_factory=Queues)
    changes: Changes = field(default_factory=Changes)


def _with(of: Mean, more: Iterable[float | None]) -> Mean:
    known = [seconds for seconds in more if seconds is not None]
    return Mean(of.count + len(known), of.total_s + sum(known))
