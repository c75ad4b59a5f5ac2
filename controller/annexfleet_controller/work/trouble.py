"""What belongs to alerts: what is kept no more, levels of supplies of before, and the address outside."""

import logging
from datetime import timedelta

from annexfleet_controller.alerts import backfill
from annexfleet_controller.notify import webhook
from annexfleet_controller.store import (
    alerts,
    annexes,
    figures,
    incidents,
    maintenance,
    notices,
    printer_events,
    readiness,
    supplies,
)
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.work.worker import Worker

log = logging.getLogger(__name__)

_PRUNE_AT_ONCE = 2000


def forget_trouble(worker: Worker) -> None:
    """Alerts that cleared, incidents that were resolved, and what belongs to them, when they are kept no more."""
    before = worker.clock.now() - timedelta(days=worker.settings.keep_alerts_days)
    # Notices first: what was said of an incident goes before the incident.
    prunes = (
        notices.prune, alerts.prune, incidents.prune, maintenance.prune, printer_events.prune, readiness.prune,
    )  # fmt: skip
    for prune in prunes:
        while True:
            with writing(worker.engine) as db:
                gone = prune(db, before=before, at_most=_PRUNE_AT_ONCE)
            if gone < _PRUNE_AT_ONCE or not worker.go_on():
                break


def fill_supplies(worker: Worker) -> None:
    """Levels of the days before they were written down, for annexes of which nothing is known yet."""
    now = worker.clock.now()
    with reading(worker.engine) as db:
        wanting = backfill.wanting(db, [annex.id for annex in annexes.listing(db)])
    for annex_id in wanting:
        with reading(worker.engine) as db:
            days = backfill.supply_days(db, annex_id, now=now)
        with writing(worker.engine) as db:
            supplies.note(db, days)
        if not worker.go_on():
            return


def tell_outside(worker: Worker) -> None:
    """Ask the address outside that notices when nobody asks it any more."""
    if not worker.settings.deadman_url:
        return
    now = worker.clock.now()
    outcome = webhook.post(worker.settings.deadman_url, b"{}", secret="", notice_id="alive", now=now)
    if outcome.result != "sent":
        log.warning("address outside not reached reason=%s", outcome.reason)
        return
    with writing(worker.engine) as db:
        figures.put(db, {"deadman_ok_at_seconds": now.timestamp()}, now=now)
