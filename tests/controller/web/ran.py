"""Ansible runs and commands of a small province, written as the run's own process and the relay write them."""

import hashlib
from datetime import datetime, timedelta

from sqlalchemy.orm import Session
from tests.controller.fleet import device_id

from annexfleet_controller.store import commands, run_queue, run_results, runs
from annexfleet_controller.store.run_progress import Batch, Progress, Result, Task
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow

DIFF = """--- /etc/cups/cupsd.conf
@@ -1,4 +1,4 @@
 LogLevel warn
-MaxJobs 500
+MaxJobs 200
 PageLogFormat
"""
OTHER = """--- /etc/cups/cupsd.conf
@@ -1,3 +1,4 @@
 LogLevel warn
+MaxJobs 200
 PageLogFormat
"""
TASKS = ("Read what is there", "Put the settings of CUPS in place", "Restart CUPS")


def takes_commands(db: Session, number: int) -> None:
    """Let a device have told its key."""
    row = db.get(Device, number)
    assert row is not None
    row.exchange_key = bytes(32)


def queued(db: Session, numbers: list[int], *, now: datetime, playbook: str = "printers", **of: object) -> int:
    """A run that waits to begin, on these devices."""
    targets = runs.targets(db, WHOLE, devices=[device_id(number) for number in numbers])
    whole: dict[str, object] = {"playbook": playbook, "author": "tech"}
    return runs.create(db, runs.NewRun(**(whole | of)), targets, now=now)  # type: ignore[arg-type]


def begun(db: Session, numbers: list[int], *, now: datetime, **of: object) -> int:
    run_id = queued(db, numbers, now=now, **of)
    assert run_queue.take(db, now=now) == run_id
    tasks = [Task(number=n, key=f"t{n}", name=name) for n, name in enumerate(TASKS, 1)]
    run_results.write(db, run_id, Batch(tasks=tasks), now=now)
    return run_id


def at_work(db: Session, run_id: int, number: int, *, now: datetime, task: int = 2) -> None:
    host = Progress(device_number=number, state="running", task_number=task, task=TASKS[task - 1])
    run_results.write(db, run_id, Batch(hosts=[host]), now=now)


def ended(
    db: Session, run_id: int, number: int, outcome: str, *, now: datetime, diff: str = "", message: str = ""
) -> None:  # fmt: skip
    """One device of a run is done; with `diff` its second task changed that."""
    digest = hashlib.sha256(diff.encode()).hexdigest() if diff else ""
    state = "changed" if diff else "failed" if outcome == "failed" else "ok"
    results = [
        Result(device_number=number, task_number=1, state="ok", duration_s=0.2),
        Result(device_number=number, task_number=2, state=state, duration_s=1.4, message=message, diff_digest=digest),
    ]
    host = Progress(
        device_number=number, state="ended", outcome=outcome, ok_count=2, changed_count=int(bool(diff)),
        failed_count=int(outcome == "failed"), skipped_count=0, task_number=2, task=TASKS[1], message=message,
        diff_digest=digest,
    )  # fmt: skip
    diffs = {digest: diff} if diff else {}
    run_results.write(db, run_id, Batch(results=results, hosts=[host], diffs=diffs), now=now)


def dry(db: Session, *, now: datetime, same: list[int], other: list[int] = [], still: list[int] = []) -> int:  # noqa: B006
    """A dry run that has ended, by what it would change where."""
    run_id = begun(db, [*same, *other, *still], now=now, check=True, variables={"printers_max_jobs": 200})
    unsure = Task(number=3, key="t3", name=TASKS[2], action="ansible.builtin.command", predictable=False)
    run_results.write(db, run_id, Batch(tasks=[unsure]), now=now)
    for numbers, diff in ((same, DIFF), (other, OTHER), (still, "")):
        for number in numbers:
            ended(db, run_id, number, "changed" if diff else "ok", now=now + timedelta(seconds=4), diff=diff)
    run_queue.finish(db, run_id, 1, outcome="ok", now=now + timedelta(seconds=5))
    return run_id


def command(db: Session, number: int, name: str, *, now: datetime, outcome: str = "", **parameters: object) -> str:
    """A command, ended where it has an outcome."""
    made = commands.create(
        db, device_number=number, name=name, parameters=parameters, author="tech", now=now,  # type: ignore[arg-type]
        give_up_after=timedelta(minutes=10),
    )  # fmt: skip
    if outcome:
        commands.claim(db, made.id, now=now)
        commands.settle(db, made.id, outcome, now=now + timedelta(seconds=3), device_id=device_id(number))
    return made.id


def past(db: Session, number: int, at: datetime, *, device: int, check: bool = False) -> None:
    """A run of that number that ended a minute after it began."""
    db.add(
        RunRow(
            id=number, kind="playbook", playbook="agent_update", check=check, forks=1, timeout_s=60.0, author="amina",
            created_at=at, state="ended", outcome="ok", started_at=at, ended_at=at + timedelta(minutes=1),
        )
    )  # fmt: skip
    db.flush()
    db.add(
        RunHostRow(
            run_id=number, device_number=device, annex_id="berkane-1", state="ended", outcome="ok", started_at=at,
            ended_at=at + timedelta(minutes=1),
        )
    )  # fmt: skip
    db.flush()
