"""Keeps out of the resident process what its two libraries import and the agent never uses: 4 MiB of 30.

Import this before msgspec and paho.  tests/agent/test_footprint.py fails when the tricks stop to work; then memory is
all that is lost.
"""

import importlib
import sys
import types
from contextlib import suppress
from typing import Any

_M_ARENA_MAX = -8


class _LaterModule(types.ModuleType):
    """Stands for a module until somebody wants something of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _import_msgspec() -> None:
    """msgspec prefers typing_extensions where it happens to be installed; since 3.11 typing has all that it needs."""
    if "typing_extensions" in sys.modules or "msgspec" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # an import of it fails, and msgspec goes on
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules["typing_extensions"]


def _import_paho() -> None:
    """paho imports urllib.request only to find a SOCKS proxy; it brings http.client and email along."""
    if "urllib.request" in sys.modules:
        return
    sys.modules["urllib.request"] = _LaterModule("urllib.request")
    try:
        importlib.import_module("paho.mqtt.client")
    finally:
        del sys.modules["urllib.request"]  # who imports it from now on gets the real one; paho keeps the stand-in


def use_one_arena() -> None:
    """glibc gives each thread a heap of its own; what a TLS handshake leaves in the worker's is 1 MiB for nothing."""
    with suppress(ImportError, OSError, AttributeError, TypeError):  # another C library
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


_import_msgspec()
_import_paho()
