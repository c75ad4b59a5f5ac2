"""Deciding what devices shall be like: what pages and the API share.  Nothing here reaches a device."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.desired.compare import EntryChange, compare
from annexfleet_controller.desired.document import Document
from annexfleet_controller.desired.resolve import Layer, Resolved, demand_whole
from annexfleet_controller.errors import Forbidden
from annexfleet_controller.rollouts import wanting
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.store import audit, desired, pulses
from annexfleet_controller.store.desired import Version
from annexfleet_controller.store.rollout_evidence import Chosen
from annexfleet_controller.store.scope import WHOLE

_MOST_NAMED = 50
"""Entries in one line of the audit; the history has all."""


class Preview(Struct, frozen=True, kw_only=True):
    """What a document would come to."""

    changes: tuple[EntryChange, ...]
    """Against what the layer says now."""
    touched: Sequence[tuple[Chosen, Resolved, Resolved]]
    """Devices in sight of which something else would be wanted, with before and after."""
    touched_beyond: int
    """Those beyond sight."""

    @property
    def annexes(self) -> dict[str, int]:
        """How many of the devices in sight stand in each annex."""
        found: dict[str, int] = {}
        for device, _, _ in self.touched:
            found[device.annex_id] = found.get(device.annex_id, 0) + 1
        return dict(sorted(found.items()))


def may_decide(asker: Asker, layer: Layer) -> bool:
    """Whether a layer is only about what is in sight: the province's and the roles' are about all annexes."""
    return layer.kind in {"annex", "device"} or asker.scope.annexes is None


def preview(db: Session, layer: Layer, document: Document, asker: Asker) -> Preview:
    """Raises DesiredLayerUnknown, AnnexUnknown, DeviceUnknown, Forbidden; Invalid where layers do not fit together."""
    _demand(db, layer, asker)
    found, beyond = wanting.touched(db, asker.scope, layer, document)
    _demand_whole(found if not beyond else wanting.touched(db, WHOLE, layer, document)[0])
    changes = compare(desired.get(db, layer).document, document)
    return Preview(changes=changes, touched=found, touched_beyond=beyond)


def decide(
    db: Session, layer: Layer, document: Document, asker: Asker, *, version: int, reason: str = "", now: datetime
) -> Version:
    """Let this count instead of `version`.  Raises as `preview` does, and DesiredChanged."""
    _demand(db, layer, asker)
    before = desired.get(db, layer)
    _demand_whole(wanting.touched(db, WHOLE, layer, document)[0])
    after = desired.put(db, layer, document, version=version, by=asker.name, now=now, reason=reason)
    _note(db, before, after, asker, "desired.change", now=now)
    return after


def take_back(
    db: Session, layer: Layer, to: int, asker: Asker, *, version: int, reason: str = "", now: datetime
) -> Version:  # fmt: skip
    """Let an earlier version count again; 0: nothing.  Raises as `decide` does, and DesiredVersionUnknown."""
    _demand(db, layer, asker)
    before = desired.get(db, layer)
    _demand_whole(wanting.touched(db, WHOLE, layer, desired.at_version(db, layer, to).document)[0])
    after = desired.take_back(db, layer, to, version=version, by=asker.name, now=now, reason=reason)
    _note(db, before, after, asker, "desired.take_back", now=now)
    return after


def _demand(db: Session, layer: Layer, asker: Asker) -> None:
    desired.demand_layer(db, asker.scope, layer)
    if not may_decide(asker, layer):
        raise Forbidden


def _demand_whole(touched: Sequence[tuple[Chosen, Resolved, Resolved]]) -> None:
    for _, _, after in touched:
        demand_whole(after)


def _note(db: Session, before: Version, after: Version, asker: Asker, act: str, *, now: datetime) -> None:
    if after.version == before.version:
        return
    pulses.add(db, {}, now=now, origin="desired", annexes={desired.annex_of(db, after.layer): "d"})
    entries = [change.key.text for change in compare(before.document, after.document)]
    facts: dict[str, audit.Fact] = {
        "version": after.version, "entries": entries[:_MOST_NAMED], "reason": after.reason,
    }  # fmt: skip
    if after.takes_back_to is not None:
        facts["takes_back_to"] = after.takes_back_to
    audit.add(
        db, now=now, actor=asker.name, via=asker.via, act=act,
        subject=f"desired:{after.layer.kind}" + (f":{after.layer.of}" if after.layer.of else ""),
        annex_id=desired.annex_of(db, after.layer), facts=facts,
    )  # fmt: skip
