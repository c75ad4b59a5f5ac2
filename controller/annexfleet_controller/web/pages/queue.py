"""/annexes/<id>/queues/<service>: who waits there now, and how that compares with the same day of the weeks before."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Change
from annexfleet_controller import zones
from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import dossier, words
from annexfleet_controller.errors import QueueUnknown
from annexfleet_controller.i18n import readings
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.store import alerts, annexes, changes, fleet, history, readiness
from annexfleet_controller.things import Thing
from annexfleet_controller.web import condition, timeline
from annexfleet_controller.web.daycurve import Curve, curve, hourly
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

WEEKS = 4
_METRIC = "queue_waiting_count"
_OWN = ("queue_counters_open_count", "queue_counters_total_count", "queue_stale")
_MOST_OWN = 40
_QUARTERS = 96
"""Points of a day: a quarter of an hour each."""


class Told(Struct, frozen=True):
    """A queue as each device that counts it tells."""

    best: fleet.SeenQueue
    """The one that is shown: of a device that can be heard, fresh, and with a number, where there is such a one."""
    all: list[fleet.SeenQueue]


@router.get("/annexes/{annex_id}/queues/{queue:path}")
def show(
    *,
    annex_id: str,
    queue: str,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
) -> HTMLResponse:
    """Asked by htmx, only its state.  A service's code is whatever its device calls it, also with a slash."""
    place = annexes.get(db, person.scope, annex_id)
    told = _told(db, person, annex_id, queue, now)
    named = service_names(db, language)
    found = alerts.listing(db, person.scope, annex_id=place.id, thing=Thing("queue", f"{annex_id}/{queue}"))
    say = words.read(db, language)
    return page(
        "queue.html",
        block=block if block == "state" else "",
        service=named.get(queue, queue),
        code=queue,
        told=told,
        queue=told.best.queue,
        unknown_since=told.best.unknown_since(now),
        annex_id=place.id,
        annex_name=name_of(place, language.code),
        condition=condition.of_trouble(found, say, ()),
        alerts=[dossier.alert_line(one, say) for one in found],
        **_axis(db, person, told, language, zones.zone(place.time_zone), now=now),
        events=f"/api/v1/events?annex={place.id}",
    )


def _axis(
    db: Session, person: Person, told: Told, language: Language, zone: ZoneInfo, *, now: datetime
) -> dict[str, Any]:
    """Its day so far on one axis: who waited, and what happened around it."""
    drawn = of_today(db, told.best, zone, now=now)
    midnight = datetime.combine(now.astimezone(zone).date(), time(), zone)
    devices = [seen.device for seen in told.all]
    marks = timeline.of_thing(
        db, person, Thing("queue", f"{told.best.annex_id}/{told.best.queue.service}"), language,
        annex_id=told.best.annex_id, devices=devices, own=_own(db, told, language, since=midnight),
        since=midnight.astimezone(UTC), now=now,
    )  # fmt: skip
    first, last = (midnight.astimezone(UTC) + timedelta(hours=hours) for hours in (drawn.first_h, drawn.last_h))
    return {
        "curve": drawn,
        "marks": marks,
        "mark_kinds": [kind for kind in timeline.MARK_KINDS if kind not in {"away", "command"}],
        "placed": timeline.placed(marks, since=first, until=last, now=now),
    }


def _own(db: Session, told: Told, language: Language, *, since: datetime) -> list[timeline.Mark]:
    """What of it changed besides the people who wait, which the curve tells: counters, and whether its source runs."""
    rows = changes.happenings(
        db, since=since.astimezone(UTC), kinds=("change",), collectors=("queues",), numbers=[told.best.device.number]
    )
    subject, found = f"queue:{told.best.queue.service}", []
    for row in rows:
        try:
            change = wire.decode_up("change", row.payload)
        except wire.Malformed:
            continue
        if not isinstance(change, Change):
            continue
        of = change.readings.get(subject, {})
        moved = [
            f"{language.name('metric', metric)} {readings.text(language, metric, of[metric])}"
            for metric in _OWN
            if f"{subject} {metric}" in change.because and metric in of
        ]
        if moved:
            title = language.gettext(", ").join(moved)
            found.append(timeline.Mark(kind="change", at=row.at, until=row.at, title=title))
    return found[-_MOST_OWN:]


def of_today(db: Session, seen: fleet.SeenQueue, zone: ZoneInfo, *, now: datetime) -> Curve:
    """Today in quarters of an hour, and the mean of each hour of the same day in the weeks before."""
    today = now.astimezone(zone).date()
    at, values = _day(db, seen, today, zone)
    before = [hourly(*_day(db, seen, today - timedelta(weeks=week), zone), zone) for week in range(1, WEEKS + 1)]
    return curve(at, values, before, zone)


def _day(db: Session, seen: fleet.SeenQueue, on: date, zone: ZoneInfo) -> tuple[list[float], list[float | None]]:
    start, end = (datetime.combine(day, time(), zone) for day in (on, on + timedelta(days=1)))
    found = history.series(
        db, seen.device.number, f"queue:{seen.queue.service}", _METRIC, since=start, until=end, points=_QUARTERS
    )
    # A point stands at the end of its time; what it tells was so in the middle.
    return [moment - (found.step_s or 300) / 2 for moment in found.at], found.values


def service_names(db: Session, language: Language) -> dict[str, str]:
    """What people call each service, by the code that a queue bears."""
    return {code: service.name(language.code) for code, service in catalogue(readiness.own_services(db)).items()}


def _told(db: Session, person: Person, annex_id: str, service: str, now: datetime) -> Told:
    rows = fleet.devices(db, person.scope, now=now, annex_id=annex_id)
    seen = [one for one in fleet.queues(rows, fleet.known(db, rows, collectors=["queues"]))
            if one.queue.service == service]  # fmt: skip
    if not seen:
        raise QueueUnknown(f"nobody in {annex_id!r} counts {service!r}")
    (best,) = fleet.believed_queues(seen, now)
    return Told(best, seen)
