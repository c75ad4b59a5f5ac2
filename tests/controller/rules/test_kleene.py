"""Properties of the three-valued logic, on conditions and knowledge of any shape."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.controller.rules.subjects import NOW, subject

from annexfleet_controller.rules.judge import judge, truth
from annexfleet_controller.rules.model import All, Any, Condition, Is, Not, Rule

METRICS = ("a", "b", "c", "d")

leaves = st.one_of(
    st.builds(
        lambda metric, level: Is(metric=metric, above=level), st.sampled_from(METRICS), st.sampled_from([0.0, 1.0])
    ),
    st.builds(lambda metric: Is(metric=metric, equals=True), st.sampled_from(METRICS)),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda of: All(of=tuple(of))),
        st.lists(inner, min_size=1, max_size=3).map(lambda of: Any(of=tuple(of))),
        inner.map(lambda of: Not(of=of)),
    ),
    max_leaves=8,
)
numbers = st.sampled_from([0.0, 0.5, 1.0, 2.0])
whole = st.fixed_dictionaries(dict.fromkeys(METRICS, numbers))
hidden = st.sets(st.sampled_from(METRICS))


def without(values: dict[str, float], names: set[str]) -> dict[str, float | None]:
    return {name: value for name, value in values.items() if name not in names}


@given(conditions, whole)
def test_what_is_wholly_known_is_true_or_false(condition: Condition, values: dict[str, float]):
    assert truth(condition, values) in (True, False)


@given(conditions, whole, hidden)
def test_what_is_concluded_from_a_part_stays_true_of_the_whole(
    condition: Condition, values: dict[str, float], names: set[str]
):
    part = truth(condition, without(values, names))

    assert part is None or part is truth(condition, values)


@given(conditions, whole, hidden)
def test_none_nan_and_absence_are_the_same(condition: Condition, values: dict[str, float], names: set[str]):
    absent = truth(condition, without(values, names))

    assert truth(condition, values | dict.fromkeys(names)) is absent
    assert truth(condition, values | dict.fromkeys(names, float("nan"))) is absent
    assert truth(condition, values | dict.fromkeys(names, 1e300)) is absent


@given(conditions, conditions, whole, hidden)
def test_forgetting_makes_a_verdict_unknown_and_never_another(
    raise_when: Condition, clear_when: Condition, values: dict[str, float], names: set[str]
):
    rule = Rule(id="r", subject="device", raise_when=raise_when, clear_when=clear_when)

    known = judge(rule, subject("device", dict(values)), now=NOW).level
    partly = judge(rule, subject("device", dict(without(values, names))), now=NOW).level

    assert partly in {known, "unknown"}


@given(conditions, conditions)
def test_of_nothing_nothing_is_concluded(raise_when: Condition, clear_when: Condition):
    rule = Rule(id="r", subject="device", raise_when=raise_when, clear_when=clear_when)

    assert judge(rule, subject("device", {}), now=NOW).level == "unknown"


@given(st.lists(leaves, min_size=1, max_size=4), st.sampled_from([All, Any]))
def test_further_signs_alone_conclude_nothing_of_nothing(of: list[Is], group: type[All] | type[Any]):
    assert truth(group(of=tuple(replace(leaf, optional=True) for leaf in of)), {}) is None


@given(conditions, whole)
def test_de_morgan(condition: Condition, values: dict[str, float]):
    if isinstance(condition, All | Any):
        other = Any if isinstance(condition, All) else All
        turned = Not(of=other(of=tuple(Not(of=member) for member in condition.of)))

        assert truth(condition, values) is truth(turned, values)
