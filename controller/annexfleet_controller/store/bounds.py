"""What a device tells, cut to what the watch can carry: names that every database takes, and not more than so many.

The protocol lets names be long and hold any sign, and a device may tell hundreds.  What comes from here becomes the
things of alerts, so one device that is broken or hostile must not be able to stop the watch over all others.
Thinks only.
"""

import logging
from collections.abc import Iterable
from typing import TypeVar

from msgspec import structs

from annexfleet_controller.state import Level, Printer, Queue
from annexfleet_controller.views import Probe

log = logging.getLogger(__name__)

MOST_OF_A_KIND = 100
"""Printers, portals, queues and file systems of one device: no print server of a province has more."""
MOST_PARTS = 32
"""Supplies, trays and causes of one printer."""
LONGEST_NAME = 150
LONGEST_PORTAL = 100
"""With an annex before it and a kind before that it has to fit into the key of an incident."""
LONGEST_SERVICE = 64
LONGEST_CODE = 64

_Told = TypeVar("_Told")
_complained: set[tuple[int, str]] = set()
_MOST_COMPLAINTS = 1000


def word(text: str, most: int) -> str:
    """Without what no database takes and no reader sees: control and steering signs."""
    return text[:most] if text.isprintable() else "".join(sign for sign in text if sign.isprintable())[:most]


def printers(number: int, told: Iterable[Printer]) -> tuple[Printer, ...]:
    return few(number, "printers", map(_printer, told))


def queues(number: int, told: Iterable[Queue]) -> tuple[Queue, ...]:
    return few(number, "queues", (structs.replace(one, service=word(one.service, LONGEST_SERVICE)) for one in told))


def portals(number: int, told: Iterable[Probe]) -> tuple[Probe, ...]:
    return few(number, "portals", (
        structs.replace(one, name=word(one.name, LONGEST_PORTAL), stage=word(one.stage, LONGEST_CODE)) for one in told
    ))  # fmt: skip


def few(number: int, what: str, told: Iterable[_Told], most: int = MOST_OF_A_KIND) -> tuple[_Told, ...]:
    """The first of them; says so, once for each device, where that leaves some out."""
    found = tuple(told)
    if len(found) <= most:
        return found
    if _is_first(number, what):
        log.warning(
            "device tells more than is watched device_number=%s what=%s count=%s most=%s",
            number, what, len(found), most,
        )  # fmt: skip
    return found[:most]


def complain(sentence: str, number: int, error: Exception) -> None:
    """Log an error once for each device."""
    if _is_first(number, sentence):
        log.error(sentence, number, exc_info=error)


def _is_first(number: int, what: str) -> bool:
    if (number, what) in _complained or len(_complained) >= _MOST_COMPLAINTS:
        return False
    _complained.add((number, what))
    return True


def _printer(told: Printer) -> Printer:
    return structs.replace(
        told,
        name=word(told.name, LONGEST_NAME),
        state=word(told.state, LONGEST_CODE),
        causes=[word(cause, LONGEST_CODE) for cause in told.causes[:MOST_PARTS]],
        model=word(told.model, LONGEST_NAME),
        supplies=_levels(told.supplies),
        trays=_levels(told.trays),
        heal_outcome=word(told.heal_outcome, LONGEST_CODE),
    )


def _levels(told: list[Level]) -> list[Level]:
    return [
        structs.replace(
            one, name=word(one.name, LONGEST_NAME), kind=word(one.kind, LONGEST_CODE),
            colour=word(one.colour, LONGEST_CODE),
        )
        for one in told[:MOST_PARTS]
    ]  # fmt: skip
