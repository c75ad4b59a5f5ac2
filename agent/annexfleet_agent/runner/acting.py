"""A command of the catalogue, done once: its receipt is on disk before its answer goes."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence

import msgspec

from annexfleet_agent.protocol.commands import Value
from annexfleet_agent.protocol.envelope import Result
from annexfleet_agent.runner.commands import CommandFailed, CommandRefused, Here, Plan, plan
from annexfleet_agent.runner.execution import Ended
from annexfleet_agent.runner.jobs import Execute, Job, Place, Tools
from annexfleet_agent.runner.ledger import Kept, Ledger, LedgerUnusable, Outcome
from annexfleet_agent.runner.process import Limits, Process, environment

log = logging.getLogger(__name__)


class Act(Execute):
    """One command that was begun in the ledger."""

    def __init__(
        self,
        tools: Tools,
        place: Place,
        limits: Limits,
        *,
        command_id: str,
        name: str,
        parameters: Mapping[str, Value],
        where: Here,
        ledger: Ledger,
        kept: Callable[[Kept], object],
        watch: Callable[[float], object],
    ) -> None:
        """`kept` hears of the receipt when it is on disk; `watch` is told for how many seconds."""
        super().__init__(tools, place, limits, (), name=f"annexfleet-command-{os.getpid()}-{id(self):x}", extra={})
        self._command_id, self._command, self._parameters = command_id, name, parameters
        self._where, self._ledger, self._kept, self._watch = where, ledger, kept, watch

    def start(self) -> None:
        try:
            made = plan(self._command, self._parameters, self._where)
        except CommandRefused as error:
            self.finish(self._receipt("refused", error.detail))
        except CommandFailed as error:
            self.finish(self._receipt("failed", error.detail))
        else:
            self._do(made)

    def _do(self, made: Plan) -> None:
        if made.argv:
            self.limits = msgspec.structs.replace(self.limits, seconds=min(self.limits.seconds, made.timeout_s))
            extra = {**made.extra, "PATH": self._where.search}
            self.begin(lambda output, errors: Process(made.argv, output, errors, fence=self.fence(), extra=extra))
            return
        if made.watch_s is not None:
            self._watch(made.watch_s)
        result = self._receipt("done", "")
        if made.afterwards and result.receipt == "done":
            leave_to_itself(made.afterwards)
        self.finish(result)

    def cancel(self, error: str, detail: str = "") -> None:
        if self._execution is None and not self._is_done:
            self.finish(self._receipt("failed", error))
        else:
            super().cancel(error, detail)

    def result(self, ended: Ended) -> Result:
        if ended.error:
            return self._receipt("failed", ended.error, ended)
        if ended.exit_code:
            return self._receipt("failed", f"exit_{ended.exit_code}", ended)
        return self._receipt("done", "", ended)

    def failed(self, result: Result) -> Result:
        return self._receipt("failed", result.error)

    def _receipt(self, outcome: Outcome, detail: str, ended: Ended | None = None) -> Result:
        """Keep what became of it; the answer that tells so."""
        ended = ended or Ended()
        try:
            kept = self._ledger.end(self._command_id, outcome, detail, now=self.tools.loop.clock.now())
        except LedgerUnusable as error:
            # The mark that it was begun is still there: whoever asks again, even later, hears the same.
            log.error("a receipt cannot be kept command=%s reason=%s", self._command_id, error)  # noqa: TRY400
            return Result(exit_code=ended.exit_code, error=ended.error, detail="not_kept", receipt="unknown")
        log.info("a command is done with command=%s outcome=%s detail=%s", self._command_id, outcome, detail)
        self._kept(kept)
        return Result(exit_code=ended.exit_code, error=ended.error, detail=detail, receipt=outcome)


class Repeat(Job):
    """A command that came before: its receipt again, and nothing is done."""

    def __init__(self, tools: Tools, place: Place, limits: Limits, kept: Kept) -> None:
        super().__init__(tools, place, limits)
        self._kept = kept

    def start(self) -> None:
        self.finish(Result(detail=self._kept.detail, receipt=self._kept.outcome))


def leave_to_itself(argv: Sequence[str]) -> None:
    """Start something that outlives this process."""
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        os.posix_spawn(
            argv[0], list(argv), environment(), setsid=True,
            file_actions=[(os.POSIX_SPAWN_DUP2, nothing, standard) for standard in (0, 1, 2)],
        )  # fmt: skip
    finally:
        os.close(nothing)
