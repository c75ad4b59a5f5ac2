"""Rows that tests of the controller start from: annexes and devices, without any enrolment."""

import itertools
from datetime import UTC, datetime

from sqlalchemy import Engine

from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def device_id(n: int) -> str:
    """The id of the nth device."""
    return "d-" + "".join(LETTERS[n // 32**place % 32] for place in reversed(range(26)))


def add_annex(engine: Engine, annex_id: str = "berkane-1") -> str:
    with writing(engine) as db:
        db.add(Annex(id=annex_id, name_fr="Annexe 1", name_ar="الملحقة 1", created_at=datetime.now(UTC)))
    return annex_id


def add_devices(engine: Engine, count: int, *, annex_id: str = "berkane-1", first: int = 1) -> list[str]:
    """Devices with the numbers `first` and on; gives their ids."""
    ids = [device_id(n) for n in itertools.islice(itertools.count(first), count)]
    now = datetime.now(UTC)
    with writing(engine) as db:
        db.add_all(
            Device(number=n, id=id_, annex_id=annex_id, name=f"device {n}", role="counter", enrolled_at=now)
            for n, id_ in enumerate(ids, first)
        )
    return ids
