"""A province whose time goes on: the day, its troubles, and how its clock stands to the real one."""

import logging
from datetime import datetime, timedelta

from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.simulate import day, troubles
from annexfleet_controller.simulate.province import Province
from annexfleet_controller.zones import PROVINCE

log = logging.getLogger(__name__)

STEP_S = 30.0
"""Troubles begin and end on such steps, or shorter ones."""
DULL_HOUR_INSTEAD = "10:00"
"""Where `open` is asked for and the annexes are closed."""


class World:
    """The province and its clock."""

    def __init__(self, province: Province, script: list[troubles.Trouble]) -> None:
        self.province = province
        self.disturbance = troubles.Disturbance(script, province)
        self.quiet = False
        """True while the past is made up: its troubles are not logged."""

    def advance(self, seconds: float, *, step_s: float = STEP_S) -> None:
        """Let so many simulated seconds pass."""
        left = seconds
        while left > 0:
            step = min(left, step_s)
            left -= step
            begun, ended = self.disturbance.apply()
            if not self.quiet:
                for trouble in begun:
                    log.info("trouble begins kind=%s annex=%s", trouble.kind, trouble.annex)
                for trouble in ended:
                    log.info("trouble ends kind=%s annex=%s", trouble.kind, trouble.annex)
            day.advance(self.province, step)


def beginning(hour: str, now: datetime) -> datetime:
    """The world's first moment: now, or the last such hour of a working day in the province.

    `hour` is empty (now), HH:MM, or `open`: now if the annexes are open, else at a time when they are.
    Raises SettingsWrong.
    """
    local = now.astimezone(PROVINCE)
    if not hour or (hour == "open" and day.is_open(local)):
        return now
    try:
        wanted = datetime.strptime(DULL_HOUR_INSTEAD if hour == "open" else hour, "%H:%M").time()  # noqa: DTZ007
    except ValueError:
        raise SettingsWrong(f"--hour: {hour!r} is neither HH:MM nor the word open") from None
    moment = local.replace(hour=wanted.hour, minute=wanted.minute, second=0, microsecond=0)
    while moment > local or moment.weekday() >= 5:
        moment -= timedelta(days=1)
    return moment
