"""/api/v1/rollouts/{id}/rehearse: what would happen, with simulated devices.  It begins nothing and keeps nothing."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.api import problems
from annexfleet_controller.api.rollout_shapes import GateReasonOut
from annexfleet_controller.api.rollouts import Id, Planning
from annexfleet_controller.errors import DeviceUnknown
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts import rehearsing, wording
from annexfleet_controller.store import annexes, fleet, rollouts
from annexfleet_controller.waves.mishaps import Fault, MishapKind
from annexfleet_controller.waves.rehearsal.story import Moment, Story

router = APIRouter(prefix="/api/v1/rollouts/{rollout_id}", tags=["rollouts"], responses=problems.RESPONSES)

_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": problems.Problem}}
_MOST_S = 90 * 86_400.0
_Names = Annotated[list[Annotated[str, Field(max_length=120)]], Field(max_length=500)]
_A_DEVICE = "device"
"""Kind of a moment: how one device ended; the tally counts them."""


class MishapIn(BaseModel):
    """Something that befalls one device, one annex, or some that are drawn, whatever is released."""

    kind: MishapKind
    """Its link fails; its mains do; it is switched off in order."""
    device: Annotated[str, Field(max_length=63)] = ""
    annex: Annotated[str, Field(max_length=63)] = ""
    count: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Where neither is named: so many of its devices are drawn; of `power`, of their annexes."""
    at_s: Annotated[float, Field(ge=-_MOST_S, le=_MOST_S)] = 0.0
    """After the start of the rehearsal."""
    lasts_s: Annotated[float, Field(gt=0, le=_MOST_S)] = 3600.0
    """Days, for a device that comes back after days."""


class Rehearsal(BaseModel):
    """What goes wrong: by default nothing.  Devices that fit all that is named have the release's fault."""

    fault: Fault = ""
    models: _Names = []
    roles: _Names = []
    annexes: _Names = []
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    after_s: Annotated[float, Field(ge=0, le=_MOST_S)] = 0.0
    """So long after their change."""
    leak_an_hour: Annotated[float, Field(ge=0, le=1)] = 0.03
    """`leak`: share of its memory."""
    mishaps: Annotated[list[MishapIn], Field(max_length=100)] = []
    ordinary: bool = False
    """With the power cuts, lost lines and jams of an ordinary province."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    """The same seed tells the same story."""

    model_config = {"json_schema_extra": {"examples": [{"fault": "crash", "after_s": 3600, "ordinary": True}]}}


class MomentOut(BaseModel):
    at: datetime
    kind: str
    facts: dict[str, str | int | float]
    verdict: str | None
    """Of `gate`: go, wait or stop, with its reasons."""
    reasons: list[GateReasonOut]


class RehearsalOut(BaseModel):
    state: str
    """The rollout's at the end."""
    devices: int
    waves: int
    tally: dict[str, int]
    """Devices by how they would end."""
    touched: int
    """Devices that would be begun."""
    harmed: int
    """Of these, devices on which the release has its fault."""
    started_at: datetime
    ended_at: datetime
    stopped_at: datetime | None
    """When the gate would stop it."""
    touched_at_stop: int
    begun_after_stop: int
    moments: list[MomentOut]


@router.post("/rehearse", responses=_CONFLICT)
def rehearse(
    *, rollout_id: Id, person: Planning, db: Db, now: Now, language: LanguageOf, ask: Rehearsal | None = None
) -> RehearsalOut:
    """Play it through in compressed time: its own devices in your sight, annexes and hours, simulated.

    At most 1,000 devices; 409 `rehearsal_busy` while another one is played, `rehearsal_too_long` after 30 seconds.
    """
    how = ask or Rehearsal()
    found = rollouts.find(db, person.scope, rollout_id)
    mishaps = []
    for one in how.mishaps:
        numbers = fleet.numbers(db, person.scope, [one.device]) if one.device else [0]
        if not numbers:
            raise DeviceUnknown(f"no device {one.device[:40]!r}")
        if one.annex:
            annexes.get(db, person.scope, one.annex)
        mishaps.append(
            rehearsing.Mishap(
                kind=one.kind, device=next(iter(numbers)), annex=one.annex, count=one.count, at_s=one.at_s,
                lasts_s=one.lasts_s,
            )
        )  # fmt: skip
    release = rehearsing.Release(
        fault=how.fault, models=tuple(how.models), roles=tuple(how.roles), annexes=tuple(how.annexes),
        share=how.share, after_s=how.after_s, leak_an_hour=how.leak_an_hour if how.fault == "leak" else 0.0,
    )  # fmt: skip
    return _out(
        rehearsing.rehearsed_apart(
            db, found, person.scope, release, is_ordinary=how.ordinary, seed=how.seed, now=now, mishaps=tuple(mishaps)
        ),
        language,
    )


def _out(story: Story, language: Language) -> RehearsalOut:
    return RehearsalOut(
        state=story.rollout.state, devices=story.plan.device_count, waves=len(story.plan.waves),
        tally={**{str(state): count for state, count in story.tally.items()}}, touched=story.touched,
        harmed=len(story.harmed), started_at=story.started_at, ended_at=story.ended_at, stopped_at=story.stopped_at,
        touched_at_stop=story.touched_at_stop, begun_after_stop=story.begun_after_stop,
        moments=[_moment(one, language) for one in story.moments if one.kind != _A_DEVICE],
    )  # fmt: skip


def _moment(of: Moment, language: Language) -> MomentOut:
    reasons = []
    if of.verdict:
        lines = wording.grounds(language, of.verdict, places={}, now=of.at)
        reasons = [
            GateReasonOut(code=reason.code, facts=dict(reason.facts), text=wording.in_one_line(line))
            for reason, line in zip(of.verdict.reasons, lines, strict=True)
        ]
    return MomentOut(
        at=of.at, kind=of.kind, facts=dict(of.facts), verdict=of.verdict.word if of.verdict else None, reasons=reasons
    )
