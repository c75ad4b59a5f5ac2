"""From what a printer says of its supplies to a row a day, and to the part that one orders for it.

The traps of levels (facts of printers): the agent has left out what is no level, and the 50 % that CUPS makes up where
it can tell; `forecast` leaves out the 50 % that never moves.  A receptacle counts the room left, so all fall to 0.
"""

import re
from datetime import date
from typing import Literal, get_args

from msgspec import Struct

from annexfleet_controller.state import Level, Printer
from annexfleet_controller.things import SupplyDay
from annexfleet_controller.views import AnnexView

Kind = Literal[
    "toner", "ink", "ribbon", "drum", "developer", "fuser", "transfer", "waste", "staples", "other",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
RECEPTACLES: frozenset[str] = frozenset({"waste"})

MOST_SUPPLIES = 16
"""Of one printer; a colour press has a dozen."""
_MOST_NAME, _MOST_WORD = 160, 40

# The first that fits counts: a `waste-toner` is no toner.
_KINDS: tuple[tuple[str, Kind], ...] = (
    ("waste", "waste"),
    ("fuser", "fuser"),
    ("transfer", "transfer"),
    ("developer", "developer"),
    ("staple", "staples"),
    ("ribbon", "ribbon"),
    ("opc", "drum"),
    ("drum", "drum"),
    ("photo", "drum"),
    ("toner", "toner"),
    ("ink", "ink"),
)

# Part numbers as makers print them on the box.  Those of a dash are written with it here, as shops do.
_PARTS = re.compile(
    r"""(?<![A-Z0-9])(?:
      (?P<hp> C[A-Z]\d{3}[A-Z]{1,2} | Q\d{4}[A-Z]{1,2} | W\d{4}[A-Z]{1,2} )
    | (?P<family> TN | DR | LC | BT | TK | DK | MLT | CLT | CRG | PGI | CLI )
      [-\ ]? (?P<number> [A-Z]{0,3}\d{2,5}[A-Z]{0,3} )
    | (?P<epson> C13[ST]\d{6} )
    | (?P<xerox> \d{3}R\d{5} )
    | (?P<lexmark> \d{2}[A-Z]\d[A-Z]\d{2} )
    )(?![A-Z0-9])""",
    re.VERBOSE,
)
_BETWEEN_WORDS = re.compile(r"[\W_]+")


class Part(Struct, frozen=True):
    """What one orders: a part number, or where the printer names none, what fits which model."""

    key: str
    """The same for every printer that takes it; small letters, digits and hyphens, as far as the names allow."""
    number: str
    """Such as `CF259A`; empty if no name holds one."""
    model: str
    kind: str
    colour: str


def rows(annex: AnnexView, day: date) -> list[SupplyDay]:
    """Every supply of an annex's printers as it is on that local day.

    A printer that nobody can hear now is left out: what it told last is of another day.
    """
    return [
        row
        for view in annex.printers
        if view.believed and not view.printer.missing
        for row in of_printer(annex.id, view.id, view.printer, day)
    ]


def of_printer(annex_id: str, printer_id: str, printer: Printer, day: date) -> list[SupplyDay]:
    """A printer's supplies, at most MOST_SUPPLIES, each name once."""
    named: dict[str, Level] = {}
    for level in printer.supplies:
        named.setdefault(_words(level.name, _MOST_NAME), level)
    return [
        SupplyDay(
            annex_id=annex_id,
            printer_id=printer_id,
            supply=name,
            day=day,
            kind=kind_of(level.kind, name),
            colour=_words(level.colour, _MOST_WORD).lower(),
            level_ratio=level.ratio,
            pages_count=printer.pages,
            printer_name=_words(printer.name, _MOST_NAME),
            printer_model=_words(printer.model, _MOST_NAME),
        )
        for name, level in list(named.items())[:MOST_SUPPLIES]
    ]


def kind_of(told: str, name: str) -> Kind:
    """The kind a printer means: by its word for it, else by the supply's name."""
    for words in (told.lower(), name.lower()):
        for word, kind in _KINDS:
            if word in words:
                return kind
    return "other"


def part(row: SupplyDay) -> Part:
    """What to order when this supply is used up."""
    number = part_number(row.supply)
    if number:
        return Part(_slug(number), number, row.printer_model, row.kind, row.colour)
    # Where the printer does not even name itself, what fits it is for nobody else.
    model = row.printer_model or f"{row.printer_name} {row.printer_id[:6]}"
    # A kind that is none says less than the supply's own name.
    what = (row.supply,) if row.kind == "other" else (row.kind, row.colour)
    return Part(_slug(" ".join((model, *what))), "", row.printer_model, row.kind, row.colour)


def part_number(name: str) -> str:
    """The part number in a supply's name, written as on its box; empty if there is none."""
    found = _PARTS.search(name.upper())
    if found is None:
        return ""
    if found["family"]:
        return f"{found['family']}-{found['number']}"
    return found[0]


def _slug(text: str) -> str:
    return _BETWEEN_WORDS.sub("-", text.casefold()).strip("-")[:200]


def _words(text: str, most: int) -> str:
    """A device's word without what no database takes and no reader sees: control, steering and half characters."""
    return "".join(letter for letter in text if letter.isprintable())[:most].strip()
