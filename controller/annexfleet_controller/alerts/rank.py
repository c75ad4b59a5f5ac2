"""Which incident comes first: the one that keeps most people waiting for most services for longest.  Thinks only.

    score = people waiting x services that cannot be provided because of it x minutes of opening time since it began

People are those in the queues of these services.  Where nobody counts them now, the last count of the past hour stands
in, else the service's average of opening hours, and the rank says so.  Nobody waits for a service that works, so an
incident that blocks none has a score of 0; of those the more severe come first, then what degrades more services, then
the older.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.readiness.model import AnnexReadiness, ServiceReadiness
from annexfleet_controller.things import SEVERITIES, Incident, Rank, Thing
from annexfleet_controller.views import QueueView

LAST_COUNT_FOR = timedelta(hours=1)
"""So long after a line was cut the people who were counted last are still a better guess than an average day's."""
LONGEST = timedelta(days=60)
"""How far back minutes are counted."""


class Place(Struct, frozen=True, kw_only=True):
    """An annex, as far as ranks depend on it."""

    calendar: Calendar
    queues: Sequence[QueueView] = ()
    readiness: AnnexReadiness | None = None
    """None: not known."""
    average_waiting: Mapping[str, float] = {}
    """By service, people who wait there on average in opening hours."""


def of(incident: Incident, places: Mapping[str, Place], *, now: datetime, effects: Iterable[Thing] = ()) -> Rank:
    """The rank of an incident.

    `places`: the annexes it touches, by id; one that is missing counts as nothing.  `effects`: the things of its other
    alerts, for services that fail because of them.  A resolved incident counts to its end.
    """
    until = incident.ended_at or incident.resolved_at or now
    things = {incident.thing, *effects}
    people, minutes, estimated = 0.0, 0.0, False
    blocked: set[str] = set()
    degraded: set[str] = set()
    for annex_id in sorted({*incident.annexes, incident.annex_id} - {""}):
        place = places.get(annex_id)
        if place is None:
            continue
        minutes = max(minutes, place.calendar.open_seconds(max(incident.began_at, until - LONGEST), until) / 60)
        here = {
            state: {
                service.service
                for service in _of_state(place, state)
                if _is_held_up(service, annex_id, incident, things)
            }
            for state in ("blocked", "degraded")
        }
        blocked |= here["blocked"]
        degraded |= here["degraded"]
        for service in sorted(here["blocked"]):
            waiting, is_count = _waiting(service, place, now)
            people += waiting
            estimated = estimated or not is_count
    return Rank(
        score=people * len(blocked) * minutes, people_waiting=people, people_estimated=estimated,
        services_blocked=tuple(sorted(blocked)), minutes=minutes, services_degraded=tuple(sorted(degraded - blocked)),
    )  # fmt: skip


def order(incident: Incident) -> tuple[float, int, int, datetime, str]:
    """A key to sort by, so that what matters most comes first."""
    severity = SEVERITIES.index(incident.severity) if incident.severity in SEVERITIES else -1
    rank = incident.rank
    return -rank.score, -severity, -len(rank.services_degraded), incident.began_at, incident.key


def _of_state(place: Place, state: str) -> list[ServiceReadiness]:
    services = () if place.readiness is None else place.readiness.services
    return [service for service in services if service.state == state]


def _is_held_up(service: ServiceReadiness, annex_id: str, incident: Incident, things: set[Thing]) -> bool:
    """Whether the service fails because of it: all of an annex's do while the annex itself is cut off."""
    if incident.kind in ("power_cut", "line_cut", "annex"):
        return True
    named = {fix.thing for fix in service.fix_set}
    for reason in service.reasons:
        if reason.state != service.state:
            continue  # a need that is only degraded does not block a service that another one blocks
        for leaf in reason.failing:
            named.add(leaf.thing)
            named.update(fix.thing for fix in leaf.fixes)
    if incident.kind == "portal_down_everywhere":
        things = things | {Thing("portal", f"{annex_id}/{incident.thing.id.partition('/')[2]}")}
    return not things.isdisjoint(named)


def _waiting(service: str, place: Place, now: datetime) -> tuple[float, bool]:
    """How many people wait for a service, and whether somebody counted them."""
    last = 0.0
    for view in place.queues:
        queue = view.queue
        if view.service != service or queue.waiting is None or queue.stale or queue.missing:
            continue
        if view.believed:
            return max(0.0, queue.waiting), True
        if now - queue.at <= LAST_COUNT_FOR:
            last = max(0.0, queue.waiting)
    if not place.calendar.is_open(now):
        return 0.0, False
    return last or max(0.0, place.average_waiting.get(service, 0.0)), False
