"""A reading's value in words: by the unit that its metric has in the protocol's catalogue."""

from datetime import UTC, datetime
from functools import partial

from annexfleet_agent.protocol import metrics
from annexfleet_agent.protocol.messages import Value
from annexfleet_controller.i18n import formats
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import media_name

_LONGEST_AMOUNT = 15
_LATEST_S = 4e10  # what the protocol admits as a moment


def text(language: Language, metric: str, value: Value) -> str:  # noqa: PLR0911  # a case each
    """What a person reads; raw words of a device come back as they are, for the template to escape."""
    if isinstance(value, list):
        if not value:
            return language.gettext("none")
        in_words = _drive if metric == "drives" else partial(word, metric=metric)
        return language.gettext(", ").join(in_words(language, value=item) for item in value)
    if isinstance(value, str):
        return word(language, metric, value)
    if metric.endswith("_at_seconds") and value == value:  # noqa: PLR0124  # nan is unknown
        return formats.moment(language, datetime.fromtimestamp(value, UTC)) if 0 <= value < _LATEST_S else "–"
    if not formats.is_plausible(value):
        return language.name("word", "unknown")
    known = metrics.CATALOGUE.get(metric)
    unit = known.unit if known else _unit_of(metric)
    if metric.endswith("_bits_per_second"):
        return language.gettext("%(amount)s Mbit/s") % {"amount": formats.number(language, value / 1e6)}
    return _amount(language, unit, value)


def word(language: Language, metric: str, value: str) -> str:
    """A state or cause in words, if it is one that the protocol knows."""
    if metric == "printer_causes":
        return language.name("cause", value)
    if metric == "tray_media":
        return media_name(value)
    known = metrics.CATALOGUE.get(metric)
    if known is not None and (value in known.words or metric in {"supply_kind", "supply_colour"}):
        return language.name("word", value)
    return value


def _drive(language: Language, value: str) -> str:
    """`name bytes model` of the inventory, as disks are sold."""
    name, _, rest = value.partition(" ")
    amount, _, model = rest.partition(" ")
    if not amount.isdecimal() or len(amount) > _LONGEST_AMOUNT:
        return value
    return " ".join(filter(None, (name, formats.size(language, int(amount)), model)))


def _amount(language: Language, unit: str, value: float) -> str:  # noqa: PLR0911  # a table of units
    match unit:
        case "ratio":
            return formats.percent(language, value)
        case "bytes":
            return formats.size(language, value)
        case "bytes_per_second":
            return language.gettext("%(amount)s per second") % {"amount": formats.size(language, value)}
        case "per_second":
            return language.gettext("%(amount)s per second") % {"amount": formats.number(language, value)}
        case "seconds":
            return formats.duration(language, value)
        case "celsius":
            return formats.celsius(language, value)
        case "dbm":
            return language.gettext("%(amount)s dBm") % {"amount": formats.number(language, value)}
        case "bool":
            return language.gettext("yes") if value else language.gettext("no")
        case _:
            return formats.number(language, value)


def _unit_of(metric: str) -> str:
    """The unit of a metric that a newer agent knows and this controller does not: its name ends with it."""
    for unit in ("bytes_per_second", "per_second", "ratio", "bytes", "seconds", "celsius", "dbm"):
        if metric.endswith("_" + unit):
            return unit
    return "count"
