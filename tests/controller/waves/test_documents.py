"""Selectors and policies as JSON: what is taken, what is refused and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from annexfleet_controller.errors import Invalid
from annexfleet_controller.waves import documents
from annexfleet_controller.waves.model import Policy, Selector


def refused(parse, document):
    with pytest.raises(Invalid) as caught:
        parse(document)
    assert caught.value.facts["reason"] in documents.REASONS
    return caught.value.facts["field"], caught.value.facts["reason"]


def test_a_selector_names_what_it_narrows():
    told = {"annexes": ["berkane-1"], "roles": ["counter", "kiosk", "counter"], "tags": None, "readiness": ["ready"]}

    selector = documents.parse_selector(told)

    assert selector == Selector(annexes=("berkane-1",), roles=("counter", "kiosk"), readiness=("ready",))
    assert documents.written_selector(selector) == {
        "annexes": ["berkane-1"], "roles": ["counter", "kiosk"], "readiness": ["ready"],
    }  # fmt: skip


def test_nothing_narrows_nothing():
    assert documents.parse_selector({}) == Selector()
    assert documents.written_selector(Selector()) == {}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([], ("document", "not_an_object")),
        (None, ("document", "not_an_object")),
        ({"annex": ["a"]}, ("annex", "unknown_field")),
        ({"roles": "counter"}, ("roles", "not_a_list")),
        ({"roles": ["counter", "printer"]}, ("roles.1", "unknown_role")),
        ({"readiness": ["fine"]}, ("readiness.0", "unknown_readiness")),
        ({"tags": ["a", 3]}, ("tags.1", "not_text")),
        ({"tags": [""]}, ("tags.0", "not_text")),
        ({"tags": ["a\nb"]}, ("tags.0", "not_text")),
        ({"models": ["x" * 161]}, ("models.0", "too_long")),
        ({"devices": ["d"] * 5001}, ("devices", "too_many")),
    ],
)
def test_a_selector_that_cannot_be(document, expected):
    assert refused(documents.parse_selector, document) == expected


def test_a_policy_is_its_preset_with_what_was_said():
    assert documents.parse_policy({}) == documents.PRESETS["careful"]
    assert documents.parse_policy(
        {"preset": "evening", "most_at_once": 5, "growth": 2, "soak_s": None}
    ) == structs.replace(documents.PRESETS["evening"], most_at_once=5, growth=2.0)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("careful", ("document", "not_an_object")),
        ({"preset": "reckless"}, ("preset", "unknown_preset")),
        ({"preset": ["careful"]}, ("preset", "unknown_preset")),
        ({"speed": 3}, ("speed", "unknown_field")),
        ({"window": "sometimes"}, ("window", "unknown_window")),
        ({"window": ["closed"]}, ("window", "unknown_window")),
        ({"growth": 0.5}, ("growth", "not_within_bounds")),
        ({"growth": "3"}, ("growth", "not_a_number")),
        ({"growth": True}, ("growth", "not_a_number")),
        ({"growth": float("nan")}, ("growth", "not_within_bounds")),
        ({"soak_s": float("inf")}, ("soak_s", "not_within_bounds")),
        ({"soak_s": 10**400}, ("soak_s", "not_within_bounds")),
        ({"most_at_once": 0}, ("most_at_once", "not_within_bounds")),
        ({"most_at_once": 2.5}, ("most_at_once", "not_whole")),
        ({"most_bad_ratio": 1.01}, ("most_bad_ratio", "not_within_bounds")),
        ({"canary_count": 9, "most_in_wave": 5}, ("canary_count", "contradicts")),
    ],
)
def test_a_policy_that_cannot_be(document, expected):
    assert refused(documents.parse_policy, document) == expected


@pytest.mark.parametrize("name", documents.PRESETS)
def test_a_preset_is_a_policy_as_anybody_could_write_it(name):
    preset = documents.PRESETS[name]

    assert documents.parse_policy(documents.written_policy(preset)) == preset
    assert documents.preset_of(preset) == name
    assert documents.preset_of(structs.replace(preset, most_at_once=7)) == ""


def test_only_what_is_urgent_needs_a_second_person_for_its_window():
    assert {name: preset.window for name, preset in documents.PRESETS.items()} == {
        "careful": "closed", "evening": "closed", "urgent": "always",
    }  # fmt: skip
    assert documents.PRESETS["careful"].canary_soak_open_s > 0


def test_every_number_of_a_policy_has_bounds():
    numbers = {
        name for name, value in structs.asdict(Policy()).items() if isinstance(value, int | float)
    }  # fmt: skip
    assert numbers == set(documents._BOUNDS)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Selector.__struct_fields__, "x"]), json, max_size=3) | json)
def test_whatever_is_sent_as_a_selector_is_taken_or_refused(document):
    try:
        selector = documents.parse_selector(document)
    except Invalid:
        refused(documents.parse_selector, document)
    else:
        assert documents.parse_selector(documents.written_selector(selector)) == selector


@given(st.dictionaries(st.sampled_from([*Policy.__struct_fields__, "preset", "x"]), json, max_size=4) | json)
def test_whatever_is_sent_as_a_policy_is_taken_or_refused(document):
    try:
        policy = documents.parse_policy(document)
    except Invalid:
        refused(documents.parse_policy, document)
    else:
        assert documents.parse_policy(documents.written_policy(policy)) == policy
