"""One rule and one subject at one moment: a verdict.  Thinks only, remembers nothing.

Conditions are three-valued (Kleene): what is not known is neither true nor false, and a condition that depends on it
is not known either.  Each rule is compiled to closures once, because a timer asks hundreds of thousands of times.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import NamedTuple

from annexfleet_agent.protocol.messages import MOST, Value
from annexfleet_controller.rules import model
from annexfleet_controller.rules.model import Condition, Rule, Subject, SubjectKind
from annexfleet_controller.things import Facts, Level, Severity, Thing, Verdict

Truth = bool | None
"""None: nobody knows."""

Values = Mapping[str, Value | bool | None]
Test = Callable[[Values], Truth]

_UNITS = ("ratio", "seconds", "count", "days", "bytes", "celsius")
"""A metric's name ends with its unit; the number that decided stands in the facts under it too, for the texts."""


def judge(rule: Rule, subject: Subject, *, now: datetime) -> Verdict:
    """What a rule concludes from what is known of a subject.

    raise where its condition holds.  clear where that does not hold and its clear condition does (without one: where
    it does not hold).  unknown where either cannot be told and what is not known could change the answer.  hold
    between.  A device in its first minutes raises nothing: what was, stays.
    """
    compiled = _compiled(rule)
    return _verdict(compiled, subject, compiled.level(subject.values), now)


def judge_all(
    rules: Mapping[SubjectKind, Sequence[Rule]],
    subjects: Iterable[Subject],
    *,
    now: datetime,
    standing: Container[tuple[Thing, str]] | None = None,
    quiet: MutableMapping[tuple[Thing, str], Values] | None = None,
) -> Iterator[Verdict]:
    """The verdicts of all rules on all subjects, in the subjects' order.

    With `standing` (things and parts of which an alert is not cleared yet) only what anyone can act on is told: every
    verdict on these, and of the others those that raise.

    `quiet` remembers, from one call with the same rules to the next, by which values nothing was raised: most things
    are as they were, and then need not be asked again.
    """
    by_kind = {kind: [_compiled(rule) for rule in of] for kind, of in rules.items()}
    for subject in subjects:
        everything = standing is None or (subject.thing, subject.part) in standing
        values = subject.values
        if quiet is not None and not everything:
            before = quiet.get((subject.thing, subject.part))
            if before is values or before == values:
                continue
        raised = False
        for compiled in by_kind.get(subject.kind, ()):
            # Of what nothing is wrong with, whether it is well enough to clear is no question.
            if not everything and not compiled.raised(values):
                continue
            level = compiled.level(values)
            raised = raised or level == "raise"
            if everything or level == "raise":
                yield _verdict(compiled, subject, level, now)
        if quiet is not None:
            if raised:
                quiet.pop((subject.thing, subject.part), None)
            else:
                quiet[subject.thing, subject.part] = values


def truth(condition: Condition, values: Values, levels: Mapping[str, float] | None = None) -> Truth:
    """Whether a condition holds; `levels` are the thresholds it names."""
    return compile_condition(condition, levels or {})(values)


# -- compiled rules ---------------------------------------------------------------------------------------------------


class Compiled(NamedTuple):
    """A rule, and its conditions as functions."""

    rule: Rule
    raised: Test
    level: Callable[[Values], Level]
    warning: Test | None
    critical: Test | None
    causes: tuple[tuple[str, Test], ...]


def _compile(rule: Rule) -> Compiled:
    def optional_test(condition: Condition | None) -> Test | None:
        return None if condition is None else compile_condition(condition, rule.levels)

    raised = compile_condition(rule.raise_when, rule.levels)
    return Compiled(
        rule=rule,
        raised=raised,
        level=_leveller(raised, optional_test(rule.clear_when)),
        warning=optional_test(rule.warning_when) if rule.severity == "info" else None,
        critical=optional_test(rule.critical_when) if rule.severity != "critical" else None,
        causes=tuple(
            (cause, compile_condition(condition, rule.levels)) for cause, condition in rule.other_causes.items()
        ),
    )


_by_identity: dict[int, tuple[Rule, Compiled]] = {}
"""A rule holds dictionaries, so it cannot be hashed; as long as it stands here its identity is no other's."""
_MOST_COMPILED = 20_000
"""Some hundred annexes that each override every rule."""


def _compiled(rule: Rule) -> Compiled:
    found = _by_identity.get(id(rule))
    if found is not None:
        return found[1]
    if len(_by_identity) >= _MOST_COMPILED:
        _by_identity.clear()
    compiled = _compile(rule)
    _by_identity[id(rule)] = (rule, compiled)
    return compiled


def _leveller(raised: Test, cleared: Test | None) -> Callable[[Values], Level]:
    def without_clear(values: Values) -> Level:
        holds = raised(values)
        if holds is None:
            return "unknown"
        if holds:
            # "first_hour" is a device's value alone; where it is absent, nothing is held back.
            return "hold" if values.get("first_hour") is True else "raise"
        return "clear"

    if cleared is None:
        return without_clear

    def with_clear(values: Values) -> Level:
        holds = raised(values)
        if holds is None:
            return "unknown"
        if holds:
            return "hold" if values.get("first_hour") is True else "raise"
        well = cleared(values)
        if well is None:
            return "unknown"
        return "clear" if well else "hold"

    return with_clear


def compile_condition(condition: Condition, levels: Mapping[str, float]) -> Test:
    """A condition as a function of values; `levels` are the thresholds it names."""
    if isinstance(condition, model.Is):
        return _comparison(condition, levels)
    if isinstance(condition, model.Not):
        return _not(compile_condition(condition.of, levels))
    members = tuple((compile_condition(member, levels), member.optional) for member in condition.of)
    # An empty group says nothing.
    return _group(members, decides=isinstance(condition, model.Any))


def _not(test: Test) -> Test:
    def negated(values: Values) -> Truth:
        holds = test(values)
        return None if holds is None else not holds

    return negated


def _group(members: tuple[tuple[Test, bool], ...], *, decides: bool) -> Test:
    """All of them (`decides` is False: one that is false settles it) or any of them (True)."""

    def grouped(values: Values) -> Truth:
        unknown = False
        known = False
        for test, optional in members:
            holds = test(values)
            if holds is decides:
                return decides
            if holds is not None:
                known = True
            elif not optional:
                unknown = True
        return None if unknown or not known else not decides

    return grouped


def _comparison(condition: model.Is, levels: Mapping[str, float]) -> Test:
    metric = condition.metric
    tests: list[Test] = []
    for compare, level in (
        (_above, condition.above), (_at_least, condition.at_least), (_below, condition.below),
        (_at_most, condition.at_most),
    ):  # fmt: skip
        if level is not None:
            tests.append(compare(metric, levels[level] if isinstance(level, str) else level))
    if isinstance(condition.equals, bool):
        tests.append(_flag(metric, condition.equals))
    elif condition.equals is not None:
        tests.append(_word(metric, frozenset({condition.equals})))
    if condition.has:
        tests.append(_word(metric, frozenset(condition.has)))
    if len(tests) == 1:
        return tests[0]
    return _group(tuple((test, False) for test in tests), decides=False)


def _above(metric: str, level: float) -> Test:
    def above(values: Values) -> Truth:
        value = values.get(metric)
        if value is None:
            return None
        try:
            # NaN compares as false and falls out here, as does what nothing measured can be.
            return value > level if -MOST <= value <= MOST else None  # type: ignore[operator]  # caught below
        except TypeError:
            return None

    return above


def _at_least(metric: str, level: float) -> Test:
    def at_least(values: Values) -> Truth:
        value = values.get(metric)
        if value is None:
            return None
        try:
            return value >= level if -MOST <= value <= MOST else None  # type: ignore[operator]  # caught below
        except TypeError:
            return None

    return at_least


def _below(metric: str, level: float) -> Test:
    return _not(_at_least(metric, level))


def _at_most(metric: str, level: float) -> Test:
    return _not(_above(metric, level))


def _flag(metric: str, wanted: bool) -> Test:
    """A reading that is a bool travels as 0 or 1."""

    def flag(values: Values) -> Truth:
        value = values.get(metric)
        if value is wanted:
            return True
        if value is None:
            return None
        try:
            return bool(value) is wanted if -MOST <= value <= MOST else None  # type: ignore[operator]  # caught below
        except TypeError:
            return None

    return flag


def _word(metric: str, wanted: frozenset[str]) -> Test:
    def word(values: Values) -> Truth:
        value = values.get(metric)
        if isinstance(value, str):
            return value in wanted
        if isinstance(value, list | tuple):
            return not wanted.isdisjoint(value)
        return None

    return word


# -- the verdict ------------------------------------------------------------------------------------------------------


def _verdict(compiled: Compiled, subject: Subject, level: Level, now: datetime) -> Verdict:
    rule = compiled.rule
    evidence_at = min(subject.at, now)
    if level != "raise":
        return Verdict(
            rule_id=rule.id, thing=subject.thing, part=subject.part, annex_id=subject.annex_id, level=level,
            severity=rule.severity, cause=rule.cause, evidence_at=evidence_at, numbers=subject.numbers,
        )  # fmt: skip
    since = _since(rule.raise_when, True, subject, rule.levels)
    return Verdict(
        rule_id=rule.id, thing=subject.thing, part=subject.part, annex_id=subject.annex_id, level=level,
        severity=_severity(compiled, subject.values), cause=_cause(compiled, subject.values), evidence_at=evidence_at,
        since=None if since is None else min(since, now), facts=_facts(rule, subject), numbers=subject.numbers,
    )  # fmt: skip


def _severity(compiled: Compiled, values: Values) -> Severity:
    if compiled.critical is not None and compiled.critical(values):
        return "critical"
    if compiled.warning is not None and compiled.warning(values):
        return "warning"
    return compiled.rule.severity


def _cause(compiled: Compiled, values: Values) -> str:
    for cause, test in compiled.causes:
        if test(values):
            return cause
    if compiled.rule.cause:
        return compiled.rule.cause
    told = values.get("cause")
    return told if isinstance(told, str) else ""


def _since(condition: Condition, held: bool, subject: Subject, levels: Mapping[str, float]) -> datetime | None:
    """Since when a condition has been what it is: of what all is needed the latest, of what suffices the earliest.

    None where one that is needed does not tell.
    """
    if isinstance(condition, model.Is):
        return subject.since.get(condition.metric)
    if isinstance(condition, model.Not):
        return _since(condition.of, not held, subject, levels)
    suffices = isinstance(condition, model.Any) is held
    found = [
        _since(member, held, subject, levels)
        for member in condition.of
        if compile_condition(member, levels)(subject.values) is held
    ]
    told = [moment for moment in found if moment is not None]
    if not told or (len(told) < len(found) and not suffices):
        return None
    return min(told) if suffices else max(told)


def _facts(rule: Rule, subject: Subject) -> Facts:
    facts = dict(subject.facts)
    if subject.part:
        facts.setdefault("part", subject.part)
    decided = _deciding(rule.raise_when, subject.values, rule.levels)
    if decided is None:
        return facts
    value = subject.values[decided.metric]
    facts["metric"] = decided.metric
    if isinstance(value, bool) or not isinstance(value, int | float):
        return facts
    facts["value"] = float(value)
    level = next((x for x in (decided.above, decided.at_least, decided.below, decided.at_most) if x is not None), None)
    if level is not None:
        facts["level"] = rule.levels[level] if isinstance(level, str) else level
        unit = decided.metric.rpartition("_")[2]
        if unit in _UNITS:
            facts.setdefault(unit, float(value))
    return facts


def _deciding(condition: Condition, values: Values, levels: Mapping[str, float]) -> model.Is | None:
    """The comparison that a person wants to see: the first that holds and has a threshold, else the first at all."""
    holding = list(_holding(condition, values, levels))
    with_level = [
        one for one in holding
        if any(x is not None for x in (one.above, one.at_least, one.below, one.at_most))
    ]  # fmt: skip
    return next(iter(with_level or holding), None)


def _holding(condition: Condition, values: Values, levels: Mapping[str, float]) -> Iterator[model.Is]:
    if isinstance(condition, model.Is):
        if compile_condition(condition, levels)(values):
            yield condition
    elif not isinstance(condition, model.Not):
        for member in condition.of:
            if compile_condition(member, levels)(values):
                yield from _holding(member, values, levels)
