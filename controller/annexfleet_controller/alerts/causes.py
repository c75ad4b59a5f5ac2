"""Which alert explains which.  Thinks only.

- The power cut of an annex explains its line cut, silent devices, unexpected starts, batteries, unreachable printers,
  print queues, portals, queues of people, and that services cannot be provided.
- A line cut explains silent devices, those that start again (it may have been the power), unreachable printers,
  portals, silent queues, what piles up on devices, services.
- A portal that is down everywhere explains that it is down or slow in each annex, and the services that need it.
- A portal that is down for one annex, a device, a printer or a queue explains the services and the queues of people
  whose repairs (`fixes`) name it.
- A silent device explains printers and queues that only it, or only devices that are silent too, can see.
- Any rule explains what it `mutes`: on the same thing, and if it is about an annex, in all of it.

A cause explains only what began after it, less `SLACK`, and not later than `SLACK` after it ended.  What is explained
by something that is explained itself belongs to the first cause of the chain.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_controller.readiness.model import Fix
from annexfleet_controller.things import SEVERITIES, THING_KINDS, Alert, Facts, Incident, IncidentKind, Thing

SLACK = timedelta(minutes=6)
"""A beat and some: a device that fell silent in a line cut was heard last up to a beat before it."""

_MOST_FIXES = 100

AlertKey = tuple[str, Thing, str]

_RANKS: dict[IncidentKind, int] = {
    "controller": 0, "power_cut": 1, "line_cut": 2, "portal_down_everywhere": 3, "portal_down": 4, "device": 5,
    "printer": 6, "portal": 7, "queue": 8, "annex": 9,
}  # fmt: skip
"""A cause explains only what comes after it here, so that no two explain each other."""

_ANNEX_WIDE: dict[IncidentKind, tuple[str, ...]] = {
    "power_cut": (
        "annex.", "device.offline", "device.flapping", "reboot.unexpected", "battery.low", "battery.critical",
        "printer.offline", "print.", "portal.down_local", "portal.slow", "queue.", "agent.backlog",
    ),
    "line_cut": (
        "annex.", "device.offline", "device.flapping", "reboot.unexpected", "printer.offline", "portal.down_local",
        "portal.slow", "queue.silent", "agent.backlog",
    ),
}  # fmt: skip
_WITHOUT_POWER = frozenset({"unreachable", "powered_off"})
"""Causes of a blocked printer that a power cut explains; an empty tray is empty without one too."""
_OF_A_PORTAL = ("portal.down_local", "portal.slow")
_OF_THE_SAME_PRINTER = {"printer.blocked": "print.", "printer.offline": "print."}
_SILENT = ("device.offline", "device.missing", "device.flapping")
_HANGING = ("printer.offline", "print.", "queue.silent")
_FOLLOWS_FIXES = ("annex.", "queue.long", "queue.critical", "queue.stalled")
_OF_RULE: dict[str, tuple[IncidentKind, str]] = {
    "annex.power_cut": ("power_cut", "{thing}"),
    "annex.link_down": ("line_cut", "{thing}"),
    "portal.down_global": ("portal_down_everywhere", "{portal}"),
    "portal.down_local": ("portal_down", "{thing}"),
    "portal.tls": ("portal", "*/{portal}"),  # it has one certificate, however many annexes look at it
}
"""What incident the alerts of a rule make, and its key; of any other rule it is the kind and id of the thing."""
_RULE_OF_KIND: dict[IncidentKind, str] = {kind: rule_id for rule_id, (kind, _) in _OF_RULE.items() if kind != "portal"}


class Context(Struct, frozen=True):
    """What grouping has to know besides alerts."""

    mutes: Mapping[str, tuple[str, ...]] = {}
    """By rule, which rules it explains (`Rule.mutes`)."""
    hangs_on: Mapping[Thing, tuple[Thing, ...]] = {}
    """Printers and queues, and the devices that can tell of them: without all of these nothing is known."""
    fixes: Mapping[str, str] = {}
    """By annex or by `<annex>/<service>`, its repairs as `fixes_text` writes them; where an alert's facts have none."""


class Cause(Struct, frozen=True, kw_only=True):
    """What an alert can be explained by: another alert, or an incident whose own alert has cleared just now."""

    incident_key: str
    kind: IncidentKind
    rule_id: str
    since: datetime
    until: datetime | None = None
    alert: Alert | None = None
    annex_id: str = ""

    @property
    def rank(self) -> int:
        return _RANKS[self.kind]


class Explained(Struct, frozen=True):
    """Where an alert belongs."""

    incident_key: str
    is_effect: bool
    by_rule: str
    """The rule of the first cause; empty if it is its own."""


def own_incident(alert: Alert) -> tuple[IncidentKind, str]:
    """The kind and the key of the incident that an alert would make alone."""
    thing, portal = alert.thing, _portal(alert.thing)
    kind, what = _OF_RULE.get(alert.rule_id, (thing.kind, "{thing}"))
    return kind, f"{kind}:{what.format(thing=thing.id, portal=portal)}"


def fixes_text(fixes: Iterable[Fix]) -> str:
    """Repairs as the fact `fixes` has them: `paper_empty@printer:3f...,power_cut@annex:berkane-1`."""
    return ",".join(sorted({f"{fix.cause}@{fix.thing.kind}:{fix.thing.id}" for fix in fixes}))


def fixes_of(facts: Facts) -> tuple[tuple[str, Thing], ...]:
    """The repairs that the fact `fixes` names: cause and thing.  What cannot be read is left out."""
    return _read_fixes(str(facts.get("fixes", "")))


def explain(
    alerts: Sequence[Alert], lingering: Sequence[Incident], context: Context, *, now: datetime
) -> dict[AlertKey, Explained]:
    """Where each of these open alerts belongs.  `lingering`: incidents that still explain, without an alert of their
    own; `ended_at` says until when what they explain may have begun.
    """
    index = _Index(alerts, lingering, context)
    parents = {alert.key: cause for alert in alerts if (cause := index.cause_of(alert)) is not None}
    return {alert.key: _root(alert, parents) for alert in alerts}


def _root(alert: Alert, parents: dict[AlertKey, Cause]) -> Explained:
    seen: list[Alert] = [alert]
    cause = parents.get(alert.key)
    while cause is not None:
        if cause.alert is None:
            return Explained(cause.incident_key, True, cause.rule_id)
        if cause.alert in seen:  # rules that mute each other in a ring: the first by name is the cause
            ring = seen[seen.index(cause.alert) :]
            seen.append(min(ring, key=lambda one: one.key))
            break
        seen.append(cause.alert)
        cause = parents.get(cause.alert.key)
    root = seen[-1]
    return Explained(own_incident(root)[1], root is not alert, "" if root is alert else root.rule_id)


class _Index:
    """Open alerts, found by what they are about."""

    def __init__(self, alerts: Sequence[Alert], lingering: Sequence[Incident], context: Context) -> None:
        self._context = context
        self._of_thing: dict[Thing, list[Cause]] = {}
        self._by_rule: dict[Thing, dict[str, Cause]] = {}
        """Of each rule the first by `_order`: a thing may have hundreds of parts."""
        self._of_annex: dict[str, list[Cause]] = {}
        self._of_controller: list[Cause] = []
        self._everywhere: dict[str, list[Cause]] = {}
        self._lingering: dict[int, Cause] = {}
        for alert in alerts:
            kind, key = own_incident(alert)
            self._add(
                alert.thing,
                Cause(
                    incident_key=key, kind=kind, rule_id=alert.rule_id, since=alert.since, alert=alert,
                    annex_id=alert.annex_id,
                ),
            )  # fmt: skip
        for incident in lingering:
            cause = Cause(
                incident_key=incident.key, kind=incident.kind, rule_id=_RULE_OF_KIND.get(incident.kind, ""),
                since=incident.began_at, until=incident.ended_at, annex_id=incident.annex_id,
            )  # fmt: skip
            self._add(incident.thing, cause)
            if incident.id:
                self._lingering[incident.id] = cause

    def _add(self, thing: Thing, cause: Cause) -> None:
        self._of_thing.setdefault(thing, []).append(cause)
        if cause.alert is not None:
            firsts = self._by_rule.setdefault(thing, {})
            if cause.rule_id not in firsts or _order(cause) < _order(firsts[cause.rule_id]):
                firsts[cause.rule_id] = cause
        if thing.kind == "annex":
            self._of_annex.setdefault(thing.id, []).append(cause)
        elif thing.kind == "controller":
            self._of_controller.append(cause)
        elif cause.kind == "portal_down_everywhere":
            self._everywhere.setdefault(_portal(thing), []).append(cause)

    def cause_of(self, alert: Alert) -> Cause | None:
        """What explains it directly, the strongest first; None if nothing does."""
        kind, key = own_incident(alert)
        rank = _RANKS[kind]
        fitting = [
            cause for cause in self._candidates(alert)
            if cause.rank < rank and cause.since - SLACK <= alert.since and (
                cause.until is None or alert.since <= cause.until + SLACK)
        ]  # fmt: skip
        if fitting:
            return min(fitting, key=_order)
        on_thing = self._by_rule[alert.thing].values()
        same = [cause for cause in on_thing if cause.rank <= rank and self._explains_on_thing(cause.rule_id, alert)]
        if same:
            return min(same, key=_order)
        # Its cause has ended, and it was part of it: it may take a while to recover.
        ended = self._lingering.get(alert.incident_id or 0)
        return ended if ended is not None and alert.is_effect and ended.incident_key != key else None

    def _candidates(self, alert: Alert) -> Iterable[Cause]:
        mutes = self._context.mutes
        for cause in self._of_controller:
            if alert.rule_id in mutes.get(cause.rule_id, ()):
                yield cause
        for cause in self._of_annex.get(alert.annex_id, ()) if alert.annex_id else ():
            if _is_annex_wide(cause.kind, alert) or alert.rule_id in mutes.get(cause.rule_id, ()):
                yield cause
        if alert.thing.kind == "portal" and alert.rule_id in _OF_A_PORTAL:
            yield from self._everywhere.get(_portal(alert.thing), ())
        if alert.rule_id.startswith(_HANGING):
            yield from self._holders(alert)
        if alert.rule_id.startswith(_FOLLOWS_FIXES):
            yield from self._named(alert)

    def _explains_on_thing(self, rule_id: str, alert: Alert) -> bool:
        if rule_id == alert.rule_id:
            return False
        prefix = _OF_THE_SAME_PRINTER.get(rule_id)
        if prefix is not None and alert.rule_id.startswith(prefix):
            return True
        return alert.rule_id in self._context.mutes.get(rule_id, ())

    def _holders(self, alert: Alert) -> Iterable[Cause]:
        """The device on which a printer or a queue hangs, if none is left that can tell of it: the last that went."""
        last: Cause | None = None
        for device in self._context.hangs_on.get(alert.thing, ()):
            silent = [cause for cause in self._of_thing.get(device, ()) if cause.rule_id in _SILENT]
            if not silent:
                return
            gone = min(silent, key=_order)
            last = gone if last is None or gone.since > last.since else last
        if last is not None:
            yield last

    def _named(self, alert: Alert) -> Iterable[Cause]:
        """What the repairs of its service name, as far as there are alerts about it."""
        # What only degrades services is no part of the smallest set that brings back the blocked ones.
        told = _read_fixes(str(alert.facts.get("lacks", ""))) if alert.rule_id == "annex.degraded" else ()
        told = told or fixes_of(alert.facts)
        if not told:
            told = _read_fixes(self._context.fixes.get(alert.thing.id, ""))
        for cause_id, thing in told:
            about = self._of_thing.get(thing, ())
            exact = [cause for cause in about if cause.alert is not None and cause.alert.cause == cause_id]
            yield from exact or about
            if thing.kind == "portal":
                yield from self._everywhere.get(_portal(thing), ())


def _is_annex_wide(kind: IncidentKind, alert: Alert) -> bool:
    if kind == "power_cut" and alert.rule_id == "printer.blocked":
        return alert.cause in _WITHOUT_POWER
    return alert.rule_id.startswith(_ANNEX_WIDE.get(kind, ()))


def _order(cause: Cause) -> tuple[int, int, datetime, str, str]:
    """The strongest kind first, then the most severe, then the oldest."""
    severity = SEVERITIES.index(cause.alert.severity) if cause.alert is not None else 0
    return cause.rank, -severity, cause.since, cause.rule_id, cause.incident_key


def _portal(thing: Thing) -> str:
    return thing.id.partition("/")[2]


def _read_fixes(text: str) -> tuple[tuple[str, Thing], ...]:
    found = []
    for one in text.split(",")[:_MOST_FIXES]:
        cause, _, what = one.strip().partition("@")
        kind, _, thing_id = what.partition(":")
        if cause and thing_id and kind in THING_KINDS:
            found.append((cause, Thing(kind, thing_id)))
    return tuple(found)
