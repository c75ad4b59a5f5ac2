"""What is wrong and what its reader can do about it, in plain words, for every cause that rules and printers name.

A title and an action stand in the catalogues under `cause_title` and `cause_action`.  Their id is the cause and the
facts that the sentence mentions (`paper_wrong %(media)s %(tray)s`).  So that a fact nobody knows leaves no hole, the
sentence with the most of the known facts is taken, and each cause has one that needs none.

Facts, all of them optional and all of them texts that are ready to be shown:

| fact | what it is |
|---|---|
| printer, device, queue, portal, annex | a name; a title that does not mention it gets it in brackets |
| tray, media | as the printer names them; `tray-2` and `iso_a4_210x297mm` become `2` and `A4` |
| colour, supply | words of `supply_colour` and `supply_kind`; a toner or ink of a known colour is a cartridge |
| services | names in the reader's language, already joined |
| time, ratio, temperature, count | an amount, written by `formats` |
| cause | of "I fixed it": the cause that is still reported, by its id |

Every fact may come from a hostile device: it is shortened, loses line ends and marks that steer, and is isolated.

Sources: facts of the printer working groups and of the default rules; who can end a printer's cause is the protocol's.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from annexfleet_agent.protocol import causes as printer_causes
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.direction import isolated, plain

Who = Literal["staff", "technician", "it", "nobody"]

LONGEST_FACT = 60
LONGEST_LIST = 300
"""Characters shown of a name, and of the services; what is cut ends with an ellipsis."""


class Guidance(Struct, frozen=True):
    """What a person reads about one cause."""

    title: str
    """What is wrong: one short sentence without a full stop."""
    action: str
    """What the reader can do: one or two sentences; "" where nobody need do anything."""


class Row(Struct, frozen=True):
    """One text of the table: who can end what it tells, and which facts its sentences can mention."""

    id: str
    who: Who
    then: Who | None = None
    about: tuple[str, ...] = ()
    """Facts that name the thing; the first one known is added to a title that does not mention it."""
    titles: tuple[str, ...] = ("",)
    """The facts of each title, apart by spaces; the first whose facts are all known is taken."""
    actions: tuple[str, ...] = ("",)
    """The same of the actions; empty: there is nothing to do."""

    def ids(self) -> list[tuple[str, str]]:
        """Context and id of everything the catalogues must hold for this text."""
        return [("cause_title", _message_id(self.id, facts)) for facts in self.titles] + [
            ("cause_action", _message_id(self.id, facts)) for facts in self.actions
        ]


_TRAY = ("tray", "")
_COLOUR = ("colour", "")
_PRINTER_TITLES = {
    "tray_failure": _TRAY, "toner_empty": _COLOUR, "toner_low": _COLOUR, "cartridge_missing": _COLOUR,
}  # fmt: skip
_PRINTER_ACTIONS = {
    "paper_empty": _TRAY, "paper_low": _TRAY, "tray_missing": _TRAY,
    "paper_wrong": ("media tray", "media", "tray", ""),
    "sleep_or_warmup": (),
}  # fmt: skip


def _printer_row(cause: printer_causes.Cause) -> Row:
    """A cause of the protocol; `auto` there means that nobody need do anything before `then`."""
    return Row(
        cause.id,
        _person(cause.who),
        None if cause.then is None else _person(cause.then),
        ("printer", "device"),
        _PRINTER_TITLES.get(cause.id, ("",)),
        _PRINTER_ACTIONS.get(cause.id, ("",)),
    )


def _person(who: printer_causes.Who) -> Who:
    return "nobody" if who == "auto" else who


_PRINTER = ("printer", "device")
_DEVICE = ("device",)
_ANNEX = ("annex",)
_QUEUE = ("queue", "annex")
_PORTAL = ("portal", "annex")
_RATIO = ("ratio", "")
_TIME = ("time", "")
_LEVEL = ("time", "ratio", "")

_CAUSES = (
    *map(_printer_row, printer_causes.CAUSES.values()),
    Row("jam_repeat", "technician", None, _PRINTER),
    Row("supply_low", "technician", None, _PRINTER, ("supply", "colour", ""), _LEVEL),
    Row("supply_empty", "staff", "technician", _PRINTER, ("supply", "colour", ""), ("colour", "")),
    Row("print_queue_deep", "staff", "it", _PRINTER, ("count", "")),
    Row("print_queue_healed", "nobody", None, _PRINTER, actions=()),
    Row("print_queue_not_healed", "technician", None, _PRINTER),
    Row("device_offline", "staff", "technician", _DEVICE),
    Row("device_missing", "it", None, _DEVICE),
    Row("device_flapping", "it", "technician", _DEVICE),
    Row("cpu_high", "it", None, _DEVICE, _RATIO),
    Row("memory_high", "it", None, _DEVICE, _RATIO),
    Row("swap_high", "it", None, _DEVICE),
    Row("disk_low", "it", None, _DEVICE, _LEVEL),
    Row("disk_critical", "it", "technician", _DEVICE, _LEVEL),
    Row("disk_read_only", "technician", "it", _DEVICE),
    Row("disk_failing", "technician", "it", _DEVICE),
    Row("battery_low", "staff", None, _DEVICE, _RATIO),
    Row("battery_critical", "staff", None, _DEVICE, _RATIO),
    Row("battery_worn", "technician", None, _DEVICE),
    Row("temperature_high", "technician", None, _DEVICE, ("temperature", "")),
    Row("clock_wrong", "it", None, _DEVICE, _TIME),
    Row("reboot_needed", "technician", None, _DEVICE),
    Row("reboot_unexpected", "technician", None, _DEVICE),
    Row("agent_outdated", "technician", "it", _DEVICE),
    Row("agent_backlog", "it", None, _DEVICE),
    Row("config_drift", "technician", "it", _DEVICE),
    Row("orders_forged", "it", None, _DEVICE),
    Row("power_cut", "staff", "it", _ANNEX),
    Row("line_cut", "it", None, _ANNEX),
    Row("portal_down", "it", None, _PORTAL, ("portal", "")),
    Row("portal_down_everywhere", "it", None, ("portal",), ("portal", "")),
    Row("portal_slow", "it", None, _PORTAL, ("portal time", "portal", "time", "")),
    Row("portal_certificate", "it", None, ("portal",), ("portal time", "portal", "time", "")),
    Row("queue_long", "staff", "it", _QUEUE, _TIME),
    Row("queue_critical", "staff", "it", _QUEUE, _TIME),
    Row("queue_stalled", "staff", "it", _QUEUE, _TIME),
    Row("queue_silent", "it", None, _QUEUE),
    Row("annex_cannot_serve", "it", "technician", _ANNEX, ("services", "")),
    Row("annex_degraded", "it", None, _ANNEX),
    Row("broker_down", "it"),
    Row("deadman", "it"),
    Row("database_lag", "it", None, (), _TIME),
)

_OTHER = (
    Row("annex_ok", "nobody", None, _ANNEX, actions=()),
    Row("update_tonight", "staff", None, _DEVICE, _TIME),
    # The two buttons under every instruction, and what becomes of the first.
    Row("i_fixed_it", "nobody", actions=()),
    Row("ask_help", "nobody", actions=()),
    Row("fix_checking", "nobody", None, _PRINTER, _TIME, ()),
    Row("fix_confirmed", "nobody", None, _PRINTER, actions=()),
    Row("fix_not_confirmed", "staff", "technician", _PRINTER, ("cause printer", "cause", "printer", "")),
    Row("fix_unknown", "staff", "technician", _PRINTER),
)

_ROWS = {row.id: row for row in (*_CAUSES, *_OTHER)}
assert len(_ROWS) == len(_CAUSES) + len(_OTHER), "a text stands twice in the table"

TEXTS: Mapping[str, Row] = MappingProxyType(_ROWS)
"""Every text by its id: the causes, and what is said around "I fixed it", updates and an annex that is well."""

CAUSES = tuple(row.id for row in _CAUSES)
"""The causes, printers' first, in the order of the table."""

_UNKNOWN = "unknown_reason"
_NO_FACTS: Mapping[str, str] = MappingProxyType({})


def guidance(language: Language, cause: str, facts: Mapping[str, str] = _NO_FACTS) -> Guidance:
    """The words for a cause or another text of the table; a cause that is not in it has those of `unknown_reason`.

    A fact that a sentence does not know is left aside.  The words are plain text: a template escapes them.
    """
    row = _ROWS.get(cause) or _ROWS[_UNKNOWN]
    known = _ready(language, facts)
    told = _first_with(row.titles, known)
    title = _sentence(language, "cause_title", row.id, told, known)
    name = next((known[fact] for fact in row.about if fact in known), "")
    if name and not set(told.split()) & set(row.about):
        frame = language.name("cause_title_of", _message_id("", "name title"))
        title = frame % {"name": name, "title": title}
    if not row.actions:
        return Guidance(title, "")
    return Guidance(title, _sentence(language, "cause_action", row.id, _first_with(row.actions, known), known))


def has_guidance(cause: str) -> bool:
    """Whether the cause has words of its own."""
    return cause in _ROWS


def who(cause: str) -> Who:
    """Who can end it; `nobody` also where it ends by itself.  For a cause that is not known: as `unknown_reason`."""
    return (_ROWS.get(cause) or _ROWS[_UNKNOWN]).who


def then_who(cause: str) -> Who | None:
    """Who is next where the first could not end it; None if there is no other."""
    return (_ROWS.get(cause) or _ROWS[_UNKNOWN]).then


def is_for_technician(cause: str) -> bool:
    """Whether a technician can end it, at once or after others could not; so too a cause that has no words yet."""
    return not has_guidance(cause) or "technician" in {who(cause), then_who(cause)}


def _message_id(text: str, facts: str) -> str:
    return " ".join(filter(None, (text, *(f"%({fact})s" for fact in facts.split()))))


def _first_with(choices: tuple[str, ...], known: Mapping[str, str]) -> str:
    return next(facts for facts in choices if all(fact in known for fact in facts.split()))


def _sentence(language: Language, context: str, text: str, facts: str, known: Mapping[str, str]) -> str:
    return language.name(context, _message_id(text, facts)) % known


# -- facts: from what a device or a person wrote to what can stand in a sentence

# A paragraph's end would end the isolation too.
_BREAKS = re.compile("[ \t\n\u2028\u2029]+")
_UNSEEN = " \u00a0\u202f\u200c\u200d"
"""Spaces that belong to figures, and joiners that belong to words; every other sign that shows nothing is left out."""

_TRAY_WORD = re.compile(r"^(?:tray|bac)(?:[\s_-]+(?=\w)|(?=\d))", re.IGNORECASE)
# PWG 5101.1: class, name, width x height; `iso_a4_210x297mm`.
_MEDIA_NAME = re.compile(r"^[a-z]+_([a-z0-9.-]{1,40})_[0-9.]+x[0-9.]+(?:mm|in)$")
_HEX_COLOUR = re.compile(r"^#[0-9a-f]{6}", re.IGNORECASE)
_COLOUR_OF_HEX = {"#000000": "black", "#00ffff": "cyan", "#ff00ff": "magenta", "#ffff00": "yellow"}
_CARTRIDGES = ("toner", "ink")
_LISTS = ("services",)


def _ready(language: Language, facts: Mapping[str, str]) -> dict[str, str]:
    """Those facts that say something, in words of the language where it has them, isolated."""
    known = {fact: shown for fact, value in facts.items() if (shown := _shown(fact, value))}
    if "tray" in known:
        known["tray"] = tray_number(known["tray"])
    if "media" in known:
        known["media"] = media_name(known["media"])
    _name_supply(language, known)
    if "cause" in known:
        row = _ROWS.get(known["cause"]) or _ROWS[_UNKNOWN]
        known["cause"] = _sentence(language, "cause_title", row.id, "", {})
    return {fact: isolated(value) for fact, value in known.items()}


def _shown(fact: str, value: object) -> str:
    """On one line, visible, and no longer than a sentence bears; "" for what shows nothing."""
    line = _BREAKS.sub(" ", plain(value))
    text = "".join(sign for sign in line if sign.isprintable() or sign in _UNSEEN).strip(_UNSEEN)
    longest = LONGEST_LIST if fact in _LISTS else LONGEST_FACT
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def tray_number(tray: str) -> str:
    """`2` for `tray-2`; any other name as it is."""
    return _TRAY_WORD.sub("", tray)


def media_name(media: str) -> str:
    """`A4` for `iso_a4_210x297mm`, as it stands on the packet."""
    found = _MEDIA_NAME.match(media)
    if not found:
        return media
    name = found[1].replace("-", " ")
    return name.upper() if any(sign.isdigit() for sign in name) else name.capitalize()


def _name_supply(language: Language, known: dict[str, str]) -> None:
    """Leaves the one of supply and colour that tells more: a cartridge by its colour, anything else by its kind."""
    colour, supply = known.pop("colour", ""), known.pop("supply", "")
    if _HEX_COLOUR.match(colour):
        colour = _COLOUR_OF_HEX.get(colour.lower(), "")
    lowered = supply.lower()
    is_cartridge = lowered.startswith(_CARTRIDGES) or not supply
    if colour and is_cartridge:
        known["colour"] = language.name("cartridge_colour", colour)
    elif supply:
        known["supply"] = language.name("word", supply)
