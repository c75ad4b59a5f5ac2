"""/api/v1/rollouts: changes to many devices in waves; drafts, previews and looking.  Acts are in `rollout_acts.py`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems, rollout_making, versions
from annexfleet_controller.api.rollout_desk import DeskOf, asker
from annexfleet_controller.api.rollout_shapes import (
    DeviceRollout,
    DeviceRolloutPage,
    Edited,
    EventOut,
    EventPage,
    ForecastOut,
    GateOut,
    NewRollout,
    PreviewOut,
    RolloutOut,
    RolloutPage,
    Standing,
    State,
    TargetPage,
)
from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import foreseeing, keeping, proposing
from annexfleet_controller.store import fleet, rollout_events, rollout_targets, rollouts

router = APIRouter(prefix="/api/v1", tags=["rollouts"], responses=problems.RESPONSES)

Planning = Annotated[Person, Depends(Needs("plan_rollouts"))]
Id = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]
_LARGEST_PLACE = 2**31 - 1


@router.get("/rollouts")
def list_rollouts(
    *,
    person: Planning,
    db: Db,
    state: Annotated[State | Literal["open", ""], Query(description="`open`: begun, and not over")] = "",
    playbook: Annotated[str, Query(max_length=80)] = "",
    annex: Annotated[str, Query(max_length=63)] = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 50,
) -> RolloutPage:
    """Rollouts with a device in your sight, the newest first."""
    rows = rollouts.listing(
        db, person.scope, state=state, playbook=playbook, annex_id=annex, before=_before(cursor), limit=limit + 1
    )
    return RolloutPage(
        items=[rollout_making.summary(row) for row in rows[:limit]],
        next=paging.cursor(str(rows[limit - 1].id)) if len(rows) > limit else None,
    )


@router.post("/rollouts", status_code=201)
def create_draft(new: NewRollout, person: Planning, desk: DeskOf) -> RolloutOut:
    """Keep a draft.  With an `Idempotency-Key` a repeat within a day keeps none and answers the same."""
    wish = rollout_making.wish(new)

    def work(db: Session) -> RolloutOut:
        made = proposing.draft(db, desk.home, wish, asker(person), now=desk.now)
        return rollout_making.out(db, person, rollouts.find(db, person.scope, made))

    return desk.once(person, rollout_making.without_secrets(new), work)


@router.post("/rollouts/preview")
def preview_wish(new: NewRollout, person: Planning, home: HomeOf, db: Db, now: Now) -> PreviewOut:
    """What a rollout would come to now: its waves, who is left out and why, and when it may be done.  Keeps nothing."""
    wish = rollout_making.wish(new)
    found = proposing.preview(db, home, wish, asker(person), now=now)
    return rollout_making.preview(found, foreseeing.of_preview(db, found, wish, now=now))


@router.get("/rollouts/{rollout_id}")
def show_rollout(rollout_id: Id, person: Planning, db: Db, response: Response) -> RolloutOut:
    """One of them; its numbers count the devices in your sight.  `ETag` is its version, for `If-Match`."""
    found = rollouts.find(db, person.scope, rollout_id)
    response.headers["ETag"] = versions.etag(found.version)
    return rollout_making.out(db, person, found)


@router.put("/rollouts/{rollout_id}", responses={409: {"model": problems.Problem}, 428: {"model": problems.Problem}})
def edit_draft(rollout_id: Id, new: Edited, person: Planning, desk: DeskOf) -> RolloutOut:
    """Say anew what a draft says."""
    wish = rollout_making.wish(new)
    return desk.act(
        person, rollout_id, "edit", new,
        lambda db, who, version: proposing.edit(
            db, desk.home, rollout_id, wish, who, version=version, now=desk.now
        ),
    )  # fmt: skip


@router.get("/rollouts/{rollout_id}/preview")
def preview_rollout(rollout_id: Id, person: Planning, home: HomeOf, db: Db, now: Now) -> PreviewOut:
    """What a rollout would come to if it were submitted now."""
    found = rollouts.find(db, person.scope, rollout_id)
    wish = proposing.wish_of(found, keeping.secrets(home, rollout_id))
    shown = proposing.preview(db, home, wish, asker(person), now=now)
    return rollout_making.preview(shown, foreseeing.of_preview(db, shown, wish, now=now))


@router.get("/rollouts/{rollout_id}/targets")
def list_targets(
    *,
    rollout_id: Id,
    person: Planning,
    db: Db,
    wave: Annotated[int | None, Query(ge=0, le=100_000, description="0: those in no wave")] = None,
    state: Annotated[Standing | Literal[""], Query()] = "",
    annex: Annotated[str, Query(max_length=63)] = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> TargetPage:
    """Its devices in your sight, by wave and in the order in which they are begun."""
    found = rollouts.find(db, person.scope, rollout_id)
    rows = rollout_targets.listing(
        db, person.scope, found.id, wave=wave, state=state, annex_id=annex, after=_after(cursor), limit=limit + 1
    )
    more = len(rows) > limit
    return TargetPage(
        items=[rollout_making.target(row) for row in rows[:limit]],
        next=paging.cursor(*map(str, rollout_targets.place(rows[limit - 1]))) if more else None,
    )


@router.get("/rollouts/{rollout_id}/events")
def list_events(
    rollout_id: Id, person: Planning, db: Db, cursor: paging.Cursor = "", limit: paging.Limit = 100
) -> EventPage:
    """Its story, the newest first."""
    found = rollouts.find(db, person.scope, rollout_id)
    rows = rollout_events.of(db, found.id, before=_before(cursor), limit=limit + 1)
    return EventPage(
        items=[
            EventOut(id=row.id, at=row.at, kind=row.kind, actor=row.actor, facts=dict(row.facts))
            for row in rows[:limit]
        ],
        next=paging.cursor(str(rows[limit - 1].id)) if len(rows) > limit else None,
    )


@router.get("/rollouts/{rollout_id}/gate")
def show_gate(rollout_id: Id, person: Planning, db: Db, language: LanguageOf, now: Now) -> GateOut:
    """Whether it goes on, waits or was stopped, and why."""
    return rollout_making.gate(db, person, rollouts.find(db, person.scope, rollout_id), language, now=now)


@router.get("/rollouts/{rollout_id}/forecast")
def show_forecast(
    rollout_id: Id,
    person: Planning,
    db: Db,
    now: Now,
    as_if_started: Annotated[bool, Query(description="What it would be if it were started, or let go on, now")] = False,
) -> ForecastOut:
    """When it and each of its waves will be over, from measured durations and windows, if nothing comes in between."""
    found = rollouts.find(db, person.scope, rollout_id)
    return rollout_making.forecast(foreseeing.foresee(db, found, now=now, as_if_started=as_if_started))


@router.get("/devices/{device_id}/rollouts")
def list_rollouts_of_device(
    device_id: str, person: Planning, db: Db, cursor: paging.Cursor = "", limit: paging.Limit = 50
) -> DeviceRolloutPage:
    """What was rolled out to a device while it stood in your sight, the newest first."""
    device = fleet.device(db, person.scope, device_id)
    found = rollout_targets.of_device(db, person.scope, device.number, before=_before(cursor), limit=limit + 1)
    return DeviceRolloutPage(
        items=[
            DeviceRollout(rollout=rollout_making.summary(of), target=rollout_making.target(row))
            for of, row in found[:limit]
        ],
        next=paging.cursor(str(found[limit - 1][0].id)) if len(found) > limit else None,
    )  # fmt: skip


def _before(cursor: str) -> int | None:
    keys = paging.keys(cursor, 1)
    return None if keys is None else _number(keys[0], paging.LARGEST_ID)


def _after(cursor: str) -> tuple[int, int, int] | None:
    keys = paging.keys(cursor, 3)
    if keys is None:
        return None
    wave, position, number = (_number(key, _LARGEST_PLACE) for key in keys)
    return wave, position, number


def _number(text: str, largest: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) > largest:
        raise Invalid("not a cursor", field="cursor")
    return int(text)
