"""/api/v1/desired: what devices shall be like, in layers; who differs; and the draft of a rollout that repairs it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.desired.compare import EntryChange, compare
from annexfleet_controller.desired.document import parse, written, written_value
from annexfleet_controller.desired.drift import Finding
from annexfleet_controller.desired.resolve import Layer
from annexfleet_controller.errors import DeviceUnknown
from annexfleet_controller.rollouts import deciding, repairing, wanting
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.store import annexes, desired, desired_drift, fleet
from annexfleet_controller.store.desired import Version

router = APIRouter(prefix="/api/v1/desired", tags=["desired configuration"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
Editing = Annotated[Person, Depends(Needs("edit_desired"))]
_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": problems.Problem}}
Number = Annotated[int, Field(ge=0, le=2**31 - 2)]
AskedNumber = Annotated[int, Query(ge=0, le=2**31 - 2)]
Reason = Annotated[str, Field(max_length=desired.LONGEST_REASON)]

_EXAMPLE: dict[str, JsonValue] = {
    "agent": {"sample_period_s": 30},
    "portals": {"cnie": {"url": "https://www.cnie.ma/"}, "old": None},
    "print_queues": {"guichet-1": {"uri": "ipp://10.20.1.31/ipp/print"}, "hp-old": "absent"},
    "printing": {"default_queue": "guichet-1"},
    "packages": {"htop": "present", "telnet": "absent"},
}


def _layer(
    kind: Annotated[Literal["province", "role", "annex", "device"], Query()],
    of: Annotated[str, Query(max_length=63, description="a role, or the id of an annex or device")] = "",
) -> Layer:
    return Layer(kind, of)


AskedLayer = Annotated[Layer, Depends(_layer)]


class LayerOut(BaseModel):
    """What somebody decided for the province, a role, an annex or a device; null in a document takes away."""

    kind: str
    of: str
    version: int
    revision: int
    updated_at: datetime | None
    updated_by: str
    reason: str
    takes_back_to: int | None
    """The earlier version whose content this one has again."""
    document: dict[str, JsonValue]


class LayerPage(BaseModel):
    revision: int
    """Of all layers together: what a repair brings."""
    items: list[LayerOut]


class HistoryPage(BaseModel):
    items: list[LayerOut]
    next: int | None
    """Give it as `before` for the next page."""


class DocumentIn(BaseModel):
    version: Number
    """The version that it changes, as it was read; 0 where there was none."""
    document: dict[str, JsonValue]
    reason: Reason = ""

    model_config = {"json_schema_extra": {"examples": [{"version": 0, "document": _EXAMPLE, "reason": "ticket 12"}]}}


class DocumentOnly(BaseModel):
    document: dict[str, JsonValue]

    model_config = {"json_schema_extra": {"examples": [{"document": _EXAMPLE}]}}


class TakeBack(BaseModel):
    to: Number
    """0: the layer decides nothing any more."""
    version: Number
    reason: Reason = ""


class FieldOut(BaseModel):
    name: str
    before: str
    after: str


class ChangeOut(BaseModel):
    entry: str
    kind: str
    """added, removed or changed"""
    before: str | None
    after: str | None
    fields: list[FieldOut]


class DiffOut(BaseModel):
    items: list[ChangeOut]


class PreviewOut(BaseModel):
    """What a document would come to.  Nothing is kept, and nothing is sent."""

    changes: list[ChangeOut]
    devices: list[str]
    """Ids of those in sight of which something else would be wanted."""
    annexes: dict[str, int]
    devices_beyond_sight: int


class EntryOut(BaseModel):
    entry: str
    value: JsonValue
    kind: str
    """Of the layer that decides it."""
    of: str


class FindingOut(BaseModel):
    entry: str
    standing: str
    """same, differs or unknown"""
    reason: str
    wanted: str
    reported: str | None
    at: datetime | None
    """When what it rests on was so."""


class DesiredDeviceOut(BaseModel):
    """What is wanted of a device, and how it stands to that."""

    device: str
    name: str
    annex: str
    role: str
    standing: str
    entries: list[EntryOut]
    taken_away: list[EntryOut]
    """Entries that a wider layer decides and this layer took away."""
    findings: list[FindingOut]


class DriftOut(BaseModel):
    device: str
    name: str
    annex: str
    standing: str
    compared_at: datetime | None
    """Null: not compared yet with what is wanted of it now, and so `unknown`."""
    findings: list[FindingOut]
    """Those that are not `same`."""


class DriftPage(BaseModel):
    revision: int
    tally: dict[str, int]
    """Of all that were asked for, by standing."""
    as_of: datetime | None
    """What was told until then has been compared; null where nothing was yet."""
    items: list[DriftOut]
    next: str | None = None


class Repair(BaseModel):
    """The devices in sight that differ; `annexes` and `devices` narrow."""

    name: Annotated[str, Field(min_length=1, max_length=120)]
    annexes: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=500)] = []
    devices: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=1000)] = []
    with_unknown: bool = False
    """Also those of which nobody knows whether they differ."""
    reason: Reason = ""

    model_config = {"json_schema_extra": {"examples": [{"name": "Repair of November", "annexes": ["berkane-1"]}]}}


class RepairOut(BaseModel):
    rollout: int
    """A draft: it has to be submitted, approved and started like any other."""


# -- layers


@router.get("")
def list_layers(person: Looking, db: Db) -> LayerPage:
    """The layers in your sight that decide something, from the widest to the nearest."""
    items = [_out(one) for one in desired.deciding(db, person.scope)]
    return LayerPage(revision=desired.newest(db), items=items)


@router.get("/layer")
def show_layer(layer: AskedLayer, person: Looking, db: Db) -> LayerOut:
    """One layer as it counts now; version 0 where nobody ever decided anything."""
    desired.demand_layer(db, person.scope, layer)
    return _out(desired.get(db, layer))


@router.put("/layer", responses=_CONFLICT)
def put_layer(layer: AskedLayer, new: DocumentIn, person: Editing, db: WritingDb, now: Now) -> LayerOut:
    """Decide for a layer: the whole document.  Nothing is sent to any device: that takes a rollout.

    409 if somebody else did meanwhile: read it again.  What cannot be is refused (422) with its `field`.
    """
    document = parse(new.document)
    kept = deciding.decide(db, layer, document, _asker(person), version=new.version, reason=new.reason, now=now)
    return _out(kept)


@router.post("/preview")
def preview_layer(layer: AskedLayer, new: DocumentOnly, person: Editing, db: Db) -> PreviewOut:
    """What a document would change, and for whom."""
    found = deciding.preview(db, layer, parse(new.document), _asker(person))
    return PreviewOut(
        changes=_changes(found.changes), devices=[device.id for device, _, _ in found.touched],
        annexes=found.annexes, devices_beyond_sight=found.touched_beyond,
    )  # fmt: skip


@router.get("/history")
def list_history(
    layer: AskedLayer, person: Looking, db: Db, before: Annotated[int | None, Query(ge=1, le=2**31 - 2)] = None,
    limit: paging.Limit = 50,
) -> HistoryPage:  # fmt: skip
    """Every version of a layer, the newest first: who, when, why."""
    desired.demand_layer(db, person.scope, layer)
    rows = desired.history(db, layer, before=before, limit=limit + 1)
    return HistoryPage(
        items=[_out(row) for row in rows[:limit]], next=rows[limit - 1].version if len(rows) > limit else None
    )  # fmt: skip


@router.get("/diff")
def show_diff(
    layer: AskedLayer, person: Looking, db: Db, before: AskedNumber, after: AskedNumber
) -> DiffOut:  # fmt: skip
    """What differs between two versions of a layer; version 0 is empty."""
    desired.demand_layer(db, person.scope, layer)
    old, new = desired.at_version(db, layer, before), desired.at_version(db, layer, after)
    return DiffOut(items=_changes(compare(old.document, new.document)))


@router.post("/take-back", responses=_CONFLICT)
def take_back_layer(layer: AskedLayer, new: TakeBack, person: Editing, db: WritingDb, now: Now) -> LayerOut:
    """Let an earlier version's content count again, as a new version."""
    return _out(
        deciding.take_back(db, layer, new.to, _asker(person), version=new.version, reason=new.reason, now=now)
    )  # fmt: skip


# -- devices


@router.get("/devices/{device_id}")
def show_device(device_id: str, person: Looking, db: Db) -> DesiredDeviceOut:
    """What the layers come to for one device, which layer decides each entry, and how the device stands to it."""
    numbers = fleet.numbers(db, person.scope, [device_id])
    found = wanting.standings(db, person.scope, numbers=numbers) if numbers else []
    if not found:
        raise DeviceUnknown(f"no device {device_id[:40]!r}")
    (one,) = found
    return DesiredDeviceOut(
        device=one.device.id, name=one.device.name, annex=one.device.annex_id, role=one.device.role,
        standing=one.drift.standing,
        entries=[
            EntryOut(entry=key.text, value=written_value(of.value), kind=of.layer.kind, of=of.layer.of)
            for key, of in one.wanted.entries.items()
        ],
        taken_away=[
            EntryOut(entry=key.text, value=None, kind=layer.kind, of=layer.of)
            for key, layer in one.wanted.taken_away.items()
        ],
        findings=[_finding(finding) for finding in one.drift.findings],
    )  # fmt: skip


@router.get("/drift")
def list_drift(
    *, person: Looking, db: Db, annex: Annotated[str, Query(max_length=63)] = "",
    standing: Literal["differs", "unknown", "same"] = "differs", cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> DriftPage:  # fmt: skip
    """Devices in your sight that differ from what is wanted of them, by id, with each entry that does.

    They are compared some seconds after they told something or somebody decided (`as_of`); until then a device is
    `unknown`.
    """
    if annex:
        annexes.get(db, person.scope, annex)
    after = paging.keys(cursor, 1)
    found = desired_drift.listing(
        db, person.scope, [standing], annex=annex, after=after[0] if after else "", limit=limit + 1
    )  # fmt: skip
    return DriftPage(
        revision=desired.newest(db),
        tally=dict(desired_drift.tally(db, person.scope, annex=annex).items()),
        as_of=desired_drift.as_of(db),
        items=[
            DriftOut(
                device=one.id, name=one.name, annex=one.annex_id, standing=one.standing, compared_at=one.compared_at,
                findings=[_finding(finding) for finding in one.findings],
            )
            for one in found[:limit]
        ],
        next=paging.cursor(found[limit - 1].id) if len(found) > limit else None,
    )  # fmt: skip


@router.post("/repair", status_code=201, responses=_CONFLICT)
def repair(new: Repair, person: Editing, home: HomeOf, once: OnceOf, now: Now) -> RepairOut:
    """Draft a rollout for exactly the devices that differ.  With an `Idempotency-Key` a repeat does nothing."""

    def work(db: Session) -> dict[str, Any]:
        rollout_id = repairing.repair(
            db, home, _asker(person), name=new.name, annexes=new.annexes, devices=new.devices,
            with_unknown=new.with_unknown, reason=new.reason, now=now,
        )  # fmt: skip
        return {"rollout": rollout_id}

    return RepairOut(**once.do(person, new.model_dump(), work, now=now))


def _asker(person: Person) -> Asker:
    return Asker(name=person.name, via=person.via, scope=person.scope)


def _out(kept: Version) -> LayerOut:
    return LayerOut(
        kind=kept.layer.kind, of=kept.layer.of, version=kept.version, revision=kept.revision, updated_at=kept.at,
        updated_by=kept.by, reason=kept.reason, takes_back_to=kept.takes_back_to, document=written(kept.document),
    )  # fmt: skip


def _changes(changes: Iterable[EntryChange]) -> list[ChangeOut]:
    return [
        ChangeOut(
            entry=one.key.text, kind=one.kind, before=one.before, after=one.after,
            fields=[FieldOut(name=of.name, before=of.before, after=of.after) for of in one.fields],
        )
        for one in changes
    ]  # fmt: skip


def _finding(finding: Finding) -> FindingOut:
    return FindingOut(
        entry=finding.key.text, standing=finding.standing, reason=finding.reason, wanted=finding.wanted,
        reported=finding.reported, at=finding.at,
    )  # fmt: skip
