"""What a request of a session does: run a program, run a module, put a file, fetch one.

A job takes what comes in as it can use it, sends no faster than the other side takes it, and ends with one result.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from annexfleet_agent.loop import Loop
from annexfleet_agent.protocol.channel import Part
from annexfleet_agent.protocol.envelope import Malformed, Module, Request, Result
from annexfleet_agent.protocol.requests import MANIFEST_UNKNOWN, FilesGathering, missing_parts
from annexfleet_agent.runner.cgroup import Groups
from annexfleet_agent.runner.execution import Ended, Execution, Started, Stream
from annexfleet_agent.runner.files import Fetch, FileFailed, Put
from annexfleet_agent.runner.modules import ManifestUnknown, ModuleCache, ModuleIncomplete, ModuleWrong
from annexfleet_agent.runner.process import Fence, Limits, Process
from annexfleet_agent.runner.warm_run import NEVER_STARTED, WarmRun
from annexfleet_agent.runner.warmth import Cold, Warm, plain

log = logging.getLogger(__name__)


class Place(Protocol):
    """What a job sees of its session."""

    @property
    def number(self) -> int:
        """Of the request, within the session."""

    def say(self, part: Part) -> None: ...
    def may_say(self) -> bool:
        """Whether there is room for more output."""

    def consumed(self) -> None:
        """One part of the input was used."""

    def done(self, result: Result) -> None: ...


class Tools(Struct, frozen=True):
    """What all jobs of a runner share."""

    loop: Loop
    groups: Groups
    cache: ModuleCache
    warm: Warm


class Answer:
    """To one request.  `start` comes first, `done` of its place is told once."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._is_done = False

    def start(self) -> None:
        """Begin.  Raises nothing: what goes wrong is told to the place."""
        raise NotImplementedError

    def feed(self, part: Part) -> None:
        """A part of the input.  One that does not want any lets it go."""
        self.place.consumed()

    def go_on(self) -> None:
        """There may be room for output again."""

    def cancel(self, error: str, detail: str = "") -> None:
        """End it, with this error."""
        self.finish(Result(error=error, detail=detail))

    def lose_input(self) -> None:
        """Nobody is there any more to send input."""

    @property
    def pids(self) -> list[int]:
        """Of processes for whom it waits itself."""
        return []

    def finish(self, result: Result) -> None:
        if not self._is_done:
            self._is_done = True
            self.place.done(result)


class Job(Answer):
    """One that is carried out on this machine."""

    def __init__(self, tools: Tools, place: Place, limits: Limits) -> None:
        super().__init__(place)
        self.tools, self.limits = tools, limits


class Execute(Job):
    """A program; what comes in is its standard input."""

    def __init__(
        self, tools: Tools, place: Place, limits: Limits, argv: Sequence[str], *, name: str, extra: dict[str, str]
    ) -> None:
        super().__init__(tools, place, limits)
        self._argv, self._name, self._extra = argv, name, extra
        self._execution: Execution | None = None

    def start(self) -> None:
        if not self._argv or any("\0" in word for word in self._argv):
            self.finish(Result(error="malformed", detail="no program"))
            return
        self.begin(lambda output, errors: Process(self._argv, output, errors, fence=self.fence(), extra=self._extra))

    @property
    def pids(self) -> list[int]:
        return [] if self._execution is None else self._execution.pids

    def fence(self) -> Fence:
        return Fence(self.limits, self.tools.groups, self._name, lambda: self.tools.warm.pids)

    def begin(self, start: Callable[[int, int], Started]) -> None:
        try:
            self._execution = Execution(
                self.tools.loop,
                start,
                limits=self.limits,
                heard=self._heard,
                may_hear=self.place.may_say,
                fed=self.fed,
                ended=self.ended,
            )
        except OSError as error:
            of = FileFailed.of(error, self._argv[0] if self._argv else "")
            self.finish(self.failed(Result(error=of.error, detail=of.detail)))

    def fed(self) -> None:
        """One part of its standard input was written."""
        self.place.consumed()

    def failed(self, result: Result) -> Result:
        """The answer if it could not even be started."""
        return result

    def feed(self, part: Part) -> None:
        if self._execution is None or self._is_done:
            self.place.consumed()
        else:
            self._execution.feed(part.data, last=part.last)

    def go_on(self) -> None:
        if self._execution is not None:
            self._execution.go_on()

    def cancel(self, error: str, detail: str = "") -> None:
        if self._execution is None:
            super().cancel(error, detail)
        else:
            self._execution.kill(error, detail)

    def lose_input(self) -> None:
        if self._execution is not None:
            self._execution.feed(b"", last=True)

    def _heard(self, stream: Stream, data: bytes) -> None:
        self.place.say(Part(stream, self.place.number, data, last=False))

    def ended(self, ended: Ended) -> None:
        self.finish(self.result(ended))

    def result(self, ended: Ended) -> Result:
        return Result(exit_code=ended.exit_code, error=ended.error, detail=ended.detail)


class RunModule(Execute):
    """A module; what comes in are the files of it that are missing here."""

    def __init__(self, tools: Tools, place: Place, limits: Limits, module: Module, *, name: str) -> None:
        super().__init__(tools, place, limits, [module.interpreter], name=name, extra=module.environment)
        self._module = module
        self._missing: list[str] = []
        self._files = FilesGathering(0)
        self._is_cold = False

    def start(self) -> None:
        try:
            self._module = self.tools.cache.listed(self._module)
            self._missing = self.tools.cache.missing(self._module)
        except ManifestUnknown:
            self.finish(Result(error=MANIFEST_UNKNOWN))
            return
        except (ModuleWrong, OSError) as error:
            self.finish(_failed(error))
            return
        if self._missing:
            self._files = FilesGathering(len(self._missing))
            for part in missing_parts(self.place.number, self._missing):
                self.place.say(part)
        else:
            self._run()

    def feed(self, part: Part) -> None:
        self.place.consumed()
        if self._is_done or self._execution is not None:
            return
        try:
            contents = self._files.add(part)
            if contents is not None:
                for sha256, content in zip(self._missing, contents, strict=True):
                    self.tools.cache.add(sha256, content)
                self._run()
        except (Malformed, ModuleWrong, OSError) as error:
            self.finish(_failed(error))

    def lose_input(self) -> None:
        if self._execution is None:
            self.finish(Result(error="cancelled"))

    def _run(self) -> None:
        try:
            archive = self.tools.cache.archive(self._module)
        except (ModuleWrong, ModuleIncomplete, OSError) as error:
            self.finish(_failed(error))
            return
        try:
            self.begin(
                lambda output, errors: WarmRun(
                    self.tools.warm, self._module, archive, output, errors, fence=self.fence()
                )
            )
        except Cold as error:
            log.info("a module runs in a Python of its own module=%s reason=%s", self._module.fqn, error)
            self._run_cold(archive)

    def _run_cold(self, archive: Path) -> None:
        argv, text = plain(self._module, archive)
        self._is_cold = True
        self.begin(lambda output, errors: Process(argv, output, errors, fence=self.fence(), extra=self._extra))
        if self._execution is not None:
            self._execution.feed(text, last=True)

    def fed(self) -> None:
        """What it reads is not what came in."""

    def ended(self, ended: Ended) -> None:
        if ended.error == NEVER_STARTED and not self._is_cold:
            try:
                self._run_cold(self.tools.cache.archive(self._module))
            except (ModuleWrong, ModuleIncomplete, OSError) as error:
                self.finish(_failed(error))
        else:
            super().ended(ended)


class PutFile(Job):
    """What comes in is the content."""

    def __init__(self, tools: Tools, place: Place, limits: Limits, request: Request) -> None:
        super().__init__(tools, place, limits)
        self._request = request
        self._put: Put | None = None

    def start(self) -> None:
        request = self._request
        try:
            self._put = Put(request.path, size_bytes=request.size_bytes, sha256=request.sha256)
        except FileFailed as error:
            self.finish(_failed(error))

    def feed(self, part: Part) -> None:
        self.place.consumed()
        if self._put is None or self._is_done:
            return
        try:
            self._put.write(part.data)
            if part.last:
                self.finish(Result(sha256=self._put.finish()))
        except FileFailed as error:
            self.finish(_failed(error))

    def cancel(self, error: str, detail: str = "") -> None:
        if self._put is not None and not self._is_done:
            self._put.abandon()
        super().cancel(error, detail)

    def lose_input(self) -> None:
        self.cancel("cancelled")


class FetchFile(Job):
    """The content goes out."""

    def __init__(self, tools: Tools, place: Place, limits: Limits, request: Request) -> None:
        super().__init__(tools, place, limits)
        self._path = request.path
        self._fetch: Fetch | None = None

    def start(self) -> None:
        try:
            self._fetch = Fetch(self._path)
        except FileFailed as error:
            self.finish(_failed(error))
        self.go_on()

    def go_on(self) -> None:
        while self._fetch is not None and not self._is_done and self.place.may_say():
            try:
                data = self._fetch.read()
            except FileFailed as error:
                self.finish(_failed(error))
                return
            if data:
                self.place.say(Part("output", self.place.number, data, last=False))
            else:
                self._fetch.close()
                self.finish(Result(sha256=self._fetch.sha256))

    def cancel(self, error: str, detail: str = "") -> None:
        if self._fetch is not None:
            self._fetch.close()
        super().cancel(error, detail)

    def lose_input(self) -> None:
        self.cancel("cancelled")


def of_request(tools: Tools, place: Place, request: Request, limits: Limits, *, name: str) -> Job:
    """The job that does what is asked.  Raises ValueError if it cannot be meant."""
    if request.op == "exec":
        return Execute(tools, place, limits, request.argv, name=name, extra={})
    if request.op == "put":
        return PutFile(tools, place, limits, request)
    if request.op == "fetch":
        return FetchFile(tools, place, limits, request)
    if request.module is None:
        raise ValueError("a module is missing")
    return RunModule(tools, place, limits, request.module, name=name)


def _failed(error: Exception) -> Result:
    if isinstance(error, FileFailed):
        return Result(error=error.error, detail=error.detail[:500])
    if isinstance(error, OSError):
        return _failed(FileFailed.of(error, os.fsdecode(error.filename or "")))
    return Result(error="malformed", detail=str(error)[:500])
