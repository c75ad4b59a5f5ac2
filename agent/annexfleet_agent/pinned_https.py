"""The enrolment listener as a device asks it: HTTPS that trusts one authority, the one that a token names.

Whatever goes wrong becomes an EnrolmentFailed, whose sentence says what to do and which has its own exit code.
"""

import hashlib
import http.client
import secrets
import ssl
import time
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from annexfleet_agent.protocol import enrolment as wire

TIMEOUT_S = 20.0
_MAX_ANSWER_BYTES = 64 * 1024
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAMES = (62, 64)
"""X509_V_ERR_*: of a host name and of an address."""
_CLOCK_MATTERS_S = 300

Answer = TypeVar("Answer")

EXIT_DONE = 0
EXIT_TOKEN_WRONG = 2
EXIT_REFUSED = 3
EXIT_UNREACHABLE = 4
EXIT_WRONG_AUTHORITY = 5
EXIT_CLOCK_WRONG = 6
EXIT_ALREADY = 7
EXIT_FILES = 8


class EnrolmentFailed(Exception):
    """Why it did not work, in a sentence that says what to do, and the exit code for it."""

    def __init__(self, sentence: str, exit_code: int, code: str = "") -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
        self.code = code
        """The controller's, if it was the controller who refused."""


class PinnedController:
    """The enrolment listener, trusted through this authority (PEM) alone."""

    def __init__(self, url: str, authority: str, clock_ahead_s: float | None = None) -> None:
        self._url = url
        self.authority = authority
        self._clock_ahead_s = clock_ahead_s
        """How far this machine's clock is ahead of the controller's; None if nobody told."""
        self._context = ssl.create_default_context(cadata=authority)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    @classmethod
    def pinned(cls, url: str, pin: bytes) -> "PinnedController":
        """Ask whoever answers for the authority, and believe it only if its key has this SHA-256."""
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        nobody.check_hostname = False
        nobody.verify_mode = ssl.CERT_NONE
        answer = _decoded(_post(url, wire.NONCE_PATH, b"", nobody), wire.Nonce)
        try:
            root = x509.load_pem_x509_certificate(answer.authority.encode())
            spki = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except ValueError:
            spki = b""
        if not secrets.compare_digest(hashlib.sha256(spki).digest(), pin):
            raise EnrolmentFailed(
                f"The controller at {url} has another authority than the one this token names. Either somebody stands "
                "between, or the controller was set up anew: tell the administrator, and do not go on.",
                EXIT_WRONG_AUTHORITY,
            )
        # Only the certificate that was checked: whatever else stood in the answer would be trusted just as well.
        return cls(url, root.public_bytes(Encoding.PEM).decode(), time.time() - answer.time)

    def nonce(self) -> str:
        return _decoded(self._post(wire.NONCE_PATH, b""), wire.Nonce).nonce

    def ask(self, path: str, request: wire.Signed, kind: type[Answer]) -> Answer:
        return _decoded(self._post(path, msgspec.json.encode(request)), kind)

    def _post(self, path: str, body: bytes) -> bytes:
        try:
            return _post(self._url, path, body, self._context)
        except ssl.SSLCertVerificationError as error:
            raise self._distrust(error) from error

    def _distrust(self, error: ssl.SSLCertVerificationError) -> EnrolmentFailed:
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            ahead_s = self._clock_ahead_s
            if ahead_s is None:
                ahead_s = _clock_ahead_s(self._url)
            if ahead_s is not None and abs(ahead_s) > _CLOCK_MATTERS_S:
                return EnrolmentFailed(
                    f"This machine's clock is {_span(ahead_s)}: it says {day(time.time())}, the controller "
                    f"{day(time.time() - ahead_s)}. Set it and try again.",
                    EXIT_CLOCK_WRONG,
                )
            return EnrolmentFailed(
                f"The certificate of the controller at {self._url} is out of date: tell the administrator to restart "
                "it, which renews it.",
                EXIT_WRONG_AUTHORITY,
            )
        if error.verify_code in _WRONG_NAMES:
            return EnrolmentFailed(
                f"The controller at {self._url} cannot show that this is its name. Tell the administrator to add it "
                "to the controller's settings.",
                EXIT_WRONG_AUTHORITY,
            )
        return EnrolmentFailed(
            f"What answers at {self._url} is not certified by the authority this device trusts "
            f"({error.verify_message}). Somebody may stand between: tell the administrator.",
            EXIT_WRONG_AUTHORITY,
        )


def _post(url: str, path: str, body: bytes, context: ssl.SSLContext) -> bytes:
    """The answer's body.  Raises EnrolmentFailed, or SSLCertVerificationError for who answered."""
    try:
        address = urlsplit(url)
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port or 443, timeout=TIMEOUT_S, context=context
        )
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read(_MAX_ANSWER_BYTES + 1)
        finally:
            connection.close()
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EnrolmentFailed(
            f"The controller at {url} cannot be reached ({error or type(error).__name__}). Check the network and that "
            "it runs.",
            EXIT_UNREACHABLE,
        ) from error
    if answer.status == http.HTTPStatus.OK and len(content) <= _MAX_ANSWER_BYTES:
        return content
    try:
        problem = msgspec.json.decode(content, type=wire.Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EnrolmentFailed(
            f"What answers at {url} is no controller: it said {answer.status} {answer.reason}.", EXIT_UNREACHABLE
        ) from None
    raise EnrolmentFailed(f"The controller refused: {problem.detail} ({problem.code})", EXIT_REFUSED, problem.code)


def _decoded(content: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EnrolmentFailed("The controller gave an answer that cannot be read.", EXIT_UNREACHABLE) from error


def _clock_ahead_s(url: str) -> float | None:
    """How far this clock is ahead of the controller's, as whoever answers there says: good for a hint only."""
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname = False
    nobody.verify_mode = ssl.CERT_NONE
    try:
        return time.time() - _decoded(_post(url, wire.NONCE_PATH, b"", nobody), wire.Nonce).time
    except (EnrolmentFailed, ssl.SSLError):
        return None


def day(unix: float) -> str:
    """`2027-01-31 08:00 UTC`"""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(unix))


def _span(ahead_s: float) -> str:
    """`365 days ahead`, `3 hours behind`."""
    side = "ahead" if ahead_s > 0 else "behind"
    for unit_s, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if abs(ahead_s) >= 2 * unit_s:
            return f"{abs(ahead_s) / unit_s:.0f} {unit} {side}"
    return f"{abs(ahead_s):.0f} seconds {side}"
