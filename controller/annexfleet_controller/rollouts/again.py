"""Whether a rollout's run whose process died may be begun again: it meets what its first attempt met.

Its window may have closed since, people may have come, and an annex may have less to spare.  A run that a person asked
for is theirs to judge, and is always begun again.
"""

from datetime import datetime, timedelta
from statistics import median
from typing import Literal

from sqlalchemy.orm import Session

from annexfleet_controller.rollouts import evidence
from annexfleet_controller.rollouts.eyes import Eyes, is_anybody_heard
from annexfleet_controller.store import rollout_targets, rollouts, run_queue
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.waves import budget, windows

Answer = Literal["yes", "no", "later"]


def answer(db: Session, run_id: int, *, now: datetime) -> Answer:
    """Yes; no, it is not the time for it any more; or later, for nobody can be heard now and so nobody knows."""
    rollout_id = run_queue.of_rollout(db, run_id)
    if rollout_id is None:
        return "yes"
    found = rollouts.find(db, WHOLE, rollout_id)
    if found.state != "running" or (found.deadline_at is not None and now >= found.deadline_at):
        return "no"
    if not is_anybody_heard(db, now):
        return "later"
    return "yes" if _may_all(db, found, run_queue.unfinished(db, run_id), now) else "no"


def _may_all(db: Session, found: Detail, numbers: list[int], now: datetime) -> bool:
    """Whether window, people waiting and budget of their annexes allow all of these devices together."""
    eyes = Eyes()
    eyes.look(db, now=now, watched_since=now - timedelta(hours=1))
    if any(number not in eyes.devices for number in numbers):
        return False  # out of service since
    measured = rollout_targets.durations(db, found.playbook, limit=evidence.MEASURED)
    takes_s = median(measured) if measured else found.nature.takes_s
    by_annex: dict[str, list[int]] = {}
    for number in numbers:
        by_annex.setdefault(eyes.devices[number].annex_id, []).append(number)
    standing, _ = evidence.annexes_now(db, eyes, by_annex, now=now, but=numbers)
    for annex_id, of in by_annex.items():
        calendar = eyes.calendars.get(annex_id)
        if calendar is None or not windows.now(calendar, found.policy, now).has_room(now, takes_s):
            return False
        chosen, _ = budget.allowed(
            [eyes.devices[number] for number in of], annex=standing[annex_id], nature=found.nature, at_most=len(of)
        )
        if len(chosen) < len(of):
            return False
    return True
