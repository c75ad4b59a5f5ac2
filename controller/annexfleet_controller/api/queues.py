"""/api/v1/queues: where people wait."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from annexfleet_controller.access.asked import Db, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.store import fleet, sightings

router = APIRouter(prefix="/api/v1/queues", tags=["queues"], responses=problems.RESPONSES)


class QueueOut(BaseModel):
    """A number that the source does not give is null, never 0."""

    id: str
    annex: str
    device: str
    service: str
    waiting: float | None
    longest_wait_s: float | None
    average_wait_s: float | None
    served_last_hour: float | None
    abandoned_last_hour: float | None
    counters_open: float | None
    counters_total: float | None
    observed_at: datetime | None
    stale: bool
    at: datetime
    unknown_since: datetime | None
    """Since when nobody can tell who waits, so that these are only the last known figures: its device cannot be heard,
    or its source has stopped; null while they are known."""

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "id": "d-abcdefghijklmnopqrstuvwxyz.residence", "annex": "berkane-1",
                    "device": "d-abcdefghijklmnopqrstuvwxyz", "service": "residence", "waiting": 12,
                    "longest_wait_s": 1260, "average_wait_s": 540, "served_last_hour": 17, "abandoned_last_hour": 1,
                    "counters_open": 3, "counters_total": 4, "observed_at": "2026-11-23T08:00:00Z", "stale": False,
                    "at": "2026-11-23T08:00:00Z", "unknown_since": None,
                }
            ]
        }
    }  # fmt: skip


class QueuePage(BaseModel):
    items: list[QueueOut]
    next: str | None = None


@router.get("")
def list_queues(
    *,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    annex: Annotated[str, Query(max_length=63)] = "",
    search: paging.Search = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> QueuePage:
    """The service queues in your sight, by id.  Of a whole country, a new one stands in it a minute later."""
    after = paging.keys(cursor, 1)
    part = search.casefold()
    ids = sorted(
        one.id
        for one in sightings.found(db, person.scope, "queues", now=now)
        if part in one.words and (not annex or one.annex_id == annex) and (after is None or one.id > after[0])
    )
    wanted: list[fleet.SeenQueue] = []
    while ids and len(wanted) <= limit:  # one may have gone meanwhile
        some = ids[: limit + 1 - len(wanted)]
        del ids[: len(some)]
        rows = fleet.telling(db, person.scope, "queues", device_ids={id_.partition(".")[0] for id_ in some})
        queues = {queue.id: queue for queue in fleet.queues(rows, fleet.known(db, rows, collectors=["queues"]))}
        wanted += [queues[id_] for id_ in some if id_ in queues]
    return QueuePage(
        items=[_out(queue, now) for queue in wanted[:limit]],
        next=paging.cursor(wanted[limit - 1].id) if len(wanted) > limit else None,
    )


def _out(seen: fleet.SeenQueue, now: datetime) -> QueueOut:
    q = seen.queue
    return QueueOut(
        id=seen.id, annex=seen.annex_id, device=seen.device.id, service=q.service, waiting=q.waiting,
        longest_wait_s=q.longest_wait_s, average_wait_s=q.average_wait_s, served_last_hour=q.served_last_hour,
        abandoned_last_hour=q.abandoned_last_hour, counters_open=q.counters_open, counters_total=q.counters_total,
        observed_at=q.observed_at, stale=q.stale, at=q.at, unknown_since=seen.unknown_since(now),
    )  # fmt: skip
