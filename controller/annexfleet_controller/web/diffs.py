"""Differences as a page shows them: line by line, with signs that do not need colour."""

from typing import Literal

from msgspec import Struct

Kind = Literal["added", "removed", "place", "same"]
SHOWN_AT_MOST = 200
"""Lines of one difference; who needs more asks the API."""


class Line(Struct, frozen=True):
    kind: Kind
    text: str
    """With its sign."""


class Diff(Struct, frozen=True):
    """What one task changes, or would."""

    task: str
    lines: list[Line]
    left_out: int
    """How many lines are not shown."""
    added: int
    removed: int


def diff(task: str, text: str) -> Diff:
    """A unified difference; `text` is empty where the task cannot show what it changes."""
    raw = text.splitlines()
    lines = [_line(line, following) for line, following in zip(raw, [*raw[1:], "@@"], strict=True)] if raw else []
    return Diff(
        task=task,
        lines=lines[:SHOWN_AT_MOST],
        left_out=max(0, len(lines) - SHOWN_AT_MOST),
        added=sum(line.kind == "added" for line in lines),
        removed=sum(line.kind == "removed" for line in lines),
    )


def _line(text: str, following: str) -> Line:
    # A removed line may begin with two hyphens of its own; the name of a file stands before a place or a remark.
    if text.startswith("@@") or (text.startswith("---") and following.startswith(("@@", "("))):
        return Line("place", text)
    if text.startswith("+"):
        return Line("added", text)
    return Line("removed" if text.startswith("-") else "same", text)
