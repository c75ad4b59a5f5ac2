"""All devices in service as they are known now, by annex, and what is remembered of their printers and queues.

Memory of the watch loop: it can be built anew from the store at any time, but for the tracks of half an hour.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_controller import state
from annexfleet_controller.rules.tracks import PrinterTrack, QueueTrack
from annexfleet_controller.store.printer_events import Onset
from annexfleet_controller.views import AnnexView, DeviceView

JAMS_SPAN = timedelta(days=7)
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
            for one in (before, view):
                if one is not None:
                    touched.add(one.annex_id)
            self._place(before, view)
            if before is not None and view is not None:
                onsets += self._onsets(before, view)
        return touched, onsets

    def _place(self, before: DeviceView | None, view: DeviceView | None) -> None:
        if before is not None:
            self._numbers[before.annex_id].discard(before.number)
            if not self._numbers[before.annex_id]:
                del self._numbers[before.annex_id]
            self._versions[before.agent_version] -= 1
            del self.views[before.number]
        if view is not None:
            self.views[view.number] = view
            self._numbers.setdefault(view.annex_id, set()).add(view.number)
            self._versions[view.agent_version] += 1

    def _onsets(self, before: DeviceView, view: DeviceView) -> list[Onset]:
        old = {printer.name: set(printer.causes) for printer in before.printers}
        found = []
        for printer in view.printers:
            if printer.name not in old:
                continue
            identity = state.printer_identity(view.annex_id, view.id, printer)
            for cause in sorted(set(printer.causes) - old[printer.name] - state.QUIET_CAUSES):
                last = self._began.get((identity, cause))
                if last is None or printer.at - last > _SAME_ONSET:
                    self._began[identity, cause] = printer.at
                    found.append(Onset(identity, view.annex_id, cause, printer.at))
        self.remember(found)
        return found

    # -- what is remembered

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
