"""The list of revoked certificates, made from the database.  Others hand it to the broker (`broker`, `revocation`)."""

import logging
from datetime import datetime, timedelta

from sqlalchemy import Engine

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.identity import authority, crl
from annexfleet_controller.settings import Home
from annexfleet_controller.store import certificates
from annexfleet_controller.store.database import reading

log = logging.getLogger(__name__)

_KEPT_AFTER_END = timedelta(days=2)
"""Certificates stay on the list a little past their end, for a broker whose clock is behind."""


def publish(home: Home, engine: Engine, now: datetime) -> None:
    """Write a new list.  Raises AuthorityBroken, ClockWrong or CrlWrong, and leaves the old one in place."""

    def everybody() -> dict[int, datetime]:
        with reading(engine) as db:
            return certificates.revoked(db, ending_after=now - _KEPT_AFTER_END)

    # Asked under the authority's lock: two processes at once would else publish each other's revocations away.
    authority.load(home).publish_crl(everybody, now)


def renew(home: Home, engine: Engine, *, clock: Clock = SYSTEM) -> bool:
    """Write a new list if the one there is a day old, missing or broken; whether it was.  Otherwise asks no database.

    Raises what `publish` does.
    """
    now = clock.now()
    ours = authority.load(home)
    try:
        ends = crl.check(ours.crl_path.read_bytes(), now, of=ours.device_ca).next_update_utc
        if ends is not None and ends - now > crl.RENEW_BELOW:
            return False
    except (OSError, crl.CrlWrong) as error:
        log.warning("list of revoked certificates is made anew reason=%s", error)
    publish(home, engine, now)
    return True


def behind(home: Home, engine: Engine, now: datetime) -> list[str] | None:
    """The devices whose revoked certificates the list does not name yet; None if the list says what the database says.

    Empty where it only names some that count again, because somebody took a retirement back.  A list that cannot be
    read is `renew`'s matter.
    """
    ours = authority.load(home)
    try:
        listed = {one.serial_number for one in crl.check(ours.crl_path.read_bytes(), now, of=ours.device_ca)}
    except (OSError, crl.CrlWrong):
        return None
    with reading(engine) as db:
        missing = certificates.revoked(db, ending_after=now).keys() - listed
        if not missing and not certificates.any_in_force(db, listed):
            return None
        return certificates.devices_of(db, missing)
