"""Devices that get worse after a run, and mishaps as troubles: in the words of rehearsals."""

from pathlib import Path

import pytest
from tests.controller.simulate.conftest import MONDAY_NOON

from annexfleet_controller.simulate import troubles
from annexfleet_controller.simulate.province import Machine, Province, build
from annexfleet_controller.simulate.world import World
from annexfleet_controller.simulate.worse import Worsening, troubles_of
from annexfleet_controller.waves.mishaps import FAULTS, MISHAPS
from annexfleet_controller.waves.rehearsal.script import Mishap, Release

HOUR_S = 3600.0


@pytest.fixture
def province() -> Province:
    """A small one, whose days pass quickly."""
    return build(2, 8, now=MONDAY_NOON)


class Life:
    """A machine of a province, changed at once, hour by hour."""

    def __init__(self, province: Province, release: Release, *, is_changed: bool = True) -> None:
        self.world = World(province, [])
        self.machine: Machine = province.annexes[0].machines[0]
        self.worsening = Worsening(release, self.machine, seed=1)
        if is_changed:
            self.worsening.changed(province.now)

    def live(self, hours: float, *, step_s: float = 120.0) -> None:
        for _ in range(round(hours * HOUR_S / step_s)):
            self.world.advance(step_s, step_s=step_s)
            self.worsening.pass_time(self.world.province)


def test_one_that_crashes_after_an_hour(province: Province):
    life = Life(province, Release(fault="crash", after_s=HOUR_S))

    life.live(0.9)
    assert life.machine.running
    life.live(0.2)
    assert not life.machine.running
    life.live(10)
    assert not life.machine.running, "for good"


def test_one_that_leaks_starts_anew_when_it_is_full(province: Province):
    life = Life(province, Release(fault="leak", leak_an_hour=0.05))

    life.live(2)
    assert life.machine.leaked == pytest.approx(0.1, abs=0.01)
    life.live(14)
    assert life.machine.agent_starts >= 1
    assert life.machine.leaked < 0.5


def test_one_that_starts_again_and_again(province: Province):
    life = Life(province, Release(fault="crash_loop", after_s=600, every_s=300))

    life.live(0.5)

    assert life.machine.agent_starts in (3, 4)


def test_one_that_falls_silent_only_while_people_are_served(province: Province):
    province.now += 5 * HOUR_S  # the evening
    life = Life(province, Release(fault="under_load", crashes_an_open_hour=1000))

    life.live(8)
    assert life.machine.running
    life.live(12)
    assert not life.machine.running


@pytest.mark.parametrize("fault", FAULTS)
def test_before_a_run_nothing_is_worse(province: Province, fault: str):
    life = Life(province, Release(fault=fault, leak_an_hour=0.5), is_changed=False)  # type: ignore[arg-type]

    life.live(4)

    assert (life.machine.running, life.machine.leaked, life.machine.agent_starts) == (True, 0.0, 0)


def test_only_devices_that_are_named_have_it(province: Province):
    release = Release(fault="play_fails", roles=("kiosk",))

    failing = {m.role for m in province.machines if Worsening(release, m, seed=1).fails}
    large = build(3, 60, now=MONDAY_NOON)
    share = sum(Worsening(Release(fault="hangs", share=0.5), m, seed=1).hangs for m in large.machines)

    assert failing == {"kiosk"}
    assert 15 < share < 45, "about half of 60"


def test_mishaps_befall_so_many_and_pass(province: Province):
    mishaps = [Mishap(kind="link", count=3, at_s=600, lasts_s=30 * HOUR_S), Mishap(kind="off", count=2, lasts_s=HOUR_S)]
    mishaps.append(Mishap(kind="power", count=1, at_s=600, lasts_s=HOUR_S))
    world = World(province, troubles_of(mishaps, province, seed=1))

    world.advance(60)
    first = sum(m.link_lost for m in province.machines), sum(m.switched_off for m in province.machines)
    world.advance(1200)
    later = sum(m.link_lost for m in province.machines), sum(not annex.power for annex in province.annexes)
    world.advance(2 * HOUR_S, step_s=300)
    after = sum(m.link_lost for m in province.machines), sum(m.switched_off for m in province.machines)
    world.advance(30 * HOUR_S, step_s=600)

    assert (first, later, after) == ((0, 2), (3, 1), (3, 0))
    assert not any(m.link_lost for m in province.machines)
    assert all(annex.power for annex in province.annexes)


@pytest.mark.parametrize("kind", MISHAPS)
def test_a_script_has_the_words_of_rehearsals(tmp_path: Path, kind: str):
    file = tmp_path / "script.toml"
    file.write_text(f'[[trouble]]\nkind = "{kind}"\nafter_minutes = 0\nminutes = 4320\n')

    assert troubles.load(file)[0].kind == kind
