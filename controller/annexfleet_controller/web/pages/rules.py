"""/admin/rules: every rule in words, and a form to change one for the province or for an annex."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from annexfleet_agent.protocol import metrics
from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import AnnexUnknown, Forbidden, RuleChanged, RuleWrong
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rules.check import Use, uses
from annexfleet_controller.rules.model import SUBJECT_KINDS, Rule
from annexfleet_controller.rules.ruleset import PROVINCE
from annexfleet_controller.store import rules
from annexfleet_controller.tending import effects
from annexfleet_controller.tending import rules as tending
from annexfleet_controller.tending.errors import Unconfirmed
from annexfleet_controller.things import AUDIENCES, SEVERITIES
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.pages import rule_form
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/admin/rules", include_in_schema=False)

Editing = Annotated[Person, Depends(Needs("edit_rules"))]
AskedAnnex = Annotated[str | None, Query(alias="annex", max_length=63)]
PostedAnnex = Annotated[str, Form(alias="annex", max_length=63)]
PostedVersion = Annotated[int, Form(alias="version", ge=0, le=2**31 - 1)]


async def _typed(request: Request) -> rule_form.Typed:
    form = await request.form()  # parsed once and kept by the request
    return {name: [value for value in form.getlist(name) if isinstance(value, str)] for name in form}


async def _submitted(request: Request) -> FormData:
    return await request.form()


Typed = Annotated[rule_form.Typed, Depends(_typed)]


@router.get("")
def list_rules(
    *, person: Editing, db: Db, now: Now, language: LanguageOf, page: Page, annex: AskedAnnex = None
) -> HTMLResponse:  # fmt: skip
    """All rules as they count in an annex, or in the province."""
    places = _places(person, db, language)
    scope = _scope(person, places, annex)
    ruleset = rules.ruleset(db)
    changed = rules.kept(db, scope)
    by_kind = [
        (kind, [(rule, _deciding(rule), rule.id in changed) for rule in ruleset.rules(scope) if rule.subject == kind])
        for kind in SUBJECT_KINDS
    ]
    wrong = [problem for problem in ruleset.problems if problem.scope in {scope, PROVINCE}]
    return page(
        "rules.html", by_kind=by_kind, problems=wrong, done=acts.newest(db, person, now, "rule:", annex=scope),
        **_where(person, scope, places, language),
    )  # fmt: skip


@router.get("/{rule_id}")
def ask_rule(
    *, rule_id: str, person: Editing, db: Db, language: LanguageOf, page: Page, annex: AskedAnnex = None
) -> HTMLResponse:
    places = _places(person, db, language)
    scope = _scope(person, places, annex)
    return page("rule.html", **_form(db, rule_id, scope), **_where(person, scope, places, language))


@router.post("/{rule_id}")
def change_rule(
    *, rule_id: str, person: Editing, db: WritingDb, now: Now, language: LanguageOf, page: Page, typed: Typed,
    submitted: Annotated[FormData, Depends(_submitted)], annex: PostedAnnex = "", version: PostedVersion = 0,
) -> Response:  # fmt: skip
    """What was typed counts from now on; what cannot be is refused beside its field, with what was typed."""
    places = _places(person, db, language)
    scope = _scope(person, places, annex)
    ruleset = rules.ruleset(db)
    document = rule_form.document(typed, ruleset.base(rule_id, scope), ruleset.default(rule_id))
    turns_off = scope == PROVINCE and document.get("enabled") is False and ruleset.rule(rule_id).enabled
    try:
        with db.begin_nested():
            tending.change(db, acts.hand(person), scope, rule_id, document, version=version, now=now)
            if turns_off:
                reach = effects.of_province(db, "rule.disable", [rule_id, str(version)], ("rule_off", "undo"))
                effects.demand(reach, acts.confirmed(submitted))
    except Unconfirmed:
        return acts.question(
            page, submitted, reach, act="rule.disable", action=f"/admin/rules/{quote(rule_id)}",
            back=f"/admin/rules/{quote(rule_id)}", subject=language.name("rule", rule_id),
            came_back=bool(acts.confirmed(submitted)),
        )  # fmt: skip
    except RuleWrong as wrong:
        form = _form(db, rule_id, scope, typed) | {"wrong": wrong.facts, "problem": wrong.code}
        return page("rule.html", status=422, **form, **_where(person, scope, places, language))
    except RuleChanged as changed:
        form = _form(db, rule_id, scope) | {"problem": changed.code}
        return page("rule.html", status=409, **form, **_where(person, scope, places, language))
    return _back(scope, rule_id)


@router.post("/{rule_id}/reset")
def reset_rule(
    *, rule_id: str, person: Editing, db: WritingDb, now: Now, language: LanguageOf, annex: PostedAnnex = ""
) -> Response:  # fmt: skip
    """An annex follows the province again, the province the defaults."""
    scope = _scope(person, _places(person, db, language), annex)
    tending.reset(db, acts.hand(person), scope, rule_id, now=now)
    return _back(scope, rule_id)


def _back(scope: str, rule_id: str) -> Response:
    return RedirectResponse(f"/admin/rules?annex={quote(scope)}#{quote(rule_id)}", 303)


def _places(person: Person, db: Session, language: Language) -> dict[str, str]:
    return names_of(db, person.scope, language.code)


def _scope(person: Person, places: dict[str, str], annex: str | None) -> str:
    """The annex that was asked for; without one the province, or the first annex of who is confined to some."""
    if annex:
        if annex not in places:
            raise AnnexUnknown
        return annex
    if person.scope.annexes is None:
        return PROVINCE
    if annex is None and places:
        return next(iter(places))
    raise Forbidden


def _where(person: Person, scope: str, places: dict[str, str], language: Language) -> dict[str, Any]:
    def value_name(metric: str) -> str:
        return language.name("metric" if metric in metrics.CATALOGUE else "level", metric)

    return {"scope": scope, "places": places, "whole": person.scope.annexes is None, "value_name": value_name}


def _deciding(rule: Rule) -> list[Use]:
    """The comparisons that raise it."""
    return [use for use in uses(rule) if use.where == "raise"]


def _form(db: Session, rule_id: str, scope: str, typed: rule_form.Typed | None = None) -> dict[str, Any]:
    ruleset = rules.ruleset(db)
    rule, default = ruleset.rule(rule_id, scope), ruleset.default(rule_id)
    base = ruleset.base(rule_id, scope)
    return {
        "rule": rule,
        "base": base,
        "form": rule_form.filled(rule, base, default, typed),
        "kept": rules.kept(db, scope).get(rule_id),
        "severities": SEVERITIES,
        "audiences": AUDIENCES,
        "problem": "",
        "wrong": {},
    }
