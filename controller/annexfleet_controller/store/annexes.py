"""Annexes: which there are, and how many devices of each can be heard."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import ColumnElement, Integer, and_, case, cast, func, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller import state, zones
from annexfleet_controller.errors import AnnexExists, AnnexUnknown, Invalid, SettingChanged
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.readings import DeviceState

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")


class Counts(Struct, frozen=True):
    """Devices of an annex by presence; the revoked are in none."""

    online: int = 0
    silent: int = 0
    never: int = 0

    @property
    def all(self) -> int:
        return self.online + self.silent + self.never


def listing(
    db: Session,
    scope: Scope = WHOLE,
    *,
    search: str = "",
    after: str = "",
    limit: int | None = None,
    with_retired: bool = False,
) -> Sequence[Annex]:
    """The annexes in sight, by id, from after that id; those closed for good only for who names what is past."""
    query = select(Annex).where(scope.limit(Annex.id)).order_by(Annex.id)
    if not with_retired:
        query = query.where(Annex.retired_at.is_(None))
    if search:
        query = query.where(_found(search))
    if after:
        query = query.where(Annex.id > after)
    return db.scalars(query.limit(limit)).all()


def page(
    db: Session, scope: Scope, *, search: str = "", district: str | None = None, retired: bool = False, skip: int,
    limit: int,
) -> tuple[Sequence[Annex], int]:  # fmt: skip
    """A page of a list by id, and how many there are in all; `district` empty: those that belong to none."""
    conditions = [
        scope.limit(Annex.id), Annex.retired_at.is_not(None) if retired else Annex.retired_at.is_(None),
    ]  # fmt: skip
    if search:
        conditions.append(_found(search))
    if district is not None:
        conditions.append(Annex.district_id == district)
    rows = db.scalars(select(Annex).where(*conditions).order_by(Annex.id).offset(skip).limit(limit)).all()
    return rows, db.scalar(select(func.count()).select_from(Annex).where(*conditions)) or 0


def change(db: Session, annex: Annex, *, version: int, **values: object) -> int:
    """Write these columns; the version it has then.  Raises SettingChanged unless it still is as it was read."""
    done = db.execute(
        update(Annex)
        .where(Annex.id == annex.id, Annex.version == version)
        .values(version=version + 1, **values)
        .execution_options(synchronize_session=False)
    )
    if done.rowcount != 1:  # type: ignore[attr-defined]
        db.refresh(annex)
        raise SettingChanged("annex changed meanwhile", version=annex.version)
    db.refresh(annex)
    return version + 1


def _found(search: str) -> ColumnElement[bool]:
    pattern = like(search)
    return or_(*(column.ilike(pattern, escape="\\") for column in (Annex.id, Annex.name_fr, Annex.name_ar)))


def names(db: Session, scope: Scope = WHOLE, *, with_retired: bool = True) -> dict[str, tuple[str, str]]:
    """Every annex in sight: its French and its Arabic name, by id.  A country's fit into milliseconds."""
    query = select(Annex.id, Annex.name_fr, Annex.name_ar).where(scope.limit(Annex.id)).order_by(Annex.id)
    if not with_retired:
        query = query.where(Annex.retired_at.is_(None))
    return {id_: (fr, ar) for id_, fr, ar in db.execute(query)}


def of_district(db: Session, district_id: str) -> frozenset[str]:
    """The ids of its annexes that are not closed."""
    return frozenset(db.scalars(select(Annex.id).where(Annex.district_id == district_id, Annex.retired_at.is_(None))))


def get(db: Session, scope: Scope, annex_id: str) -> Annex:
    """Raises AnnexUnknown where there is none, or none in sight."""
    annex = db.scalar(select(Annex).where(Annex.id == annex_id, scope.limit(Annex.id)))
    if annex is None:
        raise AnnexUnknown(f"no annex {annex_id!r}")
    return annex


def hold(db: Session, ids: Collection[str]) -> None:
    """Let nobody else who holds one of these go on until the transaction ends.

    PostgreSQL alone needs it: on SQLite a writing transaction is alone.
    """
    db.execute(select(Annex.id).where(Annex.id.in_(sorted(ids))).order_by(Annex.id).with_for_update()).all()


def create(
    db: Session, annex_id: str, *, name_fr: str, name_ar: str, now: datetime, time_zone: str = "Africa/Casablanca"
) -> Annex:
    """Raises AnnexExists, or Invalid naming the field."""
    if not _ID.fullmatch(annex_id):
        raise Invalid("an annex's id has 2 to 63 small letters, digits and hyphens", field="id")
    if not is_time_zone(time_zone):
        raise Invalid(f"there is no time zone {time_zone!r}", field="time_zone")
    if db.get(Annex, annex_id) is not None:
        raise AnnexExists(f"annex {annex_id!r} exists", annex=annex_id)
    annex = Annex(id=annex_id, name_fr=name_fr, name_ar=name_ar, time_zone=time_zone, created_at=now)
    db.add(annex)
    db.flush()
    return annex


def counts(db: Session, scope: Scope, *, now: datetime) -> dict[str, Counts]:
    """Devices by annex and presence; an annex without devices is missing."""
    heard = DeviceState.heard_at
    online = and_(DeviceState.connected, heard > now - state.SILENT_AFTER)
    never = heard.is_(None)
    query = (
        select(
            Device.annex_id,
            func.count(),
            cast(func.coalesce(func.sum(case((online, 1), else_=0)), 0), Integer),
            cast(func.coalesce(func.sum(case((never, 1), else_=0)), 0), Integer),
        )
        .join(DeviceState, DeviceState.device_number == Device.number, isouter=True)
        .where(scope.limit(Device.annex_id), Device.revoked_at.is_(None))
        .group_by(Device.annex_id)
    )
    return {
        annex_id: Counts(online=up, silent=total - up - unheard, never=unheard)
        for annex_id, total, up, unheard in db.execute(query)
    }


def like(search: str) -> str:
    """A pattern that finds these words anywhere, taken literally."""
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def is_time_zone(name: str) -> bool:
    try:
        zones.zone(name)
    except ValueError:
        return False
    return True
