"""One pass over all printers: the print server, those printers that are due, and the queues that can go on."""

from collections.abc import Callable
from functools import partial

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.report import Report
from annexfleet_agent.printers import address, ask, healer, merge, spooler
from annexfleet_agent.printers.address import Where
from annexfleet_agent.printers.devices import Devices
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.heal import Verdict
from annexfleet_agent.printers.seen import Seen
from annexfleet_agent.printers.spooler import Queue, Spool
from annexfleet_agent.printers.transport import Endpoint
from annexfleet_agent.settings import Settings


class Room:
    """What is remembered between passes: the queues, the printers' answers, and when something last moved."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        probed_elsewhere: Callable[[], frozenset[str]],
        *,
        device_period_s: float,
        heals: bool = False,
    ) -> None:
        """`heals`: queues may be resumed; otherwise it is only told how they stand."""
        self._settings = settings
        self._clock = clock
        self._probed_elsewhere = probed_elsewhere
        self._timeout_s = settings.printing.timeout_s
        self._server = _server(settings.printing.cups)
        self._set_by_hand = {printer.name: address.of_uri(printer.uri) for printer in settings.printer}
        asking = partial(ask.printer, timeout_s=self._timeout_s, mono=clock.mono)
        self._devices = Devices(asking, clock, period_s=device_period_s)
        self._healer = self._healer_of(settings, acts=heals)
        self._queues: list[Queue] = []
        self._moved: dict[str, tuple[object, float]] = {}

    def collect(self) -> Report:
        """The readings of all printers.  A print server or printer that fails costs its own readings only."""
        report = Report()
        began = self._clock.mono()
        spool = self._ask_server(report)
        elsewhere = self._probed_elsewhere()
        printers = self._whereabouts(report)
        asked = {where: None for _, where, _ in printers if where.way != "none" and where.probe_key not in elsewhere}
        printing = frozenset(where for _, where, queue in printers if queue and queue.memory.state == "processing")
        stopped = frozenset(where for name, where, _ in printers if self._healer and self._healer.waits_for(name))
        self._devices.refresh(asked, printing=printing, hurried=stopped, wait_s=self._timeout_s + 1)
        known = []
        for name, where, queue in printers:
            one = self._printer(name, where, queue, elsewhere=where.probe_key in elsewhere)
            known.append(one)
            merge.put(report, one)
            if spool is not None and spool.jobs_failed is not None and queue is not None:
                failed = spool.jobs_failed
                report.miss(f"printer:{name}", "printer_oldest_job_age_seconds", failed.code, failed.detail)
        self._moved = {name: moved for name, moved in self._moved.items() if name in {name for name, _, _ in printers}}
        self._heal(report, known, began=began, spool=spool)
        return report

    def _heal(self, report: Report, printers: list[merge.Printer], *, began: float, spool: Spool | None) -> None:
        if spool is None:
            return
        if self._healer is None:
            for printer in printers:
                if printer.queue is not None:
                    healer.put(report, printer.name, Verdict(outcome="switched_off"), count=0)
            return
        sights = {}
        for printer in printers:
            told_at = self._devices.answered_at(printer.where)
            sight = healer.sight_of(printer, told_at=told_at, now_mono=self._clock.mono())
            if sight is not None:
                sights[printer.name] = sight
        for name, verdict in self._healer.heal(sights, began=began, server_now=spool.server_now).items():
            healer.put(report, name, verdict, count=self._healer.count(name))

    def _healer_of(self, settings: Settings, *, acts: bool) -> healer.Healer | None:
        """Nobody, if that is switched off, or if the print server is another machine's: its own agent looks after it,
        and two would count to two each."""
        if self._server is None or not settings.printing.heal or not address.is_here(self._server.host):
            return None
        return healer.Healer(
            self._server, self._clock, timeout_s=self._timeout_s, state_dir=settings.state_dir, acts=acts
        )

    def _ask_server(self, report: Report) -> Spool | None:
        """The spool, or None with the problem noted.  Queues known before stay, without their documents."""
        if self._server is None:
            return None
        try:
            spool = spooler.ask(self._server, timeout_s=self._timeout_s, now=self._clock.now, mono=self._clock.mono)
        except Failed as failed:
            report.miss("", "printer_state", failed.code, f"print server: {failed.detail}")
            self._queues = [spooler.unheard(queue) for queue in self._queues]
            return None
        self._queues = spool.queues
        return spool

    def _whereabouts(self, report: Report) -> list[tuple[str, Where, Queue | None]]:
        """Name, whereabouts and queue of each printer: the queues first, then those that only the settings know."""
        by_name: dict[str, tuple[Where, Queue | None]] = {}
        for queue in self._queues:
            # A [[printer]] with a queue's name tells where that queue's printer is.
            by_name[queue.name] = (self._set_by_hand.get(queue.name) or address.of_uri(queue.device_uri), queue)
        reached = {where.probe_key for where, _ in by_name.values()}
        for name, where in self._set_by_hand.items():
            if name not in by_name and where.probe_key not in reached:
                by_name[name] = (where, None)
        if len(by_name) > spooler.MAX_QUEUES:
            report.miss("", "printer_causes", "too_big", f"{len(by_name)} printers, {spooler.MAX_QUEUES} are shown")
        kept = list(by_name.items())[: spooler.MAX_QUEUES]
        # One device may have a queue by IPP and one by its raw port: it is asked once, the surer way.
        best: dict[str, Where] = {}
        for _, (where, _) in kept:
            if where.way != "none" and (where.probe_key not in best or where.way == "ipp"):
                best[where.probe_key] = where
        return [(name, best.get(where.probe_key, where), queue) for name, (where, queue) in kept]

    def _printer(self, name: str, where: Where, queue: Queue | None, *, elsewhere: bool) -> merge.Printer:
        answer = None if elsewhere else self._answer(where)
        known = self._devices.known(where)
        pages = answer.pages if isinstance(answer, Seen) else None
        jobs = queue.jobs if queue else None
        return merge.Printer(
            name=name,
            where=where,
            queue=queue,
            answer=answer,
            known=known,
            elsewhere=elsewhere,
            unmoved_s=self._unmoved_s(name, (jobs.progress if jobs else (), pages), working=bool(jobs and jobs.count)),
        )

    def _answer(self, where: Where) -> Seen | Failed | None:
        return None if where.way == "none" else self._devices.answer(where)

    def _unmoved_s(self, name: str, progress: object, *, working: bool) -> float:
        """For how long this has stood still; infinite with work at the first sight, which the job's own times bound."""
        now = self._clock.mono()
        if name not in self._moved:
            self._moved[name] = (progress, float("-inf") if working else now)
        elif self._moved[name][0] != progress:
            self._moved[name] = (progress, now)
        return now - self._moved[name][1]


def _server(cups: str) -> Endpoint | None:
    """Where the print server is, as [printing] says; None if there is none."""
    if not cups:
        return None
    if cups.startswith("/"):
        return Endpoint(cups)
    host, _, port = cups.rpartition(":")
    if host and port.isdigit():
        return Endpoint(host.strip("[]"), int(port))
    return Endpoint(cups)
