"""What each role may do.  A role includes everything of the one before it; a person's scope narrows all of it."""

from typing import Literal, get_args

Role = Literal["staff", "technician", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

Right = Literal[
    "look",  # annexes, devices, printers, queues, their past, live
    "claim_fix",  # say that trouble is mended, which the devices then confirm or not
    "ask_help",  # say that one cannot mend it
    "own_account",  # one's own password, language and session; open to a one-time password too
    "own_keys",  # keys for programs that act for oneself
    "read_inventory",  # devices as Ansible sees them
    "edit_devices",  # tags, and how Ansible reaches a device
    "acknowledge",  # take trouble in charge, and write notes about it
    "plan_maintenance",  # for one's annexes; for the whole province only who sees all of it
    "run_playbooks",  # change devices of one's annexes by Ansible
    "plan_rollouts",  # draft, submit, try, pause and take back rollouts; start and end one's own
    "approve_rollouts",  # say yes or no as the second person; start, resume and end anybody's
    "diagnose",  # figures of the controller itself
    "edit_stock",  # what is on the province's shelf
    "send_commands",  # single acts from a fixed catalogue, to devices in one's sight
    "see_set_aside",
    "see_audit",  # who did what; what was done in annexes in one's sight
    "manage_tokens",
    "create_annexes",
    "edit_rules",  # thresholds, times and audience of rules; those of the province only without confinement
    "edit_calendars",  # the opening hours of annexes in one's sight
    "edit_province_calendar",  # the province's hours, holidays and Ramadan: they count for every annex
    "edit_contacts",  # whom notices go to, and what became of each
    "edit_services",  # what an annex offers, and what that needs there
    "edit_province_services",
    "edit_desired",  # what devices shall be like; of the province and of roles only without confinement
    "edit_annexes",  # names, districts and notes of annexes in one's sight; closing one
    "manage_links",  # boards without a password, and labels of printers
    "manage_walls",  # screens that show a district or the province without a password
    "manage_people",  # accounts, their roles and annexes, their sessions and keys
]

_FROM: dict[Right, Role] = {
    "look": "staff",
    "claim_fix": "staff",
    "ask_help": "staff",
    "own_account": "staff",
    "own_keys": "staff",
    "acknowledge": "technician",
    "read_inventory": "technician",
    "edit_devices": "operator",
    "plan_maintenance": "technician",
    "run_playbooks": "technician",
    "plan_rollouts": "technician",
    "approve_rollouts": "operator",
    "diagnose": "technician",
    "edit_stock": "technician",
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

PROVINCE_ONLY: frozenset[Right] = frozenset(
    {
        "diagnose",
        "create_annexes",
        "edit_contacts",
        "edit_stock",
        "edit_province_calendar",
        "edit_province_services",
        "manage_walls",
        "manage_people",
    }
)
"""Rights over what belongs to no annex: a person confined to some annexes has none of them."""


def lower(one: str, other: str) -> str:
    """The lower of two roles; one that is not known is none at all."""
    return next((role for role in ROLES if role in {one, other}), "") if {one, other} <= set(ROLES) else ""


def may(role: str, right: Right, *, whole_province: bool) -> bool:
    """Whether a role includes a right.  A role that is not known includes nothing."""
    if role not in ROLES or (right in PROVINCE_ONLY and not whole_province):
        return False
    return ROLES.index(role) >= ROLES.index(_FROM[right])
