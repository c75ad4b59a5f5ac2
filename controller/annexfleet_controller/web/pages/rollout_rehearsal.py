"""/rollouts/<id>/rehearse: what would happen if a rollout were started now.  It begins nothing."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse
from msgspec import Struct

from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.errors import Invalid
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts import rehearsing, wording
from annexfleet_controller.rollouts.errors import RehearsalBusy, RehearsalTooLong
from annexfleet_controller.rollouts.wording import GateLine
from annexfleet_controller.store import annexes, rollouts
from annexfleet_controller.store.rollout_events import Event
from annexfleet_controller.waves.mishaps import Fault
from annexfleet_controller.waves.model import TargetState
from annexfleet_controller.waves.rehearsal.story import Moment, Story
from annexfleet_controller.web import waves
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.pages.rollouts import Id, Planning
from annexfleet_controller.web.rehearsals import FAULTS, MISHAPS, Asked
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/rollouts", include_in_schema=False)

_Count = Annotated[int, Form(ge=0, le=1_000)]
_Hours = Annotated[float, Form(gt=0, le=2_160)]
_A_DEVICE = "device"
_SHOWN = 200


class Line(Struct, frozen=True, kw_only=True):
    """A line of the story."""

    hours: float
    """After its start."""
    moment: Moment
    text: str
    gate: list[GateLine]


@router.post("/{rollout_id}/rehearse")
def rehearse(
    *, rollout_id: Id, person: Planning, db: Db, now: Now, language: LanguageOf, page: Page,
    fault: Annotated[Fault, Form()] = "", share: Annotated[float, Form(gt=0, le=100)] = 100.0,
    after: Annotated[float, Form(ge=0, le=10_000)] = 0.0, ordinary: Annotated[Literal["yes", ""], Form()] = "",
    link: _Count = 0, power: _Count = 0, off: _Count = 0, link_hours: _Hours = 1.0, power_hours: _Hours = 1.0,
    off_hours: _Hours = 12.0, at: Annotated[float, Form(ge=0, le=10_000)] = 0.0,
) -> HTMLResponse:  # fmt: skip
    """The story of one rehearsal.  `share`: percent of the devices that have the fault; `after`, `at`: minutes."""
    found = rollouts.find(db, person.scope, rollout_id)
    how = Asked(
        fault=fault, share=share, after=after, ordinary=ordinary == "yes", at=at,
        counts={"link": link, "power": power, "off": off},
        hours={"link": link_hours, "power": power_hours, "off": off_hours},
    )  # fmt: skip
    asked = {"rollout": found, "rehearse": how, "faults": FAULTS, "mishaps": MISHAPS, "problem": "", "story": None}
    try:
        story = rehearsing.rehearsed_apart(
            db, found, person.scope, how.release, is_ordinary=how.ordinary, seed=1, now=now, mishaps=how.mishaps
        )
    except (Invalid, RehearsalBusy, RehearsalTooLong) as refused:
        problem = "rehearsal_too_many" if isinstance(refused, Invalid) else refused.code
        status = 422 if isinstance(refused, Invalid) else 409
        return page("rollout_rehearsal.html", status=status, **asked | {"problem": problem})
    places = {place.id: name_of(place, language.code) for place in annexes.listing(db, person.scope)}
    return page("rollout_rehearsal.html", **asked | _told(story, language, places, rollout_id))


def _told(story: Story, language: Language, places: dict[str, str], rollout_id: int) -> dict[str, Any]:
    moments = [one for one in story.moments if one.kind != _A_DEVICE]
    tallies: dict[int, dict[TargetState, int]] = {}
    for target in story.targets:
        of = tallies.setdefault(target.wave, {})
        of[target.state] = of.get(target.state, 0) + 1
    return {
        "story": story, "bar": waves.bar(story.tally),
        "waves": [(number, waves.bar(tallies[number]), sum(tallies[number].values())) for number in sorted(tallies)],
        "lines": [_line(one, story, language, places, rollout_id) for one in moments[:_SHOWN]],
        "left_out": max(0, len(moments) - _SHOWN),
        "stopped_after_s": (story.stopped_at - story.started_at).total_seconds() if story.stopped_at else None,
    }  # fmt: skip


def _line(of: Moment, story: Story, language: Language, places: dict[str, str], rollout_id: int) -> Line:
    event = Event(id=0, rollout_id=rollout_id, at=of.at, kind=of.kind, actor="", facts=of.facts)
    gate = wording.grounds(language, of.verdict, places=places, now=of.at) if of.verdict else []
    text = language.name("gate_word", of.verdict.word) if of.verdict else wording.story(language, event)
    return Line(hours=(of.at - story.started_at).total_seconds() / 3600, moment=of, text=text, gate=gate)
