"""A token -> the device's own certificate, and the next certificate for the last one.

Runs in a process of its own that ends (`annexfleet-agent enrol` and `renew`), so that what it imports weighs nothing in
the resident one.  Whom to trust is settled before anything is said: the authority comes over a connection that trusts
nobody, is believed only if its key is the one that the token names, and all the rest goes over a second connection that
trusts it alone.

The new key is on disk before its request is sent, and the pair in force is replaced only when the new one is whole.  An
answer that got lost is asked for again with the same key: run the same command again.
"""

import os
import platform
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import Struct

from annexfleet_agent import __version__, identity
from annexfleet_agent.pinned_https import (
    EXIT_ALREADY,
    EXIT_DONE,
    EXIT_FILES,
    EXIT_REFUSED,
    EXIT_TOKEN_WRONG,
    EnrolmentFailed,
    PinnedController,
    day,
)
from annexfleet_agent.protocol import enrolment as wire
from annexfleet_agent.runner import keys


class RunnerPlace(Struct, frozen=True):
    """Where the runner keeps what it trusts."""

    directory: Path
    is_own: bool
    """Whether it acts as this very user: then enrolment writes there.  A runner of root's is asked for its public key
    only, and `annexfleet-agent runner trust` does the rest."""


def main_enrol(
    token: str,
    *,
    state_dir: Path,
    name: str = "",
    role: str = "",
    again: bool = False,
    runner: RunnerPlace | None = None,
) -> int:
    """`annexfleet-agent enrol`: prints what became of it and returns the exit code."""

    def work() -> str:
        enrolled = enrol(token, state_dir / "identity", name=name, role=role, again=again, runner=runner)
        return f"Enrolled as {enrolled.device_id} in annex {enrolled.annex_id} (role: {enrolled.role})."

    return _told(work)


def main_renew(*, state_dir: Path, runner: RunnerPlace | None = None) -> int:
    """`annexfleet-agent renew`: prints what became of it and returns the exit code."""

    def work() -> str:
        enrolled = renew(state_dir / "identity", runner=runner)
        return f"Renewed until {day(enrolled.expires_at)}."

    return _told(work)


def enrol(
    text: str,
    directory: Path,
    *,
    name: str = "",
    role: str = "",
    again: bool = False,
    hardware: tuple[str, str] | None = None,
    runner: RunnerPlace | None = None,
) -> wire.Enrolled:
    """Make a key, have it certified, and write the identity into this directory.

    `name` is what people will see, by default the machine's; `hardware` its serial number and model, by default what
    the machine says.  `runner`: None if this device takes no commands.  Raises EnrolmentFailed.
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
    controller = PinnedController.pinned(token.enrol_url, token.authority_pin)
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
        agent_version=__version__,
        exchange_key=_exchange_key(runner),
    )
    body = msgspec.json.encode(request)
    proof = Ed25519PrivateKey.from_private_bytes(token.seed).sign(wire.ENROL_PURPOSE + body)
    enrolled = controller.ask(wire.ENROL_PATH, wire.Signed(body=body, proof=proof), wire.Enrolled)
    _put_in_force(
        directory, slot, key, enrolled, token.enrol_url,
        authority=controller.authority, previous="", exchange_key=request.exchange_key,
    )  # fmt: skip
    _remember(runner, enrolled, controller.authority)
    return enrolled


def renew(directory: Path, *, runner: RunnerPlace | None = None) -> wire.Enrolled:
    """Have a new key certified under the same name, by proof of the old one.

    `runner`: as for `enrol`.  Raises EnrolmentFailed.
    """
    current = _current(directory)
    if current is None:
        raise EnrolmentFailed(
            "This machine is not enrolled: use `annexfleet-agent enrol -` and paste a token.", EXIT_ALREADY
        )
    try:
        held = identity.pair(directory, current.slot)
        authority = held.authority.read_text(encoding="ascii")
        old_key = _load_key(held.key)
        certificate = x509.load_pem_x509_certificates(held.certificate.read_bytes())[0]
    except (OSError, ValueError, TypeError) as error:
        raise EnrolmentFailed(
            f"The identity in {directory} cannot be read ({error}). Enrol with a new token and --again.", EXIT_FILES
        ) from error
    controller = PinnedController(current.enrol_url, authority)
    slot, key = _pending_key(directory, current, current.device_id)
    request = wire.RenewRequest(
        nonce=controller.nonce(),
        csr=_csr(key),
        certificate=certificate.public_bytes(Encoding.PEM).decode(),
        exchange_key=_exchange_key(runner),
    )
    body = msgspec.json.encode(request)
    proof = old_key.sign(wire.RENEW_PURPOSE + body, ec.ECDSA(hashes.SHA256()))
    enrolled = controller.ask(wire.RENEW_PATH, wire.Signed(body=body, proof=proof), wire.Enrolled)
    _put_in_force(
        directory, slot, key, enrolled, current.enrol_url,
        authority=controller.authority, previous=current.slot, exchange_key=request.exchange_key,
    )  # fmt: skip
    _remember(runner, enrolled, controller.authority)
    return enrolled


# -- the runner's part ------------------------------------------------------------------------------------------------


def _exchange_key(runner: RunnerPlace | None) -> bytes:
    """Its public half, 32 bytes, made when missing; empty if there is no runner, or root has made none yet."""
    if runner is None:
        return b""
    if not runner.is_own:
        return keys.told(runner.directory)
    try:
        return keys.ensure(runner.directory)
    except OSError as error:
        raise _not_writable(error) from error


def _remember(runner: RunnerPlace | None, enrolled: wire.Enrolled, authority: str) -> None:
    """Write whom the runner obeys.  A bad key set spoils nothing: an envelope brings the next."""
    if runner is None or not runner.is_own:
        return
    try:
        try:
            keys.remember(runner.directory, device_id=enrolled.device_id, root=authority, signed=enrolled.command_keys)
        except keys.KeySetWrong as error:
            print(f"The controller's command keys are not taken: {error}.", file=sys.stderr)  # noqa: T201
            keys.remember(runner.directory, device_id=enrolled.device_id, root=authority, signed=None)
    except OSError as error:
        raise _not_writable(error) from error


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
    authority: str,
    previous: str,
    exchange_key: bytes,
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
            # Without command keys the controller has not taken it: an older one, or it has none yet.
            exchange_key="" if enrolled.command_keys is None else exchange_key.hex(),
        )
        fits = leaf.public_key() == key.public_key()
    except ValueError as error:
        raise EnrolmentFailed(f"The controller gave a certificate that cannot be read: {error}", EXIT_REFUSED) from None
    if not fits:
        raise EnrolmentFailed("The controller gave a certificate for another key.", EXIT_REFUSED)
    try:
        # The one that the token names, and never a text that came with an answer.
        _write(directory / slot / "authority.pem", authority.encode())
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
