"""/alerts: what is wrong, those incidents first that hold up most people, and who takes care of what.

All that the list is narrowed to stands in its address, so that it can be sent to somebody, and kept under a name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct, structs
from pydantic import Field
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import answers, dossier, rank, words
from annexfleet_controller.errors import AlreadyAcknowledged, AlreadyOver
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import CAUSES, guidance
from annexfleet_controller.store import alerts, annexes, incidents, readiness, saved_filters
from annexfleet_controller.store.errors import FilterUnknown
from annexfleet_controller.store.incidents import Wanted
from annexfleet_controller.things import INCIDENT_KINDS, SEVERITIES, Incident, IncidentKind, Severity
from annexfleet_controller.web.render import Page, WantedBlock
from annexfleet_controller.web.standing import is_old

router = APIRouter(include_in_schema=False)

PATH = "/alerts"
Period = Literal["24h", "7d", "30d", "90d"]
PERIODS: dict[Period, timedelta] = {
    "24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30), "90d": timedelta(days=90),
}  # fmt: skip
Who = Literal["", "free", "taken", "mine"]
WHOSE: tuple[Who, ...] = ("free", "taken", "mine")

_EACH = 50
_ALONE_AT_MOST = 50
_PLACES_TO_CHOOSE = 60
"""With more annexes than that, one types a name instead of choosing from a list that nobody reads."""
_PLACES_FOUND = 200
_LONGEST_TEXT = saved_filters.LONGEST_VALUE
_LATEST = 2**33
"""Seconds since 1970 beyond which no cursor of ours reaches."""

_Ids = Annotated[list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Form(max_length=500)]
_Query = Annotated[str, Form(max_length=1000)]
Looking = Annotated[Person, Depends(Needs("look"))]


class Asked(Struct, frozen=True, kw_only=True):
    """What the list is narrowed to, as its form shows it."""

    state: Literal["open", "over"] = "open"
    period: Period = "24h"
    annex: str = ""
    """An annex's id, or words of its name."""
    kind: IncidentKind | Literal[""] = ""
    severity: Severity | Literal[""] = ""
    who: Who = ""
    q: str = ""

    @property
    def narrowed(self) -> dict[str, str]:
        """All but the tab."""
        return {name: getattr(self, name) for name in ("annex", "kind", "severity", "who", "q") if getattr(self, name)}

    def query(self, **other: str | int) -> str:
        """Of its address; what is as it is without being said is left out."""
        tab = {"state": "over", "period": self.period} if self.state == "over" else {}
        return urlencode({name: value for name, value in ({**tab, **self.narrowed} | other).items() if value})


@router.get("/incidents")
def moved(person: Looking) -> RedirectResponse:
    """Where notices that speak of several incidents lead."""
    return RedirectResponse(PATH, 303)


@router.get(PATH)
def show(
    *,
    person: Looking,
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
    state: Literal["open", "over"] = "open",
    period: Period = "24h",
    annex: Annotated[str, Query(max_length=_LONGEST_TEXT)] = "",
    kind: IncidentKind | Literal[""] = "",
    severity: Severity | Literal[""] = "",
    who: Who = "",
    free: bool = False,
    q: Annotated[str, Query(max_length=_LONGEST_TEXT)] = "",
    after: Annotated[str, Query(max_length=80)] = "",
    tick: Literal["", "all"] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = _EACH,
) -> HTMLResponse:
    """Asked by htmx, only the list or the number in the menu."""
    if block == "alerts-count":
        return page("base.html", block="alerts_count", events="/api/v1/events")
    whose: Who = "free" if free else who
    asked = Asked(
        state=state, period=period, annex=annex.strip(), kind=kind, severity=severity, who=whose, q=q.strip()
    )  # fmt: skip
    say = words.read(db, language)
    found = _found(db, person, asked, language, now=now, after=after, limit=limit)
    kept = saved_filters.of(db, person.user_id, PATH)
    sized = {"limit": limit} if limit != _EACH else {}
    return page(
        "alerts.html",
        block="list" if block == "list" else "",
        asked=asked,
        **(_open_ones(db, person, asked, found[:limit], say, first=not after) if state == "open"
           else _over(db, person, found[:limit], say)),
        is_first=not after,
        further=f"{PATH}?{asked.query(after=_cursor(asked, found[limit - 1]), **sized)}" if len(found) > limit else "",
        begin=f"{PATH}?{asked.query(**sized)}",
        query=asked.query(after=after, tick=tick, **sized),
        tab_queries={"open": structs.replace(asked, state="open").query(),
                     "over": structs.replace(asked, state="over").query()},
        tick=tick,
        tick_query=asked.query(after=after, tick="" if tick else "all", **sized),
        kept=kept,
        current=asked.query(),
        may_keep=len(kept) < saved_filters.AT_MOST,
        watched_until=(watched_until := readiness.watched_until(db)),
        is_old=is_old(now, watched_until),
        may_answer=person.may("acknowledge"),
        places=_places_to_choose(db, person, language),
        kinds=INCIDENT_KINDS,
        severities=SEVERITIES,
        whose=WHOSE,
        periods=list(PERIODS),
        events="/api/v1/events",
    )  # fmt: skip


@router.post("/alerts/acknowledge")
def acknowledge(
    *,
    person: Annotated[Person, Depends(Needs("acknowledge"))],
    db: WritingDb,
    now: Now,
    incident: _Ids = [],  # noqa: B006  # FastAPI makes a new one for each request
    alert: _Ids = [],  # noqa: B006
    note: Annotated[str, Form(max_length=answers.LONGEST_NOTE)] = "",
    back: _Query = "",
) -> Response:
    """Take all that is ticked in charge.  What somebody else has, or what is over meanwhile, stays as it is."""
    for incident_id in dict.fromkeys(incident):
        with _leaving_others():
            answers.acknowledge(db, person.scope, incident_id, by=person.name, note=note, now=now)
    if alert:
        with _leaving_others():
            answers.acknowledge_alerts(db, person.scope, list(dict.fromkeys(alert)), by=person.name, note=note, now=now)
    return _back(back)


@router.post("/alerts/filters")
def keep(
    *, person: Looking, db: WritingDb, now: Now, name: Annotated[str, Form(max_length=200)] = "", query: _Query = ""
) -> Response:
    """Keep the list as it is narrowed now under a name; one of this name is replaced."""
    saved_filters.save(db, person.user_id, PATH, name, query, now=now)
    return _back(query)


@router.post("/alerts/filters/remove")
def forget(
    *, person: Looking, db: WritingDb, name: Annotated[str, Form(max_length=200)] = "", back: _Query = ""
) -> Response:
    """One that is gone already is gone."""
    with suppress(FilterUnknown):
        saved_filters.remove(db, person.user_id, PATH, name)
    return _back(back)


# -- what is found


def _found(
    db: Session, person: Person, asked: Asked, language: Language, *, now: datetime, after: str, limit: int
) -> list[Incident]:
    """One more than is shown, so that one knows whether there are further ones."""
    wanted = _wanted(db, person, asked, language)
    if asked.state == "over":
        place = _place(after)
        return incidents.over_page(
            db, person.scope, wanted, since=now - PERIODS[asked.period], limit=limit + 1,
            after=place[1:] if place else None,
        )  # fmt: skip
    return incidents.open_page(db, person.scope, wanted, after=_place(after), limit=limit + 1)


def _wanted(db: Session, person: Person, asked: Asked, language: Language) -> Wanted:
    places: frozenset[str] | None = None
    if asked.annex:
        names = annexes.listing(db, person.scope, search=asked.annex, limit=_PLACES_FOUND)
        exact = frozenset(place.id for place in names if place.id == asked.annex)
        places = exact or frozenset(place.id for place in names)
    text = asked.q.casefold()
    return Wanted(
        annexes=places, kind=asked.kind, severity=asked.severity,
        taken={"free": False, "taken": True}.get(asked.who), by=person.name if asked.who == "mine" else "",
        text=asked.q,
        # A title is looked for in the reader's own words, which no table holds.
        causes=frozenset(cause for cause in CAUSES if text in guidance(language, cause).title.casefold())
        if text else frozenset(),
        places=frozenset(place.id for place in annexes.listing(db, person.scope, search=asked.q, limit=_PLACES_FOUND))
        if text else frozenset(),
    )  # fmt: skip


def _open_ones(
    db: Session, person: Person, asked: Asked, found: Sequence[Incident], say: words.Words, *, first: bool
) -> dict[str, Any]:
    shown = sorted(found, key=rank.order)
    effects = alerts.effects(db, person.scope, [incident.id for incident in shown])
    alone = [] if asked.narrowed or not first else alerts.listing(db, person.scope, alone=True, limit=_ALONE_AT_MOST)
    return {
        "lines": dossier.lines(db, person.scope, shown, say),
        "effects": {
            incident_id: ([dossier.alert_line(one, say) for one in some], count)
            for incident_id, (some, count) in effects.items()
        },
        "alone": [dossier.alert_line(one, say) for one in alone],
    }


def _over(db: Session, person: Person, found: Sequence[Incident], say: words.Words) -> dict[str, Any]:
    return {"lines": dossier.lines(db, person.scope, found, say), "effects": {}, "alone": []}


def _places_to_choose(db: Session, person: Person, language: Language) -> list[tuple[str, str]]:
    """Annexes for a list; none where there are too many for one."""
    named = annexes.names(db, person.scope)
    if len(named) > _PLACES_TO_CHOOSE:
        return []
    of = 1 if language.code == "ar" else 0
    return [(annex_id, names[of]) for annex_id, names in named.items()]


# -- where one has paged to


def _cursor(asked: Asked, last: Incident) -> str:
    """The place of the last one of a page, by which the next begins."""
    at = last.resolved_at if asked.state == "over" and last.resolved_at else last.opened_at
    return f"{last.rank.score!r}~{round(at.timestamp() * 1e6)}~{last.id}"


def _place(after: str) -> tuple[float, datetime, int] | None:
    """Score, moment and id; None, the beginning, for what is no cursor of ours."""
    try:
        score, micros, id_ = after.split("~")
        seconds, number = int(micros) / 1e6, int(id_)
        place = float(score)
    except ValueError:
        return None
    if not 0 < seconds < _LATEST or not 0 < number < 2**63 or not abs(place) < float("inf"):
        return None
    whole, rest = divmod(int(micros), 1_000_000)
    return place, datetime.fromtimestamp(whole, UTC) + timedelta(microseconds=rest), number


def _back(query: str) -> Response:
    tidy = saved_filters.tidy(PATH, query)
    return RedirectResponse(f"{PATH}?{tidy}" if tidy else PATH, 303)


@contextmanager
def _leaving_others() -> Iterator[None]:
    """What somebody was quicker with is no error among many; the list shows who has it."""
    with suppress(AlreadyAcknowledged, AlreadyOver):
        yield
