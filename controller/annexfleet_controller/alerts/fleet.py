"""All devices in service as they are known now, by annex, and what is remembered of their printers and queues.

Memory of the watch loop: it can be built anew from the store at any time, but for the tracks of half an hour.
"""

import logging
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, structs

from annexfleet_controller import state
from annexfleet_controller.rules.tracks import PrinterTrack, QueueTrack
from annexfleet_controller.store.printer_events import Onset
from annexfleet_controller.views import AnnexView, DeviceView

log = logging.getLogger(__name__)

JAMS_SPAN = timedelta(days=7)
MOST_ONSETS = 500
"""Of one device in a day; a printer that jams all day long tells of some dozens."""
MOST_NEW_NAMES = 300
"""Of one device in a day: printers, queues, portals and file systems that it did not have before.  A device that makes
up names all day long would else fill the database with what is told of each."""
_FORGOTTEN_AFTER = timedelta(hours=2)
"""Tracks of what is no longer seen."""
_SAME_ONSET = timedelta(minutes=2)
"""Two devices that see a printer tell of the same jam within so long."""


class Jams(Struct, frozen=True):
    """How often a printer jammed."""

    day: int = 0
    week: int = 0


class Fleet:
    """What is known of all devices."""

    def __init__(self) -> None:
        self.views: dict[int, DeviceView] = {}
        self._numbers: dict[str, set[int]] = {}
        self._printer_tracks: dict[str, PrinterTrack] = {}
        self._queue_tracks: dict[tuple[str, str], QueueTrack] = {}
        self._jams: dict[str, deque[datetime]] = {}
        self._began: dict[tuple[str, str], datetime] = {}
        self._versions: Counter[str] = Counter()
        self._onsets_of: Counter[int] = Counter()
        self._new_names_of: Counter[int] = Counter()
        """Both by device, of today."""

    @property
    def annexes(self) -> Collection[str]:
        return self._numbers.keys()

    @property
    def usual_version(self) -> str:
        """The agent version that most devices have; empty while none told."""
        known = [(count, version) for version, count in self._versions.items() if version and count > 0]
        return max(known)[1] if known else ""

    def of_annex(self, annex_id: str) -> list[DeviceView]:
        return [self.views[number] for number in sorted(self._numbers.get(annex_id, ()))]

    def take_in(self, numbers: Iterable[int], found: Mapping[int, DeviceView]) -> tuple[set[str], list[Onset]]:
        """Newer views of these devices; one that was not found is no longer in service.

        Gives the annexes that this touches, and what trouble began at printers.
        """
        touched: set[str] = set()
        onsets: list[Onset] = []
        for number in numbers:
            before, view = self.views.get(number), found.get(number)
            if before is not None and view is not None:
                view = self._with_few_new_names(before, view)
            for one in (before, view):
                if one is not None:
                    touched.add(one.annex_id)
            self._place(before, view)
            if before is not None and view is not None:
                onsets += self._onsets(before, view)
        return touched, onsets

    def could_be_heard_since(self, moment: datetime) -> None:
        """Ingest listens since then: only from there on the silence of a device that counts as connected is one."""
        for number, view in self.views.items():
            if view.connected and view.heard_at is not None and view.heard_at < moment:
                self.views[number] = structs.replace(view, heard_at=moment)

    def _place(self, before: DeviceView | None, view: DeviceView | None) -> None:
        if before is not None:
            self._numbers[before.annex_id].discard(before.number)
            if not self._numbers[before.annex_id]:
                del self._numbers[before.annex_id]
            self._versions[before.agent_version] -= 1
            if not self._versions[before.agent_version]:
                del self._versions[before.agent_version]
            del self.views[before.number]
        if view is not None:
            self.views[view.number] = view
            self._numbers.setdefault(view.annex_id, set()).add(view.number)
            self._versions[view.agent_version] += 1

    def _with_few_new_names(self, before: DeviceView, view: DeviceView) -> DeviceView:
        had, has = _names(before), _names(view)
        if has <= had:
            return view
        count = self._new_names_of[view.number] = self._new_names_of[view.number] + len(has - had)
        if count <= MOST_NEW_NAMES:
            return view
        if count - len(has - had) <= MOST_NEW_NAMES:
            log.warning("device makes up names, new ones wait until tomorrow device_number=%s", view.number)
        return structs.replace(
            view,
            printers=tuple(one for one in view.printers if ("printer", one.name) in had),
            queues=tuple(one for one in view.queues if ("queue", one.service) in had),
            portals=tuple(one for one in view.portals if ("portal", one.name) in had),
            disks={mount: of for mount, of in view.disks.items() if ("disk", mount) in had},
        )

    def _onsets(self, before: DeviceView, view: DeviceView) -> list[Onset]:
        old = {printer.name: set(printer.causes) for printer in before.printers}
        found = []
        for printer in view.printers:
            if printer.name not in old:
                continue
            identity = state.printer_identity(view.annex_id, view.id, printer)
            for cause in sorted(set(printer.causes) - old[printer.name] - state.QUIET_CAUSES):
                last = self._began.get((identity, cause))
                if (last is None or printer.at - last > _SAME_ONSET) and self._may_tell(view.number):
                    self._began[identity, cause] = printer.at
                    found.append(Onset(identity, view.annex_id, cause, printer.at))
        self.remember(found)
        return found

    def _may_tell(self, number: int) -> bool:
        self._onsets_of[number] += 1
        if self._onsets_of[number] == MOST_ONSETS + 1:
            log.warning("device tells of too many troubles of printers, not counted today device_number=%s", number)
        return self._onsets_of[number] <= MOST_ONSETS

    # -- what is remembered

    def forget_old(self, now: datetime, *, is_new_day: bool) -> None:
        """What is no longer seen must not be kept for ever: names of printers and queues are the devices' own."""
        if is_new_day:
            self._onsets_of.clear()
            self._new_names_of.clear()
        since = now - _FORGOTTEN_AFTER
        self._began = {what: at for what, at in self._began.items() if at > since}
        self._jams = {name: of for name, of in self._jams.items() if of and of[-1] > now - JAMS_SPAN}
        self._printer_tracks = {name: of for name, of in self._printer_tracks.items() if of.seen_after(since)}
        self._queue_tracks = {name: of for name, of in self._queue_tracks.items() if of.seen_after(since)}

    def remember(self, onsets: Iterable[Onset]) -> None:
        """Jams count for a week."""
        for onset in onsets:
            if onset.cause == "paper_jam":
                self._jams.setdefault(onset.printer_id, deque()).append(onset.at)

    def jams(self, printer_id: str, now: datetime) -> Jams:
        moments = self._jams.get(printer_id)
        if moments is None:
            return Jams()
        while moments and now - moments[0] > JAMS_SPAN:
            moments.popleft()
        return Jams(sum(now - at <= timedelta(days=1) for at in moments), len(moments))

    def printer_track(self, printer_id: str) -> PrinterTrack:
        return self._printer_tracks.setdefault(printer_id, PrinterTrack())

    def queue_track(self, annex_id: str, service: str) -> QueueTrack:
        return self._queue_tracks.setdefault((annex_id, service), QueueTrack())

    def follow(self, view: AnnexView) -> None:
        """Let the tracks of an annex's printers and queues take in what is known now."""
        for seen in view.printers:
            if seen.believed:
                printer = seen.printer
                processing = printer.state == "processing"
                track = self.printer_track(seen.id)
                track.see(printer.at, jobs=printer.jobs, pages=printer.pages, processing=processing)
        for queue in view.queues:
            told = queue.queue
            if queue.believed and not told.stale and not told.missing:
                self.queue_track(view.id, queue.service).see(
                    told.at, waiting=told.waiting, longest_wait_s=told.longest_wait_s, served=told.served_last_hour
                )


def _names(view: DeviceView) -> frozenset[tuple[str, str]]:
    """What a device has names for."""
    return frozenset(
        [
            *(("printer", one.name) for one in view.printers),
            *(("queue", one.service) for one in view.queues),
            *(("portal", one.name) for one in view.portals),
            *(("disk", mount) for mount in view.disks),
        ]
    )
