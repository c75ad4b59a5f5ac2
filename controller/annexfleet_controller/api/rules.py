"""/api/v1/rules: the rules in force, and what the province or an annex changes of them."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Query
from pydantic import BaseModel, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.settings_acts import hand
from annexfleet_controller.errors import AnnexUnknown, Forbidden
from annexfleet_controller.rules.check import uses
from annexfleet_controller.rules.model import Rule
from annexfleet_controller.rules.ruleset import PROVINCE, Ruleset, encode
from annexfleet_controller.store import annexes, rules
from annexfleet_controller.tending import rules as tending

router = APIRouter(prefix="/api/v1/rules", tags=["rules"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
Editing = Annotated[Person, Depends(Needs("edit_rules"))]
Annex = Annotated[str, Query(max_length=63, description="an annex's id; empty for the whole province")]
Version = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="refuse (409) if it is not this one any more")]


class LevelOut(BaseModel):
    metric: str
    comparison: str
    """above, at_least, below or at_most"""
    where: str
    """raise, guard, clear, warning, critical or cause: what it decides"""
    value: float
    """In the unit that the metric's name ends with."""
    default: float


class RuleOut(BaseModel):
    """A rule as it counts here.  Times are seconds."""

    id: str
    subject: str
    enabled: bool
    severity: str
    levels: dict[str, LevelOut]
    for_s: float
    for_s_by_role: dict[str, float]
    clear_for_s: float
    only_open: bool
    opening_grace_s: float
    samples: int
    audience: list[str]
    then: list[str]
    then_after_s: float
    cause: str
    mutes: list[str]
    override: dict[str, Any] | None = None
    """What was changed here: by the annex if one was asked for, else by the province."""
    version: int = 0
    """Of that change; 0 if there is none."""
    updated_at: datetime | None = None
    updated_by: str = ""


class ProblemOut(BaseModel):
    """A stored override that does not count."""

    annex: str
    rule: str
    field: str
    reason: str


class RulePage(BaseModel):
    annex: str
    items: list[RuleOut]
    problems: list[ProblemOut]


_EXAMPLE: dict[str, JsonValue] = {"levels": {"used": 0.9}, "for_s": 1200, "audience": ["it", "technician"]}
Document = Annotated[dict[str, JsonValue], Body(examples=[_EXAMPLE])]


@router.get("")
def list_rules(person: Looking, db: Db, annex: Annex = "") -> RulePage:
    """Every rule as it counts in an annex, or in the province."""
    if annex:
        annexes.get(db, person.scope, annex)
    ruleset = rules.ruleset(db)
    kept = rules.kept(db, annex)
    wrong = [
        ProblemOut(annex=problem.scope, rule=problem.rule_id, field=problem.field, reason=problem.reason)
        for problem in ruleset.problems
        if problem.scope == PROVINCE or person.scope.covers(problem.scope)
    ]
    items = [_out(ruleset, rule, annex, kept.get(rule.id, rules.Kept())) for rule in ruleset.rules(annex)]
    return RulePage(annex=annex, items=items, problems=wrong)


@router.put("/{rule_id}", responses={409: {"model": problems.Problem}})
def change_rule(
    *, rule_id: str, document: Document, person: Editing, db: WritingDb, now: Now, annex: Annex = "",
    version: Version = None,
) -> RuleOut:  # fmt: skip
    """Change a rule for an annex, or for the province: what is told here replaces what was changed here before.

    What cannot be is refused (422) with the `field` and the `reason`.
    """
    check_scope(person, db, annex)
    tending.change(db, hand(person), annex, rule_id, document, version=version, now=now)
    ruleset = rules.ruleset(db)
    return _out(ruleset, ruleset.rule(rule_id, annex), annex, rules.kept(db, annex).get(rule_id, rules.Kept()))


@router.delete("/{rule_id}", status_code=204, responses={409: {"model": problems.Problem}})
def reset_rule(
    *, rule_id: str, person: Editing, db: WritingDb, now: Now, annex: Annex = "", version: Version = None
) -> None:  # fmt: skip
    """Take back what was changed here: an annex follows the province again, the province the defaults."""
    check_scope(person, db, annex)
    tending.reset(db, hand(person), annex, rule_id, version=version, now=now)


def check_scope(person: Person, db: Session, annex: str) -> None:
    """Whether this person may change rules here.

    Raises Forbidden for the province's where one is confined to annexes, and AnnexUnknown for an annex elsewhere.
    """
    if annex == PROVINCE:
        if person.scope.annexes is not None:
            raise Forbidden
    elif not person.scope.covers(annex):
        raise AnnexUnknown
    else:
        annexes.get(db, person.scope, annex)


def _out(ruleset: Ruleset, rule: Rule, annex: str, kept: rules.Kept) -> RuleOut:
    default, override = ruleset.default(rule.id), ruleset.override(rule.id, annex)
    levels: dict[str, LevelOut] = {}
    for use in uses(rule):
        levels.setdefault(
            use.level,
            LevelOut(
                metric=use.metric, comparison=use.comparison, where=use.where, value=rule.levels[use.level],
                default=default.levels[use.level],
            ),
        )  # fmt: skip
    return RuleOut(
        id=rule.id, subject=rule.subject, enabled=rule.enabled, severity=rule.severity, levels=levels,
        for_s=rule.for_s, for_s_by_role=rule.for_s_by_role, clear_for_s=rule.clear_for_s, only_open=rule.only_open,
        opening_grace_s=rule.opening_grace_s, samples=rule.samples, audience=list(rule.audience),
        then=list(rule.then), then_after_s=rule.then_after_s, cause=rule.cause, mutes=list(rule.mutes),
        override=None if override is None else msgspec.json.decode(encode(override)),
        version=kept.version, updated_at=kept.updated_at, updated_by=kept.updated_by,
    )  # fmt: skip
