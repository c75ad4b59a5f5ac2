"""The waves: a varied canary, growing ones after it, and the devices of one annex apart."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controller.waves.provinces import candidate

from annexfleet_controller.readiness.model import All, Leaf, Need
from annexfleet_controller.things import Thing
from annexfleet_controller.waves.model import Expectation, Impossible, Nature, Policy
from annexfleet_controller.waves.plan import plan

NATURE = Nature(configures="agent")
VERSION = Nature(configures="agent", expects=(Expectation(fact="agent_version", equals="0.2.0"),))


def counters(annex, count, at_least=1, full=1, first=1, **of):
    """So many counters of an annex, and what its one service needs of them."""
    devices = [candidate(first + number, annex_id=annex, **of) for number in range(count)]
    leaves = tuple(Leaf(Thing("device", device.id), device.name, "ok") for device in devices)
    return devices, {annex: {"residence": All((Need("counter", at_least, leaves, full),))}}


def province(annexes, each, **of):
    devices, structure = [], {}
    for number in range(annexes):
        more, needs = counters(f"annex-{number}", each, first=1 + number * each, **of)
        devices += more
        structure |= needs
    return devices, structure


def planned(devices, structure=None, policy=None, nature=NATURE, **of):
    return plan(devices, policy or Policy(), nature, structure=structure or {}, **of)


def sizes(of):
    return [len(wave.devices) for wave in of.waves]


@pytest.mark.parametrize(
    ("count", "policy", "expected"),
    [
        (0, Policy(), []),
        (1, Policy(), [1]),
        (2, Policy(), [2]),
        (3, Policy(), [2, 1]),
        (59, Policy(), [2, 6, 24, 27]),
        (60, Policy(), [3, 9, 36, 12]),
        (300, Policy(), [15, 45, 180, 60]),
        (300, Policy(canary_count=4), [4, 12, 48, 192, 44]),
        (300, Policy(growth=1.0), [15, 15, 30, 60, 120, 60]),
        (30, Policy(canary_count=10, growth=1.1), [10, 11, 9]),
        (300, Policy(most_in_wave=50), [15, 45, 50, 50, 50, 50, 40]),
        (300, Policy(most_in_wave=6), [6] * 50),
        (5, Policy(canary_count=9), [5]),
    ],
)
def test_waves_grow(count, policy, expected):
    devices = [candidate(number, annex_id=f"annex-{number}") for number in range(1, count + 1)]

    found = planned(devices, policy=policy)

    assert sizes(found) == expected
    assert [wave.number for wave in found.waves] == list(range(1, len(expected) + 1))
    assert all(("canary" in wave.why) is (wave.number == 1) for wave in found.waves)


def test_those_that_have_it_or_take_no_commands_are_left_out_and_listed():
    devices = [
        candidate(1, facts={"agent_version": "0.2.0"}),
        candidate(2, facts={"agent_version": "0.1.0"}),
        candidate(3, facts={"agent_version": "0.1.0"}, takes_commands=False),
        candidate(4, facts={"agent_version": "0.2.0"}, takes_commands=False),
        candidate(5),
    ]

    found = planned(devices, nature=VERSION)

    assert found.compliant == (1, 4)
    assert found.unreachable == (3,)
    assert sorted(number for wave in found.waves for number in wave.devices) == [2, 5]
    assert found.device_count == 2


def test_the_canary_has_one_of_every_kind():
    devices, structure = province(40, 5, model="NUC")
    odd = [
        candidate(900, "kiosk", annex_id="annex-3", model="NUC"),
        candidate(901, "tablet", annex_id="annex-4", model="Tab"),
        candidate(902, annex_id="annex-5", model="OptiPlex"),
        candidate(903, "server", annex_id="lonely", model="NUC"),
    ]

    canary = planned(devices + odd, structure).waves[0].devices

    assert len(canary) == 10
    assert {900, 901, 902, 903} <= set(canary)
    annex_of = {device.number: device.annex_id for device in devices + odd}
    assert len({annex_of[number] for number in canary}) == 10


def test_a_canary_too_small_for_all_takes_what_teaches_most():
    """The kiosk's annex is of another kind, its role is another one, its model too."""
    devices, structure = province(10, 3, model="NUC")
    kiosk = candidate(900, "kiosk", annex_id="other", model="Elo")

    assert 900 in planned([*devices, kiosk], structure).waves[0].devices


def test_who_is_connected_comes_before_variety():
    away = [candidate(number, "kiosk", annex_id=f"a-{number}", connected=False) for number in range(1, 11)]
    there = [candidate(number, annex_id=f"b-{number}") for number in range(11, 15)]

    assert set(planned(away + there, policy=Policy(canary_count=4)).waves[0].devices) == {11, 12, 13, 14}
    six = planned(away + there, policy=Policy(canary_count=6)).waves[0].devices
    assert {11, 12, 13, 14} < set(six)


def test_in_a_wave_who_is_away_comes_last():
    devices = [candidate(number, annex_id=f"a-{number}", connected=number % 2 == 0) for number in range(1, 41)]

    for wave in planned(devices).waves[1:]:
        assert list(wave.devices) == sorted(wave.devices, key=lambda number: number % 2)  # even ones are there


def test_the_canary_spares_those_whom_nobody_can_replace():
    single, one = counters("single", 1, first=500)
    devices, structure = province(30, 3)

    canary = planned(single + devices, one | structure, Policy(canary_count=5)).waves[0].devices

    assert 500 not in canary


def test_an_annex_is_spread_over_the_waves():
    devices, structure = province(20, 6, at_least=5, full=5)  # one at a time

    found = planned(devices, structure)

    assert sizes(found) == [6, 18, 72, 24]
    annex_of = {device.number: device.annex_id for device in devices}
    for wave in found.waves[1:]:
        of_annex = Counter(annex_of[number] for number in wave.devices)
        assert max(of_annex.values()) <= math.ceil(len(wave.devices) / 20) + 1
        assert "spread" in wave.why


def test_devices_that_may_go_together_are_not_torn_apart_for_nothing():
    devices, structure = province(20, 6, at_least=0, full=0)

    assert all("spread" not in wave.why for wave in planned(devices, structure).waves)
    assert all(
        "spread" not in wave.why
        for wave in planned(*province(20, 6, at_least=6), nature=Nature(configures="x", interrupts=False)).waves
    )


def test_no_annex_with_spare_devices_is_wholly_in_the_last_wave():
    devices, structure = province(15, 4, at_least=2, full=2)

    waves = planned(devices, structure).waves

    annex_of = {device.number: device.annex_id for device in devices}
    before = {annex_of[number] for wave in waves[:-1] for number in wave.devices}
    assert before == {f"annex-{number}" for number in range(15)}


def test_those_that_can_be_changed_only_at_night_are_named():
    single, one = counters("single", 1, first=500)
    pair, two = counters("pair", 2, first=600)
    every, all_of_them = counters("every", 2, first=700, full=None)

    found = planned(single + pair + every, one | two | all_of_them)

    assert found.impossible == (
        Impossible(700, "residence"), Impossible(701, "residence"), Impossible(500, "residence"),
    )  # fmt: skip
    assert found.device_count == 5
    quiet = Nature(configures="x", interrupts=False)
    assert planned(single, one, nature=quiet).impossible == ()


def test_a_printer_holds_its_only_device():
    devices = [candidate(1, "server"), candidate(2, "server")]
    tree = All((Need("print", 1, (Leaf(Thing("printer", "p1"), "P1", "ok"),)),))

    found = planned(devices, {"a": {"cnie": tree}}, served_by={"a": {"p1": ("d2",)}})

    assert found.impossible == (Impossible(2, "cnie"),)


@given(st.integers(0, 120), st.integers(1, 9), st.integers(0, 4), st.randoms(use_true_random=False))
def test_every_device_is_in_one_place_whatever_the_order(count, annexes, at_least, chance: random.Random):
    roles, models = ("counter", "kiosk", "tablet", "server"), ("A", "B", "C")
    devices = [
        candidate(
            number, chance.choice(roles), annex_id=f"annex-{chance.randrange(annexes)}", model=chance.choice(models),
            connected=chance.random() < 0.7, takes_commands=chance.random() < 0.9,
            facts={"agent_version": chance.choice(("0.1.0", "0.2.0"))},
        )
        for number in range(1, count + 1)
    ]  # fmt: skip
    structure = {}
    for number in range(annexes):
        own = [device for device in devices if device.annex_id == f"annex-{number}" and device.role != "server"]
        leaves = tuple(Leaf(Thing("device", device.id), device.name, "ok") for device in own)
        structure[f"annex-{number}"] = {"residence": All((Need("counter", at_least, leaves, at_least),))}

    found = planned(devices, structure, nature=VERSION)
    shuffled = chance.sample(devices, len(devices))

    everywhere = [number for wave in found.waves for number in wave.devices]
    everywhere += [*found.compliant, *found.unreachable]
    assert sorted(everywhere) == [device.number for device in devices]
    assert planned(shuffled, structure, nature=VERSION) == found
    if found.waves:
        assert len(found.waves[0].devices) <= max(2, 0.05 * found.device_count)
