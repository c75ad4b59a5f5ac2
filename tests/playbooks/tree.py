"""The playbooks and roles as the tests of this room look at them."""

from pathlib import Path
from typing import Any

import yaml

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
ROLES = sorted(path.name for path in (PLAYBOOKS / "roles").iterdir() if path.is_dir())
SHARED = {"supported_device"}
"""Roles that are part of others and have no playbook."""
NAMES = [name for name in ROLES if name not in SHARED]


def load(path: Path) -> Any:
    """A YAML file of ours; tags of Ansible are not used in it."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def options(role: str) -> dict[str, dict[str, Any]]:
    """What a run may say to a role, as its argument_specs have it."""
    found: dict[str, dict[str, Any]] = load(PLAYBOOKS / "roles" / role / "meta/argument_specs.yml")["argument_specs"][
        "main"
    ]["options"]
    return found


def texts(role: str) -> str:
    """Everything of a role in which a variable of it can be used."""
    room = PLAYBOOKS / "roles" / role
    return "\n".join(
        path.read_text(encoding="utf-8")
        for part in ("tasks", "handlers", "templates", "vars")
        for path in sorted((room / part).rglob("*"))
        if path.is_file()
    )
