"""One request of the plugin's on its way to a device and back; thinks only.

Input waits here until the session has room for it, output goes to the outlet, and how it ended is told there once.

A module is asked for by its manifest first.  A device that does not know that has done nothing, so the errand is to
begin once more, and then tells the list of files; whoever asked notices nothing.
"""

import hashlib
from collections.abc import Callable
from typing import Protocol

import msgspec

from annexfleet_agent.protocol.channel import DATA_BYTES, WITH_DATA, Part
from annexfleet_agent.protocol.envelope import Malformed, Request, Result, parse
from annexfleet_agent.protocol.requests import MANIFEST_UNKNOWN, MissingGathering, request_parts
from annexfleet_controller.rollouts.relay import words
from annexfleet_controller.rollouts.relay.framing import Verdict

INPUT_KEPT_BYTES = 512 * 1024
"""Above this the plugin is not read from until the device has taken some."""

Consumed = Callable[[], None]
Files = Callable[[list[str]], bytes]
"""The files with these digests as they travel (`modules.pack`); raises KeyError for a foreign one."""


class Outlet(Protocol):
    """Whoever asked."""

    def give(self, kind: str, data: bytes, consumed: Consumed) -> None:
        """Output (`output`, `errors`); `consumed` is to be called once it was passed on, or is not wanted any more."""

    def ended(self, verdict: Verdict) -> None: ...


class Errand:
    """A request."""

    def __init__(self, request: Request | None, outlet: Outlet, files: Files | None = None) -> None:
        """`request` is None for a command, whose request lies in the envelope; `files` gives a module's."""
        self.request = request
        self.number = 0
        self.result: Result | None = None
        self.is_over = False
        self.is_to_begin_again = False
        """The device did nothing, for it must be told more: begin it under another number, or say `unreachable`."""
        self.cancelled_because = ""
        """Why nobody wants it any more, where somebody still waits for its end."""
        self._outlet = outlet
        self._files = files
        self._names_manifest = request is not None and request.module is not None and request.module.manifest != ""
        """And nothing else of the module's files."""
        self._is_untouched = True
        """Whether the device said nothing yet of what it does."""
        self._missing = MissingGathering()
        self._input = bytearray()
        self._input_over = False
        self._input_sent = False
        self._digest = hashlib.sha256() if request is not None and request.op == "fetch" else None

    # -- to the device

    def begin(self, number: int) -> list[Part]:
        """What asks for it.  Raises RequestTooBig."""
        self.number, self.is_to_begin_again = number, False
        if self.request is None:
            return []
        return request_parts(number, _without_files(self.request) if self._names_manifest else self.request)

    def feed(self, data: bytes, *, last: bool) -> None:
        """Input from the plugin."""
        self._input += data
        self._input_over = self._input_over or last

    @property
    def wants_input(self) -> bool:
        return len(self._input) < INPUT_KEPT_BYTES and not self._input_over

    def next_input(self) -> Part | None:
        """A piece of input that may go now; None if there is none.  Call it only when the session has room."""
        if self.is_over or self._input_sent or not (self._input or self._input_over):
            return None
        if self._names_manifest:  # there is none for such a module; for one that is told whole there may be
            return None
        data = bytes(self._input[:DATA_BYTES])
        del self._input[:DATA_BYTES]
        self._input_sent = self._input_over and not self._input
        return Part("input", self.number, data, last=self._input_sent)

    # -- from the device

    def hear(self, part: Part, consumed: Consumed) -> None:
        """A part of the answer.  `consumed` belongs to a part with data.  Raises Malformed."""
        if self.is_over:
            if part.kind in WITH_DATA:
                consumed()
        elif part.kind in ("output", "errors"):
            self._is_untouched = False
            if self._digest is not None and part.kind == "output":
                self._digest.update(part.data)
            self._outlet.give(part.kind, part.data, consumed)
        elif part.kind == "missing":
            if (digests := self._missing.add(part)) is not None:
                self._answer(digests)
        elif part.kind == "result":
            self._hear_result(parse(part.data, Result))
        elif part.kind in WITH_DATA:
            consumed()

    def unreachable(self, why: str) -> None:
        """The device will not answer, or nobody can know."""
        if not self.is_over:
            self.is_over = True
            self._outlet.ended(Verdict(unreachable=why))

    def _hear_result(self, result: Result) -> None:
        if result.error == MANIFEST_UNKNOWN and self._names_manifest and self._is_untouched:
            self._names_manifest, self.is_to_begin_again = False, True
        else:
            self._end(result)

    def _answer(self, digests: list[str]) -> None:
        if self._files is None or self._names_manifest:
            raise Malformed("files were asked for, and none were named")
        # Files are packed by the relay's one thread and wait in its memory: a device has each of them once.
        if self._input_over or len(set(digests)) < len(digests):
            raise Malformed("files were asked for twice")
        try:
            self.feed(self._files(digests), last=True)
        except KeyError:
            raise Malformed("a file was asked for that is not of this module") from None

    def _end(self, result: Result) -> None:
        self.is_over = True
        self.result = result
        if result.error == "cancelled":
            verdict = Verdict(unreachable=self.cancelled_because or words.ended(result))
        elif result.error:
            verdict = Verdict(error=words.ended(result), code=result.error)
        elif self._digest is not None and result.exit_code == 0 and self._digest.hexdigest() != result.sha256:
            verdict = Verdict(error=words.ended(Result(error="digest_differs")), code="digest_differs")
        else:
            verdict = Verdict(exit_code=result.exit_code)
        self._outlet.ended(verdict)


def _without_files(request: Request) -> Request:
    assert request.module is not None
    return msgspec.structs.replace(request, module=msgspec.structs.replace(request.module, files=[]))
