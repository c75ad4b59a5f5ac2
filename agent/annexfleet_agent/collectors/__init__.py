"""One file for each thing measured; all of them are written out here.

How a collector behaves, and how to add one: README.md in this folder.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors import (
    agent,
    battery,
    cpu,
    disk,
    load,
    memory,
    network,
    portal,
    processes,
    reboot,
    temperature,
    units,
    updates,
    uptime,
)
from annexfleet_agent.collectors import (
    clock as clock_,
)
from annexfleet_agent.collectors.report import Collector
from annexfleet_agent.collectors.tree import tree_at
from annexfleet_agent.protocol.messages import Portal
from annexfleet_agent.settings import Settings

if TYPE_CHECKING:
    from annexfleet_agent.queues import PushBoard


def all_of(
    settings: Settings,
    clock: Clock,
    root: Path = Path("/"),
    extra: Sequence[Collector] = (),
    *,
    desired_portals: Callable[[], Sequence[Portal]] = tuple,
    probed_elsewhere: Callable[[], frozenset[str]] = frozenset,
    pushed: "PushBoard | None" = None,
    heals: bool = False,
) -> tuple[Collector, ...]:
    """Every collector of a device, without those that agent.toml disables.

    One of `extra` takes the place of the collector of its name: the running agent hands in `agent.collector(...)` with
    its outbox's figures, the simulator hands in whole devices.  `root` is where files are read that psutil does not
    read (tree.py).  The callables and the board are what the controller wishes now, and what was pushed.  `heals`: the
    printers' collector may resume stopped queues.  Raises queues.BadSource, which names the key of agent.toml.
    """
    from annexfleet_agent import printers, queues  # noqa: PLC0415  # they import this room's report

    tree = tree_at(root)
    known = (
        cpu.collector(),
        load.collector(),
        memory.collector(),
        disk.collector(tree, settings.collectors.mounts),
        network.collector(tree, clock),
        battery.collector(tree),
        temperature.collector(),
        uptime.collector(clock),
        clock_.collector(tree, clock),
        reboot.collector(tree),
        updates.collector(tree),
        units.collector(tree),
        processes.collector(settings.collectors.processes),
        agent.collector(clock=clock),
        portal.collector(settings, clock, desired_portals),
        printers.collector(settings, clock, probed_elsewhere, heals=heals),
        *queues.collectors(settings, clock, pushed),
    )
    replaced = {collector.name for collector in extra} | set(settings.collectors.disabled)
    disabled = set(settings.collectors.disabled)
    return tuple(
        [collector for collector in known if collector.name not in replaced]
        + [collector for collector in extra if collector.name not in disabled]
    )
