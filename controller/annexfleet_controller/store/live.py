"""What a page missed while its connection was down."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store.pulses import COLUMNS, Pulse, pulse
from annexfleet_controller.store.tables.talk import Pulse as PulseRow

LATE = timedelta(seconds=10)
"""Rows of several processes become visible out of order; repeating this much loses none."""


def missed(db: Session, last_id: int, *, limit: int = 2000) -> list[Pulse] | None:
    """Pulses since that one, and those a little before it, oldest first.

    None if that cannot be told: the pulse is forgotten already, or too many came since.
    """
    since = db.scalar(select(PulseRow.at).where(PulseRow.id == last_id))
    if since is None:
        return None
    query = (
        select(*COLUMNS).where(PulseRow.at >= since - LATE, PulseRow.id != last_id).order_by(PulseRow.id).limit(limit)
    )
    rows = db.execute(query).all()
    if len(rows) == limit:
        return None
    return [pulse(*row) for row in rows]
