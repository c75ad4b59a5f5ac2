"""From one rollout to the next: the same again, for those that failed, back to what was; and a dry run of it."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, structs
from sqlalchemy.orm import Session

from annexfleet_controller.errors import RolloutChanged, VariableWrong, WrongState
from annexfleet_controller.rollouts import drafting, keeping, ordering, steering
from annexfleet_controller.rollouts.drafting import Wish
from annexfleet_controller.rollouts.errors import NothingToRetry, NoWayBack
from annexfleet_controller.rollouts.ordering import Asker, Order
from annexfleet_controller.settings import Home
from annexfleet_controller.store import rollout_events, rollout_evidence, rollout_targets, rollouts
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.waves import natures
from annexfleet_controller.waves.model import BAD, Selector

_NOT_STARTED = frozenset({"draft", "submitted", "approved"})
_LONGEST_NAME = 120


class WayBack(Struct, frozen=True, kw_only=True):
    """Drafts that together take a rollout back."""

    drafts: tuple[int, ...]
    lost: tuple[str, ...]
    """Ids of devices that were changed and of which nobody knows how they were: none of the drafts has them."""


def create(db: Session, home: Home, wish: Wish, asker: Asker, *, now: datetime) -> int:
    """Keep a draft; its id.  Raises as `drafting.think` does."""
    return _noted(db, home, wish, asker, now=now)


def edit(db: Session, home: Home, rollout_id: int, wish: Wish, asker: Asker, *, version: int, now: datetime) -> Detail:
    """Say anew what a draft says; secrets that its author leaves out keep their values.

    Anybody else gives them anew: else they could be sent wherever the changed variables say.

    Raises RolloutUnknown, Forbidden, RolloutChanged, WrongState, and what `drafting.think` raises.
    """
    found = steering.found_for(db, rollout_id, asker, "submit", version)
    is_own = asker.name == found.author and found.playbook == wish.playbook
    kept = keeping.secrets(home, rollout_id) if is_own else {}
    of_now = {name: value for name, value in kept.items() if name not in wish.variables}
    wish = structs.replace(wish, secrets=of_now | dict(wish.secrets))
    thought = drafting.think(db, home, wish, asker, now=now, of=found)
    rollouts.tell(db, rollouts.annexes_of(db, rollout_id), now=now)
    version = rollouts.rewrite(db, rollout_id, thought.new, version=version)
    is_same = (thought.new.bundle_digest, thought.new.targets_digest) == (found.bundle_digest, found.targets_digest)
    if found.dry_run_id is not None and not (is_same and dict(thought.secrets) == kept):
        # It showed what something else would change.  One step: nobody has seen the version between.
        rollouts.detach_dry_run(db, rollout_id)
    keeping.keep(home, rollout_id, thought.secrets)
    rollout_targets.put(db, rollout_id, thought.targets)
    after = rollouts.find(db, asker.scope, rollout_id)
    rollout_events.add(db, rollout_id, "edited", now=now, actor=asker.name)
    steering.note(db, after, asker, "edit", now=now, facts={"devices": thought.preview.plan.device_count})
    return after


def clone(
    db: Session, home: Home, rollout_id: int, asker: Asker, *, now: datetime, secrets: Mapping[str, Any] | None = None
) -> int:
    """A draft of the same; its id.  Devices and annexes that are named and gone since are left out.

    Secrets that are kept no more have to be given: VariableWrong names the first.
    """
    found = rollouts.find(db, asker.scope, rollout_id)
    wish = _wish(home, found, asker, secrets)
    if found.selector.devices:
        there = _in_service(db, asker.scope, found.selector.devices)
        wish = structs.replace(wish, selector=structs.replace(wish.selector, devices=there))
    return _noted(db, home, wish, asker, now=now, of=found, relation="clone")


def retry_failed(
    db: Session, home: Home, rollout_id: int, asker: Asker, *, now: datetime, secrets: Mapping[str, Any] | None = None
) -> int:
    """A draft for the devices in sight that ended badly and are still in service; its id.  Raises NothingToRetry."""
    found = rollouts.find(db, asker.scope, rollout_id)
    rows = rollout_targets.listing(db, asker.scope, rollout_id)
    left = _in_service(db, asker.scope, [row.device_id for row in rows if row.state in BAD])
    if not left:
        raise NothingToRetry(f"rollout {rollout_id} leaves nothing to do again")
    wish = structs.replace(_wish(home, found, asker, secrets), selector=Selector(devices=left))
    return _noted(db, home, wish, asker, now=now, of=found, relation="retry")


def roll_back(
    db: Session, home: Home, rollout_id: int, asker: Asker, *, now: datetime, secrets: Mapping[str, Any] | None = None
) -> WayBack:
    """Drafts that take back what was done to the devices in sight, one for each state they came from.

    Raises NoWayBack where the playbook declares none, or nothing is known of any device.
    """
    found = rollouts.find(db, asker.scope, rollout_id)
    if found.started_at is None or found.nature.reverse is None:
        raise NoWayBack(f"rollout {rollout_id} has no way back")
    rows = rollout_targets.listing(db, asker.scope, rollout_id)
    touched = [row for row in rows if row.attempts and row.state != "waiting"]
    there = set(_in_service(db, asker.scope, [row.device_id for row in touched]))
    ids = {row.device_number: row.device_id for row in touched if row.device_id in there}
    back, lost = natures.reversals(
        found.nature, {row.device_number: row.before for row in touched if row.device_number in ids}
    )
    if not back:
        raise NoWayBack(f"rollout {rollout_id} has no way back")
    wish = drafting.wish_of(found, {})
    drafts = tuple(
        _noted(
            db, home,
            structs.replace(
                wish, playbook=one.playbook, variables=one.variables, secrets=dict(secrets or {}),
                selector=Selector(devices=tuple(sorted(ids[number] for number in one.devices))),
            ),
            asker, now=now, of=found, relation="rollback",
        )
        for one in back
    )  # fmt: skip
    return WayBack(drafts=drafts, lost=tuple(sorted(ids[number] for number in lost)))


def dry_run(
    db: Session,
    home: Home,
    rollout_id: int,
    asker: Asker,
    *,
    version: int,
    now: datetime,
    wave: int | None = None,
) -> int:
    """Ask for a dry run on its devices, or on those of one wave, and attach it; the run's id.

    Raises WrongState once it has started, RunBusy, and what `ordering.order` raises: one run takes 5,000 devices.
    """
    found = rollouts.find_to_change(db, asker.scope, rollout_id)
    if found.version != version:
        raise RolloutChanged(f"rollout {rollout_id} was changed meanwhile")
    if found.state not in _NOT_STARTED:
        raise WrongState(f"rollout {rollout_id} has begun", state=found.state, act="dry_run")
    rows = rollout_targets.listing(db, asker.scope, rollout_id, wave=wave)
    wish = Order(
        playbook=found.playbook, variables=found.variables, secrets=keeping.secrets(home, rollout_id),
        devices=_in_service(db, asker.scope, [row.device_id for row in rows if row.wave > 0]), check=True,
        timeout_s=found.policy.timeout_s, dry_run_of=rollout_id,
    )  # fmt: skip
    run_id = ordering.order(db, home, wish, asker, now=now)
    rollouts.change(db, rollout_id, version=version, values={"dry_run_id": run_id}, of_state=found.state)
    rollout_events.add(db, rollout_id, "dry_run", now=now, actor=asker.name, facts={"run": run_id})
    steering.note(db, found, asker, "dry_run", now=now, facts={"run": run_id})
    return run_id


def _noted(
    db: Session,
    home: Home,
    wish: Wish,
    asker: Asker,
    *,
    now: datetime,
    of: Detail | None = None,
    relation: str = "",
) -> int:
    id_ = drafting.draft(db, home, wish, asker, now=now, of_rollout=of.id if of else None, relation=relation)
    made = rollouts.find(db, asker.scope, id_)
    rollout_events.add(db, id_, "created", now=now, actor=asker.name)
    facts: dict[str, rollout_events.Fact] = {"devices": made.target_count, "relation": relation}
    steering.note(db, made, asker, "create", now=now, facts=facts | ({"of": of.id} if of else {}))
    return id_


def _wish(home: Home, found: Detail, asker: Asker, secrets: Mapping[str, Any] | None) -> Wish:
    """Its secrets only for whose rollout it is: in another's draft they could be sent to another place."""
    is_own = asker.name in (found.author, found.submitted_by)
    known = (keeping.secrets(home, found.id) if is_own else {}) | dict(secrets or {})
    if missing := sorted(set(found.secret_names) - set(known)):
        raise VariableWrong(f"variable {missing[0]}: missing", field=missing[0], reason="missing")
    wish = drafting.wish_of(found, known)
    return structs.replace(wish, name=wish.name[:_LONGEST_NAME])


def _in_service(db: Session, scope: Scope, ids: Collection[str]) -> tuple[str, ...]:
    """Those of these that are in sight and in service, sorted."""
    return tuple(sorted(rollout_evidence.in_service(db, scope, ids)))
