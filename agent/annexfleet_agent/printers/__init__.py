"""Printers: what the print server knows of its queues, and what each printer says of itself."""

from collections.abc import Callable

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.report import Collector
from annexfleet_agent.printers.room import Room
from annexfleet_agent.settings import Settings

LEAST_PERIOD_S = 30.0
"""Printers with old firmware suffer from being asked more often."""


def collector(
    settings: Settings, clock: Clock, probed_elsewhere: Callable[[], frozenset[str]] = frozenset
) -> Collector:
    """The collector `printers`.

    `probed_elsewhere` gives the addresses (`host:port`) of printers that another device of the annex asks; of these
    only the facts of the local queue are reported.
    """
    printing = settings.printing
    room = Room(settings, clock, probed_elsewhere, device_period_s=max(printing.device_period_s, LEAST_PERIOD_S))
    return Collector(
        name="printers",
        collect=room.collect,
        period_s=printing.period_s,
        blocking=True,
        # Two questions to the print server, then one round of the printers.
        deadline_s=max(20.0, 3 * printing.timeout_s + 5),
        kept_fresh=False,
    )
