"""Signs of changed devices against the same signs of untouched ones: proof, doubt, or nothing.

What is so *now* is compared by Fisher's exact test; what *was* meanwhile by a binomial test on the time that each side
was watched.  All devices are compared, and those of each model, role and annex apart; each of these ways has all of
ALPHA for its own, shared among its strata that could prove something at all, and every further device that shows the
sign is another look at them.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from annexfleet_controller.waves import statistics
from annexfleet_controller.waves.model import GateReason, Health
from annexfleet_controller.waves.signs import Sign, Watched

ALPHA = 0.001
"""What chance may have in all looks at one sign in one way of dividing a rollout's devices."""
FEW = 0.2
"""One kind that failed wholly is no ground while less than this share of what may be bad is."""
_FEW_WITH_A_SIGN = 0.5
"""A sign that nobody else shows is none while less than this share of what may be bad shows it: of hundreds of devices
one or two are always away or out of paper."""
_ORDINARY_P = 0.2
FEWEST_ORDINARY = 3
"""A sign that chance would show so often, and that so many others do show, is ordinary; also among those of its model
and role, or one untouched device that is away for a minute would excuse a changed one that is away for ever."""
_DOUBTFUL_P = 0.02
"""What was on two changed devices or more, and by chance would be so seldom, is not passed over."""
_FEWEST = 2
"""One device proves nothing."""

KINDS: tuple[tuple[str, Callable[[Health], str]], ...] = (
    ("model", lambda one: one.model),
    ("role", lambda one: one.role),
    ("annex", lambda one: one.annex_id),
)


class _Stratum(Struct):
    """Devices that are alike in one way: `all`, `model`, `role` or `annex`, and which; how many, and for how long."""

    kind: str
    value: str
    changed: int = 0
    changed_s: float = 0.0
    others: int = 0
    others_s: float = 0.0


class _Count(Struct, frozen=True):
    of: _Stratum
    hits: int
    other_hits: int
    p: float


def hears_one(changed: int, most_bad_ratio: float) -> bool:
    """Whether a sign on a single one of so many changed devices is not passed over as one of a few."""
    return _FEW_WITH_A_SIGN * most_bad_ratio * changed < 1


def compared(seen: Sequence[Watched], most_bad_ratio: float) -> Iterator[tuple[GateReason, bool]]:
    """What changed devices show and others do not, each with whether it is a proof; otherwise it is a doubt."""
    with_signs = [one for one in seen if one.signs]
    every = {sign for one in with_signs if one.is_changed for sign in one.signs}
    if not every:
        return
    strata = _strata(seen)
    for sign in sorted(every, key=lambda sign: (not sign.is_now, sign.code, sign.rule)):
        found = _judged(sign, _counts(sign, with_signs, strata), strata, _FEW_WITH_A_SIGN * most_bad_ratio)
        if found is not None:
            yield found


def _judged(
    sign: Sign, counts: Sequence[_Count], strata: dict[tuple[str, str], _Stratum], few_ratio: float
) -> tuple[GateReason, bool] | None:
    proof: tuple[float, _Count] | None = None
    for kind, group in groupby(counts, key=lambda count: count.of.kind):
        able = sum(of.kind == kind and of.changed >= _FEWEST for of in strata.values())
        for count in group:
            # How far below its share of ALPHA chance is: the smallest is the reason that is told.
            margin = count.p * able / statistics.spent(ALPHA, count.hits)
            if count.hits >= _FEWEST and margin < min(1.0, proof[0] if proof else 1.0):
                proof = (margin, count)
    if proof is not None:
        return _reason("now_worse" if sign.is_now else "since_worse", sign, proof[1]), True
    of_all = counts[0]
    if sign.is_now:
        is_nothing = _is_ordinary(counts) or _are_few(counts, few_ratio)
        return None if is_nothing else (_reason("now_unclear", sign, of_all), False)
    doubtful = [count for count in counts if count.hits >= _FEWEST and count.p < _DOUBTFUL_P]
    return (_reason("since_unclear", sign, min(doubtful, key=lambda count: count.p)), False) if doubtful else None


def _is_ordinary(counts: Sequence[_Count]) -> bool:
    return counts[0].other_hits >= FEWEST_ORDINARY and all(
        count.p > _ORDINARY_P for count in counts if count.of.kind != "annex"
    )


def _are_few(counts: Sequence[_Count], few_ratio: float) -> bool:
    """Whether so few of many changed devices show a sign that the policy would not mind if they had failed.

    Not if those of one model, role or annex show it more than the other changed ones do by chance.
    """
    of_all = counts[0]
    if of_all.hits > few_ratio * of_all.of.changed:
        return False
    return all(
        statistics.fisher(
            count.hits, count.of.changed, of_all.hits - count.hits, of_all.of.changed - count.of.changed
        ) > _DOUBTFUL_P
        for count in counts
        if count.hits >= _FEWEST and count.of.kind != "all"
    )  # fmt: skip


def _strata(seen: Sequence[Watched]) -> dict[tuple[str, str], _Stratum]:
    """All devices that are watched, and those of each model, role and annex."""
    found = {("all", ""): _Stratum("all", "")}
    for one in seen:
        if not one.is_watched:
            continue
        for key in _keys(one):
            stratum = found.get(key)
            if stratum is None:
                stratum = found[key] = _Stratum(*key)
            if one.health.is_changed:
                stratum.changed += 1
                stratum.changed_s += one.seconds
            else:
                stratum.others += 1
                stratum.others_s += one.seconds
    return found


def _keys(one: Watched) -> tuple[tuple[str, str], ...]:
    health = one.health
    return ("all", ""), ("model", health.model), ("role", health.role), ("annex", health.annex_id)


def _counts(sign: Sign, seen: Sequence[Watched], strata: dict[tuple[str, str], _Stratum]) -> list[_Count]:
    """How many show it, in every stratum where a changed device does; all devices first, and each kind together."""
    hits: dict[tuple[str, str], list[int]] = {}
    for one in seen:
        if sign in one.signs:
            for key in _keys(one):
                hits.setdefault(key, [0, 0])[not one.is_changed] += 1
    struck = sorted((key for key, (of, _) in hits.items() if of and (key[1] or key[0] == "all")))
    return [_count(sign, strata[key], *hits[key]) for key in struck]


def _count(sign: Sign, of: _Stratum, hits: int, other_hits: int) -> _Count:
    if sign.is_now:
        return _Count(of, hits, other_hits, statistics.fisher(hits, of.changed, other_hits, of.others))
    share = of.changed_s / (of.changed_s + of.others_s) if of.others_s else 1.0
    return _Count(of, hits, other_hits, statistics.binomial_tail(hits, hits + other_hits, share))


def _reason(code: str, sign: Sign, count: _Count) -> GateReason:
    of = count.of
    return GateReason(
        code,
        {
            "sign": sign.code, "rule": sign.rule, "kind": of.kind, "value": of.value,
            "hits": count.hits, "changed": of.changed, "other_hits": count.other_hits, "others": of.others,
        },
    )  # fmt: skip
