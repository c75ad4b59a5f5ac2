"""From what each source said of a printer to its readings.  Thinks only.

The printer's own word comes before the print server's memory, which is as old as its last job.  Between sources of one
printer: alert table, then state reasons, then supply levels.  What only the queue can know (paused, rejecting, stuck)
is the print server's in any case.
"""

from collections.abc import Iterable

from msgspec import Struct

from annexfleet_agent.collectors.report import Report
from annexfleet_agent.printers.address import Where
from annexfleet_agent.printers.failure import SILENT, Failed
from annexfleet_agent.printers.seen import Seen
from annexfleet_agent.printers.spooler import Queue
from annexfleet_agent.protocol import causes
from annexfleet_agent.protocol.causes import CAUSES

STUCK_AFTER_S = 180.0
"""A document of an annex is a page or two; CUPS's own `processing` is no proof that anything moves."""

QUEUE_CAUSES = frozenset({"queue_paused", "queue_rejecting", "job_stuck", "spool_full", "driver_problem"})
"""Causes that the print server knows at first hand."""

_FAMILIES = (
    {"paper_empty", "paper_low"},
    {"toner_empty", "toner_low"},
    {"output_full", "output_almost_full"},
    {"waste_full", "waste_almost_full"},
    {"drum_end", "drum_near_end"},
)
"""Degrees of one thing, of which the best source decides; a worse one would contradict it."""


class Printer(Struct, frozen=True, kw_only=True):
    """One printer with all that is known of it in this pass."""

    name: str
    where: Where
    queue: Queue | None = None
    answer: Seen | Failed | None = None
    """What the printer itself said; None if it cannot be asked, or has not answered its first question yet."""
    known: Seen | None = None
    """The last it ever said, for its identity."""
    elsewhere: bool = False
    """Another device of the annex asks it."""
    unmoved_s: float = 0.0
    """For how long neither a page nor a document has come out, as far as this process has watched."""


def combined(*sources: Iterable[str]) -> list[str]:
    """Causes of several sources, the best source first."""
    found: set[str] = set()
    settled: set[str] = set()
    for source in sources:
        told = set(source) - settled
        found |= told
        settled |= {degree for family in _FAMILIES if family & told for degree in family}
    return causes.in_order(found)


def put(report: Report, printer: Printer) -> None:
    """Write a printer's readings, and the reasons for those that are missing."""
    subject = f"printer:{printer.name}"
    if printer.where.address:
        report.put(subject, "printer_address", printer.where.address)
    if printer.queue is not None:
        _put_spool(report, subject, printer.queue)
    told = _told(printer)
    silent = isinstance(printer.answer, Failed) and printer.answer.code in SILENT
    # An empty list would say "no trouble", which nobody knows of a printer that nobody could ask.
    if silent or told is not None or printer.queue is not None:
        report.put(subject, "printer_causes", causes_of(printer))
        report.put(subject, "printer_reasons", _reasons(printer, told))
    if printer.elsewhere:
        report.put(subject, "printer_source", "probed_elsewhere")
        return
    _put_identity(report, subject, printer)
    if isinstance(printer.answer, Failed):
        report.miss(subject, "printer_pages_count", printer.answer.code, printer.answer.detail)
    if silent:
        report.put(subject, "printer_state", "unreachable")
        report.put(subject, "printer_source", "device_snmp" if printer.where.way == "snmp" else "device_ipp")
        return
    if told is None:
        report.put(subject, "printer_state", "unknown")
        if printer.where.way == "none":
            report.miss(subject, "printer_source", "unsupported", "its uri does not say where it can be asked")
        return
    report.put(subject, "printer_state", told.state)
    report.put(subject, "printer_source", told.source)
    if told.pages is not None:
        report.put(subject, "printer_pages_count", told.pages)
    _put_parts(report, printer.name, told)


def causes_of(printer: Printer) -> list[str]:
    """Canonical causes, in the table's order."""
    told = _told(printer)
    found = causes.in_order([*own_causes(printer), *_queue_causes(printer)])
    # A document that waits for paper is not stuck: it has a cause already.
    if not any(CAUSES[cause].blocks == "yes" for cause in found) and _is_stuck(printer, told):
        found = causes.in_order([*found, "job_stuck"])
    return found


def own_causes(printer: Printer) -> list[str]:
    """Those of the printer itself, by the best source there is; none of them if nobody knows it here."""
    told = _told(printer)
    if told is not None:
        low = ["toner_low"] if any(supply.low for supply in told.supplies) else []
        return combined(told.alert_causes, told.causes, low)
    if isinstance(printer.answer, Failed) and printer.answer.code in SILENT and not printer.elsewhere:
        return ["unreachable"]
    return []


def _told(printer: Printer) -> Seen | None:
    """The source to be believed for the printer's state; None if nobody knows it here."""
    if printer.elsewhere:
        return None
    if isinstance(printer.answer, Seen):
        return printer.answer
    if isinstance(printer.answer, Failed) and printer.answer.code in SILENT:
        return None
    return printer.queue.memory if printer.queue else None


def _queue_causes(printer: Printer) -> list[str]:
    queue = printer.queue
    if queue is None:
        return []
    found = [cause for cause in queue.memory.causes if cause in QUEUE_CAUSES]
    if queue.paused:
        found.append("queue_paused")
    if queue.accepting is False:
        found.append("queue_rejecting")
    if queue.jobs is not None:
        found += causes.from_job_reasons(queue.jobs.reasons)
    return found


def _is_stuck(printer: Printer, told: Seen | None) -> bool:
    jobs = printer.queue.jobs if printer.queue else None
    if jobs is not None and jobs.count:
        return min(jobs.oldest_age_s, jobs.quiet_s, printer.unmoved_s) > STUCK_AFTER_S
    # Printing for somebody else, by its own word; only a page counter that stands still can disprove that.
    counts = told is not None and told.state == "processing" and told.pages is not None
    return counts and STUCK_AFTER_S < printer.unmoved_s < float("inf")


def _reasons(printer: Printer, told: Seen | None) -> list[str]:
    own = told.reasons if told is not None else []
    queue = printer.queue
    if queue is None or told is queue.memory:
        return list(own)
    at_queue = [reason for reason in queue.memory.reasons if set(causes.from_ipp([reason])) & QUEUE_CAUSES]
    return list(dict.fromkeys([*own, *at_queue]))


def _put_spool(report: Report, subject: str, queue: Queue) -> None:
    if queue.accepting is not None:
        report.put(subject, "printer_accepting", int(queue.accepting))
    if queue.paused is not None:
        report.put(subject, "printer_paused", int(queue.paused))
    if queue.jobs is not None:
        report.put(subject, "printer_jobs_count", queue.jobs.count)
        report.put(subject, "printer_oldest_job_age_seconds", round(queue.jobs.oldest_age_s, 1))


def _put_identity(report: Report, subject: str, printer: Printer) -> None:
    known = printer.known
    model = (known.model if known else "") or (printer.queue.memory.model if printer.queue else "")
    if model:
        report.put(subject, "printer_model", model)
    if known is not None and known.uuid:
        report.put(subject, "printer_uuid", known.uuid)


def _put_parts(report: Report, name: str, told: Seen) -> None:
    for supply in told.supplies:
        subject = f"supply:{name}/{supply.name}"[:160]
        report.put(subject, "supply_kind", supply.kind or "unknown")
        if supply.colour:
            report.put(subject, "supply_colour", supply.colour)
        if supply.level is not None:
            report.put(subject, "supply_level_ratio", round(supply.level, 3))
    for tray in told.trays:
        subject = f"tray:{name}/{tray.name}"[:160]
        if tray.level is not None:
            report.put(subject, "tray_level_ratio", round(tray.level, 3))
        if tray.media:
            report.put(subject, "tray_media", tray.media)
