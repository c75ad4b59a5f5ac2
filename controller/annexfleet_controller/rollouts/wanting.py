"""What is wanted of devices and what they report: layers, settings that were sent, facts and runs brought together."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Change, DesiredSettings, Inventory
from annexfleet_controller.desired.document import Document
from annexfleet_controller.desired.drift import Drift, Told, find
from annexfleet_controller.desired.resolve import NOTHING, Layer, Place, Resolved, playable, resolve
from annexfleet_controller.rollouts import in_force
from annexfleet_controller.store import configs, desired, desired_runs, rollout_evidence
from annexfleet_controller.store.rollout_evidence import Chosen
from annexfleet_controller.store.scope import WHOLE, Scope

PLAYBOOK = "desired_configuration"
VARIABLE = "desired_configuration_revision"
FACT = "desired:"
"""With a revision behind it: a fact that is `same` or `differs`, made of what a device reports."""
_MOST_LISTS = 50_000


Facts = dict[str, tuple[str, datetime]]


class Standing(Struct, frozen=True, kw_only=True):
    """A device, what is wanted of it, and how it stands to that."""

    device: Chosen
    wanted: Resolved
    drift: Drift
    heard_at: datetime | None = None
    """When it last said which settings it has."""


class Lists:
    """What inventories say of the packages that anybody wishes something about; each inventory is taken apart once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[datetime, frozenset[str], Mapping[str, str] | None]] = {}

    def packages(
        self, db: Session, numbers: Collection[int], names: frozenset[str]
    ) -> dict[int, tuple[Mapping[str, str] | None, datetime]]:
        """Name to version of those that are installed, and when it was so; None where the list was too big to come."""
        found: dict[int, tuple[Mapping[str, str] | None, datetime]] = {}
        missing = []
        for number, at in rollout_evidence.inventoried(db, numbers).items():
            known = self._known.get(number)
            if known is not None and known[0] == at and names <= known[1]:
                found[number] = known[2], at
            else:
                missing.append(number)
        if len(self._known) + len(missing) > _MOST_LISTS:
            self._known.clear()
        for number, at, payload in rollout_evidence.inventories(db, missing):
            listed = _packages(payload, names)
            self._known[number] = at, names, listed
            found[number] = listed, at
        return found


_LISTS = Lists()


def standings(
    db: Session, scope: Scope, *, numbers: Collection[int] | None = None, revision: int | None = None,
    lists: Lists = _LISTS, layers: Mapping[Layer, Document] | None = None,
) -> list[Standing]:  # fmt: skip
    """The devices in sight and in service by id, or those of these numbers, against the layers now or at a revision.

    A device of which nothing is wanted and to which nothing was sent has no findings, and is `same`.  Whoever has read
    the layers already gives them.
    """
    layers = desired.layers(db, revision=revision) if layers is None else layers
    devices = rollout_evidence.chosen(db, scope, numbers=numbers)
    wanted = {device.number: resolve(layers, place(device)) for device in devices}
    told = _told(db, devices, wanted, lists)
    return [
        Standing(
            device=device,
            wanted=wanted[device.number],
            drift=find(wanted[device.number], told[device.number]),
            heard_at=told[device.number].config_at,
        )
        for device in devices
    ]


def of_annex(db: Session, annex_id: str) -> list[int]:
    """The numbers of an annex's devices in service."""
    return rollout_evidence.members(db, [annex_id]).get(annex_id, [])


def of_devices(
    db: Session, scope: Scope, *, revision: int | None = None, numbers: Collection[int] | None = None
) -> dict[int, Resolved]:
    """What the layers come to for devices in sight, by number."""
    layers = desired.layers(db, revision=revision)
    chosen = rollout_evidence.chosen(db, scope, numbers=numbers)
    return {device.number: resolve(layers, place(device)) for device in chosen}


def documents(db: Session, revision: int, *, numbers: Collection[int]) -> dict[str, dict[str, object]]:
    """What a run of the playbook is told of each of these devices (`annexfleet_desired`), by device id."""
    layers = desired.layers(db, revision=revision)
    chosen = rollout_evidence.chosen(db, WHOLE, numbers=numbers)
    return {device.id: {"revision": revision, **playable(resolve(layers, place(device)))} for device in chosen}


def touched(
    db: Session, scope: Scope, layer: Layer, document: Document
) -> tuple[list[tuple[Chosen, Resolved, Resolved]], int]:
    """Devices in sight of which something else would be wanted if that layer said this, with before and after.

    Also how many there are beyond sight.
    """
    before = desired.layers(db)
    after = {**before, layer: document}
    found = []
    beyond = 0
    for device in rollout_evidence.chosen(db, WHOLE):
        at = place(device)
        if layer not in at.layers:
            continue
        was, will = resolve(before, at), resolve(after, at)
        if _values(was) == _values(will):
            continue
        if scope.covers(device.annex_id):
            found.append((device, was, will))
        else:
            beyond += 1
    return found, beyond


def facts(
    db: Session, numbers: Collection[int], names: Iterable[str], *, lists: Lists = _LISTS
) -> dict[int, Facts]:  # fmt: skip
    """Facts such as `desired:417` of these devices, each with the moment since which it is so; for `telling`."""
    found: dict[int, Facts] = {}
    for name in names:
        revision = revision_of(name)
        if revision is None:
            continue
        for standing in standings(db, WHOLE, numbers=numbers, revision=revision, lists=lists):
            at = standing.drift.at if standing.drift.findings else standing.heard_at
            # What is unknown is no fact: nobody can know, and `natures.fits` says so.
            if at is not None and standing.drift.standing != "unknown":
                found.setdefault(standing.device.number, {})[name] = (standing.drift.standing, at)
    return found


def revision_of(name: str) -> int | None:
    """The revision that a fact names; None of another fact."""
    number = name.removeprefix(FACT)
    return int(number) if name.startswith(FACT) and number.isascii() and number.isdigit() and len(number) < 19 else None


def place(device: Chosen) -> Place:
    return Place(device_id=device.id, annex_id=device.annex_id, role=device.role)


def _values(resolved: Resolved) -> dict[object, object]:
    return {key: entry.value for key, entry in resolved.entries.items()}


# -- what is known of devices


def _told(
    db: Session, devices: Collection[Chosen], wanted: Mapping[int, Resolved], lists: Lists
) -> dict[int, Told]:  # fmt: skip
    numbers = [device.number for device in devices]
    meant = configs.meant(db, numbers)
    told_versions = in_force.versions(db, numbers)
    heard = {number: at for number, (_, at) in told_versions.items()}
    asks = {number: {key.section for key in resolved.entries} for number, resolved in wanted.items()}
    names = frozenset(key.name for of in wanted.values() for key in of.entries if key.section == "packages")
    packages = lists.packages(db, [number for number in numbers if "packages" in asks[number]], names)
    printing = [number for number in numbers if asks[number] & {"print_queues", "printing"}]
    queues = _queues(db, printing)
    brought = _brought(db, {device.number: device for device in devices}, printing)
    return {
        number: Told(
            sent=meant[number].settings if number in meant else DesiredSettings(),
            sent_version=meant[number].version if number in meant else 0,
            config_version=told_versions[number][0] if number in told_versions else None,
            config_at=told_versions[number][1] if number in told_versions else None,
            packages=packages[number][0] if number in packages else None,
            packages_at=packages[number][1] if number in packages else None,
            queues=queues[number][0] if number in queues else None,
            # A change of its queues is told at once: what was told last is as new as the last message.
            queues_at=max(queues[number][1], heard.get(number, queues[number][1])) if number in queues else None,
            brought=brought[number][0] if number in brought else None,
            brought_at=brought[number][1] if number in brought else None,
        )
        for number in numbers
    }


def _packages(payload: bytes, names: frozenset[str]) -> Mapping[str, str] | None:
    try:
        told = wire.decode_up("inventory", payload)
    except wire.Malformed:
        return None  # of a version that this one does not understand
    assert isinstance(told, Inventory)
    if not told.packages:
        return None
    return {name: told.packages[name] for name in names & told.packages.keys()}


_SUBJECT = "printer:"


def _queues(db: Session, numbers: Collection[int]) -> dict[int, tuple[Mapping[str, str], datetime]]:
    """The queues that a device's print server has, from its own readings: they are newer than its inventory."""
    found: dict[int, tuple[Mapping[str, str], datetime]] = {}
    for number, at, payload in rollout_evidence.parts(db, "printers", numbers):
        try:
            told = wire.decode_up("change", payload)
        except wire.Malformed:
            continue
        assert isinstance(told, Change)
        of = {
            subject.removeprefix(_SUBJECT): str(readings.get("printer_address", ""))
            for subject, readings in told.readings.items()
            if subject.startswith(_SUBJECT)
        }
        if "" not in told.problems:  # the print server did not answer: what it has is not known
            found[number] = (of, at)
    return found


def _brought(
    db: Session, devices: Mapping[int, Chosen], numbers: Collection[int]
) -> dict[int, tuple[Resolved, datetime]]:  # fmt: skip
    """What the last run that came to a good end brought to each device: the layers as they were at its revision."""
    done = desired_runs.brought(db, PLAYBOOK, VARIABLE, numbers)
    layers: dict[int, dict[Layer, Document]] = {}
    found = {}
    for number, (revision, at) in done.items():
        if revision not in layers:
            layers[revision] = desired.layers(db, revision=revision)
        found[number] = (resolve(layers[revision], place(devices[number])) if revision else NOTHING, at)
    return found
