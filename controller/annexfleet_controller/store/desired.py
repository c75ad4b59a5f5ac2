"""What devices shall be like: the layers with every version.

Versions of all layers are numbered together: the revision.  Rows are only ever added, and on PostgreSQL writers take
turns, so whoever has read revision 417 has seen all that is below it: what the layers came to then can always be told.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from annexfleet_controller.desired.compare import compare
from annexfleet_controller.desired.document import EMPTY, Document, parse, written
from annexfleet_controller.desired.resolve import PROVINCE, ROLES, Layer
from annexfleet_controller.errors import (
    AnnexUnknown,
    DesiredChanged,
    DesiredLayerUnknown,
    DesiredVersionUnknown,
    DeviceUnknown,
    Invalid,
)
from annexfleet_controller.store import desired_drift
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.desired import DesiredVersionRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex

log = logging.getLogger(__name__)

_LOCK = 0x64657369
"""Any number of our own: `desi`."""
LONGEST_REASON = 200


class Version(Struct, frozen=True, kw_only=True):
    """A layer's document as it was decided once; version 0 where nobody ever decided anything."""

    layer: Layer
    document: Document = EMPTY
    version: int = 0
    revision: int = 0
    at: datetime | None = None
    by: str = ""
    reason: str = ""
    takes_back_to: int | None = None


# -- reading


def layers(db: Session, *, revision: int | None = None) -> dict[Layer, Document]:
    """What every layer decides: now, or as it was at that revision.  Layers that decide nothing are missing."""
    return {layer: kept.document for layer, kept in _newest(db, revision).items() if kept.document.entries}


def deciding(db: Session, scope: Scope) -> list[Version]:
    """The layers in sight that decide something, from the widest to the nearest."""
    kept = [one for one in _newest(db, None).values() if one.document.entries]
    sights = _in_sight(db, scope, [one.layer for one in kept])
    order = {"province": 0, "role": 1, "annex": 2, "device": 3}
    return sorted(
        (one for one in kept if one.layer in sights), key=lambda one: (order[one.layer.kind], one.layer.of)
    )  # fmt: skip


def newest(db: Session) -> int:
    """The newest revision; 0 if nobody ever decided anything."""
    return db.scalar(select(func.max(DesiredVersionRow.revision))) or 0


def get(db: Session, layer: Layer) -> Version:
    """A layer as it counts now."""
    row = db.scalar(_of(layer).order_by(DesiredVersionRow.version.desc()).limit(1))
    return Version(layer=layer) if row is None else _version(row)


def at_version(db: Session, layer: Layer, number: int) -> Version:
    """A layer as it was.  Raises DesiredVersionUnknown; version 0 is the empty one before anybody decided."""
    if number == 0:
        return Version(layer=layer)
    row = db.scalar(_of(layer).where(DesiredVersionRow.version == number))
    if row is None:
        raise DesiredVersionUnknown(f"{layer.kind} {layer.of!r} has no version {number}")
    return _version(row)


def history(db: Session, layer: Layer, *, before: int | None = None, limit: int = 50) -> Sequence[Version]:
    """The versions of a layer, the newest first, from before that one."""
    query = _of(layer).order_by(DesiredVersionRow.version.desc()).limit(limit)
    if before is not None:
        query = query.where(DesiredVersionRow.version < before)
    return [_version(row) for row in db.scalars(query)]


def demand_layer(db: Session, scope: Scope, layer: Layer) -> None:
    """See that there is such a layer, and that it is in sight.

    Raises DesiredLayerUnknown, AnnexUnknown and DeviceUnknown.  The province's and the roles' are in everybody's sight.
    """
    if layer in _in_sight(db, scope, [layer]):
        return
    if layer.kind == "annex":
        raise AnnexUnknown(f"no annex {layer.of!r}")
    if layer.kind == "device":
        raise DeviceUnknown(f"no device {layer.of!r}")
    raise DesiredLayerUnknown(f"no layer {layer.kind} {layer.of!r}")


def annex_of(db: Session, layer: Layer) -> str:
    """The annex that a layer is about; empty for the province's and the roles'."""
    if layer.kind == "annex":
        return layer.of
    if layer.kind == "device":
        return db.scalar(select(Device.annex_id).where(Device.id == layer.of)) or ""
    return ""


# -- writing


def put(
    db: Session, layer: Layer, document: Document, *, version: int, by: str, now: datetime, reason: str = "",
    takes_back_to: int | None = None,
) -> Version:  # fmt: skip
    """Let this document count from now on, instead of that of `version`; one that changes nothing makes no version.

    Nothing is sent to any device.  Raises DesiredChanged if somebody else decided meanwhile, and Invalid.
    """
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise Invalid("the reason is too long", field="reason", reason="too_long")
    hold(db)
    there = get(db, layer)
    if there.version != version:
        raise DesiredChanged(f"somebody decided about {layer.kind} {layer.of!r} meanwhile")
    if not compare(there.document, document):
        return there
    row = DesiredVersionRow(
        kind=layer.kind, of=layer.of, version=version + 1, document=msgspec.json.encode(written(document)).decode(),
        at=now, by=by, reason=reason.strip(), takes_back_to=takes_back_to,
    )  # fmt: skip
    try:
        with db.begin_nested():
            db.add(row)
    except IntegrityError:
        raise DesiredChanged(f"somebody decided about {layer.kind} {layer.of!r} meanwhile") from None
    desired_drift.forget(db, layer)
    return _version(row)


def hold(db: Session) -> None:
    """Until the transaction ends nobody else decides anything.  SQLite has one writer anyway."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def take_back(
    db: Session, layer: Layer, to: int, *, version: int, by: str, now: datetime, reason: str = ""
) -> Version:  # fmt: skip
    """Let an earlier version's content count again, as a new version; 0 decides nothing.

    Raises DesiredVersionUnknown, DesiredChanged and Invalid.
    """
    earlier = at_version(db, layer, to)
    return put(
        db, layer, earlier.document, version=version, by=by, now=now, reason=reason, takes_back_to=to
    )  # fmt: skip


# -- rows


def _of(layer: Layer) -> Select[DesiredVersionRow]:
    return select(DesiredVersionRow).where(DesiredVersionRow.kind == layer.kind, DesiredVersionRow.of == layer.of)


def _newest(db: Session, revision: int | None) -> dict[Layer, Version]:
    last = select(func.max(DesiredVersionRow.revision)).group_by(DesiredVersionRow.kind, DesiredVersionRow.of)
    if revision is not None:
        last = last.where(DesiredVersionRow.revision <= revision)
    rows = db.scalars(select(DesiredVersionRow).where(DesiredVersionRow.revision.in_(last)))
    return {kept.layer: kept for kept in map(_version, rows)}


def _version(row: DesiredVersionRow) -> Version:
    return Version(
        layer=Layer(row.kind, row.of),  # type: ignore[arg-type]
        document=_decode(row), version=row.version, revision=row.revision, at=row.at, by=row.by, reason=row.reason,
        takes_back_to=row.takes_back_to,
    )  # fmt: skip


def _decode(row: DesiredVersionRow) -> Document:
    try:
        return parse(msgspec.json.decode(row.document))
    except (msgspec.DecodeError, Invalid):
        # Of a release that knew more or less: it counts as empty, and stays as it is until somebody writes another.
        log.exception("a layer cannot be read layer=%s %s version=%s", row.kind, row.of, row.version)
        return EMPTY


def _in_sight(db: Session, scope: Scope, wanted: Iterable[Layer]) -> set[Layer]:
    by_kind: Mapping[str, list[Layer]] = {"province": [], "role": [], "annex": [], "device": []}
    for layer in wanted:
        by_kind[layer.kind].append(layer)
    found = {layer for layer in by_kind["province"] if layer == PROVINCE}
    found |= {layer for layer in by_kind["role"] if layer.of in ROLES}
    if of := sorted(layer.of for layer in by_kind["annex"]):
        found |= {Layer("annex", id_) for id_ in db.scalars(select(Annex.id).where(scope.limit(Annex.id))) if id_ in of}
    of = sorted(layer.of for layer in by_kind["device"])
    for start in range(0, len(of), 500):
        some = select(Device.id).where(Device.id.in_(of[start : start + 500]), Device.revoked_at.is_(None))
        found |= {Layer("device", id_) for id_ in db.scalars(some.where(scope.limit(Device.annex_id)))}
    return found
