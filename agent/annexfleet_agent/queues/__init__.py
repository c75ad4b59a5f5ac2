"""Where waiting people are counted: JSON over HTTP, SQL, a file, a command, or figures pushed to this agent.

Every source becomes the canonical row (`rows.Row`); only its numbers leave the device.
"""

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.report import Collector
from annexfleet_agent.queues.counting import BadSource, Counting, plan
from annexfleet_agent.queues.push import PushBoard
from annexfleet_agent.settings import Settings

__all__ = ["BadSource", "PushBoard", "collectors"]


def collectors(settings: Settings, clock: Clock, pushed: PushBoard | None = None) -> tuple[Collector, ...]:
    """The collector of all service queues; none where nothing counts people.

    `pushed` is the board that a PushServer fills.  Raises BadSource, which names the key of agent.toml.
    """
    plans = [plan(source, f"queue[{number}]") for number, source in enumerate(settings.queue)]
    fixed = [
        p.source.service for p in plans if "service" not in p.fields and p.rows is None and p.source.source != "sql"
    ]
    for number, service in enumerate(fixed):
        if service in fixed[:number]:
            raise BadSource(f"queue.service: {service!r} stands twice")
    if not plans and pushed is None:
        return ()
    asked = [source for source in settings.queue if source.source != "push"]
    return (
        Collector(
            name="queues",
            collect=Counting(plans, clock, pushed).collect,
            # The collector runs at the pace of the quickest source; each source is asked in its own period.
            period_s=min((source.period_s for source in asked), default=None),
            blocking=bool(asked),
            deadline_s=sum(source.timeout_s for source in asked) + 2.0,
        ),
    )
