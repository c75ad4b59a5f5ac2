"""What an act would touch, asked of the database: shown before it is done, and checked when it is."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from annexfleet_controller.store import closing, fleet
from annexfleet_controller.store import reach as counting
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.tending.errors import Unconfirmed
from annexfleet_controller.tending.reach import Effect, Reach, Rollout, digest


def of_annex(db: Session, annex: Annex, devices: Sequence[Device], *, now: datetime) -> Reach:
    """What closing an annex touches."""
    rows = fleet.devices(db, WHOLE, now=now, annex_id=annex.id)
    printers = fleet.printers(rows, fleet.known(db, rows, collectors=["printers"]))
    tokens, links = closing.open_tokens(db, annex.id, now=now), closing.open_links(db, annex.id)
    effects: list[Effect] = ["devices_retired", "alerts_end"] if devices else []
    effects += ["tokens_end"] if tokens else []
    effects += ["boards_end"] if links else []
    rollouts = _rollouts(db, devices)
    effects += ["rollouts_skip"] if rollouts else []
    return Reach(
        annexes=1, devices=len(devices), printers=len(printers), incidents=counting.open_incidents(db, annex.id),
        rollouts=rollouts, names=tuple(device.name for device in devices), effects=(*effects, "past_stays", "undo"),
        digest=digest("annex.retire", [f"annex {annex.id} {annex.version}", *_lines(devices)]),
    )  # fmt: skip


def of_devices(db: Session, act: str, devices: Sequence[Device], parts: Collection[str] = ()) -> Reach:
    """What an act upon devices touches; `parts` say what is done, such as the annex they go to."""
    rollouts = _rollouts(db, devices)
    of: dict[str, tuple[Effect, ...]] = {
        "device.move": ("alerts_anew", "rules_change", "sight_changes"),
        "device.retire": ("connection_ends", "alerts_end", "past_stays"),
        "device.replace": ("takes_over", "old_is_retired", "past_stays"),
    }
    effects = of.get(act, ())
    if rollouts and act in of:
        effects = (*effects, "rollouts_keep_place" if act == "device.move" else "rollouts_skip")
    return Reach(
        devices=len(devices), rollouts=rollouts, names=tuple(device.name for device in devices),
        effects=(*effects, "undo"), digest=digest(act, [*_lines(devices), *(f"with {part}" for part in parts)]),
    )  # fmt: skip


def of_province(db: Session, act: str, parts: Collection[str], effects: tuple[Effect, ...]) -> Reach:
    """What an act upon all annexes touches; `parts` say what is done."""
    whole = Scope(None)
    return Reach(
        annexes=counting.annexes(db, whole), devices=counting.devices(db, whole), effects=effects,
        digest=digest(act, parts),
    )  # fmt: skip


def demand(reach: Reach, confirmed: str, *, always: bool = False) -> None:
    """Raises Unconfirmed unless the yes is about this, or it touches so little that none is needed."""
    if (always or reach.asks or confirmed) and confirmed != reach.digest:
        raise Unconfirmed("it has to be confirmed as it is now", digest=reach.digest)


def _lines(devices: Sequence[Device]) -> list[str]:
    return [f"{device.id} {device.version}" for device in devices]


def _rollouts(db: Session, devices: Sequence[Device]) -> tuple[Rollout, ...]:
    found = counting.rollouts(db, [device.number for device in devices])
    return tuple(Rollout(number, name) for number, name in found)
