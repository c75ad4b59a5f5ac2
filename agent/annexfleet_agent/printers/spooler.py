"""Asks the local print server (CUPS) about its queues and the documents that wait in them.

Two questions a pass.  Of a document only its state and its times are asked, never its name, its owner or its content;
`JOB_WANTED` is the whole list, and a test watches over what goes out.
"""

from collections.abc import Callable
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace

from annexfleet_agent.printers import device, ipp, supplies, transport
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.seen import Seen, word

MAX_QUEUES = 64
"""More would not fit into one change."""
_MAX_JOBS = 500

_QUEUE_WANTED = (
    "printer-name", "device-uri", "printer-state", "printer-state-reasons", "printer-is-accepting-jobs",
    "queued-job-count", "printer-make-and-model", "printer-up-time", *supplies.WANTED,
)  # fmt: skip
JOB_WANTED = (
    "job-id", "job-state", "job-state-reasons", "job-printer-uri", "time-at-creation", "time-at-processing",
    "job-impressions-completed",
)  # fmt: skip

_HELD = 4


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


class Queue(Struct, frozen=True, kw_only=True):
    """One print queue, as the print server has it."""

    name: str
    device_uri: str = ""
    accepting: bool | None = True
    paused: bool | None = False
    """None, as of `accepting`: the server does not answer now."""
    memory: Seen
    """What the server remembers of the printer: true at the end of the last job, and stale since."""
    jobs: Jobs | None = None
    """None: the server did not tell."""


class Spool(Struct, frozen=True, kw_only=True):
    """All queues of the print server."""

    queues: list[Queue] = []
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
    return Spool(queues=[_queue(printer, jobs) for printer in printers], jobs_failed=jobs_failed)


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
    return by_queue(answer.of(ipp.JOB), float(server_now) if server_now else now()), None


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
        if device.number(job, "job-state") != _HELD:
            of.setdefault(unquote(device.text(job, "job-printer-uri").rpartition("/")[2]), []).append(job)
    return {name: _together(members, server_now) for name, members in of.items()}


def _together(jobs: list[ipp.Attributes], server_now: float) -> Jobs:
    created = [device.number(job, "time-at-creation") or server_now for job in jobs]
    begun = [device.number(job, "time-at-processing") or 0 for job in jobs]
    ids = [device.number(job, "job-id") or 0 for job in jobs]
    return Jobs(
        count=len(jobs),
        oldest_age_s=max(0.0, server_now - min(created)),
        quiet_s=max(0.0, server_now - max(min(created), *begun)),
        progress=(min(ids), sum(device.number(job, "job-impressions-completed") or 0 for job in jobs)),
        reasons=sorted({reason for job in jobs for reason in device.strings(job, "job-state-reasons")}),
    )


def _queue(printer: ipp.Attributes, jobs: dict[str, Jobs] | None) -> Queue:
    name = device.text(printer, "printer-name")
    memory = device.seen(printer, "print_server")
    uri = device.first(printer, "device-uri")
    return Queue(
        name=word(name, 127),
        device_uri=uri if isinstance(uri, str) else "",
        accepting=device.first(printer, "printer-is-accepting-jobs") is not False,
        paused=memory.state == "stopped" or "paused" in memory.reasons,
        memory=memory,
        jobs=_own(jobs, printer, name),
    )


def _own(jobs: dict[str, Jobs] | None, printer: ipp.Attributes, name: str) -> Jobs | None:
    if jobs is not None:
        return jobs.get(name, Jobs())
    count = device.number(printer, "queued-job-count")
    return None if count is None else Jobs(count=count)


def unheard(queue: Queue) -> Queue:
    """The queue while its server does not answer: that it exists, and where its printer is, is all that is known."""
    memory = Seen(source="print_server", state="unknown", model=queue.memory.model)
    return replace(queue, accepting=None, paused=None, jobs=None, memory=memory)
