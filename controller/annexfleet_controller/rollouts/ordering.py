"""Asking for a run, asking for its end, and asking for it again: what pages, the API and the command line share."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.errors import Invalid, RunOver, VariableWrong
from annexfleet_controller.rollouts import bundle, sending, variables
from annexfleet_controller.rollouts.environment import MOST_FORKS
from annexfleet_controller.rollouts.errors import RunOfRollout
from annexfleet_controller.rollouts.ground import Ground
from annexfleet_controller.settings import Home
from annexfleet_controller.store import audit, fleet, run_hosts, runs
from annexfleet_controller.store.scope import WHOLE, Scope

MOST_DEVICES = 5000
LEAST_TIMEOUT_S, MOST_TIMEOUT_S = 60.0, 24 * 3600.0
_LONGEST_REASON = 200


class Order(Struct, frozen=True, kw_only=True):
    """What somebody asks for."""

    playbook: str
    variables: Mapping[str, Any] = {}
    secrets: Mapping[str, Any] = {}
    devices: Collection[str] = ()
    """Ids."""
    annexes: Collection[str] = ()
    roles: Collection[str] = ()
    """Narrow what the annexes give; without annexes they mean those of all annexes in sight."""
    everywhere: bool = False
    """Every device in sight, of these roles if there are any."""
    check: bool = False
    forks: int = 0
    """0: as many as is sensible."""
    timeout_s: float = 3600.0
    reason: str = ""
    dry_run_of: int | None = None
    """The rollout whose dry run it is: that is its reason."""


class Asker(Struct, frozen=True, kw_only=True):
    name: str
    via: str
    """session, key or console"""
    scope: Scope = WHOLE


def apply(db: Session, home: Home, run: runs.Run, devices: Collection[str], asker: Asker, *, now: datetime) -> int:
    """What a dry run showed, for real: the same playbook and variables on these devices; the new run's id.

    Raises RunOfRollout for a dry run that belongs to one: waves, windows and a second person are its own to see to.
    """
    rollout_id = rollout_of(run)
    if rollout_id is not None:
        raise RunOfRollout(f"run {run.id} is of rollout {rollout_id}", rollout=rollout_id)
    wish = Order(
        playbook=run.playbook, variables=run.variables, devices=devices, timeout_s=run.timeout_s, reason=run.reason
    )
    return order(db, home, wish, asker, now=now)


def rollout_of(run: runs.Run) -> int | None:
    """The number of the rollout that this run is of, or is a dry run of; None where a person asked for it."""
    number = run.reason.strip().partition(":")[2]
    return int(number) if _is_of_rollout(run.reason) and number.isdecimal() and len(number) < 19 else None


def order(db: Session, home: Home, wish: Order, asker: Asker, *, now: datetime) -> int:
    """Queue a run; its id.

    Raises PlaybookUnknown, VariableWrong, DeviceUnknown, AnnexUnknown, RunBusy, LibraryWrong; and Invalid, where
    `field` names what cannot be so.
    """
    of = _targets(db, wish, asker.scope)
    if not of:
        raise Invalid("no device is meant", field="devices", reason="nobody")
    if len(of) > MOST_DEVICES:
        raise Invalid(f"more than {MOST_DEVICES} devices are meant", field="devices", reason="too_many")
    _demand_bounds(wish)
    playbook = bundle.playbook(home, wish.playbook)
    given = variables.checked(playbook.variables, wish.variables, wish.secrets)
    sending.demand_revision(db, playbook.name, given)
    secrets = {name: given.pop(name) for name in wish.secrets}
    digest = bundle.digest(
        bundle.library(home), playbook=playbook.name, variables=given, secret_names=list(secrets), check=wish.check
    )
    new = runs.NewRun(
        playbook=playbook.name, variables=given, secret_names=sorted(secrets), check=wish.check,
        forks=wish.forks or min(MOST_FORKS, len(of)), timeout_s=wish.timeout_s, bundle_digest=digest,
        author=asker.name, reason=wish.reason.strip() if wish.dry_run_of is None else _of_rollout(wish.dry_run_of),
    )  # fmt: skip
    run_id = runs.create(db, new, of, now=now)
    if not wish.check:
        sending.send_with_run(db, playbook.name, given, [target.number for target in of], now=now)
    if secrets:
        # Before the commit: whoever takes the run finds them.  If it never comes to be, they are tidied away.
        Ground(home, run_id).keep_secrets(secrets)
    facts: dict[str, Any] = {
        "playbook": playbook.name, "devices": len(of), "check": wish.check, "bundle": digest, "reason": new.reason,
        "targets": runs.targets_digest(target.id for target in of),
    }  # fmt: skip
    _note(db, run_id, asker, "run.create", now=now, facts=facts)
    return run_id


def cancel(db: Session, run_id: int, asker: Asker, *, now: datetime) -> runs.Run:
    """Ask for the end of a run.  Raises RunUnknown, Forbidden and RunOver, as `runs.cancel` does."""
    run = runs.cancel(db, asker.scope, run_id, by=asker.name, now=now)
    _note(db, run_id, asker, "run.cancel", now=now, facts={"playbook": run.playbook})
    return run


def again(
    db: Session, home: Home, run_id: int, asker: Asker, *, secrets: Mapping[str, Any] | None = None, now: datetime
) -> int:
    """A new run of the same for the devices in sight without success; its id.

    It takes the playbook as it is now, and leaves out devices that went out of service since.  Secrets have to be given
    again: they went with the run.  Raises RunUnknown; RunOver while it has not ended, or where nothing is left to do;
    and what `order` raises.
    """
    run = runs.find(db, asker.scope, run_id)
    missed = {
        host.device_number: host.device_id
        for host in run_hosts.hosts(db, asker.scope, run_id)
        if host.state == "ended" and host.outcome not in runs.SUCCESSES
    }
    left = [missed[number] for number in sorted(fleet.numbers(db, asker.scope, missed.values()))]
    if run.state != "ended" or run.kind != "playbook" or not left:
        raise RunOver(f"run {run_id} leaves nothing to do again")
    given = dict(secrets or {})
    if missing := sorted(set(run.secret_names) - set(given)):
        raise VariableWrong(f"variable {missing[0]}: missing", field=missing[0], reason="missing")
    wish = Order(
        playbook=run.playbook, variables=run.variables, secrets=given, devices=left, check=run.check,
        timeout_s=run.timeout_s, reason="" if _is_of_rollout(run.reason) else run.reason,
    )  # fmt: skip
    return order(db, home, wish, asker, now=now)


def _targets(db: Session, wish: Order, scope: Scope) -> list[runs.Target]:
    if wish.everywhere and not wish.annexes:
        roles = wish.roles or ("counter", "kiosk", "tablet", "server")
        return runs.targets(db, scope, devices=wish.devices, roles=roles)
    return runs.targets(db, scope, devices=wish.devices, annexes=wish.annexes, roles=wish.roles)


def _demand_bounds(wish: Order) -> None:
    if not 0 <= wish.forks <= MOST_FORKS:
        raise Invalid(f"forks are 1 to {MOST_FORKS}", field="forks", reason="out_of_range")
    if not LEAST_TIMEOUT_S <= wish.timeout_s <= MOST_TIMEOUT_S:
        raise Invalid("a run has one minute to one day", field="timeout_s", reason="out_of_range")
    if len(wish.reason) > _LONGEST_REASON or "\0" in wish.reason:
        raise Invalid("the reason is too long", field="reason", reason="too_long")
    if _is_of_rollout(wish.reason):
        raise Invalid("only a rollout is such a reason", field="reason", reason="reserved")


def _of_rollout(rollout_id: int) -> str:
    return f"rollout:{rollout_id}"


def _is_of_rollout(reason: str) -> bool:
    return reason.strip().casefold().startswith("rollout:")


def _note(db: Session, run_id: int, asker: Asker, act: str, *, now: datetime, facts: dict[str, Any]) -> None:
    """Of a run within one annex those who see only that may read the entry, too."""
    annexes = runs.annexes_of(db, run_id)
    audit.add(
        db, now=now, actor=asker.name, via=asker.via, act=act, subject=f"run:{run_id}",
        annex_id=annexes[0] if len(annexes) == 1 else "", facts=facts,
    )  # fmt: skip
