"""The broker's configuration: mosquitto with a mutually authenticated listener, and a local socket for the controller.

`write` puts everything that mosquitto reads into `mosquitto/` of the home.  The broker is a wire and keeps nothing on
disk: what must not be lost waits in the devices' outboxes and in the controller's database.
"""

import base64
import hashlib
import logging
import os
import pwd
import secrets
import signal
from pathlib import Path

from sqlalchemy import Engine

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.identity import authority, certificates, crl, files, revoked
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import open_database

log = logging.getLogger(__name__)

CONTROLLER = "svc-controller"
KICKER = "svc-kicker"
"""Takes over a device's session to end it; may neither say nor hear anything."""

_LONGEST_SOCKET_PATH = 107
"""bytes; sockaddr_un on Linux"""

_CONFIGURATION = """\
# Written by the controller at each start; changes made here are lost.
{user}pid_file {directory}/mosquitto.pid
log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
# One line a connection would tell an annex's whole day; devices say hello to the controller anyway.
connection_messages false

per_listener_settings false
allow_anonymous false
# only for the users of the local socket
password_file {directory}/passwords
acl_file {directory}/acl

# a wire, not a store
persistence false
# What is retained would be told again at each start of ingest, as if it were new.
retain_available false
# The wire's limit is 64 KiB; oversize packets cost the sender its connection.
max_packet_size 131072
max_inflight_messages 1000
# Above this messages are dropped although they were acknowledged; devices send them again.
max_queued_messages 100000
max_queued_bytes 134217728
max_keepalive 120
# 88 -> 383 connections a second
set_tcp_nodelay true
# A device gives a name of its own choice; the broker puts the one of the certificate in its place.
allow_zero_length_clientid false

listener {port}{bind}
cafile {directory}/devices.pem
certfile {directory}/service.pem
keyfile {directory}/service.key
crlfile {directory}/device.crl
require_certificate true
use_identity_as_username true
use_username_as_clientid true
tls_version tlsv1.2
max_connections {max_connections}

listener 0 {socket}
"""

_RIGHTS = f"""\
# What is not allowed here is refused.  SUBACK says "granted" all the same: nothing is delivered.
pattern write af/v1/d/%u/up/+
pattern write af/v1/d/%u/up/run/+
pattern read af/v1/d/%u/down/#

user {CONTROLLER}
topic readwrite af/v1/#
topic read $SYS/#

# {KICKER} has no line, and so no right.
"""

MAX_CONNECTIONS = 30_000
"""The whole country is 25,000 devices."""


def directory(home: Home) -> Path:
    return home.path / "mosquitto"


def write(home: Home, *, bind: str = "", engine: Engine | None = None, clock: Clock = SYSTEM) -> Path:
    """Write all that mosquitto reads; returns the path for `mosquitto -c`.

    Call `authority.ensure` first.  `bind` is the address of the devices' listener; empty: all.  A list of revoked
    certificates that is old, lost or spoiled is made anew from the database (`engine`, by default the home's).
    Raises AuthorityBroken or CrlWrong rather than start a broker that would let a revoked device in, and SettingsWrong
    if the socket's path is too long for the system or has a space in it.
    """
    socket = home.broker_socket
    if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
        raise SettingsWrong(f"broker_socket: {socket} is longer than {_LONGEST_SOCKET_PATH} bytes; set a shorter one")
    if any(character.isspace() for character in str(socket)):
        # mosquitto ends the path at the first space and listens somewhere else
        raise SettingsWrong(f"broker_socket: {socket} has a space in it, which mosquitto cannot read; set another one")
    path = files.private_directory(directory(home))
    # A directory that was there may be anybody's, even /run: only one of our own is closed and given away.
    own = {path} if socket.parent.exists() else {path, files.private_directory(socket.parent)}
    user = _user(path)
    # mosquitto gives up root before it opens anything, so all of it must belong to the user it becomes
    owner = _owner(user)
    if user == "root":
        log.warning("broker runs as root, for the user mosquitto is missing or cannot reach directory=%s", path)
    for place in own:
        if owner is not None:
            os.chown(place, *owner)
    configuration = _CONFIGURATION.format(
        user=f"user {user}\n" if user else "",
        directory=path,
        port=home.settings.broker_port,
        bind=f" {bind}" if bind else "",
        socket=socket,
        max_connections=MAX_CONNECTIONS,
    )
    users = {CONTROLLER: controller_password(home), KICKER: kicker_password(home)}
    files.write(path / "passwords", password_lines(users), owner=owner)
    files.write(path / "acl", _RIGHTS.encode(), owner=owner)
    revoked.renew(home, engine if engine is not None else open_database(home.database_url), clock=clock)
    install_certificates(home, clock=clock)
    files.write(path / "mosquitto.conf", configuration.encode(), owner=owner)
    return path / "mosquitto.conf"


def install_certificates(home: Home, *, clock: Clock = SYSTEM) -> None:
    """Hand the authority's newest certificates and its list of revoked ones to the broker.

    Raises CrlWrong, and leaves the broker's files as they are, if the list is not whole, not ours or ends soon.
    """
    path = directory(home)
    owner = _owner(_user(path))
    ours = authority.load(home)
    # Locked, so that of two processes the slower one does not put an older list, or half a pair, over a newer one.
    with files.locked(ours.path):
        listed = ours.crl_path.read_bytes() if ours.crl_path.exists() else b""
        crl.check(listed, clock.now(), of=ours.device_ca)
        certificate, key = authority.service_files(home)
        files.write(path / "service.key", key.read_bytes(), owner=owner)
        files.write(path / "service.pem", certificate.read_bytes(), owner=owner)
        files.write(path / "devices.pem", certificates.pem(ours.device_ca, ours.root), owner=owner)
        files.write(path / "device.crl", listed, owner=owner)


def reload(home: Home) -> bool:
    """Have a running broker read its certificates, rights and list anew; whether there was one to tell."""
    try:
        process = int((directory(home) / "mosquitto.pid").read_text(encoding="ascii"))
        # The number may long belong to somebody else.
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return False
    if name != "mosquitto":
        return False
    os.kill(process, signal.SIGHUP)
    return True


def controller_password(home: Home) -> str:
    """The password of `svc-controller` on the local socket; made when missing."""
    return _password(home, "controller.password")


def kicker_password(home: Home) -> str:
    return _password(home, "kicker.password")


def password_lines(users: dict[str, str]) -> bytes:
    """A password file as mosquitto reads it: `name:$7$rounds$salt$PBKDF2-SHA512`, salt and key in base64."""
    # Our passwords are 256 random bits: rounds, which slow down guessing, are left at mosquitto's own 101.
    rounds = 101
    lines = []
    for name, password in users.items():
        salt = secrets.token_bytes(12)
        key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
        lines.append(f"{name}:$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}\n")
    return "".join(lines).encode()


def _password(home: Home, name: str) -> str:
    secret = files.private_directory(home.path / "secrets") / name
    if not secret.exists():
        with files.locked(secret.parent):
            if not secret.exists():
                files.write(secret, secrets.token_urlsafe(32).encode())
    return secret.read_text(encoding="ascii")


def _user(path: Path) -> str:
    """The user that mosquitto shall become when root starts it; empty if it is not root who does.

    Root itself only where there is no other way: it would be the network's nearest process.
    """
    if os.geteuid() != 0:
        return ""
    try:
        pwd.getpwnam("mosquitto")
    except KeyError:
        pass
    else:
        if all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents):
            return "mosquitto"
    return "root"


def _owner(user: str) -> tuple[int, int] | None:
    if user in ("", "root"):
        return None
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid
