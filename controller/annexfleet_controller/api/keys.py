"""/api/v1/keys: keys with which programs come in, within bounds."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from annexfleet_controller.access import keys, sessions, signing_in
from annexfleet_controller.access.asked import Db, EngineOf, Now, WritingDb
from annexfleet_controller.access.door import Needs, client_address
from annexfleet_controller.access.errors import AccountWrong, BySessionOnly
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.errors import Forbidden
from annexfleet_controller.store import program_keys

router = APIRouter(prefix="/api/v1/keys", tags=["keys"], responses=problems.RESPONSES)

Owning = Annotated[Person, Depends(Needs("own_keys"))]


class NewKey(BaseModel):
    name: Annotated[str, Field(max_length=80)]
    """What it is for."""
    role: Annotated[str, Field(max_length=16)] = ""
    """At most this role; empty: your own."""
    reads_only: bool = False
    annexes: Annotated[list[str] | None, Field(max_length=2000)] = None
    """null: all of yours."""
    days: Annotated[int, Field(ge=1, le=keys.LONGEST_DAYS)] = 90
    password: Annotated[str, Field(max_length=1000)]
    """Yours of now: a key outlives the session that makes it, which may be one that somebody left open."""

    model_config = {
        "json_schema_extra": {"examples": [{"name": "Grafana", "role": "staff", "reads_only": True, "password": "…"}]}
    }


class KeyOut(BaseModel):
    id: str
    name: str
    user: str
    role: str
    """What it comes to now: the lower one of the key's and its person's."""
    reads_only: bool
    annexes: list[str] | None
    """null: all of its person's."""
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    """To within an hour; null: never."""
    key: str | None = None
    """Only in the answer that makes it."""


class KeyPage(BaseModel):
    items: list[KeyOut]


@router.get("")
def list_keys(
    person: Owning,
    db: Db,
    now: Now,
    everybody: Annotated[bool, Query(description="Of everybody; for who manages people")] = False,
    search: Annotated[str, Query(max_length=100)] = "",
) -> KeyPage:
    """Your keys, the newest first, without the keys themselves; at most 500."""
    if everybody and not person.may("manage_people"):
        raise Forbidden
    rows = program_keys.listing(db, user_id=None if everybody else person.user_id, search=search, limit=500)
    return KeyPage(items=[_out(one) for one in keys.shown(db, rows, now=now)])


@router.post("", status_code=201)
def create_key(*, new: NewKey, person: Owning, request: Request, engine: EngineOf, once: OnceOf, now: Now) -> KeyOut:
    """Make a key of your own.  It is shown in this answer and never again.

    A key makes no keys, and a session only with the password.
    """
    if person.via != "session":
        raise BySessionOnly
    if new.annexes is not None and not new.annexes:
        raise AccountWrong("no annex is named; null is all of yours", field="annexes", reason="annexes_missing")
    signing_in.check_password(engine, person.name, new.password, address=client_address(request), now=now)
    bounds = keys.Bounds(role=new.role, reads_only=new.reads_only, annexes=tuple(new.annexes or ()))
    owner = keys.Owner(person.user_id, person.name, person.role, person.scope)

    def work(db: Session) -> dict[str, Any]:
        key = keys.make(db, owner, new.name, bounds, days=new.days, now=now, by=person.name, via=person.via)
        row = program_keys.owner(db, sessions.digest(key), now)
        assert row is not None, "made in this very transaction"
        return _out(keys.shown(db, [row], now=now)[0]).model_copy(update={"key": key}).model_dump(mode="json")

    return KeyOut.model_validate(once.do(person, new.model_dump(exclude={"password"}), work, now=now))


@router.delete("/{key_id}", status_code=204)
def revoke_key(key_id: str, person: Owning, db: WritingDb, now: Now) -> None:
    """It opens nothing from the next request on.  One of yours, or anybody's for who manages people.

    A key that may not manage people revokes itself and no other.
    """
    keys.revoke(db, key_id, person, everybody=True, now=now)


def _out(one: keys.Shown) -> KeyOut:
    return KeyOut(
        id=one.id, name=one.name, user=one.owner, role=one.role, reads_only=one.reads_only,
        annexes=list(one.annexes) or None, created_at=one.created_at, expires_at=one.expires_at, used_at=one.used_at,
    )  # fmt: skip
