"""Of a kind that nobody knows yet few are begun, whatever the devices."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bench.releases import bad
from tests.controller.waves.provinces import candidate

from annexfleet_controller.waves.comparing import hears_one
from annexfleet_controller.waves.exposure import LEAST, SHARE, kinds
from annexfleet_controller.waves.model import Candidate, Nature, Plan, Policy
from annexfleet_controller.waves.plan import plan

NATURE = Nature(configures="agent")


def most_exposed(devices: list[Candidate], found: Plan) -> dict[tuple[str, ...], int]:
    """By kind, how many of it were begun before enough of it had soaked."""
    of = {device.number: kinds(device) for device in devices}
    everybody = Counter(kind for device in devices for kind in kinds(device))
    begun, exposed, done = Counter(), {}, 0
    for wave in found.waves:
        known = {
            kind for kind, count in begun.items()
            if count >= min(2, everybody[kind]) or (kind in exposed and exposed[kind][1])
        }  # fmt: skip
        here = Counter(kind for number in wave.devices for kind in of[number])
        done += len(wave.devices)
        for kind, count in here.items():
            begun[kind] += count
            if kind not in known:
                exposed[kind] = (begun[kind], hears_one(done, 0.05))
    return {kind: count for kind, (count, _) in exposed.items()}


@given(st.integers(1, 400), st.integers(1, 60), st.integers(1, 8), st.randoms(use_true_random=False))
def test_no_kind_is_exposed_more_than_a_little_before_some_of_it_has_soaked(
    count: int, annexes: int, models: int, chance: random.Random
):
    devices = [
        candidate(
            number, chance.choice(("counter", "counter", "kiosk", "server")),
            annex_id=f"annex-{chance.randrange(annexes)}", model=f"m-{chance.randrange(models) * chance.randrange(2)}",
            connected=chance.random() < 0.8,
        )
        for number in range(1, count + 1)
    ]  # fmt: skip
    everybody = Counter(kind for device in devices for kind in kinds(device))

    found = plan(devices, Policy(), NATURE, structure={})

    for kind, exposed in most_exposed(devices, found).items():
        assert exposed <= max(LEAST, SHARE * everybody[kind]), kind
    assert sum(len(wave.devices) for wave in found.waves) == count


def test_a_canary_that_was_asked_for_is_as_large_as_asked():
    devices = [candidate(number, annex_id="one", model="M") for number in range(1, 31)]

    assert len(plan(devices, Policy(canary_count=10), NATURE, structure={}).waves[0].devices) == 10


@pytest.mark.parametrize("kind", ["annex", "model"])
def test_in_a_province_every_kind_is_known_by_the_third_wave(kind: str):
    for case in bad(6, seed=3):
        of = {one.number: one for one in case.setting.candidates}
        found = plan(list(of.values()), Policy(), NATURE, structure=case.setting.structure)
        first = [number for wave in found.waves[:3] for number in wave.devices]
        name = "annex_id" if kind == "annex" else "model"
        assert {getattr(of[number], name) for number in first} == {getattr(one, name) for one in of.values()}
