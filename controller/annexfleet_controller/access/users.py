"""People and keys, as the command line makes and unmakes them.  Every function is one transaction."""

import re
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.access import guessing, passwords, sessions
from annexfleet_controller.access.roles import ROLES
from annexfleet_controller.errors import Invalid, PasswordWeak, SignInRefused, TooManyAttempts
from annexfleet_controller.store import audit, people
from annexfleet_controller.store.database import reading, writing

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._@-]{1,79}")


def create(
    engine: Engine,
    name: str,
    role: str,
    *,
    now: datetime,
    annex_ids: Collection[str] = (),
    language: str = "",
    by: str = "command line",
) -> str:
    """A new person; the one-time password, shown once.  No annex means the whole province.

    Raises Invalid, UserExists or AnnexUnknown.
    """
    if not _NAME.fullmatch(name):
        raise Invalid("a name has 2 to 80 letters, digits and . _ @ -", field="name")
    if role not in ROLES:
        raise Invalid(f"role is one of {', '.join(ROLES)}", field="role")
    password = passwords.one_time()
    password_hash = passwords.hashed(password)
    with writing(engine) as db:
        people.create(
            db, name=name, password_hash=password_hash, role=role, annex_ids=annex_ids, now=now, language=language
        )
        _note(db, "user.create", name, by=by, now=now, facts={"role": role, "annexes": sorted(annex_ids)})
    return password


def reset(engine: Engine, name: str, *, now: datetime, by: str = "command line") -> str:
    """A new one-time password; all sessions of the person end.  Raises UserUnknown."""
    password = passwords.one_time()
    password_hash = passwords.hashed(password)
    with writing(engine) as db:
        user = people.get(db, name)
        people.set_password(db, user.id, password_hash, must_change=True)
        people.close_sessions(db, user.id)
        people.forget_failures(db, name)
        _note(db, "user.reset", name, by=by, now=now)
    return password


def disable(engine: Engine, name: str, *, now: datetime, by: str = "command line") -> None:
    """Sessions and keys of the person open nothing from the next request on.  Raises UserUnknown."""
    with writing(engine) as db:
        people.disable(db, people.get(db, name), now)
        _note(db, "user.disable", name, by=by, now=now)


def create_key(
    engine: Engine,
    user_name: str,
    key_name: str,
    *,
    now: datetime,
    days: int | None = 365,
    by: str = "command line",
) -> str:
    """A bearer key for a program that acts with this person's rights, shown once.  Raises UserUnknown."""
    key = sessions.KEY_PREFIX + secrets.token_urlsafe(32)
    expires_at = None if days is None else now + timedelta(days=days)
    with writing(engine) as db:
        user = people.get(db, user_name)
        people.add_key(
            db, digest=sessions.digest(key), name=key_name[:80], user_id=user.id, expires_at=expires_at, now=now
        )
        _note(db, "key.create", user_name, by=by, now=now, facts={"purpose": key_name[:80]})
    return key


def _note(
    db: Session, act: str, name: str, *, by: str, now: datetime, facts: Mapping[str, audit.Fact] | None = None
) -> None:
    audit.add(db, now=now, actor=by, via="console", act=act, subject=f"user:{name}", facts=facts)


def sign_in(engine: Engine, name: str, password: str, *, address: str, now: datetime) -> str:
    """A new session's cookie.  Raises SignInRefused or TooManyAttempts (`wait_s` in the facts).

    The password is checked between two transactions: it takes as long as hundreds of writes of ingest.  A try is
    written down as failed before that, so that many at once count one another; success takes it back.
    """
    name, address = name.strip()[:80], guessing.asker(address)
    with passwords.turn():
        with reading(engine) as db:
            _demand_patience(db, name, address, now)
        with writing(engine) as db:
            people.one_sign_in_at_a_time(db)
            _demand_patience(db, name, address, now)
            people.add_failure(db, name=name, address=address, now=now)
            user = people.by_name(db, name)
            password_hash = user.password_hash if user is not None and user.disabled_at is None else None
        right = passwords.fits(password_hash, password)
        if right:
            with writing(engine) as db:
                user = people.by_name(db, name)
                # Between the two transactions the person may have been disabled or got another password.
                if user is not None and user.disabled_at is None and user.password_hash == password_hash:
                    people.forget_failures(db, name, address=address)
                    return sessions.open_for(db, user, now=now)
    raise SignInRefused("name or password wrong")


def _demand_patience(db: Session, name: str, address: str, now: datetime) -> None:
    since = now - guessing.WINDOW
    pause = guessing.wait(
        by_both=guessing.Failed(*people.failures(db, name=name, address=address, since=since)),
        by_name=guessing.Failed(*people.failures(db, name=name, since=since)),
        by_address=guessing.Failed(*people.failures(db, address=address, since=since)),
        now=now,
    )
    if pause > timedelta(0):
        raise TooManyAttempts("too many failed sign-ins", wait_s=max(1, round(pause.total_seconds())))


def change_password(engine: Engine, name: str, old: str, new: str, *, address: str, now: datetime) -> str:
    """A new password of one's own; every older session ends and a new one begins, whose cookie this is.

    Raises SignInRefused if the old one is wrong, PasswordWeak or TooManyAttempts.
    """
    passwords.check_new(new, name=name)
    if new == old:
        raise PasswordWeak("the new password is the old one", reason="same_as_before")
    sign_in(engine, name, old, address=address, now=now)
    password_hash = passwords.hashed(new)
    with writing(engine) as db:
        user = people.get(db, name)
        people.set_password(db, user.id, password_hash, must_change=False)
        people.close_sessions(db, user.id)
        return sessions.open_for(db, user, now=now)
