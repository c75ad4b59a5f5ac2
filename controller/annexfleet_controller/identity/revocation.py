"""Shutting a device out, at once and for good.

The order matters (measured): the database first, as everything else follows from it; then the list of revoked
certificates, then the broker is told to read it.  That alone leaves a connected device connected, so last its session
is taken over on the local socket, which ends it.
"""

import logging
import threading
import time
from datetime import datetime, timedelta
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import AnnexfleetError, DeviceUnknown
from annexfleet_controller.identity import authority, broker, crl
from annexfleet_controller.settings import Home
from annexfleet_controller.store import certificates, devices
from annexfleet_controller.store.database import open_database, reading, writing

log = logging.getLogger(__name__)

_KEPT_AFTER_END = timedelta(days=2)
"""Certificates stay on the list a little past their end, for a broker whose clock is behind."""
_KICK_TIMEOUT_S = 5.0
_RELOAD_SETTLES_S = 0.2
"""mosquitto reads its files at the next turn of its loop, at most 100 ms later."""


class NotKicked(AnnexfleetError):
    """The device cannot connect again, but a connection that stands could not be ended: the broker does not answer."""

    code = "not_kicked"


def revoke(home: Home, device_id: str, *, engine: Engine | None = None, clock: Clock = SYSTEM) -> None:
    """Revoke a device and all its certificates, and end its connection.  A second time does the same once more.

    Raises DeviceUnknown, before anything was changed; NotKicked, after all but the last step; CrlWrong or ClockWrong if
    no list could be made (the database says "revoked" all the same, and every start of the broker tries again).
    """
    database = engine if engine is not None else open_database(home.database_url)
    now = clock.now()
    with writing(database) as db:
        device = devices.find(db, device_id)
        if device is None:
            raise DeviceUnknown(device=device_id)
        devices.revoke(db, device.number, now)
        certificates.revoke_of_device(db, device.number, now)
    publish(home, database, now, clock=clock)
    if broker.reload(home):
        # A handshake that began before the list was read may end just after the first kick.
        kick(home, device_id)
        time.sleep(_RELOAD_SETTLES_S)
        kick(home, device_id)
    log.info("device revoked device=%s", device_id)


def publish(home: Home, engine: Engine, now: datetime, *, clock: Clock = SYSTEM) -> None:
    """Make the list of revoked certificates from the database and hand it to the broker's directory."""
    with reading(engine) as db:
        revoked = certificates.revoked(db, ending_after=now - _KEPT_AFTER_END)
    authority.load(home).publish_crl(revoked, now)
    if broker.directory(home).exists():
        broker.install_certificates(home, clock=clock)


def refresh(home: Home, engine: Engine, *, clock: Clock = SYSTEM) -> bool:
    """Make the list anew if it is a day old, missing or broken, and tell the broker; whether it was made.

    To be called at every start of the broker, before it, and then hourly: mosquitto refuses every device once the
    list has ended.
    """
    now = clock.now()
    ours = authority.load(home)
    try:
        ends = crl.check(ours.crl_path.read_bytes(), now, of=ours.device_ca).next_update_utc
        if ends is not None and ends - now > crl.RENEW_BELOW:
            return False
    except (OSError, crl.CrlWrong) as error:
        log.warning("list of revoked certificates is made anew reason=%s", error)
    publish(home, engine, now, clock=clock)
    broker.reload(home)
    return True


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
