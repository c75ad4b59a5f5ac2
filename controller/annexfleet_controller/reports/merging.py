"""Months of annexes added up to the month of a district or the province."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import structs

from annexfleet_controller.reports.figures import (
    MOST_CHANGES,
    MOST_LISTED,
    CauseFigures,
    Cell,
    Changes,
    Figures,
    Incidents,
    Mean,
    Opening,
    Printing,
    Queues,
    RolloutFigures,
    RunFigures,
    SharedIncident,
)

T = TypeVar("T")


def merged(parts: Sequence[Figures]) -> Figures | None:
    """The sum, which shares nothing with its parts; None of nothing.  Of one month, and of different annexes."""
    if not parts:
        return None
    services: dict[str, Opening] = {}
    for part in parts:
        for name, opening in part.services.items():
            _add_opening(services.setdefault(name, Opening()), opening)
    whole = Opening()
    for part in parts:
        _add_opening(whole, part.whole)
    return Figures(
        month=parts[0].month,
        as_of=min(part.as_of for part in parts),
        annexes=sum(part.annexes for part in parts),
        since=min(part.since for part in parts),
        until=max(part.until for part in parts),
        whole=whole,
        services=dict(sorted(services.items())),
        incidents=_incidents([part.incidents for part in parts]),
        printing=_printing([part.printing for part in parts]),
        queues=_queues([part.queues for part in parts]),
        changes=_changes([part.changes for part in parts]),
    )


def _add_opening(into: Opening, of: Opening) -> None:
    into.ready_s += of.ready_s
    into.degraded_s += of.degraded_s
    into.blocked_s += of.blocked_s
    into.unknown_s += of.unknown_s
    into.maintenance_s += of.maintenance_s


def _incidents(parts: Iterable[Incidents]) -> Incidents:
    causes: dict[str, CauseFigures] = {}
    shared: dict[int, SharedIncident] = {}
    found = Incidents(causes=causes, shared=shared, acknowledged=Mean(), repaired=Mean(), repeaters=[])
    for part in parts:
        for cause, of in part.causes.items():
            into = causes.setdefault(cause, CauseFigures())
            into.count += of.count
            into.open_s += of.open_s
            into.people += of.people
            into.people_estimated = into.people_estimated or of.people_estimated
        for number, one in part.shared.items():
            if number in shared:
                # Its people are those of all its annexes already; its time passes in each annex.
                shared[number].open_s += one.open_s
            else:
                shared[number] = structs.replace(one)
        for sum_, mean in ((found.acknowledged, part.acknowledged), (found.repaired, part.repaired)):
            sum_.count += mean.count
            sum_.total_s += mean.total_s
        found.muted += part.muted
        found.repeaters += part.repeaters
    found.repeaters = sorted(found.repeaters, key=lambda one: (-one.count, -one.open_s, one.id))[:MOST_LISTED]
    return found


def _printing(parts: Iterable[Printing]) -> Printing:
    found = Printing(by_day={}, listed=[])
    for part in parts:
        found.printers += part.printers
        found.counted += part.counted
        found.pages += part.pages
        found.jams += part.jams
        found.blocked_s += part.blocked_s
        for day, pages in part.by_day.items():
            found.by_day[day] = found.by_day.get(day, 0) + pages
        found.listed += part.listed
    found.by_day = dict(sorted(found.by_day.items()))
    found.listed = sorted(found.listed, key=lambda one: (-one.blocked_s, -one.jams, -(one.pages or 0), one.id))
    found.listed = found.listed[:MOST_LISTED]
    return found


def _queues(parts: Iterable[Queues]) -> Queues:
    found = Queues(cells={}, waits=[])
    for part in parts:
        found.annexes += part.annexes
        found.open_s += part.open_s
        for place, cell in part.cells.items():
            into = found.cells.setdefault(place, Cell())
            into.seconds += cell.seconds
            into.person_seconds += cell.person_seconds
        if part.waits:
            found.waits = [a + b for a, b in zip(found.waits or [0.0] * len(part.waits), part.waits, strict=True)]
        found.wait_total_s += part.wait_total_s
    return found


def _changes(parts: Sequence[Changes]) -> Changes:
    rollouts: dict[int, RolloutFigures] = {}
    runs: dict[int, RunFigures] = {}
    found = Changes(rollouts=rollouts, runs=runs, maintenance={})
    for part in parts:
        for number, rollout in part.rollouts.items():
            if (same := rollouts.get(number)) is None:
                rollouts[number] = structs.replace(rollout)
            else:
                same.devices += rollout.devices
                same.succeeded += rollout.succeeded
                same.failed += rollout.failed
        for number, run in part.runs.items():
            if (other := runs.get(number)) is None:
                runs[number] = structs.replace(run)
            else:
                other.devices += run.devices
                other.failed += run.failed
        found.maintenance |= part.maintenance
    return Changes(newest(rollouts), newest(runs), newest(found.maintenance))


def newest(of: Mapping[int, T]) -> dict[int, T]:
    """The MOST_CHANGES with the highest numbers, the highest first."""
    return {number: of[number] for number in sorted(of, reverse=True)[:MOST_CHANGES]}
