"""What fits a playbook's variables, and what is refused by name."""

import json
from typing import Any

import pytest

from annexfleet_controller.errors import VariableWrong
from annexfleet_controller.rollouts.variables import checked, from_text, specified

OPTIONS = {
    "text": {"type": "str", "required": True},
    "count": {"type": "int"},
    "share": {"type": "float"},
    "on": {"type": "bool"},
    "kind": {"type": "str", "choices": ["a", "b"]},
    "names": {"type": "list", "elements": "str"},
    "pins": {"type": "list", "elements": "dict", "options": {"name": {"required": True}, "priority": {"type": "int"}}},
    "tree": {"type": "dict"},
    "word": {"type": "str", "no_log": True},
    "users": {"type": "list", "elements": "dict", "options": {"key": {"no_log": True}}},
}
VARIABLES = specified(OPTIONS)
DEEP = json.loads('{"a":' * 10 + "1" + "}" * 10)


def check(secrets: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return checked(VARIABLES, {"text": "x", **given}, secrets or {})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"count": "7"}, 7),
        ({"count": 7.0}, 7),
        ({"share": "0.5"}, 0.5),
        ({"on": "yes"}, True),
        ({"on": "0"}, False),
        ({"text": 5}, "5"),
        ({"names": ["a", 2]}, ["a", "2"]),
        ({"tree": {"a": [1, {"b": None}]}}, {"a": [1, {"b": None}]}),
        ({"pins": [{"name": "x", "priority": "3"}]}, [{"name": "x", "priority": 3}]),
        ({"kind": "b"}, "b"),
        ({"text": "{{ 1 + 1 }}"}, "{{ 1 + 1 }}"),
    ],
)
def test_what_fits_gets_its_type(given: dict[str, Any], expected: Any):
    (name,) = given

    assert check(**given)[name] == expected


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"other": 1}, "other", "unknown"),
        ({"count": "x"}, "count", "wrong_type"),
        ({"count": True}, "count", "wrong_type"),
        ({"count": 1.5}, "count", "wrong_type"),
        ({"count": 2**70}, "count", "wrong_form"),
        ({"count": "9" * 5000}, "count", "wrong_type"),
        ({"share": float("nan")}, "share", "wrong_form"),
        ({"on": "perhaps"}, "on", "wrong_type"),
        ({"names": "a"}, "names", "wrong_type"),
        ({"kind": "c"}, "kind", "not_a_choice"),
        ({"names": [["a"]]}, "names[0]", "wrong_type"),
        ({"pins": [{"priority": 1}]}, "pins[0].name", "missing"),
        ({"pins": [{"name": "x", "z": 1}]}, "pins[0].z", "unknown"),
        ({"text": "a\0b"}, "text", "wrong_form"),
        ({"text": "\ud800"}, "text", "wrong_form"),
        ({"text": None}, "text", "wrong_type"),
        ({"text": "x" * 60_000}, "text", "too_big"),
        ({"word": "abcdef"}, "word", "is_secret"),
        ({"tree": DEEP}, "tree.a.a.a.a.a.a.a.a.a", "too_big"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(given: dict[str, Any], field: str, reason: str):
    with pytest.raises(VariableWrong) as refused:
        check(**given)

    assert (refused.value.facts["field"], refused.value.facts["reason"]) == (field, reason)


def test_a_variable_that_is_required_is_demanded():
    with pytest.raises(VariableWrong) as refused:
        checked(VARIABLES, {}, {})
    assert refused.value.facts == {"field": "text", "reason": "missing"}


def test_secrets_are_given_apart_and_are_long_enough_to_be_masked():
    assert check({"word": "opensesame"})["word"] == "opensesame"
    assert {variable.name for variable in VARIABLES if variable.secret} == {"word", "users"}
    for secrets, reason in (({"word": "abc"}, "too_short"), ({"nothing": "opensesame"}, "unknown")):
        with pytest.raises(VariableWrong) as refused:
            check(secrets)
        assert refused.value.facts["reason"] == reason


def test_an_ordinary_variable_may_be_given_as_a_secret():
    assert checked(VARIABLES, {}, {"text": "opensesame"}) == {"text": "opensesame"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("names", "a, b,,c", ["a", "b", "c"]),
        ("names", '["a,b"]', ["a,b"]),
        ("tree", '{"a": 1}', {"a": 1}),
        ("text", "[1]", "[1]"),
        ("count", "7", "7"),
    ],
)
def test_typed_text_becomes_a_value(name: str, text: str, expected: Any):
    (variable,) = (variable for variable in VARIABLES if variable.name == name)

    assert from_text(variable, text) == expected


@pytest.mark.parametrize("options", [None, [], "text", {1: {}}])
def test_options_of_another_shape_are_no_variables(options: object):
    assert specified(options) == ()
