"""Selectors and policies as people and programs write them, as JSON.

```json
{"annexes": ["berkane-1"], "roles": ["counter"], "without_tags": ["pilot"]}
{"preset": "careful", "most_at_once": 5, "window": "closed"}
```

What is left out of a selector, or null, does not narrow it; what is left out of a policy is as in its preset, and that
is `careful` where none is named.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from msgspec import Struct, structs

from annexfleet_controller.errors import Invalid
from annexfleet_controller.readiness.model import STATES
from annexfleet_controller.waves.model import Policy, Selector, WindowKind

REASONS = (
    "not_an_object", "unknown_field", "not_a_list", "too_many", "not_text", "too_long", "unknown_role",
    "unknown_readiness", "unknown_preset", "unknown_window", "not_a_number", "not_whole", "not_within_bounds",
    "contradicts",
)  # fmt: skip
"""Why a document is refused; each has words (context `rollout_reason`)."""

ROLES = ("counter", "kiosk", "tablet", "server")
MOST_NAMED = 5_000
"""In one list of a selector."""
LONGEST_NAME = 160
_A_DAY_S = 86_400.0
_A_WEEK_S = 7 * _A_DAY_S

CAREFUL = "careful"
_AFTERWARDS_S = 2 * 3600.0
PRESETS: Mapping[str, Policy] = MappingProxyType(
    {
        # The canary serves people for half a day before anybody else is touched: some faults show only under load.
        # Later waves are watched for longer than an hour: what fails then may be of a kind that the canary left out.
        CAREFUL: Policy(soak_s=5400.0, canary_soak_open_s=4 * 3600.0),
        # All in one night of 16 hours: canary and four waves at most, each looked at for a quarter of an hour.  What
        # shows later, or under load, is found when all are changed, and before anybody is told that it went well.
        "evening": Policy(
            growth=4.0,
            soak_s=900.0,
            canary_soak_s=1200.0,
            last_soak_s=_AFTERWARDS_S,
            last_soak_open_s=_AFTERWARDS_S,
            longest_wait_s=2 * 3600.0,
        ),
        "urgent": Policy(
            growth=5.0,
            most_at_once=50,
            soak_s=300.0,
            canary_soak_s=600.0,
            last_soak_s=_AFTERWARDS_S,
            last_soak_open_s=_AFTERWARDS_S,
            longest_wait_s=3600.0,
            window="always",
        ),
    }
)


class _Bounds(Struct, frozen=True):
    least: float
    most: float


_BOUNDS: dict[str, _Bounds] = {
    "canary_count": _Bounds(0, 100_000),
    "growth": _Bounds(1, 100),
    "most_in_wave": _Bounds(0, 100_000),
    "most_at_once": _Bounds(1, 1_000),
    "soak_s": _Bounds(0, _A_WEEK_S),
    "soak_open_s": _Bounds(0, _A_WEEK_S),
    "canary_soak_s": _Bounds(0, _A_WEEK_S),
    "canary_soak_open_s": _Bounds(0, _A_WEEK_S),
    "last_soak_s": _Bounds(0, _A_WEEK_S),
    "last_soak_open_s": _Bounds(0, _A_WEEK_S),
    "longest_wait_s": _Bounds(60, _A_WEEK_S),
    "most_bad_count": _Bounds(1, 10_000),
    "most_bad_ratio": _Bounds(0, 1),
    "verify_within_s": _Bounds(30, 2 * _A_DAY_S),
    "timeout_s": _Bounds(60, _A_DAY_S),
}
_WHOLE = frozenset({"canary_count", "most_in_wave", "most_at_once", "most_bad_count"})
_KNOWN_VALUES: dict[str, tuple[tuple[str, ...], str]] = {
    "roles": (ROLES, "unknown_role"),
    "readiness": (STATES, "unknown_readiness"),
}


def parse_selector(document: object) -> Selector:
    """A selector from decoded JSON.  What is named twice counts once.

    Raises Invalid with `field` (such as `roles.0`, counted from 0) and `reason`, one of REASONS.
    """
    fields = _mapping(document, frozenset(Selector.__struct_fields__))
    return Selector(**{name: _names(value, name) for name, value in fields.items() if value is not None})


def written_selector(selector: Selector) -> dict[str, Any]:
    """As JSON has it, without what does not narrow; `parse_selector` gives it back."""
    return {name: list(values) for name, values in structs.asdict(selector).items() if values}


def parse_policy(document: object) -> Policy:
    """A policy from decoded JSON: its preset, with the fields that are given in place of the preset's.

    Raises Invalid with `field` and `reason`, one of REASONS.
    """
    fields = dict(_mapping(document, frozenset({"preset", *Policy.__struct_fields__})))
    preset = fields.pop("preset", None)
    if preset is None:
        preset = CAREFUL
    if not isinstance(preset, str) or preset not in PRESETS:
        raise _wrong("preset", "unknown_preset")
    given: dict[str, Any] = {
        name: _window(value) if name == "window" else _number(value, name)
        for name, value in fields.items()
        if value is not None
    }
    policy = structs.replace(PRESETS[preset], **given)
    if policy.most_in_wave and policy.canary_count > policy.most_in_wave:
        raise _wrong("canary_count", "contradicts")
    return policy


def written_policy(policy: Policy) -> dict[str, Any]:
    """As JSON has it, every field; `parse_policy` gives it back."""
    return structs.asdict(policy)


def preset_of(policy: Policy) -> str:
    """The name of the preset that this is; empty if it is one of its own."""
    return next((name for name, preset in PRESETS.items() if preset == policy), "")


def _names(value: object, field: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(field, "not_a_list")
    if len(value) > MOST_NAMED:
        raise _wrong(field, "too_many")
    known, reason = _KNOWN_VALUES.get(field, ((), ""))
    found = []
    for place, one in enumerate(value):
        if not isinstance(one, str) or not one or not one.isprintable():
            raise _wrong(f"{field}.{place}", "not_text")
        if len(one) > LONGEST_NAME:
            raise _wrong(f"{field}.{place}", "too_long")
        if known and one not in known:
            raise _wrong(f"{field}.{place}", reason)
        found.append(one)
    return tuple(dict.fromkeys(found))


def _number(value: object, field: str) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(field, "not_a_number")
    if not _BOUNDS[field].least <= value <= _BOUNDS[field].most:
        raise _wrong(field, "not_within_bounds")
    if field not in _WHOLE:
        return float(value)
    if value != int(value):
        raise _wrong(field, "not_whole")
    return int(value)


def _window(value: object) -> WindowKind:
    for kind in get_args(WindowKind):
        if value == kind:
            return kind  # type: ignore[no-any-return]  # one of its own words
    raise _wrong("window", "unknown_window")


def _mapping(value: object, known: frozenset[str]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise _wrong("document", "not_an_object")
    for key in value:
        if key not in known:
            raise _wrong(str(key)[:40], "unknown_field")
    return value


def _wrong(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason.replace('_', ' ')}", field=field, reason=reason)
