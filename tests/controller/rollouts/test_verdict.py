"""What a run's end comes to: never better than what is known."""

import pytest

from annexfleet_controller.rollouts.approved import verdict
from annexfleet_controller.rollouts.events import Story
from annexfleet_controller.rollouts.recorder import cancelled
from annexfleet_controller.store.run_progress import Batch, Progress


def story(*, begun: bool = True, statistics: bool = True) -> Story:
    made = Story({}, nonce=1, check=False)
    made.has_begun, made.has_statistics = begun, statistics
    return made


@pytest.mark.parametrize(
    ("ending", "statistics", "outcomes", "is_cancelled", "expected"),
    [
        ("", True, {"ok": 2, "changed": 1}, False, "ok"),
        ("", True, {"ok": 2, "failed": 1}, False, "failed"),
        ("", True, {"ok": 2, "unreachable": 1}, False, "failed"),
        ("", True, {"ok": 2, "skipped": 1}, False, "failed"),
        ("", True, {"ok": 2, "unknown": 1}, False, "unknown"),
        ("", True, {"ok": 2, "": 1}, False, "unknown"),
        ("", False, {"ok": 3}, False, "unknown"),
        ("cancelled", False, {"": 3}, True, "cancelled"),
        ("timed_out", False, {"": 3}, False, "timed_out"),
        ("cancelled", True, {"ok": 3}, True, "ok"),
        ("", True, {"ok": 2, "cancelled": 1}, True, "cancelled"),
    ],
)
def test_a_runs_outcome(ending: str, statistics: bool, outcomes: dict[str, int], is_cancelled: bool, expected: str):
    assert verdict(ending, story(statistics=statistics), outcomes, is_cancelled=is_cancelled).outcome == expected


def test_a_playbook_that_never_began_failed():
    judged = verdict("", story(begun=False, statistics=False), {"": 3})

    assert (judged.outcome, judged.problem, judged.rest) == ("failed", "playbook_unreadable", "unknown")


def test_what_fails_after_the_end_was_asked_for_is_cancelled():
    hosts = [
        Progress(device_number=n, state="ended", outcome=of) for n, of in enumerate(("failed", "ok", "unreachable"))
    ]

    assert [host.outcome for host in cancelled(Batch(hosts=hosts)).hosts] == ["cancelled", "ok", "cancelled"]
