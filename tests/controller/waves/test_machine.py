from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_controller.errors import WrongState
from annexfleet_controller.waves import machine
from annexfleet_controller.waves.model import OVER, ROLLOUT_STATES, SETTLED, TARGET_STATES


def test_what_is_over_stays_over():
    assert not [state for state, _ in machine.TRANSITIONS if state in OVER]


def test_every_state_can_be_reached_and_left():
    reached = {"draft", *machine.TRANSITIONS.values()}

    assert reached == set(ROLLOUT_STATES)
    assert {state for state, _ in machine.TRANSITIONS} == set(ROLLOUT_STATES) - OVER
    assert {after for _, after in machine.TARGET_TRANSITIONS} | {"waiting"} == set(TARGET_STATES)
    assert {before for before, _ in machine.TARGET_TRANSITIONS} >= set(TARGET_STATES) - SETTLED


def test_only_what_ended_badly_turns_into_a_success():
    left = {(before, after) for before, after in machine.TARGET_TRANSITIONS if before in SETTLED}

    assert left == {("failed", "succeeded"), ("timed_out", "succeeded"), ("unknown", "succeeded")}


def test_each_transition_has_a_name_of_its_own():
    assert [name for name, count in Counter(machine.POINTS).items() if count > 1] == []
    assert len(machine.POINTS) == len(machine.TRANSITIONS) + len(machine.PHASES) + len(machine.TARGET_TRANSITIONS)
    assert machine.point_of_target("waiting", "running") == "target.begin"
    assert machine.point_of_phase("rolling", "soaking") == "phase.soak"
    assert machine.point_of_act("running", "stop") == "rollout.running.stop"


@pytest.mark.parametrize("state", ROLLOUT_STATES)
@pytest.mark.parametrize("act", machine.ACTS)
def test_an_act_leads_where_the_table_says_or_nowhere(state: str, act: str):
    if (state, act) in machine.TRANSITIONS:
        assert machine.after(state, act) == machine.TRANSITIONS[state, act]  # type: ignore[arg-type, index]
        return

    with pytest.raises(WrongState) as raised:
        machine.after(state, act)  # type: ignore[arg-type]
    assert raised.value.facts == {"state": state, "act": act}


@given(st.lists(st.sampled_from(machine.ACTS), max_size=30))
def test_nothing_begins_without_a_second_look(acts: list[machine.Act]):
    """However acts follow each other, a rollout runs only once it was approved since it was last a draft."""
    state, approved = "draft", False
    for act in acts:
        if act not in machine.may(state) and act not in machine.BY_CONDUCTOR:
            continue
        try:
            state = machine.after(state, act)
        except WrongState:
            continue
        approved = state != "draft" and (approved or act == "approve")
        assert state != "running" or approved


def test_people_are_not_offered_what_the_conductor_does():
    assert machine.may("running") == ("pause", "abort")
    assert machine.may("stopped") == ("resume", "abort")
    assert machine.act_to("running", "done") == "finish"
    assert machine.act_to("running", "paused") is None
