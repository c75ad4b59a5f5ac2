"""Incidents of a month: how many of which cause, for how long, and what comes again and again."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.reports.figures import REPEATS, CauseFigures, Incidents, Mean, Repeater, SharedIncident


class TroubleTold(Struct, frozen=True, kw_only=True):
    """An incident, as far as reports ask."""

    id: int
    cause: str
    kind: str
    thing_kind: str
    thing_id: str
    thing_name: str
    annex_id: str
    annexes: int
    """How many it touches."""
    severity: str
    began_at: datetime
    opened_at: datetime
    ended_at: datetime | None
    """When the trouble ended, or else when we noticed that; None while it lasts."""
    acknowledged_at: datetime | None
    people: float
    people_estimated: bool
    muted: bool


def counted(
    told: Sequence[TroubleTold], calendar: Calendar, *, since: datetime, until: datetime
) -> tuple[Incidents, dict[str, float]]:
    """The figures, and by printer the opening seconds in which it had a critical incident.

    An incident is the month's in which it opened; its time is cut to the month.
    """
    causes: dict[str, CauseFigures] = {}
    shared: dict[int, SharedIncident] = {}
    found = Incidents(causes=causes, shared=shared, acknowledged=Mean(), repaired=Mean(), repeaters=[])
    blocked: dict[str, float] = {}
    things: dict[tuple[str, str], Repeater] = {}
    for one in told:
        is_new = since <= one.opened_at < until
        if one.muted:
            found.muted += is_new
            continue
        open_s = calendar.open_seconds(max(one.began_at, since), min(one.ended_at or until, until))
        if one.kind == "printer" and one.severity == "critical":
            blocked[one.thing_id] = blocked.get(one.thing_id, 0.0) + open_s
        acknowledged_s, repaired_s = _acknowledged_s(one, is_new), _repaired_s(one, is_new)
        if one.annexes > 1:
            shared[one.id] = SharedIncident(
                one.cause, is_new, open_s, one.people if is_new else 0.0, one.people_estimated and is_new,
                acknowledged_s, repaired_s,
            )  # fmt: skip
            continue
        of = causes.setdefault(one.cause, CauseFigures())
        of.open_s += open_s
        if is_new:
            of.count += 1
            of.people += one.people
            of.people_estimated = of.people_estimated or one.people_estimated
            key = (one.thing_kind, one.thing_id)
            thing = things.setdefault(key, Repeater(*key, one.thing_name, one.annex_id, 0, 0.0))
            thing.count += 1
            thing.open_s += open_s
        _note(found.acknowledged, acknowledged_s)
        _note(found.repaired, repaired_s)
    again = [thing for thing in things.values() if thing.count >= REPEATS]
    found.repeaters = sorted(again, key=lambda thing: (-thing.count, -thing.open_s, thing.id))
    return found, blocked


def _acknowledged_s(one: TroubleTold, is_new: bool) -> float | None:
    if not is_new or one.acknowledged_at is None:
        return None
    return max(0.0, (one.acknowledged_at - one.opened_at).total_seconds())


def _repaired_s(one: TroubleTold, is_new: bool) -> float | None:
    if not is_new or one.ended_at is None:
        return None
    return max(0.0, (one.ended_at - one.began_at).total_seconds())


def _note(mean: Mean, seconds: float | None) -> None:
    if seconds is not None:
        mean.count += 1
        mean.total_s += seconds
