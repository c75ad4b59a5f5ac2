"""Numbers about the controller itself; web shows them at /metrics."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.work import Figure


def add(db: Session, steps: Mapping[str, float], *, now: datetime) -> None:
    """Raise counters; one that is not there begins at 0."""
    for name, step in sorted(steps.items()):  # in one order, so that two processes never wait in a circle
        row = db.get(Figure, name, with_for_update=True)
        if row is None:
            db.add(Figure(name=name, value=step, at=now))
        else:
            row.value += step
            row.at = now
    db.flush()


def put(db: Session, values: Mapping[str, float], *, now: datetime) -> None:
    """Set figures to what they are now."""
    for name, value in sorted(values.items()):
        db.merge(Figure(name=name, value=value, at=now))
    db.flush()


def read(db: Session) -> dict[str, tuple[float, datetime]]:
    """Every figure, with the moment it was last written."""
    return {row.name: (row.value, row.at) for row in db.scalars(select(Figure).order_by(Figure.name))}
