"""How devices stood to what is wanted of them when they were last compared: kept, so that looking costs nothing.

A device that was never compared, that was moved since, or of which something else was decided since, stands `unknown`.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Select, String, and_, case, cast, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from annexfleet_controller.desired.drift import STANDINGS, Finding, Standing
from annexfleet_controller.desired.resolve import Layer
from annexfleet_controller.store import bulk, figures, runs
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.desired import DesiredDriftRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceInventory, DevicePart, DeviceState
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow
from annexfleet_controller.store.tables.talk import DesiredConfig

log = logging.getLogger(__name__)

_AT_ONCE = 500
_AS_OF = "desired_compared_at_seconds"
_COLUMNS = (
    "device_number", "annex_id", "role", "standing", "differing", "revision", "compared_at", "basis", "document",
)  # fmt: skip

_Row = DesiredDriftRow
_AGENT, _PRINTERS = aliased(DevicePart), aliased(DevicePart)
_IS_COMPARED = and_(_Row.basis != "", _Row.annex_id == Device.annex_id, _Row.role == Device.role)
_STANDING: ColumnElement[str] = case((_IS_COMPARED, _Row.standing), else_="unknown")


class Compared(Struct, frozen=True, kw_only=True):
    """What came of comparing one device."""

    number: int
    annex_id: str
    role: str
    standing: Standing
    findings: tuple[Finding, ...]
    """Those that are not `same`."""
    basis: str
    """As `outdated` gave it."""


class Kept(Struct, frozen=True, kw_only=True):
    """A device as it was compared last."""

    number: int
    id: str
    name: str
    annex_id: str
    standing: Standing
    findings: tuple[Finding, ...] = ()
    """Those that are not `same`."""
    compared_at: datetime | None = None
    """None: not compared yet with what is wanted of it now."""


# -- reading


def as_of(db: Session) -> datetime | None:
    """What was told until then has been compared; None where that was never done."""
    found = figures.read(db).get(_AS_OF)
    return None if found is None else found[1]


def tally(db: Session, scope: Scope, *, annex: str = "") -> dict[Standing, int]:
    """How many of the devices in sight and in service stand how."""
    query = _in_sight(select(_STANDING.label("standing"), func.count()), scope, annex).group_by(_STANDING)
    counts = {row[0]: row[1] for row in db.execute(query)}
    return {standing: counts.get(standing, 0) for standing in STANDINGS}


def listing(
    db: Session, scope: Scope, standings: Collection[Standing], *, annex: str = "", after: str = "", limit: int
) -> list[Kept]:  # fmt: skip
    """The devices in sight that stand like that, by id, from behind that one."""
    query = _in_sight(select(*_SHOWN), scope, annex).where(_STANDING.in_(sorted(standings)), Device.id > after)
    return [_kept(row) for row in db.execute(query.order_by(Device.id).limit(limit))]


def annexes(
    db: Session, scope: Scope, standings: Collection[Standing], *, annex: str = "", after: str = "", limit: int
) -> list[tuple[str, int]]:  # fmt: skip
    """The annexes in which devices stand like that, by id, from behind that one, and how many."""
    query = _in_sight(select(Device.annex_id, func.count()), scope, annex)
    query = query.where(_STANDING.in_(sorted(standings)), Device.annex_id > after)
    rows = db.execute(query.group_by(Device.annex_id).order_by(Device.annex_id).limit(limit))
    return [(row[0], row[1]) for row in rows]


def first_of(
    db: Session, scope: Scope, standings: Collection[Standing], of: Collection[str], *, each: int
) -> dict[str, list[Kept]]:  # fmt: skip
    """By annex of these: the first devices that stand like that, at most so many of each."""
    place = func.row_number().over(partition_by=Device.annex_id, order_by=Device.id).label("place")
    inner = _in_sight(select(*_SHOWN, place), scope, "")
    inner = inner.where(_STANDING.in_(sorted(standings)), Device.annex_id.in_(sorted(of)))
    numbered = inner.subquery()
    found: dict[str, list[Kept]] = {}
    for row in db.execute(select(numbered).where(numbered.c.place <= each).order_by(numbered.c.id)):
        found.setdefault(row.annex_id, []).append(_kept(row))
    return found


def candidates(
    db: Session, scope: Scope, *, annexes: Collection[str] = (), devices: Collection[str] = (), with_unknown: bool
) -> list[int]:  # fmt: skip
    """The numbers of devices in sight that differed, or that nobody compared yet; `with_unknown`: or may differ.

    Devices that are named are taken however they stood.
    """
    uncertain = or_(_Row.device_number.is_(None), ~_IS_COMPARED, _Row.standing == "differs")
    query = _in_sight(select(Device.number), scope, "")
    if annexes:
        query = query.where(Device.annex_id.in_(sorted(annexes)))
    if devices:
        query = query.where(Device.id.in_(sorted(devices)))
    elif with_unknown:
        query = query.where(or_(uncertain, _Row.standing == "unknown"))
    else:
        query = query.where(uncertain)
    return list(db.scalars(query))


# -- comparing


def outdated(db: Session, *, playbook: str, after: int = 0, at_most: int) -> dict[int, str]:
    """Devices in service from behind that number to be compared anew, each with what the comparison will rest on.

    They never were compared, were moved, were decided about, or told something since; or a run of this playbook brought
    them something.
    """
    brought = (
        select(RunHostRow.device_number, func.max(RunHostRow.run_id).label("run_id"))
        .join(RunRow, RunRow.id == RunHostRow.run_id)
        .where(
            RunRow.playbook == playbook, RunRow.kind == "playbook", RunRow.check.is_(False),
            RunHostRow.outcome.in_(sorted(runs.SUCCESSES)),
        )
        .group_by(RunHostRow.device_number)
        .subquery()
    )  # fmt: skip
    basis = _joined(
        DeviceState.config_version, DeviceInventory.at, _AGENT.install_id, _AGENT.seq, _PRINTERS.install_id,
        _PRINTERS.seq, DesiredConfig.version, brought.c.run_id,
    )  # fmt: skip
    query = (
        select(Device.number, basis)
        .join(_Row, _Row.device_number == Device.number, isouter=True)
        .join(DeviceState, DeviceState.device_number == Device.number, isouter=True)
        .join(DeviceInventory, DeviceInventory.device_number == Device.number, isouter=True)
        .join(_AGENT, and_(_AGENT.device_number == Device.number, _AGENT.collector == "agent"), isouter=True)
        .join(
            _PRINTERS, and_(_PRINTERS.device_number == Device.number, _PRINTERS.collector == "printers"), isouter=True
        )
        .join(DesiredConfig, DesiredConfig.device_number == Device.number, isouter=True)
        .join(brought, brought.c.device_number == Device.number, isouter=True)
        .where(Device.revoked_at.is_(None), Device.number > after)
        .where(or_(_Row.device_number.is_(None), ~_IS_COMPARED, _Row.basis != basis))
        .order_by(Device.number)
        .limit(at_most)
    )
    return {row[0]: row[1] for row in db.execute(query)}


def keep(db: Session, found: Sequence[Compared], *, revision: int, now: datetime) -> set[str]:
    """Keep what came of it; the annexes in which a device stands otherwise than it was shown until now."""
    before = _shown_before(db, [one.number for one in found])
    rows = [
        (
            one.number, one.annex_id, one.role, one.standing,
            sum(finding.standing == "differs" for finding in one.findings), revision, bulk.micros(now.timestamp()),
            one.basis, msgspec.json.encode(one.findings).decode(),
        )
        for one in found
    ]  # fmt: skip
    moved = {
        one.annex_id for one, row in zip(found, rows, strict=True) if before.get(one.number) != (one.standing, row[-1])
    }
    bulk.upsert(db, _Row, ("device_number",), _COLUMNS, rows)
    return moved


def note_as_of(db: Session, at: datetime) -> None:
    """What was told until then has been compared."""
    figures.put(db, {_AS_OF: at.timestamp()}, now=at)


def forget(db: Session, layer: Layer) -> None:
    """Something else was decided for a layer: how its devices stand is not known until they are compared anew."""
    of: Mapping[str, ColumnElement[bool]] = {
        "role": Device.role == layer.of, "annex": Device.annex_id == layer.of, "device": Device.id == layer.of,
    }  # fmt: skip
    query = update(_Row).values(basis="")
    if layer.kind in of:
        query = query.where(_Row.device_number.in_(select(Device.number).where(of[layer.kind])))
    db.execute(query.execution_options(synchronize_session=False))


# -- rows

_SHOWN = (
    Device.number, Device.id, Device.name, Device.annex_id, _STANDING.label("standing"),
    case((_IS_COMPARED, _Row.document), else_="[]").label("document"),
    case((_IS_COMPARED, _Row.compared_at), else_=None).label("compared_at"),
)  # fmt: skip


def _in_sight(query: Select[*tuple[Any, ...]], scope: Scope, annex: str) -> Select[*tuple[Any, ...]]:
    query = query.select_from(Device).join(_Row, _Row.device_number == Device.number, isouter=True)
    query = query.where(Device.revoked_at.is_(None), scope.limit(Device.annex_id))
    return query.where(Device.annex_id == annex) if annex else query


def _joined(*columns: Any) -> ColumnElement[str]:
    """The columns as one text; a row that is not there has nothing in its places."""
    text: ColumnElement[str] = func.coalesce(cast(columns[0], String), "")
    for column in columns[1:]:
        text = text + "|" + func.coalesce(cast(column, String), "")
    return text


def _shown_before(db: Session, numbers: Sequence[int]) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    query = select(Device.number, _Row.standing, _Row.document).join(_Row, _Row.device_number == Device.number)
    for start in range(0, len(numbers), _AT_ONCE):
        some = query.where(_IS_COMPARED, Device.number.in_(numbers[start : start + _AT_ONCE]))
        found |= {row[0]: (row[1], row[2]) for row in db.execute(some)}
    return found


def _kept(row: Any) -> Kept:
    try:
        findings = msgspec.json.decode(row.document, type=tuple[Finding, ...])
    except msgspec.DecodeError:  # of a release that knew other reasons
        log.warning("a comparison cannot be read device_number=%s", row.number)
        findings = ()
    return Kept(
        number=row.number, id=row.id, name=row.name, annex_id=row.annex_id, standing=row.standing, findings=findings,
        compared_at=row.compared_at,
    )  # fmt: skip
