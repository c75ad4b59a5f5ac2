from itertools import combinations
from math import comb
from random import Random

import pytest

from annexfleet_controller.waves.statistics import (
    binomial_tail,
    fisher,
    mann_whitney,
    posterior_above,
    spent,
)


@pytest.mark.parametrize(
    ("hits", "of", "other_hits", "of_others", "p"),
    [
        (2, 2, 0, 38, 1 / comb(40, 2)),
        (3, 15, 0, 285, comb(15, 3) / comb(300, 3)),
        (3, 4, 1, 4, 17 / 70),  # the lady tasting tea
        (0, 5, 3, 5, 1.0),
        (3, 5, 0, 0, 1.0),  # nobody to compare with: nothing can be told
        (0, 0, 0, 0, 1.0),
    ],
)
def test_fisher_counts_exactly(hits: int, of: int, other_hits: int, of_others: int, p: float):
    assert fisher(hits, of, other_hits, of_others) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize(
    ("hits", "of", "share", "p"),
    [(1, 6, 0.05, 1 - 0.95**6), (2, 2, 0.5, 0.25), (0, 9, 0.1, 1.0), (3, 3, 1.0, 1.0), (1, 3, 0.0, 0.0)],
)
def test_the_tail_of_a_binomial(hits: int, of: int, share: float, p: float):
    assert binomial_tail(hits, of, share) == pytest.approx(p, rel=1e-9)


def test_a_posterior_as_it_is_found_by_adding_up():
    # Beta(1.5, 14.5) above 0.05, by Simpson's rule over 100,000 steps
    steps, low = 100_000, 0.05

    def density(x: float) -> float:
        return x**0.5 * (1 - x) ** 13.5

    def integral(a: float, b: float) -> float:
        h = (b - a) / steps
        inner = sum((4 if k % 2 else 2) * density(a + k * h) for k in range(1, steps))
        return h / 3 * (density(a) + inner + density(b))

    assert posterior_above(low, 1, 15) == pytest.approx(integral(low, 1) / integral(0, 1), abs=1e-5)
    assert posterior_above(0.0, 0, 3) == 1.0
    assert posterior_above(1.0, 3, 3) == 0.0


def test_ranks_are_counted_out_where_samples_are_small():
    changed, others = [5.5, 2.5], [1.0, 2.0, 3.0, 4.0]
    above = sum(a > b for a in changed for b in others)
    places = range(6)
    at_least = sum(
        sum(place > other for place in chosen for other in places if other not in chosen) >= above
        for chosen in combinations(places, 2)
    )

    assert mann_whitney([(changed, others)]) == pytest.approx(at_least / comb(6, 2))


def test_of_many_the_normal_distribution_is_near_enough():
    draw = Random(4)
    changed, others = [draw.gauss(0.5, 1) for _ in range(40)], [draw.gauss(0, 1) for _ in range(200)]

    p = mann_whitney([(changed, others)])

    above = sum(
        mann_whitney([(draw.sample([*changed, *others], 40), others)]) <= p for _ in range(200)
    )  # a rough check that such a p is rare among equals
    assert p < 0.02
    assert above <= 12


def test_strata_keep_apart_what_differs_anyway():
    # servers have high values and most changed devices are servers: that is no difference within roles
    draw = Random(2)
    servers = [draw.gauss(10, 1) for _ in range(30)]
    counters = [draw.gauss(0, 1) for _ in range(30)]

    pooled = mann_whitney([([*servers[:20], *counters[:2]], [*servers[20:], *counters[2:]])])
    within = mann_whitney([(servers[:20], servers[20:]), (counters[:2], counters[2:])])

    assert pooled < 0.001
    assert within > 0.01


def test_ties_and_missing_sides_prove_nothing():
    assert mann_whitney([([1.0, 1.0], [1.0, 1.0, 1.0])]) == 1.0
    assert mann_whitney([([1.0], []), ([], [2.0])]) == 1.0


def test_all_looks_together_spend_no_more_than_there_is():
    assert sum(spent(0.05, look) for look in range(1, 10_000)) < 0.05
