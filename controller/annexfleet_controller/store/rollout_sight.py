"""What of a rollout is not for everybody's eyes: names of annexes and devices beyond somebody's sight."""

from msgspec import structs
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.rollouts import RolloutTargetRow
from annexfleet_controller.waves.model import GateVerdict, Selector


def selector(db: Session, scope: Scope, rollout_id: int, whole: Selector) -> Selector:
    """The selector without what it names beyond sight.

    Who sees a rollout sees one of its devices, so that what was chosen by annexes or devices still is.
    """
    if scope.annexes is None:
        return whole
    places = tuple(annex_id for annex_id in whole.annexes if scope.covers(annex_id))
    devices = whole.devices
    if devices:
        seen = set(
            db.scalars(
                select(Device.id)
                .join(RolloutTargetRow, RolloutTargetRow.device_number == Device.number)
                .where(RolloutTargetRow.rollout_id == rollout_id, scope.limit(RolloutTargetRow.annex_id))
            )
        )
        devices = tuple(id_ for id_ in devices if id_ in seen)
    return structs.replace(whole, annexes=places, devices=devices)


def verdict(scope: Scope, whole: GateVerdict | None) -> GateVerdict | None:
    """The verdict without the names of annexes beyond sight; that it is about one annex stays."""
    if scope.annexes is None or whole is None:
        return whole
    reasons = tuple(
        structs.replace(reason, facts={**reason.facts, "value": ""})
        if reason.facts.get("kind") == "annex" and not scope.covers(str(reason.facts.get("value", "")))
        else reason
        for reason in whole.reasons
    )
    return structs.replace(whole, reasons=reasons)
