"""/api/v1/readiness: can an annex serve citizens, why not, what is the smallest repair; and how it was in a month."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from annexfleet_controller import zones
from annexfleet_controller.access.asked import Db, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.errors import Invalid
from annexfleet_controller.readiness import availability
from annexfleet_controller.readiness.availability import Availability
from annexfleet_controller.readiness.model import CapabilityName, Fix, Leaf, Reason, Remedy, ServiceReadiness, State
from annexfleet_controller.store import annexes, calendars
from annexfleet_controller.store import readiness as store
from annexfleet_controller.things import Thing, ThingKind

router = APIRouter(prefix="/api/v1/readiness", tags=["readiness"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]


class ThingOut(BaseModel):
    kind: ThingKind
    id: str


class FixOut(BaseModel):
    """One repair: that this cause ends at this thing."""

    cause: str
    thing: ThingOut
    part: str


class ThingStanding(BaseModel):
    thing: ThingOut
    name: str
    since: datetime | None
    fixes: Annotated[list[FixOut], Field(description="All must be done before it works; empty where nobody knows how")]


class NeedOut(BaseModel):
    """One of the needs of a service, and how it is met."""

    capability: CapabilityName
    state: State
    working: int
    unknown: int
    at_least: Annotated[int, Field(description="With fewer the service is blocked")]
    full: Annotated[int, Field(description="With fewer it is degraded")]
    failing: list[ThingStanding]
    unsure: Annotated[list[ThingStanding], Field(description="Things of which nobody knows")]


class ServiceOut(BaseModel):
    service: str
    state: State
    since: Annotated[datetime | None, Field(description="Since when it stands so; null if nobody knows")]
    needs: Annotated[list[NeedOut], Field(description="What is not met comes first")]
    fix_set: Annotated[list[FixOut], Field(description="The fewest repairs that bring it back, if it is blocked")]
    fix_set_proven: Annotated[bool, Field(description="false: the search was given up, there may be a smaller one")]


class RemedyOut(BaseModel):
    fixes: list[FixOut]
    restores: Annotated[list[str], Field(description="Services that come back with this remedy and those before it")]


class StandingOut(BaseModel):
    service: str
    state: State


class AnnexStanding(BaseModel):
    annex: str
    state: State
    is_open: bool
    at: Annotated[datetime | None, Field(description="When that was found; null if nobody ever looked")]
    services: list[StandingOut]
    plan: Annotated[list[RemedyOut], Field(description="The fewest repairs that bring every blocked service back")]

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "annex": "berkane-1", "state": "blocked", "is_open": True, "at": "2026-11-23T08:00:00Z",
                    "services": [{"service": "residence", "state": "blocked"}, {"service": "cnie", "state": "blocked"}],
                    "plan": [
                        {
                            "fixes": [
                                {
                                    "cause": "paper_empty", "part": "tray-1",
                                    "thing": {"kind": "printer", "id": "3f0c9a3b1d5e7f90aa11bb22"},
                                }
                            ],
                            "restores": ["cnie", "residence"],
                        }
                    ],
                }
            ]
        }
    }  # fmt: skip


class ReadinessPage(BaseModel):
    items: list[AnnexStanding]
    next: str | None = None
    checked_at: Annotated[datetime | None, Field(description="When the watch looked last; old: believe nothing here")]


class AnnexReadinessOut(BaseModel):
    annex: str
    state: State
    is_open: bool
    at: datetime | None
    checked_at: datetime | None
    services: list[ServiceOut]
    plan: list[RemedyOut]


class AvailabilityOut(BaseModel):
    """Opening time, by how it stood; ratios are of the opening time, and null if there was none."""

    open_seconds: float
    ready_seconds: float
    degraded_seconds: float
    blocked_seconds: float
    unknown_seconds: Annotated[float, Field(description="In which nobody knows how it stood; never available")]
    ready_ratio: float | None
    serving_ratio: Annotated[float | None, Field(description="Ready or degraded")]
    blocked_ratio: float | None
    unknown_ratio: float | None
    serving_of_known_ratio: Annotated[float | None, Field(description="Of the opening time of which anybody knows")]


class ServiceAvailability(AvailabilityOut):
    service: str


class MonthOut(BaseModel):
    annex: str
    month: str
    since: datetime
    until: Annotated[datetime, Field(description="The end of the month, or now")]
    whole: Annotated[AvailabilityOut, Field(description="The annex, at each moment as its worst service stood")]
    services: list[ServiceAvailability]


@router.get("")
def list_readiness(
    *,
    person: Looking,
    db: Db,
    state: Annotated[State | None, Query(description="Only annexes whose worst service stands so")] = None,
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> ReadinessPage:
    """How the annexes in your sight stand, by id."""
    after = paging.keys(cursor, 1)
    found = store.now(db, person.scope, state=state, after=after[0] if after else "", limit=limit + 1)
    return ReadinessPage(
        items=[_standing(one) for one in found[:limit]],
        next=paging.cursor(found[limit - 1].readiness.annex_id) if len(found) > limit else None,
        checked_at=store.watched_until(db),
    )


@router.get("/{annex_id}")
def show_readiness(annex_id: str, person: Looking, db: Db) -> AnnexReadinessOut:
    """One annex: each service with its needs, the reasons, and the smallest repair."""
    place = annexes.get(db, person.scope, annex_id)
    found = store.now_of(db, place.id)
    spans = store.current(db, person.scope, [place.id]).get(place.id, {})
    since = {name: span.since for name, span in spans.items()}
    of = found.readiness
    return AnnexReadinessOut(
        annex=of.annex_id,
        state=of.state,
        is_open=of.is_open,
        at=found.at,
        checked_at=store.watched_until(db),
        services=[_service(one, since.get(one.service)) for one in of.services],
        plan=[_remedy(one) for one in of.plan],
    )


@router.get("/{annex_id}/availability")
def show_availability(
    *,
    annex_id: str,
    person: Looking,
    db: Db,
    now: Now,
    month: Annotated[str, Query(max_length=7, description="Such as 2026-11; the current one if left out")] = "",
) -> MonthOut:
    """For which part of a month's opening hours each service could be provided, by the annex's calendar and clock."""
    place = annexes.get(db, person.scope, annex_id)
    calendar = calendars.of(db, place.id)
    month = month or f"{now.astimezone(zones.zone(calendar.time_zone)):%Y-%m}"
    try:
        since, until = availability.bounds(month, calendar.time_zone)
    except ValueError:
        raise Invalid("no month such as 2026-11", field="month") from None
    spans = store.spans(db, place.id, since=since, until=until)
    found = availability.of_month(spans, calendar, month, now=now, watched_until=store.watched_until(db))
    return MonthOut(
        annex=place.id,
        month=month,
        since=found.since,
        until=found.until,
        whole=AvailabilityOut(**_figures(found.annex)),
        services=[ServiceAvailability(service=name, **_figures(of)) for name, of in found.services.items()],
    )


def _standing(found: store.Found) -> AnnexStanding:
    of = found.readiness
    return AnnexStanding(
        annex=of.annex_id,
        state=of.state,
        is_open=of.is_open,
        at=found.at,
        services=[StandingOut(service=one.service, state=one.state) for one in of.services],
        plan=[_remedy(one) for one in of.plan],
    )


def _service(of: ServiceReadiness, since: datetime | None) -> ServiceOut:
    return ServiceOut(
        service=of.service,
        state=of.state,
        since=since,
        needs=[_need(one) for one in (*of.reasons, *of.met)],
        fix_set=[_fix(one) for one in of.fix_set],
        fix_set_proven=of.fix_set_proven,
    )


def _need(of: Reason) -> NeedOut:
    return NeedOut(
        capability=of.capability, state=of.state, working=of.working, unknown=of.unknown, at_least=of.at_least,
        full=of.full, failing=[_leaf(one) for one in of.failing], unsure=[_leaf(one) for one in of.unsure],
    )  # fmt: skip


def _leaf(of: Leaf) -> ThingStanding:
    return ThingStanding(
        thing=_thing(of.thing), name=of.name, since=of.since, fixes=[_fix(one) for one in sorted(of.fixes)]
    )


def _remedy(of: Remedy) -> RemedyOut:
    return RemedyOut(fixes=[_fix(one) for one in of.fixes], restores=list(of.restores))


def _fix(of: Fix) -> FixOut:
    return FixOut(cause=of.cause, thing=_thing(of.thing), part=of.part)


def _thing(of: Thing) -> ThingOut:
    return ThingOut(kind=of.kind, id=of.id)


def _figures(of: Availability) -> dict[str, Any]:
    return {
        "open_seconds": of.open_s, "ready_seconds": of.ready_s, "degraded_seconds": of.degraded_s,
        "blocked_seconds": of.blocked_s, "unknown_seconds": of.unknown_s, "ready_ratio": of.ratio(of.ready_s),
        "serving_ratio": of.ratio(of.serving_s), "blocked_ratio": of.ratio(of.blocked_s),
        "unknown_ratio": of.ratio(of.unknown_s), "serving_of_known_ratio": of.known_ratio,
    }  # fmt: skip
