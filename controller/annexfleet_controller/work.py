"""The periodic jobs: folding and forgetting history, certificates, devices that fell silent, who asks which printer.

Beside them run two loops in threads of their own, which nothing slow may delay: the watch over alerts (`alerts.watch`)
and the delivery of notices (`notify.send`).

Several workers may run; a lease decides who does a job.  Every job works in small transactions, so that ingest never
waits long for its place, and each can be cut off anywhere and done again.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, SQLAlchemyError
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Change, Gone
from annexfleet_controller.alerts import backfill, watch
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.identity import upkeep
from annexfleet_controller.ingest import probing
from annexfleet_controller.notify import send, webhook
from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.settings import Home
from annexfleet_controller.store import (
    alerts,
    annexes,
    calendars,
    changes,
    configs,
    figures,
    history,
    incidents,
    jobs,
    maintenance,
    notices,
    parts,
    people,
    printer_events,
    pulses,
    readiness,
    rules,
    set_aside,
    states,
    supplies,
    watches,
)
from annexfleet_controller.store.database import open_database, reading, writing

log = logging.getLogger(__name__)

SILENT_AFTER_BEATS = 2.5
USUAL_BEAT_S = 300.0
_LEASE = timedelta(minutes=2)
_DEVICES_AT_ONCE = 20
_ROWS_AT_ONCE = 400
_PRUNE_AT_ONCE = 2000
_PULSES_KEPT = timedelta(minutes=10)
_SIGN_INS_KEPT = timedelta(days=1)
"""Failed ones, and answers to requests that may be repeated."""
_LOOK_EVERY_S = 1.0


class Job(Struct, frozen=True):
    """Something done again and again."""

    name: str
    every: timedelta
    do: Callable[["Worker"], None]


class LeaseLost(Exception):
    """Another worker took the job over, because we were too slow."""


def run(home: Home, stop: threading.Event) -> None:
    """Do what is due until `stop` is set."""
    engine = open_database(home.database_url)
    loops = [
        threading.Thread(target=watch.run, args=(home, stop), name="watch"),
        threading.Thread(target=send.run, args=(home, stop, _circumstances), name="notices"),
    ]
    for loop in loops:
        loop.start()
    try:
        worker = Worker(engine, home, stop=stop)
        while not stop.wait(_LOOK_EVERY_S):
            worker.do_what_is_due()
    finally:
        stop.set()
        for loop in loops:
            loop.join()
        engine.dispose()


def _circumstances(db: Session) -> tuple[Ruleset, Mapping[str, Calendar]]:
    """What notices have to know of rules and opening hours."""
    return rules.ruleset(db), calendars.of_all(db)


class Worker:
    """One of perhaps several that share the jobs."""

    def __init__(
        self, engine: Engine, home: Home, *, clock: Clock = SYSTEM, stop: threading.Event | None = None
    ) -> None:
        self.engine = engine
        self.home = home
        self.settings = home.settings
        self.clock = clock
        self.name = f"worker-{secrets.token_hex(6)}"
        self._stop = stop or threading.Event()
        self._doing = ""
        self._complained: set[tuple[str, int]] = set()

    def do_what_is_due(self) -> list[str]:
        """Do every job that is due and that no other worker holds; gives their names."""
        done = []
        for job in JOBS:
            try:
                if not self._stop.is_set() and self._claim(job):
                    self._do(job)
                    done.append(job.name)
            except SQLAlchemyError as error:
                log.warning("job put off, the database fails job=%s reason=%s", job.name, error)
        return done

    def go_on(self) -> bool:
        """Hold the job for longer; False when the worker shall stop.  Raises LeaseLost."""
        with writing(self.engine) as db:
            if not jobs.keep(db, self._doing, self.name, now=self.clock.now(), lease=_LEASE):
                raise LeaseLost(self._doing)
        return not self._stop.is_set()

    def complain_once(self, what: str, device_number: int, error: Exception) -> None:
        """Log an error the first time it is about this device."""
        if (what, device_number) not in self._complained:
            self._complained.add((what, device_number))
            log.error("%s device_number=%s", what, device_number, exc_info=error)

    def _claim(self, job: Job) -> bool:
        now = self.clock.now()
        with reading(self.engine) as db:
            if not jobs.is_free(db, job.name, now=now):
                return False
        with writing(self.engine) as db:
            return jobs.claim(db, job.name, self.name, now=now, lease=_LEASE)

    def _do(self, job: Job) -> None:
        self._doing = job.name
        failed = ""
        try:
            job.do(self)
        except SQLAlchemyError:
            raise  # the lease runs out, and somebody tries again
        except LeaseLost:
            log.warning("job taken over by another worker job=%s", job.name)
            return
        except Exception as error:  # the fence: one job that fails must not stop the others
            log.exception("job failed job=%s", job.name)
            failed = f"{type(error).__name__}: {error}"
        now = self.clock.now()
        with writing(self.engine) as db:
            jobs.release(db, job.name, self.name, now=now, due_at=now + job.every, failed=failed)


# -- the jobs ---------------------------------------------------------------------------------------------------------


def fold_history(worker: Worker) -> None:
    """Beats into hours and hours into days, once they are old enough; days are forgotten in the end."""
    now, kept = worker.clock.now(), worker.settings
    beats_until = _floor(now - timedelta(days=kept.keep_beats_days), history.HOUR)
    hours_until = _floor(now - timedelta(days=kept.keep_hours_days), history.DAY)
    _fold(worker, history.AS_IT_CAME, history.HOUR, beats_until)
    _fold(worker, history.HOUR, history.DAY, hours_until)
    days_until = now - timedelta(days=kept.keep_days_days)
    after = 0
    while devices := _devices_with(worker, history.DAY, days_until, after):
        with writing(worker.engine) as db:
            for number in devices:
                history.forget(db, number, history.DAY, until=days_until)
        after = devices[-1]
        if not worker.go_on():
            return


def _fold(worker: Worker, of: int, into: int, until: datetime) -> None:
    after = 0
    while devices := _devices_with(worker, of, until, after):
        left = _ROWS_AT_ONCE
        with writing(worker.engine) as db:
            for number in devices:
                # The fence between devices: what one of them told must not keep the others' history from being folded.
                try:
                    with db.begin_nested():
                        left -= history.fold(db, number, of=of, into=into, until=until, at_most=left)
                except SQLAlchemyError:
                    raise
                except Exception as error:
                    worker.complain_once("history of a device cannot be folded", number, error)
                if left <= 0:
                    break  # this device may have more: it comes first again
                after = number
        if not worker.go_on():
            return


def _devices_with(worker: Worker, resolution_s: int, until: datetime, after: int) -> list[int]:
    with reading(worker.engine) as db:
        return history.devices_with(db, resolution_s, until=until, after=after, at_most=_DEVICES_AT_ONCE)


def forget_old(worker: Worker) -> None:
    """Changes, messages set aside and days of supplies, when they are older than the settings keep them."""
    now, kept = worker.clock.now(), worker.settings
    for prune, days in ((changes.prune, kept.keep_changes_days), (set_aside.prune, kept.keep_set_aside_days)):
        while True:
            with writing(worker.engine) as db:
                gone = prune(db, before=now - timedelta(days=days), at_most=_PRUNE_AT_ONCE)
            if gone < _PRUNE_AT_ONCE or not worker.go_on():
                break
    while True:
        with writing(worker.engine) as db:
            oldest = (now - timedelta(days=kept.keep_supply_days)).date()
            gone = supplies.prune(db, before=oldest, at_most=_PRUNE_AT_ONCE)
        if gone < _PRUNE_AT_ONCE or not worker.go_on():
            break


def forget_trouble(worker: Worker) -> None:
    """Alerts that cleared, incidents that were resolved, and what belongs to them, when they are kept no more."""
    before = worker.clock.now() - timedelta(days=worker.settings.keep_alerts_days)
    # Notices first: what was said of an incident goes before the incident.
    prunes = (
        notices.prune, alerts.prune, incidents.prune, maintenance.prune, printer_events.prune, readiness.prune,
    )  # fmt: skip
    for prune in prunes:
        while True:
            with writing(worker.engine) as db:
                gone = prune(db, before=before, at_most=_PRUNE_AT_ONCE)
            if gone < _PRUNE_AT_ONCE or not worker.go_on():
                break
    with writing(worker.engine) as db:
        supplies.prune(
            db,
            before=(worker.clock.now() - timedelta(days=worker.settings.keep_supply_days)).date(),
            at_most=_PRUNE_AT_ONCE,
        )


def fill_supplies(worker: Worker) -> None:
    """Levels of the days before they were written down, for annexes of which nothing is known yet."""
    now = worker.clock.now()
    with reading(worker.engine) as db:
        wanting = backfill.wanting(db, [annex.id for annex in annexes.listing(db)])
    for annex_id in wanting:
        with reading(worker.engine) as db:
            days = backfill.supply_days(db, annex_id, now=now)
        with writing(worker.engine) as db:
            supplies.note(db, days)
        if not worker.go_on():
            return


def tell_outside(worker: Worker) -> None:
    """Ask the address outside that notices when nobody asks it any more."""
    if not worker.settings.deadman_url:
        return
    now = worker.clock.now()
    outcome = webhook.post(worker.settings.deadman_url, b"{}", secret="", notice_id="alive", now=now)
    if outcome.result != "sent":
        log.warning("address outside not reached reason=%s", outcome.reason)
        return
    with writing(worker.engine) as db:
        figures.put(db, {"deadman_ok_at_seconds": now.timestamp()}, now=now)


def forget_what_passed(worker: Worker) -> None:
    """Pulses that every page has seen, watches that ended, samples that nobody looks at, sessions that ran out."""
    now = worker.clock.now()
    with writing(worker.engine) as db:
        pulses.prune(db, before=now - _PULSES_KEPT)
        watches.prune(db, before=now - _PULSES_KEPT)
        states.prune_live(db, before=now - timedelta(hours=1))
        people.prune(
            db,
            sessions_before=now - timedelta(hours=worker.settings.session_hours),
            failures_before=now - _SIGN_INS_KEPT,
            answers_before=now - _SIGN_INS_KEPT,
        )


def notice_silence(worker: Worker) -> None:
    """Devices that count as connected but told nothing for two and a half beats are connected no more.

    While nobody listened, nobody could be heard, so silence counts from when ingest began to listen.
    """
    now = worker.clock.now()
    with reading(worker.engine) as db:
        told = figures.read(db)
        candidates = states.silent(db, since=now - timedelta(seconds=SILENT_AFTER_BEATS * USUAL_BEAT_S))
        wished = configs.of_all(db) if candidates else {}
    alive = told.get("ingest_alive_at_seconds", (0.0, now))[0]
    began = told.get("ingest_connected_at_seconds", (0.0, now))[0]
    if now.timestamp() - alive > 60:
        return  # ingest does not listen now
    gone = []
    for device in candidates:
        wish = wished.get(device.number)
        beat_s = max(USUAL_BEAT_S, _beat_seconds(device.beat), (wish and wish.beat_period_s) or 0.0)
        heard_at = max(began, device.heard_at.timestamp() if device.heard_at else 0.0)
        if now.timestamp() - heard_at > SILENT_AFTER_BEATS * beat_s:
            gone.append(device)
    _give_up(worker, gone, now)


def _give_up(worker: Worker, gone: list[states.Silent], now: datetime) -> None:
    for start in range(0, len(gone), _PRUNE_AT_ONCE):
        some = gone[start : start + _PRUNE_AT_ONCE]
        with writing(worker.engine) as db:
            # One that was heard meanwhile keeps its connection.
            lost = states.disconnect(db, some, now=now)
            at = now.timestamp()
            rows = [
                (d.number, at, at, "gone", "", wire.encode(Gone(session_id=d.session_id)))
                for d in some
                if d.number in lost
            ]
            changes.add(db, rows)
            pulses.add(db, dict.fromkeys(sorted(lost), "g"), now=now, origin="work")
        log.info("devices fell silent count=%s", len(lost))


def assign_probers(worker: Worker) -> None:
    """See that each network printer is asked by one device of its annex."""
    now = worker.clock.now()
    with reading(worker.engine) as db:
        reaches = [
            probing.Reach(number, annex_id, address, connected)
            for number, annex_id, connected, payload in parts.of_collector(db, "printers")
            for address in _addresses(payload)
        ]
        wished = configs.of_all(db)
    told = {number: frozenset(wish.printers_probed_elsewhere or ()) for number, wish in wished.items()}
    for number, elsewhere in probing.assign_probers(reaches, told).items():
        if elsewhere == told.get(number, frozenset()):
            continue
        try:
            with writing(worker.engine) as db:
                wish = msgspec.structs.replace(configs.of(db, number), printers_probed_elsewhere=sorted(elsewhere))
                configs.put(db, number, wish, now=now)
        except (DataError, ValueError) as error:  # what this device told does not fit; the others' wishes do
            worker.complain_once("settings of a device cannot be stored", number, error)


def tend_certificates(worker: Worker) -> None:
    """The list of revoked certificates, without which the broker lets nobody in after 30 days, and our own certificate.

    A worker whose home has no authority has nothing to tend: the authority is made where the broker is set up.
    """
    if worker.home.authority_dir.exists():
        upkeep.tend(worker.home, worker.engine, clock=worker.clock)


def _addresses(payload: bytes) -> set[str]:
    try:
        change = wire.decode_up("change", payload)
    except wire.Malformed:
        return set()
    assert isinstance(change, Change)
    found = {of.get("printer_address") for of in change.readings.values()}
    return {address for address in found if isinstance(address, str) and probing.is_network_address(address)}


def _beat_seconds(payload: bytes | None) -> float:
    if payload is None:
        return 0.0
    try:
        beat = wire.decode_up("beat", payload)
    except wire.Malformed:
        return 0.0
    assert isinstance(beat, Beat)
    return beat.seconds


def _floor(moment: datetime, size_s: int) -> datetime:
    """The last full hour or day (UTC) before a moment."""
    return datetime.fromtimestamp(moment.timestamp() // size_s * size_s, UTC)


JOBS = (
    Job("fold_history", timedelta(hours=1), fold_history),
    Job("forget_old", timedelta(hours=1), forget_old),
    Job("forget_trouble", timedelta(hours=1), forget_trouble),
    Job("fill_supplies", timedelta(hours=1), fill_supplies),
    Job("tell_outside", timedelta(minutes=1), tell_outside),
    Job("tend_certificates", timedelta(hours=1), tend_certificates),
    Job("forget_what_passed", timedelta(minutes=1), forget_what_passed),
    Job("notice_silence", timedelta(seconds=30), notice_silence),
    Job("assign_probers", timedelta(seconds=30), assign_probers),
)
