"""What a task would change, as text that is the same wherever the change is the same.  Thinks only.

Devices differ in their names and in the names of temporary files; a difference that is otherwise the same must read
the same, so that one can be told "392 devices change the same 3 lines, 7 differ".
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import islice
from typing import Any, Literal

from annexfleet_controller.rollouts.masking import Mask

_Change = tuple[Literal["replace", "delete", "insert", "equal"], int, int, int, int]

LONGEST = 64 * 1024
"""Characters of one text."""
_LONGEST_SIDE = 256 * 1024
_MOST_LINES = 3000
_MOST_COMPARED = 250
"""Lines that differ in one piece.  Looking for the same lines within them takes time with the square of their number,
and what they say is a device's choice."""
_MOST_PARTS = 200
_MOST_LOOKED_AT = 10 * _MOST_PARTS
_SHORTEST_NAME = 4

_WORD = re.compile(r"/[^\s'\"]*")
_TEMPORARY = re.compile(r"/(?:ansible-(?:tmp|local)-|tmp[a-z0-9_]{6,8}(?:\Z|/))")
"""In a word of its own, for then each takes one look: a device may send a text that is all slashes."""

# What cannot be told beforehand: in check mode Ansible skips them, whatever they would do.
UNPREDICTABLE = frozenset({"command", "shell", "raw", "script", "expect", "async_status"})


def text(result: Mapping[str, Any], *, names: Sequence[str], mask: Mask) -> str:
    """All differences of a task's result as one text; empty if it shows none.

    `names` are what this device is called by: its id, its name.
    """
    parts = (part for diff in islice(_diffs(result), _MOST_LOOKED_AT) if (part := _one(diff)))
    whole = "\n".join(islice(parts, _MOST_PARTS))
    if not whole:
        return ""
    whole = mask(whole, at_most=4 * LONGEST)
    whole = _WORD.sub(lambda word: "{temporary file}" if _TEMPORARY.search(word[0]) else word[0], whole)
    for name in sorted({name for name in names if len(name) >= _SHORTEST_NAME}, key=len, reverse=True):
        whole = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", "{device}", whole)
    # Masked once more as it is cut: a name that was taken out may have stood in the middle of a secret.
    return mask(whole, at_most=LONGEST)


def digest(content: str) -> str:
    """SHA-256, hexadecimal; empty for an empty text."""
    return hashlib.sha256(content.encode()).hexdigest() if content else ""


def digest_of_all(changes: Iterable[tuple[str, str]]) -> str:
    """One digest for all changes of a device, from each changing task's key and its text's digest, in order.

    Empty if nothing changes.
    """
    lines = [f"{key} {of}\n" for key, of in changes]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def is_unpredictable(action: str, result: Mapping[str, Any]) -> bool:
    """Whether a task that a dry run skipped might do something after all.

    One that its own condition skipped would be skipped for real, too.
    """
    items = result.get("results")
    if isinstance(items, list) and items:
        return any(isinstance(item, Mapping) and _left_out(action, item) for item in items)
    return _left_out(action, result)


def _left_out(action: str, result: Mapping[str, Any]) -> bool:
    if any(reason in result for reason in ("skip_reason", "skipped_reason", "false_condition")):
        return False
    said = result.get("msg")
    return action.rpartition(".")[2] in UNPREDICTABLE or (isinstance(said, str) and "check mode" in said)


def _diffs(result: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    found = result.get("diff")
    items = result.get("results")
    if isinstance(items, list):
        for item in items[:_MOST_PARTS]:
            if isinstance(item, Mapping):
                yield from _diffs({"diff": item.get("diff")})
    for diff in found if isinstance(found, list) else [found]:
        if isinstance(diff, Mapping):
            yield diff


def _one(diff: Mapping[str, Any]) -> str:
    if isinstance(diff.get("prepared"), str):
        return str(diff["prepared"])[:_LONGEST_SIDE].rstrip("\n")
    if diff.get("dst_binary") or diff.get("src_binary"):
        return "(binary files differ)"
    if diff.get("dst_larger") or diff.get("src_larger"):
        return "(files differ and are too large to be compared)"
    before, after = _side(diff.get("before")), _side(diff.get("after"))
    if before == after:
        return ""
    lines, others = before.splitlines(), after.splitlines()
    if max(len(before), len(after)) > _LONGEST_SIDE or max(len(lines), len(others)) > _MOST_LINES:
        return f"{_header(diff)}\n(differs and is too large to be compared)"
    return "\n".join([_header(diff), *_compared(lines, others)])


def _compared(lines: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    """As `diff -U2` tells it.  A long piece that differs is told as all gone and all new."""
    for group in _Compared(None, lines, others).get_grouped_opcodes(2):
        (_, from_, _, from_other, _), (_, _, to, _, to_other) = group[0], group[-1]
        yield f"@@ -{_place(from_, to)} +{_place(from_other, to_other)} @@"
        for what, start, end, other_start, other_end in group:
            if what == "equal":
                yield from (f" {line}" for line in lines[start:end])
            else:
                yield from (f"-{line}" for line in lines[start:end])
                yield from (f"+{line}" for line in others[other_start:other_end])


class _Compared(SequenceMatcher[str]):
    a: Sequence[str]
    b: Sequence[str]

    def get_opcodes(self) -> list[_Change]:
        return _changes(self.a, self.b)


def _changes(lines: Sequence[str], others: Sequence[str]) -> list[_Change]:
    most = min(len(lines), len(others))
    start = next((number for number in range(most) if lines[number] != others[number]), most)
    same = next((n for n in range(most - start) if lines[-1 - n] != others[-1 - n]), most - start)
    end, other_end = len(lines) - same, len(others) - same
    changes: list[_Change] = [("equal", 0, start, 0, start)]
    if max(end - start, other_end - start) > _MOST_COMPARED:
        changes.append(("replace", start, end, start, other_end))
    else:
        within = SequenceMatcher(None, lines[start:end], others[start:other_end]).get_opcodes()
        changes += [(what, a + start, b + start, c + start, d + start) for what, a, b, c, d in within]
    changes.append(("equal", end, len(lines), other_end, len(others)))
    return [change for change in changes if change[2] > change[1] or change[4] > change[3]]


def _place(start: int, end: int) -> str:
    """Where a piece stands, counted from one, and how long it is."""
    length = end - start
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"


def _side(value: Any) -> str:
    """A side as text: content as it is, attributes of a file one a line."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "".join(
            f"{key}: {json.dumps(value[key], sort_keys=True, default=str)}\n" for key in sorted(value, key=str)
        )
    return json.dumps(value, sort_keys=True, default=str)


def _header(diff: Mapping[str, Any]) -> str:
    """What changes.  The other side's name is often that of a temporary file."""
    for side in ("before_header", "after_header"):
        if isinstance(diff.get(side), str) and diff[side]:
            return f"--- {diff[side].splitlines()[0][:500]}"
    for side in ("before", "after"):
        of = diff.get(side)
        if isinstance(of, Mapping) and isinstance(of.get("path"), str):
            return f"--- {of['path'][:500]}"
    return "---"
