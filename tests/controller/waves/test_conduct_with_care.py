"""What makes a rollout slow down, and what a person's word changes."""

from datetime import datetime

from msgspec import structs
from tests.controller.waves.test_conduct import NOW, OPEN, ROLLING, ago, annex, device, done, healthy, seen, target

from annexfleet_controller.tending import putting_back
from annexfleet_controller.waves import beginning, conduct
from annexfleet_controller.waves.model import Begin, Health, Settle, Turn
from annexfleet_controller.waves.seen import Outcome


def test_what_a_person_accepted_is_not_held_against_it_again():
    bad = {"state": "failed", "reason": "play_failed", "begun_at": ago(hours=2), "ended_at": ago(hours=1.5)}
    targets = [*(target(n, **bad) for n in (1, 2)), target(3)]
    told = seen(*(device(n) for n in (1, 2, 3)))

    assert done(ROLLING, targets, told)[-1] == Turn(state="stopped", phase="rolling", wave=1, reason="gate")
    accepted = structs.replace(ROLLING, accepted_at=ago(hours=1))
    assert done(accepted, targets, told) == [Begin((3,))]
    # what still ran as they let it go on they did not know of
    late = [structs.replace(one, ended_at=ago(minutes=50)) if one.state == "failed" else one for one in targets]
    assert done(accepted, late, told)[-1] == Turn(state="stopped", phase="rolling", wave=1, reason="gate")


def test_the_health_of_what_a_person_accepted_counts_anew_from_then_on():
    well = {"state": "succeeded", "begun_at": ago(hours=5), "run_ended_at": ago(hours=4), "ended_at": ago(hours=4)}
    targets = [*(target(n, **well) for n in range(1, 5)), target(9)]
    told = seen(*(device(n) for n in (1, 2, 3, 4, 9)), health=healthy(0))

    def stopped(since: datetime, accepted_at: datetime | None) -> bool:
        ailing = [
            Health(number=n, annex_id="a", role="server", is_changed=True, since=since, is_online=False)
            for n in range(1, 5)
        ]
        others = [Health(number=n, annex_id="b", since=since, is_online=True) for n in range(100, 160)]
        rollout = structs.replace(ROLLING, accepted_at=accepted_at)
        steps = done(rollout, targets, structs.replace(told, health=(*ailing, *others)))
        return any(isinstance(step, Turn) and step.state == "stopped" for step in steps)

    assert stopped(ago(hours=4), None)
    assert not stopped(ago(hours=4), ago(hours=1))
    assert stopped(ago(hours=1), ago(hours=1))


def test_a_device_that_was_moved_to_another_annex_is_neither_begun_nor_given_up_while_that_may_be_taken_back():
    told = seen(
        device(1, annex_id="b"), device(2), windows={"a": OPEN, "b": OPEN}, annexes={"a": annex(), "b": annex("b")}
    )
    targets = [target(1), target(2)]

    for moved in ({}, {1: ago(minutes=9)}):
        lately = structs.replace(told, moved=moved)
        assert done(ROLLING, targets, lately) == [Begin((2,))]
        assert beginning.held(ROLLING, targets, lately, now=NOW) == {1: "moving"}
    assert conduct.MOVED_AFTER == putting_back.FOR
    for_good = structs.replace(told, moved={1: ago(minutes=10)})
    assert done(ROLLING, targets, for_good) == [Settle(1, "skipped", "moved"), Begin((2,))]
    away = target(1, state="deferred", reason="offline")
    assert done(ROLLING, [away], for_good)[0] == Settle(1, "skipped", "moved")


def test_one_that_fails_while_its_run_lasts_holds_up_others_and_counts_after_a_while():
    targets = [*(target(n, state="running", run_id=1, begun_at=ago(minutes=9)) for n in (1, 2)), target(3)]
    targets += [target(n, state="succeeded", begun_at=ago(hours=1)) for n in range(11, 21)]
    told = seen(*(device(n) for n in (1, 2, 3)))
    assert done(ROLLING, targets, told) == [Begin((3,))]

    ailing = structs.replace(told, ailing={1: ago(seconds=10), 2: ago(seconds=10)})
    assert done(ROLLING, targets, ailing) == []
    assert beginning.held(ROLLING, targets, ailing, now=NOW) == {3: "ailing"}
    ailing = structs.replace(told, ailing={1: ago(minutes=2), 2: ago(minutes=3)})
    assert done(ROLLING, targets, ailing) == [Turn(state="stopped", phase="rolling", wave=1, reason="gate")]
    # a person who let it go on knew of them, while they run and when they have ended
    known = [structs.replace(one, reason="accepted") if one.state == "running" else one for one in targets]
    assert done(ROLLING, known, ailing) == [Begin((3,))]
    ended = structs.replace(ailing, ailing={}, outcomes={n: Outcome(outcome="failed", ended_at=NOW) for n in (1, 2)})
    assert done(ROLLING, known, ended) == [*(Settle(n, "failed", "accepted") for n in (1, 2)), Begin((3,))]


def test_at_first_few_are_begun_and_then_as_many_as_ended_well():
    told = seen(*(device(n) for n in range(1, 21)))

    def begun(well: int, **more: object) -> int:
        of_wave = [target(n, **more) if n == 20 else target(n) for n in range(1, 21)]
        before = [target(100 + n, state="succeeded", begun_at=ago(hours=1)) for n in range(well)]
        before.append(target(99, state="succeeded", reason="late"))  # somebody else's doing
        return sum(len(step.devices) for step in done(ROLLING, of_wave + before, told) if isinstance(step, Begin))

    assert [begun(well) for well in (0, 1, 5, 19, 40)] == [2, 2, 5, 19, 20]
    verified = {"state": "verifying", "begun_at": ago(minutes=9)}
    assert begun(0, **verified, run_ended_at=ago(minutes=5)) == 1
    assert begun(5, **verified, run_ended_at=ago(minutes=20)) == 5  # cut off: it holds back nobody


def test_devices_of_an_annex_that_come_back_together_are_spread_over_a_minute():
    """Thirty seconds after their hello at the earliest; each always at the same moment, and hardly two at one."""
    back = ago(seconds=0)
    away = target(1, state="deferred", reason="offline")
    waits = [
        (beginning.ready_at(away, device(n, up_since=back)) - back - beginning.DEBOUNCE).total_seconds()
        for n in range(1, 101)
    ]

    assert waits == [
        (beginning.ready_at(away, device(n, up_since=back)) - back - beginning.DEBOUNCE).total_seconds()
        for n in range(1, 101)
    ]
    assert 0 <= min(waits) <= max(waits) < beginning.MOST_JITTER_S
    in_each_quarter = [sum(quarter * 15 <= wait < quarter * 15 + 15 for wait in waits) for quarter in range(4)]
    assert min(in_each_quarter) >= 10
    assert len({round(wait, 1) for wait in waits}) > 80
