"""What devices told of a cut after it, read from their changes; and the cuts that it puts in another light.

`late` does the thinking.  A cut is looked at again while it is young: devices may take hours to send what waited.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from annexfleet_agent.protocol.messages import Change
from annexfleet_controller import state
from annexfleet_controller.alerts import late
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.store import changes, gather, incidents
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.things import Incident, Thing
from annexfleet_controller.views import DeviceView

LOOKED_AT_FOR = timedelta(hours=12)
"""So long after a cut was over its devices may still tell of it."""
LOOKED_AT_EVERY = timedelta(seconds=30)
CUTS = ("line_cut", "power_cut")
_LOST_WITHIN = timedelta(minutes=5)
_COLLECTORS = ("", "battery", "uptime", "portal", "printers")


class Cuts:
    """The cuts of late, and when each was looked at."""

    def __init__(self, known: Iterable[Incident]) -> None:
        self._known = {incident.id: incident for incident in known if incident.kind in CUTS}
        self._looked_at: dict[int, datetime] = {}

    def see(self, written: Iterable[Incident]) -> None:
        """Take in incidents as they were written."""
        for incident in written:
            if incident.kind in CUTS:
                self._known[incident.id] = incident
            else:
                self._known.pop(incident.id, None)

    def due(self, touched: Collection[str], *, now: datetime) -> list[Incident]:
        """Those that are over and whose annex has just told something."""
        for id_, cut in list(self._known.items()):
            if cut.resolved_at is not None and now - cut.resolved_at > LOOKED_AT_FOR:
                del self._known[id_]
                self._looked_at.pop(id_, None)
        found = [
            cut
            for id_, cut in sorted(self._known.items())
            if cut.state == "resolved" and "retracted" not in cut.facts and cut.annex_id in touched
            if id_ not in self._looked_at or now - self._looked_at[id_] >= LOOKED_AT_EVERY
        ]
        self._looked_at |= dict.fromkeys((cut.id for cut in found), now)
        return found


def correct(
    db: Session, cut: Incident, devices: Sequence[DeviceView], *, calendar: Calendar, now: datetime
) -> late.Correction:
    """What is known by now of a cut that is over."""
    until = min(now, (cut.resolved_at or now) + late.STARTS_WITHIN)
    told = happenings(db, devices, since=cut.began_at - timedelta(minutes=10), until=until)
    lost = {one.number for one in told if one.what == "gone_lost" and abs(one.at - cut.began_at) <= _LOST_WITHIN}
    known = incidents.of_annex(db, cut.annex_id, kind="printer", since=cut.began_at - timedelta(days=1))
    return late.correct(cut, told, lost=lost, known=known, calendar=calendar, now=now)


def written(db: Session, corrections: Iterable[late.Correction], *, now: datetime) -> list[Incident]:
    """Write what late evidence made different; gives the incidents that are."""
    found: list[Incident] = []
    for correction in corrections:
        past = incidents.save(db, correction.past)
        stories = [Told(incident.id, incident.opened_at, "opened", facts={"late": 1.0}) for incident in past]
        stories += [Told(incident.id, incident.resolved_at or now, "resolved") for incident in past]
        found += past
        if correction.kind:
            found += incidents.save(db, [correction.incident])
            stories.append(Told(correction.incident.id, now, correction.kind, facts=correction.facts))
        incidents.tell(db, stories)
    return found


def happenings(db: Session, devices: Sequence[DeviceView], *, since: datetime, until: datetime) -> list[late.Happening]:
    """What these devices told of a time, whenever they told it; oldest first."""
    rows = changes.happenings(
        db, since=since, until=until, kinds=("connected", "gone", "change"), collectors=_COLLECTORS,
        numbers=[device.number for device in devices],
    )  # fmt: skip
    readers = {device.number: _Reader(device) for device in devices}
    return [one for row in rows for one in readers[row.device_number].read(row)]


class _Reader:
    """One device's rows in their order: what each says, and what it changes of what the one before said."""

    def __init__(self, device: DeviceView) -> None:
        self._device = device
        self._mains: bool | None = None
        self._portals: dict[str, bool] = {}
        self._causes: dict[str, tuple[Thing, frozenset[str]]] = {}

    def read(self, row: changes.Happening) -> Iterable[late.Happening]:
        if row.kind == "connected":
            yield self._one(row, "connected")
        elif row.kind == "gone":
            yield self._one(row, "gone_orderly" if gather.said_goodbye(row.payload) else "gone_lost")
        elif (change := gather.decoded(row.payload)) is not None:
            if change.collector == "battery":
                yield from self._battery(row, change)
            elif change.collector == "uptime":
                yield from self._uptime(row, change)
            elif change.collector == "portal":
                yield from self._portal(row, change)
            elif change.collector == "printers":
                yield from self._printers(row, change)

    def _battery(self, row: changes.Happening, change: Change) -> Iterable[late.Happening]:
        told = change.readings.get("", {}).get("battery_on_mains")
        if not isinstance(told, int | float):
            return
        moved = self._mains is not None and self._mains != bool(told)
        # Of the first row there is none before; then the device itself says whether this is what moved.
        if moved or (self._mains is None and any(reason.endswith("battery_on_mains") for reason in change.because)):
            yield self._one(row, "mains_back" if told else "mains_lost")
        self._mains = bool(told)

    def _uptime(self, row: changes.Happening, change: Change) -> Iterable[late.Happening]:
        up_s = change.readings.get("", {}).get("uptime_seconds")
        if isinstance(up_s, int | float) and 0 <= up_s < LOOKED_AT_FOR.total_seconds():
            yield self._one(row, "booted", at=row.at - timedelta(seconds=float(up_s)))

    def _portal(self, row: changes.Happening, change: Change) -> Iterable[late.Happening]:
        told = {
            subject: bool(of["portal_up"])
            for subject, of in change.readings.items()
            if isinstance(of.get("portal_up"), int | float)
        }
        if any(up and self._portals.get(subject) is not True for subject, up in told.items()):
            yield self._one(row, "portal_up")
        elif any(not up and self._portals.get(subject) is not False for subject, up in told.items()):
            yield self._one(row, "portal_down")
        self._portals = told

    def _printers(self, row: changes.Happening, change: Change) -> Iterable[late.Happening]:
        known = state.merge([state.Part(change.collector, row.at, row.payload)])
        found: dict[str, tuple[Thing, frozenset[str]]] = {}
        for printer in state.printers(known):
            thing = Thing("printer", state.printer_identity(self._device.annex_id, self._device.id, printer))
            found[printer.name] = (thing, frozenset(cause for cause in printer.causes if state.blocks(cause)))
        for name, (thing, causes) in found.items():
            before = self._causes.get(name, (thing, frozenset()))[1]
            for cause in sorted(causes - before):
                yield self._one(row, "printer_cause_set", printer=thing, cause=cause, name=name)
            for cause in sorted(before - causes):
                yield self._one(row, "printer_cause_cleared", printer=thing, cause=cause, name=name)
        self._causes = found

    def _one(
        self,
        row: changes.Happening,
        what: late.What,
        *,
        at: datetime | None = None,
        printer: Thing | None = None,
        cause: str = "",
        name: str = "",
    ) -> late.Happening:
        return late.Happening(
            number=row.device_number, at=at or row.at, received_at=row.received_at, what=what,
            has_battery=None if self._device.on_mains is None else True, printer=printer, cause=cause,
            facts={"printer": name} if name else {},
        )  # fmt: skip
