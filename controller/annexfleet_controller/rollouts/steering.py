"""What people do to a rollout: submit, approve, reject, withdraw, start, pause, resume, abort.

Each act is one transaction: the row by its optimistic lock, an entry of the audit, a line of its story, and a pulse for
open pages.  Which act is possible in which state is the table's in `waves.machine`, and nobody else's.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from annexfleet_controller.errors import Invalid, RolloutChanged
from annexfleet_controller.rollouts import bundle, crash, drafting, keeping
from annexfleet_controller.rollouts.drafting import demand_text
from annexfleet_controller.rollouts.errors import (
    ApprovedAtConsole,
    ApprovedByAuthor,
    LibraryWrong,
    RolloutNeedsSecond,
    RolloutNotApproved,
    RolloutTargetsChanged,
)
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.settings import Home
from annexfleet_controller.store import audit, rollout_events, rollout_evidence, rollout_targets, rollouts, runs
from annexfleet_controller.store.rollout_events import Fact
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.waves import machine
from annexfleet_controller.waves.machine import Act

EVENTS: Mapping[Act, str] = {
    "submit": "submitted", "approve": "approved", "reject": "rejected", "withdraw": "withdrawn", "start": "started",
    "pause": "paused", "resume": "resumed", "abort": "aborted", "stop": "stopped", "finish": "done",
    "supersede": "superseded",
}  # fmt: skip
"""The line of the story that an act writes."""
_WRITING = ("rollout.create", "rollout.edit", "rollout.submit")
"""Acts of the audit by which somebody has a hand in what is to be approved."""
_NOT_SUBMITTED: Mapping[str, Any] = {
    "submitted_by": "", "submitted_at": None, "approved_by": "", "approved_at": None, "state_reason": "",
}  # fmt: skip


def submit(
    db: Session, home: Home, rollout_id: int, asker: Asker, *, version: int, now: datetime, targets_digest: str = ""
) -> Detail:
    """Freeze its devices and waves as they come out now.

    One that needs no second person is approved in the same breath.  With a `targets_digest`, that of the list that was
    shown, it is refused where other devices are meant by now.  Raises RolloutUnknown, Forbidden, RolloutChanged,
    WrongState, RolloutTargetsChanged, and what `drafting.think` raises; Invalid (`selector`, `nothing_to_do`) where
    every device has it already.
    """
    found = found_for(db, rollout_id, asker, "submit", version)
    rollout_evidence.one_count_at_a_time(db)
    wish = drafting.wish_of(found, keeping.secrets(home, rollout_id))
    thought = drafting.think(db, home, wish, asker, now=now, of=found)
    shown = thought.preview
    if targets_digest and shown.targets_digest != targets_digest:
        raise RolloutTargetsChanged(
            f"rollout {rollout_id} means other devices by now", digest=shown.targets_digest
        )  # fmt: skip
    if not shown.plan.device_count:
        raise Invalid("every device has it already", field="selector", reason="nothing_to_do")
    rollout_targets.put(db, rollout_id, thought.targets)
    values: dict[str, Any] = {**rollouts.written(thought.new), "submitted_by": asker.name, "submitted_at": now}
    if (shown.targets_digest, shown.bundle_digest) != (found.targets_digest, found.bundle_digest):
        values["dry_run_id"] = None  # it was made of something else
    facts: dict[str, Fact] = {
        "devices": shown.plan.device_count, "waves": len(shown.plan.waves), "targets": shown.targets_digest,
        "plan": shown.plan_digest, "bundle": shown.bundle_digest,
    }  # fmt: skip
    done = act(db, found, "submit", asker, version=version, now=now, values=values, facts=facts)
    if shown.needs_approval:
        return done
    return act(db, done, "approve", asker, version=done.version, now=now, values={"approved_at": now})


def approve(
    db: Session, home: Home, rollout_id: int, asker: Asker, *, version: int, now: datetime
) -> Detail:  # fmt: skip
    """Say yes as the second person.  Raises ApprovedByAuthor, ApprovedAtConsole, and as `demand_as_frozen` does."""
    found = found_for(db, rollout_id, asker, "approve", version)
    if asker.name in _writers(db, found):
        raise ApprovedByAuthor(f"rollout {rollout_id} needs another person's approval")
    if asker.via == "console" and audit.is_from_console(db, f"rollout:{rollout_id}", _WRITING):
        raise ApprovedAtConsole(f"rollout {rollout_id} came from the console, so it is approved on its page")
    demand_as_frozen(db, home, found)
    values = {"approved_by": asker.name, "approved_at": now}
    facts: dict[str, Fact] = {"plan": found.plan_digest, "targets": found.targets_digest}
    return act(db, found, "approve", asker, version=version, now=now, values=values, facts=facts)


def reject(db: Session, rollout_id: int, asker: Asker, *, version: int, now: datetime, reason: str) -> Detail:
    """Say no as the second person; it is a draft again."""
    demand_text(reason, "reason", is_needed=True)
    found = found_for(db, rollout_id, asker, "reject", version)
    if asker.name in _writers(db, found):
        raise ApprovedByAuthor(f"rollout {rollout_id} is withdrawn by its author, not rejected")
    values = {**_NOT_SUBMITTED, "state_reason": reason.strip()}
    return act(db, found, "reject", asker, version=version, now=now, values=values, facts={"reason": reason.strip()})


def withdraw(db: Session, rollout_id: int, asker: Asker, *, version: int, now: datetime) -> Detail:
    """Take back what was submitted or approved and not started: it is a draft again."""
    found = found_for(db, rollout_id, asker, "withdraw", version)
    return act(db, found, "withdraw", asker, version=version, now=now, values=_NOT_SUBMITTED)


def start(
    db: Session,
    home: Home,
    rollout_id: int,
    asker: Asker,
    *,
    version: int,
    now: datetime,
    deadline_s: float | None = None,
) -> Detail:
    """Let it begin; a conductor takes it within seconds.

    Raises RolloutNotApproved where the library, or the list of devices, is not what was approved; RolloutNeedsSecond
    where nobody else approved it, and together with what the same person brought of late it is much: submitted anew it
    gets a second person.
    """
    found = found_for(db, rollout_id, asker, "start", version)
    whole_s = found.deadline_s if deadline_s is None else deadline_s
    if not drafting.LEAST_DEADLINE_S <= whole_s <= drafting.MOST_DEADLINE_S:
        raise Invalid("a rollout has one hour to 90 days", field="deadline_s", reason="out_of_range")
    if found.needs_approval and whole_s > found.deadline_s:
        raise Invalid("a second person approved a shorter time", field="deadline_s", reason="out_of_range")
    demand_as_frozen(db, home, found)
    rollout_evidence.one_count_at_a_time(db)
    if not found.approved_by and drafting.is_much_by_now(db, found, now=now):
        raise RolloutNeedsSecond(f"rollout {rollout_id} is one of many of the same person by now")
    if missing := sorted(set(found.secret_names) - set(keeping.secrets(home, rollout_id))):
        raise RolloutNotApproved(f"the secret {missing[0]} was lost", reason="secrets_lost")
    values: dict[str, Any] = {
        "started_by": asker.name, "started_at": now, "deadline_at": now + timedelta(seconds=whole_s),
        "deadline_s": whole_s, "state_reason": "",
    }  # fmt: skip
    facts: dict[str, Fact] = {"targets": found.targets_digest, "bundle": found.bundle_digest, "deadline_s": whole_s}
    return act(db, found, "start", asker, version=version, now=now, values=values, facts=facts)


def pause(
    db: Session, rollout_id: int, asker: Asker, *, version: int, now: datetime, reason: str = ""
) -> Detail:  # fmt: skip
    """Begin nothing from now on; what runs goes on."""
    demand_text(reason, "reason", is_needed=False)
    found = found_for(db, rollout_id, asker, "pause", version)
    values = {"state_reason": reason.strip()}
    return act(db, found, "pause", asker, version=version, now=now, values=values, facts={"reason": reason.strip()})


def resume(
    db: Session, rollout_id: int, asker: Asker, *, version: int, now: datetime, reason: str = ""
) -> Detail:  # fmt: skip
    """Go on.  After the gate's STOP only with a reason; what it was stopped for is not held against it again."""
    found = found_for(db, rollout_id, asker, "resume", version)
    demand_text(reason, "reason", is_needed=found.state == "stopped")
    values: dict[str, Any] = {"state_reason": ""}
    if found.state == "stopped" and found.state_reason == "gate":
        values["accepted_at"] = now
        # One that failed while another of its run hangs has not ended; it is known all the same.
        run_ids = {
            one.run_id for one in rollout_targets.of_rollout(db, found.id) if one.state == "running" and one.run_id
        }
        rollout_targets.accept(db, found.id, rollout_evidence.failing(db, run_ids))
    return act(db, found, "resume", asker, version=version, now=now, values=values, facts={"reason": reason.strip()})


def abort(db: Session, rollout_id: int, asker: Asker, *, version: int, now: datetime, reason: str) -> Detail:
    """End it: what was not begun never is; what runs goes on to its end and is told truly."""
    demand_text(reason, "reason", is_needed=True)
    found = found_for(db, rollout_id, asker, "abort", version)
    rollout_targets.skip_unbegun(db, rollout_id, "aborted", now=now)
    values: dict[str, Any] = {"state_reason": reason.strip()}
    if not rollout_targets.count_unsettled(db, rollout_id):
        values["ended_at"] = now
    return act(db, found, "abort", asker, version=version, now=now, values=values, facts={"reason": reason.strip()})


# -- what they share


def act(
    db: Session,
    found: Detail,
    what: Act,
    asker: Asker,
    *,
    version: int,
    now: datetime,
    values: Mapping[str, Any] | None = None,
    facts: Mapping[str, Fact] | None = None,
) -> Detail:
    """Write an act of a person; the rollout as it is then.  Raises WrongState and RolloutChanged."""
    state = machine.after(found.state, what)
    point = machine.point_of_act(found.state, what)
    rollouts.change(db, found.id, version=version, values={**(values or {}), "state": state}, of_state=found.state)
    rollout_events.add(db, found.id, EVENTS[what], now=now, actor=asker.name, facts=facts)
    note(db, found, asker, what, now=now, facts=facts)
    crash.point(db, point)
    return rollouts.find(db, asker.scope, found.id)


def note(
    db: Session, found: Detail, asker: Asker, what: str, *, now: datetime, facts: Mapping[str, Fact] | None = None
) -> None:
    """The audit's entry and the pulse.  Of a rollout within one annex those who see only that may read it, too."""
    annexes = rollouts.annexes_of(db, found.id)
    rollouts.tell(db, annexes, now=now)
    audit.add(
        db, now=now, actor=asker.name, via=asker.via, act=f"rollout.{what}", subject=f"rollout:{found.id}",
        annex_id=annexes[0] if len(annexes) == 1 else "",
        facts={"name": found.name, "playbook": found.playbook, **{k: v for k, v in (facts or {}).items() if v != ""}},
    )  # fmt: skip


def demand_as_frozen(db: Session, home: Home, found: Detail) -> None:
    """Raises RolloutNotApproved, with a code as `reason`, where it is not what was submitted any more."""
    if runs.targets_digest(rollout_targets.frozen(db, found.id)) != found.targets_digest:
        raise RolloutNotApproved(f"the devices of rollout {found.id} changed", reason="targets_changed")
    if not is_library_as_frozen(home, found):
        raise RolloutNotApproved("the library of playbooks changed", reason="bundle_changed")


def is_library_as_frozen(home: Home, found: Detail) -> bool:
    """Whether the library still holds exactly what was approved."""
    return _is_digest(home, found, found.bundle_digest, check=False)


def is_dry_run_of(home: Home, found: Detail, bundle_digest: str) -> bool:
    """Whether a dry run with this digest was made of this library and of what the rollout says."""
    return _is_digest(home, found, bundle_digest, check=True)


def _is_digest(home: Home, found: Detail, expected: str, *, check: bool) -> bool:
    try:
        digest = bundle.digest(
            bundle.library(home), playbook=found.playbook, variables=found.variables,
            secret_names=list(found.secret_names), check=check,
        )  # fmt: skip
    except LibraryWrong:
        return False
    return digest == expected


def _writers(db: Session, found: Detail) -> set[str]:
    """Everybody who had a hand in what is to be approved: none of them is a second person."""
    wrote = rollout_events.actors(db, found.id, ("created", "edited", "submitted"))
    return wrote | {found.author, found.submitted_by}


def found_for(db: Session, rollout_id: int, asker: Asker, what: Act, version: int) -> Detail:
    """Raises RolloutUnknown, Forbidden, RolloutChanged before WrongState: who reads an old page shall load it again."""
    rollouts.hold(db, rollout_id)
    found = rollouts.find_to_change(db, asker.scope, rollout_id)
    if found.version != version:
        raise RolloutChanged(f"rollout {rollout_id} was changed meanwhile")
    machine.after(found.state, what)
    return found
