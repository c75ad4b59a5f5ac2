"""/rollouts/new: what, to whom, how carefully; then the waves as they would be; then a draft, or one that is submitted.

Steps of pages that work without a script: each is sent whole, and everything typed goes along.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct, structs
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import AnnexfleetError, Conflict, Invalid, VariableWrong
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.rollouts import bundle, foreseeing, keeping, permitted, proposing, surroundings
from annexfleet_controller.rollouts.bundle import Playbook
from annexfleet_controller.rollouts.errors import LibraryWrong, RolloutTargetsChanged
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.rollouts.proposing import Preview, Wish
from annexfleet_controller.rollouts.variables import Variable
from annexfleet_controller.settings import Home
from annexfleet_controller.store import readiness, rollout_targets, rollouts
from annexfleet_controller.waves import documents, windows
from annexfleet_controller.waves.forecast import Forecast
from annexfleet_controller.waves.model import BAD, Candidate, Selector
from annexfleet_controller.web import expected, variables, wishes
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.pages.rollouts import Planning, hand
from annexfleet_controller.web.pages.run_form import playbooks_of
from annexfleet_controller.web.pages.runs import shown
from annexfleet_controller.web.render import Page, Renders
from annexfleet_controller.web.wishes import Asked
from annexfleet_controller.zones import PROVINCE

router = APIRouter(prefix="/rollouts", include_in_schema=False)

_CHOSEN_SINGLY_AT_MOST = 500
_LISTED_AT_MOST = 200
_Many = Annotated[list[Annotated[str, Query(max_length=63)]], Query(max_length=500)]
_STAND_INS: Mapping[str, Any] = {"list": [], "dict": {}, "int": 100_000, "float": 100_000.0, "bool": True}
"""By a variable's type, what stands for a secret while waves are only shown: its value changes nothing of them."""


class PlannedWave(Struct, frozen=True, kw_only=True):
    """One wave as it would be."""

    number: int
    count: int
    width: float
    """Of 100: against the largest wave."""
    annexes: int
    is_canary: bool
    devices: Sequence[Candidate]
    left_out: int


class _Desk(Struct, frozen=True):
    """Who fills the form in, when and in which language, and what is needed to answer."""

    db: Session
    home: Home
    person: Person
    now: datetime
    language: Language
    page: Renders

    @property
    def asker(self) -> Asker:
        return Asker(name=self.person.name, via=self.person.via, scope=self.person.scope)


async def _sent(request: Request) -> Asked:
    """The fields of a form, whose names depend on the playbook."""
    form = await request.form()

    def many(name: str) -> list[str]:
        return [value for value in form.getlist(name) if isinstance(value, str)][:5000]

    texts = {name: value for name, value in form.items() if isinstance(value, str)}

    def number(name: str) -> int:
        text = texts.get(name, "")
        return int(text) if text.isdecimal() and len(text) < 18 else 0

    return Asked(
        playbook=texts.get("playbook", "")[:80],
        name=texts.get("name", "").strip()[:200],
        reason=texts.get("reason", "").strip()[:400],
        deadline_days=texts.get("deadline_days", "")[:20],
        every=texts.get("every") == "true",
        preset=texts.get("preset", documents.CAREFUL)[:40],
        window=texts.get("window", "")[:40],
        policy={
            name.removeprefix(wishes.PREFIX): value[:40]
            for name, value in texts.items()
            if name.startswith(wishes.PREFIX)
        },
        typed={name: value for name, value in texts.items() if name.startswith(variables.PREFIX)},
        draft=number("draft"), version=number("version"), story=number("story"),
        digest=texts.get("digest", "")[:64], do=texts.get("do", ""),
        **{name: many(name) for name in wishes.SELECTING},
    )  # fmt: skip


Sent = Annotated[Asked, Depends(_sent)]


@router.get("/new")
def ask(
    *,
    person: Planning,
    db: Db,
    home: HomeOf,
    now: Now,
    language: LanguageOf,
    page: Page,
    playbook: Annotated[str, Query(max_length=80)] = "",
    annex: _Many = [],  # noqa: B006  # FastAPI makes a new one for each request
    device: _Many = [],  # noqa: B006
    like: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    failed: bool = False,
    draft: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> HTMLResponse:
    """First the playbooks; with `playbook` its form.

    `draft` is one that is said anew.  `like` is a rollout whose wish is taken over; with `failed` for the devices that
    ended badly in it.
    """
    desk = _Desk(db, home, person, now, language, page)
    if draft or like:
        return _of_another(desk, draft or like or 0, is_draft=bool(draft), failed=failed)
    asked = Asked(playbook=playbook, annexes=annex, devices=device)
    if not playbook:
        return page("rollout_choose.html", playbooks=playbooks_of(home), asked=asked)
    chosen = bundle.playbook(home, playbook)
    title = language.name("playbook", chosen.name)
    asked = structs.replace(asked, typed=variables.typed_of(_open(chosen), {}), name=title)
    return _form(desk, chosen, asked)


@router.post("/new")
def review(
    *, person: Planning, db: Db, home: HomeOf, now: Now, language: LanguageOf, page: Page, asked: Sent
) -> HTMLResponse:
    """The waves as they would be now; back to the form where something is wrong, or is to be counted."""
    desk = _Desk(db, home, person, now, language, page)
    chosen = bundle.playbook(home, asked.playbook)
    if asked.do in {"form", "count"}:
        return _form(desk, chosen, asked)
    return _review(desk, chosen, asked)


@router.post("")
def keep(
    *, person: Planning, db: WritingDb, home: HomeOf, now: Now, language: LanguageOf, page: Page, asked: Sent
) -> Response:
    """Keep it as a draft; and submit it, on exactly the devices that were shown."""
    desk = _Desk(db, home, person, now, language, page)
    chosen = bundle.playbook(home, asked.playbook)
    try:
        with db.begin_nested():  # what cannot be submitted is not kept either: the form still holds it
            rollout_id = _keep(desk, asked, _wish(chosen, asked, variables.given(_secret(chosen), asked.typed)))
    except (Invalid, LibraryWrong, Conflict) as refused:
        asked = structs.replace(asked, typed=variables.without(asked.typed, _secret(chosen)))
        return _review(desk, chosen, asked, refused=refused)
    return RedirectResponse(f"/rollouts/{rollout_id}", 303)


def _keep(desk: _Desk, asked: Asked, wish: Wish) -> int:
    db, home, now = desk.db, desk.home, desk.now
    kept_before = keeping.secrets(home, asked.draft) if asked.draft else {}
    if asked.draft:
        before = rollouts.find_to_change(db, desk.person.scope, asked.draft)
        permitted.demand(before, "edit", hand(db, desk.person, before.id))
        found = proposing.edit(db, home, asked.draft, wish, desk.asker, version=asked.version, now=now)
        rollout_id, version = found.id, found.version
    else:
        rollout_id = proposing.draft(db, home, wish, desk.asker, now=now)
        version = rollouts.find(db, desk.person.scope, rollout_id).version
    if asked.do == "submit":
        try:
            proposing.submit(db, home, rollout_id, desk.asker, version=version, now=now, targets_digest=asked.digest)
        except (AnnexfleetError, LibraryWrong):
            # The rows go back to what they were; what lies in files has to be put back.
            keeping.keep(home, rollout_id, kept_before)
            raise
    return rollout_id


def _of_another(desk: _Desk, rollout_id: int, *, is_draft: bool, failed: bool) -> HTMLResponse:
    find = rollouts.find_to_change if is_draft else rollouts.find
    found = find(desk.db, desk.person.scope, rollout_id)
    chosen = bundle.playbook(desk.home, found.playbook)
    asked = wishes.of_detail(found, variables.typed_of(_open(chosen), found.variables))
    if is_draft:
        asked = structs.replace(asked, draft=found.id, version=found.version)
    if failed:
        rows = rollout_targets.listing(desk.db, desk.person.scope, rollout_id)
        nobody: dict[str, Sequence[str]] = dict.fromkeys(wishes.SELECTING, ())
        ids = [row.device_id for row in rows if row.state in BAD]
        asked = structs.replace(asked, every=False, **nobody | {"devices": ids})
    return _form(desk, chosen, asked)


def _open(playbook: Playbook) -> list[Variable]:
    return [variable for variable in playbook.variables if not variable.secret]


def _secret(playbook: Playbook) -> list[Variable]:
    return [variable for variable in playbook.variables if variable.secret]


def _wish(playbook: Playbook, asked: Asked, secrets: Mapping[str, Any]) -> Wish:
    """Raises Invalid, VariableWrong."""
    return Wish(
        name=asked.name, playbook=playbook.name, variables=variables.given(_open(playbook), asked.typed),
        secrets=secrets, selector=wishes.selector(asked), policy=wishes.policy(asked), reason=asked.reason,
        deadline_s=wishes.deadline_s(asked),
    )  # fmt: skip


def _stand_ins(playbook: Playbook, kept: Sequence[str]) -> dict[str, Any]:
    """Something in the place of each secret that there will be."""
    return {
        variable.name: _STAND_INS.get(variable.type, "." * 12)
        for variable in _secret(playbook)
        if variable.required or variable.name in kept
    }


def _form(desk: _Desk, playbook: Playbook, asked: Asked, *, wrong: AnnexfleetError | None = None) -> HTMLResponse:
    db, person = desk.db, desk.person
    of_variable = wrong if isinstance(wrong, VariableWrong) else None
    all_wrong = wishes.all_wrong(asked, wrong) if isinstance(wrong, Invalid) else {}
    found = variables.fields(_open(playbook), asked.typed, desk.language, wrong=of_variable)
    everyone = proposing.meant(db, Selector(), person.scope)
    names = _names(desk)
    few = everyone if len(everyone) <= _CHOSEN_SINGLY_AT_MOST else []
    return desk.page(
        "rollout_form.html",
        status=422 if isinstance(wrong, Invalid) else 409 if wrong else 200,
        playbook=playbook,
        asked=asked,
        fields=[field for field in found if not field.seldom],
        seldom=[field for field in found if field.seldom],
        variable_wrong=of_variable.facts if of_variable else {},
        wrong=all_wrong,
        refused=wrong.code if wrong and not isinstance(wrong, Invalid) else "",
        choices=wishes.choices(everyone, asked),
        names=names,
        single={id_: [one for one in few if one.annex_id == id_] for id_ in names},
        meant=_meant(desk, asked),
        in_sight=len(everyone),
        presets=list(documents.PRESETS),
        policy=wishes.fields(asked, all_wrong),
        has_secrets=bool(_secret(playbook)),
    )


def _meant(desk: _Desk, asked: Asked) -> int | None:
    """How many devices are meant by what is ticked; None where that means nothing yet."""
    try:
        return len(proposing.meant(desk.db, wishes.selector(asked), desk.person.scope))
    except Invalid:
        return None


def _names(desk: _Desk) -> dict[str, str]:
    return names_of(desk.db, desk.person.scope, desk.language.code)


def _review(desk: _Desk, playbook: Playbook, asked: Asked, *, refused: AnnexfleetError | None = None) -> HTMLResponse:
    """The waves as they would be now, with what was refused; the form where even they cannot be shown."""
    # Of a draft that is said anew: secrets stay as they are unless they are typed again.
    kept = rollouts.find(desk.db, desk.person.scope, asked.draft).secret_names if asked.draft else ()
    try:
        wish = _wish(playbook, asked, _stand_ins(playbook, kept))
        preview = proposing.preview(desk.db, desk.home, wish, desk.asker, now=desk.now)
    except (Invalid, LibraryWrong) as wrong:
        return _form(desk, playbook, asked, wrong=wrong)
    wrong_secret = refused if isinstance(refused, VariableWrong) else None
    values = variables.given(_open(playbook), asked.typed)
    return desk.page(
        "rollout_review.html",
        status=200 if refused is None else 422 if isinstance(refused, Invalid) else 409,
        playbook=playbook,
        asked=asked,
        wish=wish,
        preset=documents.preset_of(wish.policy),
        names=_names(desk),
        values=[(name, shown(value, desk.language)) for name, value in values.items()],
        typed=variables.without(asked.typed, _secret(playbook)),
        secrets=[
            structs.replace(field, required=field.required and not kept)
            for field in variables.fields(_secret(playbook), {}, desk.language, wrong=wrong_secret)
        ],
        kept_secrets=kept,
        targets_changed=isinstance(refused, RolloutTargetsChanged),
        refused=refused.code if refused else "",
        facts=refused.facts if refused else {},
        is_variable=wrong_secret is not None,
        **_plan(desk, preview, wish),
    )


def _plan(desk: _Desk, preview: Preview, wish: Wish) -> dict[str, Any]:
    """What the page shows of the waves, of what stands apart from them, and of the windows."""
    forecast = foreseeing.of_preview(desk.db, preview, wish, now=desk.now)
    plan, of = preview.plan, preview.candidates
    known = catalogue(readiness.own_services(desk.db))
    impossible = [
        (of[one.device], known[one.service].name(desk.language.code) if one.service in known else one.service)
        for one in plan.impossible[:_LISTED_AT_MOST]
    ]
    return {
        "preview": preview,
        "waves": _planned(preview),
        "compliant": _some(of, plan.compliant),
        "unreachable": _some(of, plan.unreachable),
        "impossible": impossible,
        "away": sum(not of[number].connected for wave in plan.waves for number in wave.devices),
        "forecast": forecast,
        "expected": {line.number: line for line in expected.lines(forecast.waves, PROVINCE)},
        **_calendar(desk, preview, wish, forecast),
        "annex_count": len(preview.windows),
    }


def _calendar(desk: _Desk, preview: Preview, wish: Wish, forecast: Forecast) -> dict[str, Any]:
    """The nights until it is over, within reason, and the first wave that comes after them."""
    count = expected.nights_needed(forecast.waves, since=desk.now, zone=PROVINCE)
    until = desk.now + timedelta(days=count)
    open_in = {
        annex_id: windows.spans(calendar, wish.policy, desk.now, until)
        for annex_id, calendar in surroundings.calendars_of(desk.db, preview.windows).items()
    }
    days = expected.days(forecast.waves, open_in, since=desk.now, zone=PROVINCE, count=count)
    return {"days": days, "beyond": expected.first_beyond(forecast.waves, days[-1], PROVINCE)}


def _planned(preview: Preview) -> list[PlannedWave]:
    of, found = preview.candidates, preview.plan.waves
    largest = max((len(wave.devices) for wave in found), default=1)
    return [
        PlannedWave(
            number=wave.number, count=len(wave.devices), width=round(100 * len(wave.devices) / largest, 2),
            annexes=len({of[number].annex_id for number in wave.devices}), is_canary="canary" in wave.why,
            devices=_some(of, wave.devices), left_out=max(0, len(wave.devices) - _LISTED_AT_MOST),
        )
        for wave in found
    ]  # fmt: skip


def _some(of: Mapping[int, Candidate], numbers: Sequence[int]) -> list[Candidate]:
    return [of[number] for number in numbers[:_LISTED_AT_MOST]]
