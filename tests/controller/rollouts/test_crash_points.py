"""Whoever is killed, wherever: nothing is begun twice, nothing is lost, and the report is true."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.rollouts import scenarios
from tests.controller.rollouts.crashing import Crashes, Fragile, InProcesses
from tests.controller.rollouts.rolling import Province

from annexfleet_controller.rollouts import crash
from annexfleet_controller.waves import machine

_passed: dict[str, frozenset[str]] = {}
"""By story: the points that it passes when nobody is killed."""
_ends: dict[str, dict[int, dict[int, str]]] = {}


@pytest.fixture(autouse=True)
def _unhooked() -> Iterator[None]:
    yield
    crash.hook = None


def tell(name: str, of: Fragile) -> dict[int, dict[int, str]]:
    of.watch()
    found = scenarios.STORIES[name](of)
    for id_ in found:
        of.check(id_)
    return found


@pytest.mark.parametrize("name", scenarios.STORIES)
def test_undisturbed(name: str, sqlite_engine: Engine, tmp_path: Path):
    crashes = Crashes()
    _ends[name] = tell(name, Fragile(Province(tmp_path, sqlite_engine), crashes))
    _passed[name] = frozenset(crashes.passed)


def test_every_transition_has_a_crash_point():
    if len(_passed) < len(scenarios.STORIES):
        pytest.skip("needs the stories told before")
    missing = set(machine.POINTS) - set().union(*_passed.values())
    assert not missing, f"transitions that no story passes: {sorted(missing)}"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", scenarios.STORIES)
def test_killed_at_each_point_that_is_passed(name: str, when: str, sqlite_engine: Engine, tmp_path: Path):
    killed_everywhere(name, when, Province(tmp_path, sqlite_engine))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["a_good_night", "a_bad_release"])
def test_killed_on_both_databases(name: str, when: str, engine: Engine, tmp_path: Path):
    killed_everywhere(name, when, Province(tmp_path, engine))


def killed_everywhere(name: str, when: str, province: Province) -> None:
    crashes = Crashes(when)

    found = tell(name, Fragile(province, crashes))

    assert set(crashes.passed) == set(crashes.killed)
    if name in _ends:
        assert found == _ends[name]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_conductor_that_is_killed_by_the_kernel(when: str, engine: Engine, tmp_path: Path):
    crashes = Crashes(when)

    found = tell("an_empty_wave", InProcesses(Province(tmp_path, engine), crashes))

    assert len(crashes.killed) >= 6
    assert {state for of in found.values() for state in of.values()} == {"succeeded", "compliant"}
