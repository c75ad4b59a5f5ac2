"""How long a wave is watched: so much time, and so much of it in opening hours, as some faults show only under load."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median_high

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.calendars.calendar import HORIZON_DAYS
from annexfleet_controller.waves.gate import Soak
from annexfleet_controller.waves.model import Policy, Rollout, Target


def soak(rollout: Rollout, targets: Sequence[Target], calendars: Mapping[str, Calendar]) -> Soak:
    """The soak of the wave that a rollout is in; of nothing while it rolls."""
    if not rollout.phase and rollout.wave >= 1:
        return Soak(is_over=True)
    if rollout.phase != "soaking" or rollout.wave_since is None:
        return Soak()
    began_at = rollout.wave_since
    is_last = rollout.wave >= max((target.wave for target in targets), default=0)
    annexes = {
        target.annex_id
        for target in targets
        if target.is_touched and (target.wave == rollout.wave or (is_last and watches_on(rollout.policy)))
    }
    of = [calendars[one] for one in sorted(annexes) if one in calendars]
    return Soak(began_at=began_at, due_at=due(rollout.policy, rollout.wave, began_at, of, is_last=is_last))


def due(
    policy: Policy, wave: int, since: datetime, calendars: Sequence[Calendar], *, is_last: bool
) -> datetime:  # fmt: skip
    """When a wave was watched for long enough; `calendars` has one for each annex that is watched.

    The gate and the forecast both ask this, so that what is foretold is what is done.
    """
    lasts_s, open_s = length(policy, wave, is_last=is_last)
    due_at = since + timedelta(seconds=lasts_s)
    reached = open_for(since, open_s, calendars) if open_s > 0 else None
    return max(due_at, reached or due_at)


def length(policy: Policy, wave: int, *, is_last: bool) -> tuple[float, float]:
    """Seconds for which this wave is watched, and seconds of them in opening hours."""
    lasts_s, open_s = (
        (policy.canary_soak_s, policy.canary_soak_open_s) if wave == 1 else (policy.soak_s, policy.soak_open_s)
    )
    if is_last:
        return max(lasts_s, policy.last_soak_s), max(open_s, policy.last_soak_open_s)
    return lasts_s, open_s


def watches_on(policy: Policy) -> bool:
    """Whether all that was changed is watched once more after the last wave."""
    return policy.last_soak_s > 0 or policy.last_soak_open_s > 0


def open_for(since: datetime, seconds: float, calendars: Sequence[Calendar]) -> datetime | None:
    """When half of these annexes have been open for so long since then.

    None where they are not within 60 days: then there is nothing to wait for.
    """
    # Annexes with the same hours share a calendar: it is asked once.
    reached_by = {id(calendar): _open_for(since, seconds, calendar) for calendar in calendars}
    found = [reached_by[id(calendar)] for calendar in calendars]
    far = since + timedelta(days=HORIZON_DAYS)
    reached = median_high([one or far for one in found]) if found else far
    return reached if reached < far else None


def _open_for(since: datetime, seconds: float, calendar: Calendar) -> datetime | None:
    left = seconds
    days = 2
    while days <= 2 * HORIZON_DAYS:
        left = seconds
        for opens_at, closes_at in calendar.spans(since, since + timedelta(days=min(days, HORIZON_DAYS))):
            lasts_s = (closes_at - opens_at).total_seconds()
            if lasts_s >= left:
                return opens_at + timedelta(seconds=left)
            left -= lasts_s
        days *= 4
    return None
