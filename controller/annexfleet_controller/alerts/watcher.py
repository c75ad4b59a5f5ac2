"""Hears what moved, judges the annexes it touches, and writes what came of it.

The views of all devices are kept in memory and can be read anew at any time.  What was concluded stands in the
database: alerts, incidents, readiness.  While ingest hears nobody, nothing is concluded of any annex, for then
everybody would seem silent.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct, structs
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from annexfleet_controller import zones
from annexfleet_controller.alerts import claims, evidence, judging, late, rank
from annexfleet_controller.alerts import incidents as grouping
from annexfleet_controller.alerts.books import Books
from annexfleet_controller.alerts.causes import Context, fixes_text
from annexfleet_controller.alerts.fleet import JAMS_SPAN, Fleet
from annexfleet_controller.alerts.judging import Judged, Surroundings
from annexfleet_controller.alerts.ledger import Ledger, Round, Stepped
from annexfleet_controller.alerts.overview import Overview
from annexfleet_controller.alerts.trends import Trends
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.notify import planning
from annexfleet_controller.readiness.model import AnnexReadiness
from annexfleet_controller.rules.judge import judge_all
from annexfleet_controller.rules.subjects import places
from annexfleet_controller.settings import Home
from annexfleet_controller.store import figures, fixes, gather, incidents, printer_events, pulses, readiness, supplies
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.printer_events import Onset
from annexfleet_controller.supplies import levels
from annexfleet_controller.things import Incident, SupplyDay, Thing, Verdict

log = logging.getLogger(__name__)

JUDGED_EVERY = timedelta(seconds=60)
"""An annex of which nothing is heard is judged so often: silence and the clock are evidence too."""
RIPENS_EVERY = timedelta(seconds=10)
"""One where an alert is about to open or to clear."""
GROUPED_EVERY = timedelta(seconds=60)
"""Ranks grow with time, and what a cause explained may come to stand for itself."""
NOTED_EVERY = timedelta(seconds=60)
"""That somebody looks at readiness is itself remembered, so that a time in which nobody did is unknown."""
FORGETS_EVERY = timedelta(hours=1)
LISTENS_WITHIN = timedelta(seconds=60)
"""Ingest tells every few seconds that it listens."""


class Figures(Struct, frozen=True):
    """What the controller tells of itself."""

    ingest_alive: datetime
    ingest_connected: datetime
    deadman_ok: datetime

    def listens(self, now: datetime) -> bool:
        return now - self.ingest_alive <= LISTENS_WITHIN


class Watcher:
    """Everything that is known now, and what is concluded from it."""

    def __init__(
        self, engine: Engine, home: Home, *, clock: Clock = SYSTEM, keep_lease: Callable[[Session], None] | None = None
    ) -> None:
        """`keep_lease` is called in each transaction that writes, and raises if somebody else watches by now."""
        self.engine = engine
        self._keep_lease = keep_lease
        self.home = home
        self.clock = clock
        self.fleet = Fleet()
        self.books = Books()
        self.trends = Trends()
        self.judged: dict[str, Judged] = {}
        """What was concluded last, by annex."""
        now = clock.now()
        with reading(engine) as db:
            self.ledger = Ledger.read(db, now=now)
            self.fleet.remember(printer_events.since(db, now - JAMS_SPAN))
            self._cuts = evidence.Cuts(incidents.resolved_since(db, now - evidence.LOOKED_AT_FOR))
        self._pulses = pulses.Follower()
        self._is_first = True
        self._listening_since: datetime | None = None
        self._claims = False
        """Whether somebody says that something is mended, and waits to hear whether it is."""
        self._memories: dict[str, judging.Memory] = {}
        """By annex, what the last judging by the rules in force need not do again."""
        self._readiness: dict[str, AnnexReadiness] = {}
        self._overview = Overview()
        self._due: dict[str, datetime] = {}
        self._ripened_at = self._grouped_at = self._noted_at = now
        self._supplies: dict[tuple[str, str], SupplyDay] = {}
        self._complained: set[str] = set()
        self._forgot_at = now
        self._committed_s = 0.0
        """How long the last transaction took."""

    def tick(self) -> None:
        """Look once, and write what came of it."""
        now = self.clock.now()
        with reading(self.engine) as db:
            told = _figures(db)
            heard, onsets = self._hear(db, told, now)
            changed = self.books.read_if_due(db, now=now)
            self.trends.renew(db, self.fleet, self.books, now=now)
            self.ledger.see_acknowledgements(incidents.acknowledgements(db))
            self._claims = fixes.any_open(db)
        if changed:
            self._memories.clear()
        due: set[str] = set()
        if told.listens(now):
            due = self._due_annexes(heard, now, everything=self._is_first or changed)
        verdicts = [*self._judge(due, now), *self._of_controller(told, now)]
        corrections = self._corrections(heard, now)
        self._write(due, verdicts, onsets, corrections, now, listens=told.listens(now))
        self._is_first = False
        self._forget_old(now)

    # -- hearing ------------------------------------------------------------------------------------------------------

    def _hear(self, db: Session, told: Figures, now: datetime) -> tuple[set[str], list[Onset]]:
        """Read anew what moved; the annexes that it touches, and what trouble began at printers."""
        moved = self._pulses.poll(db)
        since, self._listening_since = self._listening_since, told.ingest_connected
        if self._is_first:
            found = gather.views(db, None, now=now, listening_since=told.ingest_connected)
            return self.fleet.take_in(found, found)
        if since != told.ingest_connected:
            self.fleet.could_be_heard_since(told.ingest_connected)
        numbers = {number for pulse in moved for number, kinds in pulse.devices.items() if set(kinds) - {"l"}}
        # A device that was let in, moved or shut out says so by no pulse.
        numbers |= self.books.moved_devices(db, self.fleet, now=now)
        if any("m" in kinds for pulse in moved for kinds in pulse.annexes.values()):
            self.books.look_again()
        if not numbers:
            return set(), []
        found = gather.views(db, numbers, now=now, listening_since=told.ingest_connected)
        return self.fleet.take_in(numbers, found)

    def _forget_old(self, now: datetime) -> None:
        if now - self._forgot_at < FORGETS_EVERY:
            return
        is_new_day, self._forgot_at = now.date() != self._forgot_at.date(), now
        self.fleet.forget_old(now, is_new_day=is_new_day)
        yesterday = (now - timedelta(days=1)).date()
        self._supplies = {what: row for what, row in self._supplies.items() if row.day >= yesterday}

    # -- judging ------------------------------------------------------------------------------------------------------

    def _due_annexes(self, heard: Collection[str], now: datetime, *, everything: bool) -> set[str]:
        # One without any device left is judged for as long as something is still told of it.
        there = {*self.fleet.annexes, *self.ledger.annexes, *self.judged}
        if everything:
            return there
        due = {annex for annex in there if now >= self._due.get(annex, now)} | set(heard)
        if now - self._ripened_at >= RIPENS_EVERY:
            self._ripened_at = now
            due |= self.ledger.ripening()
        return due & there

    def _judge(self, due: Collection[str], now: datetime) -> list[Verdict]:
        if not due:
            return []
        standing = self.ledger.standing()
        down = self.ledger.portals_down_everywhere()
        verdicts: list[Verdict] = []
        for annex_id in sorted(due):
            try:
                judged = self._judge_annex(annex_id, standing, down, now)
            except Exception:  # the fence between annexes: what one device told must not hide the others' troubles
                if annex_id not in self._complained:
                    self._complained.add(annex_id)
                    log.exception("annex cannot be judged annex=%s", annex_id)
                continue
            self.judged[annex_id] = judged
            verdicts += judged.verdicts
            # Spread from the first time on, so that not all are judged in the same look.
            spread = timedelta(seconds=len(self._due) % 60) if annex_id not in self._due else timedelta(0)
            self._due[annex_id] = now + JUDGED_EVERY - spread
        for annex_id in self.judged.keys() - set(self.fleet.annexes) - set(due):
            del self.judged[annex_id]
            self._due.pop(annex_id, None)
            self._readiness.pop(annex_id, None)
            self._memories.pop(annex_id, None)
        return [*verdicts, *self._everywhere(standing, now)]

    def _judge_annex(
        self, annex_id: str, standing: frozenset[tuple[Thing, str]], down: frozenset[str], now: datetime
    ) -> Judged:
        place = Thing("annex", annex_id)
        around = Surroundings(
            calendar=self.books.calendar(annex_id),
            rules=self.books.rules(annex_id),
            known_services=self.books.known_services,
            own_services=self.books.own_services(annex_id),
            portals_down_everywhere=down,
            link_down=self.ledger.open_alert("annex.link_down", place) is not None,
            power_down=self.ledger.open_alert("annex.power_cut", place) is not None,
            disk_full_in_s=self.trends.disk_full_in_s,
            supply_days_left=self.trends.supply_days_left,
            standing=standing,
            memory=self._memories.setdefault(annex_id, judging.Memory()),
        )
        return judging.judge_annex(annex_id, self.fleet.of_annex(annex_id), self.fleet, around, now=now)

    def _everywhere(self, standing: frozenset[tuple[Thing, str]], now: datetime) -> Iterable[Verdict]:
        """Portals as the whole province sees them."""
        portals = (portal for judged in self.judged.values() for portal in judged.portals)
        subjects = places.of_portals_everywhere(portals, now=now)
        return judge_all(self.books.rules(""), subjects, now=now, standing=standing)

    def _of_controller(self, told: Figures, now: datetime) -> Iterable[Verdict]:
        values: dict[str, float | bool | None] = {
            "broker_connected": told.listens(now),
            "ingest_silent_seconds": (now - told.ingest_alive).total_seconds(),
            "database_lag_seconds": self._committed_s,
            "deadman_silent_seconds": None,
        }
        if self.home.settings.deadman_url:
            values["deadman_silent_seconds"] = (now - told.deadman_ok).total_seconds()
        subject = places.of_controller(values, now=now)
        return judge_all(self.books.rules(""), [subject], now=now, standing=self.ledger.standing())

    def _corrections(self, heard: Collection[str], now: datetime) -> list[late.Correction]:
        """What is known better by now of cuts that are over."""
        found = []
        with reading(self.engine) as db:
            for cut in self._cuts.due(heard, now=now):
                calendar = self.books.calendar(cut.annex_id)
                devices = self.fleet.of_annex(cut.annex_id)
                try:
                    found.append(evidence.correct(db, cut, devices, calendar=calendar, now=now))
                except SQLAlchemyError:
                    raise
                except Exception:  # the fence between cuts: what a device told of one must not end the watch
                    log.exception("cut cannot be looked at again incident=%s", cut.id)
        return [correction for correction in found if correction.kind or correction.past]

    # -- writing ------------------------------------------------------------------------------------------------------

    def _write(
        self,
        due: Collection[str],
        verdicts: Sequence[Verdict],
        onsets: list[Onset],
        corrections: list[late.Correction],
        now: datetime,
        *,
        listens: bool,
    ) -> None:
        judged = {annex_id: self.judged[annex_id] for annex_id in due if annex_id in self.judged}
        stepped, grouped = self._concluded(verdicts, judged, now)
        ready = {a: of.readiness for a, of in judged.items() if self._readiness.get(a) != of.readiness}
        stock = self._new_levels(judged.values(), now)
        # While nobody can be heard nobody looks: of that time nothing is known.
        is_noted = listens and (self._is_first or bool(ready) or now - self._noted_at >= NOTED_EVERY)
        reopened = {incident.id for incident in grouped.incidents if incident.state == "open"}
        corrections = [one for one in corrections if one.incident.id not in reopened]
        troubles = self.ledger.incidents.values()
        is_seen = self._overview.is_due(judged, self.judged, troubles, now=now, listens=listens)
        if not any((stepped.after, grouped.incidents, onsets, corrections, stock, is_noted, is_seen, self._claims)):
            return
        began = self.clock.mono()
        with writing(self.engine) as db:
            if self._keep_lease is not None:
                self._keep_lease(db)
            written = self.ledger.write(db, stepped, grouped, now=now)
            corrected = evidence.written(db, corrections, now=now)
            settled = claims.step(db, written.live(self.ledger.live), now=now)
            printer_events.add(db, onsets)
            supplies.note(db, stock)
            readiness.write_now(db, ready, now=now)
            self._overview.write(db, now=now)
            was_away = is_noted and readiness.note(db, ready, now=now)
            claimed = incidents.by_ids(db, {claim.incident_id for claim in settled})
            pulses.add(db, {}, now=now, origin="watch", annexes=_letters(written, corrected, claimed, ready))
        self._committed_s = self.clock.mono() - began
        self._overview.written(now=now)
        self.ledger.remember(written, corrected, now=now)
        self._cuts.see([*written.incidents, *corrected])
        self._supplies |= {(row.printer_id, row.supply): row for row in stock}
        self._readiness |= ready
        if is_noted:
            self._noted_at = now
        if was_away and not self._is_first:  # nobody looked for a while: every annex has to be noted anew
            self._readiness.clear()
            self._due.clear()
        if written.incidents:  # what else makes notices due, the sender finds by itself
            self._plan_notices(now)

    def _plan_notices(self, now: datetime) -> None:
        try:
            planning.plan_notices(self.engine, self.books.ruleset, self.books.calendars, now=now)
        except Exception:  # the fence between the watch and notices: what is written stands, and is planned again soon
            log.exception("notices cannot be planned")

    def _concluded(
        self, verdicts: Sequence[Verdict], judged: Mapping[str, Judged], now: datetime
    ) -> tuple[Stepped, grouping.Grouping]:
        """What becomes of alerts and incidents; of incidents nothing, while no alert changed and no minute passed."""
        stepped = self.ledger.step(
            verdicts, judged, rules=self.books.ruleset, calendars=self.books.calendars, province=self.books.province,
            roles=self._roles_of(verdicts), now=now,
        )  # fmt: skip
        # Looked at every two seconds, so nothing goes through the whole fleet while nothing has to.
        hangs_on: dict[Thing, tuple[Thing, ...]] | None = None
        if self.books.maintenances or self.ledger.is_any_muted:
            hangs_on = self._hangs_on()
            stepped = self.ledger.mute(
                stepped, self.books.maintenances, roles={view.id: view.role for view in self.fleet.views.values()},
                devices={thing: [device.id for device in of] for thing, of in hangs_on.items()}, now=now,
            )  # fmt: skip
        if not stepped.after and now - self._grouped_at < GROUPED_EVERY:
            return stepped, grouping.Grouping((), {}, ())
        hangs_on = self._hangs_on() if hangs_on is None else hangs_on
        self._grouped_at = now
        mutes = {rule.id: rule.mutes for rule in self.books.ruleset.rules()}
        grouped = self.ledger.group(stepped, Context(mutes=mutes, hangs_on=hangs_on, fixes=self._fixes()), now=now)
        return stepped, self._ranked(grouped, now)

    def _roles_of(self, verdicts: Iterable[Verdict]) -> dict[int, str]:
        """The roles of the devices on whose word alone something rests."""
        views = self.fleet.views
        numbers = (verdict.numbers[0] for verdict in verdicts if len(verdict.numbers) == 1)
        return {number: views[number].role for number in numbers if number in views}

    def _ranked(self, grouped: grouping.Grouping, now: datetime) -> grouping.Grouping:
        """The same with the rank that each open incident has now."""
        effects: dict[str, set[Thing]] = {}
        for (_, thing, _), where in grouped.assignments.items():
            effects.setdefault(where.incident_key, set()).add(thing)
        places_of = {
            annex_id: rank.Place(
                calendar=self.books.calendar(annex_id), queues=of.view.queues, readiness=of.readiness,
                average_waiting=self.trends.average_waiting.get(annex_id, {}),
            )
            for annex_id, of in self.judged.items()
        }  # fmt: skip
        ranked = tuple(
            structs.replace(one, rank=rank.of(one, places_of, now=now, effects=effects.get(one.key, ())))
            if one.state == "open"
            else one
            for one in grouped.incidents
        )
        return structs.replace(grouped, incidents=ranked)

    def _hangs_on(self) -> dict[Thing, tuple[Thing, ...]]:
        """Printers and queues, with the devices that can tell of them."""
        found: dict[Thing, tuple[Thing, ...]] = {}
        for annex_id, of in self.judged.items():
            ids = {device.number: Thing("device", device.id) for device in of.view.devices}
            for seen in of.view.printers:
                found[Thing("printer", seen.id)] = tuple(ids[number] for number in seen.seen_by)
            for queue in of.view.queues:
                found[Thing("queue", f"{annex_id}/{queue.service}")] = (ids[queue.device_number],)
        return found

    def _fixes(self) -> dict[str, str]:
        """The repairs of annexes, and of each of their services."""
        found: dict[str, str] = {}
        for annex_id, of in self.judged.items():
            for service in of.readiness.services:
                if repairs := service.fix_set or service.lacks:
                    found[f"{annex_id}/{service.service}"] = fixes_text(repairs)
            if of.readiness.plan:
                found[annex_id] = fixes_text(fix for remedy in of.readiness.plan for fix in remedy.fixes)
        return found

    def _new_levels(self, judged: Iterable[Judged], now: datetime) -> list[SupplyDay]:
        """Supplies whose level, or whose day, is another than was written last."""
        day = now.astimezone(zones.PROVINCE).date()
        rows = (row for of in judged for row in levels.rows(of.view, day))
        return [row for row in rows if self._supplies.get((row.printer_id, row.supply)) != row]


def _figures(db: Session) -> Figures:
    told = figures.read(db)

    def moment(name: str) -> datetime:
        return datetime.fromtimestamp(told[name][0] if name in told else 0, UTC)

    return Figures(
        moment("ingest_alive_at_seconds"), moment("ingest_connected_at_seconds"), moment("deadman_ok_at_seconds")
    )


def _letters(
    written: Round, corrected: Iterable[Incident], claimed: Iterable[Incident], ready: Collection[str]
) -> dict[str, str]:
    letters = written.annexes | {incident.annex_id: "ai" for incident in corrected}
    for annex_id in {place for incident in claimed for place in (incident.annex_id, *incident.annexes)}:
        letters[annex_id] = letters.get(annex_id, "") + "i"
    for annex_id in ready:
        letters[annex_id] = letters.get(annex_id, "") + "r"
    return letters
