from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.drawing import examples

from annexfleet_controller.calendars import DEFAULT
from annexfleet_controller.readiness.model import All, Leaf, Need
from annexfleet_controller.things import Thing
from annexfleet_controller.waves import beginning, conduct, machine
from annexfleet_controller.waves.applying import applied
from annexfleet_controller.waves.budget import AnnexNow
from annexfleet_controller.waves.model import (
    OVER,
    ROLLOUT_STATES,
    SETTLED,
    TARGET_STATES,
    Begin,
    Expectation,
    Health,
    Judge,
    Nature,
    Policy,
    Rollout,
    Settle,
    Target,
    Turn,
)
from annexfleet_controller.waves.seen import Device, Outcome, Seen
from annexfleet_controller.waves.windows import Window

NOW = datetime(2026, 10, 6, 20, 0, tzinfo=UTC)
NATURE = Nature(configures="agent", expects=(Expectation(fact="agent_version", equals="2"),), takes_s=300)
OPEN = Window(is_open=True, ends_at=NOW + timedelta(hours=8))
ROLLING = Rollout(
    id=7, state="running", phase="rolling", wave=1, wave_since=NOW - timedelta(hours=1), policy=Policy(), nature=NATURE,
    started_at=NOW - timedelta(hours=1), deadline_at=NOW + timedelta(days=3),
)  # fmt: skip


def ago(**of: float) -> datetime:
    return NOW - timedelta(**of)


def target(number: int, **more: object) -> Target:
    return Target(number=number, **({"annex_id": "a", "wave": 1, "position": number} | more))  # type: ignore[arg-type]


def device(number: int, **more: object) -> Device:
    given = {"annex_id": "a", "role": "server", "is_online": True, "up_since": ago(days=1), "heard_at": ago(seconds=20)}
    return Device(number=number, id=f"d-{number}", **({"facts": {"agent_version": "1"}} | given | more))  # type: ignore[arg-type]


def annex(annex_id: str = "a", **more: object) -> AnnexNow:
    return AnnexNow(annex_id=annex_id, **({"trees": {}, "is_open": False} | more))  # type: ignore[arg-type]


def seen(*devices: Device, **more: object) -> Seen:
    given = {"windows": {"a": OPEN}, "annexes": {"a": annex()}, "calendars": {"a": DEFAULT}}
    return Seen(devices={one.number: one for one in devices}, **(given | more))  # type: ignore[arg-type]


def done(of: Rollout, targets: list[Target], told: Seen, *, now: datetime = NOW) -> list[object]:
    return [step for step in conduct.steps(of, targets, told, now=now) if not isinstance(step, Judge)]


def test_devices_of_the_wave_are_begun_together():
    told = seen(device(1), device(2), device(3))

    assert done(ROLLING, [target(1), target(2), target(3, wave=2)], told) == [Begin((1, 2))]


@pytest.mark.parametrize(
    ("of", "of_device", "more", "why"),
    [
        ({"state": "paused"}, {}, {}, None),
        ({"state": "stopped"}, {}, {}, None),
        ({}, {}, {"windows": {"a": Window(is_open=False)}}, "window"),
        ({}, {}, {"windows": {"a": Window(is_open=True, ends_at=NOW + timedelta(seconds=299))}}, "window"),
        ({}, {}, {"windows": {}}, "window"),
        ({}, {}, {"busy": frozenset({1})}, "busy"),
        ({}, {}, {"annexes": {}}, "budget"),
        ({}, {}, {"annexes": {"a": annex(changing=frozenset({"d-1"}))}}, "busy"),
        ({}, {"role": "counter"}, {"annexes": {"a": annex(waiting={"residence": 2.0})}}, "people_waiting"),
    ],
)
def test_what_may_not_be_begun_is_not_begun(of: dict, of_device: dict, more: dict, why: str | None):
    rollout, targets, told = structs.replace(ROLLING, **of), [target(1)], seen(device(1, **of_device), **more)

    assert done(rollout, targets, told) == []
    assert beginning.held(rollout, targets, told, now=NOW).get(1) == why


def test_no_service_of_an_annex_is_given_up():
    counters = tuple(Leaf(Thing("device", f"d-{n}"), f"g{n}", "ok") for n in (1, 2))
    trees = {"residence": All((Need("counter", 1, counters, full=1),))}
    told = seen(device(1), device(2), annexes={"a": annex(trees=trees)})

    assert done(ROLLING, [target(1), target(2)], told) == [Begin((1,))]
    # what it holds already counts too, though the annex was read before it was begun
    assert done(ROLLING, [target(1, state="running", run_id=1), target(2)], told) == []


def test_no_more_are_changed_at_once_than_agreed_and_single_places_are_gathered():
    policy = Policy(most_at_once=8)
    rollout = structs.replace(ROLLING, policy=policy)
    told = seen(*(device(n) for n in range(1, 21)))

    def begun(running: int) -> int:
        targets = [target(n, state="running" if n <= running else "waiting") for n in range(1, 21)]
        targets += [target(n, state="succeeded", begun_at=ago(hours=1)) for n in range(21, 31)]
        return sum(len(step.devices) for step in done(rollout, targets, told) if isinstance(step, Begin))

    assert [begun(running) for running in (0, 4, 6, 7, 8)] == [8, 4, 2, 0, 0]


def test_who_cannot_be_reached_is_deferred_and_begun_some_time_after_its_return():
    assert done(ROLLING, [target(1)], seen(device(1, is_online=False, up_since=None))) == [
        Settle(1, "deferred", "offline")
    ]
    away = target(1, state="deferred", reason="offline")
    back = device(1, up_since=NOW)
    ready = beginning.ready_at(away, back)

    assert timedelta(seconds=30) <= ready - NOW <= timedelta(seconds=90)
    told = seen(back)
    assert done(ROLLING, [away], told, now=ready - timedelta(seconds=1)) == []
    assert done(ROLLING, [away], told, now=ready) == [Begin((1,))]


def test_those_that_come_back_together_share_a_run():
    away = [target(n, state="deferred") for n in range(1, 40)]
    told = seen(*(device(n, up_since=NOW) for n in range(1, 40)))
    moments: list[int] = []
    rollout, targets = structs.replace(ROLLING, policy=Policy(most_at_once=100)), away
    for second in range(0, 100, 2):
        now = NOW + timedelta(seconds=second)
        steps = conduct.steps(rollout, targets, told, now=now)
        moments += [second for step in steps if isinstance(step, Begin)]
        rollout, targets, _ = applied(rollout, targets, steps, told, now=now, run_id=1)

    assert {one.state for one in targets} == {"running"}
    assert len(moments) <= 7
    assert min(moments) >= 30


def test_one_that_stays_up_and_could_not_be_reached_is_tried_again_later_each_time():
    told = seen(device(1), outcomes={1: Outcome(outcome="unreachable", ended_at=NOW)})

    waits = []
    for attempts in (1, 2, 3, 9):
        (step,) = done(ROLLING, [target(1, state="running", attempts=attempts, run_id=1)], told)
        assert isinstance(step, Settle)
        assert step.not_before is not None
        waits.append((step.state, (step.not_before - NOW).total_seconds() / 60))
    assert waits == [("deferred", 5), ("deferred", 10), ("deferred", 20), ("deferred", 60)]


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        ("ok", "verifying", ""),
        ("changed", "verifying", ""),
        ("failed", "failed", "play_failed"),
        ("timed_out", "timed_out", "run_timed_out"),
        ("cancelled", "unknown", "cancelled"),
        ("unknown", "unknown", "lost"),
        ("skipped", "waiting", "not_run"),
        ("not_begun", "waiting", "not_run"),
        ("something new", "unknown", "lost"),
    ],
)
def test_how_a_run_ended(outcome: str, state: str, reason: str):
    told = seen(device(1, heard_at=ago(hours=1)), outcomes={1: Outcome(outcome=outcome, ended_at=NOW)})
    first = done(ROLLING, [target(1, state="running", attempts=1, begun_at=ago(minutes=5))], told)[0]

    assert isinstance(first, Settle)
    assert (first.state, first.reason) == (state, reason)


@pytest.mark.parametrize(
    ("of_device", "minutes", "expected"),
    [
        ({"heard_at": ago(seconds=1), "facts": {"agent_version": "2"}}, 1, [("succeeded", "")]),
        ({"heard_at": ago(minutes=2), "facts": {"agent_version": "2"}}, 1, []),  # heard before its run ended
        ({"heard_at": ago(seconds=1), "facts": {"agent_version": "1"}}, 1, []),  # may yet tell
        ({"heard_at": ago(seconds=1), "facts": {"agent_version": "1"}}, 16, [("failed", "differs")]),
        ({"heard_at": ago(seconds=1), "facts": {}}, 16, [("failed", "not_verified")]),
        ({"heard_at": None, "is_online": False}, 16, [("failed", "not_verified")]),
    ],
)
def test_success_is_what_the_device_says_afterwards(of_device: dict, minutes: float, expected: list):
    verifying = target(1, state="verifying", begun_at=ago(hours=1), run_ended_at=ago(minutes=minutes))
    neighbour = device(9)

    steps = [s for s in done(ROLLING, [verifying], seen(device(1, **of_device), neighbour)) if isinstance(s, Settle)]

    assert [(step.state, step.reason) for step in steps] == expected


def test_while_its_annex_is_cut_off_a_device_is_not_called_failed():
    verifying = target(1, state="verifying", begun_at=ago(hours=1), run_ended_at=ago(minutes=20))
    silent = {"is_online": False, "heard_at": ago(hours=1)}

    assert done(ROLLING, [verifying], seen(device(1, **silent), device(9, **silent))) == []
    late = structs.replace(ROLLING, deadline_at=NOW)
    assert done(late, [verifying], seen(device(1, **silent), device(9, **silent)))[0] == Settle(
        1, "failed", "not_verified"
    )


def test_one_that_reports_it_after_all_has_succeeded_late():
    bad = target(1, state="failed", reason="not_verified", begun_at=ago(hours=1), run_ended_at=ago(minutes=30))
    told = seen(device(1, facts={"agent_version": "2"}))

    assert done(ROLLING, [bad], told)[0] == Settle(1, "succeeded", "late")
    assert not [s for s in done(ROLLING, [structs.replace(bad, reason="play_failed")], told) if isinstance(s, Settle)]


def test_what_has_it_already_is_not_touched():
    assert done(ROLLING, [target(1), target(2)], seen(device(1, facts={"agent_version": "2"}), device(2))) == [
        Settle(1, "compliant"),
        Begin((2,)),
    ]


@pytest.mark.parametrize(
    ("of_target", "state"),
    [({}, "unknown"), ({"state": "deferred"}, "unknown"), ({"state": "deferred", "attempts": 2}, "unknown")],
)
def test_at_the_deadline_nothing_is_left_open(of_target: dict, state: str):
    late = structs.replace(ROLLING, deadline_at=NOW)

    steps = done(late, [target(1, **of_target)], seen(device(1, is_online=False)))

    assert steps[0] == Settle(1, state, "deadline")  # type: ignore[arg-type]
    assert steps[-1] == Turn(state="done", phase="rolling", wave=1, reason="deadline")


def test_superseded_devices_are_skipped_and_with_most_of_them_the_rollout_is():
    steps = done(ROLLING, [target(1), target(2)], seen(device(1), device(2), superseded=frozenset({1, 2})))

    assert steps == [
        Settle(1, "skipped", "superseded"),
        Settle(2, "skipped", "superseded"),
        Turn(state="superseded", phase="rolling", wave=1, reason="superseded"),
    ]


def test_after_an_abort_what_runs_is_followed_and_the_rest_is_skipped():
    aborted = structs.replace(ROLLING, state="aborted")
    told = seen(device(1), device(2), outcomes={1: Outcome(outcome="ok", ended_at=NOW)})

    assert done(aborted, [target(1, state="running", run_id=1), target(2)], told) == [
        Settle(1, "verifying"),
        Settle(2, "skipped", "aborted"),
    ]


def finished(count: int, **more: object) -> list[Target]:
    ended = {"state": "succeeded", "begun_at": ago(hours=9), "run_ended_at": ago(hours=9), "ended_at": ago(hours=9)}
    return [target(n, **(ended | more)) for n in range(1, count + 1)]


def healthy(count: int, **more: object) -> list[Health]:
    given = {"since": ago(hours=9), "is_online": True, "model": "M", "role": "server"}
    return [
        *(Health(number=n, annex_id=f"a{n}", is_changed=True, **(given | more)) for n in range(1, count + 1)),  # type: ignore[arg-type]
        *(Health(number=n, annex_id=f"a{n}", **given) for n in range(100, 160)),  # type: ignore[arg-type]
    ]


def test_a_wave_rolls_then_soaks_then_the_next_rolls():
    told = seen(*(device(n) for n in range(1, 8)), health=healthy(5))
    targets = [*finished(5), target(6, wave=2), target(7, wave=2)]

    assert done(ROLLING, targets, told) == [Turn(state="running", phase="soaking", wave=1)]
    soaking = structs.replace(ROLLING, phase="soaking", wave_since=ago(minutes=50))
    assert done(soaking, targets, told) == []
    soaked = structs.replace(soaking, wave_since=ago(minutes=61))
    assert done(soaked, targets, told) == [Turn(state="running", phase="rolling", wave=2)]
    in_daylight = structs.replace(soaked, policy=Policy(canary_soak_open_s=3600))
    assert done(in_daylight, targets, told) == []


def test_a_canary_of_which_most_are_away_says_nothing():
    targets = [*finished(1), target(2, state="deferred"), target(3, state="deferred"), target(9, wave=2)]
    told = seen(*(device(n, is_online=False) for n in (2, 3)), device(1), device(9))

    assert done(ROLLING, targets, told) == []


def test_when_the_gate_stops_it_nothing_is_begun_any_more_in_that_very_step():
    told = seen(*(device(n) for n in range(1, 10)), outcomes={2: Outcome(outcome="failed", ended_at=NOW)})
    targets = [
        target(1, state="failed", reason="play_failed", begun_at=ago(hours=1)),
        target(2, state="running", run_id=3, begun_at=ago(hours=1)),
        *(target(n) for n in range(3, 10)),
    ]

    steps = conduct.steps(ROLLING, targets, told, now=NOW)

    assert [type(step) for step in steps] == [Settle, Judge, Turn]
    assert steps[-1] == Turn(state="stopped", phase="rolling", wave=1, reason="gate")


def test_one_that_watches_on_is_not_done_before_that_has_passed():
    told = seen(*(device(n) for n in range(1, 8)), health=healthy(7))
    targets = [*finished(5), target(6, wave=2, state="compliant")]
    watching = structs.replace(ROLLING, wave=2, policy=Policy(soak_s=60, last_soak_s=7200))

    soaks = Turn(state="running", phase="soaking", wave=2)
    assert done(watching, targets, told) == [soaks], "though nothing of this wave was touched"
    soaking = structs.replace(watching, phase="soaking", wave_since=ago(minutes=110))
    assert done(soaking, targets, told) == []
    soaked = structs.replace(soaking, wave_since=ago(minutes=121))
    assert done(soaked, targets, told) == [Turn(state="done", phase="soaking", wave=2)]
    plain = structs.replace(soaking, policy=Policy(soak_s=60))
    assert done(plain, targets, told) == [Turn(state="done", phase="soaking", wave=2)]


def test_after_the_last_wave_those_that_were_away_are_still_waited_for():
    soaked = structs.replace(ROLLING, phase="soaking", wave_since=ago(hours=2))
    told = seen(*(device(n) for n in range(1, 6)), device(6, is_online=False), health=healthy(5))
    targets = [*finished(5), target(6, state="deferred")]

    assert done(soaked, targets, told) == [Turn(state="running", phase="", wave=1)]
    waiting = structs.replace(soaked, phase="")
    assert done(waiting, targets, told) == []
    back = seen(*(device(n) for n in range(1, 7)), health=healthy(5))
    assert done(waiting, targets, back) == [Begin((6,))]
    assert done(waiting, finished(6), back) == [Turn(state="done", phase="", wave=1)]


# -- whatever it is told

OUTCOMES = ("not_begun", "ok", "changed", "failed", "unreachable", "cancelled", "unknown", "skipped", "timed_out")
moments = st.none() | st.integers(-90_000, 90_000).map(lambda s: NOW + timedelta(seconds=s))
numbers = st.integers(1, 8)
facts = st.sampled_from([{}, {"agent_version": "1"}, {"agent_version": "2"}])
a_target = st.builds(
    Target, number=numbers, annex_id=st.sampled_from("ab"), wave=st.integers(0, 3), position=st.integers(0, 5),
    state=st.sampled_from(TARGET_STATES), attempts=st.integers(0, 4), run_id=st.none() | numbers, not_before=moments,
    begun_at=moments, run_ended_at=moments, ended_at=moments, reason=st.sampled_from(["", *conduct.REASONS]),
)  # fmt: skip
targets_of = st.lists(a_target, max_size=8, unique_by=lambda one: one.number)
a_rollout = st.builds(
    Rollout, id=st.just(1), state=st.sampled_from(ROLLOUT_STATES), phase=st.sampled_from(["", "rolling", "soaking"]),
    wave=st.integers(-1, 4), wave_since=moments, accepted_at=moments, deadline_at=moments, started_at=moments,
    nature=st.sampled_from([NATURE, Nature(configures="x"), structs.replace(NATURE, interrupts=False)]),
    policy=st.builds(
        Policy, most_at_once=st.integers(1, 9), canary_soak_open_s=st.sampled_from([0.0, 7200.0]),
        most_bad_count=st.integers(1, 9), longest_wait_s=st.sampled_from([60.0, 3600.0]),
    ),
)  # fmt: skip
a_device = st.builds(
    Device, number=numbers, id=numbers.map(str), annex_id=st.sampled_from("abc"), facts=facts, heard_at=moments,
    role=st.sampled_from(["counter", "server"]), is_online=st.booleans(), up_since=moments,
)  # fmt: skip
a_health = st.builds(
    Health, number=st.integers(1, 30), annex_id=st.sampled_from("abc"), model=st.sampled_from(["", "M", "N"]),
    role=st.sampled_from(["counter", "server"]), is_changed=st.booleans(), since=moments.map(lambda at: at or NOW),
    was_well=st.booleans(), is_online=st.sampled_from([None, True, False]), restarts=st.integers(0, 5),
    new_alerts=st.dictionaries(st.sampled_from("rs"), st.just("warning")), over=st.sampled_from([(), ("r",)]),
    readings=st.dictionaries(st.just("memory_used_ratio"), st.tuples(st.floats(0, 1), st.floats(0, 1))),
)  # fmt: skip
an_annex = st.builds(
    AnnexNow, annex_id=st.sampled_from("abc"), trees=st.just({}), is_open=st.booleans(),
    changing=st.frozensets(numbers.map(str)), waiting=st.sampled_from([{}, {"s": 0.0}, {"s": 3.0}, {"s": None}]),
)  # fmt: skip
a_seen = st.builds(
    Seen, devices=st.lists(a_device).map(lambda of: {one.number: one for one in of}), knows_devices=st.booleans(),
    outcomes=st.dictionaries(
        numbers,
        st.builds(
            Outcome, ended_at=moments.map(lambda at: at or NOW),
            outcome=st.sampled_from([*OUTCOMES, "?"]),
        ),
    ),
    windows=st.dictionaries(
        st.sampled_from("abc"), st.builds(Window, is_open=st.booleans(), ends_at=moments, next_at=moments)
    ),
    annexes=st.lists(an_annex).map(lambda of: {one.annex_id: one for one in of}),
    calendars=st.just({"a": DEFAULT}), health=st.lists(a_health, max_size=20), busy=st.frozensets(numbers),
    superseded=st.frozensets(numbers), takes_s=st.none() | st.floats(1, 9000),
)  # fmt: skip


@settings(max_examples=examples(150), deadline=None)
@given(a_rollout, targets_of, a_seen)
def test_whatever_it_is_told_its_steps_are_allowed_and_come_to_rest(of: Rollout, targets: list[Target], told: Seen):
    was = of
    for _ in range(12):
        steps = conduct.steps(of, targets, told, now=NOW)
        assert steps == conduct.steps(of, targets, told, now=NOW)
        if not steps:
            break
        _check(of, targets, told, steps)
        of, targets, verdict = applied(of, targets, steps, told, now=NOW, run_id=50)
        begun = {number for step in steps if isinstance(step, Begin) for number in step.devices}
        told = structs.replace(
            told, verdict=verdict, outcomes={n: o for n, o in told.outcomes.items() if n not in begun}
        )
    else:
        raise AssertionError("it does not come to rest")
    assert was.state not in OVER or of.state == was.state


def _check(of: Rollout, targets: list[Target], told: Seen, steps: tuple[object, ...]) -> None:
    states = {one.number: one for one in targets}
    settled = [step.device for step in steps if isinstance(step, Settle)]
    assert len(settled) == len(set(settled))
    for step in steps:
        if isinstance(step, Settle):
            assert machine.may_settle(states[step.device].state, step.state)
            assert step.reason in {"", *conduct.REASONS}
        if isinstance(step, Turn):
            assert step.reason in {"", *conduct.TURN_REASONS}
    begun = [number for step in steps if isinstance(step, Begin) for number in step.devices]
    assert len(begun) == len(set(begun))
    if not begun:
        return
    assert of.state == "running"
    assert not any(isinstance(step, Turn) for step in steps)
    assert of.deadline_at is None or of.deadline_at > NOW
    assert len(begun) + sum(one.state == "running" and one.number not in settled for one in targets) <= (
        of.policy.most_at_once
    )
    for number in begun:
        one, its = states[number], told.devices[number]
        assert one.state in {"waiting", "deferred"} or number in settled
        assert 1 <= one.wave <= of.wave
        assert its.is_online
        assert told.windows[its.annex_id].is_open
        assert number not in told.busy | told.superseded
        assert its.id not in told.annexes[its.annex_id].changing


@settings(max_examples=examples(60), deadline=None)
@given(a_rollout, targets_of, a_seen)
def test_once_over_its_devices_only_come_to_an_end(of: Rollout, targets: list[Target], told: Seen):
    over = structs.replace(of, state="aborted")

    steps = conduct.steps(over, targets, told, now=NOW)

    assert all(isinstance(step, Settle) for step in steps)
    assert all(step.state in SETTLED | {"verifying", "deferred"} for step in steps if isinstance(step, Settle))


def test_a_good_rollout_of_which_many_were_away_until_the_deadline_is_done_and_not_stopped():
    """They say nothing about the change, also where a run tried them and did not come through."""
    ran = {"state": "succeeded", "begun_at": NOW - timedelta(hours=2), "run_ended_at": NOW - timedelta(hours=1)}
    tried = {"state": "deferred", "attempts": 1, "begun_at": NOW - timedelta(hours=2)}
    targets = [target(1, **ran), *(target(n, **tried) for n in (2, 3, 4)), target(5, state="deferred")]
    late = structs.replace(ROLLING, deadline_at=NOW, phase="", wave_since=NOW - timedelta(hours=1))

    steps = done(late, targets, seen(*(device(n, is_online=n == 1) for n in range(1, 6))))

    assert [step for step in steps if isinstance(step, Settle)] == [
        Settle(n, "unknown", "deadline") for n in (2, 3, 4, 5)
    ]
    assert steps[-1] == Turn(state="done", phase="", wave=1, reason="deadline")
    assert not any(isinstance(step, Judge) and step.verdict.word == "stop" for step in steps)
