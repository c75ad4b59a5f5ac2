"""What ingest and the watch make of devices that were retired or moved, and of annexes that were closed."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.alerts.test_watcher import OPEN_AT, Place
from tests.controller.tending.hands import hand

from annexfleet_controller.store import fleet as looking
from annexfleet_controller.store import readiness
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.alerts import AlertRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceState, History
from annexfleet_controller.tending import annexes as tending_annexes
from annexfleet_controller.tending import devices as tending

ALL = (1, 2, 3, 4, 5, 6)


@pytest.fixture
def place(sqlite_engine: Engine, tmp_path: Path) -> Place:
    made = Place(sqlite_engine, tmp_path)
    with writing(sqlite_engine) as db:  # a device is left in peace in its first hour
        db.query(Device).update({Device.enrolled_at: OPEN_AT - timedelta(days=20)})
    made.hello(*ALL)
    made.beat(*ALL)
    made.pass_time(120, beats=ALL)
    return made


def retire(place: Place, *numbers: int) -> None:
    amina = hand(place.engine)
    with writing(place.engine) as db:
        ids = [place.ids[n - 1] for n in numbers]
        _, reach = tending.retiring(db, amina, ids)
        tending.retire(db, amina, ids, confirmed=reach.digest, now=place.clock.at)


def live(place: Place) -> list[tuple[str, str]]:
    """Rules and things of alerts that have not cleared."""
    with reading(place.engine) as db:
        rows = db.query(AlertRow).where(AlertRow.state == "open").all()
        return sorted((row.rule_id, row.thing_id) for row in rows)


def test_messages_of_a_retired_device_are_refused_by_ingest(place: Place):
    retire(place, 1)
    with reading(place.engine) as db:
        before = db.query(History).where(History.device_number == 1).count()
        heard = db.get(DeviceState, 1).heard_at  # type: ignore[union-attr]
    place.clock.at = place.clock.at.replace(microsecond=5)

    place.hello(1)
    place.beat(1)

    with reading(place.engine) as db:
        assert db.query(History).where(History.device_number == 1).count() == before
        assert db.get(DeviceState, 1).heard_at == heard  # type: ignore[union-attr]


def test_the_silence_of_a_retired_device_raises_nothing(place: Place):
    retire(place, 1)

    place.pass_time(1800, beats=(2, 3, 4, 5, 6))

    assert [what for what in live(place) if what[1] == place.ids[0]] == []
    assert 1 not in place.watcher.fleet.views


def test_a_silence_that_was_raised_ends_when_the_device_is_retired(place: Place):
    place.gone(1)
    place.pass_time(1800, beats=(2, 3, 4, 5, 6))
    assert ("device.offline", place.ids[0]) in live(place)

    retire(place, 1)
    place.pass_time(900, beats=(2, 3, 4, 5, 6))

    assert [what for what in live(place) if what[1] == place.ids[0]] == []


def test_readiness_does_not_count_a_retired_device(place: Place):
    retire(place, 1, 2, 3)
    place.gone(4)
    place.pass_time(900, beats=(5, 6))

    with reading(place.engine) as db:
        found = readiness.now_of(db, "berkane-1").readiness
    told = str(found)
    assert all(place.ids[n] not in told for n in range(3))
    assert place.ids[3] in told


def test_a_moved_device_is_judged_in_its_new_annex_at_once(place: Place):
    amina = hand(place.engine)
    with writing(place.engine) as db:
        _, _, reach = tending.moving(db, amina, [place.ids[0]], "berkane-2")
        tending.move(db, amina, [place.ids[0]], "berkane-2", confirmed=reach.digest, now=place.clock.at)

    place.pass_time(30, beats=(2, 3, 4, 5, 6))

    assert place.watcher.fleet.views[1].annex_id == "berkane-2"
    assert [view.number for view in place.watcher.fleet.of_annex("berkane-2")] == [1, 5, 6]


def test_an_alert_goes_with_its_device_to_the_other_annex(place: Place):
    place.gone(1)
    place.pass_time(1800, beats=(2, 3, 4, 5, 6))
    amina = hand(place.engine)
    with writing(place.engine) as db:
        _, _, reach = tending.moving(db, amina, [place.ids[0]], "berkane-2")
        tending.move(db, amina, [place.ids[0]], "berkane-2", confirmed=reach.digest, now=place.clock.at)

    place.pass_time(600, beats=(2, 3, 4, 5, 6))

    with reading(place.engine) as db:
        rows = db.query(AlertRow).where(AlertRow.thing_id == place.ids[0], AlertRow.state == "open").all()
        assert [(row.rule_id, row.annex_id) for row in rows] == [("device.offline", "berkane-2")]


def test_a_closed_annex_does_not_break_the_watch_and_raises_nothing(place: Place):
    amina = hand(place.engine)
    with writing(place.engine) as db:
        _, reach = tending_annexes.retiring(db, amina, "berkane-1", now=place.clock.at)
        tending_annexes.retire(db, amina, "berkane-1", confirmed=reach.digest, now=place.clock.at)
    place.hello(1)

    place.pass_time(1800, beats=(5, 6))

    with reading(place.engine) as db:
        assert list(db.query(AlertRow).where(AlertRow.annex_id == "berkane-1", AlertRow.state == "open")) == []
        assert [found.readiness.annex_id for found in readiness.now(db, WHOLE)] == ["berkane-2"]
        assert looking.devices(db, WHOLE, now=place.clock.at, annex_id="berkane-1") == []
