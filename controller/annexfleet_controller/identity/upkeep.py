"""What has to be done to certificates as time goes by."""

import logging

from sqlalchemy import Engine

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.identity import authority, broker, revocation
from annexfleet_controller.settings import Home

log = logging.getLogger(__name__)


def tend(home: Home, engine: Engine, *, clock: Clock = SYSTEM) -> None:
    """Renew the list of revoked certificates daily and the service certificate below 60 days; called hourly.

    The broker is told.  The enrolment listener reads its certificate only when it starts, for which 60 days are left.
    Raises AuthorityBroken, ClockWrong or CrlWrong; then everything is as before.
    """
    certificate, _ = authority.service_files(home)
    before = certificate.read_bytes() if certificate.exists() else b""
    authority.ensure(home, clock=clock)
    renewed = certificate.read_bytes() != before
    if renewed:
        log.warning("service certificate renewed; restart the enrolment listener within 60 days")
    if not revocation.refresh(home, engine, clock=clock) and renewed and broker.directory(home).exists():
        broker.install_certificates(home, clock=clock)
        broker.reload(home)
