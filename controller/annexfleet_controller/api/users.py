"""/api/v1/users: people who may come in, for administrators of the whole province.

The first administrator is made at the console of the controller; no route here opens without one.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from annexfleet_controller.access import users
from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.errors import AccountWrong
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.access.users import By, Prepared, Profile
from annexfleet_controller.api import paging, problems
from annexfleet_controller.errors import VersionMissing
from annexfleet_controller.store import accounts, people
from annexfleet_controller.store.tables.people import User

router = APIRouter(prefix="/api/v1/users", tags=["users"], responses=problems.RESPONSES)

Managing = Annotated[Person, Depends(Needs("manage_people"))]
InPerson = Annotated[Person, Depends(Needs("manage_people", in_person=True))]
Name = Annotated[str, Path(max_length=80)]
AnnexIds = Annotated[list[str] | None, Field(max_length=users.MOST_ANNEXES)]


class NewUser(BaseModel):
    name: Annotated[str, Field(max_length=80)]
    """Typed to sign in; it never changes."""
    role: Annotated[str, Field(max_length=16)]
    """staff, technician, operator or admin"""
    annexes: AnnexIds
    """null: the whole province."""
    full_name: Annotated[str, Field(max_length=120)] = ""
    email: Annotated[str, Field(max_length=254)] = ""
    language: Annotated[str, Field(max_length=8)] = ""

    model_config = {"json_schema_extra": {"examples": [{"name": "amina", "role": "staff", "annexes": ["berkane-1"]}]}}


class UserChange(BaseModel):
    """What is left out stays."""

    role: Annotated[str, Field(max_length=16)] | None = None
    annexes: AnnexIds = None
    """null: the whole province, if it is given at all."""
    full_name: Annotated[str, Field(max_length=120)] | None = None
    email: Annotated[str, Field(max_length=254)] | None = None
    language: Annotated[str, Field(max_length=8)] | None = None
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """The one that was read; or as `If-Match`."""


class UserOut(BaseModel):
    name: str
    full_name: str
    email: str
    role: str
    annexes: list[str] | None
    """null: the whole province."""
    language: str
    created_at: datetime
    disabled_at: datetime | None
    must_change_password: bool
    second_factor_since: datetime | None
    version: int
    password: str | None = None
    """For one time; only in the answer that makes it."""


class UserPage(BaseModel):
    items: list[UserOut]
    next: str | None


class Ended(BaseModel):
    sessions: int
    """How many ended."""


@router.get("")
def list_users(
    *,
    person: Managing,
    db: Db,
    limit: paging.Limit = 100,
    cursor: paging.Cursor = "",
    search: paging.Search = "",
    role: Annotated[str, Query(max_length=16)] = "",
    disabled: Annotated[bool | None, Query(description="Only those who are, or are not, shut out")] = None,
) -> UserPage:
    """People by name."""
    keys = paging.keys(cursor, 1)
    found = accounts.listing(
        db, search=search, role=role, disabled=disabled, after=keys[0] if keys else "", limit=limit + 1
    )
    shown = found[:limit]
    annexes = accounts.annexes(db, [user.id for user in shown])
    return UserPage(
        items=[_out(user, annexes.get(user.id)) for user in shown],
        next=paging.cursor(shown[-1].name) if len(found) > limit else None,
    )


@router.post("", status_code=201)
def create_user(new: NewUser, person: Managing, once: OnceOf, now: Now) -> UserOut:
    """Add a person.  The one-time password is shown in this answer and never again.  A key makes no administrators.

    With an `Idempotency-Key` a repeat within a day makes none and answers the same.
    """
    name = users.checked_name(new.name)
    profile = users.checked(
        Profile(
            role=new.role, annexes=_annexes(new.annexes), full_name=new.full_name, email=new.email,
            language=new.language,
        )
    )  # fmt: skip
    made = users.prepared()

    def work(db: Session) -> dict[str, Any]:
        user = users.add(db, name, profile, made, now=now, by=_by(person))
        return _with_password(db, user, made)

    return UserOut.model_validate(once.do(person, new.model_dump(), work, now=now))


@router.get("/{user_name}")
def one_user(user_name: Name, person: Managing, db: Db, response: Response) -> UserOut:
    """The `ETag` is what a change gives back as `If-Match`."""
    return _one(db, people.get(db, user_name), response)


@router.patch("/{user_name}")
def change_user(
    *,
    user_name: Name,
    new: UserChange,
    person: Managing,
    db: WritingDb,
    now: Now,
    response: Response,
    if_match: Annotated[str, Header(max_length=40)] = "",
) -> UserOut:
    """Change what is given.  Nobody lowers or confines themselves, and one administrator of the province is left."""
    user = people.get(db, user_name)
    version = new.version if new.version is not None else _version(if_match)
    old, given = users.profile_of(db, user), new.model_fields_set
    wish = Profile(
        role=old.role if new.role is None else new.role,
        annexes=_annexes(new.annexes) if "annexes" in given else old.annexes,
        full_name=old.full_name if new.full_name is None else new.full_name,
        email=old.email if new.email is None else new.email,
        language=old.language if new.language is None else new.language,
    )
    users.edit(db, user, wish, version=version, now=now, by=_by(person))
    return _one(db, people.get(db, user_name), response)


@router.post("/{user_name}/disable")
def disable_user(user_name: Name, person: Managing, db: WritingDb, now: Now, response: Response) -> UserOut:
    """Let a person in no more; sessions and keys are gone."""
    user = people.get(db, user_name)
    users.shut_out(db, user, now=now, by=_by(person))
    return _one(db, user, response)


@router.post("/{user_name}/enable")
def enable_user(user_name: Name, person: InPerson, once: OnceOf, now: Now) -> UserOut:
    """Let a person in again, with a one-time password that is in this answer and nowhere else.  Not by a key."""
    made = users.prepared()

    def work(db: Session) -> dict[str, Any]:
        user = people.get(db, user_name)
        users.let_in(db, user, made, now=now, by=_by(person))
        return _with_password(db, user, made)

    return UserOut.model_validate(once.do(person, {"enable": user_name}, work, now=now))


@router.post("/{user_name}/reset")
def reset_password(user_name: Name, person: InPerson, once: OnceOf, now: Now) -> UserOut:
    """A new one-time password, in this answer and nowhere else; sessions end.  Not by a key, and not of oneself."""
    made = users.prepared()

    def work(db: Session) -> dict[str, Any]:
        user = people.get(db, user_name)
        users.give_password(db, user, made, now=now, by=_by(person))
        return _with_password(db, user, made)

    return UserOut.model_validate(once.do(person, {"reset": user_name}, work, now=now))


@router.post("/{user_name}/reset-factor")
def reset_factor(user_name: Name, person: InPerson, db: WritingDb, now: Now, response: Response) -> UserOut:
    """Take the second factor from who lost it; sessions end.  Not by a key, and not of oneself."""
    user = people.get(db, user_name)
    users.reset_factor(db, user, now=now, by=_by(person))
    db.refresh(user)
    return _one(db, user, response)


@router.post("/{user_name}/end-sessions")
def end_sessions(user_name: Name, person: Managing, db: WritingDb, now: Now) -> Ended:
    return Ended(sessions=users.end_sessions(db, people.get(db, user_name), now=now, by=_by(person)))


def _annexes(given: list[str] | None) -> tuple[str, ...]:
    """Raises AccountWrong for an empty list: it must not mean the whole province."""
    if given is not None and not given:
        raise AccountWrong("no annex is named; null is the whole province", field="annexes", reason="annexes_missing")
    return tuple(given or ())


def _version(if_match: str) -> int:
    """Raises VersionMissing."""
    text = if_match.removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise VersionMissing
    return int(text)


def _one(db: Session, user: User, response: Response) -> UserOut:
    response.headers["ETag"] = f'"{user.version}"'
    return _out(user, accounts.annexes(db, [user.id]).get(user.id))


def _with_password(db: Session, user: User, made: Prepared) -> dict[str, Any]:
    db.refresh(user)
    out = _out(user, accounts.annexes(db, [user.id]).get(user.id))
    return out.model_copy(update={"password": made.password}).model_dump(mode="json")


def _out(user: User, annexes: list[str] | None) -> UserOut:
    return UserOut(
        name=user.name, full_name=user.full_name, email=user.email, role=user.role, annexes=annexes,
        language=user.language, created_at=user.created_at, disabled_at=user.disabled_at,
        must_change_password=user.must_change_password, second_factor_since=user.totp_confirmed_at,
        version=user.version,
    )  # fmt: skip


def _by(person: Person) -> By:
    return By(person.name, person.via, person.user_id)
