"""Who acts in tests of settings."""

from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session
from tests.controller.fleet import add_annex, add_devices

from annexfleet_controller.store import devices, people
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.tending.trace import Hand

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


def hand(engine: Engine, name: str = "amina", annex: str = "") -> Hand:
    """An operator of the whole province, or of one annex."""
    with writing(engine) as db:
        user = people.by_name(db, name) or people.create(
            db, name=name, password_hash="x", role="operator", annex_ids=[annex] if annex else [], now=NOW
        )
        number = user.id
    return Hand(number, name, "session", Scope(frozenset({annex})) if annex else WHOLE)


def fleet(engine: Engine) -> list[str]:
    """Three devices in one annex and one in another."""
    add_annex(engine, "berkane-1")
    add_annex(engine, "berkane-2")
    return add_devices(engine, 3) + add_devices(engine, 1, annex_id="berkane-2", first=4)


def row(db: Session, device_id: str) -> Device:
    found = devices.find(db, device_id)
    assert found is not None
    return found
