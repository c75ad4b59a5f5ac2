"""/printers/<id>: how one printer stands, what to do about it, and how it has been."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol.causes import CAUSES
from annexfleet_controller import state, zones
from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import dossier, words
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import Guidance
from annexfleet_controller.store import alerts, annexes, fleet, printer_events, printers, supplies
from annexfleet_controller.store.printer_events import Onset
from annexfleet_controller.things import SupplyDay, Thing
from annexfleet_controller.web import condition, curves, timeline
from annexfleet_controller.web.pages import commands
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

DAYS = 30
EVENTS_DAYS = 90
_EVENTS_SHOWN = 20
_JAMS = frozenset({"paper_jam", "jam_repeat"})


class Day(Struct, frozen=True):
    """What was printed on a day.  None where nobody can tell."""

    on: date
    pages: int | None


class Bar(Struct, frozen=True):
    """What was printed on a day, on an axis of 1000 from the first midnight until now."""

    on: date
    pages: int
    x: float
    width: float


class Happened(Struct, frozen=True):
    """A cause that began, in words."""

    title: str
    at: datetime


class Past(Struct, frozen=True):
    """How a printer has been lately."""

    days: list[Day]
    bars: list[Bar]
    highest: int
    """Pages of the busiest day; 0: nothing is known."""
    total: int
    events: list[Happened]
    """Those that are over, the newest first: what still lasts stands above."""
    events_count: int
    jams: int
    """Among all of those days, not only among the events that are shown."""


@router.get("/printers/{printer_id}")
def show(
    *,
    printer_id: str,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
    annex: Annotated[str, Query(max_length=63)] = "",
) -> HTMLResponse:
    """Asked by htmx, only its state."""
    seen = printers.find(db, person.scope, printer_id, annex_id=annex, now=now)
    place = annexes.get(db, person.scope, seen.annex_id)
    found = alerts.listing(db, person.scope, annex_id=place.id, thing=Thing("printer", seen.id))
    say = words.read(db, language)
    return page(
        "printer.html",
        block=block if block == "state" else "",
        seen=seen,
        printer=seen.printer,
        annex_id=place.id,
        annex_name=name_of(place, language.code),
        place=printers.place(db, seen.id),
        condition=condition.of_printer(seen, found, say, language, now=now),
        others=_other_causes(language, seen.printer) if seen.unknown_since(now) is None else [],
        alerts=[dossier.alert_line(one, say) for one in found],
        past=past(db, person, seen, language, zone_name=place.time_zone, now=now),
        **_axis(db, person, seen, language, zone_name=place.time_zone, now=now),
        **_commanding(db, person, seen, language, now=now),
        events=f"/api/v1/events?annex={place.id}",
    )


def _axis(
    db: Session, person: Person, seen: fleet.SeenPrinter, language: Language, *, zone_name: str, now: datetime
) -> dict[str, Any]:
    """Its last days on one axis: documents that waited, and what happened around it.  The bars of days share it."""
    since = first_midnight(zone_name, now)
    numbers = [device.number for device in seen.seen_by]
    onsets = printer_events.of_printer(db, seen.id, since=since)
    own = [timeline.Mark(kind="change", at=one.at, until=one.at, title=_title(language, one)) for one in onsets]
    if "command" in person.reads_deeds:
        sent = commands.to_printer(db, numbers, seen.printer.name)
        own += [timeline.of_command(one, language) for one in sent if one.sent_at is not None]
    marks = timeline.of_thing(
        db, person, Thing("printer", seen.id), language, annex_id=seen.annex_id, devices=seen.seen_by, own=own,
        since=since, now=now,
    )  # fmt: skip
    return {
        "marks": marks,
        "mark_kinds": [kind for kind in timeline.MARK_KINDS if kind != "away"],
        "placed": timeline.placed(marks, since=since, until=now, now=now),
        "chart": curves.of_subject(
            language, seen.seen_by[0].id, f"printer:{seen.printer.name}", "printer_jobs_count"
        ),
        "span_s": int((now - since).total_seconds()),
    }  # fmt: skip


def first_midnight(zone_name: str, now: datetime) -> datetime:
    """When the first of the days began that are drawn."""
    zone = zones.zone(zone_name)
    return datetime.combine(now.astimezone(zone).date() - timedelta(days=DAYS - 1), time(), zone).astimezone(UTC)


def bars(days: Sequence[Day], *, zone_name: str, now: datetime) -> list[Bar]:
    """The days of which something is known; today's is as wide as it is old."""
    zone, since = zones.zone(zone_name), first_midnight(zone_name, now)
    whole = (now - since).total_seconds() / 1000
    found = []
    for day in days:
        if day.pages is None or not whole:
            continue
        start, end = (datetime.combine(day.on + timedelta(days=more), time(), zone) for more in (0, 1))
        x, until = ((min(at, now) - since).total_seconds() / whole for at in (start, end))
        found.append(Bar(day.on, day.pages, round(x + 0.1 * (until - x), 1), round(0.8 * (until - x), 1)))
    return found


def _commanding(
    db: Session, person: Person, seen: fleet.SeenPrinter, language: Language, *, now: datetime
) -> dict[str, Any]:
    """What can be asked of the device whose word is shown, as far as it concerns this printer."""
    device = seen.seen_by[0]
    may = person.may("send_commands")
    return {
        "device": device,
        "presence": device.presence(now),
        "commanding": commands.of_printer(db, device, seen, language) if may else None,
    }


def past(
    db: Session, person: Person, seen: fleet.SeenPrinter, language: Language, *, zone_name: str, now: datetime
) -> Past:
    """Pages of the last 30 days, and what began in the last 90 and is over."""
    today = now.astimezone(zones.zone(zone_name)).date()
    rows = supplies.of_printer(db, person.scope, seen.id, since=today - timedelta(days=DAYS + 7))
    days = pages_of_days(rows, since=today - timedelta(days=DAYS - 1), until=today)
    onsets = printer_events.of_printer(db, seen.id, since=now - timedelta(days=EVENTS_DAYS))
    over = _over(onsets, seen.printer)
    return Past(
        days=days,
        bars=bars(days, zone_name=zone_name, now=now),
        highest=max((day.pages for day in days if day.pages is not None), default=0),
        total=sum(day.pages or 0 for day in days),
        events=[Happened(_title(language, one), one.at) for one in over[:_EVENTS_SHOWN]],
        events_count=len(over),
        jams=sum(one.cause in _JAMS for one in onsets),
    )


def _over(onsets: Sequence[Onset], printer: state.Printer) -> list[Onset]:
    """Those that are over: the newest onset of a cause that is still told of is not."""
    lasting = set(printer.causes)
    found = []
    for onset in onsets:  # the newest first
        if onset.cause in lasting:
            lasting.remove(onset.cause)
        else:
            found.append(onset)
    return found


def pages_of_days(rows: Sequence[SupplyDay], *, since: date, until: date) -> list[Day]:
    """What a printer printed on each of these days, from what its counter stood at in the end of days.

    What was printed on days of which nothing is known counts on the next that is.  A counter that fell (a new board, a
    printer that took another's place) tells nothing of that day.
    """
    counters: dict[date, float] = {}
    for row in rows:
        if row.pages_count is not None:
            counters[row.day] = max(row.pages_count, counters.get(row.day, 0.0))
    made: list[Day] = []
    before = max((day for day in counters if day < since), default=None)
    for number in range((until - since).days + 1):
        day = since + timedelta(days=number)
        pages = None
        if day in counters:
            if before is not None and counters[day] >= counters[before]:
                pages = round(counters[day] - counters[before])
            before = day
        made.append(Day(day, pages))
    return made


def _other_causes(language: Language, printer: state.Printer) -> list[Guidance]:
    """What else is wrong besides what is said first, with what to do."""
    causes = [cause for cause in printer.causes if cause not in state.QUIET_CAUSES]
    ordered = sorted(causes, key=lambda cause: not state.blocks(cause))
    return [condition.cause_in_words(language, cause, printer) for cause in ordered[1:]]


def _title(language: Language, onset: Onset) -> str:
    """A cause's own name: of which printer it is, the page says."""
    return language.name("cause", onset.cause) if onset.cause in CAUSES else language.name("rule", onset.cause)
