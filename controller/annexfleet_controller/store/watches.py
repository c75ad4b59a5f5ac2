"""Who is looked at just now, and until when."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.talk import Watch

RENEW_BEFORE = timedelta(seconds=20)
"""A device is told again this long before its order runs out."""


def push(db: Session, device_number: int, *, until: datetime) -> None:
    """Somebody looks at this device until then; never pulls an end nearer."""
    moved = db.execute(
        update(Watch).where(Watch.device_number == device_number, Watch.until < until).values(until=until)
    )
    if moved.rowcount == 0 and db.get(Watch, device_number) is None:  # type: ignore[attr-defined]
        db.add(Watch(device_number=device_number, until=until, ordered_until=None))
        db.flush()


def stop(db: Session, device_number: int, *, now: datetime) -> None:
    """Nobody looks any more."""
    db.execute(update(Watch).where(Watch.device_number == device_number, Watch.until > now).values(until=now))


def any_due(db: Session, *, now: datetime) -> bool:
    """Whether `claim_orders` would give any; costs no write."""
    return bool(db.scalar(select(_due(now).exists())))


def claim_orders(db: Session, *, now: datetime) -> list[tuple[str, datetime]]:
    """(device id, until) of the devices that must be told now, to watch until then, or to stop if that is past.

    Whoever claims one has to say it: nobody else will.
    """
    due = db.execute(_due(now).order_by(Watch.device_number).with_for_update(of=Watch, skip_locked=True)).all()
    for number, until, _ in due:
        db.execute(update(Watch).where(Watch.device_number == number).values(ordered_until=until))
    return [(device_id, until) for _, until, device_id in due]


def watched(db: Session, device_ids: Iterable[str], *, now: datetime) -> list[int]:
    """Numbers of those of these devices that are watched."""
    statement = select(Watch.device_number).join(Device, Device.number == Watch.device_number)
    return list(db.scalars(statement.where(Watch.until > now, Device.id.in_(list(device_ids)))))


def order_again(db: Session, device_numbers: Iterable[int]) -> None:
    """These devices forgot that they are watched."""
    db.execute(update(Watch).where(Watch.device_number.in_(list(device_numbers))).values(ordered_until=None))


def of(db: Session, device_number: int, *, now: datetime) -> datetime | None:
    """Until when this device is watched; None if it is not."""
    return db.scalar(select(Watch.until).where(Watch.device_number == device_number, Watch.until > now))


def prune(db: Session, *, before: datetime) -> None:
    """Forget watches that ended before this moment."""
    db.execute(delete(Watch).where(Watch.until < before))


def _due(now: datetime) -> Select[int, datetime, str]:
    starts = (Watch.until > now) & or_(
        Watch.ordered_until.is_(None), (Watch.ordered_until < now + RENEW_BEFORE) & (Watch.ordered_until < Watch.until)
    )
    stops = (Watch.until <= now) & (Watch.ordered_until > now)
    return (
        select(Watch.device_number, Watch.until, Device.id)
        .join(Device, Device.number == Watch.device_number)
        .where(starts | stops)
    )
