import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.protocol.messages import Beat, Summary
from annexfleet_controller.store.folding import bucket_end, combine, merge


def beat(value: float | Summary, *, at: float = 0, seconds: float = 300, metric: str = "cpu_used_ratio") -> Beat:
    return Beat(seq=1, at=at, seconds=seconds, samples=10, numbers={"": {metric: value}})


@pytest.mark.parametrize(("at", "expected"), [(1, 3600), (3599.5, 3600), (3600, 3600), (3600.1, 7200)])
def test_an_hours_last_beat_ends_with_it(at: float, expected: float):
    assert bucket_end(at, 3600) == expected


def test_means_are_weighted_with_time():
    merged = merge([beat(0.0, seconds=300), beat(1.0, seconds=100)], at=3600)

    assert merged.numbers[""]["cpu_used_ratio"] == Summary(1.0, 0.0, 0.25, 1.0)
    assert (merged.seconds, merged.samples, merged.at) == (400, 20, 3600)


def test_a_number_that_did_not_move_stands_alone():
    assert merge([beat(0.5), beat(0.5)], at=3600).numbers == {"": {"cpu_used_ratio": 0.5}}


def test_a_number_that_some_beats_lack_is_summed_up_from_the_others():
    merged = merge([beat(0.2), beat(7.0, metric="temperature_celsius"), beat(0.4)], at=3600)

    assert merged.numbers[""] == {"cpu_used_ratio": Summary(0.4, 0.2, 0.3, 0.4), "temperature_celsius": 7.0}


def test_nothing_cannot_be_merged():
    with pytest.raises(ValueError, match="nothing"):
        merge([], at=0)


_value = st.floats(-1e12, 1e12)
_summary = st.lists(_value, min_size=3, max_size=3).map(sorted).map(lambda v: Summary(v[1], v[0], v[1], v[2]))


@given(st.lists(st.tuples(st.floats(1, 3600), _summary), min_size=1, max_size=30))
def test_a_summary_of_summaries_keeps_its_order_and_its_extremes(parts: list[tuple[float, Summary]]):
    combined = combine(parts)

    assert combined.min == min(s.min for _, s in parts)
    assert combined.max == max(s.max for _, s in parts)
    assert combined.last == parts[-1][1].last
    assert combined.min <= combined.mean <= combined.max


@given(st.lists(st.tuples(st.floats(1, 3600), _summary), min_size=2, max_size=30), st.integers(1, 29))
def test_folding_in_two_steps_gives_what_one_step_gives(parts: list[tuple[float, Summary]], cut: int):
    head, tail = parts[:cut], parts[cut:]
    folded = [(sum(s for s, _ in some), combine(some)) for some in (head, tail) if some]

    once, twice = combine(parts), combine(folded)

    assert (once.last, once.min, once.max) == (twice.last, twice.min, twice.max)
    scale = max(abs(once.min), abs(once.max), 1.0)
    assert math.isclose(once.mean, twice.mean, rel_tol=1e-9, abs_tol=1e-9 * scale)
