"""What one person brings without a second one is counted by what was done, whatever they write."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.rollouts.rolling import AMINA, BRAHIM, Province

from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import ordering, proposing
from annexfleet_controller.rollouts.errors import RolloutNeedsSecond
from annexfleet_controller.rollouts.ordering import Order
from annexfleet_controller.store import rollout_evidence, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.waves.model import Selector


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Province:
    return Province(tmp_path, engine)


def of(numbers: list[int]) -> Selector:
    return Selector(devices=tuple(map(device_id, numbers)))


def brought(province: Province) -> set[int]:
    with reading(province.engine) as db:
        return rollout_evidence.brought_to(db, "amina", since=province.clock.at - timedelta(hours=24))


def test_a_run_whose_reason_only_says_rollout_counts(province: Province):
    numbers = province.annex("berkane-1", 3)
    id_ = province.draft(selector=of(numbers[:1]))
    targets = [runs.Target(device_id(n), n, "berkane-1") for n in numbers]
    with writing(province.engine) as db:
        new = runs.NewRun(playbook="shift", forks=5, timeout_s=60.0, author="amina", reason=f"rollout:{id_}")
        runs.create(db, new, targets, now=province.clock.at)

    assert brought(province) == set(numbers)


@pytest.mark.parametrize("reason", ["rollout:x", " Rollout:7"])
def test_nobody_types_the_reason_of_a_rollout(province: Province, reason: str):
    province.annex("berkane-1", 1)
    order = Order(playbook="shift", variables={"shift_version": "2"}, devices=[device_id(1)], reason=reason)
    with pytest.raises(Invalid) as caught, writing(province.engine) as db:
        ordering.order(db, province.home, order, AMINA, now=province.clock.at)
    assert (caught.value.facts["field"], caught.value.facts["reason"]) == ("reason", "reserved")


def test_the_runs_of_an_approved_rollout_count_for_nobody(province: Province):
    """Those before the last one of a device, too."""
    province.annex("berkane-1", 1)
    id_ = province.started()
    province.roll(id_, minutes=10, outcome="unreachable")
    assert province.detail(id_).approved_by == "brahim"
    assert len({run_id for run_id, _ in province.begun}) > 1

    assert brought(province) == set()
    # the run once more is a person's own
    first = province.begun[0][0]
    with writing(province.engine) as db:
        again = ordering.again(db, province.home, first, AMINA, now=province.clock.at)
    with reading(province.engine) as db:
        assert runs.find(db, AMINA.scope, again).reason == ""
    assert brought(province) == {1}


def test_what_was_submitted_day_by_day_is_not_started_at_once(province: Province):
    annexes = [province.annex(f"berkane-{n}", 15) for n in range(1, 13)]
    small = []
    for numbers in annexes[:2]:
        small.append(province.draft(selector=of(numbers)))
        assert province.act(proposing.submit, small[-1], home=True).state == "approved"
        province.pass_time(25 * 3600)

    province.act(proposing.start, small[0], home=True)
    with pytest.raises(RolloutNeedsSecond):
        province.act(proposing.start, small[1], asker=BRAHIM, home=True)
    # submitted anew it gets its second person
    province.act(proposing.withdraw, small[1])
    assert province.act(proposing.submit, small[1], home=True).state == "submitted"
    province.act(proposing.approve, small[1], asker=BRAHIM, home=True)
    assert province.act(proposing.start, small[1], home=True).state == "running"
