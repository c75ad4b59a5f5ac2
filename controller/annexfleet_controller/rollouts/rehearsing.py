"""A rollout rehearsed before it is started: its own devices, annexes and hours, simulated, in compressed time.

Nothing is begun and nothing is kept: the plan, gate and steps of a real one are thought through (`waves.rehearsal`)
against devices of which this and that goes wrong.
"""

import threading
from collections.abc import Mapping
from datetime import datetime

from msgspec import structs
from sqlalchemy.orm import Session

from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import apart, drafting, surroundings, telling
from annexfleet_controller.rollouts.errors import RehearsalBusy, RehearsalTooLong
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.waves import natures
from annexfleet_controller.waves.mishaps import FAULTS, MISHAPS
from annexfleet_controller.waves.model import Nature, Selector
from annexfleet_controller.waves.rehearsal import QUIET, Background, Mishap, Release, Script, Setting, Story, rehearse

__all__ = ["FAULTS", "MISHAPS", "Mishap", "Release", "Story", "rehearsed", "rehearsed_apart"]

MOST_DEVICES = 1_000
"""Of a rehearsal that somebody waits for in a browser."""
LONGEST_S = 30.0
_TURN = threading.BoundedSemaphore(1)


def rehearsed(
    db: Session, found: Detail, scope: Scope, release: Release, *, is_ordinary: bool, seed: int, now: datetime,
    mishaps: tuple[Mishap, ...] = (),
) -> Story:  # fmt: skip
    """What would happen if this rollout, a draft too, were started now and the release had this fault.

    `is_ordinary`: with what goes wrong in every province, such as power cuts, lost lines and jams; `mishaps`: and with
    these.  The same seed tells the same story.  Devices that its selector means by now are taken.  Raises DeviceUnknown
    and AnnexUnknown.
    """
    setting = _setting(db, found, scope, now=now)
    script = _script(found, release, is_ordinary=is_ordinary, seed=seed, mishaps=mishaps)
    return rehearse(setting, found.policy, found.nature, script, start_at=now, deadline_s=found.deadline_s)


def rehearsed_apart(
    db: Session, found: Detail, scope: Scope, release: Release, *, is_ordinary: bool, seed: int, now: datetime,
    mishaps: tuple[Mishap, ...] = (),
) -> Story:  # fmt: skip
    """The same in a process of its own, for requests: bounded in devices and seconds, one at a time.

    Raises Invalid (`selector`, `too_many`), RehearsalBusy and RehearsalTooLong besides.
    """
    if len(drafting.meant(db, found.selector, scope)) > MOST_DEVICES:
        raise Invalid(f"a rehearsal takes {MOST_DEVICES} devices", field="selector", reason="too_many")
    setting = _setting(db, found, scope, now=now)
    script = _script(found, release, is_ordinary=is_ordinary, seed=seed, mishaps=mishaps)
    if not _TURN.acquire(blocking=False):
        raise RehearsalBusy("another rehearsal is being played")
    try:
        return apart.played(
            setting, found.policy, found.nature, script, start_at=now, deadline_s=found.deadline_s, within_s=LONGEST_S
        )
    except apart.TookTooLong:
        raise RehearsalTooLong(f"the rehearsal took longer than {LONGEST_S:.0f} seconds") from None
    finally:
        _TURN.release()


def _setting(db: Session, found: Detail, scope: Scope, *, now: datetime) -> Setting:
    meant = drafting.meant(db, found.selector, scope)
    annexes = sorted({one.annex_id for one in meant})
    everybody = drafting.meant(db, Selector(annexes=tuple(annexes)), scope) if annexes else []
    told = telling.reported(db, [one.number for one in everybody], natures.facts_of(found.nature))
    candidates = [
        structs.replace(one, facts=told[one.number].facts) if one.number in told else one for one in everybody
    ]  # fmt: skip
    structure, served_by = surroundings.structure(db, annexes, now=now)
    return Setting(
        candidates=tuple(candidates), targets=frozenset(one.number for one in meant), structure=structure,
        served_by=served_by, calendars=surroundings.calendars_of(db, annexes),
    )  # fmt: skip


def _script(
    found: Detail, release: Release, *, is_ordinary: bool, seed: int, mishaps: tuple[Mishap, ...]
) -> Script:  # fmt: skip
    return Script(
        release=release, mishaps=mishaps, background=Background() if is_ordinary else QUIET,
        new_facts=_after(found.nature), seed=seed,
    )  # fmt: skip


def _after(nature: Nature) -> Mapping[str, str]:
    """What a device reports that has what is wanted; `*` is anything."""
    return {one.fact: "there" if one.equals == "*" else one.equals for one in nature.expects if one.equals}
