"""/api/v1/runs: Ansible over the fleet: asked for, watched, stopped, asked for again."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import ordering
from annexfleet_controller.rollouts.environment import MOST_FORKS
from annexfleet_controller.rollouts.ordering import Asker, Order
from annexfleet_controller.store import run_hosts, run_results, runs

router = APIRouter(prefix="/api/v1/runs", tags=["runs"], responses=problems.RESPONSES)

Running = Annotated[Person, Depends(Needs("run_playbooks"))]
Id = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]
State = Literal["queued", "running", "ended"]
Standing = Literal[
    "waiting", "running", "ok", "changed", "failed", "unreachable", "cancelled", "unknown", "skipped"
]  # fmt: skip
_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": problems.Problem}}
_Text = Annotated[str, Field(max_length=63)]
_Secrets = Annotated[
    dict[str, JsonValue], Field(description="Values of secret variables; kept in a file until the run has ended")
]
_EXAMPLE: dict[str, JsonValue] = {
    "playbook": "packages", "variables": {"packages_present": ["cups"]}, "annexes": ["berkane-1"],
    "roles": ["kiosk"], "check": True, "reason": "Printing at the kiosks",
}  # fmt: skip


class NewRun(BaseModel):
    """The devices are those named, and those of the annexes; roles narrow what the annexes give."""

    playbook: Annotated[str, Field(max_length=80)]
    variables: dict[str, JsonValue] = {}
    secrets: _Secrets = {}
    devices: Annotated[list[_Text], Field(max_length=1000)] = []
    annexes: Annotated[list[_Text], Field(max_length=500)] = []
    roles: Annotated[list[_Text], Field(max_length=4, description="Without annexes: of all annexes in sight")] = []
    check: Annotated[bool, Field(description="A dry run: tells what would change, and changes nothing")] = False
    forks: Annotated[int, Field(ge=0, le=MOST_FORKS, description="Devices at once; 0: as many as is sensible")] = 0
    timeout_s: Annotated[float, Field(ge=ordering.LEAST_TIMEOUT_S, le=ordering.MOST_TIMEOUT_S)] = 3600.0
    reason: Annotated[str, Field(max_length=200)] = ""

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class Again(BaseModel):
    secrets: _Secrets = {}


class TallyOut(BaseModel):
    """How many devices in your sight stand how."""

    waiting: int
    running: int
    ok: int
    changed: int
    failed: int
    unreachable: int
    cancelled: int
    unknown: int
    skipped: int


class RunOut(BaseModel):
    id: int
    kind: Literal["playbook", "console"]
    playbook: str
    variables: dict[str, JsonValue]
    secret_names: list[str]
    check: bool
    forks: int
    timeout_s: float
    bundle_digest: str
    """SHA-256 of playbooks, variables and kind of run as they were asked for."""
    targets_digest: str
    """SHA-256 of the sorted ids of all its devices, each with a line feed."""
    author: str
    reason: str
    created_at: datetime
    state: State
    outcome: Literal["", "ok", "failed", "cancelled", "timed_out", "unknown"]
    problem: str
    started_at: datetime | None
    ended_at: datetime | None
    cancelled_at: datetime | None
    cancelled_by: str
    attempts: int
    hosts: TallyOut
    may_stop: bool


class RunPage(BaseModel):
    items: list[RunOut]
    next: str | None = None


class RunHostOut(BaseModel):
    device: str
    name: str
    annex: str
    state: Literal["waiting", "running", "ended"]
    outcome: str
    ok_count: int
    changed_count: int
    failed_count: int
    skipped_count: int
    task: str
    message: str
    diff_digest: str
    started_at: datetime | None
    ended_at: datetime | None


class RunHostPage(BaseModel):
    items: list[RunHostOut]
    next: str | None = None


class ResultOut(BaseModel):
    task_number: int
    task: str
    action: str
    state: str
    duration_s: float
    message: str
    diff: str


class RunHostDetail(RunHostOut):
    results: list[ResultOut]


class GroupDeviceOut(BaseModel):
    device: str
    name: str


class DiffPartOut(BaseModel):
    task_number: int
    task: str
    text: str
    """Empty where the task changes something and cannot show what."""


class DiffGroupOut(BaseModel):
    """Devices that change alike; without parts: those that change nothing."""

    digest: str
    is_partial: bool
    """They failed, or were lost, after these changes: there may be more."""
    devices: list[GroupDeviceOut]
    parts: list[DiffPartOut]


class DiffsOut(BaseModel):
    groups: list[DiffGroupOut]
    unpredictable: list[str]
    """Tasks of a dry run of which nobody can tell what they would do."""


@router.get("")
def list_runs(
    *,
    person: Running,
    db: Db,
    state: Annotated[State | Literal[""], Query()] = "",
    annex: Annotated[str, Query(max_length=63)] = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 50,
) -> RunPage:
    """Runs with a device in your sight, the newest first."""
    rows = runs.listing(db, person.scope, state=state, annex_id=annex, before=_before(cursor), limit=limit + 1)
    more = len(rows) > limit
    return RunPage(
        items=[_out(db, person, run) for run in rows[:limit]],
        next=paging.cursor(str(rows[limit - 1].id)) if more else None,
    )


@router.post("", status_code=201, responses=_CONFLICT)
def create_run(new: NewRun, person: Running, home: HomeOf, once: OnceOf, now: Now) -> RunOut:
    """Queue a run.  With an `Idempotency-Key` a repeat within a day queues none and answers the same."""
    wish = Order(
        playbook=new.playbook, variables=new.variables, secrets=new.secrets, devices=new.devices,
        annexes=new.annexes, roles=new.roles, check=new.check, forks=new.forks, timeout_s=new.timeout_s,
        reason=new.reason,
    )  # fmt: skip

    def work(db: Session) -> dict[str, Any]:
        run_id = ordering.order(db, home, wish, asker(person), now=now)
        return _out(db, person, runs.find(db, person.scope, run_id)).model_dump(mode="json")

    return RunOut.model_validate(once.do(person, _without_secrets(new), work, now=now))


@router.get("/{run_id}")
def show_run(run_id: Id, person: Running, db: Db) -> RunOut:
    """One of them; its numbers count the devices in your sight."""
    return _out(db, person, runs.find(db, person.scope, run_id))


@router.get("/{run_id}/hosts")
def list_hosts(
    *,
    run_id: Id,
    person: Running,
    db: Db,
    standing: Annotated[Standing | Literal[""], Query(description="waiting, running or an outcome")] = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> RunHostPage:
    """Its devices in your sight, by id."""
    run = runs.find(db, person.scope, run_id)
    after = paging.keys(cursor, 1)
    rows = run_hosts.hosts(
        db, person.scope, run.id, standing=standing, after=after[0] if after else "", limit=limit + 1
    )  # fmt: skip
    return RunHostPage(
        items=[RunHostOut(**_host(row)) for row in rows[:limit]],
        next=paging.cursor(rows[limit - 1].device_id) if len(rows) > limit else None,
    )


@router.get("/{run_id}/hosts/{device_id}")
def show_host(run_id: Id, device_id: str, person: Running, db: Db) -> RunHostDetail:
    """What it did on one device, task by task."""
    row = run_hosts.host(db, person.scope, run_id, device_id)
    results = run_results.of_host(db, run_id, row.device_number)
    return RunHostDetail(
        **_host(row),
        results=[
            ResultOut(
                task_number=r.task_number, task=r.task, action=r.action, state=r.state, duration_s=r.duration_s,
                message=r.message, diff=r.diff,
            )
            for r in results
        ],
    )  # fmt: skip


@router.get("/{run_id}/diffs")
def show_diffs(run_id: Id, person: Running, db: Db) -> DiffsOut:
    """What it changed or would change: devices that change alike together, the largest group first."""
    run = runs.find(db, person.scope, run_id)
    groups = [
        DiffGroupOut(
            digest=group.digest,
            is_partial=group.is_partial,
            devices=[GroupDeviceOut(device=id_, name=name) for id_, name in group.devices],
            parts=[
                DiffPartOut(task_number=part.task_number, task=part.task, text=part.text)
                for part in (run_results.diff_parts(db, run.id, group.devices[0][0]) if group.digest else ())
            ],
        )
        for group in run_results.diff_groups(db, person.scope, run.id)
    ]
    return DiffsOut(groups=groups, unpredictable=[task.name for task in run_results.unpredictable(db, run.id)])


@router.post("/{run_id}/cancel", responses=_CONFLICT)
def cancel_run(run_id: Id, person: Running, db: WritingDb, now: Now) -> RunOut:
    """Ask for its end; only who sees all of its devices may.  What a device had begun may be half done."""
    return _out(db, person, ordering.cancel(db, run_id, asker(person), now=now))


@router.post("/{run_id}/retry", status_code=201, responses=_CONFLICT)
def retry_run(
    *, run_id: Id, person: Running, home: HomeOf, once: OnceOf, now: Now, again: Again | None = None
) -> RunOut:  # fmt: skip
    """A new run for its devices in your sight without success.  Secrets have to be given again."""
    secrets = again.secrets if again else {}

    def work(db: Session) -> dict[str, Any]:
        new = ordering.again(db, home, run_id, asker(person), secrets=secrets, now=now)
        return _out(db, person, runs.find(db, person.scope, new)).model_dump(mode="json")

    return RunOut.model_validate(once.do(person, {"secrets": sorted(secrets)}, work, now=now))


def asker(person: Person) -> Asker:
    return Asker(name=person.name, via=person.via, scope=person.scope)


def _without_secrets(new: NewRun) -> dict[str, Any]:
    """What a repeat is compared with: names only, for not even a digest of a secret belongs in the database."""
    return {**new.model_dump(mode="json"), "secrets": sorted(new.secrets)}


def _before(cursor: str) -> int | None:
    keys = paging.keys(cursor, 1)
    if keys is None:
        return None
    if not (keys[0].isascii() and keys[0].isdecimal()) or int(keys[0]) > paging.LARGEST_ID:
        raise Invalid("not a cursor", field="cursor")
    return int(keys[0])


def _out(db: Session, person: Person, run: runs.Run) -> RunOut:
    fields = msgspec.structs.asdict(run)
    fields["secret_names"] = list(run.secret_names)
    fields["hosts"] = msgspec.structs.asdict(run.hosts)
    fields["may_stop"] = run.state != "ended" and runs.may_stop(db, person.scope, run.id)
    return RunOut.model_validate(fields)


def _host(row: run_hosts.RunHost) -> dict[str, Any]:
    return {
        "device": row.device_id, "name": row.device_name, "annex": row.annex_id, "state": row.state,
        "outcome": row.outcome, "ok_count": row.ok_count, "changed_count": row.changed_count,
        "failed_count": row.failed_count, "skipped_count": row.skipped_count, "task": row.task,
        "message": row.message, "diff_digest": row.diff_digest, "started_at": row.started_at,
        "ended_at": row.ended_at,
    }  # fmt: skip
