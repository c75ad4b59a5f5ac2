"""From what is known of an annex to the things that its services rest on, each ok, failing or unknown.

No data is unknown, never ok.  Silence is a failure only where it can be nothing else: the line is up, the annex is
open, the device was heard before.  With the line cut people may well go on working, so only the portal fails, by one
repair that all share; with the mains cut, all that hangs on them fails, by one repair too.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_agent.protocol.causes import CAUSES, in_order
from annexfleet_controller.readiness.model import CapabilityName, Fix, Leaf
from annexfleet_controller.state import Level, Printer
from annexfleet_controller.things import Thing
from annexfleet_controller.views import AnnexView, DeviceView, PrinterView, Probe, QueueView

CUT_GRACE = timedelta(minutes=2)
"""A device that is heard so long after the mains went has power from elsewhere."""

_BY_ROLE: dict[str, CapabilityName] = {"counter": "counter", "kiosk": "kiosk", "tablet": "tablet"}
"""A server is in nobody's way to the counter by itself; a service may name it."""
_EMPTY_RATIO = 0.01
_NO_PRINTER_OF_ITS_OWN = "local"
"""The address of a queue that leads to a file or back to the machine: nothing that a citizen is handed."""


class Circumstances(Struct, frozen=True):
    """What only someone who sees more than this annex can tell."""

    link_cut: bool = False
    power_cut: bool = False
    portals_down_everywhere: frozenset[str] = frozenset()
    """Names of portals that fail in the whole province."""


class Leaves(Struct, frozen=True):
    """What an annex has."""

    by_capability: dict[CapabilityName, tuple[Leaf, ...]]
    """Those that a service rests on unless it says otherwise; no entry where there is nothing."""
    by_id: dict[str, Leaf]
    """All of them, and servers and printers that no counter sees too: by id, portals and queues also by name."""


def leaves(view: AnnexView, told: Circumstances = Circumstances()) -> Leaves:  # noqa: B008  # frozen
    """The leaves of an annex."""
    moment = _Moment(view, told)
    devices = {device.number: moment.device(device) for device in view.devices}
    found: dict[CapabilityName, list[Leaf]] = {}
    for device in view.devices:
        role = _BY_ROLE.get(device.role)
        if role is not None:
            found.setdefault(role, []).append(devices[device.number])
    by_id = {leaf.thing.id: leaf for leaf in devices.values()}
    counters = {device.number for device in view.devices if device.role in ("counter", "kiosk")} or set(devices)
    for printer in view.printers:
        leaf = by_id[printer.id] = moment.printer(printer)
        if printer.printer.address != _NO_PRINTER_OF_ITS_OWN and counters.intersection(printer.seen_by):
            found.setdefault("print", []).append(leaf)
    for name, probes in moment.probes().items():
        leaf = by_id[name] = moment.portal(name, probes)
        by_id[leaf.thing.id] = leaf
        found.setdefault("portal", []).append(leaf)
    for queue in view.queues:
        leaf = by_id.setdefault(queue.service, moment.queue(queue))
        by_id[f"{view.id}/{queue.service}"] = moment.queue(queue)
        found.setdefault("queue", []).append(leaf)
    if view.devices:
        found["link"] = [moment.link()]
    return Leaves({name: tuple(of) for name, of in found.items()}, by_id)


def missing(thing_id: str) -> Leaf:
    """A thing that a service names and the annex has not (any more): nobody knows of it."""
    return Leaf(Thing("device", thing_id), thing_id, "unknown")


class _Moment:
    """An annex at one moment, asked thing by thing."""

    def __init__(self, view: AnnexView, told: Circumstances) -> None:
        self._view, self._told = view, told
        self._annex = Thing("annex", view.id)
        self._online = {device.number for device in view.devices if device.is_online(view.at)}
        self._cut_at = self._when_the_mains_went() if told.power_cut else None
        self._has_power = self._online - {d.number for d in view.devices if told.power_cut and not self._powered(d)}

    def _when_the_mains_went(self) -> datetime | None:
        """By the first device that told it; None if none did."""
        told = [d.mains_at for d in self._view.devices if d.on_mains is False and d.mains_at is not None]
        return min(told) if told else None

    def _powered(self, device: DeviceView) -> bool:
        """Whether it surely has power while the mains are cut: it has a battery, or was heard since."""
        if device.on_mains is not None:
            return True
        return self._cut_at is not None and device.heard_at is not None and device.heard_at > self._cut_at + CUT_GRACE

    def device(self, device: DeviceView) -> Leaf:
        thing = Thing("device", device.id)
        if device.number in self._has_power:
            return Leaf(thing, device.name, "ok")
        if device.heard_at is None:
            return Leaf(thing, device.name, "unknown")
        since = device.silent_since(self._view.at)
        if self._told.power_cut and device.on_mains is None:
            return Leaf(thing, device.name, "failing", self._power_cut, self._cut_at or since)
        # A battery may keep it going where its word no longer reaches us.  At night it is off, as it should be.
        nobody_heard = self._told.power_cut and not self._online
        if self._told.link_cut or nobody_heard or not self._view.is_open or device.number in self._online:
            return Leaf(thing, device.name, "unknown", since=since)
        return Leaf(thing, device.name, "failing", frozenset({Fix("device_offline", thing)}), since)

    def printer(self, view: PrinterView) -> Leaf:
        printer, thing = view.printer, Thing("printer", view.id)
        told_with_power = view.believed and view.seen_by[0] in self._has_power
        fixes = _repairs(printer, thing)
        if self._told.power_cut and (not told_with_power or _out_of_reach(printer)):
            others = frozenset(fix for fix in fixes if fix.cause not in ("unreachable", "powered_off"))
            return Leaf(thing, printer.name, "failing", others | self._power_cut, self._cut_at)
        if not view.believed or printer.missing:
            return Leaf(thing, printer.name, "unknown", since=printer.at)
        if fixes:
            return Leaf(thing, printer.name, "failing", fixes)
        return Leaf(thing, printer.name, "unknown" if printer.state == "unknown" else "ok")

    def probes(self) -> dict[str, list[tuple[int, Probe]]]:
        """What each device, by number, says of each portal, by name."""
        found: dict[str, list[tuple[int, Probe]]] = {}
        for device in self._view.devices:
            for probe in device.portals:
                found.setdefault(probe.name, []).append((device.number, probe))
        return dict(sorted(found.items()))

    def portal(self, name: str, probes: Iterable[tuple[int, Probe]]) -> Leaf:
        """By the majority of the devices that can be heard; as many for as against is the devices' trouble, not its."""
        thing = Thing("portal", f"{self._view.id}/{name}")
        heard = [probe for number, probe in probes if number in self._has_power and probe.up is not None]
        up = sum(probe.up is True for probe in heard)
        if heard and 2 * up >= len(heard):
            return Leaf(thing, name, "ok")
        if self._told.link_cut or self._told.power_cut:
            return Leaf(thing, name, "failing", self._cut)
        if name in self._told.portals_down_everywhere:
            everywhere = Fix("portal_down_everywhere", Thing("portal", f"*/{name}"))
            return Leaf(thing, name, "failing", frozenset({everywhere}))
        if heard:
            return Leaf(thing, name, "failing", frozenset({Fix("portal_down", thing)}))
        return Leaf(thing, name, "unknown")

    def queue(self, view: QueueView) -> Leaf:
        """That people are counted is a convenience: where nobody counts, citizens are served all the same."""
        known = view.believed and not view.queue.stale and not view.queue.missing
        thing = Thing("queue", f"{self._view.id}/{view.service}")
        return Leaf(thing, view.service, "ok" if known else "unknown", since=None if known else view.queue.at)

    def link(self) -> Leaf:
        if self._told.link_cut:
            return Leaf(self._annex, self._view.id, "failing", self._cut)
        return Leaf(self._annex, self._view.id, "ok" if self._online else "unknown")

    @property
    def _power_cut(self) -> frozenset[Fix]:
        return frozenset({Fix("power_cut", self._annex)})

    @property
    def _cut(self) -> frozenset[Fix]:
        """What brings the line back; with the mains gone the router has none, and comes back with them."""
        return self._power_cut if self._told.power_cut else frozenset({Fix("line_cut", self._annex)})


def _out_of_reach(printer: Printer) -> bool:
    return printer.state in ("unreachable", "unknown") or bool(printer.missing)


def _repairs(printer: Printer, thing: Thing) -> frozenset[Fix]:
    """What keeps it from printing, each cause once (a cartridge each); empty if nothing does.

    A stopped queue that heals itself is no repair of its own beside what stopped it, nor is "does not answer" beside
    "is off".  A printer that stopped without a cause that always stops it, did so for what else it told.
    """
    if not printer.blocked:
        return frozenset()
    sure = [cause for cause in printer.causes if cause in CAUSES and CAUSES[cause].blocks == "yes"]
    causes = sure or in_order(c for c in printer.causes if c in CAUSES and CAUSES[c].blocks not in ("yes", "no"))
    if printer.state == "unreachable" and not sure:
        causes = ["unreachable"]
    by_hand = [cause for cause in causes if CAUSES[cause].who != "auto"]
    causes = by_hand or causes or ["unknown_reason"]
    if "powered_off" in causes:
        causes = [cause for cause in causes if cause != "unreachable"]
    return frozenset(Fix(cause, thing, part) for cause in causes for part in _parts(printer, cause))


def _parts(printer: Printer, cause: str) -> list[str]:
    """The trays or supplies that it is about, where levels tell; else one repair without a part."""
    if cause == "paper_empty":  # paper in any one tray may do, so a tray is only named if it is the only one
        empty = _names(printer.trays)
        return empty if len(empty) == 1 else [""]
    if cause not in ("toner_empty", "waste_full"):
        return [""]
    waste = cause == "waste_full"
    return _names(supply for supply in printer.supplies if ("waste" in supply.kind.lower()) is waste) or [""]


def _names(levels: Iterable[Level]) -> list[str]:
    counted = Counter(level.name for level in levels if level.ratio is not None and level.ratio <= _EMPTY_RATIO)
    return sorted(counted)
