"""What a conductor knows of the fleet between two looks, so that each look reads only what moved.

Memory alone: everything can be read anew at any time.  Devices are followed by their pulses, as the watch over alerts
follows them; who is in service, opening hours and what services need are read anew now and then.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol.messages import Summary
from annexfleet_controller import views
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.rollouts import telling, wanting
from annexfleet_controller.rollouts.surroundings import Definitions, Trees
from annexfleet_controller.rollouts.telling import Reported
from annexfleet_controller.store import (
    calendars,
    figures,
    gather,
    history,
    pulses,
    readiness,
    rollout_evidence,
    rollout_targets,
    rollouts,
)
from annexfleet_controller.store.readiness import Stood
from annexfleet_controller.store.rollout_evidence import CUTS, Chosen, ThingTrouble, Told, Trouble
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.views import AnnexView, DeviceView
from annexfleet_controller.waves.readings import KEY_READINGS

READ_ANEW = timedelta(seconds=15)
"""Who is in service; opening hours and services."""
LISTENS_WITHIN = timedelta(seconds=60)
"""While ingest gave no sign of life for longer, nobody can be heard, and nothing is concluded."""
ONLINE_WITHIN = timedelta(minutes=15)
"""Three beats: a session that told nothing for so long does not stand, whatever the broker says."""
LOOKED_BACK = timedelta(hours=6)
"""How a device was before its change."""
BEGUN_LATELY = timedelta(days=1)
STOOD_BEFORE = timedelta(days=4)
"""So long may an annex have been closed when it was changed: nobody knew how its services stood."""
_LONGEST_PAUSE = timedelta(minutes=5)
"""After a longer one pulses may be missed, for they are kept for ten minutes."""
_MOST_BEATS = 1200
"""Of one device: four days."""

Point = tuple[datetime, Mapping[str, float]]
"""End of a beat, and its key readings."""


class Figures(Struct, frozen=True):
    ingest_alive: datetime
    ingest_connected: datetime


class Eyes:
    """`look` once in each turn; what the other questions need is then read only once."""

    def __init__(self) -> None:
        self.devices: dict[int, Chosen] = {}
        """All in service, by number."""
        self.told: dict[int, Told] = {}
        self.of_annex: dict[str, list[int]] = {}
        self.calendars: dict[str, Calendar] = {}
        self.listening_since = datetime.fromtimestamp(0, UTC)
        self.troubles: dict[str, list[Trouble]] = {}
        """By device id: those that live, and those that cleared since `watched_since`."""
        self.things: dict[str, list[ThingTrouble]] = {}
        """The same about printers, portals and queues, by annex."""
        self.cuts: dict[str, list[ThingTrouble]] = {}
        """The same about an annex's line and mains."""
        self.stood: Mapping[str, Sequence[Stood]] = {}
        """How services stood, by annex; those in which all stood well are missing."""
        self.begun: frozenset[int] = frozenset()
        """Devices that any rollout began lately: they are nobody's untouched ones."""
        self.listens = False
        self._pulses = pulses.Follower()
        self._definitions: Definitions | None = None
        self._rivals: Mapping[str, frozenset[int]] = {}
        self._views: dict[int, DeviceView] = {}
        self._points: dict[int, deque[Point]] = {}
        self._listed: dict[tuple[int, tuple[str, ...]], tuple[datetime | None, telling.Facts]] = {}
        """Facts from inventories, with the moment of each inventory."""
        self._lists = wanting.Lists()
        self._read_at: datetime | None = None
        self._looked_at: datetime | None = None

    # -- a look

    def look(self, db: Session, *, now: datetime, watched_since: datetime) -> None:
        """Read what moved since the last look."""
        told = _figures(db)
        self.listens = now - told.ingest_alive <= LISTENS_WITHIN
        if told.ingest_connected != self.listening_since:
            self.listening_since = told.ingest_connected
            self._views.clear()
        moved = {
            number for pulse in self._pulses.poll(db) for number, kinds in pulse.devices.items() if set(kinds) - {"l"}
        }
        if self._looked_at is not None and not timedelta(0) <= now - self._looked_at <= _LONGEST_PAUSE:
            self._forget()
        self._looked_at = now
        if self._read_at is None or not timedelta(0) <= now - self._read_at < READ_ANEW:
            self._read_rest(db)
            self.stood = readiness.stood(db, since=watched_since, looked_back=STOOD_BEFORE)
            self._read_at = now
        if not self.told:
            self.told = rollout_evidence.told(db, None)
        elif moved:
            self.told |= rollout_evidence.told(db, moved)
        if again := moved.intersection(self._views):
            self._read_views(db, again, now)
        self._rivals = rollouts.configuring(db)
        self.begun = rollout_targets.begun_since(db, now - BEGUN_LATELY)
        self.troubles = {}
        for trouble in rollout_evidence.troubles(db, since=watched_since):
            self.troubles.setdefault(trouble.device_id, []).append(trouble)
        self.things, self.cuts = {}, {}
        for of_thing in rollout_evidence.thing_troubles(db, since=watched_since):
            kept = self.cuts if of_thing.rule_id in CUTS else self.things
            kept.setdefault(of_thing.annex_id, []).append(of_thing)

    def _forget(self) -> None:
        self.told.clear()
        self._views.clear()
        self._points.clear()
        self._listed.clear()
        self._read_at = None

    def _read_rest(self, db: Session) -> None:
        found = {one.number: one for one in rollout_evidence.chosen(db, WHOLE)}
        if found.keys() != self.devices.keys():
            self.told = rollout_evidence.told(db, None)
        for number in [number for number in self._views if self.devices.get(number) != found.get(number)]:
            del self._views[number]
        self.devices = found
        self.of_annex = {}
        for one in found.values():
            self.of_annex.setdefault(one.annex_id, []).append(one.number)
        self.calendars = calendars.of_all(db)
        self._definitions = Definitions(db)

    def _read_views(self, db: Session, numbers: Collection[int], now: datetime) -> None:
        found = gather.views(db, numbers, now=now, listening_since=self.listening_since)
        for number in numbers:
            if number in found:
                self._views[number] = found[number]
                self._take_in(found[number])
            else:
                self._views.pop(number, None)

    # -- what is known

    def has_rival(self, rollout_id: int, configures: str) -> bool:
        """Whether another rollout that is begun, or done, configures the same."""
        return bool(self._rivals.get(configures, frozenset()) - {rollout_id})

    def is_online(self, number: int, now: datetime) -> bool:
        """Whether commands reach it: its session stands, and it told something lately."""
        told = self.told.get(number)
        if told is None or not told.connected or told.heard_at is None:
            return False
        return now - max(told.heard_at, self.listening_since) < ONLINE_WITHIN

    def views(self, db: Session, numbers: Iterable[int], *, now: datetime) -> dict[int, DeviceView]:
        """The views of these devices; one that is not in service is missing."""
        wanted = [number for number in numbers if number in self.devices]
        if missing := [number for number in wanted if number not in self._views]:
            self._read_views(db, missing, now)
        return {number: self._views[number] for number in wanted if number in self._views}

    def annex(self, db: Session, annex_id: str, *, now: datetime) -> tuple[AnnexView, Trees]:
        """An annex, and what its services rest on, as it is now."""
        of = self.views(db, self.of_annex.get(annex_id, ()), now=now).values()
        calendar = self.calendars.get(annex_id)
        view = views.annex(annex_id, of, now=now, is_open=calendar is not None and calendar.is_open(now))
        assert self._definitions is not None
        return view, self._definitions.trees(view)

    def reported(
        self, db: Session, numbers: Collection[int], names: tuple[str, ...], *, now: datetime
    ) -> dict[int, Reported]:
        """What these devices report of these facts.  An inventory is taken apart once, for it is big."""
        listed = tuple(name for name in names if telling.is_of_inventory(name))
        known = [number for number in numbers if number in self.told]
        if listed:
            self._see_inventories(db, known, listed)
        settings = self.views(db, known, now=now) if "config_version" in names else {}
        standing = wanting.facts(db, known, names, lists=self._lists)
        found = {}
        for number in known:
            told = self.told[number]
            facts = dict(self._listed[number, listed][1]) if listed else {}
            if told.heard_at is not None and "agent_version" in names and told.agent_version:
                facts["agent_version"] = (told.agent_version, told.heard_at)
            if told.heard_at is not None and number in settings:
                facts["config_version"] = (str(settings[number].config_version), told.heard_at)
            found[number] = telling.told_by(facts | standing.get(number, {}))
        return found

    def _see_inventories(self, db: Session, numbers: Collection[int], names: tuple[str, ...]) -> None:
        missing = []
        for number in numbers:
            known = self._listed.get((number, names))
            if known is None or known[0] != self.told[number].inventory_at:
                missing.append(number)
        told = telling.of_inventories(db, missing, names) if missing else {}
        for number in missing:
            self._listed[number, names] = (self.told[number].inventory_at, told.get(number, {}))

    # -- key readings

    def points(self, db: Session, numbers: Collection[int], *, since: datetime, now: datetime) -> None:
        """See that the beats of these devices are known from that moment on, as far as there are any."""
        missing = [number for number in numbers if number not in self._points]
        if not missing:
            return
        for number in missing:
            self._points[number] = deque(maxlen=_MOST_BEATS)
        for number, at, payload in rollout_evidence.beats(db, missing, since=since, until=now):
            if point := _point(at, payload):
                self._points[number].append(point)
        # From now on each view brings the newest.
        self.views(db, missing, now=now)

    def points_of(self, number: int) -> Iterable[Point]:
        return self._points.get(number, ())

    def _take_in(self, view: DeviceView) -> None:
        points = self._points.get(view.number)
        if points is None or view.told_at is None or (points and view.told_at <= points[-1][0]):
            return
        points.append((view.told_at, _key_readings(view.values, view.disks.values())))


def is_anybody_heard(db: Session, now: datetime) -> bool:
    """Whether ingest listens: else nothing that is known of devices is fresh.  Costs one small query."""
    return now - _figures(db).ingest_alive <= LISTENS_WITHIN


def _figures(db: Session) -> Figures:
    told = figures.read(db)

    def moment(name: str) -> datetime:
        return datetime.fromtimestamp(told[name][0] if name in told else 0, UTC)

    return Figures(moment("ingest_alive_at_seconds"), moment("ingest_connected_at_seconds"))


def _point(at: datetime, payload: bytes) -> Point | None:
    try:
        beat = history.beat(payload)
    except ValueError:
        return None  # of a version that this one does not understand
    of_itself = beat.numbers.get("", {})
    disks = [of for subject, of in beat.numbers.items() if subject.startswith("disk:")]
    return at, _key_readings(of_itself, disks)


def _key_readings(of_itself: Mapping[str, object], disks: Iterable[Mapping[str, object]]) -> dict[str, float]:
    """The key readings of a beat; of several file systems the fullest counts."""
    found = {name: value for name in KEY_READINGS if (value := _mean(of_itself.get(name))) is not None}
    used = [value for disk in disks if (value := _mean(disk.get("disk_used_ratio"))) is not None]
    if used:
        found["disk_used_ratio"] = max(used)
    return found


def _mean(value: object) -> float | None:
    if isinstance(value, Summary):
        return float(value.mean)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
