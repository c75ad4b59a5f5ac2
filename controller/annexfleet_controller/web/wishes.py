"""A rollout's wish as fields of a form, and back from what was ticked and typed.

A policy is a preset and the single values that differ from it, typed in units that people use; what is left empty is
as in the preset.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from msgspec import Struct, structs

from annexfleet_controller.errors import Invalid, VariableWrong
from annexfleet_controller.readiness.model import STATES
from annexfleet_controller.rollouts import drafting
from annexfleet_controller.rollouts.proposing import USUAL_DEADLINE_S
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.waves import documents
from annexfleet_controller.waves.model import Candidate, Policy, Selector

PREFIX = "p."
DAY_S = 86_400.0
Unit = Literal["number", "minutes", "hours", "percent"]


class PolicyField(Struct, frozen=True):
    """One value of a policy, as people type it."""

    name: str
    unit: Unit
    value: str = ""
    wrong: str = ""
    """A code that has words."""


UNITS: Mapping[str, Unit] = {
    "canary_count": "number",
    "growth": "number",
    "most_in_wave": "number",
    "most_at_once": "number",
    "canary_soak_s": "minutes",
    "canary_soak_open_s": "hours",
    "soak_s": "minutes",
    "soak_open_s": "hours",
    "last_soak_s": "hours",
    "last_soak_open_s": "hours",
    "longest_wait_s": "hours",
    "most_bad_count": "number",
    "most_bad_ratio": "percent",
    "verify_within_s": "minutes",
    "timeout_s": "minutes",
}
"""The values that can be set singly, in the order of the form; `window` has a choice of its own."""
_TIMES: Mapping[Unit, float] = {"number": 1.0, "minutes": 60.0, "hours": 3600.0, "percent": 0.01}


class Asked(Struct, frozen=True, kw_only=True):
    """The form as it was sent."""

    playbook: str = ""
    name: str = ""
    reason: str = ""
    deadline_days: str = "14"
    every: bool = False
    """Every device in sight, unless something else narrows it."""
    annexes: Sequence[str] = ()
    roles: Sequence[str] = ()
    tags: Sequence[str] = ()
    without_tags: Sequence[str] = ()
    models: Sequence[str] = ()
    agent_versions: Sequence[str] = ()
    readiness: Sequence[str] = ()
    devices: Sequence[str] = ()
    preset: str = documents.CAREFUL
    window: str = ""
    policy: Mapping[str, str] = {}
    """Texts by the name of the policy's value."""
    typed: Mapping[str, str] = {}
    """Of the playbook's variables, by the name of their field."""
    draft: int = 0
    """The draft that is said anew; 0: a new one."""
    version: int = 0
    story: int = 0
    """The newest line of its story that was shown."""
    digest: str = ""
    """Of the devices that were shown."""
    do: str = ""


class Choice(Struct, frozen=True):
    """Something that narrows, and how many devices there are of it."""

    value: str
    count: int
    chosen: bool


SELECTING = ("annexes", "roles", "tags", "without_tags", "models", "agent_versions", "readiness", "devices")


def selector(asked: Asked) -> Selector:
    """Raises Invalid: `selector`, `nobody_chosen` where nothing was chosen, and as `documents.parse_selector`."""
    found = documents.parse_selector({name: list(getattr(asked, name)) for name in SELECTING})
    if found == Selector() and not asked.every:
        raise Invalid("nothing is chosen", field="selector", reason="nobody_chosen")
    return found


def policy(asked: Asked) -> Policy:
    """Raises Invalid as `documents.parse_policy` does."""
    document: dict[str, Any] = {"preset": asked.preset}
    for name, unit in UNITS.items():
        text = asked.policy.get(name, "").strip()
        if text:
            value = _number(name, text) * _TIMES[unit]
            document[name] = round(value, 6)
    if asked.window:
        document["window"] = asked.window
    return documents.parse_policy(document)


def deadline_s(asked: Asked) -> float:
    """Raises Invalid."""
    return _number("deadline_s", asked.deadline_days) * DAY_S if asked.deadline_days.strip() else USUAL_DEADLINE_S


def of_detail(found: Detail, typed: Mapping[str, str]) -> Asked:
    """How a rollout's wish stands in the form."""
    preset, values, window = _of_policy(found.policy)
    asked = Asked(
        playbook=found.playbook, name=found.name, reason=found.reason,
        deadline_days=f"{found.deadline_s / DAY_S:.4g}", every=found.selector == Selector(),
        preset=preset, window=window, policy=values, typed=typed,
    )  # fmt: skip
    return structs.replace(asked, **structs.asdict(found.selector))


def all_wrong(asked: Asked, wrong: Invalid) -> dict[str, str]:
    """Everything that cannot be so, not only what was found first: reasons by the names of fields.

    `wrong` is what was found first, and may be of something that only the fleet tells.
    """
    found: dict[str, str] = {}

    def look(check: Callable[[], object]) -> None:
        try:
            check()
        except Invalid as refused:
            found.setdefault(str(refused.facts.get("field", "")), str(refused.facts.get("reason", "")))

    look(lambda: drafting.demand_text(asked.name, "name", drafting.LONGEST_NAME, is_needed=True))
    look(lambda: selector(asked))
    for name in UNITS:
        alone = structs.replace(asked, policy={name: asked.policy.get(name, "")})
        look(lambda alone=alone: policy(alone))  # type: ignore[misc]
    look(lambda: policy(asked))
    look(lambda: drafting.demand_deadline(deadline_s(asked)))
    preset = documents.PRESETS.get(asked.preset)
    is_always = (asked.window or (preset.window if preset else "")) == "always"
    look(lambda: drafting.demand_text(asked.reason, "reason", is_needed=is_always))
    if not isinstance(wrong, VariableWrong):
        found.setdefault(str(wrong.facts.get("field", "")), str(wrong.facts.get("reason", "")))
    return found


def fields(asked: Asked, wrong: Mapping[str, str] = MappingProxyType({})) -> list[PolicyField]:
    """A field for each value of a policy; `wrong` are reasons by name."""
    return [PolicyField(name, unit, asked.policy.get(name, ""), wrong.get(name, "")) for name, unit in UNITS.items()]


def choices(candidates: Iterable[Candidate], asked: Asked) -> dict[str, list[Choice]]:
    """What can narrow, by the name of the selector's field, with the number of devices of each."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in SELECTING}
    for one in candidates:
        counts["annexes"][one.annex_id] += 1
        counts["roles"][one.role] += 1
        counts["models"][one.model] += 1
        counts["agent_versions"][one.agent_version] += 1
        counts["readiness"][one.readiness] += 1
        counts["tags"].update(one.tags)
    counts["without_tags"] = counts["tags"]
    order = {"roles": documents.ROLES, "readiness": STATES}
    found = {}
    for name in SELECTING:
        if name == "devices":
            continue
        chosen = set(getattr(asked, name))
        values = {*filter(None, counts[name]), *chosen}
        ordered = [one for one in order.get(name, ()) if one in values] or sorted(values)
        found[name] = [Choice(value, counts[name][value], value in chosen) for value in ordered]
    return found


def _of_policy(of: Policy) -> tuple[str, dict[str, str], str]:
    """The preset that is nearest, and the values that differ from it as they are typed."""
    differing = {
        name: [field for field in Policy.__struct_fields__ if getattr(of, field) != getattr(preset, field)]
        for name, preset in documents.PRESETS.items()
    }
    nearest = min(differing, key=lambda name: len(differing[name]))
    values = {
        name: f"{getattr(of, name) / _TIMES[UNITS[name]]:.6g}" for name in differing[nearest] if name in UNITS
    }  # fmt: skip
    return nearest, values, of.window if "window" in differing[nearest] else ""


def _number(field: str, text: str) -> float:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        raise Invalid(f"{field}: not a number", field=field, reason="not_a_number") from None
    if not math.isfinite(value):
        raise Invalid(f"{field}: not a number", field=field, reason="not_a_number")
    return value
