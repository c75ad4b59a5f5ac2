"""The few statistics that a gate needs, exact where samples are small, in pure Python.

Every `p` is one-sided: the chance to see so much or more if the changed devices were like the others.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate

_MOST_COUNTED = 500_000
"""Ranks are counted out where that takes no more steps (2 of 350 devices, 5 of 120); else the normal distribution does,
which says too much rather than too little where a few devices are held against many."""


@lru_cache(maxsize=4096)
def fisher(hits: int, of: int, other_hits: int, of_others: int) -> float:
    """Fisher's exact test, one-sided: the chance that `hits` or more of the changed are among all that were hit.

    Both groups may have any size, none too: then nothing can be told, and it is 1.
    Source: R. A. Fisher, 1935; the hypergeometric tail, conditional on how many were hit in all.
    """
    total, struck = of + of_others, hits + other_hits
    top = min(of, struck)
    whole = _log_choose(total, struck)
    found = sum(
        math.exp(_log_choose(of, k) + _log_choose(of_others, struck - k) - whole)
        for k in range(hits, top + 1)
        if struck - k <= of_others
    )
    return min(1.0, found)


def binomial_tail(hits: int, of: int, share: float) -> float:
    """The chance of so many or more among `of`, if each comes with this share (0 to 1)."""
    if hits <= 0:
        return 1.0
    if share <= 0 or share >= 1:
        return float(share >= 1)
    log_share, log_rest = math.log(share), math.log1p(-share)
    return min(
        1.0, sum(math.exp(_log_choose(of, k) + k * log_share + (of - k) * log_rest) for k in range(hits, of + 1))
    )


def posterior_above(bound: float, hits: int, of: int) -> float:
    """How likely it is that the true rate lies above `bound`, after `hits` of `of`.

    Jeffreys' prior, Beta(1/2, 1/2).  Source: Brown, Cai and DasGupta, Statistical Science 16 (2001), 101-133.
    """
    if bound <= 0:
        return 1.0
    if bound >= 1:
        return 0.0
    return 1.0 - _incomplete_beta(hits + 0.5, of - hits + 0.5, bound)


def mann_whitney(strata: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float:
    """Whether values of changed devices tend to be higher than those of others, within strata.

    A stratum is (changed, others).  One stratum with few changed devices and no ties is counted exactly; otherwise the
    rank sums of all strata are added, each weighed by 1 / (its size + 1), and held against the normal distribution
    with the variance corrected for ties and half a rank for continuity.  1 where no stratum has both.
    Source: Mann and Whitney, 1947; van Elteren, 1960.
    """
    pairs = [(changed, others) for changed, others in strata if changed and others]
    if not pairs:
        return 1.0
    if len(pairs) == 1:
        exact = _exact_rank_tail(*pairs[0])
        if exact is not None:
            return exact
    excess = variance = most_weight = 0.0
    for changed, others in pairs:
        n, m = len(changed), len(others)
        total = n + m
        ranks, ties = _rank_sum(changed, others)
        weight = 1 / (total + 1)
        excess += weight * (ranks - n * (total + 1) / 2)
        spread = n * m / 12 * (total + 1 - (ties / (total * (total - 1)) if total > 1 else 0))
        variance += weight**2 * spread
        most_weight = max(most_weight, weight)
    if variance <= 0:
        return 1.0
    return 0.5 * math.erfc((excess - most_weight / 2) / math.sqrt(2 * variance))


def spent(alpha: float, look: int) -> float:
    """What the `look`th look, from 1, may spend of `alpha`, so that all looks together never spend more.

    alpha / (look * (look + 1)): these add up to alpha, however many looks there are.
    """
    return alpha / (look * (look + 1))


def _log_choose(of: int, k: int) -> float:
    if k < 0 or k > of:
        return -math.inf
    return math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)


def _rank_sum(changed: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """The sum of the changed ones' ranks (ties share theirs), and the sum of t^3 - t over ties."""
    values = sorted([(value, 1) for value in changed] + [(value, 0) for value in others])
    at, ranks, ties = 0, 0.0, 0.0
    while at < len(values):
        end = at
        while end < len(values) and values[end][0] == values[at][0]:
            end += 1
        count = end - at
        ranks += (at + end + 1) / 2 * sum(of for _, of in values[at:end])
        ties += count**3 - count
        at = end
    return ranks, ties


def _exact_rank_tail(changed: Sequence[float], others: Sequence[float]) -> float | None:
    """P(U >= observed) by counting; None where values are tied or too many."""
    n, m = len(changed), len(others)
    if n * n * m * (n + m) > _MOST_COUNTED or len({*changed, *others}) < n + m:
        return None
    above = sum(value > other for value in changed for other in others)
    return _rank_tails(n, m)[above]


@lru_cache(maxsize=64)
def _rank_tails(n: int, m: int) -> tuple[float, ...]:
    """P(U >= u) for u from 0 to n * m, without ties."""
    # ways[k][u]: how many choices of k of the places so far have u of the others' places below them, added up
    ways = [[0] * (n * m + 1) for _ in range(n + 1)]
    ways[0][0] = 1
    for place in range(1, n + m + 1):
        for k in range(min(n, place), 0, -1):
            below = place - k
            if below > m:
                continue
            before, now = ways[k - 1], ways[k]
            for u in range(below, k * m + 1):
                if before[u - below]:
                    now[u] += before[u - below]
    whole, above = math.comb(n + m, n), list(accumulate(reversed(ways[n])))
    return tuple(count / whole for count in reversed(above))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz).

    Source: Numerical Recipes, third edition, 6.4; good to 1e-12 here.
    """
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    found = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _away_from_zero(1 + even * d, tiny)
        c = _away_from_zero(1 + even / c, tiny)
        found *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _away_from_zero(1 + odd * d, tiny)
        c = _away_from_zero(1 + odd / c, tiny)
        found *= d * c
        if abs(d * c - 1) < 1e-13:
            break
    return found


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
