"""Devices compared with what is wanted of them, some at a time, and what came of it kept for whoever looks."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from annexfleet_controller.desired.document import Document
from annexfleet_controller.desired.resolve import Layer
from annexfleet_controller.rollouts import wanting
from annexfleet_controller.store import desired, desired_drift, pulses
from annexfleet_controller.store.desired_drift import Compared
from annexfleet_controller.store.scope import WHOLE


def outdated(db: Session, *, after: int = 0, at_most: int) -> dict[int, str]:
    """Devices to be compared anew, from behind that number, each with what the comparison rests on."""
    return desired_drift.outdated(db, playbook=wanting.PLAYBOOK, after=after, at_most=at_most)


def compared(db: Session, some: Mapping[int, str], layers: Mapping[Layer, Document]) -> list[Compared]:
    """These devices against the layers; `some` is what `outdated` gave in the same transaction."""
    return [
        Compared(
            number=one.device.number, annex_id=one.device.annex_id, role=one.device.role, standing=one.drift.standing,
            findings=tuple(finding for finding in one.drift.findings if finding.standing != "same"),
            basis=some[one.device.number],
        )
        for one in wanting.standings(db, WHOLE, numbers=list(some), layers=layers)
    ]  # fmt: skip


def keep(db: Session, found: list[Compared], *, revision: int, now: datetime) -> bool:
    """Keep it and tell open pages; False, and nothing is kept, where somebody decided something since that revision."""
    desired.hold(db)
    if desired.newest(db) != revision:
        return False
    moved = desired_drift.keep(db, found, revision=revision, now=now)
    pulses.add(db, {}, now=now, origin="work", annexes=dict.fromkeys(sorted(moved), "d"))
    return True
