"""The watch loop when something around it fails, stops for a while, or is taken away."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.alerts.test_watcher import OPEN_AT, Place, begun

from annexfleet_controller.alerts import evidence
from annexfleet_controller.alerts.trends import Trends
from annexfleet_controller.alerts.watch import EVERY_S, LONGEST_PAUSE_S, Holder
from annexfleet_controller.alerts.watcher import Watcher
from annexfleet_controller.notify import planning
from annexfleet_controller.store import alerts, devices, incidents, jobs, readiness
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.things import Alert


@pytest.fixture
def place(sqlite_engine: Engine, tmp_path: Path) -> Place:
    return begun(sqlite_engine, tmp_path)


@pytest.fixture
def place_on_both(engine: Engine, tmp_path: Path) -> Place:
    return begun(engine, tmp_path)


def live(place: Place) -> list[tuple[str, str]]:
    with reading(place.engine) as db:
        return [(alert.rule_id, alert.annex_id) for alert in alerts.live(db)]


def stored(place: Place) -> list[Alert]:
    with reading(place.engine) as db:
        return alerts.live(db)


def test_alerts_of_an_annex_end_with_its_last_device(place: Place):
    place.change(5, "disk", {"disk:/": {"disk_used_ratio": 0.99, "disk_free_bytes": 1e6, "disk_read_only": 1}})
    for n in (5, 6):
        place.change(n, "portal", {"portal:watiqa": {"portal_up": 0, "portal_failed_stage": "connect"}})
    place.pass_time(900, beats=range(1, 7))
    place.gone(5, 6)
    place.pass_time(900, beats=range(1, 5))
    assert {annex for _, annex in live(place)} == {"berkane-2"}

    with writing(place.engine) as db:
        for number in (5, 6):
            devices.revoke(db, number, place.clock.at)
    place.pass_time(60, beats=range(1, 5))

    assert live(place) == []
    place.pass_time(120, beats=range(1, 5))
    assert place.open_incidents() == []
    with reading(place.engine) as db:
        assert readiness.current(db).get("berkane-2", {}) == {}
        assert readiness.now_of(db, "berkane-2").readiness.services == ()


def test_after_ingest_was_away_nobody_counts_as_silent_who_could_not_be_heard(place: Place):
    place.pass_time(300, beats=range(1, 7))
    for _ in range(80):  # 40 minutes without ingest
        place.clock.at += timedelta(seconds=30)
        assert place.holder.turn()
    place.listens(since=place.clock.at)
    place.pass_time(100)

    assert {rule for rule, _ in live(place)} <= {"broker.down", "ingest.silent"}
    place.pass_time(900, beats=range(1, 7))
    assert place.open_incidents() == []


def test_what_nobody_could_hear_is_not_noted_as_ready(place: Place):
    place.printer(1)
    place.pass_time(300, beats=range(1, 7))
    away_at = place.clock.at
    for _ in range(80):
        place.clock.at += timedelta(seconds=30)
        assert place.holder.turn()
    back_at = place.clock.at
    place.listens(since=back_at)
    place.pass_time(200, beats=range(1, 7))

    with reading(place.engine) as db:
        [before, after] = readiness.spans(db, "berkane-1", since=OPEN_AT, until=place.clock.at)
    assert before.until is not None
    assert before.until <= away_at + timedelta(minutes=2)
    assert after.since >= back_at


def test_a_watcher_that_lost_its_lease_writes_nothing(place_on_both: Place):
    place = place_on_both
    place.printer(1, causes=["paper_jam"], state="stopped")
    place.pass_time(90, beats=range(1, 7))
    slow, before = place.holder, stored(place)
    place.clock.at += timedelta(seconds=70)  # it was stopped in the middle of a look
    place.listens()
    place.holder = Holder(place.engine, place.home, clock=place.clock)
    assert place.holder.turn()
    place.printer(1)
    place.pass_time(60)
    after = stored(place)
    assert after != before

    slow._renew_at = place.clock.at + timedelta(seconds=20)
    place.change(2, "printers", {"printer:laser-2": {"printer_state": "stopped", "printer_causes": ["cover_open"]}})
    slow.turn()

    assert stored(place) == after
    assert slow.watcher is None


def test_when_notices_cannot_be_planned_the_watch_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: object, **__: object) -> int:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(planning, "plan_notices", failing)
    watcher = place.watcher
    place.printer(1, causes=["paper_jam"], state="stopped")
    place.pass_time(180, beats=range(1, 7))

    assert "printer.blocked" in place.open_alerts()
    assert place.holder.watcher is watcher


def test_a_clock_that_was_set_back_does_not_stop_the_watch(place: Place):
    place.printer(1)
    place.pass_time(120, beats=range(1, 7))
    place.clock.at -= timedelta(hours=1)
    place.listens()
    place.printer(1, causes=["paper_jam"], state="stopped")
    place.pass_time(240, beats=range(1, 7))

    assert "printer.blocked" in place.open_alerts()
    place.printer(1)
    place.pass_time(600, beats=range(1, 7))
    assert "printer.blocked" not in place.open_alerts()


def test_after_a_long_stop_everything_is_read_anew(place: Place):
    place.pass_time(60, beats=range(1, 7))
    stopped = place.watcher
    place.clock.at += timedelta(minutes=12)  # pulses of that time may be forgotten already
    place.listens()
    assert place.holder.turn()

    assert place.watcher is not stopped


def test_a_cut_that_comes_back_while_it_is_looked_at_again_stays_open(place: Place):
    for n in (1, 2):
        place.change(n, "battery", {"": {"battery_on_mains": 1, "battery_charge_ratio": 0.9}})
    place.pass_time(60, beats=range(1, 7))
    began_at = place.clock.at
    place.gone(1, 2, 3, 4)
    place.pass_time(900, beats=[5, 6])
    place.hello(1, 2, 3, 4)
    place.pass_time(240, beats=range(1, 7))
    with reading(place.engine) as db:
        [cut] = [one for one in incidents.resolved_since(db, OPEN_AT) if one.kind == "line_cut"]
    for n in (1, 2):
        told = {"": {"battery_on_mains": 0, "battery_charge_ratio": 0.8}}
        place.change(n, "battery", told, at=began_at, because=[" battery_on_mains"])
        told = {"": {"battery_on_mains": 1, "battery_charge_ratio": 0.7}}
        place.change(n, "battery", told, at=began_at + timedelta(minutes=14), because=[" battery_on_mains"])
    place.pass_time(40, beats=range(1, 7))
    with reading(place.engine) as db:
        [corrected] = incidents.by_ids(db, [cut.id])
    assert corrected.kind == "power_cut"
    assert place.watcher.ledger.incidents[cut.id].key == corrected.key

    place.gone(1, 2, 3, 4)
    place.pass_time(200, beats=[5, 6])
    with reading(place.engine) as db:
        assert incidents.by_ids(db, [cut.id]) == [corrected]
        assert [(one.kind, one.annex_id) for one in incidents.open_ones(db)] == [("line_cut", "berkane-1")]


def test_a_watch_that_fails_says_so_and_goes_on_once_it_can(place: Place, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: object) -> None:
        raise KeyError("nobody thought of this")

    with monkeypatch.context() as broken:
        broken.setattr(Watcher, "tick", failing)
        place.pass_time(60)
        with reading(place.engine) as db:
            assert jobs.failed(db, "watch_alerts") == "KeyError"
        place.pass_time(300)
        assert place.holder.pause_s == LONGEST_PAUSE_S
    place.pass_time(60)
    assert place.holder.pause_s == EVERY_S

    with reading(place.engine) as db:
        assert jobs.failed(db, "watch_alerts") == ""


def test_a_past_or_a_trend_that_cannot_be_worked_out_does_not_end_the_watch(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    def failing(*_: object, **__: object) -> None:
        raise ValueError("a device said something that nobody thought of")

    monkeypatch.setattr(evidence, "correct", failing)
    monkeypatch.setattr(Trends, "_disks", failing)
    monkeypatch.setattr(Trends, "_supplies", failing)
    monkeypatch.setattr(Trends, "_averages", failing)
    place.change(5, "disk", {"disk:/": {"disk_used_ratio": 0.7, "disk_free_bytes": 1e9}})
    place.pass_time(60, beats=range(1, 7))
    watcher = place.watcher
    place.gone(1, 2, 3, 4)
    place.pass_time(600, beats=[5, 6])
    place.hello(1, 2, 3, 4)
    place.pass_time(600, beats=range(1, 7))

    assert place.open_incidents() == []
    assert place.holder.watcher is watcher


def test_alerts_of_a_device_move_with_it_and_follow_its_new_name(place_on_both: Place):
    place = place_on_both
    place.change(5, "disk", {"disk:/": {"disk_used_ratio": 0.99, "disk_free_bytes": 1e6, "disk_read_only": 1}})
    place.pass_time(600, beats=range(1, 7))
    before = {alert.rule_id for alert in stored(place) if alert.state == "open"}
    assert before
    with writing(place.engine) as db:
        device = db.get(Device, 5)
        assert device is not None
        device.annex_id, device.name = "berkane-1", "moved"
    place.pass_time(120, beats=range(1, 7))

    after = [alert for alert in stored(place) if alert.state == "open"]
    assert {alert.rule_id for alert in after} == before
    assert {alert.annex_id for alert in after} == {"berkane-1"}
    assert {alert.facts["device"] for alert in after} == {"moved"}
    with reading(place.engine) as db:
        [incident] = incidents.open_ones(db)
    assert incident.annex_id == "berkane-1"
