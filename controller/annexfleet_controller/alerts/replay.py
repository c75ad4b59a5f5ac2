"""When a rule would have fired: the past of an annex judged again, minute by minute, with the same code as the present.

Device by device what was told is put together as it was then (changes, beats, coming and going); views, readiness,
subjects, verdicts and the life of an alert follow as the watcher makes them.  What is not replayed: forecasts,
maintenance, what another alert explains, and what only the present knows (`NOT_OF_THE_PAST`).
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, structs
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Hello
from annexfleet_controller import state
from annexfleet_controller.alerts import lifecycle
from annexfleet_controller.alerts.causes import AlertKey
from annexfleet_controller.alerts.fleet import JAMS_SPAN, Fleet
from annexfleet_controller.alerts.judging import Judged, Surroundings, judge_annex
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.errors import Invalid
from annexfleet_controller.readiness.services import Override as ServiceOverride
from annexfleet_controller.readiness.services import ServiceDefinition
from annexfleet_controller.rules.model import All, Any, Condition, Is, Not, Rule
from annexfleet_controller.store import changes, fleet, gather, past, printer_events
from annexfleet_controller.store.changes import Happening
from annexfleet_controller.store.past import PastBeat
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.things import Alert, Facts, Severity, Thing, Verdict
from annexfleet_controller.views import DeviceView

EVERY = timedelta(seconds=60)
"""How finely the past is looked at."""
QUIET_EVERY = timedelta(minutes=5)
"""The same while nothing is told and no alert is about to open or to clear."""
BEFORE = timedelta(minutes=40)
"""So much earlier it begins, for what must be seen for half an hour before anything is concluded."""
_A_BEAT_AT_MOST = timedelta(hours=1)
NOT_OF_THE_PAST = frozenset({"config_differs", "agent_version_differs"})
"""Values that compare with what is wanted or usual now; what was wanted then is not kept."""
FORECASTS = frozenset({"disk_full_in_seconds", "supply_empty_in_opening_days"})
_NOT_OF_ONE_ANNEX = frozenset({"portal_everywhere", "controller"})


class Firing(Struct):
    """One time that the rule would have fired."""

    thing: Thing
    part: str
    since: datetime
    """When its condition began to hold."""
    opened_at: datetime
    severity: Severity
    cause: str
    facts: Facts
    numbers: tuple[int, ...]
    cleared_at: datetime | None = None
    """None: it had not cleared in the end."""
    returns: int = 0
    """How often it came back soon after it had cleared."""


class Place(Struct, frozen=True, kw_only=True):
    """An annex, with what people set there."""

    annex_id: str
    calendar: Calendar
    known_services: Mapping[str, ServiceDefinition] = {}
    own_services: Mapping[str, ServiceOverride] = {}


def refuse_what_cannot_be(rule: Rule) -> None:
    """Raises Invalid for a rule that rests on what is not kept, and says on what."""
    if rule.subject in _NOT_OF_ONE_ANNEX:
        what = "the controller itself" if rule.subject == "controller" else "all annexes at once"
        raise Invalid(f"{rule.id} cannot be tried on the past: it is about {what}", field="rule")
    asked = sorted(metrics_of(rule.raise_when) & NOT_OF_THE_PAST)
    if asked:
        raise Invalid(f"{rule.id} cannot be tried on the past: {asked[0]} is not kept", field="rule")


def metrics_of(condition: Condition) -> frozenset[str]:
    """The values that a condition asks for."""
    match condition:
        case Is(metric=metric):
            return frozenset({metric})
        case Not(of=of):
            return metrics_of(of)
        case All(of=members) | Any(of=members):
            return frozenset().union(*map(metrics_of, members))


def replay(
    db: Session, rule: Rule, place: Place, *, since: datetime, until: datetime, device_number: int | None = None
) -> list[Firing]:
    """When this rule would have fired in an annex, oldest first; with `device_number` only by that device's word.

    The rule counts even if it is switched off.  Raises Invalid as `refuse_what_cannot_be` does.
    """
    refuse_what_cannot_be(rule)
    rule = structs.replace(rule, enabled=True)
    begin = since - BEFORE
    devices = {row.number: _Device(row) for row in fleet.devices(db, WHOLE, now=until, annex_id=place.annex_id)}
    if not devices:
        return []
    for before in past.standing(db, devices.keys(), at=begin):
        devices[before.device_number].take_in(before)
    for beat in past.beats(db, devices.keys(), since=begin - _A_BEAT_AT_MOST, until=begin):
        devices[beat.device_number].take_in(beat)
    known = Fleet()
    known.remember(
        onset for onset in printer_events.since(db, begin - JAMS_SPAN, cause="paper_jam")
        if onset.annex_id == place.annex_id and onset.at <= begin
    )  # fmt: skip
    told = _told(db, devices, since=begin, until=until)
    run = _Run(rule, place, known, device_number)
    started = {number: device.view(begin) for number, device in devices.items() if device.is_there(begin)}
    known.take_in(started, started)
    for now, moved in _moments(told, begin, until):
        for row in moved:
            devices[row.device_number].take_in(row)
        numbers = {row.device_number for row in moved}
        numbers |= {n for n, device in devices.items() if n not in known.views and device.is_there(now)}
        found = {number: devices[number].view(now) for number in numbers if devices[number].is_there(now)}
        known.take_in(found, found)
        run.look(now, is_new=bool(found))
    return [firing for firing in run.firings if firing.cleared_at is None or firing.cleared_at >= since]


def _told(
    db: Session, devices: Mapping[int, "_Device"], *, since: datetime, until: datetime
) -> Iterator[Happening | PastBeat]:
    kinds = ("change", "connected", "gone")
    happened = changes.happenings(db, since=since, until=until, kinds=kinds, numbers=devices.keys())
    happened.sort(key=lambda row: row.at)  # they come in portions
    return heapq.merge(
        happened, past.beats(db, devices.keys(), since=since, until=until), key=lambda row: row.at
    )  # fmt: skip


def _moments(
    told: Iterable[Happening | PastBeat], begin: datetime, until: datetime
) -> Iterator[tuple[datetime, list[Happening | PastBeat]]]:
    """Every minute, with what was told in it."""
    rows = iter(told)
    row = next(rows, None)
    now = begin
    while now < until:
        now = min(now + EVERY, until)
        moved = []
        while row is not None and row.at <= now:
            moved.append(row)
            row = next(rows, None)
        yield now, moved


class _Run:
    """The life of one rule's alerts in one annex."""

    def __init__(self, rule: Rule, place: Place, known: Fleet, device_number: int | None) -> None:
        self.firings: list[Firing] = []
        self._rule = rule
        self._place = place
        self._known = known
        self._device_number = device_number
        self._alerts: dict[AlertKey, Alert] = {}
        self._open: dict[AlertKey, Firing] = {}
        self._looked_at: datetime | None = None

    def look(self, now: datetime, *, is_new: bool) -> None:
        """Judge the annex at this moment, unless nothing can have changed since the last time."""
        moving = any(a.state == "pending" or a.clearing_since is not None for a in self._alerts.values())
        if not (is_new or moving) and self._looked_at is not None and now - self._looked_at < QUIET_EVERY:
            return
        self._looked_at = now
        self._forget_cleared(now)
        around = Surroundings(
            calendar=self._place.calendar,
            rules={self._rule.subject: (self._rule,)},
            known_services=self._place.known_services,
            own_services=self._place.own_services,
            link_down=self._is_open("annex.link_down"),
            power_down=self._is_open("annex.power_cut"),
            standing={(thing, part) for _, thing, part in self._alerts},
        )
        of = self._known.of_annex(self._place.annex_id)
        judged = judge_annex(self._place.annex_id, of, self._known, around, now=now)
        self._known.follow(judged.view)
        told = set()
        for verdict in judged.verdicts:
            if self._device_number is None or self._device_number in verdict.numbers:
                told.add((verdict.rule_id, verdict.thing, verdict.part))
                self._step(verdict, now)
        for key in self._alerts.keys() - told:
            alert = self._alerts[key]
            self._put(key, lifecycle.without_verdict(alert, gone=_is_gone(alert, judged), now=now), now)

    def _step(self, verdict: Verdict, now: datetime) -> None:
        key = (verdict.rule_id, verdict.thing, verdict.part)
        number = verdict.numbers[0] if len(verdict.numbers) == 1 else None
        role = self._known.views[number].role if number in self._known.views else ""
        after = lifecycle.step(
            self._alerts.get(key), verdict, self._rule, calendar=self._place.calendar, now=now, role=role
        )
        self._put(key, after, now, verdict.numbers)

    def _put(self, key: AlertKey, after: Alert | None, now: datetime, numbers: tuple[int, ...] = ()) -> None:
        before = self._alerts.get(key)
        if after is None:
            self._alerts.pop(key, None)
            return
        self._alerts[key] = after
        was_open = before is not None and before.state == "open"
        if after.state == "open":
            if not was_open:
                self._begin(key, before, after, now, numbers)
            firing = self._open[key]
            firing.severity, firing.since = after.severity, min(firing.since, after.since)
        elif was_open and after.state == "cleared":
            self._open[key].cleared_at = after.cleared_at

    def _begin(
        self, key: AlertKey, before: Alert | None, after: Alert, now: datetime, numbers: tuple[int, ...]
    ) -> None:
        if before is not None and before.state == "cleared" and after.flaps > before.flaps:
            self._open[key].cleared_at = None
            self._open[key].returns += 1
            return
        firing = Firing(
            after.thing, after.part, after.since, after.opened_at or now, after.severity, after.cause, after.facts,
            numbers,
        )  # fmt: skip
        self._open[key] = firing
        self.firings.append(firing)

    def _is_open(self, rule_id: str) -> bool:
        return any(key[0] == rule_id and alert.state == "open" for key, alert in self._alerts.items())

    def _forget_cleared(self, now: datetime) -> None:
        old = [
            key for key, alert in self._alerts.items()
            if alert.cleared_at is not None and now - alert.cleared_at > lifecycle.RETURNS_WITHIN
        ]  # fmt: skip
        for key in old:
            del self._alerts[key]


def _is_gone(alert: Alert, judged: Judged) -> bool:
    return (alert.thing, alert.part) not in judged.judged and alert.thing not in judged.blind


class _Device:
    """What one device had told up to a moment of the past."""

    def __init__(self, row: fleet.DeviceRow) -> None:
        self._row = structs.replace(
            row, connected=False, agent_version="", clock_offset_s=0.0, connected_at=None, gone_at=None, heard_at=None,
            beat_at=None, beat=None,
        )  # fmt: skip
        self._parts: dict[str, state.Part] = {}
        self._past = gather.Past([], [], [], mains=[])
        self._came_or_went = False

    def is_there(self, now: datetime) -> bool:
        """Whether it had been enrolled by then."""
        return self._row.enrolled_at <= now

    def take_in(self, row: Happening | PastBeat) -> None:
        """What it told next."""
        if isinstance(row, PastBeat):
            self._heard(row.at, beat_at=row.at, beat=row.payload)
        elif row.kind == "change":
            self._parts[row.collector] = state.Part(row.collector, row.at, row.payload)
            gather.take_in(self._past, row)
            self._heard(row.at)
        else:
            self._moved(row)

    def view(self, now: datetime) -> DeviceView:
        """As the watcher would have seen it."""
        self._past.moves[:] = [at for at in self._past.moves if now - at < gather.MOVES_SPAN]
        self._past.boots[:] = [at for at in self._past.boots if now - at < gather.BOOTS_SPAN]
        known = state.merge(self._parts.values(), beat_at=self._row.beat_at, beat=self._row.beat)
        return gather.view(self._row, known, self._past, None, self._row.enrolled_at)

    def _heard(self, at: datetime, **more: object) -> None:
        # What came while it was away was told later: it is known now, but it was not heard then.
        connected = self._row.connected or not self._came_or_went
        heard_at = max(filter(None, (self._row.heard_at, at))) if connected else self._row.heard_at
        self._row = structs.replace(self._row, connected=connected, heard_at=heard_at, **more)

    def _moved(self, row: Happening) -> None:
        self._came_or_went = True
        self._past.moves.append(row.at)
        if row.kind == "connected":
            self._past.gone_orderly = False
            told = _hello(row.payload)
            version = told.agent_version if told else self._row.agent_version
            offset_s = row.at.timestamp() - told.clock if told else self._row.clock_offset_s
            self._row = structs.replace(
                self._row, connected=True, connected_at=row.at, heard_at=row.at, agent_version=version,
                clock_offset_s=offset_s,
            )  # fmt: skip
            return
        self._past.gone_orderly = gather.said_goodbye(row.payload)
        if self._past.gone_orderly:
            self._past.goodbyes.append(row.at)
        self._row = structs.replace(self._row, connected=False, gone_at=row.at)


def _hello(payload: bytes) -> Hello | None:
    try:
        told = wire.decode_up("hello", payload)
    except wire.Malformed:
        return None
    return told if isinstance(told, Hello) else None
