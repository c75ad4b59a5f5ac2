"""Districts: annexes that are looked after together."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annexfleet_controller.errors import DistrictUnknown, SettingWrong
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.places import Annex, District


def listing(db: Session) -> Sequence[District]:
    """All of them, by id: their names are no secret to who sees but some annexes."""
    return db.scalars(select(District).order_by(District.id)).all()


def get(db: Session, district_id: str) -> District:
    """Raises DistrictUnknown."""
    district = db.get(District, district_id)
    if district is None:
        raise DistrictUnknown(f"no district {district_id!r}")
    return district


def counts(db: Session, scope: Scope) -> dict[str, int]:
    """How many annexes in sight each has that are not closed; an empty id stands for none."""
    query = select(Annex.district_id, func.count()).where(scope.limit(Annex.id), Annex.retired_at.is_(None))
    return dict(iter(db.execute(query.group_by(Annex.district_id))))


def create(db: Session, district_id: str, *, name_fr: str, name_ar: str, now: datetime) -> District:
    """Raises SettingWrong if there is one of this id."""
    if db.get(District, district_id) is not None:
        raise SettingWrong(f"district {district_id!r} exists", field="id", reason="taken")
    district = District(id=district_id, name_fr=name_fr, name_ar=name_ar, created_at=now)
    db.add(district)
    db.flush()
    return district


def remove(db: Session, district: District) -> None:
    """Raises SettingWrong while an annex belongs to it, be it closed."""
    if db.scalar(select(Annex.id).where(Annex.district_id == district.id).limit(1)) is not None:
        raise SettingWrong(f"district {district.id!r} has annexes", field="id", reason="not_empty")
    db.delete(district)
    db.flush()
