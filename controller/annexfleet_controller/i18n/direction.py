"""Keeping a stranger's word from turning the direction of the text around it."""

import re

# Marks that steer the direction of text, and control characters: no name needs them, and a spoof does.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"


def plain(text: object) -> str:
    """A device's word without marks that steer."""
    return _STEERING.sub("", str(text))


def isolated(text: object) -> str:
    """A device's word for an attribute or a choice, where no element can stand."""
    return f"{_ISOLATE}{plain(text)}{_END_ISOLATE}"
