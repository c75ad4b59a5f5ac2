"""Sessions: a random cookie of 256 bits whose SHA-256 is stored.  Idleness, age and signing out end it."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.access.factor import demanded
from annexfleet_controller.access.person import Person
from annexfleet_controller.access.roles import lower
from annexfleet_controller.settings import Settings
from annexfleet_controller.store import people, program_keys
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.people import ApiKey, SessionRow, User

HALF_LASTS = timedelta(minutes=5)
"""How long after the password the code of the second factor may come."""

KEY_TOUCH_EVERY = timedelta(hours=1)

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


def public_id(secret_digest: str) -> str:
    """A name for a session or a key that may be shown: it opens nothing, and the digest cannot be found from it."""
    return digest(f"annexfleet public id {secret_digest}")[:16]


def open_for(
    db: Session, user: User, *, now: datetime, address: str = "", client: str = "", awaits_code: bool = False
) -> str:
    """A new session; the cookie's value, which nobody can find out again.

    `awaits_code`: half a session, which opens the form for the code of the second factor and nothing else.
    """
    cookie = secrets.token_urlsafe(32)
    people.open_session(
        db, digest=digest(cookie), user_id=user.id, csrf_token=secrets.token_urlsafe(32), now=now,
        address=address[:64], client=client[:200], awaits_code=awaits_code,
    )  # fmt: skip
    return cookie


def by_cookie(engine: Engine, cookie: str, settings: Settings, *, now: datetime, is_use: bool) -> Person | None:
    """Who has this cookie; None if it opens nothing (any more, or not before a code was typed).

    `is_use` is false for what a page asks by itself, so that an abandoned screen does not stay open for ever.
    """
    created_after, used_after = limits(settings, now)
    with reading(engine) as db:
        found = people.session(db, digest(cookie), created_after=created_after, used_after=used_after)
        if found is None:
            return None
        row, user = found
        person = _by_session(db, row, user, settings)
        due = is_use and now - row.used_at >= TOUCH_EVERY
    if due:
        with writing(engine) as db:
            people.touch_session(db, person.digest, now)
    return person


def by_key(engine: Engine, key: str, *, now: datetime) -> Person | None:
    """For whom this key acts, within its bounds; None if it opens nothing."""
    with reading(engine) as db:
        found = program_keys.owner(db, digest(key), now)
        if found is None:
            return None
        row, user = found
        person = _by_key(db, row, user)
        due = person is not None and (row.used_at is None or now - row.used_at >= KEY_TOUCH_EVERY)
    if due:
        with writing(engine) as db:
            program_keys.touch(db, digest(key), now)
    return person


def still_open(engine: Engine, persons: Collection[Person], settings: Settings, *, now: datetime) -> dict[str, Person]:
    """Those of these persons whose session or key still opens something, by its digest, with today's scope and role."""
    created_after, used_after = limits(settings, now)
    with reading(engine) as db:
        by_session = {p.digest for p in persons if p.via == "session"}
        rows = people.alive(db, by_session, created_after=created_after, used_after=used_after) if by_session else []
        found = {row.digest: _by_session(db, row, user, settings) for row, user in rows}
        for person in persons:
            if person.via == "key" and (owner := program_keys.owner(db, person.digest, now)) is not None:
                bounded = _by_key(db, *owner)
                if bounded is not None:
                    found[person.digest] = bounded
        return found


def limits(settings: Settings, now: datetime) -> tuple[datetime, datetime]:
    """After which moments a session must have begun, and been used, to be open now."""
    return now - timedelta(hours=settings.session_hours), now - timedelta(minutes=settings.session_idle_minutes)


def _by_session(db: Session, row: SessionRow, user: User, settings: Settings) -> Person:
    return Person(
        user_id=user.id,
        name=user.name,
        role=user.role,
        scope=people.scope_of(db, user.id),
        language=user.language,
        must_change_password=user.must_change_password,
        via="session",
        digest=row.digest,
        csrf_token=row.csrf_token,
        must_set_up_factor=user.totp_confirmed_at is None and demanded(settings.second_factor, user.role),
    )


def _by_key(db: Session, row: ApiKey, user: User) -> Person | None:
    """A person within the bounds of a key, as both are now.

    None where nothing is left: of a role that is not known, or of annexes that are no longer the person's.
    """
    role = lower(user.role, row.role or user.role)
    scope, confined = people.scope_of(db, user.id), program_keys.annexes_of(db, row.digest)
    if confined:
        scope = Scope(confined if scope.annexes is None else confined & scope.annexes)
    if not role or scope.annexes == frozenset():
        return None
    return Person(
        user_id=user.id,
        name=user.name,
        role=role,
        scope=scope,
        language=user.language,
        must_change_password=user.must_change_password,
        via="key",
        digest=row.digest,
        reads_only=row.reads_only,
    )
