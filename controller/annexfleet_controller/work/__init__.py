"""The periodic jobs: folding and forgetting history, certificates, devices that fell silent, who asks which printer.

Beside them run loops in threads of their own, which nothing slow may delay: the watch over alerts (`alerts.watch`), the
delivery of notices (`notify.send`), whoever looks after Ansible runs (`rollouts.supervising`), and the conductor of
rollouts (`rollouts.conducting`).

Several workers may run; a lease decides who does a job.  Every job works in small transactions, so that ingest never
waits long for its place, and each can be cut off anywhere and done again.
"""

import threading
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy.orm import Session

from annexfleet_controller.alerts import watch
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.notify import send
from annexfleet_controller.rollouts import conducting, supervising
from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.settings import Home
from annexfleet_controller.store import calendars, rules
from annexfleet_controller.store.database import open_database
from annexfleet_controller.work.audit import note_audit
from annexfleet_controller.work.desired import compare_desired
from annexfleet_controller.work.devices import assign_probers, notice_silence, shut_out_retired, tend_certificates
from annexfleet_controller.work.history import fold_history, forget_old, forget_what_passed
from annexfleet_controller.work.reports import make_reports
from annexfleet_controller.work.trouble import fill_supplies, forget_trouble, tell_outside
from annexfleet_controller.work.worker import Job, Worker

_LOOK_EVERY_S = 1.0


class LoopEnded(Exception):
    """A thread beside the jobs ended though nobody asked it to."""


def run(home: Home, stop: threading.Event) -> None:
    """Do what is due until `stop` is set."""
    engine = open_database(home.database_url)
    loops = [
        threading.Thread(target=watch.run, args=(home, stop), name="watch"),
        threading.Thread(target=send.run, args=(home, stop, _circumstances), name="notices"),
        threading.Thread(target=supervising.run, args=(home, stop), name="runs"),
        threading.Thread(target=conducting.run, args=(home, stop), name="rollouts"),
    ]
    for loop in loops:
        loop.start()
    try:
        worker = Worker(engine, home, JOBS, stop=stop)
        while not stop.wait(_LOOK_EVERY_S):
            worker.do_what_is_due()
            ended = [loop.name for loop in loops if not loop.is_alive()]
            if ended and not stop.is_set():
                # Whoever supervises this process starts it again, and with it all of them.
                raise LoopEnded(", ".join(ended))
    finally:
        stop.set()
        for loop in loops:
            loop.join()
        engine.dispose()


def _circumstances(db: Session) -> tuple[Ruleset, Mapping[str, Calendar]]:
    """What notices have to know of rules and opening hours."""
    return rules.ruleset(db), calendars.of_all(db)


JOBS = (
    Job("fold_history", timedelta(hours=1), fold_history),
    Job("forget_old", timedelta(hours=1), forget_old),
    Job("forget_trouble", timedelta(hours=1), forget_trouble),
    Job("fill_supplies", timedelta(hours=1), fill_supplies),
    Job("make_reports", timedelta(hours=1), make_reports),
    Job("note_audit", timedelta(hours=1), note_audit),
    Job("tell_outside", timedelta(minutes=1), tell_outside),
    Job("tend_certificates", timedelta(hours=1), tend_certificates),
    Job("shut_out_retired", timedelta(seconds=15), shut_out_retired),
    Job("forget_what_passed", timedelta(minutes=1), forget_what_passed),
    Job("notice_silence", timedelta(seconds=30), notice_silence),
    Job("assign_probers", timedelta(seconds=30), assign_probers),
    Job("compare_desired", timedelta(seconds=15), compare_desired),
)
