"""One annex at one moment: how ready it is, and what every rule says of everything in it.  Thinks only.

The order matters: whether the line or the power is cut comes first, because the readiness of everything else hangs on
it; readiness comes before the rules, because whether a service can be provided is itself something rules ask.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from annexfleet_agent.protocol.messages import Value
from annexfleet_controller import views
from annexfleet_controller.alerts.causes import fixes_text
from annexfleet_controller.alerts.fleet import Fleet
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.readiness import services, tree
from annexfleet_controller.readiness.leaves import Circumstances, leaves
from annexfleet_controller.readiness.model import All, AnnexReadiness, Fix
from annexfleet_controller.rules.judge import judge_all
from annexfleet_controller.rules.model import Rule, Subject, SubjectKind
from annexfleet_controller.rules.subjects import devices, places, printers
from annexfleet_controller.rules.together import LostTogether, MainsLost, lost_together, mains_lost_together
from annexfleet_controller.things import Thing, Verdict
from annexfleet_controller.views import AnnexView, DeviceView, PrinterView

_ALWAYS_ON = frozenset({"server", "kiosk"})
"""Roles of machines that stay on at night."""
LINE_CUT_RATIO = 0.8
"""Of the devices that were on: so many lost together mean the line (facts: default alert rules)."""


class Memory(Struct):
    """What need not be done again at the next judging of the same annex by the same rules."""

    kept: dict[int, devices.Kept] = {}
    """The subjects of its devices, by number."""
    quiet: dict[tuple[Thing, str], Mapping[str, Value | bool | None]] = {}
    """By which values nothing was raised (`rules.judge.judge_all`)."""


class Surroundings(Struct, frozen=True, kw_only=True):
    """What must be known besides the devices themselves."""

    calendar: Calendar
    rules: Mapping[SubjectKind, Sequence[Rule]]
    known_services: Mapping[str, services.ServiceDefinition] = {}
    own_services: Mapping[str, services.Override] = {}
    portals_down_everywhere: frozenset[str] = frozenset()
    link_down: bool = False
    """Whether an alert says so already: it lasts until enough devices are back."""
    power_down: bool = False
    disk_full_in_s: Mapping[int, Mapping[str, float]] = {}
    """By device number and mount point."""
    supply_days_left: Mapping[tuple[str, str], float] = {}
    """Opening days, by printer and supply."""
    standing: Container[tuple[Thing, str]] = frozenset()
    """Things and parts of which an alert is not cleared."""
    memory: Memory | None = None


class Judged(Struct, frozen=True):
    """What was concluded of one annex."""

    view: AnnexView
    readiness: AnnexReadiness
    trees: dict[str, All]
    """What each of its services rests on."""
    portals: list[Subject]
    verdicts: list[Verdict]
    judged: frozenset[tuple[Thing, str]]
    """Every thing and part that there is and that could be judged; of any other, an alert's subject is gone."""
    blind: frozenset[Thing]
    """Things of which nothing can be known now, so that an alert about a part of them is not gone."""


def judge_annex(
    annex_id: str, of: Iterable[DeviceView], fleet: Fleet, around: Surroundings, *, now: datetime
) -> Judged:
    """Everything that can be concluded of an annex from its devices.

    The tracks of `fleet` take in what is known now first: a report of a call must not be judged by the time before it.
    """
    view = views.annex(annex_id, of, now=now, is_open=around.calendar.is_open(now))
    if not view.devices:  # the last one is gone: there is nothing any more that an alert could be about
        return Judged(view, AnnexReadiness(annex_id, ()), {}, [], [], frozenset(), frozenset())
    fleet.follow(view)
    lost = lost_together(view.devices, now, around.calendar.is_open, always_on=_always_on(view))
    mains = mains_lost_together(view.devices, now)
    link_cut = around.link_down or (lost.count >= 2 and lost.ratio >= LINE_CUT_RATIO)
    told = Circumstances(
        link_cut=link_cut,
        power_cut=around.power_down or mains.count >= 2,
        portals_down_everywhere=around.portals_down_everywhere,
    )
    trees = services.trees(
        leaves(view, told), annex_id=annex_id, queues=[queue.service for queue in view.queues],
        known=around.known_services, overrides=around.own_services,
    )  # fmt: skip
    readiness = tree.assess(annex_id, trees, is_open=view.is_open)
    portals = places.of_portals(view, link_up=not link_cut)
    subjects = [
        *_of_devices(view, readiness, fleet, around, link_cut=link_cut, now=now),
        *_of_printers(view, fleet, around, now=now),
        *portals,
        *_of_queues(view, fleet, around.calendar.opened_at(now) if view.queues else None, now=now),
        places.of_annex(view, _annex_context(view, lost, mains, readiness)),
    ]
    return Judged(
        view=view,
        readiness=readiness,
        trees=trees,
        portals=portals,
        verdicts=list(
            judge_all(
                around.rules,
                subjects,
                now=now,
                standing=around.standing,
                quiet=None if around.memory is None else around.memory.quiet,
            )
        ),
        judged=frozenset((subject.thing, subject.part) for subject in subjects),
        blind=_blind(view),
    )


def people_waiting(view: AnnexView) -> float | None:
    """All who wait in queues that are known; None where none is."""
    known = [q.queue.waiting for q in view.queues if q.believed and not q.queue.stale and q.queue.waiting is not None]
    return sum(known) if known else None


def _always_on(view: AnnexView) -> frozenset[int]:
    return frozenset(device.number for device in view.devices if device.role in _ALWAYS_ON)


def _of_devices(
    view: AnnexView, readiness: AnnexReadiness, fleet: Fleet, around: Surroundings, *, link_cut: bool, now: datetime
) -> Iterable[Subject]:
    waiting = people_waiting(view)
    usual, memory = fleet.usual_version, around.memory or Memory()
    blocking = {fix.thing for service in readiness.services for fix in service.fix_set}
    for device in view.devices:
        context = devices.DeviceContext(
            calendar=around.calendar,
            link_up=not link_cut,
            people_waiting=waiting,
            blocks_service=Thing("device", device.id) in blocking,
            usual_version=usual,
            disk_full_in_s=around.disk_full_in_s.get(device.number, {}),
        )
        found = devices.kept(memory.kept.get(device.number), device, context, now=now)
        memory.kept[device.number] = found
        yield from found.subjects


def _of_printers(view: AnnexView, fleet: Fleet, around: Surroundings, *, now: datetime) -> Iterable[Subject]:
    for seen in view.printers:
        jams = fleet.jams(seen.id, now)
        context = printers.PrinterContext(
            track=fleet.printer_track(seen.id),
            other_works=any(_works(other) for other in view.printers if other.id != seen.id),
            jams_24h=jams.day,
            jams_7d=jams.week,
            empty_in_days={
                level.name: days
                for level in seen.printer.supplies
                if (days := around.supply_days_left.get((seen.id, level.name))) is not None
            },
        )
        yield from printers.of_printer(seen, context, annex_id=view.id, now=now)


def _works(seen: PrinterView) -> bool:
    return seen.believed and not seen.printer.blocked and seen.printer.state in ("idle", "processing")


def _of_queues(view: AnnexView, fleet: Fleet, opened_at: datetime | None, *, now: datetime) -> Iterable[Subject]:
    down = sum(device.role == "counter" and not device.is_online(now) for device in view.devices)
    for queue in view.queues:
        track = fleet.queue_track(view.id, queue.service)
        yield places.of_queue(queue, track, annex_id=view.id, counters_down=down, now=now, opened_at=opened_at)


def _annex_context(
    view: AnnexView, lost: LostTogether, mains: MainsLost, readiness: AnnexReadiness
) -> places.AnnexContext:
    by_state: dict[str, list[str]] = {}
    for service in readiness.services:
        by_state.setdefault(service.state, []).append(service.service)
    fixes: set[Fix] = {fix for remedy in readiness.plan for fix in remedy.fixes}
    return places.AnnexContext(
        lost_count=lost.count, lost_ratio=lost.ratio, lost_since=lost.since, lost_numbers=lost.numbers,
        back_ratio=_back_ratio(view),
        mains_lost_count=mains.count, mains_lost_since=mains.since, mains_numbers=mains.numbers,
        mains_back_count=mains.back_count,
        blocked=by_state.get("blocked", ()) if readiness.services else None,
        degraded=by_state.get("degraded", ()), unknown=by_state.get("unknown", ()),
        fixes=fixes_text(fixes),
        lacks=fixes_text(fix for service in readiness.services if service.state == "degraded" for fix in service.lacks),
    )  # fmt: skip


def _back_ratio(view: AnnexView) -> float:
    """Of the devices that were heard within a day, those that can be heard."""
    known = [device for device in view.devices if device.heard_at is not None]
    recent = [device for device in known if device.is_online(view.at) or not _long_silent(device, view.at)]
    return sum(device.is_online(view.at) for device in recent) / len(recent) if recent else 0.0


def _long_silent(device: DeviceView, now: datetime) -> bool:
    since = device.silent_since(now)
    return since is None or (now - since).total_seconds() > 86_400


def _blind(view: AnnexView) -> frozenset[Thing]:
    """Devices that cannot be heard, and printers that no device which can be heard stands behind."""
    silent = {Thing("device", device.id) for device in view.devices if not device.is_online(view.at)}
    silent |= {Thing("printer", seen.id) for seen in view.printers if not seen.believed}
    if not view.online:
        silent.add(Thing("annex", view.id))
    return frozenset(silent)
