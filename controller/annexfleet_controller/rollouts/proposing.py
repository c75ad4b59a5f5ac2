"""Rollouts as people and programs ask for them: what pages, the API and the command line share.

The one door: what is thought through for a draft is in `drafting.py`, what becomes of it in `steering.py`, and how one
rollout leads to the next in `repeating.py`.
"""

from annexfleet_controller.rollouts.drafting import (
    LEAST_DEADLINE_S,
    MOST_DEADLINE_S,
    USUAL_DEADLINE_S,
    Preview,
    Wish,
    meant,
    preview,
    wish_of,
)
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.rollouts.repeating import WayBack, clone, dry_run, edit, retry_failed, roll_back
from annexfleet_controller.rollouts.repeating import create as draft
from annexfleet_controller.rollouts.steering import (
    abort,
    approve,
    pause,
    reject,
    resume,
    start,
    submit,
    withdraw,
)

__all__ = [
    "LEAST_DEADLINE_S", "MOST_DEADLINE_S", "USUAL_DEADLINE_S", "Asker", "Preview", "WayBack", "Wish", "abort",
    "approve", "clone", "draft", "dry_run", "edit", "meant", "pause", "preview", "reject", "resume", "retry_failed",
    "roll_back", "start", "submit", "wish_of", "withdraw",
]  # fmt: skip
