"""What is done to a rollout, below /api/v1/rollouts: submit, approve, start, halt, and begin anew from one.

Every act upon a rollout names the version that was read, as `If-Match` or `version`.  Who comes second gets 409 with
the `version` and `state` of now, who was first (`other`) and what they `may` ask.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session

from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems, rollout_making
from annexfleet_controller.api.rollout_desk import DeskOf, asker
from annexfleet_controller.api.rollout_shapes import (
    Acting,
    Deriving,
    DryRun,
    Reasoned,
    RolloutOut,
    Starting,
    Submitting,
    WayBackOut,
)
from annexfleet_controller.api.rollouts import Id, Planning
from annexfleet_controller.rollouts import proposing
from annexfleet_controller.store import rollouts

_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": problems.Problem}}
_MOVED = _CONFLICT | {428: {"model": problems.Problem}}

router = APIRouter(
    prefix="/api/v1/rollouts/{rollout_id}", tags=["rollouts"], responses=problems.RESPONSES
)  # fmt: skip

Approving = Annotated[Person, Depends(Needs("approve_rollouts"))]


@router.post("/submit", responses=_MOVED)
def submit(rollout_id: Id, person: Planning, desk: DeskOf, ask: Submitting | None = None) -> RolloutOut:
    """Freeze its devices and waves.  One that needs no second person is approved in the same breath."""
    how = ask or Submitting()
    return desk.act(
        person, rollout_id, "submit", how,
        lambda db, who, version: proposing.submit(
            db, desk.home, rollout_id, who, version=version, now=desk.now, targets_digest=how.targets_digest
        ),
    )  # fmt: skip


@router.post("/approve", responses=_MOVED)
def approve(rollout_id: Id, person: Approving, desk: DeskOf, ask: Acting | None = None) -> RolloutOut:
    """Say yes as the second person; never who wrote or submitted it."""
    return desk.act(
        person, rollout_id, "approve", ask or Acting(),
        lambda db, who, version: proposing.approve(
            db, desk.home, rollout_id, who, version=version, now=desk.now
        ),
    )  # fmt: skip


@router.post("/reject", responses=_MOVED)
def reject(rollout_id: Id, person: Approving, desk: DeskOf, ask: Reasoned) -> RolloutOut:
    """Say no as the second person, and why; it is a draft again."""
    return desk.act(
        person, rollout_id, "reject", ask,
        lambda db, who, version: proposing.reject(
            db, rollout_id, who, version=version, now=desk.now, reason=ask.reason
        ),
    )  # fmt: skip


@router.post("/withdraw", responses=_MOVED)
def withdraw(rollout_id: Id, person: Planning, desk: DeskOf, ask: Acting | None = None) -> RolloutOut:
    """Take back what was submitted or approved and not started; it is a draft again."""
    return desk.act(
        person, rollout_id, "withdraw", ask or Acting(),
        lambda db, who, version: proposing.withdraw(db, rollout_id, who, version=version, now=desk.now),
    )  # fmt: skip


@router.post("/start", responses=_MOVED)
def start(rollout_id: Id, person: Planning, desk: DeskOf, ask: Starting | None = None) -> RolloutOut:
    """Let it begin; a conductor takes it within seconds.

    409 `rollout_needs_second` where nobody else approved it, and with what the same person brought of late it is much;
    409 `rollout_not_approved` where the library (`bundle_changed`), the devices (`targets_changed`) or a secret
    (`secrets_lost`) is not what was approved any more: withdraw it, and submit it again.
    """
    how = ask or Starting()
    return desk.act(
        person, rollout_id, "start", how,
        lambda db, who, version: proposing.start(
            db, desk.home, rollout_id, who, version=version, now=desk.now, deadline_s=how.deadline_s
        ),
    )  # fmt: skip


@router.post("/pause", responses=_MOVED)
def pause(rollout_id: Id, person: Planning, desk: DeskOf, ask: Reasoned | None = None) -> RolloutOut:
    """Begin nothing from now on; what runs goes on to its end."""
    how = ask or Reasoned()
    return desk.act(
        person, rollout_id, "pause", how,
        lambda db, who, version: proposing.pause(
            db, rollout_id, who, version=version, now=desk.now, reason=how.reason
        ),
    )  # fmt: skip


@router.post("/resume", responses=_MOVED)
def resume(rollout_id: Id, person: Planning, desk: DeskOf, ask: Reasoned | None = None) -> RolloutOut:
    """Go on.  After the gate's STOP only with a reason."""
    how = ask or Reasoned()
    return desk.act(
        person, rollout_id, "resume", how,
        lambda db, who, version: proposing.resume(
            db, rollout_id, who, version=version, now=desk.now, reason=how.reason
        ),
    )  # fmt: skip


@router.post("/abort", responses=_MOVED)
def abort(rollout_id: Id, person: Planning, desk: DeskOf, ask: Reasoned) -> RolloutOut:
    """End it, with a reason: what was not begun never is; what runs goes on to its end and is told truly."""
    return desk.act(
        person, rollout_id, "abort", ask,
        lambda db, who, version: proposing.abort(
            db, rollout_id, who, version=version, now=desk.now, reason=ask.reason
        ),
    )  # fmt: skip


@router.post("/dry-run", responses=_MOVED)
def dry_run(rollout_id: Id, person: Planning, desk: DeskOf, ask: DryRun | None = None) -> RolloutOut:
    """Queue a dry run on its devices, or on those of one wave, and attach it (`dry_run`, a number of /api/v1/runs)."""
    how = ask or DryRun()
    return desk.act(
        person, rollout_id, "dry_run", how,
        lambda db, who, version: proposing.dry_run(
            db, desk.home, rollout_id, who, version=version, now=desk.now, wave=how.wave
        ),
    )  # fmt: skip


@router.post("/clone", status_code=201, responses=_CONFLICT)
def clone(rollout_id: Id, person: Planning, desk: DeskOf, ask: Deriving | None = None) -> RolloutOut:
    """A draft of the same.  Secrets that are kept no more have to be given again."""
    how = ask or Deriving()

    def work(db: Session) -> RolloutOut:
        made = proposing.clone(db, desk.home, rollout_id, asker(person), now=desk.now, secrets=how.secrets)
        return rollout_making.out(db, person, rollouts.find(db, person.scope, made))

    return desk.once(person, rollout_making.without_secrets(how), work)


@router.post("/retry", status_code=201, responses=_CONFLICT)
def retry(rollout_id: Id, person: Planning, desk: DeskOf, ask: Deriving | None = None) -> RolloutOut:
    """A draft for its devices in your sight that ended badly."""
    how = ask or Deriving()

    def work(db: Session) -> RolloutOut:
        made = proposing.retry_failed(db, desk.home, rollout_id, asker(person), now=desk.now, secrets=how.secrets)
        return rollout_making.out(db, person, rollouts.find(db, person.scope, made))

    return desk.once(person, rollout_making.without_secrets(how), work)


@router.post("/rollback", status_code=201, responses=_CONFLICT)
def roll_back(rollout_id: Id, person: Planning, desk: DeskOf, ask: Deriving | None = None) -> WayBackOut:
    """Drafts that take back what was done to its devices in your sight, one for each state they came from."""
    how = ask or Deriving()

    def work(db: Session) -> dict[str, Any]:
        back = proposing.roll_back(db, desk.home, rollout_id, asker(person), now=desk.now, secrets=how.secrets)
        made = WayBackOut(
            drafts=[rollout_making.out(db, person, rollouts.find(db, person.scope, one)) for one in back.drafts],
            lost=list(back.lost),
        )
        return made.model_dump(mode="json")

    return WayBackOut.model_validate(desk.answers(person, rollout_making.without_secrets(how), work))
