"""GO, WAIT or STOP: whether a rollout may begin its next wave, with the reasons.

Two kinds of evidence count, and either may stop it at any time, also while the wave still rolls.

*Results.*  A device that failed, ran out of time or of which nobody knows what became is bad.  STOP when
`policy.most_bad_count` are bad and they are `policy.most_bad_ratio` of those that ended, or when those of one model,
role or annex are bad so much more often than the others that it is no accident (Fisher's exact test).  Unclear, so no
GO: a rate that more likely than not exceeds the policy's (posterior of Jeffreys' prior), and one kind of device on
which nothing but failure was seen.

*Health* of changed devices against devices not yet touched at the same time (`signs.py` says what a sign is).  STOP
when a sign is so much more frequent among the changed that chance has less than ALPHA (`comparing.py`): for all devices
and for each model, role and annex apart, so that a fault of one of them does not drown; ALPHA is shared among the
strata, and among the looks.  Key readings are compared by rank (`readings.py`).

Honesty with small samples: a changed device that shows a sign which not about as many others show as well can be told
neither sound nor broken, so the gate waits until the sign goes or becomes a proof.  When the soak is over and one doubt
has lasted for `policy.longest_wait_s`, or a third of it at that time after the soak, it stops all the same
(`still_unclear`): what cannot be told is never GO.  Only what is over by itself (an alert that has cleared, a restart)
is told by that wait where untouched devices show it as well: its counts do not go down again, so the doubt lapses if
all that time added none on a changed device, and is confirmed by the first that it adds.  A sign that has gone by
itself on one single device is no ground for anything.  What is down together with untouched devices of its annex is
the annex's trouble, and its device counts as not watched.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_controller.waves import statistics
from annexfleet_controller.waves.comparing import ALPHA, FEW, FEWEST_ORDINARY, KINDS, compared
from annexfleet_controller.waves.model import GateReason, GateVerdict, GateWord, Health, Policy, TargetState
from annexfleet_controller.waves.readings import worse_readings
from annexfleet_controller.waves.signs import Watched, watched

_CALM_FOR = timedelta(minutes=10)
"""Without a doubt before GO, or half of the soak if that is shorter."""
_LASTING = 1 / 3
"""A doubt is no ground for STOP before it has lasted for this share of `longest_wait_s`: some link is always down."""

REASONS: tuple[str, ...] = (
    "bad_results", "bad_of_kind", "now_worse", "since_worse", "reading_worse", "reading_grows", "still_unclear",
    "rolling", "soaking", "stragglers", "results_unclear", "kind_unclear", "now_unclear", "since_unclear",
    "reading_unclear", "clearing", "not_watched", "well", "nothing_touched",
)  # fmt: skip
"""Every code of a reason; each has words in context "gate"."""


class Results(Struct, frozen=True, kw_only=True):
    """How the devices of a rollout have ended so far, those that a person accepted left out."""

    succeeded: frozenset[int] = frozenset()
    bad: Mapping[int, TargetState] = {}
    under_way: int = 0
    """Devices of this wave that run, are verified or are still to be begun; after the last wave, all such."""


class Soak(Struct, frozen=True, kw_only=True):
    """How far the watch over this wave has come."""

    began_at: datetime | None = None
    """When its last device ended; None while it rolls."""
    due_at: datetime | None = None
    """When it will have lasted long enough, opening hours included; None while it rolls."""
    is_over: bool = False
    """The last wave has passed; only devices that were away are still begun, as they come back."""


def judge(
    results: Results,
    health: Sequence[Health],
    *,
    policy: Policy,
    wave: int,
    soak: Soak,
    now: datetime,
    before: GateVerdict | None = None,
) -> GateVerdict:
    """The verdict on this wave, told everything that is known by now.

    `health`: every changed device of the rollout whose change nobody has accepted, and devices that are not touched.
    `before`: the newest verdict that was kept; a doubt that has just gone may come back, so GO takes some time without
    any.  Deterministic.  A verdict to wait says when to look again if only time can change it.
    """
    seen = watched(health, now=now)
    stops, doubts = [*_bad_results(results, policy)], [*_doubtful_results(results, policy)]
    stops += _kinds_that_fail(results, health, policy)
    doubts += _kinds_unclear(results, health, policy)
    for reason, is_proof in compared(seen, policy.most_bad_ratio):
        (stops if is_proof else doubts).append(reason)
    for reason, is_proof in worse_readings(seen, others_since=_since(seen), alpha=ALPHA):
        (stops if is_proof else doubts).append(reason)
    if stops:
        return GateVerdict(word="stop", reasons=tuple(stops), at=now)
    doubts = _since_when(doubts, before, now)
    if soak.is_over or soak.began_at is None or soak.due_at is None or now < soak.due_at:
        return _too_early(results, [] if soak.is_over else doubts, soak, now)
    if doubts and (verdict := _in_doubt(doubts, soak.due_at, policy, now)) is not None:
        return verdict
    word, reason = _at_the_end(results, seen)
    if doubts:  # lapsed: they are told all the same, and are not waited for again
        return GateVerdict(word=word, reasons=(reason, *doubts), at=now)
    calm_from = _calm_from(before, soak.began_at, soak.due_at, now)
    if word == "go" and now < calm_from:
        reason = GateReason("clearing", {"until": calm_from.isoformat(timespec="seconds")})
        return GateVerdict(word="wait", reasons=(reason,), at=now, look_again_at=calm_from)
    return GateVerdict(word=word, reasons=(reason,), at=now)


def _too_early(results: Results, doubts: Sequence[GateReason], soak: Soak, now: datetime) -> GateVerdict:
    """It rolls, or soaks, or only those that were away are still waited for."""
    code = "stragglers" if soak.is_over else "rolling"
    reason = GateReason(code, {"devices": results.under_way})
    if soak.due_at is not None:
        reason = GateReason("soaking", {"until": soak.due_at.isoformat(timespec="seconds")})
    return GateVerdict(word="wait", reasons=(reason, *doubts), at=now, look_again_at=soak.due_at)


def _calm_from(before: GateVerdict | None, began_at: datetime, due_at: datetime, now: datetime) -> datetime:
    """When there will have been no doubt for long enough, if none arises."""
    if before is None or before.word != "wait":
        return now
    if (
        before.reasons and before.reasons[0].code == "clearing"
    ):  # it is being waited for already, and no longer than was said
        return datetime.fromisoformat(str(before.reasons[0].facts["until"]))
    in_doubt = any(reason.code.endswith("_unclear") or reason.code == "not_watched" for reason in before.reasons)
    return (now if in_doubt else before.at) + min(_CALM_FOR, (due_at - began_at) / 2)


def says_the_same(verdict: GateVerdict, other: GateVerdict | None) -> bool:
    """Whether a person who read the other learns nothing new from this one: measures move, grounds do not."""
    return other is not None and (verdict.word, _grounds(verdict)) == (other.word, _grounds(other))


def _grounds(verdict: GateVerdict) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    return [_ground(reason) for reason in verdict.reasons]


def _ground(reason: GateReason) -> tuple[str, tuple[tuple[str, str], ...]]:
    return reason.code, tuple(sorted((name, str(value)) for name, value in reason.facts.items() if name in _GROUNDS))


_GROUNDS = frozenset({"sign", "rule", "kind", "value", "metric", "bad", "until", "hours"})


def _since_when(doubts: Sequence[GateReason], before: GateVerdict | None, now: datetime) -> list[GateReason]:
    """These doubts, each with the moment since when it has lasted without a break, and what it counted then."""
    known = {} if before is None else {_ground(one): one.facts for one in before.reasons if "since" in one.facts}
    found = []
    for one in doubts:
        first = known.get(_ground(one), {"since": now.isoformat(timespec="seconds"), **_first_hits(one)})
        kept = {name: first[name] for name in ("since", "first_hits") if name in first}
        found.append(GateReason(one.code, {**one.facts, **kept}))
    return found


def _first_hits(doubt: GateReason) -> dict[str, int | float | str]:
    return {"first_hits": doubt.facts["hits"]} if doubt.code == "since_unclear" else {}


def _in_doubt(doubts: Sequence[GateReason], due_at: datetime, policy: Policy, now: datetime) -> GateVerdict | None:
    """Wait, until one doubt has lasted for as long as may be waited, or for a third of that when all of it is over.

    None if all of them have lapsed.
    """
    longest = timedelta(seconds=policy.longest_wait_s)

    def ends_at(doubt: GateReason) -> datetime:
        since = datetime.fromisoformat(str(doubt.facts["since"]))
        return min(since + longest, max(due_at + longest, since + longest * _LASTING))

    if any(now >= ends_at(one) and not _adds_nothing(one) for one in doubts):
        hours = policy.longest_wait_s / 3600  # not rounded: it may be ten minutes
        return GateVerdict(word="stop", reasons=(GateReason("still_unclear", {"hours": hours}), *doubts), at=now)
    awaited = [ends_at(one) for one in doubts if now < ends_at(one)]
    if not awaited:
        return None
    return GateVerdict(word="wait", reasons=tuple(doubts), at=now, look_again_at=min(awaited))


def _adds_nothing(doubt: GateReason) -> bool:
    """Whether what is over, and untouched devices show as well, came to no further changed device meanwhile."""
    facts = doubt.facts
    is_known_to_happen = float(facts.get("other_hits", 0)) >= FEWEST_ORDINARY
    return is_known_to_happen and "first_hits" in facts and float(facts["hits"]) <= float(facts["first_hits"])


def _at_the_end(results: Results, seen: Sequence[Watched]) -> tuple[GateWord, GateReason]:
    """The wave has soaked, and nothing is held against it."""
    changed = [one for one in seen if one.is_changed]
    can_see = sum(one.is_watched for one in changed)
    if not results.succeeded and not changed:
        return "go", GateReason("nothing_touched")
    if 2 * can_see < len(changed) or not changed:
        # Switched off in order, or gone with their annex: nothing speaks against them, and nothing for them.
        missing = len(changed) - can_see if changed else len(results.succeeded)
        return "wait", GateReason("not_watched", {"devices": missing, "changed": len(changed)})
    others = sum(one.is_watched for one in seen if not one.is_changed)
    return "go", GateReason("well", {"changed": can_see, "others": others})


# -- results


def _bad_results(results: Results, policy: Policy) -> Iterator[GateReason]:
    bad, ended = len(results.bad), len(results.bad) + len(results.succeeded)
    if bad and bad >= policy.most_bad_count and bad >= policy.most_bad_ratio * ended:
        yield GateReason("bad_results", {"bad": bad, "ended": ended})


def _doubtful_results(results: Results, policy: Policy) -> Iterator[GateReason]:
    bad, ended = len(results.bad), len(results.bad) + len(results.succeeded)
    if bad and statistics.posterior_above(policy.most_bad_ratio, bad, ended) > 0.5:
        yield GateReason("results_unclear", {"bad": bad, "ended": ended})


def _kinds_that_fail(results: Results, health: Sequence[Health], policy: Policy) -> Iterator[GateReason]:
    for name, groups in _ended_by_kind(results, health):
        for value, (bad, ended) in groups.items():
            if bad < max(2, policy.most_bad_count):
                continue
            all_bad, all_ended = len(results.bad), len(results.bad) + len(results.succeeded)
            p = statistics.fisher(bad, ended, all_bad - bad, all_ended - ended)
            if p < statistics.spent(ALPHA, bad) / len(groups):
                yield GateReason("bad_of_kind", {"kind": name, "value": value, "bad": bad, "ended": ended})


def _kinds_unclear(results: Results, health: Sequence[Health], policy: Policy) -> Iterator[GateReason]:
    bad_of_all = len(results.bad)
    if bad_of_all <= FEW * policy.most_bad_ratio * (bad_of_all + len(results.succeeded)):
        return
    for name, groups in _ended_by_kind(results, health):
        for value, (bad, ended) in groups.items():
            if bad == ended:
                yield GateReason("kind_unclear", {"kind": name, "value": value, "bad": bad, "ended": ended})


def _ended_by_kind(results: Results, health: Sequence[Health]) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """By model, role and annex: how many of each were bad, and how many ended.  Only those with a bad one."""
    known = {one.number: one for one in health}
    if not results.bad:
        return
    for name, of in KINDS:
        groups: dict[str, tuple[int, int]] = {}
        for number in sorted({*results.bad, *results.succeeded}):
            one = known.get(number)
            value = of(one) if one else ""
            if value:
                bad, ended = groups.get(value, (0, 0))
                groups[value] = bad + (number in results.bad), ended + 1
        yield name, {value: counts for value, counts in groups.items() if counts[0]}


def _since(seen: Sequence[Watched]) -> datetime | None:
    """Since when the untouched are watched."""
    return min((one.health.since for one in seen if not one.is_changed), default=None)
