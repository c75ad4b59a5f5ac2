"""What is wrong beside the devices themselves: printers, portals and queues that they see, services that they serve.

Alerts and spans of readiness as the store has them, made into faults (`waves.blaming`) that say through which devices
they are seen.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import structs
from sqlalchemy.orm import Session

from annexfleet_controller import state
from annexfleet_controller.rollouts.eyes import Eyes
from annexfleet_controller.store.readiness import Stood
from annexfleet_controller.store.rollout_evidence import ThingTrouble
from annexfleet_controller.views import DeviceView
from annexfleet_controller.waves import blaming
from annexfleet_controller.waves.blaming import READINESS, Cut, Fault, Standing

_WORN_RULES = frozenset({"printer.supply_low", "printer.supply_empty", "printer.waste", "printer.jam_repeat"})
_WORN = frozenset({"toner_empty", "toner_low", "supply_low", "supply_empty", "waste_full", "waste_almost_full"})
"""Used up by printing, over weeks, and missing for days: no change does that."""
_COUNTED_ELSEWHERE = frozenset({"device_offline", "power_cut", "line_cut", "portal_down_everywhere"})
"""Silence is a sign of the device itself; the others are nobody's in the annex."""
_WORTH_TELLING = frozenset({"warning", "critical"})
_LONG_AGO = datetime.fromtimestamp(0, UTC)


def counted(
    db: Session, eyes: Eyes, devices: Mapping[int, Standing], touched: Collection[int], *, now: datetime
) -> dict[int, list[Fault]]:
    """The faults that count for these devices, by number.  `touched`: what other rollouts changed lately."""
    annexes = {of.annex_id for of in devices.values()}
    found = [
        *_of_things(db, eyes, annexes, now=now),
        *(fault for annex_id in annexes for fault in falls(annex_id, eyes.stood.get(annex_id, ()))),
    ]
    if not found:
        return {}
    cuts = {
        annex_id: [Cut(one.since, one.cleared_at) for one in eyes.cuts[annex_id]]
        for annex_id in annexes
        if annex_id in eyes.cuts
    }
    touched_annexes = {eyes.devices[number].annex_id for number in touched if number in eyes.devices}
    return blaming.counted(found, devices, cuts=cuts, touched_annexes=touched_annexes)


def _of_things(db: Session, eyes: Eyes, annexes: Collection[str], *, now: datetime) -> Iterator[Fault]:
    for annex_id in sorted(annexes):
        alerts = [one for one in eyes.things.get(annex_id, ()) if _counts(one)]
        if not alerts:
            continue
        seen_by = _seen_by(annex_id, eyes.views(db, eyes.of_annex.get(annex_id, ()), now=now).values())
        for one in alerts:
            yield Fault(
                annex_id=annex_id, rule=one.rule_id, thing=f"{one.kind} {one.thing_id} {one.part}",
                severity=one.severity, since=one.since, over_at=one.cleared_at,
                seen_by=frozenset(seen_by.get((one.kind, one.thing_id), ())),
            )  # fmt: skip


def _counts(one: ThingTrouble) -> bool:
    return one.severity in _WORTH_TELLING and one.rule_id not in _WORN_RULES and one.cause not in _WORN


def _seen_by(annex_id: str, views: Iterable[DeviceView]) -> dict[tuple[str, str], set[int]]:
    """Numbers of the devices that see each thing of an annex, by its kind and id as alerts name it."""
    found: dict[tuple[str, str], set[int]] = {}
    for view in views:
        things = {("printer", state.printer_identity(annex_id, view.id, printer)) for printer in view.printers}
        things |= {("portal", f"{annex_id}/{portal.name}") for portal in view.portals}
        things |= {("queue", f"{annex_id}/{queue.service}") for queue in view.queues}
        for thing in things:
            found.setdefault(thing, set()).add(view.number)
    return found


def falls(annex_id: str, stood: Sequence[Stood]) -> Iterator[Fault]:
    """The times in which a service of an annex was not ready, each from when it was so no longer.

    `stood`: how its services stood, in order.  Times of which nobody knows (nights) are passed over: what was ready in
    the evening and is not in the morning has fallen.  What was not ready when it was first known has not.
    """
    by_service: dict[str, list[Stood]] = {}
    for one in stood:
        by_service.setdefault(one.service, []).append(one)
    for _, spans in sorted(by_service.items()):
        begun: Stood | None = None
        is_blocked, was_known = False, False
        for one in spans:
            if one.state == "unknown":
                continue
            if one.state == "ready" or not _is_worth_counting(one):
                if begun is not None:
                    yield _fall(annex_id, begun, is_blocked=is_blocked, over_at=one.since)
                begun, is_blocked = None, False
            else:
                begun = begun or (one if was_known else structs.replace(one, since=_LONG_AGO))
                is_blocked = is_blocked or one.state == "blocked"
            was_known = True
        if begun is not None:
            # After the last span there is nothing only where the service is offered no more.
            yield _fall(annex_id, begun, is_blocked=is_blocked, over_at=spans[-1].until)


def _fall(annex_id: str, begun: Stood, *, is_blocked: bool, over_at: datetime | None) -> Fault:
    return Fault(
        annex_id=annex_id, rule=READINESS, thing=begun.service, severity="critical" if is_blocked else "warning",
        since=begun.since, over_at=over_at,
    )  # fmt: skip


def _is_worth_counting(one: Stood) -> bool:
    """Whether it lacks anything that a change could have taken and that no device shows by itself."""
    return not one.causes or not one.causes <= _COUNTED_ELSEWHERE | _WORN
