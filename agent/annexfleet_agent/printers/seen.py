"""What was learnt of one printer from one source, before the sources are merged."""

from typing import Literal

from msgspec import Struct

State = Literal["idle", "processing", "stopped", "unreachable", "unknown"]
Source = Literal["device_ipp", "device_snmp", "print_server"]

MAX_WORDS = 32
"""Reasons, supplies or trays of one printer; a real one has fewer than ten."""


class Supply(Struct, frozen=True, kw_only=True):
    """Toner, ink, drum, waste box."""

    name: str
    kind: str = ""
    colour: str = ""
    level: float | None = None
    """What is left, 0 to 1; of a receptacle, the room left.  None: the printer cannot tell."""
    low: bool = False
    """The level is at or below what the printer itself calls low."""


class Tray(Struct, frozen=True, kw_only=True):
    name: str
    level: float | None = None
    media: str = ""


class Seen(Struct, frozen=True, kw_only=True):
    """A printer, as one source describes it."""

    source: Source
    state: State
    reasons: list[str] = []
    """Raw, as the source said them."""
    alert_causes: list[str] = []
    """Causes by the printer's alert table, which is the best source there is."""
    causes: list[str] = []
    """Causes by its state reasons."""
    pages: int | None = None
    uuid: str = ""
    model: str = ""
    supplies: list[Supply] = []
    trays: list[Tray] = []
    old_firmware: bool = False
    """Speaks IPP 1.1 only; some of these lose the job if they are asked while they print."""


def word(text: object, limit: int = 120) -> str:
    """A device's text as one clean line of bounded length."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)[: 4 * limit]).split())[:limit]


def ratio(level: int, capacity: int) -> float | None:
    """A level as a share of its capacity.

    Negative levels are no amounts (-1 other, -2 unknown, -3 some left), and more than full is nonsense.
    """
    if level < 0 or capacity <= 0 or level > capacity:
        return None
    return level / capacity


def unique(names: list[str]) -> list[str]:
    """The same names, repeats told apart by a number."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return out
