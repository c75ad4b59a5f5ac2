"""The catalogue of commands: nothing passes that a device should not be told."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.protocol.commands import COMMANDS, ParameterWrong, checked

values = st.one_of(st.text(max_size=130), st.integers(), st.floats(), st.booleans(), st.none())


@pytest.mark.parametrize(
    ("command", "parameters", "expected"),
    [
        ("restart_service", {"unit": "cups.service"}, {"unit": "cups.service"}),
        ("restart_service", {"unit": "getty@tty1.service"}, {"unit": "getty@tty1.service"}),
        ("clear_print_queue", {"printer": "HP_LaserJet-2"}, {"printer": "HP_LaserJet-2"}),
        ("clear_print_queue", {"printer": "طابعة"}, {"printer": "طابعة"}),
        ("reboot", {}, {"delay_s": 60}),
        ("reboot", {"delay_s": 0}, {"delay_s": 0}),
        ("reboot", {"delay_s": 3600}, {"delay_s": 3600}),
        ("diagnostics", {}, {}),
        ("watch", {"seconds": 12.5}, {"seconds": 12.5}),
    ],
)
def test_what_may_be_asked_for(command: str, parameters: dict, expected: dict):
    assert checked(command, parameters) == expected


@pytest.mark.parametrize(
    ("command", "parameters", "name", "reason"),
    [
        ("rm", {}, "command", "unknown_command"),
        ("", {}, "command", "unknown_command"),
        ("reboot", {"force": True}, "force", "unknown"),
        ("restart_service", {}, "unit", "missing"),
        ("restart_service", {"unit": None}, "unit", "missing"),
        ("restart_service", {"unit": 7}, "unit", "wrong_type"),
        ("restart_service", {"unit": ""}, "unit", "wrong_form"),
        ("restart_service", {"unit": "-H evil"}, "unit", "wrong_form"),
        ("restart_service", {"unit": "--force"}, "unit", "wrong_form"),
        ("restart_service", {"unit": "cups.service\n"}, "unit", "wrong_form"),
        ("restart_service", {"unit": "a;b"}, "unit", "wrong_form"),
        ("restart_service", {"unit": "../x"}, "unit", "wrong_form"),
        ("restart_service", {"unit": "a" * 101}, "unit", "wrong_form"),
        ("clear_print_queue", {"printer": "a b"}, "printer", "wrong_form"),
        ("clear_print_queue", {"printer": "a/b"}, "printer", "wrong_form"),
        ("clear_print_queue", {"printer": "-a"}, "printer", "wrong_form"),
        ("clear_print_queue", {"printer": "a\u202eb"}, "printer", "wrong_form"),
        ("clear_print_queue", {"printer": "a\x00"}, "printer", "wrong_form"),
        ("clear_print_queue", {"printer": "a" * 128}, "printer", "wrong_form"),
        ("reboot", {"delay_s": -1}, "delay_s", "out_of_range"),
        ("reboot", {"delay_s": 3600.5}, "delay_s", "out_of_range"),
        ("reboot", {"delay_s": math.nan}, "delay_s", "out_of_range"),
        ("reboot", {"delay_s": math.inf}, "delay_s", "out_of_range"),
        ("reboot", {"delay_s": True}, "delay_s", "wrong_type"),
        ("reboot", {"delay_s": "60"}, "delay_s", "wrong_type"),
    ],
)
def test_what_may_not_be_asked_for(command: str, parameters: dict, name: str, reason: str):
    with pytest.raises(ParameterWrong) as wrong:
        checked(command, parameters)

    assert (wrong.value.name, wrong.value.reason) == (name, reason)


@given(
    st.sampled_from([*COMMANDS, "other"]),
    st.dictionaries(st.sampled_from(["unit", "printer", "delay_s", "seconds", "x"]), values, max_size=3),
)
def test_whatever_is_asked_is_refused_or_taken_and_taken_again(command: str, parameters: dict):
    try:
        found = checked(command, parameters)
    except ParameterWrong:
        return

    assert checked(command, found) == found
    for value in found.values():
        assert not isinstance(value, str) or (value.isprintable() and value[:1] != "-" and not set(value) & set(" /"))
