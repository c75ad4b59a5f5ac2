"""People: made, changed, shut out and let in again, by the command line and by who manages people.

What shows a one-time password is in two steps, hashing outside of the transaction: `Prepared` then goes into it.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.access import keys, passwords
from annexfleet_controller.access.errors import AccountWrong, BySessionOnly, LastAdmin, NotOneself
from annexfleet_controller.access.roles import ROLES
from annexfleet_controller.errors import AnnexUnknown
from annexfleet_controller.i18n.catalogues import CODES
from annexfleet_controller.store import accounts, audit, factors, people, program_keys
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.people import User

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._@-]{1,79}")
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"]{1,64}@[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,186}[a-zA-Z0-9])?\.[a-zA-Z]{2,63}")
MOST_ANNEXES = 2000


class By(NamedTuple):
    """Who does it, and how."""

    name: str
    via: str = "console"
    user_id: int = 0
    """Of a person; 0 for the console, which may do everything."""


CONSOLE = By("command line")


class Profile(Struct, frozen=True, kw_only=True):
    """What may be changed of an account."""

    role: str
    annexes: tuple[str, ...] = ()
    """None of them: the whole province."""
    full_name: str = ""
    email: str = ""
    language: str = ""
    """Empty: that of the browser."""


class Prepared(NamedTuple):
    """A one-time password, and what of it is kept."""

    password: str
    password_hash: str


def prepared() -> Prepared:
    """Takes a tenth of a second, so it is done outside of transactions.  Raises TooManyAttempts in a crowd."""
    password = passwords.one_time()
    with passwords.turn():
        return Prepared(password, passwords.hashed(password))


def create(
    engine: Engine,
    name: str,
    role: str,
    *,
    now: datetime,
    annex_ids: Collection[str] = (),
    language: str = "",
    by: str = CONSOLE.name,
) -> str:
    """A new person; the one-time password, shown once.  No annex means the whole province.

    Raises AccountWrong, UserExists or AnnexUnknown.
    """
    profile = checked(Profile(role=role, annexes=tuple(annex_ids), language=language))
    new = prepared()
    with writing(engine) as db:
        add(db, checked_name(name), profile, new, now=now, by=By(by))
    return new.password


def add(db: Session, name: str, profile: Profile, new: Prepared, *, now: datetime, by: By) -> User:
    """Raises UserExists, AnnexUnknown, or BySessionOnly for an administrator by a key."""
    _refuse_raising_by_key(profile, None, by)
    user = people.create(
        db, name=name, password_hash=new.password_hash, role=profile.role, annex_ids=profile.annexes, now=now,
        language=profile.language, full_name=profile.full_name, email=profile.email,
    )  # fmt: skip
    facts: dict[str, audit.Fact] = {"role": profile.role, "annexes": sorted(profile.annexes)}
    _note(db, "user.create", name, by=by, now=now, facts=facts)
    return user


def checked_name(name: str) -> str:
    """Raises AccountWrong."""
    if not _NAME.fullmatch(name.strip()):
        raise AccountWrong("a name has 2 to 80 letters, digits and . _ @ -", field="name", reason="name_wrong")
    return name.strip()


def checked(wish: Profile) -> Profile:
    """A profile as it is kept.  Raises AccountWrong, naming the field."""
    full_name, email = " ".join(wish.full_name.split()), wish.email.strip()
    if wish.role not in ROLES:
        raise AccountWrong(f"role is one of {', '.join(ROLES)}", field="role", reason="role_unknown")
    if len(full_name) > 120 or not full_name.isprintable():
        raise AccountWrong("a full name has at most 120 letters", field="full_name", reason="full_name_wrong")
    if email and (len(email) > 254 or not _EMAIL.fullmatch(email)):
        raise AccountWrong(f"{email!r} is no mail address", field="email", reason="email_wrong")
    if wish.language and wish.language not in CODES:
        raise AccountWrong(f"language is one of {', '.join(CODES)}", field="language", reason="language_unknown")
    annexes = tuple(sorted(set(wish.annexes)))
    if len(annexes) > MOST_ANNEXES:
        raise AccountWrong("too many annexes", field="annexes", reason="too_many")
    return Profile(role=wish.role, annexes=annexes, full_name=full_name, email=email, language=wish.language)


def profile_of(db: Session, user: User) -> Profile:
    annexes = people.scope_of(db, user.id).annexes or ()
    return Profile(
        role=user.role, annexes=tuple(sorted(annexes)), full_name=user.full_name, email=user.email,
        language=user.language,
    )  # fmt: skip


def edit(db: Session, user: User, wish: Profile, *, version: int, now: datetime, by: By) -> None:
    """Change what differs; nothing is written where nothing does.

    Raises AccountWrong, PersonChanged, NotOneself, LastAdmin, BySessionOnly.
    """
    new = checked(wish)
    accounts.one_change_at_a_time(db)
    old = profile_of(db, user)
    name = user.name
    if new == old and version == user.version:
        return
    _refuse_losing_the_last(db, user, new, old, by)
    _refuse_raising_by_key(new, old, by)
    try:
        accounts.change(
            db, user.id, version=version, role=new.role, annex_ids=new.annexes, full_name=new.full_name,
            email=new.email, language=new.language,
        )  # fmt: skip
    except AnnexUnknown as unknown:
        raise AccountWrong(str(unknown), field="annexes", reason="annex_unknown") from None
    facts: dict[str, audit.Fact] = {}
    if new.role != old.role:
        facts |= {"role_before": old.role, "role": new.role}
    if new.annexes != old.annexes:
        facts |= {"annexes_before": list(old.annexes), "annexes": list(new.annexes)}
    # What one is called and written to stays out of a record that nobody can take back.
    if touched := [field for field in ("full_name", "email", "language") if getattr(new, field) != getattr(old, field)]:
        facts["fields"] = touched
    _note(db, "user.edit", name, by=by, now=now, facts=facts)


def reset(engine: Engine, name: str, *, now: datetime, by: str = CONSOLE.name) -> str:
    """A new one-time password; all sessions of the person end.  Raises UserUnknown."""
    new = prepared()
    with writing(engine) as db:
        give_password(db, people.get(db, name), new, now=now, by=By(by))
    return new.password


def give_password(db: Session, user: User, new: Prepared, *, now: datetime, by: By) -> None:
    """Raises NotOneself: one's own password is changed by who knows the old one."""
    _refuse_oneself(user, by)
    people.set_password(db, user.id, new.password_hash, must_change=True)
    people.close_sessions(db, user.id)
    people.forget_failures(db, user.name)
    _note(db, "user.reset", user.name, by=by, now=now)


def disable(engine: Engine, name: str, *, now: datetime, by: str = CONSOLE.name) -> None:
    """Sessions and keys of the person open nothing from the next request on.  Raises UserUnknown."""
    with writing(engine) as db:
        shut_out(db, people.get(db, name), now=now, by=By(by))


def shut_out(db: Session, user: User, *, now: datetime, by: By) -> None:
    """Raises NotOneself or LastAdmin.  Whoever is shut out already stays so."""
    accounts.one_change_at_a_time(db)
    if user.disabled_at is not None:
        return
    _refuse_oneself(user, by)
    if by.user_id and _manages(user.role, profile_of(db, user).annexes) and not accounts.other_admins(db, user.id):
        raise LastAdmin
    accounts.disable(db, user, now)
    _note(db, "user.disable", user.name, by=by, now=now)


def enable(engine: Engine, name: str, *, now: datetime, by: str = CONSOLE.name) -> str:
    """Let a person in again, with a one-time password.  Raises UserUnknown."""
    new = prepared()
    with writing(engine) as db:
        let_in(db, people.get(db, name), new, now=now, by=By(by))
    return new.password


def let_in(db: Session, user: User, new: Prepared, *, now: datetime, by: By) -> None:
    """With a new password: nobody knows who learnt the old one meanwhile.  Keys of before are gone.

    Raises NotOneself.
    """
    _refuse_oneself(user, by)
    accounts.enable(db, user)
    people.close_sessions(db, user.id)
    people.set_password(db, user.id, new.password_hash, must_change=True)
    people.forget_failures(db, user.name)
    _note(db, "user.enable", user.name, by=by, now=now)


def reset_factor(db: Session, user: User, *, now: datetime, by: By) -> bool:
    """Take the second factor away from who lost it; sessions end.  Whether there was one.  Raises NotOneself."""
    _refuse_oneself(user, by)
    was_on = factors.remove(db, user.id)
    people.close_sessions(db, user.id)
    _note(db, "user.reset_factor", user.name, by=by, now=now)
    return was_on


def end_sessions(db: Session, user: User, *, now: datetime, by: By) -> int:
    """How many there were."""
    ended = people.close_sessions(db, user.id)
    _note(db, "user.end_sessions", user.name, by=by, now=now, facts={"sessions": ended})
    return ended


def create_key(
    engine: Engine,
    user_name: str,
    key_name: str,
    *,
    now: datetime,
    days: int | None = 365,
    by: str = CONSOLE.name,
    bounds: keys.Bounds = keys.UNBOUNDED,
) -> str:
    """A bearer key for a program that acts with this person's rights, within bounds; shown once.

    Raises UserUnknown or AccountWrong.
    """
    with writing(engine) as db:
        user = people.get(db, user_name)
        owner = keys.Owner(user.id, user.name, user.role, people.scope_of(db, user.id))
        return keys.make(db, owner, key_name, bounds, days=days, now=now, by=by, via="console")


def effect_on_keys(db: Session, user: User, new: Profile) -> int:
    """How many of a person's keys would open nothing any more, for all their annexes are lost."""
    if not new.annexes:
        return 0
    digests = [key.digest for key, _ in program_keys.listing(db, user_id=user.id)]
    confined = program_keys.annexes(db, digests)
    return sum(not set(annexes) & set(new.annexes) for annexes in confined.values())


def _refuse_losing_the_last(db: Session, user: User, new: Profile, old: Profile, by: By) -> None:
    if (new.role, new.annexes) == (old.role, old.annexes):
        return
    _refuse_oneself(user, by)
    lost = _manages(old.role, old.annexes) and not _manages(new.role, new.annexes)
    if by.user_id and lost and user.disabled_at is None and not accounts.other_admins(db, user.id):
        raise LastAdmin


def _refuse_oneself(user: User, by: By) -> None:
    if user.id == by.user_id:
        raise NotOneself


def _refuse_raising_by_key(new: Profile, old: Profile | None, by: By) -> None:
    """Else whoever finds a key makes an administrator with it, at once or in two steps."""
    if by.via != "key" or new.role != "admin":
        return
    if old is None or (new.role, new.annexes) != (old.role, old.annexes):
        raise BySessionOnly


def _manages(role: str, annexes: Collection[str]) -> bool:
    return role == "admin" and not annexes


def _note(
    db: Session, act: str, name: str, *, by: By, now: datetime, facts: Mapping[str, audit.Fact] | None = None
) -> None:
    audit.add(db, now=now, actor=by.name, via=by.via, act=act, subject=f"user:{name}", facts=facts)
