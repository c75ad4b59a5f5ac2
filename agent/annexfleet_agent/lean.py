"""Keeps out of the resident process what its libraries import and the agent never uses: 5 MiB of 32.

Import this before all else.  tests/agent/test_footprint.py fails when a trick stops to work; then memory is all that is
lost, for whatever is missed is imported at its first use.
"""

import codecs
import importlib
import sys
import types
from contextlib import suppress

from annexfleet_agent.later import import_msgspec, import_without

_M_ARENA_MAX = -8
_LONGEST_LABEL = 63


def _use_plain_idna() -> None:
    """Every look-up of a name encodes it as IDNA, for which Python loads tables of all the world's letters.

    Names in ASCII, which all of ours are, need none of it; for any other the real codec is loaded.
    """

    def encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
        labels = text.removesuffix(".").split(".")
        if text.isascii() and all(0 < len(label) <= _LONGEST_LABEL for label in labels):
            return text.encode("ascii"), len(text)
        return real().encode(text, errors)

    def decode(data: bytes, errors: str = "strict") -> tuple[str, int]:
        return real().decode(data, errors)

    def real() -> codecs.CodecInfo:
        if sys.modules.get(plain.__name__) is plain:
            del sys.modules[plain.__name__]
        found: codecs.CodecInfo = importlib.import_module(plain.__name__).getregentry()
        return found

    plain = types.ModuleType("encodings.idna")
    plain.getregentry = lambda: codecs.CodecInfo(encode, decode, name="idna")  # type: ignore[attr-defined, arg-type]
    if plain.__name__ not in sys.modules:
        sys.modules[plain.__name__] = plain


def use_one_arena() -> None:
    """glibc gives each thread a heap of its own; what a TLS handshake leaves in the worker's is 1 MiB for nothing."""
    with suppress(ImportError, OSError, AttributeError, TypeError):  # another C library
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


import_without("linecache", "tokenize")
import_without("urllib.parse", "ipaddress")
import_msgspec()
import_without("paho.mqtt.client", "urllib.request")
import_without("psutil", "subprocess")
_use_plain_idna()
