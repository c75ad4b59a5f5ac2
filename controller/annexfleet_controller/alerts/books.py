"""What people set, as the watch loop needs it: calendars, rules, services, maintenance.  Read again every 15 s."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from annexfleet_controller.alerts.fleet import Fleet
from annexfleet_controller.calendars import DEFAULT, Calendar
from annexfleet_controller.maintenance import Maintenance
from annexfleet_controller.readiness.services import Override, ServiceDefinition, catalogue
from annexfleet_controller.rules.model import Rule, SubjectKind
from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.store import calendars, fleet, maintenance, readiness, rules

READ_EVERY = timedelta(seconds=15)


class Books:
    """What was read last."""

    def __init__(self) -> None:
        self.province: Calendar = DEFAULT
        self.calendars: dict[str, Calendar] = {}
        self.ruleset = Ruleset()
        self.known_services: Mapping[str, ServiceDefinition] = {}
        self._own_services: Mapping[str, Mapping[str, Override]] = {}
        self.maintenances: Sequence[Maintenance] = ()
        self._rules_stamp: object = None
        self._services_version: object = None
        self._read_at: datetime | None = None

    def look_again(self) -> None:
        """Somebody changed something: read it at once."""
        self._read_at = None

    def read_if_due(self, db: Session, *, now: datetime) -> bool:
        """Read anew what is older than `READ_EVERY`; whether annexes have to be judged anew because of it."""
        if self._read_at is not None and now - self._read_at < READ_EVERY:
            return False
        self._read_at = now
        before = self._judging()
        self.province = calendars.of_province(db)
        self.calendars = calendars.of_all(db)
        if (stamp := rules.stamp(db)) != self._rules_stamp:
            self._rules_stamp, self.ruleset = stamp, rules.ruleset(db)
        if (version := readiness.services_version(db)) != self._services_version:
            self._services_version = version
            self.known_services = catalogue(readiness.own_services(db))
            self._own_services = readiness.all_overrides(db)
        self.maintenances = maintenance.current(db, since=now - READ_EVERY, now=now + READ_EVERY)
        return before != self._judging()

    def _judging(self) -> tuple[object, ...]:
        """What, if it is different, makes every annex be judged anew."""
        return self.province, self.calendars, self._rules_stamp, self._services_version

    def moved_devices(self, db: Session, known: Fleet, *, now: datetime) -> set[int]:
        """Numbers of devices that were let in, moved, renamed or shut out since the fleet was read."""
        if self._read_at is not None and now - self._read_at < READ_EVERY:
            return set()
        there = fleet.placements(db)
        held = {number: (view.annex_id, view.name, view.role) for number, view in known.views.items()}
        return {number for number in there.keys() | held.keys() if there.get(number) != held.get(number)}

    def calendar(self, annex_id: str) -> Calendar:
        return self.calendars.get(annex_id, self.province)

    def rules(self, annex_id: str) -> Mapping[SubjectKind, Sequence[Rule]]:
        """The rules in force in an annex; those of the province for an empty name."""
        return self.ruleset.of(annex_id)

    def own_services(self, annex_id: str) -> Mapping[str, Override]:
        return self._own_services.get(annex_id, {})
