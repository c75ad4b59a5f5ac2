"""Who is told what, and when.  Thinks only: it is told the trouble, what was said of it before, and the moment.

Nothing is remembered here.  What is held back (a quiet hour, a limit, a pause) is simply not planned yet; the next time
it is asked the same question with a later moment.  So a restart forgets nothing and repeats nothing.

Promises, whatever happens in between, and proved by `tests/controller/notify/test_plan_promises.py`:

- Of one incident a receiver gets at most one notice in `Limits.of_an_incident_s`, counted from when it went out; a call
  for help does not wait for the others, and is itself told at most once in that time, however often it is repeated.
- "Resolved" goes only to whom the trouble was told, and delivered.
- In any hour a receiver gets at most `Limits.in_an_hour` notices, and beyond them a digest each
  `Limits.digest_beyond_s`.
- Of a muted incident nobody is told anything but that somebody asks for help, and that it is over, which only those
  hear who were told of it before.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.notify import helping, reach
from annexfleet_controller.notify.model import (
    USUAL,
    Audible,
    Item,
    Limits,
    Notice,
    NoticeKind,
    Receiver,
    Route,
    Told,
    Wanted,
    What,
)
from annexfleet_controller.notify.past import Line, Past
from annexfleet_controller.things import SEVERITIES, Incident


def plan(
    incidents: Iterable[Audible],
    told: Iterable[Told],
    receivers: Sequence[Receiver],
    calendars: Mapping[str, Calendar],
    *,
    now: datetime,
    limits: Limits = USUAL,
) -> list[Notice]:
    """The notices that are due now.

    `told` holds every notice about these incidents, and all others of the last hour; `calendars` the opening hours by
    annex, the usual ones where an annex is missing.
    """
    past = Past(told)
    # What matters most first: so a digest begins with it; a call for help before all else.
    ordered = sorted(incidents, key=lambda one: (-SEVERITIES.index(one.incident.severity), -one.incident.rank.score,
                                                 one.incident.began_at, one.incident.id))  # fmt: skip
    asked = _Asked(past, receivers, calendars, now, limits)
    notices: list[Notice] = []
    for receiver in receivers:
        wanted = [found for one in ordered if (found := asked.of(receiver, one)) is not None]
        wanted.sort(key=lambda one: one.item.what != "help")
        notices += _bundled(receiver, wanted, past, now=now, limits=limits)
    return notices


def stands_no_more(item: Item, incident: Incident) -> str:
    """Why this need not be said any more, as a code; empty while it holds."""
    is_over = incident.state == "resolved"
    if item.what == "resolved":
        return "" if is_over else "reopened"
    if is_over:
        return "over"
    if incident.muted and item.what != "help":
        return "muted"
    if item.what == "worsened" and SEVERITIES.index(incident.severity) < SEVERITIES.index(item.severity):
        return "eased"
    goes_further = item.what in {"escalation", "reminder"} or (item.what == "help" and item.level > 0)
    if goes_further and incident.acknowledged_at is not None:
        return "acknowledged"
    return ""


# -- one receiver and one incident


class _Asked:
    """What each receiver should hear of each incident, limits of number aside."""

    def __init__(
        self, past: Past, receivers: Sequence[Receiver], calendars: Mapping[str, Calendar], now: datetime,
        limits: Limits,
    ) -> None:  # fmt: skip
        self._past = past
        self._receivers = receivers
        self._calendars = calendars
        self._now = now
        self._limits = limits
        self._below: dict[tuple[int, int], bool] = {}
        self._calls = helping.Calls(past, receivers, calendars, now, limits)

    def of(self, receiver: Receiver, audible: Audible) -> Wanted | None:
        return self._calls.of(receiver, audible) or self._of_trouble(receiver, audible)

    def _of_trouble(self, receiver: Receiver, audible: Audible) -> Wanted | None:
        incident = audible.incident
        lines = self._past.lines(receiver.contact_id, incident.id)
        if any(line.state == "queued" for line in lines) or self._is_too_soon(lines):
            return None
        if incident.state == "resolved":
            return self._of_resolved(receiver, incident)
        if incident.muted:
            return None
        routes = [route for route in receiver.routes if _concerns(route, audible)]
        if not routes:
            return None
        chapter = self._past.chapter(receiver.contact_id, incident.id)
        found = self._first_word(routes, audible) if not chapter else self._further_word(routes, audible, chapter)
        if found is None:
            return None
        what, level, by = found
        return self._within_hours(by, incident, Item(
            incident_id=incident.id, what=what, severity=incident.severity, level=level,
        ))  # fmt: skip

    def _is_too_soon(self, lines: Sequence[Line]) -> bool:
        ended = [line.ended_at for line in lines if line.ended_at is not None]
        return bool(ended) and self._now - max(ended) < timedelta(seconds=self._limits.of_an_incident_s)

    def _of_resolved(self, receiver: Receiver, incident: Incident) -> Wanted | None:
        chapter = self._past.chapter(receiver.contact_id, incident.id)
        if not any(line.state == "sent" for line in chapter) or chapter[-1].item.what == "resolved":
            return None
        item = Item(incident_id=incident.id, what="resolved", severity=incident.severity)
        routes = [route for route in receiver.routes if reach.covers(route, incident)]
        if not routes:
            return Wanted(item, held_back=False)
        return self._within_hours(routes, incident, item)

    def _first_word(self, routes: Sequence[Route], audible: Audible) -> tuple[What, int, list[Route]] | None:
        direct = [route for route in routes if route.level == 0]
        if direct:
            return "opened", 0, direct
        return self._escalation(routes, audible, reached=0)

    def _further_word(
        self, routes: Sequence[Route], audible: Audible, chapter: Sequence[Line]
    ) -> tuple[What, int, list[Route]] | None:
        incident, last = audible.incident, chapter[-1]
        worst = max(SEVERITIES.index(line.item.severity) for line in chapter)
        if SEVERITIES.index(incident.severity) > worst:
            return "worsened", 0, list(routes)
        escalation = self._escalation(routes, audible, reached=max(line.item.level for line in chapter))
        if escalation is not None:
            return escalation
        is_due = (
            incident.severity == "critical"
            and incident.acknowledged_at is None
            and last.state == "sent"
            and last.ended_at is not None
            and self._now - last.ended_at >= timedelta(seconds=self._limits.remind_after_s)
        )
        return ("reminder", 0, list(routes)) if is_due else None

    def _escalation(
        self, routes: Sequence[Route], audible: Audible, *, reached: int
    ) -> tuple[What, int, list[Route]] | None:
        """The highest level whose time has come, once for each level."""
        if audible.incident.acknowledged_at is not None:
            return None
        for route in sorted(routes, key=lambda one: -one.level):
            if route.level > reached and self._time_has_come(route, audible):
                return "escalation", route.level, [route]
        return None

    def _time_has_come(self, route: Route, audible: Audible) -> bool:
        """It counts from when the first notice below was made; from the beginning where nobody is below."""
        since = self._past.first_told_below(audible.incident.id, route.level)
        if since is None:
            if self._is_anybody_below(route.level, audible):
                return False  # who comes first is held back by the hours, and so is this
            since = audible.incident.opened_at
        return self._now - since >= timedelta(seconds=route.after_s)

    def _is_anybody_below(self, level: int, audible: Audible) -> bool:
        key = audible.incident.id, level
        if key not in self._below:
            self._below[key] = any(
                other.level < level and _concerns(other, audible)
                for receiver in self._receivers
                for other in receiver.routes
            )
        return self._below[key]

    def _within_hours(self, routes: Sequence[Route], incident: Incident, item: Item) -> Wanted | None:
        starts = [
            start
            for route in routes
            if (start := reach.hours_since(route, incident, self._calendars, now=self._now)) is not None
        ]
        if not starts:
            return None
        noticed = incident.resolved_at if item.what == "resolved" else incident.opened_at
        return Wanted(item, held_back=noticed is not None and noticed < min(starts))


def _concerns(route: Route, audible: Audible) -> bool:
    return (
        not audible.audiences.isdisjoint(route.audiences)
        and reach.covers(route, audible.incident)
        and SEVERITIES.index(audible.incident.severity) >= SEVERITIES.index(route.min_severity)
    )


# -- how much at once


def _bundled(
    receiver: Receiver, wanted: Sequence[Wanted], past: Past, *, now: datetime, limits: Limits
) -> list[Notice]:
    """Each by itself, all in one digest, or nothing yet.

    What is queued counts as if it went out now: while a receiver cannot be reached nothing piles up for the moment when
    it can.
    """
    if not wanted:
        return []

    def within(seconds: float, *, digests: bool) -> int:
        since = now - timedelta(seconds=seconds)
        return sum(
            (row.ended_at or now) > since for row in past.notices(receiver.contact_id)
            if (row.kind == "digest") is digests
        )  # fmt: skip

    in_hour = within(3600, digests=False) + within(3600, digests=True)
    if (
        len(wanted) + within(limits.burst_s, digests=False) <= limits.burst
        and len(wanted) + in_hour <= limits.in_an_hour
        and sum(one.held_back for one in wanted) < 2
    ):
        return [_notice(receiver, [one], one.item.what, past, now) for one in wanted]
    pause_s = limits.digest_every_s if in_hour < limits.in_an_hour else limits.digest_beyond_s
    if within(pause_s, digests=True):
        return []
    return [_notice(receiver, wanted, "digest", past, now)]


def _notice(
    receiver: Receiver, wanted: Sequence[Wanted], kind: NoticeKind, past: Past, now: datetime
) -> Notice:  # fmt: skip
    items = tuple(one.item for one in wanted)
    wishes = sorted(f"{i.incident_id}:{i.what}:{past.count(receiver.contact_id, i.incident_id)}" for i in items)
    digest = hashlib.sha256("/".join(wishes).encode()).hexdigest()[:32]
    return Notice(
        contact_id=receiver.contact_id, channel=receiver.kind, kind=kind, items=items, due_at=now,
        dedupe_key=f"{receiver.contact_id}/{digest}",
    )  # fmt: skip
