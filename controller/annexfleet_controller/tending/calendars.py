"""Opening hours, holidays and Ramadans, as people change them.  Every function works in the caller's transaction."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from annexfleet_controller.store import calendars
from annexfleet_controller.store.undoing import Step
from annexfleet_controller.tending.trace import Hand, note

Act = Literal["calendar.change", "calendar.holidays", "calendar.ramadan"]


def act(db: Session, hand: Hand, of: Act, annex_id: str, do: Callable[[], object], *, now: datetime) -> None:
    """Do something to the hours of an annex (empty: the province), to the holidays or the Ramadans that were entered.

    What it raises is raised; what changes nothing leaves no trace.
    """
    was = stands(db, of, annex_id)
    do()
    left = stands(db, of, annex_id)
    if left != was:
        note(
            db, hand, of, f"calendar:{annex_id or 'province'}", now=now, annex_id=annex_id,
            before={"was": was, "left": left},
        )  # fmt: skip


def stands(db: Session, of: str, annex_id: str) -> list[Any]:
    """What that act may change, as plain values."""
    if of == "calendar.holidays":
        return calendars.holiday_records(db)
    return calendars.ramadan_records(db) if of == "calendar.ramadan" else calendars.record(db, annex_id)


def put_back(db: Session, step: Step, *, by: str, now: datetime) -> None:
    """What was there before the act; that nobody changed it since is the caller's matter."""
    was = step.before["was"]
    if step.act == "calendar.holidays":
        calendars.put_holidays(db, was)
    elif step.act == "calendar.ramadan":
        calendars.put_ramadans(db, was)
    else:
        text, _ = was
        calendars.restore(db, step.annex_id, text, by=by, now=now)
