"""Resumes print queues whose trouble is over, as `heal` decides, and remembers what it did across restarts.

An attempt is on disk before the print server hears of it: who cannot remember what was tried must not try.  At most
one queue is resumed, and one asked whether a document came out, in a pass.
"""

import logging
from pathlib import Path

import msgspec
from msgspec.structs import replace

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.report import Report
from annexfleet_agent.desired import replace_file
from annexfleet_agent.printers import heal, merge, spooler
from annexfleet_agent.printers.failure import SILENT, Failed
from annexfleet_agent.printers.heal import Course, Sight, Verdict, Watch
from annexfleet_agent.printers.seen import Seen
from annexfleet_agent.printers.transport import Endpoint
from annexfleet_agent.protocol import causes

log = logging.getLogger(__name__)

FILE = "healed.json"

_DENIED_FOR_S = 3600.0
"""After a refusal the server is not asked again for so long: somebody has to change its policy first."""
_MOST_QUEUES = 256
"""Remembered; beyond them those that are no more are forgotten."""


class Healer:
    """The memory of what was tried, and the hand that resumes."""

    def __init__(self, server: Endpoint, clock: Clock, *, timeout_s: float, state_dir: Path, acts: bool) -> None:
        """`acts`: resume and write; otherwise only say what would be told (`annexfleet-agent check`)."""
        self._server = server
        self._clock = clock
        self._timeout_s = timeout_s
        self._file = state_dir / FILE
        self._acts = acts
        self._courses = _read(self._file)
        self._watches: dict[str, Watch] = {}
        self._documents: dict[str, frozenset[heal.Document]] = {}
        self._denied_at = float("-inf")

    def heal(self, sights: dict[str, Sight], *, began: float, server_now: float | None) -> dict[str, Verdict]:
        """Decide on each queue of a server that answered, and act.  Blocks for up to two timeouts.

        `began` is when the pass did, on the steady clock; `server_now` the print server's time.
        """
        now = self._clock.now()
        self._settle(sights)
        verdicts: dict[str, Verdict] = {}
        for name, sight in sights.items():
            self._watches[name] = heal.looked(self._watches.get(name, Watch()), sight, began=began)
            before = self._courses.get(name, Course())
            course = heal.noted(before, sight, now=now)
            if course != before:
                self._keep(name, course)
            denied = self._clock.mono() - self._denied_at < _DENIED_FOR_S
            verdicts[name] = heal.decided(course, self._watches[name], sight, denied=denied, now=now)
        self._watches = {name: self._watches[name] for name in sights}
        self._forget(sights)
        due = next((name for name, verdict in verdicts.items() if verdict.resume), None)
        if due is not None and self._acts:
            verdicts[due] = self._resume(due, verdicts[due], now if server_now is None else server_now)
        return verdicts

    def waits_for(self, name: str) -> bool:
        """Whether this queue is stopped and nobody's but ours to resume, so that its printer is asked more often."""
        watch = self._watches.get(name)
        return watch is not None and watch.since is not None and watch.kind == "failure"

    def count(self, name: str) -> int:
        """How often this queue was resumed since the agent was installed."""
        return self._courses.get(name, Course()).resumed_count

    def _settle(self, sights: dict[str, Sight]) -> None:
        """Where a document left the queue after an attempt: if one came out, the cause is over and done with."""
        asked = False
        for name, sight in sights.items():
            course = self._courses.get(name)
            if sight.documents is None:
                continue
            before = self._documents.get(name)
            has_left = before is None or before - sight.documents
            if course is not None and course.attempts and has_left and self._acts:
                if asked:
                    continue  # in the next pass
                asked = True
                if self._printed(name, course.attempts[-1].server_at):
                    self._keep(name, replace(course, attempts=[]))
            self._documents[name] = sight.documents

    def _printed(self, name: str, since: float) -> bool:
        try:
            return spooler.printed_since(self._server, name, since, timeout_s=self._timeout_s, mono=self._clock.mono)
        except Failed as failed:
            log.debug("whether a document came out is not known queue=%s reason=%s", name, failed)
            return False

    def _resume(self, name: str, verdict: Verdict, server_now: float) -> Verdict:
        before = self._courses.get(name, Course())
        attempt = heal.Attempt(self._clock.now(), server_now, causes.in_order(verdict.causes))
        tried = replace(before, attempts=[*before.attempts, attempt])
        if not self._keep(name, tried):
            self._courses[name] = before
            return replace(verdict, outcome="gave_up", reason="not_recorded", resume=False)
        try:
            spooler.resume(self._server, name, timeout_s=self._timeout_s, mono=self._clock.mono)
        except Failed as failed:
            log.warning("a stopped print queue could not be resumed queue=%s reason=%s", name, failed)
            if failed.code == "denied":
                self._denied_at = self._clock.mono()
                self._keep(name, before)
                return replace(verdict, outcome="refused", reason="server_denied", resume=False)
            # It may have heard us all the same, so this was one of the two.
            return replace(verdict, outcome="waiting", reason="server_failed", resume=False)
        log.info("a stopped print queue was resumed queue=%s causes=%s", name, ",".join(attempt.causes))
        self._keep(name, replace(tried, last=attempt, resumed_count=before.resumed_count + 1))
        self._watches[name] = Watch()
        return replace(verdict, outcome="resumed", reason="cause_gone", resume=False)

    def _keep(self, name: str, course: Course) -> bool:
        """Remember, in the file too; whether that worked."""
        self._courses[name] = course
        if not self._acts:
            return True
        kept = {key: value for key, value in self._courses.items() if value != Course()}
        try:
            replace_file(self._file, msgspec.json.encode(kept))
        except OSError as error:
            log.warning("what was done for print queues cannot be remembered reason=%s", error)
            return False
        return True

    def _forget(self, sights: dict[str, Sight]) -> None:
        if len(self._courses) > _MOST_QUEUES:
            self._courses = {name: course for name, course in self._courses.items() if name in sights}


def _read(file: Path) -> dict[str, Course]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Course])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        log.warning("what was done for print queues before cannot be read file=%s reason=%s", file, error)
        return {}


def sight_of(printer: merge.Printer, *, told_at: float, now_mono: float) -> Sight | None:
    """A queue as the decision needs it; None while its server does not answer.

    `told_at` is when the printer's last good answer came, both times on the steady clock.
    """
    queue = printer.queue
    if queue is None or queue.paused is None:
        return None
    sight = Sight(
        stopped=queue.paused,
        accepting=queue.accepting is not False,
        said=queue.said,
        documents=queue.jobs.documents if queue.jobs is not None else None,
        held=queue.jobs.held if queue.jobs is not None else frozenset(),
        trials=queue.jobs.trials if queue.jobs is not None else (),
        remembered=frozenset(queue.memory.causes) - merge.QUEUE_CAUSES,
    )
    own = frozenset(merge.own_causes(printer))
    if printer.elsewhere or printer.where.way == "none":
        return replace(sight, told="never")
    if isinstance(printer.answer, Seen):
        return replace(sight, told="told", told_at=told_at, state=printer.answer.state, causes=own)
    if isinstance(printer.answer, Failed) and printer.answer.code in SILENT:
        return replace(sight, told="told", told_at=now_mono, state="unreachable", causes=own)
    return sight


def put(report: Report, name: str, verdict: Verdict, *, count: int) -> None:
    """Write what was done for a queue."""
    subject = f"printer:{name}"
    report.put(subject, "printer_heal_outcome", verdict.outcome)
    if verdict.outcome not in {"none", "switched_off"}:
        report.put(subject, "printer_heal_reason", verdict.reason)
        report.put(subject, "printer_heal_causes", causes.in_order(verdict.causes))
    if verdict.outcome != "switched_off":
        report.put(subject, "printer_heals_count", count)
