import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, func, select
from tests.controller.fleet import add_annex, add_devices
from tests.controller.supplies.past import supply_day

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Change, DesiredSettings
from annexfleet_controller import work
from annexfleet_controller.clock import Clock
from annexfleet_controller.identity import authority
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import (
    changes,
    commands,
    configs,
    figures,
    history,
    parts,
    run_queue,
    runs,
    set_aside,
    states,
    supplies,
)
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import ChangeRow, DeviceState, History, SetAside
from annexfleet_controller.store.tables.talk import Pulse
from annexfleet_controller.store.tables.work import Job
from annexfleet_controller.work import Worker

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


class TurnedClock(Clock):
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Worker:
    add_annex(engine)
    add_devices(engine, 4)
    with writing(engine) as db:
        states.begin(db, [1, 2, 3, 4])
    return Worker(engine, Home(tmp_path, Settings()), work.JOBS, clock=TurnedClock())


def run(worker: Worker, job) -> None:
    """One job, as if its lease were held."""
    worker._doing = job.__name__
    with writing(worker.engine) as db:
        db.merge(Job(name=job.__name__, due_at=NOW, owner=worker.name))
    job(worker)


def beats_every_hour(worker: Worker, days: int) -> None:
    with writing(worker.engine) as db:
        for number in (1, 2, 3):
            ends = [NOW - timedelta(hours=n) for n in range(days * 24)]
            beats = [Beat(seq=1, at=0, seconds=300, numbers={"": {"cpu_used_ratio": 0.5}})] * len(ends)
            history.add(db, [(number, at.timestamp(), wire.encode(b)) for at, b in zip(ends, beats, strict=True)])


def count(worker: Worker, table: type, *where: object) -> int:
    with reading(worker.engine) as db:
        return db.scalar(select(func.count()).select_from(table).where(*where)) or 0


def test_beats_become_hours_after_a_week_and_days_after_a_season(worker: Worker):
    beats_every_hour(worker, days=100)

    run(worker, work.fold_history)

    assert count(worker, History, History.resolution_s == 0) == 3 * 7 * 24
    assert count(worker, History, History.resolution_s == history.HOUR) == 3 * (
        (90 - 7) * 24 + 12
    )  # to the last midnight
    assert count(worker, History, History.resolution_s == history.DAY) == 3 * 10
    run(worker, work.fold_history)
    assert count(worker, History) == 3 * (7 * 24 + (90 - 7) * 24 + 12 + 10)


def test_days_are_forgotten_in_the_end(worker: Worker):
    beats_every_hour(worker, days=10)
    kept = Settings(keep_beats_days=1, keep_hours_days=2, keep_days_days=4)
    short = Worker(worker.engine, Home(worker.home.path, kept), work.JOBS, clock=worker.clock)

    run(short, work.fold_history)

    with reading(worker.engine) as db:
        oldest = db.scalar(select(func.min(History.at)))
    assert oldest == datetime(2025, 2, 26, tzinfo=UTC)


def test_changes_and_messages_set_aside_are_kept_as_long_as_the_settings_say(worker: Worker, monkeypatch):
    monkeypatch.setattr(work.history, "_PRUNE_AT_ONCE", 3)
    old, new = (NOW - timedelta(days=91)).timestamp(), (NOW - timedelta(days=1)).timestamp()
    with writing(worker.engine) as db:
        changes.add(db, [(1, at, at, "change", "disk", b"x") for at in [old] * 8 + [new]])
        set_aside.add(db, [("d", "t", at, "why", "", b"x") for at in [old] * 8 + [new]])

    run(worker, work.forget_old)

    assert count(worker, ChangeRow) == count(worker, SetAside) == 1


def test_files_of_commands_are_kept_a_month_and_commands_as_long_as_runs(worker: Worker):
    files = worker.home.path / "diagnostics"
    files.mkdir(parents=True)
    ids = {}
    for age in (5, 35, 401):
        then = NOW - timedelta(days=age)
        with writing(worker.engine) as db:
            id_ = commands.create(db, device_number=1, name="diagnostics", parameters={}, author="a", now=then).id
            commands.claim(db, id_, now=then)
            number = db.scalar(select(Device.id).where(Device.number == 1)) or ""
            commands.settle(db, id_, "done", now=then, device_id=number, attachment=f"{id_}.tar.gz")
        (files / f"{id_}.tar.gz").write_bytes(b"x")
        ids[id_] = age

    run(worker, work.forget_old)

    with reading(worker.engine) as db:
        assert sorted(ids[row.id] for row in commands.of_device(db, 1)) == [5, 35]
    assert [ids[file.name.removesuffix(".tar.gz")] for file in files.iterdir()] == [5]


def test_days_of_supplies_are_kept_as_long_as_the_settings_say(worker: Worker, monkeypatch):
    monkeypatch.setattr(work.history, "_PRUNE_AT_ONCE", 3)
    with writing(worker.engine) as db:
        supplies.note(db, [supply_day((NOW - timedelta(days=age)).date()) for age in (0, 399, *range(401, 408))])

    run(worker, work.forget_old)

    with reading(worker.engine) as db:
        kept = supplies.series(db, WHOLE, since=(NOW - timedelta(days=999)).date())
    assert [(NOW.date() - row.day).days for row in kept] == [399, 0]


def test_a_device_whose_history_cannot_be_folded_does_not_stop_the_others(worker: Worker, caplog):
    beats_every_hour(worker, days=9)
    with writing(worker.engine) as db:
        history.add(db, [(1, (NOW - timedelta(days=9)).timestamp(), b"spoiled")])

    for _ in range(2):
        run(worker, work.fold_history)

    assert count(worker, History, History.resolution_s == 0, History.device_number != 1) == 2 * 7 * 24
    assert caplog.text.count("cannot be folded device_number=1") == 1


def test_an_hour_full_of_other_names_in_each_beat_is_folded_all_the_same(worker: Worker):
    at = (NOW - timedelta(days=9)).timestamp()
    with writing(worker.engine) as db:
        for n in range(30):
            names = {f"{'x' * 100}{n * 7919}:{k}": {f"{'y' * 60}{n}:{k}": 0.1 * n} for k in range(100)}
            history.add(db, [(1, at - n, wire.encode(Beat(seq=1, at=0, seconds=1, numbers=names)))])

    for late in range(2):
        with writing(worker.engine) as db:
            history.add(db, [(1, at - late, wire.encode(Beat(seq=1, at=0, seconds=1, numbers={})))])
        run(worker, work.fold_history)

    assert count(worker, History, History.resolution_s == 0) == 0
    with reading(worker.engine) as db:
        (hour,) = db.scalars(select(History))
        assert len(hour.payload) < 64 * 1024


# -- certificates


def test_the_list_of_revoked_certificates_is_renewed_as_time_goes_by(worker: Worker):
    authority.ensure(worker.home, clock=worker.clock)
    worker.do_what_is_due()
    first = authority.load(worker.home).crl_path.read_bytes()

    worker.clock.at += timedelta(days=2)
    worker.do_what_is_due()

    assert authority.load(worker.home).crl_path.read_bytes() != first


def test_a_worker_without_an_authority_makes_none(worker: Worker):
    run(worker, work.tend_certificates)

    assert not worker.home.authority_dir.exists()


# -- silence


def connect(worker: Worker, number: int, heard_s_ago: float, *, beat_s: float = 300) -> None:
    heard_at = (NOW - timedelta(seconds=heard_s_ago)).timestamp()
    with writing(worker.engine) as db:
        known = {k.number: k for k in states.lock(db, [d.id for d in db.scalars(select(Device))]).values()}[number]
        states.write_connections(db, [known._replace(connected=True, session_id="s", heard_at=heard_at)])
        payload = wire.encode(Beat(seq=1, at=0, seconds=beat_s, numbers={}))
        states.write_beats(db, [(number, heard_at, 1, heard_at, payload)])


def ingest_listens(worker: Worker, *, since_s_ago: float = 86_400, alive_s_ago: float = 1) -> None:
    with writing(worker.engine) as db:
        values = {"ingest_alive_at_seconds": alive_s_ago, "ingest_connected_at_seconds": since_s_ago}
        figures.put(db, {name: NOW.timestamp() - ago for name, ago in values.items()}, now=NOW)


def connected(worker: Worker) -> set[int]:
    with reading(worker.engine) as db:
        return set(db.scalars(select(DeviceState.device_number).where(DeviceState.connected)))


def test_a_device_that_misses_two_beats_and_a_half_is_connected_no_more(worker: Worker):
    ingest_listens(worker)
    connect(worker, 1, 760)
    connect(worker, 2, 740)
    connect(worker, 3, 1000, beat_s=600)

    run(worker, work.notice_silence)

    assert connected(worker) == {2, 3}
    with reading(worker.engine) as db:
        assert db.get_one(DeviceState, 1).gone_at == NOW
        assert [(c.device_number, c.kind) for c in db.scalars(select(ChangeRow))] == [(1, "gone")]
        assert [(p.devices, p.origin) for p in db.scalars(select(Pulse))] == [('{"1":"g"}', "work")]


def test_a_device_that_was_asked_for_rare_beats_gets_more_time(worker: Worker):
    ingest_listens(worker)
    connect(worker, 1, 2000)
    with writing(worker.engine) as db:
        configs.put(db, 1, DesiredSettings(beat_period_s=1800), now=NOW)

    run(worker, work.notice_silence)

    assert connected(worker) == {1}


@pytest.mark.parametrize(("since_s_ago", "alive_s_ago"), [(100, 1), (86_400, 300)])
def test_while_nobody_listened_nobody_was_silent(worker: Worker, since_s_ago: float, alive_s_ago: float):
    ingest_listens(worker, since_s_ago=since_s_ago, alive_s_ago=alive_s_ago)
    connect(worker, 1, 7200)

    run(worker, work.notice_silence)

    assert connected(worker) == {1}


# -- probers


def reaches(worker: Worker, number: int, *addresses: str) -> None:
    readings = {f"printer:p{n}": {"printer_address": address} for n, address in enumerate(addresses)}
    payload = wire.encode(Change(seq=1, at=0, collector="printers", readings=readings))
    with writing(worker.engine) as db:
        parts.replace(db, [(number, "printers", "i", 1, NOW.timestamp(), payload)])


def test_a_printer_is_left_to_one_device_and_another_takes_over_when_it_goes(worker: Worker):
    for number in (1, 2):
        connect(worker, number, 1)
        reaches(worker, number, "10.0.0.9:631", "usb")
    with writing(worker.engine) as db:
        configs.put(db, 2, DesiredSettings(beat_period_s=60), now=NOW)

    run(worker, work.assign_probers)

    with reading(worker.engine) as db:
        assert configs.of(db, 1) == DesiredSettings()
        assert configs.of(db, 2) == DesiredSettings(beat_period_s=60, printers_probed_elsewhere=["10.0.0.9:631"])

    with writing(worker.engine) as db:
        states.disconnect(db, states.silent(db, since=NOW + timedelta(days=1))[:1], now=NOW)
    run(worker, work.assign_probers)

    with reading(worker.engine) as db:
        assert configs.of(db, 1).printers_probed_elsewhere == ["10.0.0.9:631"]
        assert configs.of(db, 2) == DesiredSettings(beat_period_s=60, printers_probed_elsewhere=[])


def test_a_device_that_claims_settings_of_a_huge_version_gets_its_probers_and_so_do_the_others(worker: Worker):
    for number in (1, 2, 3):
        connect(worker, number, 1)
        reaches(worker, number, "10.0.0.9:631")
    with writing(worker.engine) as db:
        known = {k.number: k for k in states.lock(db, [d.id for d in db.scalars(select(Device))]).values()}
        states.write_connections(db, [known[2]._replace(config_version=2**31 - 1)])

    run(worker, work.assign_probers)

    with reading(worker.engine) as db:
        told = configs.of_all(db)
    assert {number: wish.printers_probed_elsewhere for number, wish in told.items()} == {
        2: ["10.0.0.9:631"],
        3: ["10.0.0.9:631"],
    }


# -- leases


def test_what_is_due_is_done_once_by_whoever_comes_first(worker: Worker):
    other = Worker(worker.engine, worker.home, work.JOBS, clock=worker.clock)

    assert worker.do_what_is_due() == [job.name for job in work.JOBS]
    assert other.do_what_is_due() == []

    worker.clock.at += timedelta(seconds=31)
    assert set(other.do_what_is_due()) == {"notice_silence", "assign_probers", "shut_out_retired", "compare_desired"}


def test_a_job_that_fails_does_not_stop_the_others_and_its_failure_is_kept(worker: Worker, monkeypatch):
    def fail(_worker):
        raise RuntimeError("no")

    broken = tuple(msgspec.structs.replace(j, do=fail) if j.name == "forget_old" else j for j in work.JOBS)
    worker.jobs = broken

    assert worker.do_what_is_due() == [job.name for job in work.JOBS]

    with reading(worker.engine) as db:
        assert {j.name: j.failed for j in db.scalars(select(Job)) if j.failed} == {"forget_old": "RuntimeError: no"}


def test_a_worker_that_was_too_slow_stops(worker: Worker, monkeypatch):
    beats_every_hour(worker, days=30)
    monkeypatch.setattr(work.history, "_ROWS_AT_ONCE", 10)
    with writing(worker.engine) as db:
        db.merge(Job(name="fold_history", due_at=NOW, owner="somebody else"))
    worker._doing = "fold_history"

    with pytest.raises(work.worker.LeaseLost):
        work.fold_history(worker)


def test_when_a_loop_beside_the_jobs_ends_the_process_does_too(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def ends(*_: object, **__: object) -> None:
        raise MemoryError

    def waits(_: object, stop: threading.Event, *__: object) -> None:
        stop.wait()

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(work.watch, "run", ends)
    monkeypatch.setattr(work.send, "run", waits)
    monkeypatch.setattr(work, "JOBS", ())
    monkeypatch.setattr(work, "_LOOK_EVERY_S", 0.01)
    home = Home(tmp_path, Settings(database_url=sqlite_engine.url.render_as_string(hide_password=False)))

    with pytest.raises(work.LoopEnded, match="watch"):
        work.run(home, threading.Event())


def test_runs_are_kept_as_long_as_the_settings_say(worker: Worker, monkeypatch):
    monkeypatch.setattr(work.history, "_RUNS_AT_ONCE", 2)
    with writing(worker.engine) as db:
        of = runs.targets(db, WHOLE, roles=["counter"])[:1]
        for age in (500, 450, 401, 399, 0):
            at = NOW - timedelta(days=age)
            run_id = runs.create(db, runs.NewRun(playbook="packages", author="amina"), of, now=at)
            run_queue.take(db, now=at)
            run_queue.finish(db, run_id, 1, outcome="ok", now=at)

    run(worker, work.forget_old)

    with reading(worker.engine) as db:
        assert [(NOW - kept.created_at).days for kept in runs.listing(db, WHOLE, limit=9)] == [0, 399]
