"""Keeps out of the resident process what its libraries import and the agent never uses: 5 MiB of 32.

Import this before all else.  tests/agent/test_footprint.py fails when a trick stops to work; then memory is all that is
lost, for whatever is missed is imported at its first use.
"""

import codecs
import importlib
import sys
import types
from contextlib import suppress
from typing import Any

_M_ARENA_MAX = -8
_LONGEST_LABEL = 63


class _LaterModule(types.ModuleType):
    """Stands for a module until somebody wants something of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _import_without(wanted: str, *unwanted: str) -> None:
    """Import a module so that its own imports of these are put off until they are used.

    Whoever imports one of them from then on gets the real one.
    """
    if wanted in sys.modules:
        return
    put_off = [name for name in unwanted if name not in sys.modules]
    sys.modules.update((name, _LaterModule(name)) for name in put_off)
    try:
        importlib.import_module(wanted)
    finally:
        for name in put_off:
            stands_in = sys.modules.pop(name)
            package, _, child = name.rpartition(".")
            if package in sys.modules and not hasattr(sys.modules[package], child):
                setattr(sys.modules[package], child, stands_in)  # as an import would have done


def _import_msgspec() -> None:
    """msgspec prefers typing_extensions where it happens to be installed; since 3.11 typing has all that it needs."""
    forbid = "typing_extensions" not in sys.modules
    if forbid:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # an import of it fails, and msgspec goes on
    try:
        _import_without("msgspec", "msgspec.inspect")
    finally:
        if forbid:
            del sys.modules["typing_extensions"]


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


_import_without("linecache", "tokenize")
_import_without("urllib.parse", "ipaddress")
_import_msgspec()
_import_without("paho.mqtt.client", "urllib.request")
_import_without("psutil", "subprocess")
_use_plain_idna()
