"""What is wanted, what devices report, and the rollout that brings the one to the other."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.rollouts.rolling import AMINA, QUICK, Province
from tests.controller.web.places import part

from annexfleet_agent.protocol.messages import DesiredSettings
from annexfleet_controller.desired.document import parse
from annexfleet_controller.desired.resolve import PROVINCE, Layer
from annexfleet_controller.errors import Invalid, VariableWrong
from annexfleet_controller.rollouts import approved, ordering, proposing, repairing, wanting
from annexfleet_controller.rollouts.errors import NothingToRepair
from annexfleet_controller.rollouts.ground import Ground
from annexfleet_controller.rollouts.ordering import Asker, Order
from annexfleet_controller.store import audit, configs, desired, rollouts
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope

ROLE = Path(__file__).parents[3] / "playbooks" / "roles" / "desired_configuration" / "meta"
HERE, THERE = Layer("annex", "berkane-1"), Layer("annex", "berkane-2")


class Wishing(Province):
    """A province in which somebody decides what devices shall be like."""

    def __init__(self, path: Path, engine: Engine) -> None:
        super().__init__(path, engine)
        options = "{desired_configuration_revision: {type: int, required: true}}"
        self.playbook("desired_configuration", (ROLE / "rollout.yml").read_text(), options=options)

    def decide(self, document: dict[str, Any], layer: Layer = PROVINCE) -> int:
        with writing(self.engine) as db:
            version = desired.get(db, layer).version
            return desired.put(db, layer, parse(document), version=version, by="amina", now=self.clock.at).revision

    def standing(self, number: int) -> dict[str, tuple[str, str]]:
        with reading(self.engine) as db:
            (one,) = wanting.standings(db, WHOLE, numbers=[number])
        return {finding.key.text: (finding.standing, finding.reason) for finding in one.drift.findings}

    def stands(self) -> dict[int, str]:
        with reading(self.engine) as db:
            return {one.device.number: one.drift.standing for one in wanting.standings(db, WHOLE)}

    def meant(self, number: int) -> DesiredSettings:
        with reading(self.engine) as db:
            return configs.of(db, number)

    def repair(self, asker: Asker = AMINA, **narrow: Any) -> int:
        with writing(self.engine) as db:
            return repairing.repair(db, self.home, asker, name="Repair", now=self.clock.at, **narrow)

    def start(self, id_: int) -> None:
        with writing(self.engine) as db:
            found = rollouts.find(db, WHOLE, id_)
            wish = msgspec.structs.replace(proposing.wish_of(found, {}), policy=QUICK)
            proposing.edit(db, self.home, id_, wish, AMINA, version=found.version, now=self.clock.at)
        self.act(proposing.submit, id_, home=True)
        if self.detail(id_).state == "submitted":
            self.act(proposing.approve, id_, asker=Asker(name="brahim", via="session"), home=True)
        self.act(proposing.start, id_, home=True)

    def take_settings(self, *numbers: int) -> None:
        """These devices have the settings that were sent to them, and say so."""
        with reading(self.engine) as db:
            meant = configs.meant(db, numbers)
        for number in numbers:
            if number in meant:
                readings = {"": {"agent_config_version": meant[number].version}}
                with writing(self.engine) as db:
                    part(db, number, "agent", readings, at=self.clock.at)
        self.hear(numbers)

    def print_server(self, number: int, queues: dict[str, str]) -> None:
        with writing(self.engine) as db:
            readings = {f"printer:{name}": {"printer_address": address} for name, address in queues.items()}
            part(db, number, "printers", readings, at=self.clock.at)


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Wishing:
    province = Wishing(tmp_path, engine)
    province.annex("berkane-1", 2)
    province.annex("berkane-2", 2)
    return province


def test_a_decision_sends_nothing_and_shows_who_differs(province: Wishing):
    province.decide({"agent": {"sample_period_s": 30}}, HERE)

    province.turn()

    assert province.stands() == {1: "differs", 2: "differs", 3: "same", 4: "same"}
    assert province.standing(1) == {"agent.sample_period_s": ("differs", "not_sent")}
    assert {province.meant(n) for n in (1, 2, 3, 4)} == {DesiredSettings()}
    assert province.waiting_runs() == []


def test_a_repair_is_a_draft_for_exactly_those_that_differ(province: Wishing):
    province.inventory(1, {"htop": "3.2"})
    province.inventory(2, {"nano": "7"})
    province.inventory(3, {"nano": "7"})
    revision = province.decide({"packages": {"htop": "present"}})

    id_ = province.repair()

    detail = province.detail(id_)
    assert province.stands() == {1: "same", 2: "differs", 3: "differs", 4: "unknown"}
    assert (detail.state, detail.playbook, detail.variables) == (
        "draft", "desired_configuration", {"desired_configuration_revision": revision}
    )  # fmt: skip
    assert detail.selector.devices == (device_id(2), device_id(3))
    assert set(province.targets(id_)) == {2, 3}
    with reading(province.engine) as db:
        (entry,) = audit.entries(db, WHOLE, act="desired.repair")
    assert (entry.actor, entry.facts) == ("amina", {"devices": 2, "revision": revision})


def test_a_repair_may_be_narrowed_and_may_mean_the_unknown_too(province: Wishing):
    province.inventory(2, {"nano": "7"})
    province.inventory(3, {"nano": "7"})
    province.decide({"packages": {"htop": "present"}})

    assert set(province.targets(province.repair(annexes=["berkane-2"]))) == {3}
    assert set(province.targets(province.repair(devices=[device_id(2)]))) == {2}
    assert set(province.targets(province.repair(with_unknown=True))) == {1, 2, 3, 4}
    confined = Asker(name="amina", via="session", scope=Scope(frozenset({"berkane-1"})))
    assert set(province.targets(province.repair(confined))) == {2}


def test_more_than_a_selector_may_name_are_not_cut_off_silently(province: Wishing, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(repairing, "MOST_NAMED", 1)
    province.decide({"agent": {"sample_period_s": 30}}, HERE)

    with pytest.raises(Invalid) as refused:
        province.repair()

    assert refused.value.facts == {"field": "devices", "reason": "too_many"}


def test_there_may_be_nothing_to_repair(province: Wishing):
    with pytest.raises(NothingToRepair):
        province.repair()

    province.decide({"packages": {"htop": "present"}})
    with pytest.raises(NothingToRepair):
        province.repair()  # nobody knows whether they differ


def test_settings_leave_with_the_run_and_success_is_what_the_device_reports(province: Wishing):
    with writing(province.engine) as db:
        configs.put(db, 1, DesiredSettings(printers_probed_elsewhere=["10.0.0.5:631"]), now=province.clock.at)
    province.decide({"agent": {"sample_period_s": 30}, "portals": {"cnie": {"url": "https://cnie.ma/"}}}, HERE)
    id_ = province.repair()
    province.start(id_)
    assert province.meant(2) == DesiredSettings()

    for _ in range(600):
        province.turn(30.0)
        begun = province.play()
        if begun:
            province.take_settings(*begun)
        if province.detail(id_).ended_at is not None:
            break

    assert province.states(id_) == {1: "succeeded", 2: "succeeded"}
    assert province.meant(1).printers_probed_elsewhere == ["10.0.0.5:631"]
    assert (province.meant(1).sample_period_s, [one.name for one in province.meant(1).portals or ()]) == (30, ["cnie"])
    assert province.meant(3) == DesiredSettings()
    assert province.stands() == dict.fromkeys((1, 2, 3, 4), "same")


def test_a_device_that_does_not_say_that_it_has_them_has_failed(province: Wishing):
    province.decide({"agent": {"sample_period_s": 30}}, Layer("device", device_id(1)))
    id_ = province.repair()
    province.start(id_)

    province.roll(id_, minutes=60)

    assert province.targets(id_)[1].state == "failed"
    assert province.standing(1) == {"agent.sample_period_s": ("differs", "not_in_force")}


def test_a_run_brings_what_was_approved_whatever_is_decided_meanwhile(province: Wishing):
    province.inventory(1, {"nano": "7"})
    province.decide({"packages": {"htop": "present"}, "agent": {"beat_period_s": 600}}, HERE)
    id_ = province.repair(devices=[device_id(1)])
    province.start(id_)
    province.decide({"packages": {"htop": "absent"}, "agent": {"beat_period_s": 900}}, HERE)

    for _ in range(40):
        province.turn(30.0)
        if waiting := province.waiting_runs():
            break
    ground = Ground(province.home, waiting[0])
    ground.prepare()
    task = approved.gather(province.home, province.engine, ground, now=province.clock.at)

    told = task.hosts[0].variables["annexfleet_desired"]
    assert (told["packages_present"], told["packages_absent"]) == (["htop"], [])
    assert province.meant(1).beat_period_s == 600


def test_other_runs_are_told_nothing_of_it(province: Wishing):
    province.decide({"agent": {"sample_period_s": 30}})
    with writing(province.engine) as db:
        order = Order(playbook="shift", variables={"shift_version": "2"}, devices=[device_id(1)])
        run_id = ordering.order(db, province.home, order, AMINA, now=province.clock.at)
    ground = Ground(province.home, run_id)
    ground.prepare()

    task = approved.gather(province.home, province.engine, ground, now=province.clock.at)

    assert "annexfleet_desired" not in task.hosts[0].variables
    assert province.meant(1) == DesiredSettings()


@pytest.mark.parametrize("check", [True, False])
def test_a_dry_run_sends_nothing(province: Wishing, check: bool):
    revision = province.decide({"agent": {"sample_period_s": 30}})
    with writing(province.engine) as db:
        order = Order(
            playbook="desired_configuration", variables={"desired_configuration_revision": revision},
            devices=[device_id(1)], check=check,
        )  # fmt: skip
        ordering.order(db, province.home, order, AMINA, now=province.clock.at)

    assert province.meant(1).sample_period_s == (None if check else 30)
    assert province.meant(2).sample_period_s is None


@pytest.mark.parametrize("revision", [0, 2, -1])
def test_a_revision_that_is_not_there_yet_is_refused(province: Wishing, revision: int):
    assert province.decide({"agent": {"sample_period_s": 30}}) == 1
    variables = {"desired_configuration_revision": revision}
    with writing(province.engine) as db:
        order = Order(playbook="desired_configuration", variables=variables, devices=[device_id(1)])
        wish = province.wish(playbook="desired_configuration", variables=variables)
        with pytest.raises(VariableWrong) as refused:
            ordering.order(db, province.home, order, AMINA, now=province.clock.at)
        with pytest.raises(VariableWrong):
            proposing.draft(db, province.home, wish, AMINA, now=province.clock.at)

    assert refused.value.facts["field"] == "desired_configuration_revision"


def test_what_no_device_reports_of_a_queue_is_known_from_the_run_that_brought_it(province: Wishing):
    queue = {"uri": "ipp://10.0.0.5/ipp/print", "location": "Hall"}
    province.print_server(1, {})
    province.decide({"print_queues": {"q": queue}}, Layer("device", device_id(1)))
    assert province.standing(1) == {"print_queues.q": ("differs", "missing")}

    id_ = province.repair()
    province.start(id_)
    while not province.play():
        province.turn(30.0)
    province.print_server(1, {"q": "10.0.0.5:631"})
    assert province.standing(1) == {"print_queues.q": ("same", "")}
    province.roll(id_)
    assert province.targets(id_)[1].state == "succeeded"

    province.decide({"print_queues": {"q": queue | {"location": "Office"}}}, Layer("device", device_id(1)))
    assert province.standing(1) == {"print_queues.q": ("differs", "other_details")}
    assert set(province.targets(province.repair())) == {1}


def test_what_is_taken_back_is_drift_again(province: Wishing):
    province.decide({"agent": {"sample_period_s": 30}}, HERE)
    with writing(province.engine) as db:
        for number in (1, 2):
            configs.put(db, number, DesiredSettings(sample_period_s=30), now=province.clock.at)
    province.take_settings(1, 2)
    assert province.stands()[1] == "same"

    with writing(province.engine) as db:
        desired.take_back(db, HERE, 0, version=1, by="amina", now=province.clock.at)

    assert province.standing(1) == {"agent.sample_period_s": ("differs", "not_wanted")}


def test_who_would_be_touched(province: Wishing):
    province.decide({"packages": {"htop": "present"}}, THERE)
    with reading(province.engine) as db:
        here, beyond = wanting.touched(db, WHOLE, PROVINCE, parse({"packages": {"htop": "present"}}))
        confined = wanting.touched(db, Scope(frozenset({"berkane-1"})), PROVINCE, parse({"packages": {"nano": "1"}}))

    assert ([device.number for device, _, _ in here], beyond) == ([1, 2], 0)
    assert ([device.number for device, _, _ in confined[0]], confined[1]) == ([1, 2], 2)
