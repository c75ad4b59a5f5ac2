"""What a task would change, as text that is the same wherever the change is the same.  Thinks only.

Devices differ in their names and in the names of temporary files; a difference that is otherwise the same must read
the same, so that one can be told "392 devices change the same 3 lines, 7 differ".
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annexfleet_controller.rollouts.masking import Mask

LONGEST = 64 * 1024
"""Characters of one text."""
_LONGEST_SIDE = 256 * 1024
_MOST_LINES = 3000
_MOST_PARTS = 200
_SHORTEST_NAME = 4

_TEMPORARY = re.compile(r"(?:/[^\s'\"]*)?/(?:ansible-(?:tmp|local)-[^\s'\"]*|tmp[a-z0-9_]{6,8}(?=$|[\s'\"/])[^\s'\"]*)")

# What cannot be told beforehand: in check mode Ansible skips them, whatever they would do.
UNPREDICTABLE = frozenset({"command", "shell", "raw", "script", "expect", "async_status"})


def text(result: Mapping[str, Any], *, names: Sequence[str], mask: Mask) -> str:
    """All differences of a task's result as one text; empty if it shows none.

    `names` are what this device is called by: its id, its name.
    """
    parts = [part for diff in _diffs(result) if (part := _one(diff))]
    whole = "\n".join(parts[:_MOST_PARTS])
    if not whole:
        return ""
    whole = mask(whole, at_most=4 * LONGEST)
    whole = _TEMPORARY.sub("{temporary file}", whole)
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
    compared = list(difflib.unified_diff(lines, others, n=2, lineterm=""))[2:]
    return "\n".join([_header(diff), *compared])


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
