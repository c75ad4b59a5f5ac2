"""What rollouts read besides themselves: devices to choose from, what these report, and how runs went."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import TypeVar

from msgspec import Struct
from sqlalchemy import ColumnElement, String, and_, cast, func, or_, select
from sqlalchemy.orm import Session

from annexfleet_controller.store import rollouts
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.alerts import AlertRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceInventory, DevicePart, DeviceState, History
from annexfleet_controller.store.tables.rollouts import RolloutRow, RolloutTargetRow
from annexfleet_controller.store.tables.runs import RunClaimRow, RunHostRow, RunResultRow, RunRow

_AT_ONCE = 500
_COUNT_LOCK = 0x6272_6F75_6768
"""Of PostgreSQL's advisory locks, the one for counting what one person brought: `brough`."""
_Key = TypeVar("_Key")
CUTS = ("annex.power_cut", "annex.link_down")
"""Rules that say of an annex that all in it is cut off."""


class Chosen(Struct, frozen=True, kw_only=True):
    """A device in service, as it may be chosen."""

    number: int
    id: str
    name: str
    annex_id: str
    role: str
    model: str
    agent_version: str
    connected: bool
    takes_commands: bool
    """It can be reached at all: its runner told a key, or it is reached over SSH."""


class Told(Struct, frozen=True, kw_only=True):
    """What a device told of itself when it said hello."""

    number: int
    connected: bool
    heard_at: datetime | None
    hello_at: datetime | None
    agent_version: str
    config_version: int
    inventory_at: datetime | None


class Outcome(Struct, frozen=True, kw_only=True):
    """How one device of a run stands."""

    number: int
    run_id: int
    run_state: str
    """queued, running or ended"""
    run_outcome: str
    run_problem: str
    state: str
    """waiting, running or ended"""
    outcome: str
    """ok, changed, failed, unreachable, cancelled, unknown or skipped; empty until it ended"""
    started_at: datetime | None
    ended_at: datetime | None


class Trouble(Struct, frozen=True):
    """An alert about a device itself."""

    device_id: str
    rule_id: str
    severity: str
    since: datetime
    cleared_at: datetime | None


class ThingTrouble(Struct, frozen=True):
    """An alert about a printer, a portal or a queue of an annex, or about the annex itself."""

    kind: str
    thing_id: str
    part: str
    annex_id: str
    rule_id: str
    severity: str
    cause: str
    since: datetime
    cleared_at: datetime | None


def chosen(db: Session, scope: Scope, *, numbers: Collection[int] | None = None) -> list[Chosen]:
    """The devices in sight and in service by id; of these numbers only, if any are given."""
    query = (
        select(
            Device.number, Device.id, Device.name, Device.annex_id, Device.role, Device.model,
            func.coalesce(DeviceState.agent_version, "").label("agent_version"),
            func.coalesce(DeviceState.connected, False).label("connected"),
            or_(Device.exchange_key.is_not(None), Device.connection == "ssh").label("takes_commands"),
        )
        .join(DeviceState, DeviceState.device_number == Device.number, isouter=True)
        .where(scope.limit(Device.annex_id), Device.revoked_at.is_(None))
    )  # fmt: skip
    rows = (
        row for some in _some(numbers) for row in db.execute(query if some is None else query.where(
            Device.number.in_(some))).mappings()
    )  # fmt: skip
    return sorted((Chosen(**row) for row in rows), key=lambda device: device.id)


def count_in_service(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(Device).where(Device.revoked_at.is_(None))) or 0


def in_service(db: Session, scope: Scope, ids: Collection[str]) -> set[str]:
    """Those of these devices that are in sight and in service."""
    found: set[str] = set()
    for some in _some(ids):
        query = select(Device.id).where(Device.id.in_(some or ()), Device.revoked_at.is_(None))
        found |= set(db.scalars(query.where(scope.limit(Device.annex_id))))
    return found


def members(db: Session, annexes: Collection[str]) -> dict[str, list[int]]:
    """The numbers of the devices in service of these annexes; one without any is missing."""
    found: dict[str, list[int]] = {}
    for some in _some(sorted(annexes)):
        query = select(Device.annex_id, Device.number).where(Device.annex_id.in_(some or ()))
        for annex_id, number in db.execute(query.where(Device.revoked_at.is_(None)).order_by(Device.number)):
            found.setdefault(annex_id, []).append(number)
    return found


def ids(db: Session, numbers: Collection[int]) -> dict[int, str]:
    """The ids of devices, those out of service too."""
    rows = (
        row for some in _some(numbers)
        for row in db.execute(select(Device.number, Device.id).where(Device.number.in_(some or ())))
    )  # fmt: skip
    return {row[0]: row[1] for row in rows}


def hold_places(db: Session, numbers: Collection[int]) -> dict[int, str]:
    """Where these devices stand; on PostgreSQL they stay there until the transaction ends."""
    found: dict[int, str] = {}
    for some in _some(sorted(numbers)):
        query = select(Device.number, Device.annex_id).where(Device.number.in_(some or ())).order_by(Device.number)
        found |= {row[0]: row[1] for row in db.execute(query.with_for_update(read=True))}
    return found


# -- what they report


def told(db: Session, numbers: Collection[int] | None) -> dict[int, Told]:
    """What these devices, or all, told with their last hello; one that never did is missing."""
    columns = (
        DeviceState.device_number, DeviceState.connected, DeviceState.heard_at, DeviceState.connected_at,
        DeviceState.agent_version, DeviceState.config_version, DeviceState.inventory_at,
    )  # fmt: skip
    found = {}
    for some in _some(numbers):
        query = select(*columns)
        for row in db.execute(query if some is None else query.where(DeviceState.device_number.in_(some))):
            found[row[0]] = Told(
                number=row[0], connected=row[1], heard_at=row[2], hello_at=row[3],
                agent_version=row[4], config_version=row[5], inventory_at=row[6],
            )  # fmt: skip
    return found


def inventories(db: Session, numbers: Collection[int]) -> Iterator[tuple[int, datetime, bytes]]:
    """Number, when it was so, and the inventory as it came; a chunk at a time, for they are big."""
    columns = (DeviceInventory.device_number, DeviceInventory.at, DeviceInventory.payload)
    for some in _some(numbers):
        for row in db.execute(select(*columns).where(DeviceInventory.device_number.in_(some or ()))):
            yield row[0], row[1], row[2]


def inventoried(db: Session, numbers: Collection[int]) -> dict[int, datetime]:
    """When the inventories were so that these devices told; without the inventories."""
    found: dict[int, datetime] = {}
    for some in _some(numbers):
        query = select(DeviceInventory.device_number, DeviceInventory.at)
        found |= {row[0]: row[1] for row in db.execute(query.where(DeviceInventory.device_number.in_(some or ())))}
    return found


def parts(db: Session, collector: str, numbers: Collection[int]) -> Iterator[tuple[int, datetime, bytes]]:
    """Number, moment and the whole state that this collector told last, as it came."""
    columns = (DevicePart.device_number, DevicePart.at, DevicePart.payload)
    for some in _some(numbers):
        query = select(*columns).where(DevicePart.collector == collector, DevicePart.device_number.in_(some or ()))
        for row in db.execute(query):
            yield row[0], row[1], row[2]


def beats(
    db: Session, numbers: Collection[int], *, since: datetime, until: datetime
) -> Iterator[tuple[int, datetime, bytes]]:
    """Number, end and payload of the beats of a time, as they came; oldest first for each device."""
    columns = (History.device_number, History.at, History.payload)
    for some in _some(numbers):
        query = select(*columns).where(
            History.device_number.in_(some or ()), History.resolution_s == 0, History.at > since, History.at <= until
        )
        for row in db.execute(query.order_by(History.device_number, History.at)):
            yield row[0], row[1], row[2]


# -- runs


def outcomes(db: Session, pairs: Collection[tuple[int, int]]) -> dict[int, Outcome]:
    """How devices stand in these runs, by device; `pairs` are device number and run id."""
    wanted: dict[int, set[int]] = {}
    for number, run_id in pairs:
        wanted.setdefault(run_id, set()).add(number)
    columns = (
        RunHostRow.device_number, RunHostRow.run_id, RunRow.state, RunRow.outcome, RunRow.problem, RunHostRow.state,
        RunHostRow.outcome, RunHostRow.started_at, RunHostRow.ended_at,
    )  # fmt: skip
    found = {}
    for some in _some(sorted(wanted)):
        query = select(*columns).join(RunRow, RunRow.id == RunHostRow.run_id).where(RunHostRow.run_id.in_(some or ()))
        for row in db.execute(query):
            if row[0] in wanted[row[1]]:
                found[row[0]] = Outcome(
                    number=row[0], run_id=row[1], run_state=row[2], run_outcome=row[3], run_problem=row[4],
                    state=row[5], outcome=row[6], started_at=row[7], ended_at=row[8],
                )  # fmt: skip
    return found


def failing(db: Session, run_ids: Collection[int]) -> set[int]:
    """Devices that go no further in these runs: the newest task that is told of them failed, and they have not ended.

    One that is rescued goes on to another task.
    """
    found: set[int] = set()
    for some in _some(sorted(run_ids)):
        query = (
            select(RunHostRow.device_number)
            .join(
                RunResultRow,
                (RunResultRow.run_id == RunHostRow.run_id)
                & (RunResultRow.device_number == RunHostRow.device_number)
                & (RunResultRow.task_number == RunHostRow.task_number),
            )
            .where(
                RunHostRow.run_id.in_(some or ()), RunHostRow.state == "running", RunHostRow.failed_count > 0,
                RunResultRow.state == "failed",
            )
        )  # fmt: skip
        found |= set(db.scalars(query))
    return found


def claimed(db: Session, numbers: Collection[int]) -> dict[int, int]:
    """The run that each of these devices belongs to now; one that is free is missing."""
    columns = (RunClaimRow.device_number, RunClaimRow.run_id)
    rows = (
        row for some in _some(numbers)
        for row in db.execute(select(*columns).where(RunClaimRow.device_number.in_(some or ())))
    )  # fmt: skip
    return {row[0]: row[1] for row in rows}


def one_count_at_a_time(db: Session) -> None:
    """Let others who count with `brought_to` before they submit or start wait until the transaction ends.

    On SQLite a writing transaction is alone anyway.
    """
    if db.get_bind().dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(_COUNT_LOCK)))


def brought_to(
    db: Session, name: str, *, since: datetime, but: int | None = None, is_begun: bool = False
) -> set[int]:  # fmt: skip
    """Devices to which this person brought, or submitted to bring, something since then without a second person.

    What is under way counts, whenever it was started; with `is_begun` what was only submitted does not.

    By rollouts, of which `but` is left out, and by runs of their own that were no dry runs.  Whose run it was is told
    by what the rollout did, never by the reason alone: anybody may write one.
    """
    when = [RolloutRow.started_at >= since, RolloutRow.state.in_(rollouts.UNDER_WAY)]
    if not is_begun:
        when.append(RolloutRow.submitted_at >= since)
    of_rollouts = (
        select(RolloutTargetRow.device_number)
        .join(RolloutRow, RolloutRow.id == RolloutTargetRow.rollout_id)
        .where(
            RolloutTargetRow.wave > 0, or_(*when), RolloutRow.approved_by == "",
            or_(RolloutRow.author == name, RolloutRow.submitted_by == name),
            RolloutRow.state.not_in(("draft", "submitted")),
            # What was ended before it began did nothing.
            or_(RolloutRow.started_at.is_not(None), RolloutRow.state != "aborted"),
        )
    )  # fmt: skip
    if but is not None:
        of_rollouts = of_rollouts.where(RolloutRow.id != but)
    of_runs = (
        select(RunHostRow.device_number)
        .join(RunRow, RunRow.id == RunHostRow.run_id)
        .where(
            RunRow.kind == "playbook", RunRow.check.is_(False), RunRow.author == name, RunRow.created_at >= since,
            ~_is_of_rollout(),
        )
    )  # fmt: skip
    return set(db.scalars(of_rollouts)) | set(db.scalars(of_runs))


def _is_of_rollout() -> ColumnElement[bool]:
    """Whether a rollout made the run for that device: its target names it, or named it before it was tried again."""
    named_before = and_(
        RunRow.reason == "rollout:" + cast(RolloutRow.id, String), RunRow.bundle_digest == RolloutRow.bundle_digest,
        RunRow.author == RolloutRow.started_by, RolloutRow.started_at <= RunRow.created_at,
    )  # fmt: skip
    return (
        select(RolloutTargetRow.device_number)
        .join(RolloutRow, RolloutRow.id == RolloutTargetRow.rollout_id)
        .where(
            RolloutTargetRow.device_number == RunHostRow.device_number, RolloutTargetRow.attempts > 0,
            or_(RolloutTargetRow.run_id == RunRow.id, named_before),
        )
        .correlate(RunHostRow, RunRow)
        .exists()
    )  # fmt: skip


# -- health


def troubles(db: Session, *, since: datetime) -> list[Trouble]:
    """Alerts about devices themselves, muted ones too, that are open or cleared after that moment."""
    columns = (AlertRow.thing_id, AlertRow.rule_id, AlertRow.severity, AlertRow.since, AlertRow.cleared_at)
    query = select(*columns).where(
        AlertRow.thing_kind == "device", AlertRow.opened_at.is_not(None),
        or_(AlertRow.state != "cleared", AlertRow.cleared_at > since),
    )  # fmt: skip
    return [Trouble(*row) for row in db.execute(query)]


def thing_troubles(db: Session, *, since: datetime) -> list[ThingTrouble]:
    """Alerts about things of annexes that are open or cleared after that moment; none that another alert explains.

    Of annexes themselves only that line or mains are cut (`CUTS`).
    """
    columns = (
        AlertRow.thing_kind, AlertRow.thing_id, AlertRow.part, AlertRow.annex_id, AlertRow.rule_id, AlertRow.severity,
        AlertRow.cause, AlertRow.since, AlertRow.cleared_at,
    )  # fmt: skip
    query = select(*columns).where(
        or_(
            AlertRow.thing_kind.in_(("printer", "portal", "queue")) & (AlertRow.suppressed_by == ""),
            (AlertRow.thing_kind == "annex") & AlertRow.rule_id.in_(CUTS),
        ),
        AlertRow.annex_id != "", AlertRow.opened_at.is_not(None),
        or_(AlertRow.state != "cleared", AlertRow.cleared_at > since),
    )  # fmt: skip
    return [ThingTrouble(*row) for row in db.execute(query)]


def _some(keys: Collection[_Key] | None) -> Iterable[list[_Key] | None]:
    if keys is None:
        return [None]
    ordered = list(keys)
    return [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
