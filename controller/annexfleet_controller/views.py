"""What is known of a device and of an annex at one moment, compact: what rules and readiness are told.  Thinks only.

`state` merges what a device told; a `DeviceView` keeps of that what reaches beyond the device itself: its presence,
its power, and the printers, queues and portals it sees.  An `AnnexView` puts its devices' views together, each printer
once.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_agent.protocol.messages import Value
from annexfleet_controller import state

LOST_AFTER_BEATS = 3
"""A device that promised a beat every so often and missed three is silent, whatever its connection claims."""


class Probe(Struct, frozen=True, kw_only=True):
    """A portal as one device sees it."""

    name: str
    up: bool | None
    """None: the device could not tell."""
    stage: str = ""
    """Where the check stopped (`portal_failed_stage`)."""
    total_s: float | None = None
    certificate_days: float | None = None
    at: datetime


class DeviceView(Struct, frozen=True, kw_only=True):
    """One device in service."""

    number: int
    id: str
    annex_id: str
    name: str
    role: str
    """counter, kiosk, tablet or server"""
    enrolled_at: datetime
    connected: bool = False
    heard_at: datetime | None = None
    connected_at: datetime | None = None
    gone_at: datetime | None = None
    gone_orderly: bool = False
    """Whether it said goodbye when it went: switched off by hand, and not cut off."""
    beat_period_s: float = 300.0
    moves: tuple[datetime, ...] = ()
    """When it came and went in the last two hours, oldest first."""
    goodbyes: tuple[datetime, ...] = ()
    """Those of `moves` and before, in the last day, at which it said goodbye."""
    losses: tuple[datetime, ...] = ()
    """When it fell silent without a goodbye, in the last day, oldest first."""
    boots: tuple[datetime, ...] = ()
    """When it started in the last day, oldest first, as far as it told."""
    values: dict[str, Value] = {}
    """What it told of itself, by metric: of what moves all the time the mean of the last beat, else the last value."""
    disks: dict[str, dict[str, Value]] = {}
    """The same of each of its file systems, by mount point."""
    told_at: datetime | None = None
    """Of the newest of these readings."""
    on_mains: bool | None = None
    """None: it has no battery, or did not tell."""
    mains_at: datetime | None = None
    """Since when `on_mains` is so, by its last report of that change."""
    clock_offset_s: float = 0.0
    agent_version: str = ""
    config_version: int = 0
    config_wanted: int = 0
    """Version of the settings meant for it; 0 if there are none."""
    config_wanted_at: datetime | None = None
    printers: tuple[state.Printer, ...] = ()
    queues: tuple[state.Queue, ...] = ()
    portals: tuple[Probe, ...] = ()

    def is_online(self, now: datetime) -> bool:
        """Whether what it told last can be believed to be so now."""
        if not self.connected or self.heard_at is None:
            return False
        return now - self.heard_at < timedelta(seconds=LOST_AFTER_BEATS * self.beat_period_s)

    def silent_since(self, now: datetime) -> datetime | None:
        """When it was heard last, if it cannot be heard now; None if it can, or never could."""
        if self.heard_at is None or self.is_online(now):
            return None
        if not self.connected and self.gone_at is not None:
            return self.gone_at
        return self.heard_at


class PrinterView(Struct, frozen=True):
    """A printer of an annex, once, whichever devices see it."""

    id: str
    printer: state.Printer
    """As the device sees it that tells most; of devices that can be heard, if any can."""
    seen_by: tuple[int, ...]
    """Numbers of the devices that see it; the one whose word is taken comes first."""
    believed: bool
    """Whether a device that can be heard now stands behind it."""


class QueueView(Struct, frozen=True):
    """A queue where people wait."""

    service: str
    queue: state.Queue
    device_number: int
    believed: bool


class AnnexView(Struct, frozen=True, kw_only=True):
    """One annex at one moment."""

    id: str
    at: datetime
    devices: tuple[DeviceView, ...]
    printers: tuple[PrinterView, ...]
    queues: tuple[QueueView, ...]
    is_open: bool
    """By its calendar."""

    @property
    def online(self) -> list[DeviceView]:
        return [device for device in self.devices if device.is_online(self.at)]


def annex(annex_id: str, devices: Iterable[DeviceView], *, now: datetime, is_open: bool) -> AnnexView:
    """The view of an annex from those of its devices, which are told in any order."""
    ordered = tuple(sorted(devices, key=lambda device: (device.name, device.id)))
    return AnnexView(
        id=annex_id, at=now, devices=ordered, printers=_printers(annex_id, ordered, now), queues=_queues(ordered, now),
        is_open=is_open,
    )  # fmt: skip


def _printers(annex_id: str, devices: Sequence[DeviceView], now: datetime) -> tuple[PrinterView, ...]:
    seen: dict[str, list[tuple[bool, state.Printer, int]]] = {}
    for device in devices:
        online = device.is_online(now)
        for printer in device.printers:
            identity = state.printer_identity(annex_id, device.id, printer)
            seen.setdefault(identity, []).append((online, printer, device.number))
    found = []
    for identity, places in seen.items():
        best = places[0]
        for place in places[1:]:
            if place[0] > best[0] or (place[0] == best[0] and state.better_seen(place[1], best[1])):
                best = place
        others = tuple(number for _, _, number in places if number != best[2])
        found.append(PrinterView(identity, best[1], (best[2], *others), best[0]))
    return tuple(sorted(found, key=lambda view: (view.printer.name, view.id)))


def _queues(devices: Sequence[DeviceView], now: datetime) -> tuple[QueueView, ...]:
    """Each service once: of a device that can be heard and has fresh figures, the newest."""
    best: dict[str, tuple[tuple[bool, bool, datetime], QueueView]] = {}
    for device in devices:
        online = device.is_online(now)
        for queue in device.queues:
            order = (online, not queue.stale and not queue.missing, queue.at)
            if queue.service not in best or order > best[queue.service][0]:
                best[queue.service] = (order, QueueView(queue.service, queue, device.number, online))
    return tuple(view for _, (_, view) in sorted(best.items()))
