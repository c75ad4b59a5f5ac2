"""When a rollout will be over, from what the database knows of it."""

from datetime import datetime

from sqlalchemy.orm import Session

from annexfleet_controller.rollouts import surroundings
from annexfleet_controller.rollouts.evidence import MEASURED
from annexfleet_controller.store import rollout_targets
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.waves import forecast
from annexfleet_controller.waves.forecast import Forecast


def foresee(db: Session, found: Detail, *, now: datetime, as_if_started: bool = False) -> Forecast:
    """The forecast over all its devices, also those that the asker does not see: it is one moment for all of them.

    `as_if_started`: what it would be if it were started, or let go on, now.
    """
    targets = rollout_targets.of_rollout(db, found.id)
    annexes = {target.annex_id for target in targets}
    return forecast.forecast(
        found.rollout, targets, surroundings.calendars_of(db, annexes),
        rollout_targets.durations(db, found.playbook, limit=MEASURED), now, as_if_started=as_if_started,
    )  # fmt: skip
