"""Which annexes a route covers, and when it may be used for an incident.  Thinks only."""

from collections.abc import Mapping
from datetime import datetime

from annexfleet_controller.calendars import DEFAULT, Calendar
from annexfleet_controller.notify.model import Route
from annexfleet_controller.things import Incident


def covers(route: Route, incident: Incident) -> bool:
    """Whether it touches one of the route's annexes; what belongs to none is for who hears of the whole province."""
    return route.annexes is None or not set(route.annexes).isdisjoint(_annexes(incident))


def hours_since(
    route: Route, incident: Incident, calendars: Mapping[str, Calendar], *, now: datetime
) -> datetime | None:
    """Since when this route may be used for it; None if not now."""
    beginning = incident.opened_at
    if route.hours == "always" or (route.critical_always and incident.severity == "critical"):
        return beginning
    if route.hours == "custom":
        return None if route.own_hours is None else route.own_hours.opened_at(now)
    return open_since(route, incident, calendars, now=now)


def open_since(
    route: Route, incident: Incident, calendars: Mapping[str, Calendar], *, now: datetime
) -> datetime | None:
    """Since when one of the annexes that it touches and the route covers is open; None if all are closed."""
    places = [place for place in _annexes(incident) if route.annexes is None or place in route.annexes]
    opened = (calendars.get(place, DEFAULT).opened_at(now) for place in places or [""])
    return min((since for since in opened if since is not None), default=None)


def _annexes(incident: Incident) -> tuple[str, ...]:
    return incident.annexes or ((incident.annex_id,) if incident.annex_id else ())
