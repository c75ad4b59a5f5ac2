"""Supplies and trays as IPP describes them.  Thinks only.

The traps: -1, -2 and -3 are no levels; CUPS says 50 % of what it does not know; a waste box may count what is in it or
what still fits in, and vendors disagree, so `marker-levels` of a receptacle are left out.  `printer-supply`
(PWG 5100.13) follows RFC 3805: a receptacle counts the room left.
"""

import re
from collections.abc import Sequence

from msgspec.structs import replace

from annexfleet_agent.printers.alerts import pairs
from annexfleet_agent.printers.ipp import Attributes
from annexfleet_agent.printers.seen import MAX_WORDS, Supply, Tray, ratio, unique, word

WANTED = (
    "marker-names", "marker-types", "marker-colors", "marker-levels", "marker-low-levels", "printer-supply",
    "printer-supply-description",
)  # fmt: skip

_LOW_PERCENT = 5
"""For a printer that does not say what it calls low."""
_CAN_RUN_LOW = ("toner", "ink")
_MAX_NAME = 60


def supplies(attributes: Attributes, *, trust_half: bool) -> list[Supply]:
    """A printer's supplies: from `marker-*`, which say what is low, else from `printer-supply`.

    Where both are given in the same order, receptacles take their level from the latter.
    `trust_half`: False leaves out levels of exactly 50 %, which CUPS makes up.
    """
    markers = _from_markers(attributes, trust_half=trust_half)
    table = _from_supply_table(attributes)
    if not markers:
        return table[:MAX_WORDS]
    if len(markers) == len(table):
        markers = [
            replace(marker, level=row.level) if "waste" in marker.kind and "waste" in row.kind else marker
            for marker, row in zip(markers, table, strict=True)
        ]
    return markers[:MAX_WORDS]


def _from_supply_table(attributes: Attributes) -> list[Supply]:
    rows = [row for value in attributes.get("printer-supply", []) if (row := pairs(value))]
    told = attributes.get("printer-supply-description", [])
    # Some printers give one description too few; names must not slip to the neighbours then.
    texts = [_name(text) for text in told] if len(told) == len(rows) else [""] * len(rows)
    names = unique([text or _name(row.get("type", "supply")) for text, row in zip(texts, rows, strict=True)])
    found = []
    for name, row in zip(names, rows, strict=True):
        level = ratio(_int(row.get("level")), _int(row.get("maxcapacity")))
        # RFC 3805 writes `wasteToner`, IPP's own marker-types `waste-toner`.
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", word(row.get("type", ""), 40)).lower()
        found.append(
            Supply(
                name=name,
                kind=kind,
                colour=_colour(row.get("colorantname", "")),
                level=level,
                low=runs_low(kind, level, _LOW_PERCENT),
            )
        )
    return found


def _from_markers(attributes: Attributes, *, trust_half: bool) -> list[Supply]:
    levels = attributes.get("marker-levels", [])
    kinds, colours, lows = (
        _as_long_as(levels, attributes.get(name, [])) for name in ("marker-types", "marker-colors", "marker-low-levels")
    )
    names = [_name(text) for text in _as_long_as(levels, attributes.get("marker-names", []))]
    found = []
    for at, name in enumerate(unique([name or "supply" for name in names])):
        percent, low = levels[at], lows[at]
        kind = word(kinds[at] or "", 40)
        level = ratio(percent, 100) if isinstance(percent, int) else None
        if "waste" in kind or (percent == 50 and not trust_half):
            level = None
        # 100 as a "low level" would make every level low: it is what some drivers send for "not used".
        threshold = low if isinstance(low, int) and 0 < low < 100 else _LOW_PERCENT
        found.append(
            Supply(
                name=name,
                kind=kind,
                colour=_colour(colours[at] or ""),
                level=level,
                low=runs_low(kind, level, threshold),
            )
        )
    return found


def runs_low(kind: str, level: float | None, low_percent: int = _LOW_PERCENT) -> bool:
    """Whether a level speaks of toner or ink that ends soon; drums and fusers announce their end themselves."""
    lowered = kind.lower()
    prints = any(sort in lowered for sort in _CAN_RUN_LOW) and "waste" not in lowered
    return prints and level is not None and level * 100 <= low_percent


def trays(attributes: Attributes) -> list[Tray]:
    """A printer's input trays; those that are no place (`auto`) and those without anything to tell are left out."""
    media = {}
    for ready in attributes.get("media-col-ready", []):
        if isinstance(ready, dict):
            source, size = (ready.get(key, [None])[:1] for key in ("media-source", "media-size-name"))
            if source and source[0]:
                media[str(source[0])] = word(size[0], 60) if size and size[0] else ""
    found = []
    for value in attributes.get("printer-input-tray", []):
        row = pairs(value)
        name = _name(row.get("name", ""))
        level = ratio(_int(row.get("level")), _int(row.get("maxcapacity")))
        if name and name != "auto" and (level is not None or media.get(name)):
            found.append(Tray(name=name, level=level, media=media.get(name, "")))
    return found[:MAX_WORDS]


def _as_long_as(levels: Sequence[object], values: Sequence[object]) -> list[object]:
    """Values beside the levels; where their number differs nobody knows which belongs to which."""
    return list(values) if len(values) == len(levels) else [None] * len(levels)


def _name(value: object) -> str:
    # A slash would end the printer's name within `supply:<printer>/<supply>`.
    return word(value, _MAX_NAME).replace("/", "-") if isinstance(value, str) else ""


def _colour(value: object) -> str:
    colour = word(value, 40).lower()
    return "" if colour in {"unknown", "none", "no-color"} else colour


def _int(value: str | None) -> int:
    """-2, "unknown", for what is no number."""
    try:
        return int(value or "", 10)
    except ValueError:
        return -2
