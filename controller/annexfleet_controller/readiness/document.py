"""Services as documents: what a person edits, as JSON, and what is refused.

```json
{"services": [
  {"code": "passeport", "name": {"fr": "Passeport", "ar": "جواز السفر", "en": "Passport"},
   "needs": [{"capability": "counter", "at_least": 1, "full": 2},
             {"capability": "print", "of": ["0f3a5c7e9b1d2f4a6c8e0b2d"]},
             {"capability": "portal", "at_least": "all", "required": true}]}]}
```

What one annex says of one service is `{"offered": true, "needs": [...]}`.  What is left out, or null, is the
province's, and for the province the default.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from annexfleet_controller.errors import ServicesWrong
from annexfleet_controller.readiness.model import CAPABILITIES, CapabilityName
from annexfleet_controller.readiness.services import NeedDefinition, Override, ServiceDefinition

LANGUAGES = ("fr", "ar", "en")
MOST_SERVICES = 100
MOST_NEEDS = 12
MOST_THINGS = 100
"""That one need names."""
MOST_AT_LEAST = 1_000
LONGEST_NAME = 80
LONGEST_ID = 100
CODE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""As agents name queues."""

_SERVICE_FIELDS = frozenset({"code", "name", "needs"})
_NEED_FIELDS = frozenset({"capability", "at_least", "full", "of", "required", "instead"})
_OVERRIDE_FIELDS = frozenset({"offered", "needs"})


def parse_services(document: object) -> tuple[ServiceDefinition, ...]:
    """The province's services from decoded JSON.

    Raises ServicesWrong with `field` (such as `services.2.needs.0.at_least`, counted from 0) and `reason`, a code that
    has words.
    """
    fields = _mapping(document, "", frozenset({"services"}))
    if "services" not in fields:
        raise ServicesWrong(field="services", reason="missing")
    found: dict[str, ServiceDefinition] = {}
    for place, item in enumerate(_list(fields["services"], "services", MOST_SERVICES)):
        service = parse_service(item, f"services.{place}")
        if service.code in found:
            raise ServicesWrong(field=f"services.{place}.code", reason="twice")
        found[service.code] = service
    return tuple(found.values())


def parse_service(value: object, field: str = "") -> ServiceDefinition:
    """One service.  Raises ServicesWrong."""
    fields = _mapping(value, field, _SERVICE_FIELDS)
    names = _mapping(fields.get("name") or {}, _in(field, "name"), frozenset(LANGUAGES))
    fr, ar, en = (_text(names.get(of) or "", _in(field, f"name.{of}"), LONGEST_NAME) for of in LANGUAGES)
    return ServiceDefinition(
        code=parse_code(fields.get("code"), _in(field, "code")),
        name_fr=fr, name_ar=ar, name_en=en,
        needs=_needs(fields.get("needs"), _in(field, "needs")),
    )  # fmt: skip


def parse_override(value: object) -> Override:
    """What an annex says of a service.  Raises ServicesWrong."""
    fields = _mapping(value, "", _OVERRIDE_FIELDS)
    offered = fields.get("offered")
    if offered is not None and not isinstance(offered, bool):
        raise ServicesWrong(field="offered", reason="not_yes_or_no")
    return Override(offered=offered, needs=_needs(fields.get("needs"), "needs"))


def parse_code(value: object, field: str) -> str:
    """The code of a service.  Raises ServicesWrong."""
    if value is None or value == "":
        raise ServicesWrong(field=field, reason="missing")
    if not isinstance(value, str) or not CODE.fullmatch(value):
        raise ServicesWrong(field=field, reason="not_a_code")
    return value


def written_service(service: ServiceDefinition) -> dict[str, Any]:
    """As JSON has it; `parse_service` gives it back."""
    return {
        "code": service.code,
        "name": {"fr": service.name_fr, "ar": service.name_ar, "en": service.name_en},
        "needs": written_needs(service.needs),
    }


def written_override(override: Override) -> dict[str, Any]:
    """As JSON has it; `parse_override` gives it back."""
    return {"offered": override.offered, "needs": written_needs(override.needs)}


def written_needs(needs: Sequence[NeedDefinition] | None) -> list[dict[str, Any]] | None:
    return None if needs is None else [_written_need(need) for need in needs]


def _written_need(need: NeedDefinition) -> dict[str, Any]:
    return {
        "capability": need.capability,
        "at_least": "all" if need.at_least is None else need.at_least,
        "full": "all" if need.full is None else need.full,
        "of": list(need.of),
        "required": need.required,
        "instead": list(need.instead),
    }


def _needs(value: object, field: str) -> tuple[NeedDefinition, ...] | None:
    if value is None:
        return None
    items = _list(value, field, MOST_NEEDS)
    if not items:  # a service that needs nothing would always be ready, whatever is broken
        raise ServicesWrong(field=field, reason="missing")
    return tuple(_need(item, f"{field}.{place}") for place, item in enumerate(items))


def _need(value: object, field: str) -> NeedDefinition:
    fields = _mapping(value, field, _NEED_FIELDS)
    at_least = _count(fields.get("at_least", 1), f"{field}.at_least")
    full = _count(fields.get("full", "all"), f"{field}.full")
    of = [_text(one, f"{field}.of", LONGEST_ID) for one in _list(fields.get("of") or [], f"{field}.of", MOST_THINGS)]
    if "" in of:
        raise ServicesWrong(field=f"{field}.of", reason="missing")
    if len(set(of)) < len(of):
        raise ServicesWrong(field=f"{field}.of", reason="twice")
    if full is not None and (at_least is None or full < at_least):
        raise ServicesWrong(field=f"{field}.full", reason="below_at_least")
    if of and at_least is not None and at_least > len(of):
        raise ServicesWrong(field=f"{field}.at_least", reason="more_than_named")
    required = fields.get("required", False)
    if not isinstance(required, bool):
        raise ServicesWrong(field=f"{field}.required", reason="not_yes_or_no")
    instead = _list(fields.get("instead") or [], f"{field}.instead", len(CAPABILITIES))
    return NeedDefinition(
        capability=_capability(fields.get("capability"), f"{field}.capability"),
        at_least=at_least, full=full, of=tuple(of), required=required,
        instead=tuple(_capability(one, f"{field}.instead") for one in instead),
    )  # fmt: skip


def _capability(value: object, field: str) -> CapabilityName:
    if value is None or value == "":
        raise ServicesWrong(field=field, reason="missing")
    for name in CAPABILITIES:
        if value == name:
            return name
    raise ServicesWrong(field=field, reason="not_a_capability")


def _count(value: object, field: str) -> int | None:
    """None is all of them."""
    if value is None or value == "all":
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ServicesWrong(field=field, reason="not_a_number")
    if not 0 <= value <= MOST_AT_LEAST:
        raise ServicesWrong(field=field, reason="not_within_bounds")
    return value


def _text(value: object, field: str, longest: int) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ServicesWrong(field=field, reason="not_text")
    if len(value) > longest:
        raise ServicesWrong(field=field, reason="too_long")
    return value.strip()


def _mapping(value: object, field: str, known: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ServicesWrong(field=field, reason="not_an_object")
    for key in value:
        if key not in known:
            raise ServicesWrong(field=_in(field, str(key)[:64]), reason="unknown_field")
    return value


def _list(value: object, field: str, most: int) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise ServicesWrong(field=field, reason="not_a_list")
    if len(value) > most:
        raise ServicesWrong(field=field, reason="too_many")
    return value


def _in(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name
