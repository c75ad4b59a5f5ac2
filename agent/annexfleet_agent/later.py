"""Imports that are put off until somebody uses them, for programs that shall start fast and stay small."""

import importlib
import sys
import types
from typing import Any


class _LaterModule(types.ModuleType):
    """Stands for a module until somebody wants something of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def import_without(wanted: str, *unwanted: str) -> None:
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


def import_msgspec() -> None:
    """msgspec prefers typing_extensions where it happens to be installed; since 3.11 typing has all that it needs."""
    forbid = "typing_extensions" not in sys.modules
    if forbid:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # an import of it fails, and msgspec goes on
    try:
        import_without("msgspec", "msgspec.inspect")
    finally:
        if forbid:
            del sys.modules["typing_extensions"]
