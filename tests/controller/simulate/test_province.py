"""What there is in a simulated province."""

import pytest

from annexfleet_controller.simulate.province import SERVICES, build


def test_the_demo_is_annexes_1_2_and_5_of_berkane_with_40_devices():
    province = build(3, 40, now=0.0)

    assert [annex.id for annex in province.annexes] == ["berkane-1", "berkane-2", "berkane-5"]
    assert [len(annex.machines) for annex in province.annexes] == [14, 13, 13]
    assert all("بركان" in annex.name_ar and "Berkane" in annex.name_fr for annex in province.annexes)


@pytest.mark.parametrize(("annexes", "devices"), [(1, 1), (3, 3), (5, 23), (20, 300)])
def test_every_device_has_a_place_and_a_name_of_its_own(annexes: int, devices: int):
    province = build(annexes, devices, now=0.0)

    keys = {machine.key for machine in province.machines}
    assert len(keys) == devices
    assert len({annex.id for annex in province.annexes}) == annexes


def test_the_same_numbers_give_the_same_province():
    assert build(2, 9, now=0.0).machines == build(2, 9, now=0.0).machines
    assert build(2, 9, now=0.0, seed=2).machines != build(2, 9, now=0.0).machines


def test_each_annex_of_size_has_all_roles_and_serves_everything():
    for annex in build(3, 40, now=0.0).annexes:
        assert {machine.role for machine in annex.machines} == {"counter", "kiosk", "server", "tablet"}
        assert {machine.service for machine in annex.machines if machine.service} == set(SERVICES)
        assert sum(machine.keeps_queues for machine in annex.machines) == 1


@pytest.mark.parametrize(("annexes", "devices"), [(0, 5), (3, 2), (-1, 1)])
def test_too_few_devices_are_refused(annexes: int, devices: int):
    with pytest.raises(ValueError, match="at least one"):
        build(annexes, devices, now=0.0)
