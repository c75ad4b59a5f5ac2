"""The past of devices, as ingest would have written it."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Change, Gone, Hello, Numbers, Readings
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import ChangeRow, History

BEAT = timedelta(minutes=5)


def device(db: Session, number: int, annex_id: str, *, at: datetime, role: str = "counter") -> str:
    """A device that is enrolled long since; gives its id."""
    id_ = f"d-{number:026}"
    db.add(Device(number=number, id=id_, annex_id=annex_id, name=f"guichet-{number}", role=role,
                  enrolled_at=at - timedelta(days=30)))  # fmt: skip
    db.flush()
    return id_


def came(db: Session, number: int, *, at: datetime) -> None:
    hello = Hello(clock=at.timestamp(), session_id="s", boot_id="b", install_id="i", next_seq=1, agent_version="0.1.0")
    _row(db, number, "connected", at=at, payload=wire.encode(hello))


def went(db: Session, number: int, *, at: datetime, orderly: bool = False) -> None:
    gone = Gone(session_id="s", reason="stopped" if orderly else "lost")
    _row(db, number, "gone", at=at, payload=wire.encode(gone))


def told(db: Session, number: int, collector: str, readings: Readings, *, at: datetime) -> None:
    change = Change(seq=1, at=at.timestamp(), collector=collector, readings=readings)
    _row(db, number, "change", at=at, payload=wire.encode(change), collector=collector)


def beats(db: Session, number: int, numbers: Iterable[Numbers], *, first: datetime) -> None:
    """One beat every five minutes."""
    for place, of in enumerate(numbers):
        at = first + place * BEAT
        payload = wire.encode(Beat(seq=place + 1, at=at.timestamp(), seconds=300, samples=10, numbers=of))
        db.add(History(device_number=number, resolution_s=0, at=at, payload=payload))
    db.flush()


def _row(db: Session, number: int, kind: str, *, at: datetime, payload: bytes, collector: str = "") -> None:
    db.add(ChangeRow(device_number=number, at=at, received_at=at, kind=kind, collector=collector, payload=payload))
    db.flush()
