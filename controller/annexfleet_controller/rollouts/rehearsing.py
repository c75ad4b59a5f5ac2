"""A rollout rehearsed before it is started: its own devices, annexes and hours, simulated, in compressed time.

Nothing is begun and nothing is kept: the plan, gate and steps of a real one are thought through (`waves.rehearsal`)
against devices of which this and that goes wrong.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import structs
from sqlalchemy.orm import Session

from annexfleet_controller.rollouts import drafting, surroundings, telling
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.waves import natures
from annexfleet_controller.waves.model import Nature, Selector
from annexfleet_controller.waves.rehearsal import QUIET, Background, Release, Script, Setting, Story, rehearse

__all__ = ["Release", "Story", "rehearsed"]


def rehearsed(
    db: Session, found: Detail, scope: Scope, release: Release, *, is_ordinary: bool, seed: int, now: datetime
) -> Story:
    """What would happen if this rollout, a draft too, were started now and the release had this fault.

    `is_ordinary`: with what goes wrong in every province, such as power cuts, lost lines and jams.  The same seed tells
    the same story.  Devices that its selector means by now are taken.  Raises DeviceUnknown and AnnexUnknown.
    """
    meant = drafting.meant(db, found.selector, scope)
    annexes = sorted({one.annex_id for one in meant})
    everybody = drafting.meant(db, Selector(annexes=tuple(annexes)), scope) if annexes else []
    told = telling.reported(db, [one.number for one in everybody], natures.facts_of(found.nature))
    candidates = [
        structs.replace(one, facts=told[one.number].facts) if one.number in told else one for one in everybody
    ]  # fmt: skip
    structure, served_by = surroundings.structure(db, annexes, now=now)
    setting = Setting(
        candidates=tuple(candidates), targets=frozenset(one.number for one in meant), structure=structure,
        served_by=served_by, calendars=surroundings.calendars_of(db, annexes),
    )  # fmt: skip
    script = Script(
        release=release, background=Background() if is_ordinary else QUIET, new_facts=_after(found.nature), seed=seed
    )
    return rehearse(setting, found.policy, found.nature, script, start_at=now, deadline_s=found.deadline_s)


def _after(nature: Nature) -> Mapping[str, str]:
    """What a device reports that has what is wanted; `*` is anything."""
    return {one.fact: "there" if one.equals == "*" else one.equals for one in nature.expects if one.equals}
