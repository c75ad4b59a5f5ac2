"""Keys for programs: what one may open is at most what its person may, and what the key's own bounds leave of that.

Both are looked at whenever the key is used (`sessions.by_key`): a person who loses a role or an annex takes it from
the keys too, and a key of which nothing is left opens nothing.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access import sessions
from annexfleet_controller.access.errors import AccountWrong, BySessionOnly, KeyUnknown
from annexfleet_controller.access.person import Person
from annexfleet_controller.access.roles import ROLES, lower
from annexfleet_controller.store import audit, program_keys
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.people import ApiKey, User

LONGEST_DAYS = 730
MOST_KEYS = 50
"""Of one person."""


class Owner(NamedTuple):
    """For whom a key acts."""

    user_id: int
    name: str
    role: str
    scope: Scope


class Bounds(Struct, frozen=True, kw_only=True):
    """What a key may at most, within what its person may."""

    role: str = ""
    """Empty: its person's."""
    reads_only: bool = False
    annexes: tuple[str, ...] = ()
    """None of them: all of its person's."""


UNBOUNDED = Bounds()


class Shown(Struct, frozen=True):
    """A key as it is listed; the key itself nobody can show."""

    id: str
    name: str
    owner: str
    role: str
    """At most; the lower one of the key's and its person's."""
    reads_only: bool
    annexes: tuple[str, ...]
    """Empty: all of its person's."""
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    expired: bool


def make(
    db: Session, owner: Owner, name: str, bounds: Bounds, *, days: int | None, now: datetime, by: str, via: str
) -> str:
    """A new key, shown once; no `days` is for ever.  Raises AccountWrong, naming the field."""
    name = " ".join(name.split())[:80]
    if not name or not name.isprintable():
        raise AccountWrong("a key needs a name that says what it is for", field="name", reason="purpose_missing")
    if days is not None and days < 1:
        raise AccountWrong("a key is good for a day at least", field="days", reason="days_wrong")
    if bounds.role and (bounds.role not in ROLES or lower(bounds.role, owner.role) != bounds.role):
        raise AccountWrong("a key has at most its person's role", field="role", reason="role_above_own")
    if any(not owner.scope.covers(annex) for annex in bounds.annexes):
        raise AccountWrong("a key has at most its person's annexes", field="annexes", reason="annex_not_own")
    if program_keys.count(db, owner.user_id) >= MOST_KEYS:
        raise AccountWrong(f"a person has at most {MOST_KEYS} keys", field="name", reason="too_many")
    key = sessions.KEY_PREFIX + secrets.token_urlsafe(32)
    program_keys.add(
        db, digest=sessions.digest(key), name=name, user_id=owner.user_id, now=now, role=bounds.role,
        reads_only=bounds.reads_only, annex_ids=bounds.annexes,
        expires_at=None if days is None else now + timedelta(days=days),
    )  # fmt: skip
    facts: dict[str, audit.Fact] = {
        "purpose": name, "role": bounds.role, "annexes": sorted(bounds.annexes), "reads_only": bounds.reads_only,
    }  # fmt: skip
    audit.add(
        db, now=now, actor=by, via=via, act="key.create", subject=f"user:{owner.name}",
        facts={fact: value for fact, value in facts.items() if value},
    )  # fmt: skip
    return key


def shown(db: Session, rows: Sequence[tuple[ApiKey, User]], *, now: datetime) -> list[Shown]:
    confined = program_keys.annexes(db, [key.digest for key, _ in rows])
    return [
        Shown(
            id=sessions.public_id(key.digest), name=key.name, owner=user.name,
            role=lower(user.role, key.role or user.role), reads_only=key.reads_only,
            annexes=tuple(confined.get(key.digest, ())), created_at=key.created_at, expires_at=key.expires_at,
            used_at=key.used_at, expired=key.expires_at is not None and key.expires_at <= now,
        )
        for key, user in rows
    ]  # fmt: skip


def revoke(db: Session, key_id: str, person: Person, *, everybody: bool = False, now: datetime) -> None:
    """A key opens nothing from the next request on: one of this person's, or of `everybody` for who manages people.

    Raises KeyUnknown, or BySessionOnly for a key that would revoke another than itself and may not manage people.
    """
    manages = person.may("manage_people")
    itself = secrets.compare_digest(sessions.public_id(person.digest).encode(), key_id.encode())
    if person.via == "key" and not (itself or manages):
        raise BySessionOnly
    for key, user in program_keys.listing(db, user_id=None if everybody and manages else person.user_id):
        if secrets.compare_digest(sessions.public_id(key.digest).encode(), key_id.encode()):
            program_keys.remove(db, key.digest)
            audit.add(
                db, now=now, actor=person.name, via=person.via, act="key.revoke", subject=f"user:{user.name}",
                facts={"purpose": key.name},
            )  # fmt: skip
            return
    raise KeyUnknown
