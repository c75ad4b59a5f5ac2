"""The document of a layer: what a person decides for the province, a role, an annex or a device, as JSON.

```json
{"agent": {"sample_period_s": 30, "beat_period_s": 300},
 "portals": {"cnie": {"url": "https://www.cnie.ma/", "expect_status": 200, "expect_text": ""}, "old-portal": null},
 "print_queues": {"guichet-1": {"uri": "ipp://10.20.1.31/ipp/print", "location": "Hall"}, "hp-old": "absent"},
 "printing": {"default_queue": "guichet-1"},
 "packages": {"htop": "present", "telnet": "absent", "cups": "2.4.2-3+deb12u8"}}
```

What is left out is decided by the layers above; null takes away what they decided.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from msgspec import Struct

from annexfleet_controller.errors import Invalid

Section = Literal["agent", "portals", "print_queues", "printing", "packages"]
SECTIONS: tuple[Section, ...] = get_args(Section)
SETTINGS: Mapping[str, tuple[float, float]] = {"sample_period_s": (5, 3600), "beat_period_s": (30, 3600)}
"""Of the agent, with their bounds in seconds (protocol.messages.DesiredSettings)."""
ERROR_POLICIES = ("abort-job", "retry-current-job", "retry-job", "stop-printer")
ABSENT, PRESENT = "absent", "present"
MOST_PORTALS = 16
"""Of one device, as the protocol has it."""
MOST_QUEUES = 50
MOST_PACKAGES = 300
_PORTAL = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,127}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]{1,99}")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+:~*-]{0,99}")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s]+")
_PASSWORD = re.compile(r"//[^/]*@")
_OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
_PORTAL_FIELDS = frozenset({"url", "expect_status", "expect_text"})
_QUEUE_FIELDS = frozenset({"uri", "driver", "ppd", "info", "location", "error_policy", "shared", "options"})
_MOST_OPTIONS = 30


class PortalWish(Struct, frozen=True, kw_only=True):
    """A web address whose health is checked from the device."""

    url: str
    expect_status: int = 200
    expect_text: str = ""


class QueueWish(Struct, frozen=True, kw_only=True):
    """A print queue, with the fields of the role `printers`."""

    uri: str
    driver: str = "everywhere"
    ppd: str = ""
    info: str = ""
    location: str = ""
    error_policy: str = "retry-job"
    shared: bool = False
    options: Mapping[str, str] = {}


Value = float | str | PortalWish | QueueWish
"""A setting in its unit; `absent`, `present` or a version; the name of a queue; a portal; a queue."""


class Key(Struct, frozen=True, order=True):
    """What an entry is about."""

    section: Section
    name: str

    @property
    def text(self) -> str:
        """As refusals and programs name it: `packages.htop`."""
        return f"{self.section}.{self.name}"


class Document(Struct, frozen=True):
    """What one layer decides: value by entry; None takes an inherited one away."""

    entries: Mapping[Key, Value | None] = {}


EMPTY = Document()


def parse(document: object) -> Document:
    """A document from decoded JSON.

    Raises Invalid with `field` (such as `portals.cnie.url`) and `reason`, a code that has words.
    """
    fields = _mapping(document, "", frozenset(SECTIONS))
    entries: dict[Key, Value | None] = {}
    for section in SECTIONS:
        given = fields.get(section)
        if given is None:
            continue
        if not isinstance(given, Mapping):
            raise _wrong(section, "not_an_object")
        if len(given) > _MOST[section]:
            raise _wrong(section, "too_many")
        for name, value in given.items():
            if not isinstance(name, str) or not _is_name(section, name):
                raise _wrong(f"{section}.{str(name)[:60]}", "unknown_field" if section in _CLOSED else "not_a_name")
            field = f"{section}.{name}"
            entries[Key(section, name)] = None if value is None else _READ[section](value, field, name)
    return Document(dict(sorted(entries.items())))


def written(document: Document) -> dict[str, Any]:
    """The document as JSON has it; `parse` gives it back."""
    found: dict[str, Any] = {}
    for key, value in document.entries.items():
        found.setdefault(key.section, {})[key.name] = written_value(value)
    return found


def written_value(value: Value | None) -> Any:
    """One entry as JSON has it; what is as usual of a portal or queue is left out."""
    if isinstance(value, PortalWish):
        usual: Mapping[str, Any] = {"expect_status": 200, "expect_text": ""}
        return {"url": value.url} | _unusual(value, usual)
    if isinstance(value, QueueWish):
        return {"uri": value.uri} | _unusual(value, _USUAL_QUEUE)
    return value


_USUAL_QUEUE: Mapping[str, Any] = {
    "driver": "everywhere", "ppd": "", "info": "", "location": "", "error_policy": "retry-job", "shared": False,
    "options": {},
}  # fmt: skip


def _unusual(value: Struct, usual: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, name) for name, of in usual.items() if getattr(value, name) != of}


# -- one entry


def _is_name(section: Section, name: str) -> bool:
    match section:
        case "agent":
            return name in SETTINGS
        case "portals":
            return _PORTAL.fullmatch(name) is not None
        case "print_queues":
            return _QUEUE.fullmatch(name) is not None
        case "printing":
            return name == "default_queue"
        case "packages":
            return _PACKAGE.fullmatch(name) is not None


def _setting(value: object, field: str, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(field, "not_a_number")
    least, most = SETTINGS[name]
    if not least <= value <= most:
        raise _wrong(field, "not_within_bounds")
    return float(value)


def _portal(value: object, field: str, _name: str) -> PortalWish:
    fields = _mapping(value, field, _PORTAL_FIELDS)
    url = _text(fields.get("url"), f"{field}.url", 500, is_needed=True)
    # The agent refuses the same (annexfleet_agent.desired): here a person can still correct it.
    if any(character <= " " or character == "\x7f" for character in url):
        raise _wrong(f"{field}.url", "not_an_address")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong(f"{field}.url", "not_an_address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise _wrong(f"{field}.url", "not_an_address")
    if "@" in parts.netloc:
        raise _wrong(f"{field}.url", "holds_a_password")
    status = fields.get("expect_status", 200)
    if isinstance(status, bool) or not isinstance(status, int):
        raise _wrong(f"{field}.expect_status", "not_a_number")
    if not 100 <= status <= 599:
        raise _wrong(f"{field}.expect_status", "not_within_bounds")
    text = _text(fields.get("expect_text", ""), f"{field}.expect_text", 200)
    return PortalWish(url=url, expect_status=status, expect_text=text)


def _queue(value: object, field: str, _name: str) -> QueueWish | str:
    if value == ABSENT:
        return ABSENT
    fields = _mapping(value, field, _QUEUE_FIELDS)
    uri = _text(fields.get("uri"), f"{field}.uri", 500, is_needed=True)
    if not _URI.fullmatch(uri):
        raise _wrong(f"{field}.uri", "not_an_address")
    if _PASSWORD.search(uri):
        raise _wrong(f"{field}.uri", "holds_a_password")
    driver = _text(fields.get("driver", "everywhere"), f"{field}.driver", 200) or "everywhere"
    ppd = _text(fields.get("ppd", ""), f"{field}.ppd", 200)
    if ppd and (ppd.startswith("/") or ".." in ppd.split("/")):
        raise _wrong(f"{field}.ppd", "not_a_file_of_the_library")
    if ppd and driver != "everywhere":
        raise _wrong(f"{field}.ppd", "driver_or_ppd")
    policy = fields.get("error_policy", "retry-job")
    if policy not in ERROR_POLICIES:
        raise _wrong(f"{field}.error_policy", "unknown_choice")
    shared = fields.get("shared", False)
    if not isinstance(shared, bool):
        raise _wrong(f"{field}.shared", "not_yes_or_no")
    return QueueWish(
        uri=uri, driver=driver, ppd=ppd, info=_text(fields.get("info", ""), f"{field}.info", 127),
        location=_text(fields.get("location", ""), f"{field}.location", 127), error_policy=str(policy), shared=shared,
        options=_options(fields.get("options"), f"{field}.options"),
    )  # fmt: skip


def _options(value: object, field: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(field, "not_an_object")
    if len(value) > _MOST_OPTIONS:
        raise _wrong(field, "too_many")
    found = {}
    for name, one in value.items():
        if not isinstance(name, str) or not _OPTION.fullmatch(name):
            raise _wrong(f"{field}.{str(name)[:40]}", "not_a_name")
        if isinstance(one, bool) or not isinstance(one, str | int):
            raise _wrong(f"{field}.{name}", "not_text")
        found[name] = _text(str(one), f"{field}.{name}", 200, is_needed=True)
    return dict(sorted(found.items()))


def _default_queue(value: object, field: str, _name: str) -> str:
    if not isinstance(value, str) or not _QUEUE.fullmatch(value):
        raise _wrong(field, "not_a_name")
    return value


def _package(value: object, field: str, _name: str) -> str:
    if value in {ABSENT, PRESENT}:
        return str(value)
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        raise _wrong(field, "not_a_version")
    return value


_CLOSED: frozenset[Section] = frozenset({"agent", "printing"})
"""Sections whose names are a closed list."""
_MOST: Mapping[Section, int] = {
    "agent": len(SETTINGS), "portals": MOST_PORTALS, "print_queues": MOST_QUEUES, "printing": 1,
    "packages": MOST_PACKAGES,
}  # fmt: skip
_READ: Mapping[Section, Callable[[object, str, str], Value]] = {
    "agent": _setting, "portals": _portal, "print_queues": _queue, "printing": _default_queue, "packages": _package,
}  # fmt: skip


def _text(value: object, field: str, longest: int, *, is_needed: bool = False) -> str:
    if value is None and is_needed:
        raise _wrong(field, "missing")
    if not isinstance(value, str):
        raise _wrong(field, "not_text")
    if is_needed and not value.strip():
        raise _wrong(field, "missing")
    if len(value) > longest or not value.isprintable():
        raise _wrong(field, "too_long")
    return value.strip()


def _mapping(value: object, field: str, known: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(field or "document", "not_an_object")
    for key in value:
        if key not in known:
            shown = str(key)[:40]
            raise _wrong(f"{field}.{shown}" if field else shown, "unknown_field")
    return value


def _wrong(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason.replace('_', ' ')}", field=field, reason=reason)
