from typing import get_args

import pytest

from annexfleet_controller.access.roles import PROVINCE_ONLY, ROLES, Right, may

LOWEST: dict[Right, str] = {
    "look": "staff",
    "claim_fix": "staff",
    "ask_help": "staff",
    "own_account": "staff",
    "own_keys": "staff",
    "acknowledge": "technician",
    "read_inventory": "technician",
    "edit_devices": "operator",
    "plan_maintenance": "technician",
    "diagnose": "technician",
    "edit_stock": "technician",
    "run_playbooks": "technician",
    "plan_rollouts": "technician",
    "approve_rollouts": "operator",
    "send_commands": "technician",
    "see_set_aside": "operator",
    "see_audit": "operator",
    "manage_tokens": "operator",
    "create_annexes": "operator",
    "edit_rules": "operator",
    "edit_calendars": "operator",
    "edit_province_calendar": "operator",
    "edit_contacts": "operator",
    "edit_services": "operator",
    "edit_province_services": "operator",
    "edit_desired": "operator",
    "edit_annexes": "operator",
    "manage_links": "operator",
    "manage_walls": "operator",
    "manage_people": "admin",
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("right", "lowest"), LOWEST.items())
def test_a_role_has_the_rights_from_the_lowest_that_has_them(role: str, right: Right, lowest: str):
    assert may(role, right, whole_province=True) is (ROLES.index(role) >= ROLES.index(lowest))


@pytest.mark.parametrize("right", sorted(PROVINCE_ONLY))
def test_what_belongs_to_no_annex_is_for_people_of_the_whole_province(right: Right):
    assert not may("admin", right, whole_province=False)


def test_every_right_stands_above():
    assert set(LOWEST) == set(get_args(Right))


def test_a_role_that_nobody_knows_may_nothing():
    assert not any(may("root", right, whole_province=True) for right in LOWEST)
