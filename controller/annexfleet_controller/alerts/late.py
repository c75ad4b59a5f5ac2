"""What devices tell of a cut after it: then its cause and its times are put right.  Thinks only.

While an annex cannot be reached, nobody knows why.  When it returns, its devices send what happened meanwhile, each
with its moment.  What follows from that:

- It was a *power cut* if two devices with a battery lost mains within a minute of each other, from two minutes before
  the cut to its end.  One with a battery is enough if at least two machines without one started again by the end of
  it, without having been switched off in order.  Machines that start again alone prove nothing: somebody may have
  restarted them because nothing worked.
- The trouble began when the first of them lost mains, and ended when one had it back for two minutes, else when the
  last machine had started.  A line cut ended when the first device saw a portal again, or was heard again.
- It was *nothing* if the devices that fell silent had been switched off in order, outside opening hours or around
  closing time: their goodbyes only arrived late.
- Printers that were blocked for two minutes of opening time, and were well again before the cut ended, are told as
  incidents of the past, of which nobody has to be notified.

The same evidence told twice changes nothing the second time.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct, structs

from annexfleet_agent.protocol.causes import CAUSES
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.things import Facts, Incident, Thing

BEFORE = timedelta(minutes=2)
"""A broker notices a cut later than it happens."""
TOGETHER = timedelta(seconds=60)
BACK_FOR = timedelta(minutes=2)
STARTS_WITHIN = timedelta(minutes=30)
"""So long after the end of a cut machines still start because of it."""
FEWEST_MACHINES = 2
CLOSES_WITHIN = timedelta(minutes=60)
ORDERLY_SHARE = 0.8
SHORTEST_PRINTER_TROUBLE_S = 120.0
"""As the rule `printer.blocked` has it."""
SAME_TROUBLE = timedelta(minutes=10)
"""What a printer has again so soon is told as one."""
_LESS_IS_EQUAL = timedelta(seconds=1)

What = Literal[
    "mains_lost", "mains_back", "booted", "gone_lost", "gone_orderly", "connected", "portal_up", "portal_down",
    "printer_cause_set", "printer_cause_cleared",
]  # fmt: skip


class Happening(Struct, frozen=True, kw_only=True):
    """One thing that a device of the annex told of the past."""

    number: int
    """Of the device."""
    at: datetime
    """When it happened, by our clock as far as the device's is put right."""
    received_at: datetime
    what: What
    has_battery: bool | None = None
    """None: nobody knows; then it has one if it ever told of mains."""
    printer: Thing | None = None
    cause: str = ""
    """Of the printer."""
    facts: Facts = {}
    """Of the printer: what texts are filled with."""


class Correction(Struct, frozen=True):
    """What late evidence makes of an incident."""

    incident: Incident
    kind: Literal["", "cause_corrected", "times_corrected", "retracted"] = ""
    """What its story says; empty if nothing is different."""
    facts: Facts = {}
    """cause_corrected: `from` and `to`; it and times_corrected: `began_at` and `ended_at` in seconds since 1970."""
    past: tuple[Incident, ...] = ()
    """Printers' incidents, resolved already.  Nobody is notified."""


def correct(
    incident: Incident,
    happenings: Iterable[Happening],
    *,
    lost: Collection[int] = (),
    known: Iterable[Incident] = (),
    calendar: Calendar,
    now: datetime,
) -> Correction:
    """What these happenings make of a line cut or a power cut, open or resolved.  Any other incident stays as it is.

    `happenings`: what the devices of its annex told of the time from `BEFORE` it to `STARTS_WITHIN` after it, in any
    order, and no less of it in a later call.  `lost`: numbers of the devices that had fallen silent.  `known`:
    incidents of the annex's printers from that time, which are not told again.
    """
    if incident.kind not in ("line_cut", "power_cut"):
        return Correction(incident)
    latest = min(now, (incident.resolved_at or now) + STARTS_WITHIN)
    told = sorted({_key(one): one for one in happenings if one.at <= latest}.values(), key=_key)
    correction = _put_right(incident, told, lost, calendar, now)
    after = correction.incident
    past = _past(after, told, known, calendar, after.ended_at or after.resolved_at or now)
    return structs.replace(correction, past=past)


def _put_right(
    incident: Incident, told: Sequence[Happening], lost: Collection[int], calendar: Calendar, now: datetime
) -> Correction:
    until = incident.ended_at or incident.resolved_at or now
    powerless: set[int] = set()
    began_at: datetime | None = incident.began_at
    if incident.kind == "line_cut":
        powerless, began_at = _power_cut(told, incident.began_at - BEFORE, until)
    if began_at is not None:
        began_at = _first_loss(told, began_at)
        ended_at = _power_back(told, began_at) or incident.ended_at
        corrected = structs.replace(incident, began_at=began_at, ended_at=ended_at)
        if incident.kind == "line_cut":
            corrected = structs.replace(
                corrected, kind="power_cut", key=f"power_cut:{incident.thing.id}", cause="power_cut",
                facts={**incident.facts, "devices": float(len(powerless))},
            )  # fmt: skip
        return _difference(incident, corrected)
    told = [one for one in told if one.at >= incident.began_at - BEFORE]
    if _was_switched_off(incident, told, lost, calendar):
        retracted = structs.replace(
            incident, state="resolved", resolved_at=incident.resolved_at or now, ended_at=until,
            facts={**incident.facts, "retracted": 1.0},
        )  # fmt: skip
        return Correction(retracted, "" if "retracted" in incident.facts else "retracted")
    ended_at = _line_back(incident, told, until) or incident.ended_at
    return _difference(incident, structs.replace(incident, ended_at=ended_at))


def _difference(before: Incident, after: Incident) -> Correction:
    times: Facts = {"began_at": after.began_at.timestamp()}
    if after.ended_at is not None:
        times["ended_at"] = after.ended_at.timestamp()
    if before.kind != after.kind:
        return Correction(after, "cause_corrected", {"from": before.kind, "to": after.kind, **times})
    if _apart(before.began_at, after.began_at) or _apart(before.ended_at, after.ended_at):
        return Correction(after, "times_corrected", times)
    return Correction(before)


def _apart(one: datetime | None, other: datetime | None) -> bool:
    if one is None or other is None:
        return one is not other
    return abs(one - other) >= _LESS_IS_EQUAL


# -- power


def _power_cut(told: Sequence[Happening], since: datetime, until: datetime) -> tuple[set[int], datetime | None]:
    """Who lost mains in what proves a power cut, and when the first of them did; None if there was none."""
    losses = [one for one in told if one.what == "mains_lost" and since <= one.at <= until]
    for first in losses:
        numbers = {one.number for one in losses if timedelta(0) <= one.at - first.at <= TOGETHER}
        if len(numbers) > 1:
            return numbers, first.at
    for loss in losses:
        if len(_started_again(told, loss.at)) >= FEWEST_MACHINES:
            return {loss.number}, loss.at
    return set(), None


def _first_loss(told: Sequence[Happening], began_at: datetime) -> datetime:
    """The beginning, if others lost mains just before what is known of it."""
    for one in reversed(told):
        if one.what == "mains_lost" and timedelta(0) < began_at - one.at <= TOGETHER:
            began_at = one.at
    return began_at


def _started_again(told: Sequence[Happening], since: datetime) -> set[int]:
    """Machines without a battery that started after that moment, and had not been switched off in order before."""
    with_battery = {one.number for one in told if one.has_battery or one.what in ("mains_lost", "mains_back")}
    orderly = {one.number for one in told if one.what == "gone_orderly"}
    started = {one.number for one in told if one.what == "booted" and one.at >= since}
    return started - with_battery - orderly


def _power_back(told: Sequence[Happening], began_at: datetime) -> datetime | None:
    """When the first device had mains back for `BACK_FOR`, else when the last machine had started; None if none did."""
    for one in told:
        if one.what != "mains_back" or one.at <= began_at:
            continue
        again = any(
            other.what == "mains_lost" and other.number == one.number and one.at < other.at < one.at + BACK_FOR
            for other in told
        )
        if not again:
            return one.at
    starts = [one.at for one in told if one.what == "booted" and one.at > began_at]
    return max(starts, default=None)


# -- line, and nothing at all


def _line_back(incident: Incident, told: Sequence[Happening], until: datetime) -> datetime | None:
    """When the first device saw a portal again or was heard again, after the last of them was cut off."""
    downs = [one.at for one in told if one.what in ("gone_lost", "portal_down") and one.at <= until]
    cut_at = max(downs, default=incident.began_at)
    backs = [
        one.at for one in told if one.what in ("portal_up", "connected") and one.at > max(cut_at, incident.began_at)
    ]
    if not backs or (incident.ended_at is not None and min(backs) >= incident.ended_at):
        return None  # whatever we noticed was no later
    return min(backs)


def _was_switched_off(incident: Incident, told: Sequence[Happening], lost: Collection[int], calendar: Calendar) -> bool:
    """Whether nearly all that fell silent had said goodbye, at a time when machines are switched off."""
    orderly = {one.number for one in told if one.what == "gone_orderly"}
    cut_off = {one.number for one in told if one.what in ("gone_lost", "mains_lost")} - orderly
    concerned = set(lost) or orderly | cut_off
    if len(concerned & orderly) < max(2.0, ORDERLY_SHARE * len(concerned)) or concerned & cut_off:
        return False
    at = incident.began_at
    return not calendar.is_open(at) or not calendar.is_open(at + CLOSES_WITHIN)


# -- printers


def _past(
    incident: Incident, told: Sequence[Happening], known: Iterable[Incident], calendar: Calendar, until: datetime
) -> tuple[Incident, ...]:
    """What printers had and lost again during the cut, each stretch of trouble once."""
    there = [(one.key, one.began_at, one.ended_at or one.resolved_at or until) for one in known]
    found = []
    for printer, stretches in _stretches(told, incident.began_at, until).items():
        key = f"printer:{printer.id}"
        for stretch in _joined(stretches):
            began_at, ended_at = stretch[0].began.at, max(one.ended.at for one in stretch)
            if calendar.open_seconds(began_at, ended_at) < SHORTEST_PRINTER_TROUBLE_S:
                continue
            if any(key == other and begin <= ended_at and end >= began_at for other, begin, end in there):
                continue
            longest = max(stretch, key=lambda one: (one.ended.at - one.began.at, one.began.cause))
            found.append(
                Incident(
                    key=key, kind="printer", cause=longest.began.cause, annex_id=incident.annex_id,
                    annexes=(incident.annex_id,) if incident.annex_id else (), thing=printer, state="resolved",
                    facts=longest.began.facts, began_at=began_at, ended_at=ended_at,
                    opened_at=min(one.began.received_at for one in stretch),
                    resolved_at=max(one.ended.received_at for one in stretch),
                )
            )  # fmt: skip
    return tuple(sorted(found, key=lambda past: (past.began_at, past.key)))


class _Stretch(Struct, frozen=True):
    """One cause of one printer, from its beginning to its end."""

    began: Happening
    ended: Happening


def _stretches(told: Sequence[Happening], since: datetime, until: datetime) -> dict[Thing, list[_Stretch]]:
    """The blocking causes that began and ended within the cut, oldest first."""
    found: dict[Thing, list[_Stretch]] = {}
    begun: dict[tuple[Thing, str], Happening] = {}
    for one in told:
        if one.printer is None or one.cause not in CAUSES or CAUSES[one.cause].blocks != "yes":
            continue
        what = one.printer, one.cause
        if one.what == "printer_cause_set" and since <= one.at <= until:
            begun.setdefault(what, one)  # several devices may tell of it
        elif one.what == "printer_cause_cleared" and one.at <= until and (first := begun.pop(what, None)) is not None:
            found.setdefault(one.printer, []).append(_Stretch(first, one))
    for stretches in found.values():
        stretches.sort(key=lambda stretch: (stretch.began.at, stretch.began.cause))
    return found


def _joined(stretches: Sequence[_Stretch]) -> list[list[_Stretch]]:
    """Stretches that overlap, or follow each other within `SAME_TROUBLE`, put together."""
    joined: list[list[_Stretch]] = []
    for stretch in stretches:
        if joined and stretch.began.at - max(one.ended.at for one in joined[-1]) <= SAME_TROUBLE:
            joined[-1].append(stretch)
        else:
            joined.append([stretch])
    return joined


def _key(one: Happening) -> tuple[datetime, int, str, str, str]:
    return one.at, one.number, one.what, one.printer.id if one.printer else "", one.cause
