"""How many people waited in the queues of a device, over a day."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Summary
from annexfleet_controller.store.tables.readings import History


class _Queue(Struct):
    queue_waiting_count: float | Summary | None = None


class _Beat(Struct):
    """A beat, of which only queues matter: other subjects have no such field."""

    numbers: dict[str, _Queue] = {}


class Waited(Struct, frozen=True):
    """People on average over some seconds up to a moment."""

    until: datetime
    seconds: float
    people: float


_decode = msgspec.json.Decoder(_Beat).decode
_BEAT_S = 300.0


def waited(
    db: Session, device_number: int, services: Collection[str], *, since: datetime, until: datetime
) -> dict[str, list[Waited]]:
    """By service, oldest first, from whatever resolution there is; each payload is opened once for all services."""
    rows = db.execute(
        select(History.at, History.resolution_s, History.payload)
        .where(
            History.device_number == device_number,
            History.resolution_s.in_((0, 3600)),  # a whole day says nothing of its hours
            History.at > since,
            History.at <= until,
        )
        .order_by(History.at)
    )
    found: dict[str, list[Waited]] = {service: [] for service in services}
    for at, resolution_s, payload in rows:
        numbers = _decode(wire.unpack_own(payload)).numbers
        for service, list_of in found.items():
            queue = numbers.get(f"queue:{service}")
            told = queue.queue_waiting_count if queue else None
            people = told.mean if isinstance(told, Summary) else told
            if people is not None and people >= 0:
                list_of.append(Waited(at, resolution_s or _BEAT_S, people))
    return found
