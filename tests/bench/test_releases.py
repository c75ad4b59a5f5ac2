"""200 bad and 200 good releases, rehearsed: how many devices were touched before STOP, how soon, and false STOPs."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import pytest
from tests.bench.releases import KINDS, Case, bad, good, is_in_canary, played

from annexfleet_controller.waves.rehearsal import Story

pytestmark = pytest.mark.bench

COUNT = 200
MOST_S = 10.0


class Played(NamedTuple):
    case: Case
    story: Story

    @property
    def is_shown_to_canary(self) -> bool:
        return is_in_canary(self.case, self.story)

    @property
    def hours_to_stop(self) -> float:
        assert self.story.stopped_at is not None
        return (self.story.stopped_at - self.story.started_at).total_seconds() / 3600

    @property
    def lag_s(self) -> float:
        assert self.story.stopped_at is not None
        assert self.story.evidence_at is not None
        return (self.story.stopped_at - self.story.evidence_at).total_seconds()


def test_bad_releases_are_stopped():
    everything = [Played(case, played(case)) for case in bad(COUNT)]
    for kind in KINDS:
        for shown in (True, False):
            _row(kind, [one for one in everything if (one.case.kind, one.is_shown_to_canary) == (kind, shown)], shown)

    for one in everything:
        assert one.story.stopped_at is not None
        assert one.story.begun_after_stop == 0
        assert one.lag_s <= MOST_S
        if one.is_shown_to_canary:
            assert one.story.touched_at_stop <= one.case.most_touched
        else:
            assert len(one.story.harmed) <= one.case.most_touched


def _row(kind: str, of: Sequence[Played], shown: bool) -> None:
    if not of:
        return
    within = sum(one.story.touched_at_stop <= one.case.most_touched for one in of)
    harmed = sum(len(one.story.harmed) <= one.case.most_touched for one in of)
    ratio = max(one.story.touched_at_stop / one.case.target_count for one in of)
    print(
        f"{kind:18} {'in' if shown else 'not in'} canary: {len(of):3} releases, touched within the bar {within:3}"
        f" (most {ratio:.0%}), harmed within it {harmed:3}, hours to STOP {median(o.hours_to_stop for o in of):5.1f}"
        f" (most {max(o.hours_to_stop for o in of):5.1f}), after evidence {max(o.lag_s for o in of):.1f} s"
    )


def test_good_releases_are_not_stopped():
    stories = [played(case) for case in good(COUNT)]
    stopped = [story for story in stories if story.stopped_at is not None]
    done = sum(story.rollout.state == "done" for story in stories)
    print(f"good: {len(stories)} releases, {len(stopped)} false STOPs, {done} done")

    for story in stopped:
        print(story.last_verdict)
    assert not stopped
