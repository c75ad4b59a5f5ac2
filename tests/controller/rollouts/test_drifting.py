"""What is kept of comparing devices with what is wanted of them: who is compared anew, who is told, who is unknown."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update
from tests.controller.fleet import device_id
from tests.controller.rollouts.test_desired_configuration import HERE, Wishing
from tests.controller.web.places import part

from annexfleet_controller.desired.resolve import PROVINCE, Layer
from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import drifting, repairing, wanting
from annexfleet_controller.rollouts.errors import NothingToRepair
from annexfleet_controller.store import desired, desired_drift, pulses, rollouts
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.desired import DesiredDriftRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.talk import Pulse
from annexfleet_controller.work import desired as job
from annexfleet_controller.work.worker import Job, Worker

SAMPLING = {"agent": {"sample_period_s": 30.0}}


class Compared(Wishing):
    """Devices 1 and 2 in berkane-1, 3 in berkane-2, and a worker that compares."""

    def __init__(self, path: Path, engine: Engine) -> None:
        super().__init__(path, engine)
        self.annex("berkane-1", 2)
        self.annex("berkane-2", 1)
        of = Job("compare_desired", timedelta(0), job.compare_desired)
        self.worker = Worker(engine, self.home, (of,), clock=self.clock)

    def compare(self) -> list[int]:
        """The numbers of those that were due."""
        with reading(self.engine) as db:
            due = list(drifting.outdated(db, at_most=100))
        self.worker.do_what_is_due()
        return due

    def kept(self, scope: Scope = WHOLE) -> dict[int, str]:
        with reading(self.engine) as db:
            of = desired_drift.listing(db, scope, ["same", "differs", "unknown"], limit=100)
            assert sum(desired_drift.tally(db, scope).values()) == len(of)
        return {one.number: one.standing for one in of}

    def told(self) -> list[dict[str, str]]:
        """The pulses of the letter d, and none of them again."""
        with writing(self.engine) as db:
            rows = list(db.scalars(select(Pulse).order_by(Pulse.id)))
            found = [pulses.pulse(row.id, row.at, row.devices, row.annexes).annexes for row in rows]
            for row in rows:
                db.delete(row)
        return [of for of in found if "d" in of.values()]


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Compared:
    return Compared(tmp_path, engine)


def test_nobody_is_said_to_be_the_same_before_being_compared(province: Compared):
    assert province.kept() == {1: "unknown", 2: "unknown", 3: "unknown"}
    with reading(province.engine) as db:
        assert desired_drift.as_of(db) is None

    assert province.compare() == [1, 2, 3]

    assert province.kept() == {1: "same", 2: "same", 3: "same"}
    with reading(province.engine) as db:
        assert desired_drift.as_of(db) == province.clock.at
    assert province.compare() == [], "nothing is new"


def test_a_decision_makes_its_devices_unknown_until_they_are_compared(province: Compared):
    province.compare()
    province.told()

    province.decide(SAMPLING, HERE)

    assert province.kept() == {1: "unknown", 2: "unknown", 3: "same"}
    assert province.compare() == [1, 2]
    assert province.kept() == {1: "differs", 2: "differs", 3: "same"}
    assert province.told() == [{"berkane-1": "d"}]
    with reading(province.engine) as db:
        (one, _) = desired_drift.listing(db, WHOLE, ["differs"], limit=9)
        row = db.get_one(DesiredDriftRow, 1)
    assert [(of.key.text, of.reason, of.layer) for of in one.findings] == [
        ("agent.sample_period_s", "not_sent", HERE)
    ]  # fmt: skip
    assert (row.differing, row.revision, one.compared_at) == (1, 1, province.clock.at)


@pytest.mark.parametrize(
    ("layer", "due"),
    [(PROVINCE, [1, 2, 3]), (Layer("role", "counter"), [1, 2, 3]), (Layer("role", "kiosk"), []),
     (Layer("annex", "berkane-2"), [3]), (Layer("device", device_id(2)), [2])],
)  # fmt: skip
def test_only_devices_of_the_layer_are_compared_anew(province: Compared, layer: Layer, due: list[int]):
    province.compare()

    province.decide(SAMPLING, layer)

    assert province.compare() == due


def test_what_a_device_tells_is_compared_at_the_next_look(province: Compared):
    province.decide({"print_queues": {"old": "absent"}})
    province.compare()
    assert province.kept()[1] == "unknown"
    province.told()

    province.print_server(1, {"old": "usb"})

    assert province.compare() == [1]
    assert province.kept() == {1: "differs", 2: "unknown", 3: "unknown"}
    assert province.told() == [{"berkane-1": "d"}]
    with writing(province.engine) as db:
        part(db, 2, "memory", {"": {"memory_used_ratio": 0.4}}, at=province.clock.at)
    assert province.compare() == [], "that decides nothing about it"


def test_what_a_run_brought_is_compared_when_it_has_ended(province: Compared):
    province.print_server(1, {"q": "10.0.0.5:631"})
    queue = {"uri": "ipp://10.0.0.5/ipp/print", "location": "Hall"}
    province.decide({"print_queues": {"q": queue}}, Layer("device", device_id(1)))
    province.compare()
    assert province.kept()[1] == "unknown", "no run ever brought its details"

    province.start(province.repair(with_unknown=True, devices=[device_id(1)]))
    while not province.play():
        province.turn(30.0)

    assert 1 in province.compare()
    assert province.kept()[1] == "same"


def test_a_device_that_was_moved_is_unknown_until_then(province: Compared):
    province.decide(SAMPLING, HERE)
    province.compare()

    with writing(province.engine) as db:
        db.execute(update(Device).where(Device.number == 1).values(annex_id="berkane-2"))

    assert province.kept() == {1: "unknown", 2: "differs", 3: "same"}
    assert province.compare() == [1]
    assert province.kept() == {1: "same", 2: "differs", 3: "same"}


def test_what_somebody_decides_in_between_wins(province: Compared):
    province.compare()
    revision = province.decide(SAMPLING)
    with reading(province.engine) as db:
        found = drifting.compared(db, drifting.outdated(db, at_most=9), desired.layers(db))
    province.decide({}, PROVINCE)

    with writing(province.engine) as db:
        assert not drifting.keep(db, found, revision=revision, now=province.clock.at)

    assert set(province.kept().values()) == {"unknown"}
    province.compare()
    assert set(province.kept().values()) == {"same"}


def test_one_that_cannot_be_compared_keeps_nobody_else_from_it(province: Compared, monkeypatch: pytest.MonkeyPatch):
    whole = wanting.standings

    def fails(db: Any, scope: Scope, **how: Any) -> Any:
        if 2 in how["numbers"]:
            raise ValueError("beyond us")
        return whole(db, scope, **how)

    monkeypatch.setattr(wanting, "standings", fails)
    province.compare()

    assert province.kept() == {1: "same", 2: "unknown", 3: "same"}


def test_many_are_compared_some_at_a_time(province: Compared, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job, "AT_ONCE", 1)
    monkeypatch.setattr(job, "MOST_AT_ONCE", 2)

    province.compare()
    with reading(province.engine) as db:
        assert desired_drift.as_of(db) is None, "one is still left"
    province.compare()

    assert province.kept() == {1: "same", 2: "same", 3: "same"}
    with reading(province.engine) as db:
        assert desired_drift.as_of(db) == province.clock.at


def test_annexes_with_the_first_of_each(province: Compared):
    province.decide(SAMPLING)
    province.compare()

    with reading(province.engine) as db:
        assert desired_drift.annexes(db, WHOLE, ["differs"], limit=9) == [("berkane-1", 2), ("berkane-2", 1)]
        assert desired_drift.annexes(db, WHOLE, ["differs"], after="berkane-1", limit=9) == [("berkane-2", 1)]
        firsts = desired_drift.first_of(db, WHOLE, ["differs"], ["berkane-1"], each=1)
        there = Scope(frozenset({"berkane-2"}))
        assert desired_drift.annexes(db, there, ["differs"], limit=9) == [("berkane-2", 1)]
    assert {annex: [one.number for one in of] for annex, of in firsts.items()} == {"berkane-1": [1]}
    assert province.kept(there) == {3: "differs"}


def test_a_repair_is_for_those_that_differ_now_whatever_was_kept(province: Compared):
    province.decide(SAMPLING)
    province.compare()
    with writing(province.engine) as db:  # kept as differing, and it does not any more
        db.execute(update(DesiredDriftRow).where(DesiredDriftRow.device_number != 3).values(standing="same"))
    province.decide({}, Layer("device", device_id(3)))

    id_ = province.repair()

    with reading(province.engine) as db:
        assert rollouts.find(db, WHOLE, id_).selector.devices == (device_id(3),)
    named = province.repair(devices=[device_id(1)])
    with reading(province.engine) as db:
        assert rollouts.find(db, WHOLE, named).selector.devices == (device_id(1),), "one that is named is looked at"
    with pytest.raises(NothingToRepair):
        province.repair(annexes=["berkane-1"])


def test_a_repair_of_very_many_has_to_be_narrowed(province: Compared, monkeypatch: pytest.MonkeyPatch):
    province.decide(SAMPLING)
    monkeypatch.setattr(repairing, "MOST_NAMED", 2)

    with pytest.raises(Invalid) as wrong:
        province.repair()

    assert (wrong.value.facts["field"], wrong.value.facts["reason"]) == ("devices", "too_many")
    assert province.repair(annexes=["berkane-1"])
