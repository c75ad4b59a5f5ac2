"""Doing a thing once though it is asked twice: the Idempotency-Key of a POST.

The first answer is kept for a day, in the same transaction as what it did, and given again to the same caller.  It
may hold a secret that is shown once, so it is sealed under the caller's own credential and key, which this database
does not hold.

A form of a page that makes something bears a number instead (`Sending`): sent again it is refused, and nothing is kept.
"""

import hashlib
import json
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Depends, Header, Request
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from annexfleet_controller.access import sessions
from annexfleet_controller.access.errors import IdempotencyKeyReused, MadeAlready
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import Conflict
from annexfleet_controller.store import people
from annexfleet_controller.store.database import writing

KEPT_FOR = timedelta(hours=24)
_NONCE_BYTES = 12

Answer = dict[str, Any]


class Once:
    """The wish of one request to be carried out at most once."""

    def __init__(self, engine: Engine, route: str, key: str, credential: str) -> None:
        self._engine = engine
        self._route = route
        self._key = key
        self._credential = credential

    def do(self, person: Person, asked: Answer, work: Callable[[Session], Answer], *, now: datetime) -> Answer:
        """Carry out `work` in a transaction, or answer as the first time.

        Raises IdempotencyKeyReused if the key came with another request, and Conflict if the first one is still at it.
        """
        with writing(self._engine) as db:
            if not self._key:
                return work(db)
            digest = _digest(str(person.user_id), self._route, self._key)
            request_digest = _digest(json.dumps(asked, sort_keys=True, default=str))
            kept = people.answer(db, digest)
            if kept is not None and kept.created_at > now - KEPT_FOR:
                if kept.request_digest != request_digest:
                    raise IdempotencyKeyReused
                return self._open(kept.sealed)
            if kept is not None:
                people.drop_answer(db, digest)
            answer = work(db)
            try:
                people.keep_answer(
                    db, digest=digest, request_digest=request_digest, status=201, sealed=self._seal(answer), now=now
                )
            except IntegrityError:
                raise Conflict("the same request is being carried out") from None
            return answer

    def _seal(self, answer: Answer) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._sealing_key()).encrypt(nonce, json.dumps(answer).encode(), None)

    def _open(self, sealed: bytes) -> Answer:
        try:
            plain = AESGCM(self._sealing_key()).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag:  # the same person with another session or key: it was done, and cannot be shown again
            raise IdempotencyKeyReused from None
        answer: Answer = json.loads(plain)
        return answer

    def _sealing_key(self) -> bytes:
        return bytes.fromhex(_digest("annexfleet idempotent answer", self._credential, self._key))


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _once(
    request: Request, idempotency_key: Annotated[str, Header(max_length=200, description="Any text of your own")] = ""
) -> Once:
    settings = request.app.state.home.settings
    credential = request.headers.get("authorization", "") or request.cookies.get(sessions.cookie_name(settings), "")
    return Once(request.app.state.engine, f"{request.method} {request.url.path}", idempotency_key, credential)


FORM_FIELD = "once"
"""In forms whose answer shows a secret: another number each time such a form is shown."""


class Sending:
    """A form that makes something, sent by a browser, which sends it again where its answer is loaded anew."""

    def __init__(self, route: str, number: str) -> None:
        self._route = route
        self._number = number

    def claim(self, db: Session, person: Person, *, now: datetime) -> None:
        """To be called in the transaction of the act, which is then carried out once.

        Raises MadeAlready for a form that was carried out before.  One without a number is carried out each time.
        """
        if not self._number:
            return
        digest = _digest("form", str(person.user_id), self._route, self._number)
        if people.answer(db, digest) is not None:
            raise MadeAlready
        try:
            people.keep_answer(db, digest=digest, request_digest=digest, status=201, sealed=b"", now=now)
        except IntegrityError:
            raise MadeAlready from None


async def _sending(request: Request) -> Sending:
    number = (await request.form()).get(FORM_FIELD, "")  # parsed once and kept by the request
    return Sending(request.url.path, number[:200] if isinstance(number, str) else "")


def new_number() -> str:
    """For the field of a form that is shown."""
    return secrets.token_urlsafe(_NONCE_BYTES)


SendingOf = Annotated[Sending, Depends(_sending)]
OnceOf = Annotated[Once, Depends(_once)]
