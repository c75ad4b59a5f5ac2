"""/runs/new: choose a playbook, its variables and the devices; see it all once more; then try it, or apply it."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import AnnexfleetError, Invalid, NotFound, RunBusy, RunOver, VariableWrong
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts import bundle, ordering
from annexfleet_controller.rollouts.bundle import Playbook
from annexfleet_controller.rollouts.errors import LibraryWrong, RunOfRollout
from annexfleet_controller.rollouts.ordering import Asker, Order
from annexfleet_controller.rollouts.variables import Variable, checked
from annexfleet_controller.settings import Home
from annexfleet_controller.store import annexes, fleet, run_hosts, runs
from annexfleet_controller.web import variables
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.pages.runs import Id, Running, shown, whole
from annexfleet_controller.web.render import Page

log = logging.getLogger(__name__)

router = APIRouter(prefix="/runs", include_in_schema=False)

ROLES = ("counter", "kiosk", "tablet", "server")
_CHOSEN_SINGLY_AT_MOST = 500
"""Devices that are offered one by one; where there are more, annexes and kinds choose."""
_LISTED_AT_MOST = 500
_Many = Annotated[list[Annotated[str, Query(max_length=63)]], Query(max_length=500)]


class Asked(Struct, frozen=True, kw_only=True):
    """The form as it was sent."""

    playbook: str = ""
    every: bool = False
    """Every annex in sight."""
    annexes: Sequence[str] = ()
    roles: Sequence[str] = ()
    devices: Sequence[str] = ()
    reason: str = ""
    digest: str = ""
    """Of the devices that were shown."""
    do: str = ""
    typed: Mapping[str, str] = {}


class Listed(Struct, frozen=True):
    """A device that the run is to change."""

    id: str
    name: str
    annex_id: str
    presence: str


async def _sent(request: Request) -> Asked:
    """The fields of a form, whose names depend on the playbook."""
    form = await request.form()

    def many(name: str) -> list[str]:
        return [value for value in form.getlist(name) if isinstance(value, str)][:1000]

    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    return Asked(
        playbook=texts.get("playbook", "")[:80],
        every=texts.get("every") == "true",
        annexes=many("annex"),
        roles=many("role"),
        devices=many("device"),
        reason=texts.get("reason", "").strip()[:200],
        digest=texts.get("digest", ""),
        do=texts.get("do", ""),
        typed={name: value for name, value in texts.items() if name.startswith(variables.PREFIX)},
    )


Sent = Annotated[Asked, Depends(_sent)]


@router.get("/new")
def ask(
    *,
    person: Running,
    db: Db,
    home: HomeOf,
    now: Now,
    language: LanguageOf,
    page: Page,
    playbook: Annotated[str, Query(max_length=80)] = "",
    annex: _Many = [],  # noqa: B006  # FastAPI makes a new one for each request
    device: _Many = [],  # noqa: B006
    like: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> HTMLResponse:
    """First the playbooks; with `playbook` its form.  `like` is a run whose variables and devices are taken over."""
    if like is not None:
        run = runs.find(db, person.scope, like)
        chosen = bundle.playbook(home, run.playbook)
        typed = variables.typed_of(_open(chosen), run.variables)
        asked = Asked(playbook=chosen.name, devices=_devices(db, person, like), reason=run.reason, typed=typed)
        return _form(db, person, chosen, asked, page, now=now, language=language)
    asked = Asked(playbook=playbook, annexes=annex, devices=device)
    if not playbook:
        return page("run_choose.html", playbooks=playbooks_of(home), asked=asked)
    chosen = bundle.playbook(home, playbook)
    typed = variables.typed_of(_open(chosen), {})
    asked = Asked(playbook=playbook, annexes=annex, devices=device, typed=typed)
    return _form(db, person, chosen, asked, page, now=now, language=language)


@router.post("/new")
def review(
    *, person: Running, db: Db, home: HomeOf, now: Now, language: LanguageOf, page: Page, asked: Sent
) -> HTMLResponse:
    """Everything once more, with the list of devices; back to the form where something is wrong."""
    chosen = bundle.playbook(home, asked.playbook)
    if asked.do == "form":
        return _form(db, person, chosen, asked, page, now=now, language=language)
    try:
        checked(_open(chosen), variables.given(_open(chosen), asked.typed), {})
    except VariableWrong as wrong:
        return _form(db, person, chosen, asked, page, now=now, language=language, wrong=wrong)
    if not _targets(db, person, asked):
        return _form(db, person, chosen, asked, page, now=now, language=language, problem="no_devices")
    return _review(db, person, chosen, asked, page, now=now, language=language)


@router.post("")
def begin(
    *, person: Running, db: WritingDb, home: HomeOf, now: Now, language: LanguageOf, page: Page, asked: Sent
) -> Response:
    """Begin a dry run, or a real one, on exactly the devices that were shown."""
    chosen = bundle.playbook(home, asked.playbook)
    targets = _targets(db, person, asked)
    if runs.targets_digest(target.id for target in targets) != asked.digest or asked.do not in {"check", "apply"}:
        return _review(db, person, chosen, asked, page, now=now, language=language, problem="targets_changed")
    try:
        wish = Order(
            playbook=chosen.name, variables=variables.given(_open(chosen), asked.typed),
            secrets=variables.given(_secret(chosen), asked.typed), devices=[target.id for target in targets],
            check=asked.do == "check", reason=asked.reason,
        )  # fmt: skip
        run_id = ordering.order(db, home, wish, _asker(person), now=now)
    except (Invalid, RunBusy) as refused:
        return _review(db, person, chosen, asked, page, now=now, language=language, refused=refused)
    return RedirectResponse(f"/runs/{run_id}", 303)


@router.post("/{run_id}/apply")
def apply(
    *, run_id: Id, person: Running, db: WritingDb, home: HomeOf, now: Now, language: LanguageOf, page: Page
) -> Response:
    """What a dry run showed, for real: the same playbook, variables and devices."""
    run = runs.find(db, person.scope, run_id)
    if not run.check or run.state != "ended" or run.kind != "playbook":
        raise RunOver(f"run {run_id} is no dry run that has ended")
    if run.secret_names and ordering.rollout_of(run) is None:  # nobody kept them
        return RedirectResponse(f"/runs/new?like={run_id}", 303)
    try:
        made = ordering.apply(db, home, run, _devices(db, person, run_id), _asker(person), now=now)
    except (Invalid, RunBusy, RunOfRollout, NotFound) as refused:
        return _refused(db, person, run_id, refused, language=language, page=page)
    return RedirectResponse(f"/runs/{made}", 303)


@router.post("/{run_id}/retry")
def retry(
    *, run_id: Id, person: Running, db: WritingDb, home: HomeOf, now: Now, language: LanguageOf, page: Page
) -> Response:
    """Once more on the devices where it did not succeed."""
    run = runs.find(db, person.scope, run_id)
    if run.secret_names:
        return RedirectResponse(f"/runs/new?like={run_id}", 303)
    try:
        made = ordering.again(db, home, run_id, _asker(person), now=now)
    except (Invalid, RunBusy, NotFound) as refused:
        return _refused(db, person, run_id, refused, language=language, page=page)
    return RedirectResponse(f"/runs/{made}", 303)


def _asker(person: Person) -> Asker:
    return Asker(name=person.name, via=person.via, scope=person.scope)


def _devices(db: Session, person: Person, run_id: int) -> list[str]:
    """The ids of a run's devices, of those in sight and in service."""
    ids = [host.device_id for host in run_hosts.hosts(db, person.scope, run_id)]
    there = fleet.numbers(db, person.scope, ids)
    return [row.id for row in fleet.by_number(db, person.scope, there)]


def _refused(
    db: Session, person: Person, run_id: int, refused: AnnexfleetError, *, language: Language, page: Page
) -> HTMLResponse:
    """The page of a run that cannot be done again, with the reason."""
    return whole(db, person, run_id, language, page, status=409, problem=(refused.code, refused.facts))


def playbooks_of(home: Home) -> list[Playbook]:
    """None where there is no library: the page then says so."""
    try:
        return bundle.playbooks(home)
    except LibraryWrong as error:
        log.warning("library of playbooks cannot be used reason=%s", error)
        return []


def _open(playbook: Playbook) -> list[Variable]:
    return [variable for variable in playbook.variables if not variable.secret]


def _secret(playbook: Playbook) -> list[Variable]:
    return [variable for variable in playbook.variables if variable.secret]


def _targets(db: Session, person: Person, asked: Asked) -> list[runs.Target]:
    """The devices that the form means.  Raises DeviceUnknown or AnnexUnknown for what is not in sight."""
    places = [*annexes.names(db, person.scope, with_retired=False)] if asked.every else asked.annexes
    roles = [role for role in asked.roles if role in ROLES]
    if not places and not asked.devices:
        return []
    return runs.targets(db, person.scope, devices=asked.devices, annexes=places, roles=roles if places else ())


def _form(
    db: Session,
    person: Person,
    playbook: Playbook,
    asked: Asked,
    page: Page,
    *,
    now: datetime,
    language: Language,
    wrong: VariableWrong | None = None,
    problem: str = "",
) -> HTMLResponse:
    found = variables.fields(_open(playbook), asked.typed, language, wrong=wrong)
    places = names_of(db, person.scope, language.code)
    rows = fleet.devices(db, person.scope, now=now, limit=_CHOSEN_SINGLY_AT_MOST + 1)
    few = len(rows) <= _CHOSEN_SINGLY_AT_MOST
    return page(
        "run_form.html",
        status=422 if wrong or problem else 200,
        playbook=playbook,
        asked=asked,
        fields=[field for field in found if not field.seldom],
        seldom=[field for field in found if field.seldom],
        wrong_field=str(wrong.facts.get("field", "")) if wrong else "",
        wrong_reason=str(wrong.facts.get("reason", "")) if wrong else "",
        problem=problem,
        places=list(places.items()),
        roles=ROLES,
        devices={id_: [row for row in rows if row.annex_id == id_] for id_ in places} if few else {},
        has_secrets=bool(_secret(playbook)),
    )


def _review(
    db: Session,
    person: Person,
    playbook: Playbook,
    asked: Asked,
    page: Page,
    *,
    now: datetime,
    language: Language,
    problem: str = "",
    refused: AnnexfleetError | None = None,
) -> HTMLResponse:
    targets = _targets(db, person, asked)
    rows = fleet.by_number(db, person.scope, [target.number for target in targets])
    names = names_of(db, person.scope, language.code)
    listed: dict[str, list[Listed]] = {}
    for row in sorted(rows, key=lambda row: (names.get(row.annex_id, ""), row.name, row.id))[:_LISTED_AT_MOST]:
        listed.setdefault(row.annex_id, []).append(Listed(row.id, row.name, row.annex_id, row.presence(now)))
    wrong = refused if isinstance(refused, VariableWrong) else None
    values = variables.given(_open(playbook), asked.typed)
    return page(
        "run_review.html",
        status=409 if problem or isinstance(refused, RunBusy) else 422 if refused else 200,
        playbook=playbook,
        asked=asked,
        values=[(name, shown(value, language)) for name, value in values.items()],
        typed=variables.without(asked.typed, _secret(playbook)),
        secrets=variables.fields(_secret(playbook), {}, language, wrong=wrong),
        count=len(targets),
        away=sum(row.presence(now) != "online" for row in rows),
        listed=listed,
        names=names,
        left_out=max(0, len(rows) - _LISTED_AT_MOST),
        digest=runs.targets_digest(target.id for target in targets),
        problem=problem,
        refused=refused.code if refused else "",
        other=str(refused.facts.get("other", "")) if refused else "",
        wrong_field=str(wrong.facts.get("field", "")) if wrong else "",
        wrong_reason=str(wrong.facts.get("reason", "")) if wrong else "",
    )
