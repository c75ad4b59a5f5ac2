"""A token -> the device's own certificate, and the next certificate for the last one.

Runs in a process of its own that ends (`annexfleet-agent enrol` and `renew`), so that what it imports weighs nothing in
the resident one.  Whom to trust is settled before anything is said: the authority comes over a connection that trusts
nobody, is believed only if its key is the one that the token names, and all the rest goes over a second connection that
trusts it alone.

The new key is on disk before its request is sent, and the pair in force is replaced only when the new one is whole.  An
answer that got lost is asked for again with the same key: run the same command again.
"""

import hashlib
import http.client
import os
import platform
import secrets
import shutil
import ssl
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from annexfleet_agent import identity
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


def main_enrol(token: str, *, state_dir: Path, name: str = "", role: str = "", again: bool = False) -> int:
    """`annexfleet-agent enrol`: prints what became of it and returns the exit code."""

    def work() -> str:
        enrolled = enrol(token, state_dir / "identity", name=name, role=role, again=again)
        return f"Enrolled as {enrolled.device_id} in annex {enrolled.annex_id} (role: {enrolled.role})."

    return _told(work)


def main_renew(*, state_dir: Path) -> int:
    """`annexfleet-agent renew`: prints what became of it and returns the exit code."""

    def work() -> str:
        enrolled = renew(state_dir / "identity")
        return f"Renewed until {_day(enrolled.expires_at)}."

    return _told(work)


def enrol(
    text: str,
    directory: Path,
    *,
    name: str = "",
    role: str = "",
    again: bool = False,
    hardware: tuple[str, str] | None = None,
) -> wire.Enrolled:
    """Make a key, have it certified, and write the identity into this directory.

    `name` is what people will see, by default the machine's; `hardware` its serial number and model, by default what
    the machine says.  Raises EnrolmentFailed.
    """
    try:
        token = wire.decode_token(text)
    except wire.TokenWrong as error:
        raise EnrolmentFailed(f"This is not a whole token: {error}.", EXIT_TOKEN_WRONG) from None
    current = _current(directory, broken_is_none=again)
    if current is not None and not again:
        raise EnrolmentFailed(
            f"This machine is already enrolled as {current.device_id}. To enrol it as a new device, add --again.",
            EXIT_ALREADY,
        )
    _private_directory(directory)
    controller = _Controller.pinned(token.enrol_url, token.authority_pin)
    slot, key = _pending_key(directory, current, token.id)
    serial, model = hardware or _hardware()
    request = wire.EnrolRequest(
        token_id=token.id,
        nonce=controller.nonce(),
        csr=_csr(key),
        name=(name or platform.node())[:120],
        role=role,
        hardware_serial=serial,
        model=model,
        agent_version=version("annexfleet-agent"),
    )
    body = msgspec.json.encode(request)
    proof = Ed25519PrivateKey.from_private_bytes(token.seed).sign(wire.ENROL_PURPOSE + body)
    enrolled = controller.ask(wire.ENROL_PATH, wire.Signed(body=body, proof=proof), wire.Enrolled)
    _put_in_force(directory, slot, key, enrolled, token.enrol_url, previous="")
    return enrolled


def renew(directory: Path) -> wire.Enrolled:
    """Have a new key certified under the same name, by proof of the old one.  Raises EnrolmentFailed."""
    current = _current(directory)
    if current is None:
        raise EnrolmentFailed("This machine is not enrolled: use `annexfleet-agent enrol TOKEN`.", EXIT_ALREADY)
    try:
        held = identity.pair(directory, current.slot)
        authority = held.authority.read_text(encoding="ascii")
        old_key = _load_key(held.key)
        certificate = x509.load_pem_x509_certificates(held.certificate.read_bytes())[0]
    except (OSError, ValueError, TypeError) as error:
        raise EnrolmentFailed(
            f"The identity in {directory} cannot be read ({error}). Enrol with a new token and --again.", EXIT_FILES
        ) from error
    controller = _Controller(current.enrol_url, authority)
    slot, key = _pending_key(directory, current, current.device_id)
    request = wire.RenewRequest(
        nonce=controller.nonce(), csr=_csr(key), certificate=certificate.public_bytes(Encoding.PEM).decode()
    )
    body = msgspec.json.encode(request)
    proof = old_key.sign(wire.RENEW_PURPOSE + body, ec.ECDSA(hashes.SHA256()))
    enrolled = controller.ask(wire.RENEW_PATH, wire.Signed(body=body, proof=proof), wire.Enrolled)
    _put_in_force(directory, slot, key, enrolled, current.enrol_url, previous=current.slot)
    return enrolled


class _Controller:
    """The enrolment listener, trusted through this authority alone."""

    def __init__(self, url: str, authority: str, clock_ahead_s: float | None = None) -> None:
        self._url = url
        self._clock_ahead_s = clock_ahead_s
        """How far this machine's clock is ahead of the controller's; None if nobody told."""
        self._context = ssl.create_default_context(cadata=authority)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    @classmethod
    def pinned(cls, url: str, pin: bytes) -> "_Controller":
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
        return cls(url, answer.authority, time.time() - answer.time)

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
                    f"This machine's clock is {_span(ahead_s)}: it says {_day(time.time())}, the controller "
                    f"{_day(time.time() - ahead_s)}. Set it and try again.",
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


# -- keys and files ---------------------------------------------------------------------------------------------------


def _current(directory: Path, *, broken_is_none: bool = False) -> identity.Record | None:
    try:
        return identity.read(directory)
    except identity.IdentityBroken as error:
        if broken_is_none:
            return None
        raise EnrolmentFailed(str(error), EXIT_FILES) from error


def _pending_key(
    directory: Path, current: identity.Record | None, purpose: str
) -> tuple[str, ec.EllipticCurvePrivateKey]:
    """The slot that is not in force, and its key: the one that waits for this purpose's answer, or a new one."""
    slot = next(slot for slot in identity.SLOTS if current is None or slot != current.slot)
    place = directory / slot
    key_file, purpose_file = place / "device.key", place / "pending"
    try:
        if purpose_file.read_text(encoding="utf-8") == purpose:
            return slot, _load_key(key_file)
    except (OSError, ValueError, TypeError):
        pass  # nothing waits, or it was cut short: a new key does as well
    if current is not None and current.previous_slot:
        # The older pair goes now, so nothing may point at it any more.
        _write_record(directory, msgspec.structs.replace(current, previous_slot=""))
    shutil.rmtree(place, ignore_errors=True)
    _private_directory(place)
    key = ec.generate_private_key(ec.SECP256R1())
    _write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _write(purpose_file, purpose.encode())
    return slot, key


def _put_in_force(
    directory: Path,
    slot: str,
    key: ec.EllipticCurvePrivateKey,
    enrolled: wire.Enrolled,
    enrol_url: str,
    *,
    previous: str,
) -> None:
    try:
        leaf = x509.load_pem_x509_certificates(enrolled.chain.encode())[0]
        record = identity.Record(
            device_id=enrolled.device_id,
            broker_host=enrolled.broker_host,
            broker_port=enrolled.broker_port,
            enrol_url=enrol_url,
            slot=slot,
            previous_slot=previous,
            expires_at=enrolled.expires_at,
            renew_at=enrolled.renew_at,
        )
        fits = leaf.public_key() == key.public_key()
    except ValueError as error:
        raise EnrolmentFailed(f"The controller gave a certificate that cannot be read: {error}", EXIT_REFUSED) from None
    if not fits:
        raise EnrolmentFailed("The controller gave a certificate for another key.", EXIT_REFUSED)
    try:
        # Both answers came over a connection that trusts this very authority.
        _write(directory / slot / "authority.pem", enrolled.authority.encode())
        _write(directory / slot / "device.pem", enrolled.chain.encode())
        _write_record(directory, record)
        (directory / slot / "pending").unlink(missing_ok=True)
    except OSError as error:
        raise _not_writable(error) from error


def _write_record(directory: Path, record: identity.Record) -> None:
    _write(identity.path(directory), msgspec.json.format(msgspec.json.encode(record)) + b"\n")


def _write(file: Path, content: bytes) -> None:
    """Replace in one step; readable by the owner alone."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _not_writable(error) from error


def _private_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise _not_writable(error) from error


def _not_writable(error: OSError) -> EnrolmentFailed:
    return EnrolmentFailed(
        f"{error.filename}: {error.strerror}. Run this as the user that the agent runs as, or free some space.",
        EXIT_FILES,
    )


def _load_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{file} holds a key of another kind")  # noqa: TRY004  # a wrong content, not a wrong argument
    return key


def _csr(key: ec.EllipticCurvePrivateKey) -> str:
    """A request whose subject is empty: the controller chooses the name."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def _hardware() -> tuple[str, str]:
    """Serial number and model as the firmware says; empty where it does not, or only to root."""
    return (
        _first_line("/sys/class/dmi/id/product_serial", "/proc/device-tree/serial-number")[:120],
        _first_line("/sys/class/dmi/id/product_name", "/proc/device-tree/model")[:200],
    )


def _first_line(*files: str) -> str:
    for file in files:
        try:
            return Path(file).read_text(encoding="utf-8", errors="replace").replace("\0", "").strip()
        except OSError:
            continue
    return ""


# -- telling ----------------------------------------------------------------------------------------------------------


def _told(work: Callable[[], str]) -> int:
    try:
        print(work())  # noqa: T201  # a command's answer
    except EnrolmentFailed as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return EXIT_DONE


def _day(unix: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(unix))


def _span(ahead_s: float) -> str:
    """`365 days ahead`, `3 hours behind`."""
    side = "ahead" if ahead_s > 0 else "behind"
    for unit_s, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if abs(ahead_s) >= 2 * unit_s:
            return f"{abs(ahead_s) / unit_s:.0f} {unit} {side}"
    return f"{abs(ahead_s):.0f} seconds {side}"
