"""The rules that count for an annex: the defaults, what the province changed of them, what the annex changed of that.

Thinks only; `store.rules` keeps the overrides.
"""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from annexfleet_controller.errors import RuleUnknown, RuleWrong
from annexfleet_controller.rules import check
from annexfleet_controller.rules.defaults import default_rules
from annexfleet_controller.rules.model import Rule, SubjectKind
from annexfleet_controller.things import AUDIENCES, SEVERITIES, Audience, Severity

PROVINCE = ""
"""The scope of overrides that count for every annex."""


class Override(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What somebody changed of one rule, field by field; None is as it was.  Times are seconds."""

    levels: dict[str, float] = {}
    severity: Severity | None = None
    for_s: float | None = None
    for_s_by_role: dict[str, float] = {}
    clear_for_s: float | None = None
    only_open: bool | None = None
    opening_grace_s: float | None = None
    samples: int | None = None
    audience: tuple[Audience, ...] | None = None
    then: tuple[Audience, ...] | None = None
    then_after_s: float | None = None
    enabled: bool | None = None


FIELDS: tuple[str, ...] = Override.__struct_fields__


class StoredOverride(Struct, frozen=True):
    """An override as it is kept."""

    scope: str
    """An annex id, or `PROVINCE`."""
    rule_id: str
    document: str
    """JSON of an `Override`."""


class Problem(Struct, frozen=True):
    """A stored override that does not count: a later release reads it otherwise, or what it rests on changed."""

    scope: str
    rule_id: str
    field: str
    reason: str


def parse_override(document: object, base_rule: Rule) -> Override:
    """An override of this rule from a dictionary, or from JSON as text or bytes.

    Raises RuleWrong with the `field` (such as `levels.used`) and the `reason`, one of `check.REASONS`.
    """
    if isinstance(document, str | bytes):
        try:
            document = msgspec.json.decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise check.wrong("", "not_a_document") from error
    if not isinstance(document, dict):
        raise check.wrong("", "not_a_document")
    for field in document:
        if field not in FIELDS:
            raise check.wrong(str(field), "unknown_field")
    fields: dict[str, Any] = {field: _field(field, value) for field, value in document.items() if value is not None}
    for level in fields.get("levels", {}):
        if level not in base_rule.levels:
            raise check.wrong(f"levels.{level}", "unknown_level")
    override = Override(**fields)
    check.check(apply(override, base_rule), changed=override.levels)
    return override


def apply(override: Override, rule: Rule) -> Rule:
    """The rule as the override changes it."""
    changes: dict[str, Any] = {
        field: value
        for field in FIELDS
        if field not in {"levels", "for_s_by_role"} and (value := getattr(override, field)) is not None
    }
    return msgspec.structs.replace(
        rule,
        levels=rule.levels | override.levels,
        for_s_by_role=rule.for_s_by_role | override.for_s_by_role,
        **changes,
    )


def encode(override: Override) -> str:
    """An override as it is stored: JSON with the changed fields alone."""
    return msgspec.json.encode(override, order="sorted").decode()


class Ruleset:
    """The default rules with all overrides, ready for every annex."""

    def __init__(self, overrides: Iterable[StoredOverride] = (), defaults: Mapping[str, Rule] | None = None) -> None:
        self._defaults = default_rules() if defaults is None else dict(defaults)
        self._overrides: dict[str, dict[str, Override]] = {}
        self._effective: dict[str, dict[str, Rule]] = {}
        self._by_kind: dict[str, Mapping[SubjectKind, tuple[Rule, ...]]] = {}
        problems: list[Problem] = []
        by_scope: dict[str, list[StoredOverride]] = {PROVINCE: []}
        for stored in overrides:
            by_scope.setdefault(stored.scope, []).append(stored)
        # The province comes first: an annex's override is judged with what it rests on.
        for scope in sorted(by_scope):
            self._effective[scope] = self._applied(scope, by_scope[scope], problems)
        self.problems = tuple(problems)
        """Stored overrides that do not count; what they would change is as without them."""

    def of(self, annex_id: str) -> Mapping[SubjectKind, tuple[Rule, ...]]:
        """The rules in force in an annex (or, with `PROVINCE`, where no annex has a say), by kind of subject.

        A rule that is switched off is not there.  Annexes without overrides share one and the same mapping.
        """
        scope = annex_id if annex_id in self._effective else PROVINCE
        found = self._by_kind.get(scope)
        if found is None:
            by_kind: dict[SubjectKind, list[Rule]] = {}
            for rule in self._effective[scope].values():
                if rule.enabled:
                    by_kind.setdefault(rule.subject, []).append(rule)
            found = MappingProxyType({kind: tuple(rules) for kind, rules in by_kind.items()})
            self._by_kind[scope] = found
        return found

    def rules(self, annex_id: str = PROVINCE) -> tuple[Rule, ...]:
        """Every rule as it is for an annex, those that are switched off too, in the defaults' order."""
        return tuple(self._effective.get(annex_id, self._effective[PROVINCE]).values())

    def rule(self, rule_id: str, annex_id: str = PROVINCE) -> Rule:
        """One rule as it is for an annex.  Raises RuleUnknown."""
        rule = self._effective.get(annex_id, self._effective[PROVINCE]).get(rule_id)
        if rule is None:
            raise unknown(rule_id)
        return rule

    def default(self, rule_id: str) -> Rule:
        """A rule as annexfleet brings it.  Raises RuleUnknown."""
        if rule_id not in self._defaults:
            raise unknown(rule_id)
        return self._defaults[rule_id]

    def base(self, rule_id: str, scope: str) -> Rule:
        """What an override of this scope changes: the default for the province, the province's for an annex."""
        return self.default(rule_id) if scope == PROVINCE else self.rule(rule_id)

    def override(self, rule_id: str, scope: str) -> Override | None:
        """What this scope changed of a rule, if it did and it counts."""
        return self._overrides.get(scope, {}).get(rule_id)

    def _applied(self, scope: str, overrides: list[StoredOverride], problems: list[Problem]) -> dict[str, Rule]:
        rules = dict(self._effective.get(PROVINCE, self._defaults))
        for stored in overrides:
            try:
                if stored.rule_id not in rules:
                    raise check.wrong("", "unknown_rule")
                override = parse_override(stored.document, rules[stored.rule_id])
            except RuleWrong as error:
                problems.append(Problem(scope, stored.rule_id, str(error.facts["field"]), str(error.facts["reason"])))
                continue
            self._overrides.setdefault(scope, {})[stored.rule_id] = override
            rules[stored.rule_id] = apply(override, rules[stored.rule_id])
        return rules


def unknown(rule_id: str) -> RuleUnknown:
    return RuleUnknown(f"there is no rule {rule_id!r}; `annexfleet rules list` shows all", rule=rule_id)


# -- fields -----------------------------------------------------------------------------------------------------------

_NUMBERS = frozenset({"for_s", "clear_for_s", "opening_grace_s", "then_after_s"})
_TABLES = frozenset({"levels", "for_s_by_role"})
_FLAGS = frozenset({"only_open", "enabled"})
_PEOPLE = frozenset({"audience", "then"})


def _field(field: str, value: object) -> object:
    if field in _NUMBERS:
        return _number(field, value)
    if field in _TABLES:
        if not isinstance(value, dict):
            raise check.wrong(field, "wrong_type")
        return {str(name): _number(f"{field}.{name}", number) for name, number in value.items()}
    if field in _FLAGS:
        if not isinstance(value, bool):
            raise check.wrong(field, "wrong_type")
        return value
    if field in _PEOPLE:
        if not isinstance(value, list | tuple):
            raise check.wrong(field, "wrong_type")
        if any(person not in AUDIENCES for person in value):
            raise check.wrong(field, "unknown_audience")
        return tuple(dict.fromkeys(value))
    if field == "severity":
        if value not in SEVERITIES:
            raise check.wrong(field, "unknown_severity")
        return value
    if isinstance(value, bool) or not isinstance(value, int):  # samples
        raise check.wrong(field, "not_a_number")
    return value


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise check.wrong(field, "not_a_number")
    try:
        number = float(value)
    except OverflowError:
        raise check.wrong(field, "not_a_number") from None
    if not math.isfinite(number):
        raise check.wrong(field, "not_a_number")
    return number
