"""What a source of queue figures gives back, and how it says that it could not."""

import re
from typing import Any, NamedTuple

import msgspec

from annexfleet_agent.protocol.messages import ProblemCode

MAX_ANSWER_BYTES = 1 << 20
"""Of what a source says; the figures of fifty queues take some 10 KiB."""
MAX_ROWS = 64
MAX_DEPTH = 32

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class SourceFailed(Exception):
    """A source gave no figures.  The code leaves the device, the detail is for `annexfleet-agent check`."""

    def __init__(self, problem_code: ProblemCode, detail: str) -> None:
        super().__init__(detail)
        self.problem_code: ProblemCode = problem_code


class Fetched(NamedTuple):
    """A document, and when it was so."""

    document: Any
    """What JSON can hold; a source of rows (sql) gives a list of objects."""
    observed_at: float | None = None
    """Unix time of the figures where the source knows it (a file's time); None: right now."""


def parse_json(data: bytes, what: str) -> Any:
    """JSON as Python's own types.  Raises SourceFailed(malformed), which says if it looks like a web page."""
    start = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise SourceFailed("malformed", f"{what} is a web page, not JSON (a sign-in page?)")
    if _too_deep(data):
        raise SourceFailed("malformed", f"{what} is nested over {MAX_DEPTH} levels")
    try:
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceFailed("malformed", f"{what} is no JSON: {error}" if data.strip() else f"{what} is empty") from None


def _too_deep(data: bytes) -> bool:
    """Whether brackets nest too deep.

    The decoder would find out by itself, but on the worker's small stack 1,000 levels end the process before that.
    """
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
