"""/api/v1/tokens: leave for new devices to enrol."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from annexfleet_agent.protocol.enrolment import decode_token
from annexfleet_controller.access.asked import Db, HomeOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.errors import TokenUnknown
from annexfleet_controller.identity import authority
from annexfleet_controller.identity import tokens as making
from annexfleet_controller.settings import Home
from annexfleet_controller.store import annexes, audit, tokens
from annexfleet_controller.store.tables.devices import Token

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"], responses=problems.RESPONSES)

Managing = Annotated[Person, Depends(Needs("manage_tokens"))]


class NewToken(BaseModel):
    annex: Annotated[str, Field(max_length=63)]
    role: Literal["counter", "kiosk", "tablet", "server"] = "counter"
    devices: Annotated[int, Field(ge=1, le=500)] = 1
    hours: Annotated[float, Field(gt=0, le=14 * 24)] = 72

    model_config = {"json_schema_extra": {"examples": [{"annex": "berkane-1", "role": "counter", "devices": 5}]}}


class TokenOut(BaseModel):
    id: str
    annex: str
    role: str
    devices: int
    used: int
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    text: str | None = None
    """What a device types to enrol; only in the answer that creates it."""


class TokenPage(BaseModel):
    items: list[TokenOut]


@router.get("")
def list_tokens(person: Managing, db: Db) -> TokenPage:
    """Tokens for the annexes in your sight, newest first, without their secrets."""
    confined = None if person.scope.annexes is None else sorted(person.scope.annexes)
    return TokenPage(items=[_out(token) for token in tokens.listing(db, annex_ids=confined)])


@router.post("", status_code=201)
def create_token(new: NewToken, person: Managing, home: HomeOf, once: OnceOf, now: Now) -> TokenOut:
    """Make a token.  Its text is shown in this answer and never again.

    With an `Idempotency-Key` a repeat within a day makes none and answers the same.
    """
    pin = authority.load(home).pin

    def work(db: Session) -> dict[str, Any]:
        return _make(db, new, person, home=home, pin=pin, now=now).model_dump(mode="json")

    return TokenOut.model_validate(once.do(person, new.model_dump(), work, now=now))


@router.delete("/{token_id}", status_code=204)
def revoke_token(token_id: str, person: Managing, db: WritingDb, now: Now) -> None:
    """Let no further device in by it; those that came in stay."""
    token = tokens.find(db, token_id)
    if token is None or not person.scope.covers(token.annex_id):
        raise TokenUnknown
    if tokens.revoke(db, token_id, now):
        audit.add(
            db, now=now, actor=person.name, via=person.via, act="token.revoke", subject=f"token:{token_id}",
            annex_id=token.annex_id,
        )  # fmt: skip


def _make(db: Session, new: NewToken, person: Person, *, home: Home, pin: str, now: datetime) -> TokenOut:
    annex = annexes.get(db, person.scope, new.annex)
    text = making.create(
        db,
        annex_id=annex.id,
        role=new.role,
        max_devices=new.devices,
        expires_at=now + timedelta(hours=new.hours),
        created_by=person.name,
        via=person.via,
        enrol_url=home.enrol_url,
        authority_pin=pin,
        now=now,
    )
    token = tokens.find(db, decode_token(text).id)
    assert token is not None, "made in this very transaction"
    return _out(token).model_copy(update={"text": text})


def _out(token: Token) -> TokenOut:
    return TokenOut(
        id=token.id, annex=token.annex_id, role=token.role, devices=token.max_devices, used=token.used,
        created_at=token.created_at, created_by=token.created_by, expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )  # fmt: skip
