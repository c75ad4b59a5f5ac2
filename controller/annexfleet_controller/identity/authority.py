"""The local authority: a root, a branch for devices, a branch for services, and the certificates they sign.

Everything lies in `authority/` of the home, for the owner's eyes alone:

    root.key root.pem            the root; once both branches stand, root.key may be kept elsewhere
    device-ca.key device-ca.pem  signs devices and the list of revoked ones
    service-ca.key service-ca.pem
    service.key service.pem      the broker's and the enrolment listener's, with the branch's certificate behind it
    device.crl crl-number        the list, and the highest number a list ever had
    canary.pem                   key and certificate that the newest list revokes: proves whether the broker heeds it
    nonce.key                    makes the enrolment's nonces recognisable without keeping them

Devices trust the root alone; a token holds the SHA-256 of its public key.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from annexfleet_agent.protocol.topics import is_device_id
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import AnnexfleetError, SettingsWrong
from annexfleet_controller.identity import certificates, crl, files
from annexfleet_controller.identity.certificates import PrivateKey, PublicKey
from annexfleet_controller.settings import Home

CANARY = "d-canary" + "a" * 20
"""Has the form of a device's name, is no device's, and never comes into the broker."""
SERVICE_RENEWED_BELOW = timedelta(days=60)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = ("", "0.0.0.0", "::", "*")  # noqa: S104  # addresses to listen on, never to connect to


class AuthorityBroken(AnnexfleetError):
    """A file of the authority is missing or cannot be read; nothing is made anew over it."""

    code = "authority_broken"


class ClockWrong(AnnexfleetError):
    """This machine's clock lies before the authority's beginning or after its end: nothing is signed."""

    code = "clock_wrong"


class Issued(NamedTuple):
    """A device's certificate."""

    chain: bytes
    """PEM: the device's own, then the device branch's."""
    serial: int
    issued_at: datetime
    expires_at: datetime


class Authority(NamedTuple):
    """The authority with its keys in memory."""

    path: Path
    root: x509.Certificate
    device_ca: x509.Certificate
    device_key: PrivateKey
    nonce_key: bytes

    @property
    def pin(self) -> str:
        """SHA-256 of the root's public key (SubjectPublicKeyInfo), hexadecimal: what a token pins."""
        return certificates.key_digest(certificates.public_key(self.root))

    @property
    def root_pem(self) -> bytes:
        return certificates.pem(self.root)

    @property
    def crl_path(self) -> Path:
        return self.path / "device.crl"

    @property
    def canary_path(self) -> Path:
        """PEM: a key and its certificate, which the newest list revokes."""
        return self.path / "canary.pem"

    def issue_device(
        self,
        key: PublicKey,
        device_id: str,
        now: datetime,
        *,
        serial: int | None = None,
        lifetime: timedelta = certificates.DEVICE_LIFETIME,
    ) -> Issued:
        """Certify a device's key under a name that the controller chose.

        The same `serial` and `now` give the same certificate once more, for a device that missed the answer.
        Raises ValueError for a name that is none of a device (so never one of the broker's own users), and ClockWrong.
        """
        if not is_device_id(device_id):
            raise ValueError("not the name of a device")
        check_clock(self.device_ca, now)
        certificate = certificates.device(
            key,
            device_id,
            now,
            serial=certificates.new_serial() if serial is None else serial,
            of=self.device_ca,
            signed_with=self.device_key,
            lifetime=lifetime,
        )
        chain = certificates.pem(certificate, self.device_ca)
        return Issued(chain, certificate.serial_number, now, certificate.not_valid_after_utc)

    def publish_crl(
        self, revoked: Mapping[int, datetime] | Callable[[], Mapping[int, datetime]], now: datetime
    ) -> x509.CertificateRevocationList:
        """Write a new list of revoked certificates, with the next number, after having read it back.

        A function is called when nobody else can publish any more: what it gives cannot be older than the last list.
        Each list also revokes a canary made for it alone: a broker that refuses the canary has this very list in force.
        """
        check_clock(self.device_ca, now)
        with files.locked(self.path):
            everybody = revoked() if callable(revoked) else revoked
            return _publish_crl(self.path, self.device_ca, self.device_key, everybody, now)


def ensure(home: Home, names: Sequence[str] | None = None, *, clock: Clock = SYSTEM) -> Authority:
    """The authority and the service certificate, made where missing; called at every start.

    `names` are host names and addresses, besides the settings' own and loopback, by which devices reach this machine:
    the service certificate is made anew when they differ from what it says.  None leaves its names as they are.  It is
    also made anew below 60 days to its end.  Whoever serves with it must then be told (`broker.reload`, a restart).
    Raises AuthorityBroken, ClockWrong, or SettingsWrong for a name that can be no host's.
    """
    now = clock.now()
    path = files.private_directory(home.authority_dir)
    with files.locked(path):
        _make_missing(path, now)
        authority = load(home)
        check_clock(authority.device_ca, now)
        _ensure_service(path, None if names is None else service_names(home, names), service_names(home), now)
    return authority


def load(home: Home) -> Authority:
    """The authority as it stands.  Raises AuthorityBroken, saying which file is at fault."""
    path = home.authority_dir
    authority = Authority(
        path,
        _certificate(path / "root.pem"),
        _certificate(path / "device-ca.pem"),
        _key(path / "device-ca.key"),
        _bytes(path / "nonce.key"),
    )
    if authority.device_key.public_key() != certificates.public_key(authority.device_ca):
        raise AuthorityBroken(f"{path}: device-ca.key does not belong to device-ca.pem")
    return authority


def check_clock(branch: x509.Certificate, now: datetime) -> None:
    """Raises ClockWrong unless `now` lies within the life of this certificate of the authority's."""
    if not branch.not_valid_before_utc <= now <= branch.not_valid_after_utc:
        raise ClockWrong(
            f"this machine's clock says {now:%Y-%m-%d}, but its authority is valid from "
            f"{branch.not_valid_before_utc:%Y-%m-%d} to {branch.not_valid_after_utc:%Y-%m-%d}"
        )


def service_files(home: Home) -> tuple[Path, Path]:
    """The service's certificate chain and key, for the broker and the enrolment listener."""
    return home.authority_dir / "service.pem", home.authority_dir / "service.key"


def service_names(home: Home, names: Sequence[str] = ()) -> list[str]:
    """Every name the service certificate bears, sorted, each once."""
    settings = home.settings
    public = urlsplit(settings.public_url).hostname or ""
    wanted = {*names, settings.broker_host, settings.enrol_host, public, *_LOOPBACK}
    return sorted(name.strip().lower() for name in wanted if name not in _EVERYWHERE)


def _make_missing(path: Path, now: datetime) -> None:
    fresh = not (path / "root.pem").exists()
    if fresh:
        if any((path / name).exists() for name in ("device-ca.pem", "service-ca.pem", "device.crl")):
            raise AuthorityBroken(f"{path}: root.pem is missing while the rest is there; restore it from a backup")
        key = certificates.new_key()
        files.write(path / "root.key", certificates.key_pem(key))
        name = f"annexfleet root {secrets.token_hex(4)}"
        files.write(path / "root.pem", certificates.pem(certificates.root(key, name, now)))
    if not (path / "nonce.key").exists():
        files.write(path / "nonce.key", secrets.token_bytes(32))
    _ensure_branch(path, "service-ca", now, devices=False)
    if _ensure_branch(path, "device-ca", now, devices=True):
        # Only now, as nobody can be revoked yet, is an empty list the truth.  A lost one is made from the database.
        _publish_crl(path, _certificate(path / "device-ca.pem"), _key(path / "device-ca.key"), {}, now)


def _publish_crl(
    path: Path, branch: x509.Certificate, key: PrivateKey, revoked: Mapping[int, datetime], now: datetime
) -> x509.CertificateRevocationList:
    number = _highest_number(path / "crl-number") + 1
    canary_key, serial = certificates.new_key(), certificates.new_serial()
    canary = certificates.device(
        canary_key.public_key(), CANARY, now, serial=serial, of=branch, signed_with=key, lifetime=crl.LIFETIME
    )
    everybody = {**revoked, serial: now}
    content = crl.build(everybody, number, now, of=branch, signed_with=key)
    made = crl.check(content, now, of=branch)
    if crl.number(made) != number or any(made.get_revoked_certificate_by_serial_number(s) is None for s in everybody):
        raise crl.CrlWrong("the new list of revoked certificates does not say what it should")
    # The number first: after a power cut in between one is skipped, and none is used twice.
    files.write(path / "crl-number", str(number).encode())
    files.write(path / "device.crl", content)
    files.write(path / "canary.pem", certificates.key_pem(canary_key) + certificates.pem(canary, branch))
    return made


def _ensure_branch(path: Path, name: str, now: datetime, *, devices: bool) -> bool:
    """Whether it had to be made."""
    file = path / f"{name}.pem"
    if file.exists():
        return False
    root = _certificate(path / "root.pem")
    root_key = _key(path / "root.key")
    key = certificates.new_key()
    # "annexfleet root 1a2b3c4d" -> "annexfleet device-ca 1a2b3c4d": names of branches must differ between authorities
    common_name = root.subject.rfc4514_string().removeprefix("CN=").replace("root", name)
    branch = certificates.branch(key, common_name, now, of=root, signed_with=root_key, devices=devices)
    files.write(path / f"{name}.key", certificates.key_pem(key))
    files.write(file, certificates.pem(branch))
    return True


def _ensure_service(path: Path, names: Sequence[str] | None, usual: Sequence[str], now: datetime) -> None:
    current = _service_names(path)
    try:
        wanted = certificates.general_names(names if names is not None else usual)
    except ValueError as error:
        raise SettingsWrong(f"a name by which devices reach the controller is no host name: {error}") from error
    if names is None and current:
        wanted = current
    if set(wanted) == set(current) and _service_is_good(path, now):
        return
    key = certificates.new_key()
    branch, branch_key = _certificate(path / "service-ca.pem"), _key(path / "service-ca.key")
    made = certificates.service(key, wanted, now, of=branch, signed_with=branch_key)
    # After a power cut in between the two do not match: the next start sees it and makes both again.
    files.write(path / "service.key", certificates.key_pem(key))
    files.write(path / "service.pem", certificates.pem(made, branch))


def _service_names(path: Path) -> list[x509.GeneralName]:
    """What the service certificate stands for; nothing if there is none."""
    try:
        current = _certificate(path / "service.pem")
    except AuthorityBroken:
        return []
    return list(current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def _service_is_good(path: Path, now: datetime) -> bool:
    try:
        current = _certificate(path / "service.pem")
        key = _key(path / "service.key")
        current.verify_directly_issued_by(_certificate(path / "service-ca.pem"))
    except (AuthorityBroken, ValueError, InvalidSignature):
        return False
    return (
        key.public_key() == current.public_key()
        and current.not_valid_before_utc <= now
        and now + SERVICE_RENEWED_BELOW < current.not_valid_after_utc
    )


def _highest_number(file: Path) -> int:
    try:
        return int(file.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
    except ValueError as error:
        raise AuthorityBroken(f"{file}: holds no number") from error


def _certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_bytes(file))
    except ValueError as error:
        raise AuthorityBroken(f"{file}: holds no certificate") from error


def _key(file: Path) -> PrivateKey:
    try:
        key = load_pem_private_key(_bytes(file), None)
    except (ValueError, TypeError) as error:
        raise AuthorityBroken(f"{file}: holds no key") from error
    if not isinstance(key, PrivateKey):
        raise AuthorityBroken(f"{file}: holds a key of another kind")
    return key


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise AuthorityBroken(f"{file}: {error.strerror}") from error
