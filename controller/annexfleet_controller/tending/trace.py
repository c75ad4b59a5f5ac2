"""Who acts upon settings, and the trace that an act leaves: an entry in the audit, and what stood there before."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.store import audit, undoing
from annexfleet_controller.store.scope import WHOLE, Scope


class Hand(Struct, frozen=True):
    """Who acts."""

    user_id: int
    """0: nobody with an account, at the console."""
    name: str
    via: str
    """session, key or console"""
    scope: Scope = WHOLE


def note(
    db: Session,
    hand: Hand,
    act: str,
    subject: str,
    *,
    now: datetime,
    annex_id: str = "",
    facts: Mapping[str, audit.Fact] | None = None,
    before: Mapping[str, Any] | None = None,
    version: int = 0,
) -> int:
    """Write who did what; with `before` it may be taken back by the number that comes back, else that is 0."""
    step = 0
    if before is not None and hand.user_id:
        step = undoing.add(
            db, now=now, user_id=hand.user_id, act=act, subject=subject, annex_id=annex_id, before=before,
            version=version,
        )  # fmt: skip
    audit.add(db, now=now, actor=hand.name, via=hand.via, act=act, subject=subject, annex_id=annex_id, facts=facts)
    return step
