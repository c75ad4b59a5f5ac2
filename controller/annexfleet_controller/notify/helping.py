"""To whom a call for help goes, and when: somebody in an annex said that they cannot mend it.  Thinks only.

A person asked, so it goes past what keeps notices few: a route's lowest severity, maintenance, and what was said of the
incident a moment ago.  Quiet hours hold it back only while the annex itself is closed.  Staff are not told: they asked.
The next level is told after its time, as long as nobody has the incident in charge.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.notify import reach
from annexfleet_controller.notify.model import Audible, Item, Limits, Receiver, Route, Wanted
from annexfleet_controller.notify.past import Line, Past
from annexfleet_controller.things import Audience, Incident

HELPERS: frozenset[Audience] = frozenset({"technician", "it"})


def is_for(route: Route, incident: Incident) -> bool:
    """Whether who has this route is asked to help."""
    return not HELPERS.isdisjoint(route.audiences) and reach.covers(route, incident)


def is_anybody_asked(receivers: Iterable[Receiver], incident: Incident) -> bool:
    """Whether there is anybody at all, of any level, whom a call for help may reach."""
    return any(is_for(route, incident) for receiver in receivers for route in receiver.routes)


class Calls:
    """What each receiver should hear of calls for help, limits of number aside."""

    def __init__(
        self, past: Past, receivers: Sequence[Receiver], calendars: Mapping[str, Calendar], now: datetime,
        limits: Limits,
    ) -> None:  # fmt: skip
        self._past = past
        self._receivers = receivers
        self._calendars = calendars
        self._now = now
        self._pause = timedelta(seconds=limits.of_an_incident_s)

    def of(self, receiver: Receiver, audible: Audible) -> Wanted | None:
        """The call that is due to a receiver now, of the highest level whose time has come."""
        incident, asked_at = audible.incident, audible.help_asked_at
        if asked_at is None or incident.state != "open":
            return None
        if incident.acknowledged_at is not None and incident.acknowledged_at >= asked_at:
            return None  # it was answered
        before = _calls(self._past.lines(receiver.contact_id, incident.id))
        if any(line.ended_at is None or self._now - line.ended_at < self._pause for line in before):
            return None
        reached = max((line.item.level for line in before if line.created_at >= asked_at), default=-1)
        routes = [route for route in receiver.routes if route.level > reached and is_for(route, incident)]
        for route in sorted(routes, key=lambda one: -one.level):
            if self._time_has_come(route, incident, asked_at):
                item = Item(incident_id=incident.id, what="help", severity=incident.severity, level=route.level)
                if (found := self._within_hours(route, incident, item, asked_at)) is not None:
                    return found
        return None

    def _time_has_come(self, route: Route, incident: Incident, asked_at: datetime) -> bool:
        """At once for level 0; for others it counts from when somebody below was told, if there is anybody."""
        if route.level == 0:
            return True
        if incident.acknowledged_at is not None:
            return False
        below = [
            line.created_at for line in _calls(self._past.everybodys_lines(incident.id))
            if line.created_at >= asked_at and line.item.level < route.level
        ]  # fmt: skip
        if not below and self._is_anybody_below(route.level, incident):
            return False  # who comes first is held back by the hours or by a limit, and so is this
        return self._now - min(below, default=asked_at) >= timedelta(seconds=route.after_s)

    def _is_anybody_below(self, level: int, incident: Incident) -> bool:
        return any(
            other.level < level and is_for(other, incident) for receiver in self._receivers for other in receiver.routes
        )

    def _within_hours(self, route: Route, incident: Incident, item: Item, asked_at: datetime) -> Wanted | None:
        since = [
            start
            for start in (
                reach.open_since(route, incident, self._calendars, now=self._now),
                reach.hours_since(route, incident, self._calendars, now=self._now),
            )
            if start is not None
        ]
        return Wanted(item, held_back=asked_at < min(since)) if since else None


def _calls(lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if line.item.what == "help"]
