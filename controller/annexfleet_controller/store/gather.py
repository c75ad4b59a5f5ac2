"""From rows to views: what is known of each device, read anew for those that were heard.

Reads only.  A device's view is small (`views.DeviceView`), so that those of a whole country fit into memory.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Change, Gone, Value
from annexfleet_controller import state
from annexfleet_controller.store import bounds, changes, configs, fleet
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.views import DeviceView, Probe

_T = TypeVar("_T")

MOVES_SPAN = timedelta(hours=2)
BOOTS_SPAN = timedelta(days=1)
_USUAL_BEAT_S = 300.0
_AVERAGED = frozenset(
    {"cpu_used_ratio", "memory_used_ratio", "swap_used_ratio", "load_per_cpu_ratio", "temperature_celsius"}
)
"""Numbers that jump about: what counts is how they were, not how they happened to be in the end."""
_DISK = "disk:"
_PORTAL = "portal:"


class Past(Struct):
    """What happened to a device lately."""

    moves: list[datetime]
    goodbyes: list[datetime]
    boots: list[datetime]
    losses: list[datetime] = []
    gone_orderly: bool = False
    mains: list[tuple[datetime, bool]] = []
    """When it told what of its mains, oldest first."""


def views(
    db: Session, numbers: Collection[int] | None, *, now: datetime, listening_since: datetime
) -> dict[int, DeviceView]:
    """The views of these devices, or of all in service, by number.  One that is no longer in service is left out.

    Nobody could be heard before `listening_since`, so the silence of a device that counts as connected begins there.
    """
    if numbers is None:
        rows = fleet.devices(db, WHOLE, now=now)
    else:
        found = (fleet.by_number(db, WHOLE, some) for some in _chunks(sorted(numbers)))
        rows = [row for some_rows in found for row in some_rows if row.revoked_at is None]
    pasts = _pasts(db, None if numbers is None else {row.number for row in rows}, now=now)
    wanted = configs.versions(db, None if numbers is None else {row.number for row in rows})
    made: dict[int, DeviceView] = {}
    for some_rows in _chunks(rows):
        known = fleet.known(db, some_rows)
        for row in some_rows:
            past = pasts.get(row.number, Past([], [], []))
            made[row.number] = _view(row, known[row.number], past, wanted.get(row.number), listening_since)
    return made


def _view(
    row: fleet.DeviceRow,
    known: state.Known,
    past: Past,
    wanted: tuple[int, datetime] | None,
    listening_since: datetime,
) -> DeviceView:
    try:
        return view(row, known, past, wanted, listening_since)
    except Exception as error:  # the fence between devices: it is there, and what it told is as good as nothing
        bounds.complain("what a device told cannot be read device_number=%s", row.number, error)
        return view(row, state.Known({}, []), Past([], [], []), wanted, listening_since)


def view(
    row: fleet.DeviceRow,
    known: state.Known,
    past: Past,
    wanted: tuple[int, datetime] | None,
    listening_since: datetime,
) -> DeviceView:
    """One device's view from its rows."""
    heard_at = row.heard_at
    if row.connected and heard_at is not None:
        heard_at = max(heard_at, listening_since)
    of_itself = known.readings.get("", {})
    mains = known.get("", "battery_on_mains")
    on_mains = None if mains is None or mains.number is None else bool(mains.number)
    return DeviceView(
        number=row.number, id=row.id, annex_id=row.annex_id, name=row.name, role=row.role, enrolled_at=row.enrolled_at,
        connected=row.connected, heard_at=heard_at, connected_at=row.connected_at, gone_at=row.gone_at,
        gone_orderly=past.gone_orderly and not row.connected,
        beat_period_s=max(_USUAL_BEAT_S, known.beat_s),
        moves=tuple(past.moves), goodbyes=tuple(past.goodbyes), losses=tuple(past.losses), boots=tuple(past.boots),
        values=_values(known, ""),
        disks={bounds.word(mount, bounds.LONGEST_NAME): values for mount, values in _disks(row.number, known)},
        told_at=max((reading.at for reading in of_itself.values()), default=None),
        on_mains=on_mains,
        mains_at=_since(past.mains, on_mains) or (mains.at if mains else None),
        clock_offset_s=row.clock_offset_s, agent_version=row.agent_version,
        config_version=_config_version(of_itself), config_wanted=wanted[0] if wanted else 0,
        config_wanted_at=wanted[1] if wanted else None,
        printers=bounds.printers(row.number, state.printers(known)),
        queues=bounds.queues(row.number, state.queues(known)), portals=bounds.portals(row.number, _probes(known)),
    )  # fmt: skip


def _disks(number: int, known: state.Known) -> Iterable[tuple[str, dict[str, Value]]]:
    for subject in bounds.few(number, "disks", known.subjects(_DISK)):
        yield subject.removeprefix(_DISK), _values(known, subject)


def _values(known: state.Known, subject: str) -> dict[str, Value]:
    return {metric: _value(reading) for metric, reading in known.readings.get(subject, {}).items()}


def _value(reading: state.Reading) -> Value:
    if reading.summary is not None and reading.metric in _AVERAGED:
        return reading.summary.mean
    return reading.value


def _config_version(of_itself: Mapping[str, state.Reading]) -> int:
    told = of_itself.get("agent_config_version")
    return int(told.number) if told is not None and told.number is not None else 0


def _probes(known: state.Known) -> Iterable[Probe]:
    for subject in known.subjects(_PORTAL):
        up = known.get(subject, "portal_up")
        yield Probe(
            name=subject.removeprefix(_PORTAL),
            up=None if up is None or up.number is None else bool(up.number),
            stage=known.word(subject, "portal_failed_stage"),
            total_s=known.number(subject, "portal_total_seconds"),
            certificate_days=known.number(subject, "portal_certificate_days"),
            at=max(reading.at for reading in known.readings[subject].values()),
        )


def _pasts(db: Session, numbers: Collection[int] | None, *, now: datetime) -> dict[int, Past]:
    found: dict[int, Past] = {}
    rows = changes.happenings(
        db, since=now - BOOTS_SPAN, kinds=("connected", "gone", "change"), collectors=("", "uptime", "battery"),
        numbers=numbers,
    )  # fmt: skip
    for row in rows:
        past = found.setdefault(row.device_number, Past([], [], [], losses=[], mains=[]))
        if row.kind == "change":
            take_in(past, row)
            continue
        orderly = row.kind == "gone" and said_goodbye(row.payload)
        past.gone_orderly = orderly
        if orderly:
            past.goodbyes.append(row.at)
        elif row.kind == "gone":
            past.losses.append(row.at)
        if row.at > now - MOVES_SPAN:
            past.moves.append(row.at)
    return found


def take_in(past: Past, row: changes.Happening) -> None:
    """What a change tells of a device's starts and of its mains."""
    change = decoded(row.payload)
    if change is None:
        return
    of_itself = change.readings.get("", {})
    if row.collector == "uptime" and isinstance(up_s := of_itself.get("uptime_seconds"), int | float):
        booted_at = row.at - timedelta(seconds=min(max(float(up_s), 0.0), BOOTS_SPAN.total_seconds() * 400))
        # The same start, told again after the clock was set, differs by seconds.
        if not past.boots or booted_at - past.boots[-1] > timedelta(minutes=2):
            past.boots.append(booted_at)
    if row.collector == "battery" and isinstance(mains := of_itself.get("battery_on_mains"), int | float):
        past.mains.append((row.at, bool(mains)))


def _since(told: list[tuple[datetime, bool]], on_mains: bool | None) -> datetime | None:
    """Since when it is as it is now: the oldest of the last reports that say the same."""
    since = None
    for at, was in reversed(told):
        if was != on_mains:
            return since
        since = at
    return since


def said_goodbye(payload: bytes) -> bool:
    """Whether a device went in order, and was not lost."""
    try:
        gone = wire.decode_up("gone", payload)
    except wire.Malformed:
        return False
    return isinstance(gone, Gone) and gone.reason == "stopped"


def decoded(payload: bytes) -> Change | None:
    """A change as it came; None for one that this version does not understand."""
    try:
        change = wire.decode_up("change", payload)
    except wire.Malformed:
        return None
    return change if isinstance(change, Change) else None


def _chunks(rows: "list[_T]", size: int = 500) -> "Iterable[list[_T]]":
    return (rows[start : start + size] for start in range(0, len(rows), size))
