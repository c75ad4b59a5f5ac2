"""A few of the releases of `tests/bench/test_releases.py`: one bad one of each kind, and good ones."""

import pytest
from tests.bench.releases import KINDS, Case, bad, good, is_in_canary, played

SMALL = 80


def _small(cases: list[Case], kind: str) -> Case:
    return next(case for case in cases if case.kind == kind and case.target_count <= SMALL)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_release_is_stopped_early(kind: str):
    case = _small(list(bad(90, seed=7)), kind)

    told = played(case)

    assert told.stopped_at is not None
    assert told.evidence_at is not None
    assert (told.stopped_at - told.evidence_at).total_seconds() <= 10
    assert told.begun_after_stop == 0
    assert len(told.harmed) <= case.most_touched
    if is_in_canary(told):  # no canary holds what it has no place for
        assert told.touched_at_stop <= case.most_touched


@pytest.mark.parametrize("seed", [1, 2])
def test_a_good_release_is_not_stopped(seed: int):
    told = played(_small(list(good(20, seed=seed)), "good"))

    assert told.stopped_at is None
