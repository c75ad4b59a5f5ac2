"""Printers: what the print server knows of its queues, and what each printer says of itself."""

from collections.abc import Callable

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.report import Collector
from annexfleet_agent.printers.room import Room
from annexfleet_agent.settings import Settings

LEAST_PERIOD_S = 30.0
"""Printers with old firmware suffer from being asked more often."""


def collector(
    settings: Settings,
    clock: Clock,
    probed_elsewhere: Callable[[], frozenset[str]] = frozenset,
    *,
    heals: bool = False,
) -> Collector:
    """The collector `printers`.

    `probed_elsewhere` gives the addresses (`host:port`) of printers that another device of the annex asks; of these
    only the facts of the local queue are reported.  `heals`: stopped queues may be resumed, which the running agent
    does and nobody who only looks.
    """
    printing = settings.printing
    room = Room(
        settings, clock, probed_elsewhere, device_period_s=max(printing.device_period_s, LEAST_PERIOD_S), heals=heals
    )
    return Collector(
        name="printers",
        collect=room.collect,
        period_s=printing.period_s,
        blocking=True,
        # Two questions to the print server, one round of the printers, one question more and a resumption.
        deadline_s=max(20.0, 5 * printing.timeout_s + 5),
        kept_fresh=False,
    )
