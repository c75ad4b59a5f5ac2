"""Sessions: a random cookie of 256 bits whose SHA-256 is stored.  Idleness, age and signing out end it."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.access.person import Person
from annexfleet_controller.settings import Settings
from annexfleet_controller.store import people
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.people import User

TOUCH_EVERY = timedelta(seconds=60)
"""The moment of use is written at most this often, so that looking around costs no writes."""

KEY_PREFIX = "afk1."
"""So that a scanner finds a leaked key."""


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def cookie_name(settings: Settings) -> str:
    """Over https the name itself makes browsers insist on Secure, this host and no other path."""
    return "__Host-annexfleet" if is_https(settings) else "annexfleet"


def is_https(settings: Settings) -> bool:
    return settings.public_url.startswith("https://")


def open_for(db: Session, user: User, *, now: datetime) -> str:
    """A new session; the cookie's value, which nobody can find out again."""
    cookie = secrets.token_urlsafe(32)
    people.open_session(db, digest=digest(cookie), user_id=user.id, csrf_token=secrets.token_urlsafe(32), now=now)
    return cookie


def by_cookie(engine: Engine, cookie: str, settings: Settings, *, now: datetime, is_use: bool) -> Person | None:
    """Who has this cookie; None if it opens nothing (any more).

    `is_use` is false for what a page asks by itself, so that an abandoned screen does not stay open for ever.
    """
    created_after, used_after = _limits(settings, now)
    with reading(engine) as db:
        found = people.session(db, digest(cookie), created_after=created_after, used_after=used_after)
        if found is None:
            return None
        row, user = found
        person = _person(db, user, via="session", secret_digest=row.digest, csrf_token=row.csrf_token)
        due = is_use and now - row.used_at >= TOUCH_EVERY
    if due:
        with writing(engine) as db:
            people.touch_session(db, person.digest, now)
    return person


def by_key(engine: Engine, key: str, *, now: datetime) -> Person | None:
    """For whom this key acts; None if it opens nothing."""
    with reading(engine) as db:
        found = people.key_owner(db, digest(key), now)
        if found is None:
            return None
        row, user = found
        return _person(db, user, via="key", secret_digest=row.digest)


def still_open(engine: Engine, persons: Collection[Person], settings: Settings, *, now: datetime) -> dict[str, Person]:
    """Those of these persons whose session or key still opens something, by its digest, with today's scope and role."""
    created_after, used_after = _limits(settings, now)
    with reading(engine) as db:
        by_session = {p.digest for p in persons if p.via == "session"}
        rows = people.alive(db, by_session, created_after=created_after, used_after=used_after) if by_session else []
        found = {
            row.digest: _person(db, user, via="session", secret_digest=row.digest, csrf_token=row.csrf_token)
            for row, user in rows
        }
        for person in persons:
            if person.via == "key" and (owner := people.key_owner(db, person.digest, now)) is not None:
                found[person.digest] = _person(db, owner[1], via="key", secret_digest=person.digest)
        return found


def _limits(settings: Settings, now: datetime) -> tuple[datetime, datetime]:
    return now - timedelta(hours=settings.session_hours), now - timedelta(minutes=settings.session_idle_minutes)


def _person(db: Session, user: User, *, via: "str", secret_digest: str, csrf_token: str = "") -> Person:
    return Person(
        user_id=user.id,
        name=user.name,
        role=user.role,
        scope=people.scope_of(db, user.id),
        language=user.language,
        must_change_password=user.must_change_password,
        via="session" if via == "session" else "key",
        digest=secret_digest,
        csrf_token=csrf_token,
    )
