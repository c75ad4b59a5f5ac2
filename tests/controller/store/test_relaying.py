"""Runs of the console: devices are taken one by one, claimed as by any run, and let go at the end."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, select
from tests.controller.fleet import add_annex, add_devices

from annexfleet_controller.store import devices, relaying, states
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.relaying import HostNow, RunNow, TakenBy
from annexfleet_controller.store.tables.runs import RunClaimRow, RunHostRow, RunRow
from annexfleet_controller.store.tables.talk import Pulse

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


@pytest.fixture
def ids(engine: Engine) -> list[str]:
    add_annex(engine)
    return add_devices(engine, 3)


def console(engine: Engine, author: str = "amina") -> int:
    with writing(engine) as db:
        return relaying.begin_console(db, playbook="files.yml", author=author, now=NOW)


def join(engine: Engine, run_id: int, device_id: str) -> HostNow | TakenBy | None:
    with writing(engine) as db:
        return relaying.join_console(db, run_id, device_id, now=NOW)


def test_a_device_is_taken_once_and_told_as_it_stands(engine: Engine, ids: list[str]):
    run_id = console(engine)
    assert join(engine, run_id, ids[0]) == HostNow(ids[0], 1, "berkane-1", "running", False, False)

    with writing(engine) as db:
        known = states.lock(db, ids[:1])
        states.write_connections(db, [one._replace(connected=True) for one in known.values()])
        devices.revoke(db, 1, NOW)

    assert join(engine, run_id, ids[0]) == HostNow(ids[0], 1, "berkane-1", "running", True, True)
    with writing(engine) as db:
        assert list(relaying.hosts(db, run_id)) == ids[:1]
        assert relaying.run(db, run_id) == RunNow("console", "running", False)
        assert [pulse.annexes for pulse in db.scalars(select(Pulse))] == ['{"berkane-1":"u"}']


def test_nobody_takes_what_is_no_device(engine: Engine, ids: list[str]):
    assert join(engine, console(engine), "d-" + "z" * 26) is None


def test_a_device_that_another_run_has_is_not_taken(engine: Engine, ids: list[str]):
    one, other = console(engine), console(engine)
    join(engine, one, ids[0])

    assert join(engine, other, ids[0]) == TakenBy(one)
    assert isinstance(join(engine, other, ids[1]), HostNow)


def test_a_run_that_ended_lets_go_even_if_it_forgot_to(engine: Engine, ids: list[str]):
    one, other = console(engine), console(engine)
    join(engine, one, ids[0])
    with writing(engine) as db:
        run = db.get(RunRow, one)
        assert run is not None
        run.state = "ended"

    assert isinstance(join(engine, other, ids[0]), HostNow)


def test_its_end_ends_its_devices_and_their_claims(engine: Engine, ids: list[str]):
    run_id = console(engine)
    join(engine, run_id, ids[0])
    with writing(engine) as db:
        assert relaying.forgotten_consoles(db) == [run_id]
        relaying.end_console(db, run_id, outcome="unknown", now=NOW)

    with writing(engine) as db:
        assert relaying.forgotten_consoles(db) == []
        assert db.scalars(select(RunClaimRow)).all() == []
        host = db.get(RunHostRow, (run_id, 1))
        assert host is not None
        assert (host.state, host.outcome) == ("ended", "unknown")
        relaying.end_console(db, run_id, outcome="ok", now=NOW)
        run = db.get(RunRow, run_id)
        assert run is not None
        assert run.outcome == "unknown"
