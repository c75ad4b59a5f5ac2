"""/rollouts: what is rolled out to many devices; /rollouts/<id>: one rollout, live."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import RunUnknown
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts import permitted, steering, surroundings, wording
from annexfleet_controller.rollouts.foreseeing import foresee
from annexfleet_controller.rollouts.permitted import Hand
from annexfleet_controller.settings import Home
from annexfleet_controller.store import rollout_events, rollout_targets, rollouts, runs
from annexfleet_controller.store.rollout_events import Event
from annexfleet_controller.store.rollout_targets import TargetRow
from annexfleet_controller.store.rollouts import UNDER_WAY, Detail
from annexfleet_controller.waves import windows
from annexfleet_controller.waves.model import OVER, ROLLOUT_STATES, TARGET_STATES, TOUCHED, Target
from annexfleet_controller.web import expected, rehearsals, waves
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.pages.runs import Variable, shown
from annexfleet_controller.web.render import Page, WantedBlock
from annexfleet_controller.zones import PROVINCE

router = APIRouter(prefix="/rollouts", include_in_schema=False)

Planning = Annotated[Person, Depends(Needs("plan_rollouts"))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
State = Literal[
    "", "open", "draft", "submitted", "approved", "running", "paused", "stopped", "done", "aborted", "superseded"
]
TargetStanding = Literal[
    "", "waiting", "running", "verifying", "deferred", "compliant", "succeeded", "failed", "timed_out", "unknown",
    "skipped",
]  # fmt: skip
_LISTED = 30
_SQUARES = 2000
_SQUARES_OF_A_WAVE = 300
_TARGETS_SHOWN = 100
_EVENTS_SHOWN = 60


class Next(Struct, frozen=True, kw_only=True):
    """How it stands, and what a person can do about it."""

    code: str
    """One that has words (context "rollout_next")."""
    acts: tuple[str, ...]
    """What this person may do, in the order of the buttons."""
    main: str
    """That of them which is most likely next; empty where nothing needs to be done."""
    opens_at: datetime | None = None
    """When the next window of what waits opens; None where one is open, or nothing waits for one."""


class Asked(Struct, frozen=True, kw_only=True):
    """Which devices are shown in the table."""

    state: str = ""
    wave: int | None = None
    annex: str = ""
    after: str = ""

    @property
    def place(self) -> dict[str, str]:
        found = {"state": self.state, "wave": "" if self.wave is None else str(self.wave), "annex": self.annex}
        return {name: value for name, value in (found | {"after": self.after}).items() if value}


@router.get("")
def list_rollouts(
    *,
    person: Planning,
    db: Db,
    page: Page,
    block: WantedBlock,
    state: State = "",
    playbook: Annotated[str, Query(max_length=80)] = "",
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> HTMLResponse:
    """Asked by htmx, only the list; `before` is the number of a rollout: those before it are shown."""
    found = rollouts.listing(db, person.scope, state=state, playbook=playbook, before=before, limit=_LISTED + 1)
    asked = {"state": state, "playbook": playbook}
    narrowed = {name: value for name, value in asked.items() if value}
    place = narrowed | ({"before": str(before)} if before else {})
    kept = found[:_LISTED]
    return page(
        "rollouts.html",
        block="list" if block == "list" else "",
        lines=[(one, waves.bar(one.tally), waves.ended(one.tally)) for one in kept],
        asked=asked,
        states=("open", *ROLLOUT_STATES),
        playbooks=rollouts.rolled_out(db, person.scope),
        is_narrowed=bool(place),
        query=urlencode(place),
        older=urlencode(narrowed | {"before": str(kept[-1].id)}) if len(found) > _LISTED else "",
        events="/api/v1/events",
    )


@router.get("/{rollout_id}")
def show(
    *,
    rollout_id: Id,
    person: Planning,
    db: Db,
    home: HomeOf,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
    state: TargetStanding = "",
    wave: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    annex: Annotated[str, Query(max_length=63)] = "",
    after: Annotated[str, Query(max_length=60, pattern=r"^(\d{1,9}\.\d{1,9}\.\d{1,18})?$")] = "",
    lost: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> HTMLResponse:
    """Asked by htmx, only its state.  `lost`: devices that this way back leaves out, as nobody knows how they were."""
    asked = Asked(state=state, wave=wave, annex=annex, after=after)
    return whole(
        db, person, rollout_id, language, page, home=home, now=now, block="state" if block == "state" else "",
        asked=asked, lost=lost,
    )  # fmt: skip


def whole(
    db: Session,
    person: Person,
    rollout_id: int,
    language: Language,
    page: Page,
    *,
    home: Home,
    now: datetime,
    block: str = "",
    asked: Asked = Asked(),  # noqa: B008  # frozen
    status: int = 200,
    problem: tuple[str, Mapping[str, Any]] = ("", {}),
    after_story: int | None = None,
    lost: int = 0,
) -> HTMLResponse:
    """The page of a rollout, also with why something could not be done: an error's code, and its facts.

    `after_story`: the newest line of the story that its reader knew; what others did since is told on top.
    """
    found = rollouts.find(db, person.scope, rollout_id)
    events = rollout_events.of(db, rollout_id, limit=_EVENTS_SHOWN)
    names = names_of(db, person.scope, language.code, with_retired=True)
    dry = _dry_run(db, person, found, home)
    rows, more, is_cut = _rows(db, person, found, asked)
    tallies = rollout_targets.waves(db, person.scope, rollout_id)
    return page(
        "rollout.html",
        block=block,
        status=status,
        rollout=found,
        device_count=sum(sum(tally.values()) for wave, tally in tallies.items() if wave),
        next=_next(db, person, found, now=now, has_dry=dry is not None),
        gate=wording.grounds(language, found.gate, places=names, now=now) if found.gate else [],
        because=wording.because(language, found.state_reason),
        **_foretold(db, found, now=now),
        bar=waves.bar(found.tally),
        ended=waves.ended(found.tally),
        waves=_waves(db, person, found, tallies),
        held=wording.held(language, found.held),
        outside=waves.bar(tallies.get(0, {})),
        variables=_variables(found, language),
        dry=dry,
        had_dry=dry is None and rollout_events.is_any(db, rollout_id, "dry_run"),
        rows=rows,
        asked=asked,
        states=[state for state in waves.FIRST if found.tally.get(state)],
        places=names,
        annexes_of=[one for one in rollouts.annexes_of(db, rollout_id) if one in names],
        more=urlencode({**asked.place, "after": more}) if more else "",
        is_cut=is_cut,
        query=urlencode(asked.place),
        **_told(events, language),
        meanwhile=_meanwhile(events, after_story, person) if problem[0] else [],
        is_large=found.needs_approval,
        problem=problem,
        lost=lost,
        **rehearsals.form(rehearsals.Asked()),
        events="/api/v1/events",
    )


def _told(events: Sequence[Event], language: Language) -> dict[str, Any]:
    """What happened to it, the newest first."""
    return {
        "events_shown": [(event, wording.story(language, event)) for event in events],
        "newest_event": events[0].id if events else 0,
    }


def hand(db: Session, person: Person, rollout_id: int) -> Hand:
    """Who would act upon it."""
    return Hand(
        name=person.name, may_approve=person.may("approve_rollouts"),
        sees_all=rollouts.may_change(db, person.scope, rollout_id),
    )  # fmt: skip


_ORDER = (
    "approve", "start", "resume", "dry_run", "submit", "edit", "reject", "pause", "rollback", "retry", "withdraw",
    "abort", "clone",
)  # fmt: skip
_AFTER_A_HALT = frozenset({"rollback", "retry"})
"""Not offered while it runs: first it is paused or ended."""


def _acts(db: Session, person: Person, found: Detail, missed: int) -> tuple[str, ...]:
    """What this person may do to it now, in the order of the buttons."""
    possible = set(permitted.may(found, hand(db, person, found.id)))
    if sum(found.tally.get(state, 0) for state in TOUCHED) <= missed:
        possible.discard("rollback")
    if found.state == "running":
        possible -= _AFTER_A_HALT
    return tuple(act for act in _ORDER if act in possible)


def _next(db: Session, person: Person, found: Detail, *, now: datetime, has_dry: bool) -> Next:
    targets = rollout_targets.of_rollout(db, found.id)
    missed = sum(rollout_targets.missed(db, person.scope, found.id).values())
    acts = _acts(db, person, found, missed)
    done = ("done", "")
    if waves.bad(found.tally):
        done = ("done_missed" if waves.bad(found.tally) == missed else "done_bad", "retry")
    code, main = {
        "draft": ("tried", "submit") if has_dry else ("draft", "dry_run"),
        "submitted": ("decide", "approve") if "approve" in acts else ("waits_for_second", ""),
        "approved": ("start", "start") if "start" in acts else ("waits_for_start", ""),
        "running": (found.phase or ("stragglers" if found.wave else "begins"), ""),
        "paused": ("resume", "resume") if "resume" in acts else ("paused", ""),
        "stopped": ("judge", "rollback") if "resume" in acts else ("stopped", ""),
        "done": done,
        "aborted": ("aborted" if found.ended_at else "ending", ""),
        "superseded": ("superseded", ""),
    }[found.state]
    opens_at = _opens_at(db, found, targets, now=now) if code == "rolling" else None
    if main in acts:
        acts = (main, *(act for act in acts if act != main))
    return Next(
        code="waits_for_window" if opens_at else code, acts=acts, main=main if main in acts else "", opens_at=opens_at
    )


def _opens_at(db: Session, found: Detail, targets: Sequence[Target], *, now: datetime) -> datetime | None:
    """When the first window opens, where devices of the wave wait, none is being changed and no window is open."""
    if any(target.state in {"running", "verifying"} for target in targets):
        return None
    waiting = {target.annex_id for target in targets if target.wave == found.wave and target.state == "waiting"}
    found_windows = [
        windows.now(calendar, found.policy, now) for calendar in surroundings.calendars_of(db, waiting).values()
    ]
    if not found_windows or any(window.is_open for window in found_windows):
        return None
    return min((window.next_at for window in found_windows if window.next_at), default=None)


def _foretold(db: Session, found: Detail, *, now: datetime) -> dict[str, Any]:
    """When it will be over, and by number when its waves are expected; of one that waits for people, if it went on."""
    if found.state in OVER:
        return {"forecast": None, "expected": {}}
    forecast = foresee(db, found, now=now, as_if_started=found.state != "running")
    lines = expected.lines(forecast.waves, PROVINCE)
    return {"forecast": forecast, "expected": {line.number: line for line in lines}}


def _waves(db: Session, person: Person, found: Detail, tallies: Mapping[int, Any]) -> list[waves.Wave]:
    """Its waves, with a square for each device; where there are very many, only around the one that is under way."""
    numbers = [number for number in sorted(tallies) if number]
    missed = rollout_targets.missed(db, person.scope, found.id)
    total = sum(sum(tallies[number].values()) for number in numbers)
    squares: dict[int, list[TargetRow]] = {}
    if total <= _SQUARES:
        for row in rollout_targets.listing(db, person.scope, found.id):
            squares.setdefault(row.wave, []).append(row)
    else:
        for number in numbers:
            if abs(number - max(1, found.wave)) <= 1:
                squares[number] = rollout_targets.listing(
                    db, person.scope, found.id, wave=number, limit=_SQUARES_OF_A_WAVE
                )  # fmt: skip
    return [
        waves.Wave(
            number=number, bar=waves.bar(tallies[number]), count=sum(tallies[number].values()),
            ended=waves.ended(tallies[number]), bad=waves.bad(tallies[number]) - missed.get(number, 0),
            missed=missed.get(number, 0),
            is_now=found.state in UNDER_WAY and number == found.wave, squares=squares.get(number, []),
            left_out=sum(tallies[number].values()) - len(squares.get(number, [])),
        )
        for number in numbers
    ]  # fmt: skip


def _rows(db: Session, person: Person, found: Detail, asked: Asked) -> tuple[list[TargetRow], str, bool]:
    """The devices of the table; after which one more of them come; whether some are left out."""

    def listed(state: str, limit: int) -> list[TargetRow]:
        wave, position, number = (int(part) for part in asked.after.split(".")) if asked.after else (0, 0, 0)
        return rollout_targets.listing(
            db, person.scope, found.id, wave=asked.wave, state=state, annex_id=asked.annex, limit=limit,
            after=(wave, position, number) if asked.after else None,
        )  # fmt: skip

    if asked.state or asked.after:
        rows = listed(asked.state, _TARGETS_SHOWN + 1)
        if len(rows) <= _TARGETS_SHOWN:
            return rows, "", False
        kept = rows[:_TARGETS_SHOWN]
        return kept, ".".join(map(str, rollout_targets.place(kept[-1]))), False
    kept = []
    for state in waves.FIRST:
        if found.tally.get(state) and len(kept) <= _TARGETS_SHOWN:
            kept += listed(state, _TARGETS_SHOWN + 1 - len(kept))
    return kept[:_TARGETS_SHOWN], "", len(kept) > _TARGETS_SHOWN


def _dry_run(db: Session, person: Person, found: Detail, home: Home) -> runs.Run | None:
    """The dry run that shows what it would change; None where it was made before playbooks or rollout were changed."""
    if found.dry_run_id is None:
        return None
    try:
        run = runs.find(db, person.scope, found.dry_run_id)
    except RunUnknown:
        return None  # forgotten since, or of other annexes
    is_to_be = found.state in {"draft", "submitted", "approved"}
    return run if not is_to_be or steering.is_dry_run_of(home, found, run.bundle_digest) else None


def _variables(found: Detail, language: Language) -> list[Variable]:
    known = [Variable(name, shown(value, language), False) for name, value in sorted(found.variables.items())]
    return known + [Variable(name, "", True) for name in found.secret_names]


def _meanwhile(events: Sequence[Event], after: int | None, person: Person) -> list[Event]:
    """What happened since its reader looked, the newest first; at least the last thing that another person did."""
    if after is None:
        return []
    since = [event for event in events if event.id > after]
    others = [event for event in events if event.actor and event.actor != person.name]
    return since or others[:1]


assert set(TARGET_STATES) == set(waves.ORDER) == set(waves.FIRST)
