"""The listener for devices that have no certificate yet, or whose certificate has ended.

Three addresses and nothing else: POST /enrol/nonce, /enrol and /enrol/renew.  It is served over TLS with the service
certificate; errors are RFC 9457 problems whose `code` is stable.
"""

import ipaddress
import logging
from collections import OrderedDict
from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from sqlalchemy import Engine
from starlette.exceptions import HTTPException

from annexfleet_agent.protocol import envelope
from annexfleet_agent.protocol.enrolment import ENROL_PATH, MAX_REQUEST_BYTES, NONCE_PATH, RENEW_PATH, Nonce, Signed
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.identity import authority as authorities
from annexfleet_controller.identity import enrolment, signing
from annexfleet_controller.identity.enrolment import Refused
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import open_database

log = logging.getLogger(__name__)

REQUESTS_A_MINUTE = 60
"""From one address.  A device needs three, and an annex of a dozen devices may stand behind one address."""
_ADDRESSES_REMEMBERED = 10_000
_OWN_ADDRESSES = ("127.0.0.1", "::1")
"""Programs of this very machine, such as the simulator with its many devices, are not slowed down."""


class RateLimit:
    """At most so many requests a minute from one address, counted in whole minutes.  Remembers so many addresses.

    Of IPv6 the network (/64) counts: whoever has one address of it has 2**64.
    """

    def __init__(self, a_minute: int, clock: Clock) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def admits(self, address: str) -> bool:
        minute = int(self._clock.mono() // 60)
        asker = _asker(address)
        then, count = self._seen.pop(asker, (minute, 0))
        count = count + 1 if then == minute else 1
        self._seen[asker] = (minute, count)
        while len(self._seen) > _ADDRESSES_REMEMBERED:
            self._seen.popitem(last=False)
        return count <= self._a_minute


def create_enrol(home: Home, *, engine: Engine | None = None, clock: Clock = SYSTEM) -> FastAPI:
    """The application; the authority must stand (`authority.ensure`) and the database be of this version."""
    database = engine if engine is not None else open_database(home.database_url)
    authority = authorities.load(home)
    known = (database, authority, home.settings)
    limit = RateLimit(REQUESTS_A_MINUTE, clock)
    app = FastAPI(title="annexfleet enrolment", docs_url=None, redoc_url=None, openapi_url=None)

    async def body(request: Request) -> bytes:
        # Counted here and not in a worker thread: the loop's own thread needs no lock.
        address = request.client.host if request.client else ""
        if address not in _OWN_ADDRESSES and not limit.admits(address):
            raise Refused("too_many_requests")
        return await _read(request)

    Body = Annotated[bytes, Depends(body)]  # noqa: N806  # a type

    @app.post(NONCE_PATH)
    def nonce(_empty: Body) -> Response:
        now = clock.now()
        made = enrolment.new_nonce(authority.nonce_key, now)
        return _json(Nonce(nonce=made, time=now.timestamp(), authority=authority.root_pem.decode()))

    @app.post(ENROL_PATH)
    def enrol(content: Body) -> Response:
        enrolled = enrolment.enrol(*known, _signed(content), clock.now(), command_keys=_command_keys(home))
        log.info("device enrolled device=%s annex=%s role=%s", enrolled.device_id, enrolled.annex_id, enrolled.role)
        return _json(enrolled)

    @app.post(RENEW_PATH)
    def renew(content: Body) -> Response:
        enrolled = enrolment.renew(*known, _signed(content), clock.now(), command_keys=_command_keys(home))
        log.info("certificate renewed device=%s", enrolled.device_id)
        return _json(enrolled)

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> Response:
        log.warning(
            "enrolment refused address=%s path=%s code=%s",
            request.client.host if request.client else "",
            request.url.path,
            error.code,
        )
        return _problem(error.status, error.code, str(error))

    @app.exception_handler(authorities.ClockWrong)
    def clock_wrong(_request: Request, error: authorities.ClockWrong) -> Response:
        log.error("nothing is signed reason=%s", error)
        refusal = Refused("clock_wrong")
        return _problem(refusal.status, refusal.code, str(refusal))

    @app.exception_handler(HTTPException)
    def not_here(_request: Request, error: HTTPException) -> Response:
        return _problem(error.status_code, "not_found" if error.status_code == 404 else "refused", str(error.detail))

    @app.exception_handler(Exception)
    def failed(_request: Request, _error: Exception) -> Response:
        return _problem(500, "error", "The controller failed at this; its log tells more.")

    return app


def _command_keys(home: Home) -> envelope.Signed | None:
    """As they stand now: they may have been rotated.  Keys that cannot be read must not keep a device out."""
    try:
        return signing.published(home)
    except signing.SigningBroken as error:
        log.error("devices learn of no command keys reason=%s", error)  # noqa: TRY400  # a sentence for a person
        return None


def _asker(address: str) -> str:
    """Who counts as one."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return known.packed[:8].hex()


async def _read(request: Request) -> bytes:
    """The body, unless it is longer than any request is."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_REQUEST_BYTES:
            raise Refused("too_big")
    return bytes(content)


def _signed(content: bytes) -> Signed:
    try:
        return msgspec.json.decode(content, type=Signed)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused("malformed") from None


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json", headers={"Cache-Control": "no-store"})


def _problem(status: int, code: str, detail: str) -> Response:
    content = {
        "type": f"urn:annexfleet:problem:{code}",
        "title": code,
        "status": status,
        "code": code,
        "detail": detail,
    }
    headers = {"Retry-After": "60"} if status == 429 else {}
    return Response(msgspec.json.encode(content), status, headers, media_type="application/problem+json")
