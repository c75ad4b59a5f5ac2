"""When a rollout will be over: durations, windows, soaks, and why nobody can tell."""

from datetime import timedelta

import pytest
from msgspec import structs
from tests.controller.calendars.weeks import local

from annexfleet_controller.calendars import ALWAYS_OPEN, DEFAULT
from annexfleet_controller.waves import soaking
from annexfleet_controller.waves.forecast import expected_s, forecast
from annexfleet_controller.waves.model import Nature, Policy, Rollout, Target

NIGHT = local("2026-11-25 20:00")  # a Wednesday
POLICY = Policy(
    most_at_once=2, soak_s=1800.0, canary_soak_s=3600.0, window="closed", timeout_s=3600.0, verify_within_s=0.0
)  # fmt: skip
"""Of which each report comes at once, so that what is tested stands alone."""
NATURE = Nature(configures="agent", takes_s=600.0)
HOURS = {"a": DEFAULT, "b": DEFAULT, "c": DEFAULT, "round-the-clock": ALWAYS_OPEN}


def rollout(policy=POLICY, **of):
    of = {"state": "running", "phase": "rolling", "wave": 1, "nature": NATURE, **of}
    return Rollout(id=1, policy=policy, **of)


def target(number, wave=1, annex="a", state="waiting", **of):
    return Target(number=number, annex_id=annex, wave=wave, position=number, state=state, **of)


def told(targets, of=None, durations=(), now=NIGHT, **kind):
    return forecast(of or rollout(), targets, HOURS, durations, now, **kind)


def rolled(targets, of=None, durations=(), now=NIGHT, **kind):
    """Seconds until the last wave was changed, before it is watched."""
    return (told(targets, of, durations, now, **kind).waves[-1].rolled_at - now).total_seconds()


def at(text):
    return local(f"2026-11-{text}")


def test_one_device_takes_what_the_playbook_says():
    found = told([target(1)])

    (wave,) = found.waves
    assert (wave.begins_at, wave.rolled_at, wave.soaked_at) == (NIGHT, at("25 20:10"), at("25 21:10"))
    assert wave.spans == ((NIGHT, at("25 20:10")),)
    assert (found.ends_at, found.seconds_left, found.why) == (at("25 21:10"), 4200.0, "assumed")


def test_a_device_is_waited_for_until_it_has_reported():
    """Up to a beat, and never longer than until it is given up."""
    verified = rollout(structs.replace(POLICY, verify_within_s=900.0))
    assert rolled([target(1)], verified) == 600 + 300
    assert rolled([target(1), target(2)], verified) == 2 * (600 + 300)
    assert rolled([target(1)], rollout(structs.replace(POLICY, verify_within_s=60.0))) == 660
    waits = target(1, state="verifying", run_ended_at=NIGHT - timedelta(seconds=100))
    assert rolled([waits], verified) == 200
    # It need not have reported before the annex opens.
    assert told([target(1)], verified, now=at("26 08:20")).waves[0].rolled_at == at("26 08:35")


def test_two_are_begun_first_and_then_as_many_as_have_ended_well():
    """Of nine in nine annexes: 2, then 2, then 4, then the last; with ten that ended well before, all at once."""
    many = rollout(structs.replace(POLICY, most_at_once=20))
    nine = [target(number, annex=f"x{number}") for number in range(9)]
    before = [
        target(number, annex="y", state="succeeded", begun_at=NIGHT, wave=1) for number in range(20, 30)
    ]  # fmt: skip

    assert rolled(nine, many) == 4 * 600
    assert rolled([*nine, *before], many) == 600
    assert rolled(nine, rollout(structs.replace(POLICY, most_at_once=1))) == 9 * 600


def test_what_ended_well_in_a_wave_counts_in_the_next():
    many = rollout(structs.replace(POLICY, most_at_once=20))
    canary = [target(number, annex=f"x{number}") for number in range(4)]
    others = [target(number, annex=f"x{number}", wave=2) for number in range(10, 14)]

    first, second = told([*canary, *others], many).waves
    assert first.rolled_at == NIGHT + timedelta(seconds=1200)
    assert second.rolled_at - second.begins_at == timedelta(seconds=600)


def test_those_of_one_annex_go_one_after_the_other_and_others_beside_them():
    assert rolled([target(1), target(2)]) == 1200
    assert rolled([target(1), target(2, annex="b")]) == 600
    assert rolled([target(1), target(2, annex="b"), target(3, annex="c")]) == 1200  # two at once
    quiet = rollout(nature=structs.replace(NATURE, interrupts=False))
    assert rolled([target(1), target(2)], quiet) == 600


def test_what_was_measured_counts_for_more_than_what_was_said():
    found = told([target(1)], durations=[100, 110, 120, 400])

    assert (found.seconds_left, found.why) == (400 + 3600, "measured")
    assert expected_s(rollout(), [100, 110]) == 600
    assert expected_s(rollout(), [100, 110, 120]) == 120
    assert expected_s(rollout(), [9000.0] * 5) == 3600


def test_each_wave_soaks_the_last_one_too():
    found = told([target(1), target(2, wave=2), target(3, wave=3)])

    assert found.seconds_left == 600 + 3600 + 600 + 1800 + 600 + 1800
    assert [wave.number for wave in found.waves] == [1, 2, 3]
    assert [one.begins_at for one in found.waves[1:]] == [one.soaked_at for one in found.waves[:-1]]
    assert found.ends_at == found.waves[-1].soaked_at


def test_one_that_watches_on_is_over_after_that():
    of = rollout(structs.replace(POLICY, last_soak_s=7200.0))
    once = told([target(1), target(2, wave=2)], of).seconds_left
    over = structs.replace(of, phase="", wave=2)

    assert once == 600 + 3600 + 600 + 7200
    assert told([target(1, state="succeeded"), target(2, state="succeeded", wave=2)], over).seconds_left == 0


def test_a_wave_in_which_nothing_was_changed_is_not_watched():
    found = told([target(1, state="compliant"), target(2, wave=2, state="deferred")])

    assert found.seconds_left == 0


def test_a_soak_that_must_lie_in_opening_hours_waits_for_the_morning():
    """The canary ends at 20:10 and serves people from 8:30 to 12:30; the next wave begins as its annex closes."""
    careful = rollout(structs.replace(POLICY, canary_soak_open_s=4 * 3600.0))

    first, second = told([target(1), target(2, wave=2)], careful).waves
    assert first.soaked_at == at("26 12:30")
    assert (second.begins_at, second.rolled_at) == (at("26 16:30"), at("26 16:40"))


def test_the_forecast_waits_for_opening_hours_as_the_gate_does():
    """Half of the annexes have to have been open: one that never closes does not end the soak by itself."""
    careful = rollout(structs.replace(POLICY, canary_soak_open_s=4 * 3600.0, window="always"))
    hours = {"always": ALWAYS_OPEN, "a": DEFAULT, "b": DEFAULT}
    changed = [target(number, annex=annex, state="succeeded") for number, annex in enumerate(hours)]
    soaking_now = structs.replace(careful, phase="soaking", wave_since=NIGHT)

    found = forecast(soaking_now, [*changed, target(9, wave=2)], hours, (), NIGHT)

    assert found.waves[0].soaked_at == at("26 12:30")
    assert found.waves[0].soaked_at == soaking.soak(soaking_now, [*changed, target(9, wave=2)], hours).due_at


def test_a_soak_under_way_has_begun_already():
    of = rollout(phase="soaking", wave_since=NIGHT - timedelta(seconds=3000))
    begun = NIGHT - timedelta(seconds=4000)

    now, then = told([target(1, state="succeeded", begun_at=begun), target(2, wave=2)], of).waves
    assert (now.begins_at, now.rolled_at, now.spans) == (begun, of.wave_since, ())
    assert now.soaked_at == then.begins_at == NIGHT + timedelta(seconds=600)


def test_what_does_not_fit_before_the_opening_waits_for_the_evening():
    now = local("2026-11-26 08:15")

    (wave,) = told([target(1), target(2)], now=now).waves
    assert wave.spans == ((now, at("26 08:25")), (at("26 16:30"), at("26 16:40")))
    assert rolled([target(1)], now=now) == 600


def test_the_weekend_is_one_window():
    friday = local("2026-11-27 09:00")

    (wave,) = told([target(number) for number in range(1, 101)], now=friday).waves
    assert wave.rolled_at == at("28 09:10")


def test_devices_that_run_end_before_others_begin():
    running = target(1, state="running", begun_at=NIGHT - timedelta(seconds=500))

    assert rolled([running]) == 100
    assert rolled([running, target(2)]) == 700
    late = structs.replace(running, begun_at=NIGHT - timedelta(hours=3))
    assert rolled([late]) == 0


def test_who_is_away_holds_nobody_up_and_is_told():
    found = told([target(1, state="deferred"), target(2)])

    assert (found.waves[0].rolled_at, found.why) == (at("25 20:10"), "without_deferred")


def test_one_left_behind_in_an_earlier_wave_brings_no_soak_with_it():
    found = told([target(1, state="deferred"), target(2, wave=2)], rollout(wave=2))

    assert [wave.number for wave in found.waves] == [2]
    assert found.seconds_left == 600 + 1800


def test_the_deadline_comes_first():
    deadline = NIGHT + timedelta(minutes=30)
    found = told([target(1), target(2, wave=2)], rollout(deadline_at=deadline))

    assert (found.ends_at, found.is_cut) == (deadline, True)
    assert found.late_at == NIGHT + timedelta(seconds=600 + 3600 + 600 + 1800)
    assert [wave.is_after_deadline for wave in found.waves] == [False, True]


def test_of_a_draft_the_deadline_counts_from_now():
    draft = rollout(state="draft", wave=0, phase="")
    two = [target(1), target(2, wave=2)]

    short = told(two, draft, as_if_started=True, deadline_s=3600.0)
    assert (short.ends_at, short.is_cut, short.seconds_left) == (NIGHT + timedelta(hours=1), True, 3600)
    assert short.late_at == NIGHT + timedelta(seconds=6600)
    long = told(two, draft, as_if_started=True, deadline_s=86400.0)
    assert (long.seconds_left, long.is_cut, long.late_at) == (6600, False, None)
    begun = rollout(deadline_at=NIGHT + timedelta(days=2))
    assert not told(two, begun, deadline_s=60.0).is_cut  # it was started: its moment counts


def test_an_annex_that_never_closes():
    found = told([target(1, annex="round-the-clock")])

    assert (found.ends_at, found.why) == (None, "no_window")
    always = rollout(structs.replace(POLICY, window="always"))
    assert rolled([target(1, annex="round-the-clock")], always) == 600


@pytest.mark.parametrize("state", ["draft", "submitted", "approved", "paused", "stopped"])
def test_what_waits_for_people_has_no_end_unless_one_asks_what_if(state):
    waiting = rollout(state=state, wave=0, phase="")

    assert told([target(1)], waiting).why == "waits_for_people"
    assert told([target(1)], waiting).ends_at is None
    assert told([target(1)], waiting, as_if_started=True).seconds_left == 600 + 3600


@pytest.mark.parametrize("state", ["done", "aborted", "superseded"])
def test_what_is_over_is_over(state):
    found = told([target(1, state="succeeded")], rollout(state=state))

    assert (found.why, found.seconds_left) == ("over", 0)


def test_compliant_ones_take_no_time():
    assert told([target(1, wave=0, state="compliant")]).seconds_left == 0


def test_a_holiday_is_a_window_by_day():
    """Thursday 5 November, the eve of the Green March: 40 hours of work go on until Saturday, not until Tuesday."""
    now = local("2026-11-05 16:30")

    (wave,) = told([target(number) for number in range(240)], now=now).waves
    assert wave.rolled_at == at("07 08:30")
    assert wave.spans == ((now, wave.rolled_at),)
