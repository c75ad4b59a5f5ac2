"""Asks the local print server (CUPS) about its queues and the documents that wait in them, and resumes a queue.

Two questions a pass, and a third after a resumption: did anything come out?  Of a document only its state, its times
and what the printer said while it was printed are asked, never its name, its owner or its content; `JOB_WANTED` is the
whole list, and a test watches over what goes out.
"""

import os
from collections.abc import Callable
from urllib.parse import quote, unquote

from msgspec import Struct
from msgspec.structs import replace

from annexfleet_agent.printers import device, ipp, supplies, transport
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.heal import Document, Trial
from annexfleet_agent.printers.seen import Seen, word

MAX_QUEUES = 64
"""More would not fit into one change."""
_MAX_JOBS = 500

_QUEUE_WANTED = (
    "printer-name", "device-uri", "printer-state", "printer-state-reasons", "printer-is-accepting-jobs",
    "queued-job-count", "printer-make-and-model", "printer-up-time", "printer-state-message", *supplies.WANTED,
)  # fmt: skip
JOB_WANTED = (
    "job-id", "job-state", "job-state-reasons", "job-printer-uri", "time-at-creation", "time-at-processing",
    "job-impressions-completed", "job-printer-state-message",
)  # fmt: skip
DONE_WANTED = ("job-id", "job-state", "time-at-completed")

_PENDING, _HELD, _COMPLETED = 3, 4, 9
_MOST_DONE = 10
_STOPPED_WITH = frozenset({"printer-stopped", "resources-are-not-ready"})
"""Job-state-reasons of a document that CUPS put back when its queue stopped; one interrupted by a pause keeps
`job-printing` (CUPS 2.4, scheduler/job.c and printers.c)."""


class Jobs(Struct, frozen=True, kw_only=True):
    """The documents of one queue that wait or print.  Those that somebody put on hold do not count."""

    count: int = 0
    oldest_age_s: float = 0.0
    """Since the oldest of them was handed in; 0 if there is none."""
    quiet_s: float = 0.0
    """Since one of them last began to print, or else since the oldest was handed in."""
    progress: tuple[int, ...] = ()
    """Moves when the oldest document ends or another page is out, and not when a document is added."""
    reasons: list[str] = []
    documents: frozenset[Document] | None = frozenset()
    """None if they are too many to be told, or hidden."""
    held: frozenset[Document] = frozenset()
    """Those on hold."""
    trials: tuple[tuple[Trial, str], ...] = ()
    """Those that were begun and put back when the queue stopped, each with the printer's message of that time."""


class Queue(Struct, frozen=True, kw_only=True):
    """One print queue, as the print server has it."""

    name: str
    device_uri: str = ""
    accepting: bool | None = True
    paused: bool | None = False
    """None, as of `accepting`: the server does not answer now."""
    said: str = ""
    """The server's message on the queue.  It is compared (heal.py) and never reported: people write into it."""
    memory: Seen
    """What the server remembers of the printer: true at the end of the last job, and stale since."""
    jobs: Jobs | None = None
    """None: the server did not tell."""


class Spool(Struct, frozen=True, kw_only=True):
    """All queues of the print server."""

    queues: list[Queue] = []
    server_now: float | None = None
    """The server's own time in seconds, as its documents' times count."""
    jobs_failed: Failed | None = None
    """Why the documents are not known; the queues are, all the same."""


def ask(server: transport.Endpoint, *, timeout_s: float, now: Callable[[], float], mono: Callable[[], float]) -> Spool:
    """The server's queues with their documents.

    Raises Failed, `unsupported` if there is no server.
    """
    wanted = ipp.Attribute("requested-attributes", ipp.KEYWORD, _QUEUE_WANTED)
    answer = _ask(server, ipp.CUPS_GET_PRINTERS, [wanted], timeout_s=timeout_s, mono=mono)
    if answer.status == ipp.NOT_FOUND:  # how CUPS says that it has no queue
        return Spool()
    _check(answer)
    printers = [printer for printer in answer.of(ipp.PRINTER) if device.text(printer, "printer-name")]
    if not printers:
        return Spool()
    jobs: dict[str, Jobs] | None = {}
    jobs_failed = None
    if any(
        device.number(printer, "queued-job-count") != 0 for printer in printers
    ):  # else there is nothing to ask about
        jobs, jobs_failed = _jobs(server, printers, timeout_s=timeout_s, now=now, mono=mono)
    server_now = device.number(printers[0], "printer-up-time")
    return Spool(
        queues=[_queue(printer, jobs) for printer in printers],
        server_now=None if server_now is None else float(server_now),
        jobs_failed=jobs_failed,
    )


def resume(server: transport.Endpoint, queue: str, *, timeout_s: float, mono: Callable[[], float]) -> None:
    """Let a stopped queue go on with the documents it has.  Raises Failed, `denied` if this account may not."""
    body = ipp.request(ipp.RESUME_PRINTER, _uri_of(queue))
    answer = transport.post(server, body, timeout_s=timeout_s, mono=mono, as_user=_own_account())
    _check(ipp.parse(answer))


def printed_since(
    server: transport.Endpoint, queue: str, since: float, *, timeout_s: float, mono: Callable[[], float]
) -> bool:
    """Whether a document of this queue came to its good end since then, which is the server's time.  Raises Failed.

    A server that forgets its documents at once knows of none.
    """
    asked = [
        ipp.Attribute("limit", ipp.INTEGER, [_MOST_DONE]),
        ipp.Attribute("which-jobs", ipp.KEYWORD, ["completed"]),
        ipp.Attribute("requested-attributes", ipp.KEYWORD, DONE_WANTED),
    ]
    body = ipp.request(ipp.GET_JOBS, _uri_of(queue), asked)
    answer = ipp.parse(transport.post(server, body, timeout_s=timeout_s, mono=mono))
    _check(answer)
    return any(
        device.number(job, "job-state") == _COMPLETED and (device.number(job, "time-at-completed") or 0) >= since
        for job in answer.of(ipp.JOB)
    )


def _uri_of(queue: str) -> str:
    return f"ipp://localhost/printers/{quote(queue, safe='')}"


def _own_account() -> str:
    """The name of the account this process runs as; empty where there is none to be had."""
    if not hasattr(os, "geteuid"):
        return ""
    import pwd  # noqa: PLC0415  # Unix only

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def _jobs(
    server: transport.Endpoint,
    printers: list[ipp.Attributes],
    *,
    timeout_s: float,
    now: Callable[[], float],
    mono: Callable[[], float],
) -> tuple[dict[str, Jobs] | None, Failed | None]:
    asked = [
        ipp.Attribute("limit", ipp.INTEGER, [_MAX_JOBS]),
        ipp.Attribute("which-jobs", ipp.KEYWORD, ["not-completed"]),
        ipp.Attribute("requested-attributes", ipp.KEYWORD, JOB_WANTED),
    ]
    try:
        answer = _ask(server, ipp.GET_JOBS, asked, timeout_s=timeout_s, mono=mono)
        _check(answer)
    except Failed as failed:
        return None, failed
    # A job's times count in the same seconds as the server's up-time: Unix time with CUPS, since its start elsewhere.
    server_now = device.number(printers[0], "printer-up-time")
    jobs = by_queue(answer.of(ipp.JOB), float(server_now) if server_now else now())
    if len(answer.of(ipp.JOB)) >= _MAX_JOBS:
        names = [device.text(printer, "printer-name") for printer in printers]
        jobs = {name: replace(jobs.get(name, Jobs()), documents=None) for name in names}
    return jobs, None


def _ask(
    server: transport.Endpoint,
    operation: int,
    attributes: list[ipp.Attribute],
    *,
    timeout_s: float,
    mono: Callable[[], float],
) -> ipp.Answer:
    body = ipp.request(operation, server.uri, attributes)
    return ipp.parse(transport.post(server, body, timeout_s=timeout_s, mono=mono))


def _check(answer: ipp.Answer) -> None:
    if answer.status >= ipp.OK_BELOW:
        code = "denied" if answer.status in ipp.FORBIDDEN else "failed"
        raise Failed(code, f"IPP status {answer.status:#06x}")  # type: ignore[arg-type]  # both are problem codes


def by_queue(jobs: list[ipp.Attributes], server_now: float) -> dict[str, Jobs]:
    """The documents that wait or print, by the name of their queue; times count as `server_now` does."""
    of: dict[str, list[ipp.Attributes]] = {}
    for job in jobs:
        of.setdefault(unquote(device.text(job, "job-printer-uri").rpartition("/")[2]), []).append(job)
    return {name: _together(members, server_now) for name, members in of.items()}


def _together(jobs: list[ipp.Attributes], server_now: float) -> Jobs:
    held = frozenset(_document(job) for job in jobs if device.number(job, "job-state") == _HELD)
    jobs = [job for job in jobs if device.number(job, "job-state") != _HELD]
    if not jobs:
        return Jobs(held=held)
    created = [device.number(job, "time-at-creation") or server_now for job in jobs]
    begun = [device.number(job, "time-at-processing") or 0 for job in jobs]
    ids = [device.number(job, "job-id") or 0 for job in jobs]
    return Jobs(
        count=len(jobs),
        oldest_age_s=max(0.0, server_now - min(created)),
        quiet_s=max(0.0, server_now - max(min(created), *begun)),
        progress=(min(ids), sum(device.number(job, "job-impressions-completed") or 0 for job in jobs)),
        reasons=sorted({reason for job in jobs for reason in device.strings(job, "job-state-reasons")}),
        documents=frozenset(_document(job) for job in jobs),
        held=held,
        trials=tuple(trial for job in jobs if (trial := _trial(job)) is not None),
    )


def _document(job: ipp.Attributes) -> Document:
    return device.number(job, "job-id") or 0, device.number(job, "time-at-creation") or 0


def _trial(job: ipp.Attributes) -> tuple[Trial, str] | None:
    begun = device.number(job, "time-at-processing")
    reasons = device.strings(job, "job-state-reasons")
    if begun is None or device.number(job, "job-state") != _PENDING or _STOPPED_WITH.isdisjoint(reasons):
        return None
    return Trial(*_document(job), begun), device.text(job, "job-printer-state-message")


def _queue(printer: ipp.Attributes, jobs: dict[str, Jobs] | None) -> Queue:
    name = device.text(printer, "printer-name")
    memory = device.seen(printer, "print_server")
    uri = device.first(printer, "device-uri")
    return Queue(
        name=word(name, 127),
        device_uri=uri if isinstance(uri, str) else "",
        accepting=device.first(printer, "printer-is-accepting-jobs") is not False,
        paused=memory.state == "stopped" or "paused" in memory.reasons,
        said=device.text(printer, "printer-state-message"),
        memory=memory,
        jobs=_own(jobs, printer, name),
    )


def _own(jobs: dict[str, Jobs] | None, printer: ipp.Attributes, name: str) -> Jobs | None:
    if jobs is not None:
        return jobs.get(name, Jobs())
    count = device.number(printer, "queued-job-count")
    return None if count is None else Jobs(count=count, documents=None)


def unheard(queue: Queue) -> Queue:
    """The queue while its server does not answer: that it exists, and where its printer is, is all that is known."""
    memory = Seen(source="print_server", state="unknown", model=queue.memory.model)
    return replace(queue, accepting=None, paused=None, said="", jobs=None, memory=memory)
