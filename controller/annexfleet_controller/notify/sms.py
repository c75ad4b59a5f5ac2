"""Short messages: what fits into one or two segments, in the alphabet of telephones where the language allows it.

160 characters of the GSM alphabet, or 153 in each of several; 70 or 67 as soon as one character is outside of it, as
all of Arabic is.  Source: 3GPP TS 23.038.
"""

import unicodedata
from collections.abc import Sequence

from annexfleet_controller.i18n.direction import plain

MOST_SEGMENTS = 2

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("^{}\\[~]|€\f")
_LIKE = str.maketrans({
    "’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"', "–": "-", "—": "-", "…": "...", "œ": "oe", "Œ": "OE",
    "\u00a0": " ", "\u202f": " ", "\u2009": " ", "×": "x", "°": "", "ç": "c",
})  # fmt: skip


def fitted(pieces: Sequence[str]) -> str:
    """As many of the pieces as fit, the first ones first; the very first is cut if it does not fit alone."""
    text = ""
    for piece in pieces:
        longer = f"{text} {_written(piece)}".strip()
        if segments(longer) <= MOST_SEGMENTS:
            text = longer
        elif not text:
            text = _cut(longer)
    return text


def segments(text: str) -> int:
    """How many short messages it takes."""
    if _is_gsm(text):
        length = sum(2 if letter in _GSM_TWICE else 1 for letter in text)
        return 1 if length <= 160 else -(-length // 153)
    length = len(text.encode("utf-16-le")) // 2
    return 1 if length <= 70 else -(-length // 67)


def _written(piece: str) -> str:
    """With look-alikes from the alphabet of telephones, if that alphabet then holds all of it; else as it is.

    A mark that isolates costs a place, and only text from right to left needs it.
    """
    simple = "".join(_simple(letter) for letter in plain(piece).translate(_LIKE))
    return simple if _is_gsm(simple) else " ".join(piece.split())


def _simple(letter: str) -> str:
    if letter in _GSM or letter in _GSM_TWICE:
        return letter
    base = unicodedata.normalize("NFD", letter)[0]
    return base if base in _GSM else letter


def _is_gsm(text: str) -> bool:
    return all(letter in _GSM or letter in _GSM_TWICE for letter in text)


def _cut(text: str) -> str:
    """The longest beginning that fits with an ellipsis; what it opens of isolations it closes."""
    for end in range(len(text), 0, -1):
        start = text[:end].rstrip()
        closed = start + "\u2069" * (start.count("\u2068") - start.count("\u2069")) + "..."
        if segments(closed) <= MOST_SEGMENTS:
            return closed
    return ""
