"""Key readings of changed devices against those of untouched ones: whether they jumped, and whether they grow.

A device is compared with itself first (mean now less mean before, or rise an hour), then the changed devices'
differences with the untouched ones', by rank and within roles: neither the time of day nor one wild device decides.
It is a proof if chance has less than its share of alpha *and* the middle of the changed has moved by more than is
tolerated; a proven small move is none, because new software may well need a little more.  Looks that overlap tell the
same again, so only each doubling of the time watched spends of alpha.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median

from msgspec import Struct

from annexfleet_controller.waves import statistics
from annexfleet_controller.waves.model import GateReason
from annexfleet_controller.waves.signs import Watched

_FEWEST_OTHERS = 5
_FIRST_LOOK_S = 1800.0
_SAME_HOURS = timedelta(minutes=45)
"""Changed so close to the moment since when the untouched are watched: an annex that opened or closed in between would
look like the release's doing."""
_DOUBTFUL_SHARE = 0.5
"""A proven move of half of what is tolerated is watched for as long as the gate may wait: it may yet grow."""


class Tolerance(Struct, frozen=True, kw_only=True):
    """How much worse (higher) a reading may become."""

    jump: float
    """In the reading's unit; of a relative one, as a share of what the untouched have."""
    an_hour: float
    """Growth, hour after hour."""
    is_relative: bool = False


KEY_READINGS: Mapping[str, Tolerance] = {
    "memory_used_ratio": Tolerance(jump=0.10, an_hour=0.01),
    "swap_used_ratio": Tolerance(jump=0.15, an_hour=0.02),
    "cpu_used_ratio": Tolerance(jump=0.20, an_hour=0.05),
    "load_per_cpu_ratio": Tolerance(jump=0.8, an_hour=0.2),
    "disk_used_ratio": Tolerance(jump=0.10, an_hour=0.005),
    "temperature_celsius": Tolerance(jump=10.0, an_hour=2.0),
    "agent_memory_bytes": Tolerance(jump=0.5, an_hour=0.04, is_relative=True),
    "agent_cpu_ratio": Tolerance(jump=0.05, an_hour=0.01),
}
"""All of them are worse when higher.  A hundredth of memory an hour fills a machine of ours in two days."""


def worse_readings(
    seen: Sequence[Watched], *, others_since: datetime | None, alpha: float
) -> Iterator[tuple[GateReason, bool]]:
    """Readings that became worse, each with whether that is a proof; otherwise it is a doubt."""
    if others_since is None:
        return
    alike = [
        one for one in seen
        if one.is_watched and (not one.is_changed or abs(one.health.since - others_since) <= _SAME_HOURS)
    ]  # fmt: skip
    told = {metric for one in alike if one.is_changed for metric in one.health.readings}
    for metric, tolerance in KEY_READINGS.items():
        if metric not in told:
            continue
        unit = _unit(alike, metric) if tolerance.is_relative else 1.0
        jumps = [(one, now - before) for one in alike for before, now in [one.health.readings.get(metric, _NO)]]
        jumps = [pair for pair in jumps if not math.isnan(pair[1])]
        slopes = [(one, one.health.slopes[metric]) for one in alike if metric in one.health.slopes]
        yield from _judged("reading_worse", metric, jumps, tolerated=tolerance.jump * unit, alpha=alpha)
        yield from _judged("reading_grows", metric, slopes, tolerated=tolerance.an_hour * unit, alpha=alpha)


_NO = (math.nan, math.nan)
_Moves = Sequence[tuple[Watched, float]]
"""By how much a reading of each device moved."""


def _judged(
    code: str, metric: str, moves: _Moves, *, tolerated: float, alpha: float
) -> Iterator[tuple[GateReason, bool]]:
    of_models = _by_model(moves)
    for kind, value, members in [("all", "", moves), *of_models]:
        changed = [move for one, move in members if one.health.is_changed]
        if not changed or len(members) - len(changed) < _FEWEST_OTHERS:
            continue
        moved = median(changed) - median(move for one, move in members if not one.health.is_changed)
        if moved < tolerated * _DOUBTFUL_SHARE:
            continue
        p = statistics.mann_whitney(_by_role(members))
        # Half for jumps and half for growth, shared among readings, and among models.
        share = alpha / 2 / len(KEY_READINGS) / (1 if kind == "all" else len(of_models))
        is_proof = moved >= tolerated and p < statistics.spent(share, _look(members))
        if is_proof or p < _doubtful_p(moved, tolerated):
            facts: dict[str, str | int | float] = {
                "metric": metric, "kind": kind, "value": value, "by": moved, "changed": len(changed),
            }  # fmt: skip
            yield GateReason(code if is_proof else "reading_unclear", facts), is_proof
            return


def _doubtful_p(moved: float, tolerated: float) -> float:
    """More than is tolerated is doubted soon; less only when it is certain."""
    return 0.05 if moved >= tolerated else 0.0005


def _look(moves: _Moves) -> int:
    """The number of this look, from 1: it rises with each doubling of the time that the changed were watched."""
    longest = max((one.seconds for one, _ in moves if one.is_changed), default=0.0)
    return 1 + max(0, math.floor(math.log2(max(longest, 1.0) / _FIRST_LOOK_S)))


def _by_role(moves: _Moves) -> list[tuple[list[float], list[float]]]:
    """Moves of the changed and of the untouched, by role, where there are both."""
    groups: dict[str, tuple[list[float], list[float]]] = {}
    for one, move in moves:
        groups.setdefault(one.health.role, ([], []))[not one.is_changed].append(move)
    return [groups[role] for role in sorted(groups) if all(groups[role])]


def _by_model(moves: _Moves) -> list[tuple[str, str, _Moves]]:
    """Those of each model of which some were changed, if there are several models."""
    groups: dict[str, list[tuple[Watched, float]]] = {}
    for pair in moves:
        groups.setdefault(pair[0].health.model, []).append(pair)
    if len(groups) < 2:
        return []
    return [
        ("model", model, of) for model, of in sorted(groups.items()) if model and any(one.is_changed for one, _ in of)
    ]


def _unit(devices: Sequence[Watched], metric: str) -> float:
    """What untouched devices usually have; infinite, so that nothing is too much, where none tells."""
    usual = [one.health.readings[metric][0] for one in devices if metric in one.health.readings and not one.is_changed]
    return median(usual) if usual else math.inf
