from datetime import datetime, timedelta
from math import inf, nan

import pytest
from msgspec.structs import replace
from tests.controller.rules.subjects import NOW, subject

from annexfleet_controller.rules.judge import judge, judge_all, truth
from annexfleet_controller.rules.model import All, Any, Is, Not, Rule
from annexfleet_controller.things import Thing

HOT = Is(metric="temperature_celsius", above="hot")
COOL = Is(metric="temperature_celsius", below="cool")
RULE = Rule(id="hot", subject="device", raise_when=HOT, clear_when=COOL, levels={"hot": 80, "cool": 70}, cause="heat")


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (81.0, "raise"), (80.0, "hold"), (70.0, "hold"), (69, "clear"), (None, "unknown"), (nan, "unknown"),
        (inf, "unknown"), (-inf, "unknown"), (1e300, "unknown"), ("hot", "unknown"), (["hot"], "unknown"),
    ],
)  # fmt: skip
def test_between_its_levels_a_rule_holds_and_without_a_number_it_knows_nothing(value: object, expected: str):
    assert judge(RULE, subject("device", {"temperature_celsius": value}), now=NOW).level == expected


def test_nothing_that_is_absent_raises_or_clears():
    assert judge(RULE, subject("device", {}), now=NOW).level == "unknown"


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        (Is(metric="x", equals=True), 1.0, True), (Is(metric="x", equals=True), 0, False),
        (Is(metric="x", equals=True), True, True), (Is(metric="x", equals=False), False, True),
        (Is(metric="x", equals=False), True, False), (Is(metric="x", equals=True), nan, None),
        (Is(metric="x", equals=True), "yes", None), (Is(metric="x", equals="idle"), "idle", True),
        (Is(metric="x", equals="idle"), "stopped", False), (Is(metric="x", equals="idle"), 3, None),
        (Is(metric="x", has=("a", "b")), ["b", "c"], True), (Is(metric="x", has=("a", "b")), [], False),
        (Is(metric="x", has=("a", "b")), "a", True), (Is(metric="x", has=("a", "b")), None, None),
        (Is(metric="x", at_least=3, below=5), 4, True), (Is(metric="x", at_least=3, below=5), 5, False),
        (Is(metric="x", at_most=3), 3, True), (Not(of=Is(metric="x", at_most=3)), 3, False),
        (Not(of=Is(metric="x", at_most=3)), None, None),
    ],
)  # fmt: skip
def test_comparisons(condition: Is | Not, value: object, expected: bool | None):
    assert truth(condition, {"x": value}) is expected


A, B = Is(metric="a", equals=True), Is(metric="b", equals=True)
FURTHER = Is(metric="b", equals=True, optional=True)


@pytest.mark.parametrize(
    ("a", "b", "both", "either"),
    [
        (True, True, True, True), (True, False, False, True), (False, False, False, False),
        (True, None, None, True), (False, None, False, None), (None, None, None, None), (None, False, False, None),
    ],
)  # fmt: skip
def test_what_is_not_known_is_neither_true_nor_false(a: bool | None, b: bool | None, both: object, either: object):
    assert truth(All(of=(A, B)), {"a": a, "b": b}) is both
    assert truth(Any(of=(A, B)), {"a": a, "b": b}) is either


@pytest.mark.parametrize(
    ("a", "b", "both", "either"),
    [
        (True, None, True, True), (False, None, False, False), (None, None, None, None), (None, True, None, True),
        (True, False, False, True),
    ],
)  # fmt: skip
def test_a_further_sign_counts_only_where_it_is_known(a: bool | None, b: bool | None, both: object, either: object):
    assert truth(All(of=(A, FURTHER)), {"a": a, "b": b}) is both
    assert truth(Any(of=(A, FURTHER)), {"a": a, "b": b}) is either


def test_a_group_of_which_nothing_is_known_is_not_known():
    only = Is(metric="a", equals=True, optional=True)
    for group in (Any(of=(only, FURTHER)), All(of=(only, FURTHER)), Any(of=()), All(of=())):
        assert truth(group, {}) is None


def test_a_device_in_its_first_minutes_raises_nothing():
    values = {"temperature_celsius": 99.0}

    assert judge(RULE, subject("device", values | {"first_hour": True}), now=NOW).level == "hold"
    assert judge(RULE, subject("device", values | {"first_hour": False}), now=NOW).level == "raise"
    assert judge(RULE, subject("device", values | {"first_hour": None}), now=NOW).level == "raise"


def test_a_verdict_says_what_decided():
    verdict = judge(
        RULE,
        subject("device", {"temperature_celsius": 91.0}, facts={"device": "Guichet 1"}, numbers=(7,), at=ago(2)),
        now=NOW,
    )

    assert verdict.rule_id == "hot"
    assert verdict.thing == Thing("device", "d-0123456789")
    assert verdict.annex_id == "berkane-1"
    assert verdict.facts == {
        "device": "Guichet 1", "metric": "temperature_celsius", "value": 91.0, "level": 80.0, "celsius": 91.0,
    }  # fmt: skip
    assert verdict.numbers == (7,)
    assert verdict.evidence_at == ago(2)
    assert verdict.cause == "heat"


def test_the_subjects_own_facts_are_not_overwritten():
    rule = Rule(id="r", subject="supply", raise_when=Is(metric="supply_level_ratio", at_most=0.1))

    verdict = judge(rule, subject("supply", {"supply_level_ratio": 0.05}, facts={"ratio": 0.5, "part": "x"}), now=NOW)

    assert verdict.facts["ratio"] == 0.5
    assert verdict.facts["part"] == "x"
    assert judge(rule, subject("supply", {"supply_level_ratio": 0.05}), now=NOW).facts["part"] == "black"


def test_a_cause_comes_from_the_subject_where_the_rule_has_none():
    rule = Rule(id="r", subject="printer", raise_when=A)

    assert judge(rule, subject("printer", {"a": True, "cause": "paper_jam"}), now=NOW).cause == "paper_jam"
    assert judge(rule, subject("printer", {"a": True, "cause": 3}), now=NOW).cause == ""


@pytest.mark.parametrize(
    ("condition", "values", "since", "expected"),
    [
        (A, {"a": True}, {"a": 9}, 9),
        (A, {"a": True}, {}, None),
        (All(of=(A, B)), {"a": True, "b": True}, {"a": 9, "b": 4}, 4),
        (All(of=(A, B)), {"a": True, "b": True}, {"a": 9}, None),
        (Any(of=(A, B)), {"a": True, "b": True}, {"a": 9, "b": 4}, 9),
        (Any(of=(A, B)), {"a": True, "b": False}, {"a": 4, "b": 9}, 4),
        (Any(of=(A, B)), {"a": True, "b": True}, {"b": 4}, 4),
        (Not(of=Any(of=(A, B))), {"a": False, "b": False}, {"a": 9, "b": 4}, 4),
        (Not(of=All(of=(A, B))), {"a": False, "b": False}, {"a": 9, "b": 4}, 9),
        (All(of=(A, FURTHER)), {"a": True, "b": None}, {"a": 9}, 9),
        (A, {"a": True}, {"a": -9}, 0),
    ],
)
def test_since_when_a_condition_holds(condition: object, values: dict, since: dict, expected: float | None):
    rule = Rule(id="r", subject="device", raise_when=condition)  # type: ignore[arg-type]

    verdict = judge(
        rule, subject("device", values, since={name: ago(minutes) for name, minutes in since.items()}), now=NOW
    )

    assert verdict.since == (None if expected is None else ago(expected))


def test_all_rules_on_all_subjects():
    rules = {"device": (RULE, Rule(id="a", subject="device", raise_when=A))}
    hot = subject("device", {"temperature_celsius": 91.0, "a": False})
    cool = subject("device", {"temperature_celsius": 20.0, "a": None}, thing=Thing("device", "d-other"))
    queue = subject("queue", {"a": True})

    verdicts = [(v.thing.id, v.rule_id, v.level) for v in judge_all(rules, [hot, cool, queue], now=NOW)]

    assert verdicts == [
        ("d-0123456789", "hot", "raise"), ("d-0123456789", "a", "clear"), ("d-other", "hot", "clear"),
        ("d-other", "a", "unknown"),
    ]  # fmt: skip


def test_where_no_alert_stands_only_what_raises_is_told():
    rules = {"device": (RULE, Rule(id="a", subject="device", raise_when=A))}
    hot = subject("device", {"temperature_celsius": 91.0, "a": False})
    cool = subject("device", {"temperature_celsius": 20.0}, thing=Thing("device", "d-other"))

    def told(standing: set[tuple[Thing, str]]) -> list[tuple[str, str, str]]:
        return [(v.thing.id, v.rule_id, v.level) for v in judge_all(rules, [hot, cool], now=NOW, standing=standing)]

    assert told(set()) == [("d-0123456789", "hot", "raise")]
    assert told({(Thing("device", "d-other"), "")}) == [
        ("d-0123456789", "hot", "raise"), ("d-other", "hot", "clear"), ("d-other", "a", "unknown"),
    ]  # fmt: skip


def test_a_rule_that_was_changed_is_judged_as_changed():
    milder = replace(RULE, levels={"hot": 95, "cool": 70})
    warm = subject("device", {"temperature_celsius": 91.0})

    assert judge(RULE, warm, now=NOW).level == "raise"
    assert judge(milder, warm, now=NOW).level == "hold"


def test_what_was_well_by_the_same_values_is_not_asked_again_and_anything_else_is():
    quiet: dict[tuple[Thing, str], object] = {}
    rules = {"device": [RULE]}

    def told(celsius: float, standing: set[tuple[Thing, str]] | None = None) -> list[str]:
        one = subject("device", {"temperature_celsius": celsius})
        found = judge_all(rules, [one], now=NOW, standing=standing or set(), quiet=quiet)  # type: ignore[arg-type]
        return [verdict.level for verdict in found]

    assert told(60) == []
    assert told(60) == []
    assert told(90) == ["raise"]
    assert told(90) == ["raise"]
    assert told(60, {(subject("device", {}).thing, "")}) == ["clear"]
    assert told(60) == []
