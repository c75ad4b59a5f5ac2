"""Drafts of rollouts: what somebody wishes, thought through against the fleet as it is, shown, and kept.

A draft holds its devices already, so that whoever is confined to some annexes sees the drafts that concern these; but
they are frozen only when it is submitted, and thought out anew then.
"""

import hashlib
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, structs
from sqlalchemy.orm import Session

from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import bundle, keeping, sending, surroundings, telling, variables
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.settings import Home
from annexfleet_controller.store import reaching, readiness, rollout_evidence, rollout_targets, rollouts, runs
from annexfleet_controller.store.rollout_targets import NewTarget
from annexfleet_controller.store.rollouts import NewRollout
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.waves import natures, plan, selecting, windows
from annexfleet_controller.waves.model import Candidate, Nature, Plan, Policy, Selector

APPROVAL_ABOVE_DEVICES = 20
APPROVAL_FROM_RATIO = 0.10
"""Of all devices in service."""
APPROVAL_COUNTS = timedelta(hours=24)
"""Devices to which the same person brought something within so long, and no second person said yes, count too: five
rollouts of twenty are one of a hundred."""
LEAST_DEADLINE_S, MOST_DEADLINE_S = 3600.0, 90 * 86400.0
USUAL_DEADLINE_S = 14 * 86400.0
WINDOWS_SHOWN = timedelta(days=7)
LONGEST_NAME, _LONGEST_REASON = 120, 200


class Wish(Struct, frozen=True, kw_only=True):
    """What somebody wants to be rolled out."""

    name: str
    playbook: str
    variables: Mapping[str, Any] = {}
    secrets: Mapping[str, Any] = {}
    """In an edit those that are left out keep their values."""
    selector: Selector
    policy: Policy
    reason: str = ""
    deadline_s: float = USUAL_DEADLINE_S
    """From its start."""


class Preview(Struct, frozen=True, kw_only=True):
    """What a wish would come to now."""

    plan: Plan
    candidates: Mapping[int, Candidate]
    """The devices that are meant, by number; also those that have it already or are left out."""
    windows: Mapping[str, Sequence[tuple[datetime, datetime]]]
    """By annex: when it may be done in the next seven days."""
    nature: Nature
    targets_digest: str
    plan_digest: str
    bundle_digest: str
    needs_approval: bool
    why: tuple[str, ...]
    """Codes: why a second person is needed (`many_devices`, `large_share`, `many_lately`,
    `always_window`)."""
    in_service: int
    """Devices of the whole fleet, of which the share is taken."""


class Thought(Struct, frozen=True, kw_only=True):
    """A wish, thought through."""

    preview: Preview
    new: NewRollout
    targets: Sequence[NewTarget]
    secrets: Mapping[str, Any]


def preview(db: Session, home: Home, wish: Wish, asker: Asker, *, now: datetime) -> Preview:
    """What would be frozen now; nothing is kept.  Raises as `draft` does."""
    return think(db, home, wish, asker, now=now).preview


def think(
    db: Session, home: Home, wish: Wish, asker: Asker, *, now: datetime, of: rollouts.Detail | None = None
) -> Thought:
    """Choose the devices, plan the waves, compute the digests.

    `of` is the draft that is thought out anew: what it is derived from stays.  Raises PlaybookUnknown, VariableWrong,
    DeviceUnknown, AnnexUnknown, LibraryWrong; and Invalid, where `field` names what cannot be so.
    """
    _demand_bounds(wish)
    playbook = bundle.playbook(home, wish.playbook)
    given = variables.checked(playbook.variables, wish.variables, wish.secrets)
    sending.demand_revision(db, playbook.name, given)
    secrets = {name: given.pop(name) for name in wish.secrets}
    nature = bundle.nature(home, playbook.name, given)
    candidates = _candidates(db, wish.selector, asker.scope, nature)
    annexes = sorted({candidate.annex_id for candidate in candidates})
    structure, served_by = surroundings.structure(db, annexes, now=now)
    planned = plan.plan(candidates, wish.policy, nature, structure=structure, served_by=served_by)
    by_number = {candidate.number: candidate for candidate in candidates}
    targets_digest = runs.targets_digest(by_number[number].id for wave in planned.waves for number in wave.devices)
    bundle_digest = bundle.digest(
        bundle.library(home), playbook=playbook.name, variables=given, secret_names=sorted(secrets), check=False
    )
    new = NewRollout(
        name=wish.name.strip(), playbook=playbook.name, variables=given, secret_names=sorted(secrets),
        selector=wish.selector, policy=wish.policy, nature=nature, reason=wish.reason.strip(),
        deadline_s=wish.deadline_s, wave_count=len(planned.waves), targets_digest=targets_digest,
        bundle_digest=bundle_digest, of_rollout=of.of_rollout if of else None, relation=of.relation if of else "",
    )  # fmt: skip
    in_service = rollout_evidence.count_in_service(db)
    lately = rollout_evidence.brought_to(db, asker.name, since=now - APPROVAL_COUNTS, but=of.id if of else None)
    why = _why_second({number for wave in planned.waves for number in wave.devices}, lately, in_service, wish.policy)
    new = structs.replace(new, plan_digest=_plan_digest(planned, by_number, new), needs_approval=bool(why))
    hours = surroundings.calendars_of(db, annexes)
    shown = Preview(
        plan=planned, candidates=by_number, nature=nature, targets_digest=targets_digest, plan_digest=new.plan_digest,
        windows={
            annex_id: windows.spans(calendar, wish.policy, now, now + WINDOWS_SHOWN)
            for annex_id, calendar in hours.items()
        },
        bundle_digest=bundle_digest, needs_approval=bool(why), why=why, in_service=in_service,
    )  # fmt: skip
    return Thought(preview=shown, new=new, targets=_targets(planned, by_number, nature), secrets=secrets)


def draft(
    db: Session,
    home: Home,
    wish: Wish,
    asker: Asker,
    *,
    now: datetime,
    of_rollout: int | None = None,
    relation: str = "",
) -> int:
    """Keep a draft; its id.  Raises as `think` does."""
    thought = think(db, home, wish, asker, now=now)
    new = structs.replace(thought.new, of_rollout=of_rollout, relation=relation)
    rollout_id = rollouts.create(db, new, author=asker.name, now=now)
    keeping.keep(home, rollout_id, thought.secrets)
    rollout_targets.put(db, rollout_id, thought.targets)
    return rollout_id


def wish_of(found: rollouts.Detail, secrets: Mapping[str, Any]) -> Wish:
    """What was wished of a rollout; `secrets` are those of its names that are still kept."""
    return Wish(
        name=found.name, playbook=found.playbook, variables=found.variables,
        secrets={name: value for name, value in secrets.items() if name in found.secret_names},
        selector=found.selector, policy=found.policy, reason=found.reason, deadline_s=found.deadline_s,
    )  # fmt: skip


def meant(db: Session, selector: Selector, scope: Scope) -> list[Candidate]:
    """The devices in sight and in service that a selector means, by id and without facts.

    Raises DeviceUnknown and AnnexUnknown where what it names is not in sight.
    """
    runs.targets(db, scope, devices=selector.devices, annexes=selector.annexes)  # what is named has to be there
    found = rollout_evidence.chosen(db, scope)
    tags = reaching.tags(db)
    standing = {of.readiness.annex_id: of.readiness.state for of in readiness.now(db, scope)}
    return selecting.chosen(
        (
            Candidate(
                number=one.number, id=one.id, name=one.name, annex_id=one.annex_id, role=one.role, model=one.model,
                tags=tuple(tags.get(one.number, ())), agent_version=one.agent_version, connected=one.connected,
                takes_commands=one.takes_commands, readiness=standing.get(one.annex_id, "unknown"),
            )
            for one in found
        ),
        selector,
    )  # fmt: skip


def _candidates(db: Session, selector: Selector, scope: Scope, nature: Nature) -> list[Candidate]:
    """The devices that are meant, with the facts that matter.  Raises DeviceUnknown, AnnexUnknown, Invalid."""
    chosen = meant(db, selector, scope)
    if not chosen:
        raise Invalid("no device is meant", field="selector", reason="nobody")
    told = telling.reported(db, [one.number for one in chosen], natures.facts_of(nature))
    return [
        structs.replace(one, facts=told[one.number].facts) if one.number in told else one for one in chosen
    ]  # fmt: skip


def _targets(planned: Plan, by_number: Mapping[int, Candidate], nature: Nature) -> list[NewTarget]:
    def one(number: int, **values: Any) -> NewTarget:
        of = by_number[number]
        return NewTarget(
            number=number, annex_id=of.annex_id, before=kept_facts(nature, of.facts), **values
        )  # fmt: skip

    return [
        *(
            one(number, wave=wave.number, position=position)
            for wave in planned.waves
            for position, number in enumerate(wave.devices)
        ),
        *(one(number, wave=0, state="compliant") for number in planned.compliant),
        *(one(number, wave=0, state="skipped", reason="takes_no_commands") for number in planned.unreachable),
    ]


def kept_facts(nature: Nature, facts: Mapping[str, str]) -> dict[str, str]:
    """Of what a device reports, that which is kept with it: what matters to this playbook."""
    return {name: facts[name] for name in natures.facts_of(nature) if name in facts}


def is_much_by_now(db: Session, found: rollouts.Detail, *, now: datetime) -> bool:
    """Whether a second person is needed once it begins: what was submitted day by day may be started all at once."""
    devices = {target.number for target in rollout_targets.of_rollout(db, found.id) if target.wave > 0}
    in_service = rollout_evidence.count_in_service(db)
    for name in {found.author, found.submitted_by}:
        lately = rollout_evidence.brought_to(
            db, name, since=now - APPROVAL_COUNTS, but=found.id, is_begun=True
        )  # fmt: skip
        if lately - devices and _is_much(len(devices | lately), in_service):
            return True
    return False


def _is_much(count: int, in_service: int) -> bool:
    return count > APPROVAL_ABOVE_DEVICES or bool(in_service and count >= APPROVAL_FROM_RATIO * in_service)


def _why_second(devices: Set[int], lately: Set[int], in_service: int, policy: Policy) -> tuple[str, ...]:
    why = []
    if len(devices) > APPROVAL_ABOVE_DEVICES:
        why.append("many_devices")
    if in_service and len(devices) >= APPROVAL_FROM_RATIO * in_service:
        why.append("large_share")
    if not why and lately - devices and _is_much(len(devices | lately), in_service):
        why.append("many_lately")
    if policy.window == "always":
        why.append("always_window")
    return tuple(why)


def _plan_digest(planned: Plan, by_number: Mapping[int, Candidate], new: NewRollout) -> str:
    """Over what a second person says yes to: which devices in which order, how carefully, and what is played."""
    told = {
        "waves": [[by_number[number].id for number in wave.devices] for wave in planned.waves],
        "policy": new.policy, "nature": new.nature, "playbook": new.playbook, "bundle": new.bundle_digest,
        "deadline_s": new.deadline_s,
    }  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


def _demand_bounds(wish: Wish) -> None:
    demand_text(wish.name, "name", LONGEST_NAME, is_needed=True)
    demand_text(wish.reason, "reason", _LONGEST_REASON, is_needed=wish.policy.window == "always")
    demand_deadline(wish.deadline_s)


def demand_deadline(deadline_s: float) -> None:
    """Raises Invalid."""
    if not LEAST_DEADLINE_S <= deadline_s <= MOST_DEADLINE_S:
        raise Invalid("a rollout has one hour to 90 days", field="deadline_s", reason="out_of_range")


def demand_text(text: str, field: str, longest: int = _LONGEST_REASON, *, is_needed: bool) -> None:
    """Raises Invalid with `field` and `reason`: missing, too_long or unseen_sign."""
    if is_needed and not text.strip():
        raise Invalid(f"{field} is missing", field=field, reason="missing")
    if len(text) > longest:
        raise Invalid(f"{field} is too long", field=field, reason="too_long")
    if not text.replace("\n", " ").replace("\r", " ").isprintable():
        raise Invalid(f"{field} holds a sign that nobody sees", field=field, reason="unseen_sign")
