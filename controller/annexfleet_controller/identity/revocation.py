"""Shutting a device out, at once and for good.

The order matters (measured): the database first, as everything else follows from it; then the list of revoked
certificates, then the broker is told to read it.  Being told is not doing: a canary that the new list revokes has to be
refused.  All that leaves a connected device connected, so last its session is taken over on the local socket.
"""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import AnnexfleetError, DeviceUnknown
from annexfleet_controller.identity import authority, broker, revoked
from annexfleet_controller.settings import Home
from annexfleet_controller.store import audit, certificates, devices
from annexfleet_controller.store.database import open_database, writing

log = logging.getLogger(__name__)

_CONNECT = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c"
"""MQTT 5: clean start, 60 s, client id `c`; the broker puts the certificate's name in its place."""
_KICK_TIMEOUT_S = 5.0
_HEEDED_WITHIN_S = 5.0
"""mosquitto reads its files at the next turn of its loop, usually within 100 ms."""
_ASK_AGAIN_S = 0.05
_HANDSHAKE_S = 0.5
"""A device whose certificate was judged just before the list was read connects within this."""


class NotHeeded(AnnexfleetError):
    """The broker was told of the new list and still lets a revoked certificate in: restart it, and read its log."""

    code = "revocation_not_heeded"


class NotKicked(AnnexfleetError):
    """The device cannot connect again, but a connection that stands could not be ended: the broker does not answer."""

    code = "not_kicked"


def revoke(
    home: Home,
    device_id: str,
    *,
    engine: Engine | None = None,
    clock: Clock = SYSTEM,
    by: str = "command line",
    via: str = "console",
) -> None:
    """Revoke a device and all its certificates, and end its connection.  A second time does the same once more.

    Raises DeviceUnknown, before anything was changed.  The rest leave it revoked in the database, and every start of
    the broker tries again: CrlWrong or ClockWrong if no list could be made, NotHeeded if the broker did not take it
    (the device's connection was ended all the same), NotKicked if that connection could not be ended.
    """
    database = engine if engine is not None else open_database(home.database_url)
    now = clock.now()
    with writing(database) as db:
        device = devices.find(db, device_id)
        if device is None:
            raise DeviceUnknown(device=device_id)
        devices.revoke(db, device.number, now)
        certificates.revoke_of_device(db, device.number, now)
        audit.add(
            db, now=now, actor=by, via=via, act="device.revoke", subject=f"device:{device_id}", annex_id=device.annex_id
        )
    shut_out(home, [device_id], engine=database, clock=clock)
    log.info("device revoked device=%s", device_id)


def shut_out(home: Home, device_ids: Sequence[str], *, engine: Engine, clock: Clock = SYSTEM) -> None:
    """Make the list of what the database says is revoked, hand it over, and end the connections of these devices.

    One connection that cannot be ended holds no other up.  Raises what `revoke` does but DeviceUnknown.
    """
    _shut_out(home, device_ids, set(device_ids), engine, clock)


def _shut_out(home: Home, device_ids: Sequence[str], owed: set[str], engine: Engine, clock: Clock) -> None:
    """`shut_out`; leaves in `owed` the devices whose connections may still stand."""
    revoked.publish(home, engine, clock.now())
    if not _hand_over(home, clock):
        owed.clear()
        return
    heeded = is_heeded(home)
    failures = _kick_all(home, device_ids)
    if device_ids:
        time.sleep(_HANDSHAKE_S)
        failures = _kick_all(home, device_ids)
    owed.intersection_update(failures)
    if failures:
        log.error("connections could not be ended devices=%s", ",".join(sorted(failures)[:20]))
    if not heeded:
        log.error("broker does not heed the list of revoked certificates devices=%s", ",".join(device_ids[:20]))
        raise NotHeeded("the broker does not heed the list of revoked certificates; restart it")
    for error in failures.values():
        raise error


def _kick_all(home: Home, device_ids: Sequence[str]) -> dict[str, NotKicked]:
    """End the connections of all of these; those that may still stand, and why."""
    failures: dict[str, NotKicked] = {}
    for device_id in device_ids:
        try:
            kick(home, device_id)
        except NotKicked as error:
            failures[device_id] = error
    return failures


def catch_up(home: Home, engine: Engine, owed: set[str], *, clock: Clock = SYSTEM) -> list[str]:
    """Bring the list to what the database says, where people retired devices or took that back; who was shut out.

    `owed` are devices whose connections an earlier turn could not end: they are tried again, and those that stand still
    are left in it, for the list names them now and does not tell of them again.

    Raises what `shut_out` does; the list is then newer all the same, and every start of the broker tries again.
    """
    behind = revoked.behind(home, engine, clock.now())
    if behind is None and not owed:
        return []
    owed.update(behind or ())
    wanted = sorted(owed)
    _shut_out(home, wanted, owed, engine, clock)
    log.info("list of revoked certificates caught up devices_shut_out=%s", len(wanted))
    return wanted


def refresh(home: Home, engine: Engine, *, clock: Clock = SYSTEM) -> bool:
    """Make the list anew if it is a day old, missing or broken, and have the broker take it; whether it was made.

    To be called hourly: mosquitto refuses every device once the list has ended.
    """
    if not revoked.renew(home, engine, clock=clock):
        return False
    _hand_over(home, clock)
    return True


def _hand_over(home: Home, clock: Clock) -> bool:
    """Give the newest list to the broker; whether one runs here."""
    if broker.directory(home).exists():
        broker.install_certificates(home, clock=clock)
    return broker.reload(home)


def is_heeded(home: Home, *, within_s: float | None = None) -> bool:
    """Whether the local broker has the newest list in force: it refuses the canary that this list revokes.

    Asks again until the time is over, as the broker may just be reading.  A broker that lets nobody in, or does not
    answer, counts as heeding: it is not open.
    """
    ours = authority.load(home)
    context = ssl.create_default_context(cadata=ours.root_pem.decode())
    context.load_cert_chain(ours.canary_path)
    deadline = time.monotonic() + (_HEEDED_WITHIN_S if within_s is None else within_s)
    while _comes_in(context, home.settings.broker_port):
        if time.monotonic() > deadline:
            return False
        time.sleep(_ASK_AGAIN_S)
    return True


def _comes_in(context: ssl.SSLContext, port: int) -> bool:
    """Whether the broker answers a CONNECT after judging the certificate."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), _KICK_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as wire,
        ):
            wire.sendall(_CONNECT)
            return bool(wire.recv(1))
    except OSError:  # ssl.SSLError is one, too: with TLS 1.3 the refusal comes only now
        return False


def kick(home: Home, device_id: str) -> None:
    """End a device's connection by taking its session over and letting go.  Raises NotKicked."""
    done = threading.Event()
    failure: list[str] = []

    def connected(client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            failure.append(str(reason))
        done.set()
        client.disconnect()

    client = Client(CallbackAPIVersion.VERSION2, client_id=device_id, protocol=MQTTv5, transport="unix")
    client.username_pw_set(broker.KICKER, broker.kicker_password(home))
    client.on_connect = connected
    try:
        client.connect(str(home.broker_socket), 1, keepalive=30, clean_start=True)
    except (OSError, ValueError) as error:
        raise NotKicked(f"the broker does not answer: {error}") from error
    client.loop_start()
    answered = done.wait(_KICK_TIMEOUT_S)
    client.loop_stop()
    if not answered or failure:
        raise NotKicked(f"the broker refused: {failure[0] if failure else 'no answer'}")
