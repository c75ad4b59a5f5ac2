"""From drift to a rollout: a draft for exactly the devices that are not as they are wanted.  It begins nothing."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import proposing, wanting
from annexfleet_controller.rollouts.errors import NothingToRepair
from annexfleet_controller.rollouts.proposing import Asker, Wish
from annexfleet_controller.rollouts.wanting import Standing
from annexfleet_controller.settings import Home
from annexfleet_controller.store import audit, desired, desired_drift
from annexfleet_controller.waves.documents import CAREFUL, MOST_NAMED, PRESETS
from annexfleet_controller.waves.model import Selector


def drifted(standings: Sequence[Standing], *, with_unknown: bool = False) -> list[Standing]:
    """Those that differ; `with_unknown`: also those of which nobody knows whether they do."""
    wanted = {"differs", "unknown"} if with_unknown else {"differs"}
    return [one for one in standings if one.drift.standing in wanted]


def repair(
    db: Session,
    home: Home,
    asker: Asker,
    *,
    name: str,
    annexes: Collection[str] = (),
    devices: Collection[str] = (),
    with_unknown: bool = False,
    reason: str = "",
    now: datetime,
) -> int:
    """A draft of a rollout that brings the layers as they are now to the devices in sight that differ; its id.

    `annexes` and `devices` (ids) narrow.  Raises NothingToRepair, Invalid (`devices`, `too_many`), and as a draft does.
    """
    # What was kept only says whom to look at: the targets are those that differ now.
    numbers = desired_drift.candidates(
        db, asker.scope, annexes=annexes, devices=devices, with_unknown=with_unknown
    )  # fmt: skip
    if len(numbers) > MOST_NAMED:
        raise Invalid(f"more than {MOST_NAMED} devices may differ: narrow it", field="devices", reason="too_many")
    found = wanting.standings(db, asker.scope, numbers=numbers) if numbers else []
    ids = tuple(one.device.id for one in drifted(found, with_unknown=with_unknown))
    if not ids:
        raise NothingToRepair("no device in sight differs")
    revision = desired.newest(db)
    if not revision:
        raise NothingToRepair("nobody ever decided anything")
    wish = Wish(
        name=name, playbook=wanting.PLAYBOOK, variables={wanting.VARIABLE: revision}, selector=Selector(devices=ids),
        policy=PRESETS[CAREFUL], reason=reason,
    )  # fmt: skip
    rollout_id = proposing.draft(db, home, wish, asker, now=now)
    audit.add(
        db, now=now, actor=asker.name, via=asker.via, act="desired.repair", subject=f"rollout:{rollout_id}",
        facts={"devices": len(ids), "revision": revision},
    )  # fmt: skip
    return rollout_id
