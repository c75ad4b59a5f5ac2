"""What a playbook says of itself for rollouts, and whether a device reports what was wanted.

```yaml
configures: agent                    # or {kind: packages, named_by: [packages_present, packages_absent]}
expects:
  - {fact: agent_version, equals: {variable: agent_update_version}}
  - {packages: {variable: packages_present}}     # names, or name=version
  - {packages: {variable: packages_absent}, absent: true}
  - {desired: {variable: desired_configuration_revision}}   # all that the layers want of the device at that revision
untold: [packages_held]              # variables that change what no device reports
reverse:
  playbook: agent_update
  variables: {agent_update_home: {variable: agent_update_home}}
  before: {agent_update_version: agent_version}
interrupts: true
takes_s: 240
```

A value may be a variable of the run, `{variable: name}`, with a `default` where the role has one; what is set to a
variable that nobody gave is left out.  Anything else is taken as it stands.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeGuard

import yaml
from msgspec import Struct, structs

from annexfleet_controller.errors import Invalid
from annexfleet_controller.waves.model import Expectation, Nature, Reverse

_FACTS = frozenset({"agent_version", "config_version", "kernel", "os_version"})
_PACKAGE = "package:"
_FIELDS = frozenset({"configures", "expects", "untold", "reverse", "interrupts", "takes_s"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_LONGEST_CONFIGURES = 120
_LONGEST_S = 86_400.0
_MOST = 500
_NAMING_KEYS = ("name", "dest")
"""What identifies one thing of a list of things: queues, certificates, pins and files are told apart by these."""
_NOTHING = object()


class Difference(Struct, frozen=True):
    """What a device reports otherwise than it was wanted."""

    fact: str
    wanted: str
    """Empty: that it is absent."""
    reported: str | None
    """None: it does not report this at all."""


class Reversal(Struct, frozen=True, kw_only=True):
    """Devices that go back in the same way."""

    playbook: str
    variables: Mapping[str, Any]
    devices: tuple[int, ...]


UNKNOWN = Nature(configures="playbook:", proves=False)
"""Of a playbook without the file; `unknown` fills in its name."""


def unknown(playbook: str) -> Nature:
    """The nature of a playbook that says nothing of itself: a newer rollout of it takes an older one's place."""
    return structs.replace(UNKNOWN, configures=f"playbook:{playbook}"[:_LONGEST_CONFIGURES])


# -- what devices report


def fits(nature: Nature, facts: Mapping[str, str]) -> bool | None:
    """Whether a device that reports these facts has what was wanted.

    None: nobody can know, as it does not report a fact that counts, or the playbook expects nothing in particular (then
    it is enough that it reports after its run).
    """
    if not nature.expects:
        return None
    answers = [_meets(expectation, facts) for expectation in nature.expects]
    if False in answers:
        return False
    return None if None in answers else True


def complies(nature: Nature, facts: Mapping[str, str]) -> bool:
    """Whether a device certainly needs nothing done: it reports all that was wanted, and that is all there is to it."""
    return nature.proves and fits(nature, facts) is True


def differs(nature: Nature, facts: Mapping[str, str]) -> tuple[Difference, ...]:
    """What it reports otherwise, or not at all."""
    return tuple(
        Difference(expectation.fact, expectation.equals, _reported(expectation.fact, facts))
        for expectation in nature.expects
        if _meets(expectation, facts) is not True
    )


def facts_of(nature: Nature) -> tuple[str, ...]:
    """The facts that matter before and after: what is kept with each device of a rollout."""
    back = nature.reverse.before.values() if nature.reverse else ()
    return tuple(dict.fromkeys([*(expectation.fact for expectation in nature.expects), *back]))


def reversals(
    nature: Nature, before: Mapping[int, Mapping[str, str]]
) -> tuple[tuple[Reversal, ...], tuple[int, ...]]:  # fmt: skip
    """How devices go back, by what each reported before, and the numbers of those of which nobody knows that.

    Nothing at all where the playbook declares no reverse: then every device is among the latter.
    """
    reverse = nature.reverse
    if reverse is None:
        return (), tuple(sorted(before))
    groups: dict[tuple[str, ...], list[int]] = {}
    lost = []
    for number in sorted(before):
        values = tuple(before[number].get(fact, "") for fact in reverse.before.values())
        if all(values):
            groups.setdefault(values, []).append(number)
        else:
            lost.append(number)
    found = tuple(
        Reversal(
            playbook=reverse.playbook,
            variables={**reverse.variables, **dict(zip(reverse.before, values, strict=True))},
            devices=tuple(devices),
        )
        for values, devices in sorted(groups.items())
    )
    return found, tuple(lost)


def _meets(expectation: Expectation, facts: Mapping[str, str]) -> bool | None:
    reported = _reported(expectation.fact, facts)
    if reported is None:
        return None
    if "*" in expectation.equals:
        return bool(reported) and fnmatchcase(reported, expectation.equals)
    return reported == expectation.equals


def _reported(fact: str, facts: Mapping[str, str]) -> str | None:
    """Empty for a package that is not there; None where it does not tell: its list was too big, or never came."""
    found = facts.get(fact)
    if found is None and fact.startswith(_PACKAGE) and any(name.startswith(_PACKAGE) for name in facts):
        return ""
    return found


# -- the file


def parse(text: str, variables: Mapping[str, Any]) -> Nature:
    """The nature from the text of a `meta/rollout.yml`, filled in with a run's variables.

    Raises Invalid with `field` (such as `expects.0.fact`) and `reason`, a code; whoever read the file knows its name.
    """
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise _wrong("document", "not_yaml") from None
    fields = _mapping(document, "document", _FIELDS)
    whole = _Whole(variables)
    expects = _expects(fields.get("expects"), whole)
    for place, name in enumerate(_list(fields.get("untold"), "untold")):
        whole.is_told = whole.is_told and not whole.variable(_named(name, f"untold.{place}"))
    interrupts = fields.get("interrupts", True)
    if not isinstance(interrupts, bool):
        raise _wrong("interrupts", "not_yes_or_no")
    return Nature(
        configures=_configures(fields.get("configures"), whole), expects=expects,
        reverse=_reverse(fields.get("reverse"), whole), interrupts=interrupts, takes_s=_seconds(fields.get("takes_s")),
        proves=bool(expects) and whole.is_told,
    )  # fmt: skip


class _Whole:
    """A run's variables, and whether all that they ask for can be seen in what a device reports."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self.is_told = True

    def variable(self, name: str, default: object = None) -> Any:
        return self._variables.get(name, default)

    def value(self, value: object, field: str) -> Any:
        """What stands there, or what the variable that it names holds; _NOTHING where nobody gave it."""
        if not isinstance(value, Mapping) or "variable" not in value:
            return value
        of = _mapping(value, field, frozenset({"variable", "default"}))
        return self.variable(_named(of["variable"], f"{field}.variable"), of.get("default", _NOTHING))


def _configures(value: object, whole: _Whole) -> str:
    """`agent`, or a kind with the names of what is configured: rollouts of other packages do not replace each other."""
    if isinstance(value, str) and 0 < len(value) <= 40:
        return value
    fields = _mapping(value, "configures", frozenset({"kind", "named_by"}))
    kind = fields.get("kind")
    if not isinstance(kind, str) or not 0 < len(kind) <= 40:
        raise _wrong("configures.kind", "not_text")
    names: set[str] = set()
    for place, one in enumerate(_list(fields.get("named_by"), "configures.named_by")):
        field = f"configures.named_by.{place}"
        value = whole.variable(_named(one, field)) if isinstance(one, str) else whole.value(one, field)
        names.update(_names_in(value))
    told = f"{kind}:{','.join(sorted(names))}"
    if len(told) <= _LONGEST_CONFIGURES:
        return told
    return f"{kind}:{hashlib.sha256(told.encode()).hexdigest()}"


def _names_in(value: object) -> Iterable[str]:
    """What a variable names: of a list its members, each without a version."""
    if value is None or value is _NOTHING or value == "":
        return
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, Mapping):
            yield str(next((one[key] for key in _NAMING_KEYS if key in one), ""))
        else:
            yield str(one).partition("=")[0]


def _expects(value: object, whole: _Whole) -> tuple[Expectation, ...]:
    found: list[Expectation] = []
    for place, one in enumerate(_list(value, "expects")):
        field = f"expects.{place}"
        fields = _mapping(one, field, frozenset({"fact", "equals", "packages", "absent", "desired"}))
        if "packages" in fields:
            found += _packages(fields, field, whole)
            continue
        if "desired" in fields:
            found += _desired(fields, field, whole)
            continue
        fact = fields.get("fact")
        if not isinstance(fact, str) or not (
            fact in _FACTS or (fact.startswith(_PACKAGE) and len(fact) > len(_PACKAGE))
        ):
            raise _wrong(f"{field}.fact", "unknown_fact")
        wanted = whole.value(fields.get("equals", _NOTHING), f"{field}.equals")
        if wanted is _NOTHING:
            if "equals" not in fields:
                raise _wrong(f"{field}.equals", "missing")
            continue  # nobody gave that variable
        if not isinstance(wanted, str | int) or isinstance(wanted, bool):
            raise _wrong(f"{field}.equals", "not_text")
        found.append(Expectation(fact=fact, equals=str(wanted)))
    return tuple(dict.fromkeys(found))


def _desired(fields: Mapping[str, Any], field: str, whole: _Whole) -> Iterable[Expectation]:
    """That a device is as the layers wanted it at a revision; what that is differs from device to device."""
    revision = whole.value(fields["desired"], f"{field}.desired")
    if revision is _NOTHING:
        return
    if isinstance(revision, bool) or not isinstance(revision, int) or revision < 1:
        raise _wrong(f"{field}.desired", "not_a_number")
    yield Expectation(fact=f"desired:{revision}", equals="same")


def _is_fact(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and (name in _FACTS or (name.startswith(_PACKAGE) and name != _PACKAGE))


def _packages(fields: Mapping[str, Any], field: str, whole: _Whole) -> Iterable[Expectation]:
    value = whole.value(fields["packages"], f"{field}.packages")
    is_absent = fields.get("absent", False)
    if not isinstance(is_absent, bool):
        raise _wrong(f"{field}.absent", "not_yes_or_no")
    if value is _NOTHING or value is None:
        return
    for one in _list(value, f"{field}.packages"):
        if not isinstance(one, str) or not one:
            raise _wrong(f"{field}.packages", "not_text")
        name, _, version = one.partition("=")
        if ":" in name:
            # Which of two architectures bears its name in the list depends on what else is installed.
            whole.is_told = False
            continue
        yield Expectation(fact=f"{_PACKAGE}{name}", equals="" if is_absent else version or "*")


def _reverse(value: object, whole: _Whole) -> Reverse | None:
    if value is None:
        return None
    fields = _mapping(value, "reverse", frozenset({"playbook", "variables", "before"}))
    playbook = _named(fields.get("playbook"), "reverse.playbook")
    variables = {}
    for name, one in _mapping(fields.get("variables") or {}, "reverse.variables").items():
        given = whole.value(one, f"reverse.variables.{name}")
        if given is not _NOTHING:
            variables[_named(name, "reverse.variables")] = given
    before = {}
    for name, fact in _mapping(fields.get("before") or {}, "reverse.before").items():
        if not _is_fact(fact):
            raise _wrong(f"reverse.before.{name}", "unknown_fact")
        before[_named(name, "reverse.before")] = str(fact)
    if not variables and not before:
        raise _wrong("reverse", "missing")
    return Reverse(playbook=playbook, variables=variables, before=before)


def _seconds(value: object) -> float:
    if value is None:
        return Nature(configures="").takes_s
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong("takes_s", "not_a_number")
    if not 0 < value <= _LONGEST_S:
        raise _wrong("takes_s", "not_within_bounds")
    return float(value)


def _mapping(value: object, field: str, known: frozenset[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(field, "not_an_object")
    for key in value:
        if not isinstance(key, str) or (known is not None and key not in known):
            raise _wrong(f"{field}.{str(key)[:40]}", "unknown_field")
    return value


def _list(value: object, field: str) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise _wrong(field, "not_a_list")
    if len(value) > _MOST:
        raise _wrong(field, "too_many")
    return value


def _named(value: object, field: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _wrong(field, "not_a_name")
    return value


def _wrong(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason.replace('_', ' ')}", field=field, reason=reason)
