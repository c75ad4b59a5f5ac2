"""What a run's process works from: exactly what was approved, or nothing; and what its end comes to."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct, structs
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.identity import ssh
from annexfleet_controller.rollouts import bundle, inventory, targets, wanting
from annexfleet_controller.rollouts.events import Story
from annexfleet_controller.rollouts.ground import Ground
from annexfleet_controller.settings import Home
from annexfleet_controller.store import run_hosts, run_results, runs
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.run_progress import Task
from annexfleet_controller.store.scope import WHOLE

PROBLEMS = (
    "library_wrong", "bundle_changed", "targets_changed", "secrets_lost", "relay_down", "playbook_unreadable",
    "no_statistics", "process_lost", "rollout_halted", "rollout_waited", "rollout_moved", "not_begun_again",
)  # fmt: skip
"""Codes that have words."""


PACKAGES_OF_AT_MOST = 50
"""Devices.  Each has a thousand packages and more, and Ansible would read those of all for minutes before it began."""


class NotAsApproved(Exception):
    """Something is not as it was when the run was asked for; `problem` is one of PROBLEMS."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Host(Struct, frozen=True, kw_only=True):
    number: int
    device_id: str
    name: str
    is_ssh: bool
    variables: Mapping[str, Any]


class Approved(Struct, frozen=True, kw_only=True):
    run: runs.Run
    secrets: Mapping[str, Any]
    hosts: Sequence[Host]
    """Those without an outcome."""
    groups: Mapping[str, Sequence[str]]
    known_tasks: Sequence[Task]


class Verdict(Struct, frozen=True, kw_only=True):
    """What a run's end comes to."""

    outcome: str
    problem: str = ""
    rest: str = "unknown"
    """What its devices get that have no outcome."""
    message: str = ""


def gather(home: Home, engine: Engine, ground: Ground, *, now: datetime) -> Approved:
    """Everything an attempt needs; makes the run's own copy of the library.  Raises NotAsApproved."""
    ground.clear_attempt()
    with reading(engine) as db:
        run = runs.find(db, WHOLE, ground.run_id)
        members = {host.device_id: host for host in run_hosts.hosts(db, WHOLE, run.id)}
        if runs.targets_digest(members) != run.targets_digest:
            raise NotAsApproved("targets_changed")
        wanted = run_results.unfinished(db, run.id)
        known_tasks = run_results.tasks(db, run.id)
        reachable = _with_wishes(db, run, targets.targets(db, WHOLE, ids=wanted), members)
    secrets = _secrets(ground, run)
    _copy_library(home, ground, run)
    told = inventory.document(reachable, packages=len(wanted) <= PACKAGES_OF_AT_MOST)
    ways = {target.device_id: target.connection for target in reachable}
    hosts = [
        Host(
            number=members[id_].device_number, device_id=id_, name=members[id_].device_name,
            is_ssh=ways.get(id_) == "ssh",
            # One that was revoked meanwhile stays a host, and will not be reached.
            variables=told.hosts.get(id_, {"annexfleet_device_id": id_, "ansible_connection": "annexfleet"}),
        )
        for id_ in wanted
    ]  # fmt: skip
    return Approved(run=run, secrets=secrets, hosts=hosts, groups=told.groups, known_tasks=known_tasks)


def prove(file: Path, device_ids: Sequence[str]) -> None:
    """See that an inventory that was written holds exactly these hosts.  Raises NotAsApproved."""

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the quick one, if there is one
        """Reads what is marked as data as what it is."""

    Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_mapping(node, deep=True))
    document = yaml.load(file.read_bytes(), Loader)  # noqa: S506  # it is a SafeLoader
    listed = set(document["all"]["hosts"])
    for group in document["all"]["children"].values():
        listed |= set(group["hosts"])
    if listed != set(device_ids) or set(document["all"]["hosts"]) != set(device_ids):
        raise NotAsApproved("targets_changed")


def credentials(home: Home, ground: Ground, task: Approved, *, now: datetime) -> ssh.Credentials | None:
    """What opens the devices that are reached over SSH; None where there are none such."""
    ids = [host.device_id for host in task.hosts if host.is_ssh]
    if not ids:
        return None
    made = ssh.Credentials(home, ground.attempt / "ssh", ids, run=f"run-{task.run.id}")
    made.renew(now)
    return made


def verdict(ending: str, story: Story | None, outcomes: Mapping[str, int], *, is_cancelled: bool = False) -> Verdict:
    """Judge a run by why it ended and by how many of its devices ended in which way.

    `is_cancelled`: somebody asked for its end; one that came to a good end all the same is good.

    Without Ansible's closing statistics nobody knows, and nothing is ever called good.
    """
    if ending in {"cancelled", "timed_out"} and not (story and story.has_statistics):
        return Verdict(outcome=ending, rest="cancelled")
    if story is not None and not story.has_statistics:
        if not story.has_begun:
            return Verdict(outcome="failed", problem="playbook_unreadable", message=story.last_words)
        return Verdict(outcome="unknown", problem="no_statistics", message=story.last_words)
    if outcomes.get("") or outcomes.get("unknown"):
        return Verdict(outcome="unknown")
    if sum(outcomes.get(outcome, 0) for outcome in runs.SUCCESSES) == sum(outcomes.values()):
        return Verdict(outcome="ok")
    return Verdict(outcome="cancelled" if is_cancelled else "failed")


def _with_wishes(
    db: Session, run: runs.Run, reachable: Sequence[inventory.Target], members: Mapping[str, run_hosts.RunHost]
) -> Sequence[inventory.Target]:
    """Devices of a run that brings the layers, each with what these came to at the revision that was approved."""
    if run.playbook != wanting.PLAYBOOK:
        return reachable
    numbers = [members[target.device_id].device_number for target in reachable]
    wishes = wanting.documents(db, int(run.variables[wanting.VARIABLE]), numbers=numbers)
    return [structs.replace(target, desired=wishes.get(target.device_id)) for target in reachable]


def _secrets(ground: Ground, run: runs.Run) -> dict[str, Any]:
    found = ground.secrets() if run.secret_names else {}
    if found is None or set(found) != set(run.secret_names):
        raise NotAsApproved("secrets_lost")
    return found


def _copy_library(home: Home, ground: Ground, run: runs.Run) -> None:
    try:
        if not ground.bundle.exists():
            bundle.copy(bundle.library(home), ground.bundle)
        digest = bundle.digest(
            ground.bundle, playbook=run.playbook, variables=run.variables, secret_names=run.secret_names,
            check=run.check,
        )  # fmt: skip
    except AnnexfleetError as error:
        raise NotAsApproved("library_wrong") from error
    if digest != run.bundle_digest:
        raise NotAsApproved("bundle_changed")
