"""Rollouts under way: waves, devices that are away, a stop, a pause, an abort, and what is found at the end."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.rollouts.rolling import NATURE, QUICK, Province

from annexfleet_controller.errors import RolloutChanged
from annexfleet_controller.rollouts import approved, proposing, written
from annexfleet_controller.rollouts.carrying import Carrier
from annexfleet_controller.rollouts.conducting import LEASE
from annexfleet_controller.rollouts.evidence import Reader
from annexfleet_controller.rollouts.eyes import Eyes
from annexfleet_controller.rollouts.ground import Ground
from annexfleet_controller.rollouts.supervising import Supervisor
from annexfleet_controller.store import rollout_leases, rollout_targets, run_queue, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.rollout_leases import LeaseLost
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.waves import conduct
from annexfleet_controller.waves.model import Begin, Rollout, Selector


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Province:
    return Province(tmp_path, engine)


def test_a_rollout_goes_wave_by_wave_to_its_end(province: Province):
    province.annex("berkane-1", 3)
    province.annex("berkane-2", 3)
    id_ = province.started()

    found = province.roll(id_)

    assert (found.state, found.ended_at is not None) == ("done", True)
    assert set(province.states(id_).values()) == {"succeeded"}
    assert [kind for kind in province.story(id_) if kind not in {"gate", "begun"}] == [
        "created", "submitted", "approved", "started", "wave", "soaking", "wave", "soaking", "wave", "soaking",
        "done",
    ]  # fmt: skip
    row = province.targets(id_)[1]
    assert (row.before, row.after) == ({"agent_version": "1.0"}, {"agent_version": "2.0"})
    assert sorted(number for _, number in province.begun) == [1, 2, 3, 4, 5, 6]


# -- nothing is begun after a stop, a pause or an abort


@pytest.mark.parametrize("what", ["pause", "abort"])
def test_what_was_thought_out_before_an_act_is_refused_after_it(province: Province, what: str):
    """Two conductors, one of which read the rollout before somebody paused it and writes only afterwards."""
    province.annex("berkane-1", 4)
    id_ = province.started()
    province.turn()  # the wave is rolled, nothing begun yet
    stale = held_by_another(province, id_)

    province.act(getattr(proposing, what), id_, reason="Wait")

    with pytest.raises(RolloutChanged):
        stale()
    province.turn(60)
    assert province.waiting_runs() == []
    assert {row.attempts for row in province.targets(id_).values()} == {0}


def test_what_was_thought_out_before_the_gate_stopped_is_refused(province: Province):
    province.annex("berkane-1", 6)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=6, most_at_once=2))
    province.turn()
    province.turn()
    stale = held_by_another(province, id_)
    province.play("failed")
    for _ in range(3):
        province.turn()
    assert province.detail(id_).state == "stopped"

    with pytest.raises(RolloutChanged):
        stale()
    for _ in range(10):
        province.turn(120)
    assert len(province.waiting_runs()) == 0
    assert sum(row.attempts for row in province.targets(id_).values()) == 2


@pytest.mark.parametrize("what", ["pause", "abort"])
def test_a_run_that_waited_for_a_process_is_not_begun_after_a_halt(province: Province, what: str):
    province.annex("berkane-1", 4)
    id_ = province.started()
    for _ in range(3):
        province.turn()
    (run_id,) = province.waiting_runs()

    province.act(getattr(proposing, what), id_, reason="Wait")
    with writing(province.engine) as db:
        assert run_queue.take(db, now=province.clock.at) is None

    with reading(province.engine) as db:
        run = runs.find(db, WHOLE, run_id)
    assert (run.state, run.outcome, run.problem) == ("ended", "cancelled", "rollout_halted")
    province.turn()
    assert set(province.states(id_).values()) <= {"waiting", "skipped"}


def test_a_run_that_waited_long_for_a_process_is_given_back_and_thought_out_anew(province: Province):
    """It was begun in the night; the processes are free at nine in the morning, when people are served."""
    numbers = province.annex("berkane-1", 4)
    id_ = province.started()
    for _ in range(3):
        province.turn()
    (run_id,) = province.waiting_runs()

    province.pass_time(13 * 3600)
    province.take()

    assert province.taken == []
    with reading(province.engine) as db:
        run = runs.find(db, WHOLE, run_id)
    assert (run.state, run.problem) == ("ended", "rollout_waited")
    for _ in range(5):
        province.turn(30)
    assert (province.waiting_runs(), set(province.states(id_).values())) == ([], {"waiting"})
    province.clock.at += timedelta(hours=9)
    province.listen()
    province.hear(numbers)
    assert province.roll(id_).state == "done"


def test_while_a_run_waits_for_a_process_no_other_is_begun(province: Province):
    first, second = province.annex("berkane-1", 2), province.annex("berkane-2", 2)
    ids = [
        province.started(selector=Selector(devices=tuple(map(device_id, of))), policy=structs.replace(QUICK, growth=1))
        for of in (first, second)
    ]
    province.turn()
    province.turn()
    assert len(province.waiting_runs()) == 2
    third = province.started(selector=Selector(annexes=(province_annex(province, "berkane-3"),)))
    for _ in range(5):
        province.turn(20)
    assert set(province.states(third).values()) == {"waiting"}

    province.play()
    assert all(province.roll(id_).state == "done" for id_ in (*ids, third))


def province_annex(province: Province, name: str) -> str:
    province.annex(name, 1)
    return name


@pytest.mark.parametrize("what", ["pause", "abort"])
def test_no_second_attempt_of_a_run_is_begun_after_a_halt(province: Province, what: str):
    """Its process was killed; while nobody saw to it the rollout was halted."""
    province.annex("berkane-1", 4)
    id_ = province.started()
    for _ in range(3):
        province.turn()
    province.take()
    (run_id,) = province.taken
    province.act(getattr(proposing, what), id_, reason="Wait")
    started: list[int] = []
    supervisor = Supervisor(
        province.home, province.engine, clock=province.clock,
        start=lambda home, id_, attempt: started.append(id_),  # type: ignore[arg-type, func-returns-value]
    )  # fmt: skip
    province.pass_time(600)
    supervisor.look()

    assert started == []
    with reading(province.engine) as db:
        run = runs.find(db, WHOLE, run_id)
    assert (run.state, run.outcome, run.problem) == ("ended", "unknown", "process_lost")


def test_a_conductor_that_lost_its_lease_writes_nothing(province: Province):
    province.annex("berkane-1", 4)
    id_ = province.started()
    province.turn()
    stale = held_by_another(province, id_)
    province.pass_time(LEASE.total_seconds() + 1)
    other = province.new_conductor()
    other.turn()
    assert list(other.held) == [id_]

    with pytest.raises(LeaseLost):
        stale()
    assert sum(row.attempts for row in province.targets(id_).values()) == len(province.waiting_runs())


def test_two_conductors_never_begin_a_device_twice(province: Province):
    """They take turns as the leases fall, in one process as in two: what counts is the database."""
    province.annex("berkane-1", 5)
    province.annex("berkane-2", 5)
    ids = [province.started(variables={"shift_version": f"2.{n}"}, name=f"Number {n}") for n in range(1)]
    conductors = [province.new_conductor(), province.new_conductor()]
    for n in range(60):
        province.pass_time(LEASE.total_seconds() + 1 if n % 3 == 0 else 20)
        for conductor in conductors if n % 2 else reversed(conductors):
            conductor.turn()
        province.play(version="2.0")
    found = province.targets(ids[0])
    assert {row.state for row in found.values()} == {"succeeded"}
    assert sorted(number for _, number in province.begun) == sorted(found)


def held_by_another(province: Province, id_: int) -> Callable[[], None]:
    """What the conductor would begin now, thought out now and carried out whenever that is called."""
    conductor, now = province.conductor, province.clock.at + timedelta(seconds=2)
    eyes = Eyes()
    with reading(province.engine) as db:
        eyes.look(db, now=now, watched_since=now - timedelta(days=1))
        detail = rollout_leases.of_conductor(db, conductor.held[id_])
        read = Reader().read(db, eyes, detail, now=now)
    held = conductor.held[id_]
    numbers = [target.number for target in read.targets if target.state == "waiting"][:1]

    def carry_out() -> None:
        with writing(province.engine) as db:
            Carrier(db, province.home, held, detail, read, now=province.clock.at).carry_out([Begin(tuple(numbers))])

    return carry_out


# -- devices that are away, and what they report


def test_a_device_that_is_away_is_run_when_it_says_hello(province: Province):
    province.annex("berkane-1", 1)
    away = province.annex("berkane-2", 1)
    id_ = province.started()
    province.go(away)
    for _ in range(20):
        province.turn(30)
        province.play()
    assert province.states(id_)[away[0]] == "deferred"

    province.come(away)
    province.turn(10)
    assert province.waiting_runs() == []  # it may be gone again in a moment
    found = province.roll(id_)

    assert (found.state, province.states(id_)[away[0]]) == ("done", "succeeded")


def test_an_exit_code_alone_is_no_success(province: Province):
    """The run ended well on each device, and each goes on to report the old version."""
    province.annex("berkane-1", 4)
    id_ = province.started()
    for _ in range(30):
        province.turn(30)
        province.play(version="1.0")

    assert province.detail(id_).wave == 1
    row = next(row for row in province.targets(id_).values() if row.attempts)
    assert (row.state, row.reason, row.after) == ("failed", "differs", {"agent_version": "1.0"})


def test_packages_are_looked_for_in_a_new_inventory(province: Province):
    numbers = province.annex("berkane-1", 2)
    province.playbook("tools", PACKAGES, options="{tools_present: {type: list, elements: str}}")
    for number in numbers:
        province.inventory(number, {"bash": "5.2"})
    id_ = province.started(playbook="tools", variables={"tools_present": ["htop"]})
    for _ in range(4):
        province.turn(10)
        province.play(version="1.0")
    canary = next(number for number, row in province.targets(id_).items() if row.attempts)
    assert province.states(id_)[canary] == "verifying"

    province.inventory(canary, {"bash": "5.2", "htop": "3.2"})
    province.turn(5)
    row = province.targets(id_)[canary]
    assert (row.state, row.after) == ("succeeded", {"package:htop": "3.2"})


PACKAGES = """
configures: {kind: packages, named_by: [tools_present]}
expects:
  - {packages: {variable: tools_present}}
takes_s: 60
"""


# -- windows and the budget


def test_nothing_is_begun_while_the_annex_is_open(province: Province):
    province.annex("berkane-1", 3)
    province.clock.at += timedelta(hours=13)  # nine in the morning
    province.listen()
    id_ = province.started()
    for _ in range(10):
        province.turn(60)
    assert province.waiting_runs() == []

    province.clock.at += timedelta(hours=9)
    province.hear([1, 2, 3])
    province.listen()
    assert province.roll(id_).state == "done"


def test_no_two_counters_of_an_annex_at_once(province: Province):
    """Two conductors with a rollout each: what one began counts for the other's budget."""
    province.playbook("other", NATURE.replace("shift", "other").replace("agent", "others", 1))
    numbers = province.annex("berkane-1", 2)
    first = province.started(selector=Selector(devices=(device_id(numbers[0]),)))
    second = province.started(
        playbook="other", variables={"other_version": "2.0"}, selector=Selector(devices=(device_id(numbers[1]),))
    )
    conductors = [province.new_conductor(), province.new_conductor()]
    at_once = 0
    for n in range(40):
        province.pass_time(LEASE.total_seconds() + 1 if n % 4 == 0 else 15)
        for conductor in conductors:
            conductor.turn()
        busy = [*province.states(first).values(), *province.states(second).values()]
        at_once = max(at_once, sum(state in {"running", "verifying"} for state in busy))
        province.play()
    assert [province.detail(id_).state for id_ in (first, second)] == ["done", "done"]
    assert at_once == 1


# -- what was approved


def test_a_library_that_changed_stops_it(province: Province):
    province.annex("berkane-1", 3)
    id_ = province.started()
    (province.library / "roles" / "shift" / "tasks" / "main.yml").write_text("- ansible.builtin.ping:\n")
    for _ in range(5):
        province.turn(10)

    found = province.detail(id_)
    assert (found.state, found.state_reason, province.waiting_runs()) == ("stopped", "bundle_changed", [])


def test_what_is_rendered_is_what_was_approved(province: Province):
    """Each run's inventory lies within the frozen list, and all of them together are that list."""
    province.annex("berkane-1", 5)
    province.annex("berkane-2", 7)
    id_ = province.started(policy=structs.replace(QUICK, growth=2.0, most_at_once=3))
    with reading(province.engine) as db:
        frozen = rollout_targets.frozen(db, id_)
    assert runs.targets_digest(frozen) == province.detail(id_).targets_digest
    rendered: list[str] = []
    for _ in range(200):
        province.turn(20)
        for run_id in province.waiting_runs():
            hosts = rendered_inventory(province, run_id)
            assert set(hosts) <= set(frozen)
            rendered += hosts
        province.play()
        if province.detail(id_).state == "done":
            break

    assert sorted(rendered) == frozen


def rendered_inventory(province: Province, run_id: int) -> list[str]:
    """As the run's process renders it, read back from the file."""
    ground = Ground(province.home, run_id)
    ground.prepare()
    task = approved.gather(province.home, province.engine, ground, now=province.clock.at)
    file = ground.attempt / "hosts.yml"
    text = written.inventory({host.device_id: dict(host.variables) for host in task.hosts}, task.groups)
    file.write_text(text)
    approved.prove(file, [host.device_id for host in task.hosts])
    return re.findall(r'^    "(d-[a-z2-7]{26})": !unsafe', text, re.MULTILINE)


def test_secrets_lie_with_each_run_and_go_with_the_rollout(province: Province):
    province.annex("berkane-1", 2)
    id_ = province.started(secrets={"shift_key": "a-long-secret"})
    kept = province.home.path / "rollouts" / str(id_) / "secrets.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    province.turn()
    province.turn()
    run_id = province.waiting_runs()[0]

    assert Ground(province.home, run_id).secrets() == {"shift_key": "a-long-secret"}
    with reading(province.engine) as db:
        run = runs.find(db, WHOLE, run_id)
    assert (run.secret_names, "a-long-secret" in str(run)) == (("shift_key",), False)
    province.play()
    assert province.roll(id_).state == "done"
    assert not kept.parent.exists()


def test_a_rollout_that_cannot_be_conducted_does_not_hold_up_others(
    province: Province, monkeypatch: pytest.MonkeyPatch
):
    province.annex("berkane-1", 2)
    numbers = province.annex("berkane-2", 2)
    bad = province.started(selector=Selector(annexes=("berkane-1",)))
    good = province.started(selector=Selector(annexes=("berkane-2",)), variables={"shift_version": "2.0"})
    steps = conduct.steps

    def failing(rollout: Rollout, *args: object, **facts: object) -> object:
        if rollout.id == bad:
            raise ValueError("nobody foresaw this")
        return steps(rollout, *args, **facts)  # type: ignore[arg-type]

    monkeypatch.setattr(conduct, "steps", failing)
    assert province.roll(good).state == "done"
    assert {province.states(good)[n] for n in numbers} == {"succeeded"}
    assert province.detail(bad).state == "running"


# -- health afterwards


def test_changed_devices_that_fall_silent_stop_it(province: Province):
    """Each run ended well and each device reported the new version; then the changed ones went, and no other did."""
    province.annex("berkane-1", 30)
    province.annex("berkane-2", 30)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=4, canary_soak_s=3600.0))
    for _ in range(60):
        province.turn(30)
        province.play()
        if province.detail(id_).phase == "soaking":
            break
    changed = [number for number, state in province.states(id_).items() if state == "succeeded"]
    assert len(changed) == 4

    province.go(changed)
    found = province.roll(id_, minutes=30)

    assert (found.state, found.state_reason, found.gate and found.gate.word) == ("stopped", "gate", "stop")
    assert sum(row.attempts for row in province.targets(id_).values()) == 4


def test_after_a_person_let_it_go_on_the_gate_still_watches_what_was_changed(province: Province):
    province.annex("berkane-1", 30)
    province.annex("berkane-2", 30)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=12, canary_soak_s=7200.0))
    province.roll(id_, minutes=20)
    changed = [number for number, state in province.states(id_).items() if state == "succeeded"]
    assert len(changed) == 12
    province.go(changed[:7])
    assert province.roll(id_, minutes=30).state == "stopped"

    province.act(proposing.resume, id_, reason="Their switch was pulled")
    for _ in range(10):
        province.turn(60)
    assert province.detail(id_).state == "running"  # these seven are known
    province.go(changed[7:])

    assert province.roll(id_, minutes=30).state == "stopped"


def test_a_line_cut_of_a_whole_annex_stops_nothing(province: Province):
    first = province.annex("berkane-1", 10)
    province.annex("berkane-2", 10)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=4, canary_soak_s=1800.0))
    for _ in range(60):
        province.turn(30)
        province.play()
        if province.detail(id_).phase == "soaking":
            break
    province.go(first)
    province.turn(600)
    assert province.detail(id_).state == "running"


def test_while_ingest_does_not_listen_nothing_is_concluded(province: Province):
    province.annex("berkane-1", 4)
    id_ = province.started()
    province.turn(10)
    province.turn(10)
    province.play(version="1.0")
    before = province.states(id_)
    province.clock.at += timedelta(hours=2)  # ingest fell, and nobody could be heard

    province.conductor.turn()
    province.conductor.turn()

    assert province.states(id_) == before
