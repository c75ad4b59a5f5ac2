"""What others wrote, made fit to be kept and shown: secrets out, control characters out, never too long.  Thinks only.

A device is hostile input: its output may hold escape sequences, NULs, halves of surrogate pairs, and megabytes.
"""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

MASK = "********"
SHORTEST_SECRET = 4
"""Characters.  What is shorter would be found everywhere, so it cannot be masked, and is refused as a secret."""
CENSORED = "(hidden: no_log)"

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Also the marks that turn the direction of writing: they can make a line read as something else."""
_LONGEST_LOOKED_AT = 4 * 1024 * 1024


class Mask:
    """Takes known secrets out of texts, in the forms in which programs commonly write them."""

    def __init__(self, secrets: Iterable[Any] = ()) -> None:
        forms = {form for secret in secrets for text in _texts(secret) for form in _forms(text)}
        # The longest first, so that a secret that holds another one goes as a whole.
        ordered = sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str, *, at_most: int) -> str:
        """The text without secrets and control characters, cut to so many characters."""
        if len(text) > _LONGEST_LOOKED_AT:
            text = text[:_LONGEST_LOOKED_AT]
        # Secrets go first and again last: escape sequences may stand in the middle of one.
        text = self._hide(text)
        text = self._hide(plain(text))
        return cut(text, at_most)

    def _hide(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


NOTHING = Mask()


def plain(text: str) -> str:
    """A text without escape sequences and control characters; lines and tabs stay."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("\ufffd", _ESCAPES.sub("", text))


def cut(text: str, at_most: int) -> str:
    """The beginning of a text that is too long, with a mark that something is missing."""
    return text if len(text) <= at_most else text[: max(0, at_most - 2)] + " …"


def _texts(secret: Any) -> Iterable[str]:
    if isinstance(secret, dict):
        for value in secret.values():
            yield from _texts(value)
    elif isinstance(secret, list | tuple):
        for value in secret:
            yield from _texts(value)
    elif isinstance(secret, str):
        yield secret
    elif isinstance(secret, int | float) and not isinstance(secret, bool):
        yield str(secret)


def _forms(text: str) -> Iterable[str]:
    raw = text.encode("utf-8", "replace")
    yield text
    yield plain(text)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield quote(text, safe="")
    yield quote(text)
    # Of base64, what does not depend on what stands before: three ways in which it can begin within a longer text.
    for skipped in range(3):
        whole = base64.b64encode(b"\0" * skipped + raw).decode().rstrip("=")
        yield whole[-(-skipped * 8 // 6) : len(whole) - (1 if (len(raw) + skipped) % 3 else 0)]
    if "\n" in text:
        # A key of many lines shows up line by line in differences.
        yield from (line for line in text.splitlines() if len(line.strip()) >= 8)
