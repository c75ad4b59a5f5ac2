"""Days that lie behind, told through the outbox, so that charts are not empty on the first day.

The items go the way of a real backlog: into the outbox with the moments at which they would have been made, over the
wire after the connection, and into history by the ingest.  Their number is bounded: half-hour beats for the days before
the last one, five-minute beats and changes for the last.
"""

from collections.abc import Sequence

from annexfleet_agent.digest import Digest
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.protocol.messages import Item
from annexfleet_agent.protocol.metrics import CATALOGUE
from annexfleet_controller.simulate.measured import View, collectors_of
from annexfleet_controller.simulate.province import Machine
from annexfleet_controller.simulate.world import World

LAST_DAY_S = 86_400.0
FINE_BEAT_S, COARSE_BEAT_S = 300.0, 1800.0
"""One sample a beat: a week of 40 devices shall not take longer to make up than to look at."""
FINE_STEP_S, COARSE_STEP_S = 30.0, 60.0
MOST_DAYS = 7.0
_AT_ONCE = 400
"""Items a transaction of the outbox."""
_WITH_NUMBERS = {metric.collector for metric in CATALOGUE.values() if metric.kind == "gauge"}


class Teller:
    """What one machine would have said."""

    def __init__(self, machine: Machine, view: View) -> None:
        self.machine = machine
        self.items: list[Item] = []
        # Facts alone make no chart: what they are now is told when the agent starts.
        self._collect = [(name, getattr(view, name)) for name in collectors_of(machine) if name in _WITH_NUMBERS]
        self._digest = Digest()

    def sample(self, *, now: float, at: float, with_changes: bool) -> None:
        """Take one sample at `now` of the world, which was `at` by the device's clock, and sum it up as a beat."""
        if not self.machine.running:
            return
        for name, collect in self._collect:
            change = self._digest.take(name, collect(), at=at, mono=now)
            if change is not None and with_changes:
                self.items.append(change)
        beat = self._digest.beat(at=at, mono=now)
        if beat is not None:
            self.items.append(beat)


def make_up(world: World, until: float, tellers: Sequence[Teller], *, offset_s: float) -> None:
    """Let the world pass from its now to `until` (both by its own clock) while the tellers note what they see.

    `offset_s` turns the world's time into the devices'.
    """
    province = world.province
    world.quiet = True
    while province.now < until:
        fine = until - province.now <= LAST_DAY_S
        seconds = min(FINE_BEAT_S if fine else COARSE_BEAT_S, until - province.now)
        world.advance(seconds, step_s=FINE_STEP_S if fine else COARSE_STEP_S)
        for teller in tellers:
            teller.sample(now=province.now, at=province.now + offset_s, with_changes=fine)
    world.quiet = False


def hand_over(teller: Teller, outbox: Outbox) -> None:
    """Put what was noted into the outbox, oldest first."""
    for start in range(0, len(teller.items), _AT_ONCE):
        outbox.put(*teller.items[start : start + _AT_ONCE])
    teller.items.clear()
