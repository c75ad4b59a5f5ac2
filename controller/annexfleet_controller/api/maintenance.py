"""/api/v1/maintenance: planned work that keeps alerts quiet."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import planning
from annexfleet_controller.api import paging, problems
from annexfleet_controller.calendars.document import WEEKDAYS
from annexfleet_controller.errors import Invalid
from annexfleet_controller.maintenance import Condition, Draft, Maintenance, Span, condition, next_span, span_at
from annexfleet_controller.store import maintenance
from annexfleet_controller.things import Thing

router = APIRouter(prefix="/api/v1/maintenance", tags=["maintenance"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
Planning = Annotated[Person, Depends(Needs("plan_maintenance"))]
Id = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]
Version = Annotated[int | None, Field(ge=1, le=2**31 - 1)]

_EXAMPLE: dict[str, JsonValue] = {
    "annexes": ["berkane-1"],
    "ends_at": "2026-11-25T18:00:00Z",
    "reason": "New switch",
}
_NAMED_AT_MOST = 500
_Text = Annotated[str, Field(max_length=63)]


class Week(BaseModel):
    """On some days of each week, in the annexes' own time zone."""

    weekdays: Annotated[list[Literal[*WEEKDAYS]], Field(min_length=1, max_length=7)]  # type: ignore[valid-type]
    at: Annotated[str, Field(pattern=r"^[0-2][0-9]:[0-5][0-9]$", description="HH:MM")]
    minutes: Annotated[int, Field(ge=1, le=1440)]
    until: Annotated[date, Field(description="The last day on which it may begin")]


class NewMaintenance(BaseModel):
    """The province, or annexes, or devices and printers; and either `ends_at` or `weekly`."""

    province: bool = False
    annexes: Annotated[list[_Text], Field(max_length=_NAMED_AT_MOST)] = []
    devices: Annotated[list[_Text], Field(max_length=_NAMED_AT_MOST)] = []
    printers: Annotated[list[_Text], Field(max_length=_NAMED_AT_MOST)] = []
    roles: Annotated[list[_Text], Field(max_length=4, description="Only devices of these roles")] = []
    starts_at: paging.Moment | None = None
    ends_at: paging.Moment | None = None
    weekly: Week | None = None
    reason: Annotated[str, Field(max_length=1000)]

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class Longer(BaseModel):
    """Another end: `ends_at` for one that lasts once, `until` for a weekly one."""

    ends_at: paging.Moment | None = None
    until: date | None = None
    version: Annotated[Version, Field(description="As it was read; refused if somebody changed it since")] = None


class Ending(BaseModel):
    wholly: Annotated[bool, Field(description="Of a weekly one all that is to come, and not only what lasts now")] = (
        False
    )
    version: Version = None


class ThingOut(BaseModel):
    kind: str
    id: str


class SpanOut(BaseModel):
    start: datetime
    end: datetime


class MaintenanceOut(BaseModel):
    id: int
    state: Condition
    province: bool
    annexes: list[str]
    things: list[ThingOut]
    roles: list[str]
    starts_at: datetime
    ends_at: datetime | None
    weekly: Week | None
    time_zone: str
    reason: str
    author: str
    created_at: datetime
    cancelled_at: datetime | None
    cancelled_by: str
    lasts: SpanOut | None
    """Now."""
    next: SpanOut | None
    version: int
    may_change: bool


class MaintenancePage(BaseModel):
    items: list[MaintenanceOut]
    next: str | None = None


@router.get("")
def list_maintenance(
    *,
    person: Looking,
    db: Db,
    now: Now,
    state: Annotated[Condition | Literal[""], Query(description="Without it, active and planned")] = "",
    annex: Annotated[str, Query(max_length=63)] = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> MaintenancePage:
    """Planned work in your sight: by its start; what is past the last first."""
    after = _after(cursor)
    if state == "past":
        rows = maintenance.past(db, person.scope, now=now, annex_id=annex, before=after, limit=limit + 1)
    else:
        rows = maintenance.to_come(db, person.scope, now=now, annex_id=annex, after=after, limit=limit + 1)
    shown, more = rows[:limit], len(rows) > limit
    last = shown[-1] if more else None
    key = None if last is None else maintenance.place(last, past=state == "past")
    wanted = {state} if state else {"active", "planned"}
    shown = planning.in_sight(db, person.scope, [m for m in shown if condition(m, now) in wanted], now=now)
    items = [_out(m, person, now) for m in shown]
    return MaintenancePage(items=items, next=None if key is None else paging.cursor(key[0].isoformat(), str(key[1])))


@router.get("/{maintenance_id}")
def show_maintenance(maintenance_id: Id, person: Looking, db: Db, now: Now) -> MaintenanceOut:
    """One of them."""
    (m,) = planning.in_sight(db, person.scope, [maintenance.get(db, person.scope, maintenance_id)], now=now)
    return _out(m, person, now)


@router.post("", status_code=201)
def plan(new: NewMaintenance, person: Planning, once: OnceOf, now: Now) -> MaintenanceOut:
    """Plan some.  With an `Idempotency-Key` a repeat within a day plans none and answers the same."""
    draft = _draft(new)

    def work(db: Session) -> dict[str, Any]:
        made = planning.plan(db, person.scope, draft, author=person.name, via=person.via, now=now)
        return _out(made, person, now).model_dump(mode="json")

    asked = new.model_dump(mode="json")
    return MaintenanceOut.model_validate(once.do(person, asked, work, now=now))


@router.post("/{maintenance_id}/end", responses={409: {"model": problems.Problem}})
def end(maintenance_id: Id, person: Planning, db: WritingDb, now: Now, ending: Ending | None = None) -> MaintenanceOut:
    """End it now: what it covered is judged at once.  One that is over stays as it is."""
    how = ending or Ending()
    ended = planning.end(
        db,
        person.scope,
        maintenance_id,
        by=person.name,
        via=person.via,
        now=now,
        wholly=how.wholly,
        version=how.version,
    )
    return _out(ended, person, now)


@router.patch("/{maintenance_id}", responses={409: {"model": problems.Problem}})
def move_end(maintenance_id: Id, longer: Longer, person: Planning, db: WritingDb, now: Now) -> MaintenanceOut:
    """Let it last longer, or less long."""
    moved = planning.move_end(
        db,
        person.scope,
        maintenance_id,
        ends_at=longer.ends_at,
        until=longer.until,
        by=person.name,
        via=person.via,
        now=now,
        version=longer.version,
    )
    return _out(moved, person, now)


def _draft(new: NewMaintenance) -> Draft:
    things = [Thing("device", id_) for id_ in new.devices] + [Thing("printer", id_) for id_ in new.printers]
    week = new.weekly
    return Draft(
        province=new.province, annexes=tuple(new.annexes), things=tuple(things), roles=tuple(new.roles),
        starts_at=new.starts_at, ends_at=new.ends_at, reason=new.reason,
        weekdays=tuple(week.weekdays) if week else (), at=week.at if week else "",
        minutes=week.minutes if week else 0, until=week.until if week else None,
    )  # fmt: skip


def _after(cursor: str) -> tuple[datetime, int] | None:
    keys = paging.keys(cursor, 2)
    if keys is None:
        return None
    try:
        at, id_ = datetime.fromisoformat(keys[0]), int(keys[1])
    except ValueError:
        raise Invalid("not a cursor", field="cursor") from None
    if not paging.is_in_reach(at) or not 0 <= id_ <= paging.LARGEST_ID:
        raise Invalid("not a cursor", field="cursor")
    return at, id_


def _out(m: Maintenance, person: Person, now: datetime) -> MaintenanceOut:
    return MaintenanceOut(
        id=m.id, state=condition(m, now), province=m.area.province, annexes=list(m.area.annexes),
        things=[ThingOut(kind=thing.kind, id=thing.id) for thing in m.area.things], roles=list(m.area.roles),
        starts_at=m.starts_at, ends_at=m.ends_at, weekly=_week(m), time_zone=m.time_zone, reason=m.reason,
        author=m.author, created_at=m.created_at, cancelled_at=m.cancelled_at, cancelled_by=m.cancelled_by,
        lasts=_span(span_at(m, now)), next=_span(next_span(m, now)), version=m.version,
        may_change=person.may("plan_maintenance") and maintenance.may_change(person.scope, m),
    )  # fmt: skip


def _week(m: Maintenance) -> Week | None:
    if m.weekly is None:
        return None
    days = [WEEKDAYS[day] for day in m.weekly.weekdays]
    return Week(weekdays=days, at=m.weekly.at.strftime("%H:%M"), minutes=m.weekly.minutes, until=m.weekly.until)


def _span(span: Span | None) -> SpanOut | None:
    return None if span is None else SpanOut(start=span.start, end=span.end)
