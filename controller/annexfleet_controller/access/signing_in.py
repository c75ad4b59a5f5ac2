"""Coming in: the password, then the code of a second factor where there is one; and changing the password.

A try is written down as failed before it is checked, so that many at once count one another; success takes it back.
The password is checked between two transactions, for it takes as long as hundreds of writes of ingest.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.access import factor, guessing, passwords, sessions
from annexfleet_controller.access.errors import CodeRefused, PasswordWeak, SignedOut, SignInRefused, TooManyAttempts
from annexfleet_controller.settings import Home
from annexfleet_controller.store import audit, people
from annexfleet_controller.store.accounts import by_id
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.people import User

T = TypeVar("T")


class Opened(Struct, frozen=True):
    """A session that began."""

    cookie: str
    awaits_code: bool
    """The code of the second factor is still owed: the cookie opens nothing but its form."""


class Half(Struct, frozen=True):
    """Somebody whose password was right and whose code is still owed."""

    user_id: int
    name: str
    digest: str
    csrf_token: str


def sign_in(engine: Engine, name: str, password: str, *, address: str, now: datetime, client: str = "") -> Opened:
    """A new session, or half of one where a second factor is on.

    Raises SignInRefused or TooManyAttempts (`wait_s` in the facts).
    """

    def opened(db: Session, user: User) -> Opened:
        awaits = user.totp_confirmed_at is not None
        if not awaits:  # else who knows the password could guess codes without end, by signing in again and again
            people.forget_failures(db, user.name, address=guessing.asker(address))
        cookie = sessions.open_for(db, user, now=now, address=address, client=client, awaits_code=awaits)
        return Opened(cookie, awaits)

    return _with_password(engine, name, password, opened, address=address, now=now)


def check_password(engine: Engine, name: str, password: str, *, address: str, now: datetime) -> None:
    """Ask for the password again before something of weight.  Raises SignInRefused or TooManyAttempts."""
    _with_password(engine, name, password, lambda _db, _user: None, address=address, now=now)


def half_open(engine: Engine, cookie: str, *, now: datetime) -> Half | None:
    """Who has this cookie of half a session; None if it is none, or five minutes are over."""
    if not cookie:
        return None
    with reading(engine) as db:
        found = people.half_session(db, sessions.digest(cookie), created_after=now - sessions.HALF_LASTS)
        if found is None:
            return None
        row, user = found
        return Half(user_id=user.id, name=user.name, digest=row.digest, csrf_token=row.csrf_token)


def enter_code(
    engine: Engine, home: Home, half: Half, typed: str, *, address: str, now: datetime, client: str = ""
) -> str:
    """The cookie of a whole session, a new one: the half one ends.

    Raises CodeRefused, TooManyAttempts, or SignedOut where the half session was used meanwhile.
    """

    def opened(db: Session, user: User) -> str:
        if not people.close_session(db, half.digest):
            raise SignedOut
        people.forget_failures(db, user.name, address=guessing.asker(address))
        return sessions.open_for(db, user, now=now, address=address, client=client)

    return with_code(engine, home, half.user_id, typed, opened, address=address, now=now)


def with_code(
    engine: Engine, home: Home, user_id: int, typed: str, work: Callable[[Session, User], T], *, address: str,
    now: datetime,
) -> T:  # fmt: skip
    """Do `work` in the transaction that spends this code.  Raises CodeRefused or TooManyAttempts.

    Wrong codes count like wrong passwords.  What `work` raises takes everything back, also that the code was spent.
    """
    asker = guessing.asker(address)
    with writing(engine) as db:
        people.one_sign_in_at_a_time(db)
        user = by_id(db, user_id)
        _demand_patience(db, user.name, asker, now)
        kind = factor.check(db, home, user, typed, now) if user.disabled_at is None else ""
        if kind:
            if kind == "recovery":
                audit.add(
                    db, now=now, actor=user.name, via="session", act="factor.recovery", subject=f"user:{user.name}"
                )
            return work(db, user)
        people.add_failure(db, name=user.name, address=asker, now=now)
    raise CodeRefused("not a code that opens now")


def change_password(
    engine: Engine, name: str, old: str, new: str, *, address: str, now: datetime, client: str = ""
) -> str:
    """A new password of one's own; every older session ends and a new one begins, whose cookie this is.

    Raises SignInRefused if the old one is wrong, PasswordWeak or TooManyAttempts.
    """
    with reading(engine) as db:
        user = people.get(db, name)
        others = (user.full_name, user.email)
    passwords.check_new(new, name=name, others=others)
    if new == old:
        raise PasswordWeak("the new password is the old one", reason="same_as_before")
    check_password(engine, name, old, address=address, now=now)
    with passwords.turn():
        password_hash = passwords.hashed(new)
    with writing(engine) as db:
        user = people.get(db, name)
        if user.disabled_at is not None:
            raise SignedOut
        people.set_password(db, user.id, password_hash, must_change=False)
        people.close_sessions(db, user.id)
        people.forget_failures(db, name, address=guessing.asker(address))
        audit.add(db, now=now, actor=name, via="session", act="user.password", subject=f"user:{name}")
        return sessions.open_for(db, user, now=now, address=address, client=client)


def _with_password(
    engine: Engine, name: str, password: str, work: Callable[[Session, User], T], *, address: str, now: datetime
) -> T:
    name, asker = name.strip()[:80], guessing.asker(address)
    with passwords.turn():
        with reading(engine) as db:
            _demand_patience(db, name, asker, now)
        with writing(engine) as db:
            people.one_sign_in_at_a_time(db)
            _demand_patience(db, name, asker, now)
            failure = people.add_failure(db, name=name, address=asker, now=now)
            user = people.by_name(db, name)
            password_hash = user.password_hash if user is not None and user.disabled_at is None else None
        right = passwords.fits(password_hash, password)
        if right:
            with writing(engine) as db:
                user = people.by_name(db, name)
                # Between the two transactions the person may have been disabled or got another password.
                if user is not None and user.disabled_at is None and user.password_hash == password_hash:
                    people.take_back_failure(db, failure)
                    return work(db, user)
    raise SignInRefused("name or password wrong")


def _demand_patience(db: Session, name: str, asker: str, now: datetime) -> None:
    since = now - guessing.WINDOW
    pause = guessing.wait(
        by_both=guessing.Failed(*people.failures(db, name=name, address=asker, since=since)),
        by_name=guessing.Failed(*people.failures(db, name=name, since=since)),
        by_address=guessing.Failed(*people.failures(db, address=asker, since=since)),
        now=now,
    )
    if pause > timedelta(0):
        raise TooManyAttempts("too many failed sign-ins", wait_s=max(1, round(pause.total_seconds())))
