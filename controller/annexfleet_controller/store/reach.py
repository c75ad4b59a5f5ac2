"""What an act upon annexes or devices touches, counted."""

from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.alerts import IncidentAnnex, IncidentRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.rollouts import RolloutRow, RolloutTargetRow
from annexfleet_controller.waves.model import OVER

_AT_ONCE = 500


def open_incidents(db: Session, annex_id: str) -> int:
    """Incidents that touch this annex and are not resolved."""
    query = (
        select(func.count()).select_from(IncidentRow).join(IncidentAnnex, IncidentAnnex.incident_id == IncidentRow.id)
    )
    return db.scalar(query.where(IncidentAnnex.annex_id == annex_id, IncidentRow.state == "open")) or 0


def rollouts(db: Session, numbers: Collection[int]) -> list[tuple[int, str]]:
    """Rollouts that are not over and hold one of these devices: number and name."""
    found: dict[int, str] = {}
    ordered = sorted(numbers)
    for start in range(0, len(ordered), _AT_ONCE):
        query = (
            select(RolloutRow.id, RolloutRow.name)
            .join(RolloutTargetRow, RolloutTargetRow.rollout_id == RolloutRow.id)
            .where(RolloutTargetRow.device_number.in_(ordered[start : start + _AT_ONCE]), RolloutRow.state.not_in(OVER))
        )
        found |= dict(iter(db.execute(query.distinct())))
    return sorted(found.items())


def annexes(db: Session, scope: Scope) -> int:
    """Annexes in sight that are not closed."""
    return (
        db.scalar(select(func.count()).select_from(Annex).where(scope.limit(Annex.id), Annex.retired_at.is_(None))) or 0
    )


def devices(db: Session, scope: Scope) -> int:
    """Devices in sight and in service."""
    query = select(func.count()).select_from(Device).where(scope.limit(Device.annex_id), Device.revoked_at.is_(None))
    return db.scalar(query) or 0
