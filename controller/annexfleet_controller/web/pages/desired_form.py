"""A layer's document as a form: a row for each portal, queue and package, and what was typed as a document.

A row without a name is not there, so a row is removed by emptying its name.  Text that is no number stays text, to be
refused by `desired.document.parse` like anything else.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from annexfleet_controller.desired.document import (
    ABSENT,
    PRESENT,
    SETTINGS,
    Document,
    Key,
    PortalWish,
    QueueWish,
    written,
)

WANTED, TAKEN, INHERITED = "wanted", "taken", ""
"""How an entry stands in a layer; packages and queues also know `absent`."""
PACKAGE_WAYS = (PRESENT, ABSENT, "version", TAKEN)
QUEUE_WAYS = (WANTED, ABSENT, TAKEN)
PORTAL_WAYS = (WANTED, TAKEN)
_BLANK = {"portal": 1, "queue": 1, "package": 3}
_MOST_ROWS = 400

Typed = Mapping[str, str]


class Setting(Struct, frozen=True, kw_only=True):
    name: str
    how: str
    value: str
    least: float
    most: float


class Row(Struct, frozen=True, kw_only=True):
    """One portal, queue or package; `of` are its other fields as text."""

    place: int
    name: str = ""
    how: str
    of: Mapping[str, str] = {}


class Form(Struct, frozen=True, kw_only=True):
    settings: tuple[Setting, ...]
    portals: tuple[Row, ...]
    queues: tuple[Row, ...]
    default_how: str
    default_queue: str
    packages: tuple[Row, ...]


def filled(document: Document) -> Form:
    """The form of a document as it is, with empty rows for what may be added."""
    entries = document.entries

    def of(section: str) -> list[tuple[str, Any]]:
        return [(key.name, value) for key, value in entries.items() if key.section == section]

    portals = [_portal(place, name, value) for place, (name, value) in enumerate(of("portals"))]
    queues = [_queue(place, name, value) for place, (name, value) in enumerate(of("print_queues"))]
    packages = [_package(place, name, value) for place, (name, value) in enumerate(of("packages"))]
    default = Key("printing", "default_queue")
    return Form(
        settings=tuple(_setting(name, entries) for name in SETTINGS),
        portals=(*portals, *_blank("portal", len(portals), WANTED)),
        queues=(*queues, *_blank("queue", len(queues), WANTED)),
        default_how=INHERITED if default not in entries else TAKEN if entries[default] is None else WANTED,
        default_queue=str(entries.get(default) or ""),
        packages=(*packages, *_blank("package", len(packages), PRESENT)),
    )


def refilled(typed: Typed) -> Form:
    """The form as somebody typed it."""
    return Form(
        settings=tuple(
            Setting(
                name=name, how=typed.get(f"agent.{name}.how", ""), value=typed.get(f"agent.{name}", ""),
                least=bounds[0], most=bounds[1],
            )
            for name, bounds in SETTINGS.items()
        ),
        portals=_rows(typed, "portal"), queues=_rows(typed, "queue"), packages=_rows(typed, "package"),
        default_how=typed.get("default.how", ""), default_queue=typed.get("default", ""),
    )  # fmt: skip


def document(typed: Typed) -> dict[str, Any]:
    """What was typed, as `desired.document.parse` takes it."""
    found: dict[str, dict[str, Any]] = {"agent": {}, "portals": {}, "print_queues": {}, "printing": {}, "packages": {}}
    for name in SETTINGS:
        how = typed.get(f"agent.{name}.how", "")
        if how != INHERITED:
            found["agent"][name] = None if how == TAKEN else _number(typed.get(f"agent.{name}", ""))
    for row in _rows(typed, "portal"):
        if row.name:
            found["portals"][row.name] = None if row.how == TAKEN else _typed_portal(row)
    for row in _rows(typed, "queue"):
        if row.name:
            found["print_queues"][row.name] = (
                None if row.how == TAKEN else ABSENT if row.how == ABSENT else _typed_queue(row)
            )
    if (how := typed.get("default.how", "")) != INHERITED:
        found["printing"]["default_queue"] = None if how == TAKEN else typed.get("default", "").strip()
    for row in _rows(typed, "package"):
        if row.name:
            found["packages"][row.name] = (
                None if row.how == TAKEN else row.of.get("version", "") if row.how == "version" else row.how
            )
    return {section: of for section, of in found.items() if of}


# -- as it is


def _setting(name: str, entries: Mapping[Key, Any]) -> Setting:
    key = Key("agent", name)
    value = entries.get(key)
    how = INHERITED if key not in entries else TAKEN if value is None else WANTED
    return Setting(
        name=name, how=how, value="" if value is None else f"{value:.10g}", least=SETTINGS[name][0],
        most=SETTINGS[name][1],
    )  # fmt: skip


def _portal(place: int, name: str, value: PortalWish | None) -> Row:
    if value is None:
        return Row(place=place, name=name, how=TAKEN)
    of = {"url": value.url, "expect_status": str(value.expect_status), "expect_text": value.expect_text}
    return Row(place=place, name=name, how=WANTED, of=of)


def _queue(place: int, name: str, value: QueueWish | str | None) -> Row:
    if not isinstance(value, QueueWish):
        return Row(place=place, name=name, how=TAKEN if value is None else ABSENT)
    of = {
        "uri": value.uri, "driver": value.driver, "ppd": value.ppd, "info": value.info, "location": value.location,
        "error_policy": value.error_policy, "shared": "yes" if value.shared else "",
        "options": " ".join(f"{option}={one}" for option, one in value.options.items()),
    }  # fmt: skip
    return Row(place=place, name=name, how=WANTED, of=of)


def _package(place: int, name: str, value: str | None) -> Row:
    if value is None:
        return Row(place=place, name=name, how=TAKEN)
    if value in {PRESENT, ABSENT}:
        return Row(place=place, name=name, how=value)
    return Row(place=place, name=name, how="version", of={"version": value})


def _blank(kind: str, first: int, how: str) -> tuple[Row, ...]:
    return tuple(Row(place=place, how=how) for place in range(first, first + _BLANK[kind]))


# -- as it was typed


def _rows(typed: Typed, kind: str) -> tuple[Row, ...]:
    found = []
    for place in range(_MOST_ROWS):
        start = f"{kind}.{place}."
        if f"{start}name" not in typed:
            break
        of = {name.removeprefix(start): value.strip() for name, value in typed.items() if name.startswith(start)}
        found.append(Row(place=place, name=of.pop("name"), how=of.pop("how", WANTED), of=of))
    return tuple(found)


def _typed_portal(row: Row) -> dict[str, Any]:
    wish: dict[str, Any] = {"url": row.of.get("url", ""), "expect_text": row.of.get("expect_text", "")}
    if status := row.of.get("expect_status", ""):
        wish["expect_status"] = int(status) if status.isascii() and status.isdigit() and len(status) < 9 else status
    return wish


def _typed_queue(row: Row) -> dict[str, Any]:
    texts = ("uri", "driver", "ppd", "info", "location", "error_policy")
    wish: dict[str, Any] = {field: row.of[field] for field in texts if row.of.get(field)}
    wish["shared"] = row.of.get("shared") == "yes"
    wish.setdefault("uri", "")
    options: dict[str, str] = {}
    for part in row.of.get("options", "").split():
        option, _, value = part.partition("=")
        options[option] = value
    if options:
        wish["options"] = options
    return wish


def _number(text: str) -> float | str:
    try:
        return float(text.strip().replace(",", ".")) if len(text) < 20 else text
    except ValueError:
        return text


def plain_document(document: Document) -> dict[str, Any]:
    """As it travels in a hidden field from the preview to the decision."""
    return written(document)
