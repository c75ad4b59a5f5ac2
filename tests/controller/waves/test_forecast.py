"""When a rollout will be over: durations, windows, soaks, and why nobody can tell."""

from datetime import timedelta

import pytest
from msgspec import structs
from tests.controller.calendars.weeks import local

from annexfleet_controller.calendars import ALWAYS_OPEN, DEFAULT
from annexfleet_controller.waves.forecast import expected_s, forecast
from annexfleet_controller.waves.model import Nature, Policy, Rollout, Target

NIGHT = local("2026-11-25 20:00")  # a Wednesday
POLICY = Policy(
    most_at_once=2, soak_s=1800.0, canary_soak_s=3600.0, window="closed", timeout_s=3600.0
)  # fmt: skip
NATURE = Nature(configures="agent", takes_s=600.0)
HOURS = {"a": DEFAULT, "b": DEFAULT, "c": DEFAULT, "round-the-clock": ALWAYS_OPEN}


def rollout(policy=POLICY, **of):
    of = {"state": "running", "phase": "rolling", "wave": 1, "nature": NATURE, **of}
    return Rollout(id=1, policy=policy, **of)


def target(number, wave=1, annex="a", state="waiting", **of):
    return Target(number=number, annex_id=annex, wave=wave, position=number, state=state, **of)


def told(targets, of=None, durations=(), now=NIGHT, **kind):
    return forecast(of or rollout(), targets, HOURS, durations, now, **kind)


def test_one_device_takes_what_the_playbook_says():
    found = told([target(1)])

    assert (found.ends_at, found.seconds_left, found.why) == (NIGHT + timedelta(seconds=600), 600.0, "assumed")


def test_those_of_one_annex_go_one_after_the_other_and_others_beside_them():
    assert told([target(1), target(2)]).seconds_left == 1200
    assert told([target(1), target(2, annex="b")]).seconds_left == 600
    assert told([target(1), target(2, annex="b"), target(3, annex="c")]).seconds_left == 1200  # two at once
    quiet = rollout(nature=structs.replace(NATURE, interrupts=False))
    assert told([target(1), target(2)], quiet).seconds_left == 600


def test_what_was_measured_counts_for_more_than_what_was_said():
    found = told([target(1)], durations=[100, 110, 120, 400])

    assert (found.seconds_left, found.why) == (400, "measured")
    assert expected_s(rollout(), [100, 110]) == 600
    assert expected_s(rollout(), [100, 110, 120]) == 120
    assert expected_s(rollout(), [9000.0] * 5) == 3600


def test_a_wave_soaks_before_the_next_and_the_last_does_not():
    found = told([target(1), target(2, wave=2), target(3, wave=3)])

    assert found.seconds_left == 600 + 3600 + 600 + 1800 + 600


def test_one_that_watches_on_is_over_after_that():
    of = rollout(structs.replace(POLICY, last_soak_s=7200.0))
    once = told([target(1), target(2, wave=2)], of).seconds_left
    over = structs.replace(of, phase="", wave=2)

    assert once == 600 + 3600 + 600 + 7200
    assert told([target(1, state="succeeded"), target(2, state="succeeded", wave=2)], over).seconds_left == 0


def test_a_soak_that_must_lie_in_opening_hours_waits_for_the_morning():
    """The canary ends at 20:10 and serves people from 8:30 to 12:30; the next wave begins as its annex closes."""
    careful = rollout(structs.replace(POLICY, canary_soak_open_s=4 * 3600.0))

    assert told([target(1), target(2, wave=2)], careful).ends_at == local("2026-11-26 16:40")


def test_a_soak_under_way_has_begun_already():
    soaking = rollout(phase="soaking", wave_since=NIGHT - timedelta(seconds=3000))

    assert told([target(1, state="succeeded"), target(2, wave=2)], soaking).seconds_left == 600 + 600


def test_what_does_not_fit_before_the_opening_waits_for_the_evening():
    now = local("2026-11-26 08:15")

    assert told([target(1), target(2)], now=now).ends_at == local("2026-11-26 16:40")
    assert told([target(1)], now=now).ends_at == local("2026-11-26 08:25")


def test_the_weekend_is_one_window():
    friday = local("2026-11-27 09:00")

    assert told([target(number) for number in range(1, 101)], now=friday).ends_at == local("2026-11-28 09:10")


def test_devices_that_run_end_before_others_begin():
    running = target(1, state="running", begun_at=NIGHT - timedelta(seconds=500))

    assert told([running]).seconds_left == 100
    assert told([running, target(2)]).seconds_left == 700
    late = structs.replace(running, begun_at=NIGHT - timedelta(hours=3))
    assert told([late]).seconds_left == 0


def test_who_is_away_holds_nobody_up_and_is_told():
    found = told([target(1, state="deferred"), target(2)])

    assert (found.seconds_left, found.why) == (600, "without_deferred")


def test_one_left_behind_in_an_earlier_wave_brings_no_soak_with_it():
    found = told([target(1, state="deferred"), target(2, wave=2)], rollout(wave=2))

    assert found.seconds_left == 600


def test_the_deadline_comes_first():
    deadline = NIGHT + timedelta(minutes=30)
    found = told([target(1), target(2, wave=2)], rollout(deadline_at=deadline))

    assert (found.ends_at, found.is_cut) == (deadline, True)


def test_an_annex_that_never_closes():
    found = told([target(1, annex="round-the-clock")])

    assert (found.ends_at, found.why) == (None, "no_window")
    always = rollout(structs.replace(POLICY, window="always"))
    assert told([target(1, annex="round-the-clock")], always).seconds_left == 600


@pytest.mark.parametrize("state", ["draft", "submitted", "approved", "paused", "stopped"])
def test_what_waits_for_people_has_no_end_unless_one_asks_what_if(state):
    waiting = rollout(state=state, wave=0, phase="")

    assert told([target(1)], waiting).why == "waits_for_people"
    assert told([target(1)], waiting).ends_at is None
    assert told([target(1)], waiting, as_if_started=True).seconds_left == 600


@pytest.mark.parametrize("state", ["done", "aborted", "superseded"])
def test_what_is_over_is_over(state):
    found = told([target(1, state="succeeded")], rollout(state=state))

    assert (found.why, found.seconds_left) == ("over", 0)


def test_compliant_ones_take_no_time():
    assert told([target(1, wave=0, state="compliant")]).seconds_left == 0


def test_a_holiday_is_a_window_by_day():
    """Thursday 5 November, the eve of the Green March: 40 hours of work go on until Saturday, not until Tuesday."""
    now = local("2026-11-05 16:30")

    assert told([target(number) for number in range(240)], now=now).ends_at == local("2026-11-07 08:30")
