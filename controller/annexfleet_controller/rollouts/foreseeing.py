"""When a rollout will be over, and when each of its waves is expected, from what the database knows of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.rollouts import surroundings
from annexfleet_controller.rollouts.drafting import Preview, Wish
from annexfleet_controller.rollouts.evidence import MEASURED
from annexfleet_controller.store import rollout_targets
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.waves import forecast
from annexfleet_controller.waves.forecast import Forecast
from annexfleet_controller.waves.model import Rollout, Target


def foresee(db: Session, found: Detail, *, now: datetime, as_if_started: bool = False) -> Forecast:
    """The forecast over all its devices, also those that the asker does not see: it is one moment for all of them.

    `as_if_started`: what it would be if it were started, or let go on, now.
    """
    targets = rollout_targets.of_rollout(db, found.id)
    return _told(
        db, found.rollout, targets, found.playbook, now=now, as_if_started=as_if_started, deadline_s=found.deadline_s
    )  # fmt: skip


def of_preview(db: Session, preview: Preview, wish: Wish, *, now: datetime) -> Forecast:
    """When what is only thought of would be over if it began now."""
    targets = [
        Target(number=number, annex_id=preview.candidates[number].annex_id, wave=wave.number, position=position)
        for wave in preview.plan.waves
        for position, number in enumerate(wave.devices)
    ]
    rollout = Rollout(id=0, state="draft", policy=wish.policy, nature=preview.nature)
    return _told(db, rollout, targets, wish.playbook, now=now, as_if_started=True, deadline_s=wish.deadline_s)


def _told(
    db: Session,
    rollout: Rollout,
    targets: Sequence[Target],
    playbook: str,
    *,
    now: datetime,
    as_if_started: bool,
    deadline_s: float,
) -> Forecast:
    hours: Mapping[str, Calendar] = surroundings.calendars_of(db, {target.annex_id for target in targets})
    durations = rollout_targets.durations(db, playbook, limit=MEASURED)
    return forecast.forecast(
        rollout, targets, hours, durations, now, as_if_started=as_if_started, deadline_s=deadline_s
    )  # fmt: skip
