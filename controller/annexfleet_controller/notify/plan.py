"""Who is told what, and when.  Thinks only: it is told the trouble, what was said of it before, and the moment.

Nothing is remembered here.  What is held back (a quiet hour, a limit, a pause) is simply not planned yet; the next time
it is asked the same question with a later moment.  So a restart forgets nothing and repeats nothing.

Promises, whatever happens in between, and proved by `tests/controller/notify/test_plan_promises.py`:

- Of one incident a receiver gets at most one notice in `Limits.of_an_incident_s`, counted from when it went out.
- "Resolved" goes only to whom the trouble was told, and delivered.
- In any hour a receiver gets at most `Limits.in_an_hour` notices, and beyond them a digest each
  `Limits.digest_beyond_s`.
- Of a muted incident nobody is told anything but that it is over, and that only who was told of it before.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_controller.calendars import DEFAULT, Calendar
from annexfleet_controller.notify.model import (
    USUAL,
    Audible,
    Item,
    Limits,
    Notice,
    NoticeKind,
    NoticeState,
    Receiver,
    Route,
    Told,
    What,
)
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
    past = _Past(told)
    # What matters most first: so a digest begins with it.
    ordered = sorted(incidents, key=lambda one: (-SEVERITIES.index(one.incident.severity), -one.incident.rank.score,
                                                 one.incident.began_at, one.incident.id))  # fmt: skip
    asked = _Asked(past, receivers, calendars, now, limits)
    notices: list[Notice] = []
    for receiver in receivers:
        wanted = [found for one in ordered if (found := asked.of(receiver, one)) is not None]
        notices += _bundled(receiver, wanted, past, now=now, limits=limits)
    return notices


def stands_no_more(item: Item, incident: Incident) -> str:
    """Why this need not be said any more, as a code; empty while it holds."""
    is_over = incident.state == "resolved"
    if item.what == "resolved":
        return "" if is_over else "reopened"
    if is_over or incident.muted:
        return "over" if is_over else "muted"
    if item.what == "worsened" and SEVERITIES.index(incident.severity) < SEVERITIES.index(item.severity):
        return "eased"
    if item.what in {"escalation", "reminder"} and incident.acknowledged_at is not None:
        return "acknowledged"
    return ""


# -- the past


class _Line(Struct, frozen=True):
    """One item of a notice, with what became of it."""

    item: Item
    state: NoticeState
    created_at: datetime
    ended_at: datetime | None


class _Past:
    """Notices of before, by whom and what they were about."""

    def __init__(self, told: Iterable[Told]) -> None:
        self._lines: dict[tuple[int, int], list[_Line]] = defaultdict(list)
        self._rows: dict[int, list[Told]] = defaultdict(list)
        self._contacts: dict[int, set[int]] = defaultdict(set)
        self._first: dict[tuple[int, int], datetime | None] = {}
        for row in sorted(told, key=lambda one: (one.created_at, one.ended_at or one.created_at)):
            self._rows[row.contact_id].append(row)
            for item in row.items:
                key = row.contact_id, item.incident_id
                self._lines[key].append(_Line(item, row.state, row.created_at, row.ended_at))
                self._contacts[item.incident_id].add(row.contact_id)

    def count(self, contact_id: int, incident_id: int) -> int:
        return len(self._lines.get((contact_id, incident_id), ()))

    def lines(self, contact_id: int, incident_id: int) -> list[_Line]:
        """Without those that never went out because they had come to nothing."""
        return [line for line in self._lines.get((contact_id, incident_id), ()) if line.state != "dropped"]

    def chapter(self, contact_id: int, incident_id: int) -> list[_Line]:
        """What was said since the incident was last said to be over: an incident may come back."""
        lines = self.lines(contact_id, incident_id)
        for place in range(len(lines) - 1, -1, -1):
            if lines[place].item.what == "resolved" and lines[place].state == "sent":
                return lines[place + 1 :]
        return lines

    def first_told_below(self, incident_id: int, level: int) -> datetime | None:
        """When the first notice of a lower level was made, whoever it is for."""
        key = incident_id, level
        if key not in self._first:
            self._first[key] = self._find_first(incident_id, level)
        return self._first[key]

    def _find_first(self, incident_id: int, level: int) -> datetime | None:
        moments = [
            line.created_at
            for contact_id in self._contacts[incident_id]
            for line in self.chapter(contact_id, incident_id)
            if line.item.level < level and line.item.what != "resolved"
        ]
        return min(moments, default=None)

    def notices(self, contact_id: int) -> list[Told]:
        """Those that count against the limits: delivered, or still to be."""
        return [row for row in self._rows[contact_id] if row.state in {"queued", "sent"} and row.kind != "test"]


# -- one receiver and one incident


class _Wanted(Struct, frozen=True):
    item: Item
    held_back: bool
    """Whether it waited for the receiver's hours."""


class _Asked:
    """What each receiver should hear of each incident, limits of number aside."""

    def __init__(
        self, past: _Past, receivers: Sequence[Receiver], calendars: Mapping[str, Calendar], now: datetime,
        limits: Limits,
    ) -> None:  # fmt: skip
        self._past = past
        self._receivers = receivers
        self._calendars = calendars
        self._now = now
        self._limits = limits
        self._below: dict[tuple[int, int], bool] = {}

    def of(self, receiver: Receiver, audible: Audible) -> _Wanted | None:
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

    def _is_too_soon(self, lines: Sequence[_Line]) -> bool:
        ended = [line.ended_at for line in lines if line.ended_at is not None]
        return bool(ended) and self._now - max(ended) < timedelta(seconds=self._limits.of_an_incident_s)

    def _of_resolved(self, receiver: Receiver, incident: Incident) -> _Wanted | None:
        chapter = self._past.chapter(receiver.contact_id, incident.id)
        if not any(line.state == "sent" for line in chapter) or chapter[-1].item.what == "resolved":
            return None
        item = Item(incident_id=incident.id, what="resolved", severity=incident.severity)
        routes = [route for route in receiver.routes if _reaches(route, incident)]
        if not routes:
            return _Wanted(item, held_back=False)
        return self._within_hours(routes, incident, item)

    def _first_word(self, routes: Sequence[Route], audible: Audible) -> tuple[What, int, list[Route]] | None:
        direct = [route for route in routes if route.level == 0]
        if direct:
            return "opened", 0, direct
        return self._escalation(routes, audible, reached=0)

    def _further_word(
        self, routes: Sequence[Route], audible: Audible, chapter: Sequence[_Line]
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

    def _within_hours(self, routes: Sequence[Route], incident: Incident, item: Item) -> _Wanted | None:
        starts = [start for route in routes if (start := self._hours_since(route, incident)) is not None]
        if not starts:
            return None
        noticed = incident.resolved_at if item.what == "resolved" else incident.opened_at
        return _Wanted(item, held_back=noticed is not None and noticed < min(starts))

    def _hours_since(self, route: Route, incident: Incident) -> datetime | None:
        """Since when this route may be used for it; None if not now."""
        beginning = incident.opened_at
        if route.hours == "always" or (route.critical_always and incident.severity == "critical"):
            return beginning
        if route.hours == "custom":
            calendars = [route.own_hours] if route.own_hours is not None else []
        else:
            places = [place for place in _annexes(incident) if route.annexes is None or place in route.annexes]
            calendars = [self._calendars.get(place, DEFAULT) for place in places or [""]]
        return min((since for of in calendars if (since := of.opened_at(self._now)) is not None), default=None)


def _annexes(incident: Incident) -> tuple[str, ...]:
    return incident.annexes or ((incident.annex_id,) if incident.annex_id else ())


def _reaches(route: Route, incident: Incident) -> bool:
    return route.annexes is None or not set(route.annexes).isdisjoint(_annexes(incident))


def _concerns(route: Route, audible: Audible) -> bool:
    return (
        not audible.audiences.isdisjoint(route.audiences)
        and _reaches(route, audible.incident)
        and SEVERITIES.index(audible.incident.severity) >= SEVERITIES.index(route.min_severity)
    )


# -- how much at once


def _bundled(
    receiver: Receiver, wanted: Sequence[_Wanted], past: _Past, *, now: datetime, limits: Limits
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
    receiver: Receiver, wanted: Sequence[_Wanted], kind: NoticeKind, past: _Past, now: datetime
) -> Notice:  # fmt: skip
    items = tuple(one.item for one in wanted)
    wishes = sorted(f"{i.incident_id}:{i.what}:{past.count(receiver.contact_id, i.incident_id)}" for i in items)
    digest = hashlib.sha256("/".join(wishes).encode()).hexdigest()[:32]
    return Notice(
        contact_id=receiver.contact_id, channel=receiver.kind, kind=kind, items=items, due_at=now,
        dedupe_key=f"{receiver.contact_id}/{digest}",
    )  # fmt: skip
