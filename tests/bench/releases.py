"""Bad and good releases, drawn from a seed, and what became of each in a rehearsal."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from msgspec import structs
from tests.controller.waves.towns import province

from annexfleet_controller.waves.documents import PRESETS
from annexfleet_controller.waves.mishaps import Fault
from annexfleet_controller.waves.model import Expectation, Nature, Policy
from annexfleet_controller.waves.rehearsal import Background, Release, Script, Setting, Story, rehearse

KINDS = ("crash at once", "crash after an hour", "slow leak", "one model only", "one annex only", "only under load")
NATURE = Nature(configures="agent", expects=(Expectation(fact="agent_version", equals="2.0"),), takes_s=240)
_MONDAY = datetime(2026, 10, 5, 15, 0, tzinfo=UTC)


class Case(NamedTuple):
    kind: str
    setting: Setting
    script: Script
    start_at: datetime

    @property
    def target_count(self) -> int:
        return len(self.setting.candidates)

    @property
    def most_touched(self) -> int:
        """The bar."""
        return max(2, self.target_count * 5 // 100)


def is_in_canary(story: Story) -> bool:
    """Whether the first wave held a device that this release harms: no plan can find a fault in what it leaves out."""
    return not set(story.plan.waves[0].devices).isdisjoint(story.harmed)


def unseen_kinds(case: Case) -> int:
    """How many models, or annexes, there are where the release harms one of them only: a plan that knows nothing of it
    has to touch so many devices, in the worst case, before it touches one that is harmed; else 1."""
    if case.kind == "one model only":
        return len({of.model for of in case.setting.candidates})
    return len(case.setting.structure) if case.kind == "one annex only" else 1


def bad(count: int, *, seed: int = 1) -> Iterator[Case]:
    """So many bad releases, the kinds in turn."""
    for index in range(count):
        kind = KINDS[index % len(KINDS)]
        draw = Random(f"bad:{seed}:{index}")
        setting = _setting(draw)
        yield _case(kind, setting, _release(kind, setting, draw), draw)


def good(count: int, *, seed: int = 1) -> Iterator[Case]:
    for index in range(count):
        draw = Random(f"good:{seed}:{index}")
        yield _case("good", _setting(draw), Release(), draw)


def played(case: Case, policy: Policy | None = None) -> Story:
    return rehearse(
        case.setting, policy or PRESETS["careful"], NATURE, case.script, start_at=case.start_at, deadline_s=3 * 86_400.0
    )


def _setting(draw: Random) -> Setting:
    devices = draw.choice((40, 80, 150, 150, 300))
    return province(devices, max(3, devices // draw.choice((7, 10, 14))), seed=draw.randrange(10**6))


def _case(kind: str, setting: Setting, release: Release, draw: Random) -> Case:
    script = Script(
        release=release, background=Background(), new_facts={"agent_version": "2.0"}, seed=draw.randrange(10**6)
    )
    return Case(kind, setting, script, _MONDAY + timedelta(minutes=draw.randrange(3 * 1440)))


def _release(kind: str, setting: Setting, draw: Random) -> Release:
    alike = {
        "slow leak": Release(fault="leak", leak_an_hour=draw.uniform(0.015, 0.08)),
        "only under load": Release(fault="under_load", crashes_an_open_hour=draw.uniform(0.5, 2)),
    }
    if kind in alike:
        return alike[kind]
    if kind == "crash after an hour":
        after_s = draw.uniform(2400, 5400)
        if draw.random() < 0.4:
            return Release(fault="crash_loop", after_s=after_s, every_s=draw.uniform(300, 1800))
        return Release(fault="crash", after_s=after_s, share=draw.uniform(0.6, 1))
    if kind == "crash at once":
        faults: tuple[Fault, ...] = ("crash", "crash", "play_fails", "hangs", "crash_loop", "crash_loop")
        fault = draw.choice(faults)
        return Release(fault=fault, every_s=draw.uniform(60, 400), share=draw.uniform(0.7, 1))
    narrowed = Release(fault=draw.choice(("crash", "crash_loop", "play_fails")), after_s=draw.choice((0, 0, 1800)))
    if kind == "one model only":
        models = sorted({of.model for of in setting.candidates})
        return structs.replace(narrowed, models=(draw.choice(models),))
    return structs.replace(narrowed, annexes=(draw.choice(sorted(setting.structure)),))
