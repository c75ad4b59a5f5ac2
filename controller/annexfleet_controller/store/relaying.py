"""What the relay asks: how a run stands, which devices belong to it and are there; and the runs of the console.

A run of the console is a row like any other, so that people see who works on which device and can end it; it takes
devices one by one as they are used, and claims each as any run does.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import CursorResult, Row, Select, delete, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk, pulses
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceState
from annexfleet_controller.store.tables.runs import RunClaimRow, RunHostRow, RunRow

CONSOLE = "console"
CONSOLE_LASTS = timedelta(days=7)
"""At most; the signer gives no leave after it."""


class RunNow(NamedTuple):
    kind: str
    state: str
    is_cancelled: bool


class HostNow(NamedTuple):
    """A device of a run."""

    id: str
    number: int
    annex_id: str
    state: str
    is_connected: bool
    is_revoked: bool


class TakenBy(NamedTuple):
    """Another run has the device."""

    run_id: int


def run(db: Session, run_id: int) -> RunNow | None:
    found = db.execute(
        select(RunRow.kind, RunRow.state, RunRow.cancelled_at).where(RunRow.id == run_id)
    ).one_or_none()  # fmt: skip
    return None if found is None else RunNow(found[0], found[1], found[2] is not None)


def hosts(db: Session, run_id: int) -> dict[str, HostNow]:
    """The devices of a run, by id."""
    return {host.id: host for host in (_host(row) for row in db.execute(_hosts().where(RunHostRow.run_id == run_id)))}


def begin_console(db: Session, *, playbook: str, author: str, now: datetime) -> int:
    """A run for one ansible process at the console; its number."""
    row = RunRow(
        kind=CONSOLE,
        playbook=playbook[:80],
        forks=0,
        timeout_s=CONSOLE_LASTS.total_seconds(),
        author=author[:80],
        created_at=now,
        started_at=now,
        seen_at=now,
        state="running",
    )
    db.add(row)
    db.flush()
    return row.id


def join_console(db: Session, run_id: int, device_id: str, *, now: datetime) -> HostNow | TakenBy | None:
    """Take a device into a run of the console; None if there is none of this id.

    A device that another run has is not taken, unless that run has ended without letting go of it.
    """
    device = db.execute(select(Device.number, Device.annex_id).where(Device.id == device_id)).one_or_none()
    if device is None:
        return None
    columns = ("device_number", "run_id", "claimed_at")
    bulk.insert_missing(
        db, RunClaimRow, columns[:1], columns, [(device.number, run_id, bulk.micros(now.timestamp()))]
    )  # fmt: skip
    over = select(RunRow.id).where(RunRow.state == "ended")
    db.execute(
        update(RunClaimRow)
        .where(RunClaimRow.device_number == device.number, RunClaimRow.run_id.in_(over))
        .values(run_id=run_id, claimed_at=now)
        .execution_options(synchronize_session=False)
    )
    holder = db.scalar(select(RunClaimRow.run_id).where(RunClaimRow.device_number == device.number))
    if holder is not None and holder != run_id:
        return TakenBy(holder)
    if db.get(RunHostRow, (run_id, device.number)) is None:
        db.add(
            RunHostRow(
                run_id=run_id, device_number=device.number, annex_id=device.annex_id, state="running", started_at=now
            )
        )
        db.flush()
        pulses.add(db, {}, now=now, origin="runs", annexes={device.annex_id: "u"})
    return _host(
        db.execute(_hosts().where(RunHostRow.run_id == run_id, RunHostRow.device_number == device.number)).one()
    )  # fmt: skip


def end_console(db: Session, run_id: int, *, outcome: str, now: datetime) -> None:
    """The process has gone: the run is over, and so is every claim of it."""
    ended = db.execute(
        update(RunRow)
        .where(RunRow.id == run_id, RunRow.kind == CONSOLE, RunRow.state != "ended")
        .values(state="ended", outcome=outcome, ended_at=now)
    )
    assert isinstance(ended, CursorResult)
    if not ended.rowcount:
        return
    annexes = db.scalars(select(RunHostRow.annex_id).where(RunHostRow.run_id == run_id).distinct()).all()
    db.execute(
        update(RunHostRow)
        .where(RunHostRow.run_id == run_id, RunHostRow.state != "ended")
        .values(state="ended", outcome=outcome, ended_at=now)
    )
    db.execute(delete(RunClaimRow).where(RunClaimRow.run_id == run_id))
    pulses.add(db, {}, now=now, origin="runs", annexes=dict.fromkeys(annexes, "u"))


def forgotten_consoles(db: Session) -> list[int]:
    """Runs of the console that a relay left behind when it was killed."""
    return list(db.scalars(select(RunRow.id).where(RunRow.kind == CONSOLE, RunRow.state != "ended")))


def note_seen(db: Session, run_ids: list[int], *, now: datetime) -> None:
    """The processes of these runs live."""
    db.execute(update(RunRow).where(RunRow.id.in_(run_ids)).values(seen_at=now))


def _hosts() -> Select[str, int, str, str, bool, datetime | None]:
    return (
        select(
            Device.id, Device.number, RunHostRow.annex_id, RunHostRow.state, DeviceState.connected, Device.revoked_at
        )
        .select_from(RunHostRow)
        .join(Device, Device.number == RunHostRow.device_number)
        .join(DeviceState, DeviceState.device_number == Device.number, isouter=True)
    )


def _host(row: Row[str, int, str, str, bool, datetime | None]) -> HostNow:
    id_, number, annex_id, state, connected, revoked_at = row
    return HostNow(id_, number, annex_id, state, bool(connected), revoked_at is not None)
