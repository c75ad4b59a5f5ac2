"""What is known of a device right now: its newest beat and what each collector told last, merged.  Thinks only.

A change carries the whole of one collector, so it replaces that collector's readings; the beat brings the numbers that
moved since.  Of two values for one reading the newer one counts.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from annexfleet_agent.protocol import metrics, wire
from annexfleet_agent.protocol.causes import CAUSES
from annexfleet_agent.protocol.messages import Beat, Change, Inventory, Live, Summary, Value

Presence = Literal["online", "silent", "never", "revoked"]

SILENT_AFTER = timedelta(minutes=12)
"""Two beats of five minutes and some slack: past that a connection that claims to be up is not believed."""

_LARGEST = 1e15
"""A device that claims more is not believed: one of them must not spoil the sums of all."""

_HALTED = frozenset({"stopped", "unreachable"})

QUIET_CAUSES = frozenset({"sleep_or_warmup", "config_changed"})
"""Causes that trouble nobody (facts of printers: no staff text)."""


class Reading(Struct, frozen=True):
    """One value with its moment."""

    subject: str
    metric: str
    value: Value
    at: datetime
    summary: Summary | None = None
    """How the number went during the beat that told it."""

    @property
    def number(self) -> float | None:
        """None for a word, and for a number that nothing measured can be."""
        if not isinstance(self.value, int | float) or not abs(self.value) <= _LARGEST:
            return None
        return float(self.value)


class Missing(Struct, frozen=True):
    """A reading that the device could not take, and why."""

    subject: str
    metric: str
    """`*` is everything of the subject."""
    code: str
    at: datetime
    collector: str = ""


class Part(Struct, frozen=True):
    """What one collector told last, as stored."""

    collector: str
    at: datetime
    payload: bytes


class Known(Struct, frozen=True):
    """All that a device told, readable."""

    readings: dict[str, dict[str, Reading]]
    missing: list[Missing]
    unreadable: list[str] = []
    """Collectors whose stored state could not be decoded."""
    beat_s: float = 0.0
    """How long the newest beat was; 0 if there is none."""

    def get(self, subject: str, metric: str) -> Reading | None:
        return self.readings.get(subject, {}).get(metric)

    def number(self, subject: str, metric: str) -> float | None:
        reading = self.get(subject, metric)
        return None if reading is None else reading.number

    def word(self, subject: str, metric: str) -> str:
        reading = self.get(subject, metric)
        return reading.value if reading is not None and isinstance(reading.value, str) else ""

    def words(self, subject: str, metric: str) -> list[str]:
        reading = self.get(subject, metric)
        return list(reading.value) if reading is not None and isinstance(reading.value, list) else []

    def subjects(self, prefix: str) -> list[str]:
        """The subjects of one kind, such as `printer:`, in order."""
        return sorted(subject for subject in self.readings if subject.startswith(prefix))


class Level(Struct, frozen=True):
    """A supply or a tray of a printer."""

    name: str
    kind: str
    colour: str
    ratio: float | None
    media: str = ""


class Printer(Struct, frozen=True):
    """A printer as one device sees it."""

    name: str
    state: str
    causes: list[str]
    reasons: list[str]
    model: str
    address: str
    uuid: str
    source: str
    accepting: bool | None
    paused: bool | None
    jobs: float | None
    oldest_job_age_s: float | None
    pages: float | None
    supplies: list[Level]
    trays: list[Level]
    at: datetime
    missing: str = ""
    """Problem code where the printer could not be read at all."""
    heal_outcome: str = ""
    """What the agent did about a stopped queue (`printer_heal_outcome`); empty if it never had to."""

    @property
    def in_trouble(self) -> bool:
        return self.state in _HALTED or any(cause not in QUIET_CAUSES for cause in self.causes)

    @property
    def worst_cause(self) -> str:
        """What is wrong first: what blocks before what does not; empty where nothing is."""
        found = [cause for cause in self.causes if cause not in QUIET_CAUSES]
        return min(found, key=lambda cause: not blocks(cause), default="")

    @property
    def blocked(self) -> bool:
        """Whether nothing is printed, as far as its causes and its own state tell."""
        return self.state in _HALTED or any(map(blocks, self.causes))


def blocks(cause: str) -> bool:
    """Whether a printer with this cause prints nothing, whatever its state says."""
    return cause in CAUSES and CAUSES[cause].blocks == "yes"


class Queue(Struct, frozen=True):
    """Where people wait, as one device sees it.  None is unknown and never zero."""

    service: str
    waiting: float | None
    longest_wait_s: float | None
    average_wait_s: float | None
    served_last_hour: float | None
    abandoned_last_hour: float | None
    counters_open: float | None
    counters_total: float | None
    observed_at: datetime | None
    stale: bool
    at: datetime
    missing: str = ""


def presence(*, connected: bool, heard_at: datetime | None, revoked_at: datetime | None, now: datetime) -> Presence:
    """Whether a device can be heard.  Silence is not an error of the device: only that nothing comes."""
    if revoked_at is not None:
        return "revoked"
    if heard_at is None:
        return "never"
    return "online" if connected and now - heard_at < SILENT_AFTER else "silent"


def merge(
    parts: Iterable[Part],
    *,
    beat_at: datetime | None = None,
    beat: bytes | None = None,
    live_at: datetime | None = None,
    live: bytes | None = None,
    collectors: Collection[str] = (),
) -> Known:
    """One picture of what the rows say.  A payload that cannot be decoded costs only its own readings.

    With `collectors`, which the parts are then of, beat and sample count for these only: most of a beat is of others.
    """
    readings: dict[str, dict[str, Reading]] = {}
    missing: list[Missing] = []
    unreadable: list[str] = []
    told: dict[str, datetime] = {}
    beat_s = 0.0
    for part in parts:
        change = _decode("change", part.payload)
        if not isinstance(change, Change):
            unreadable.append(part.collector)
            continue
        told[part.collector] = part.at
        for subject, of in change.readings.items():
            for metric, value in of.items():
                readings.setdefault(subject, {})[metric] = Reading(subject, metric, value, part.at)
        missing += [
            Missing(subject, metric, code, part.at, part.collector)
            for subject, codes in change.problems.items()
            for metric, code in codes.items()
        ]
    if beat is not None and beat_at is not None:
        message = _decode("beat", beat)
        if isinstance(message, Beat):
            beat_s = message.seconds
            _lay_over(readings, message.numbers, beat_at, told, collectors)
        else:
            unreadable.append("beat")
    if live is not None and live_at is not None:
        sample = _decode("live", live)
        if isinstance(sample, Live):
            _lay_over(readings, sample.readings, live_at, told, collectors)
    return Known(readings, missing, unreadable, beat_s)


def inventory(payload: bytes | None) -> Inventory | None:
    """What a device is made of; None if it never told, or nothing readable."""
    message = None if payload is None else _decode("inventory", payload)
    return message if isinstance(message, Inventory) else None


def printers(known: Known) -> list[Printer]:
    """The printers that this device sees, by name."""
    whole = {m.subject: m.code for m in known.missing if m.subject.startswith("printer:")}
    subjects = sorted({*known.subjects("printer:"), *whole})
    return [_printer(known, subject, whole.get(subject, "")) for subject in subjects]


def queues(known: Known) -> list[Queue]:
    """The service queues that this device counts, by name."""
    whole = {m.subject: m.code for m in known.missing if m.subject.startswith("queue:")}
    subjects = sorted({*known.subjects("queue:"), *whole})
    return [_queue(known, subject, whole.get(subject, "")) for subject in subjects]


def printer_identity(annex_id: str, device_id: str, printer: Printer) -> str:
    """The same for every device of an annex that sees the same printer: by its own identity, else by its address.

    24 hexadecimal characters, to stand in an address.
    """
    if is_local(printer):
        what = f"local {device_id} {printer.name}"
    elif printer.uuid:  # only within the annex: a device elsewhere must not speak for a printer that it cannot see
        what = f"uuid {annex_id} {printer.uuid}"
    else:
        what = f"address {annex_id} {printer.address}"
    return _digest(what)


def is_local(printer: Printer) -> bool:
    """Whether it hangs on one device and goes where that goes: it is known neither by itself nor by an address."""
    return not printer.uuid and ":" not in printer.address


@lru_cache(maxsize=200_000)
def _digest(what: str) -> str:
    """Asked for each printer of each device at every judging of an annex."""
    return hashlib.sha256(what.encode()).hexdigest()[:24]


def better_seen(a: Printer, b: Printer) -> bool:
    """Whether `a` tells more of a printer than `b` does: the device's own word, then the newer one."""
    return (_TRUST.get(a.source, 0), a.at) > (_TRUST.get(b.source, 0), b.at)


_TRUST = {"device_ipp": 3, "device_snmp": 3, "print_server": 2, "probed_elsewhere": 1}


def _printer(known: Known, subject: str, missing: str) -> Printer:
    name = subject.removeprefix("printer:")
    return Printer(
        name=name,
        state=known.word(subject, "printer_state") or "unknown",
        causes=known.words(subject, "printer_causes"),
        reasons=known.words(subject, "printer_reasons"),
        model=known.word(subject, "printer_model"),
        address=known.word(subject, "printer_address"),
        uuid=known.word(subject, "printer_uuid"),
        source=known.word(subject, "printer_source"),
        accepting=_flag(known.number(subject, "printer_accepting")),
        paused=_flag(known.number(subject, "printer_paused")),
        jobs=known.number(subject, "printer_jobs_count"),
        oldest_job_age_s=known.number(subject, "printer_oldest_job_age_seconds"),
        pages=known.number(subject, "printer_pages_count"),
        supplies=[_level(known, s, "supply") for s in known.subjects(f"supply:{name}/")],
        trays=[_level(known, s, "tray") for s in known.subjects(f"tray:{name}/")],
        at=_newest(known, subject),
        missing=missing,
        heal_outcome=known.word(subject, "printer_heal_outcome"),
    )


def _level(known: Known, subject: str, of: Literal["supply", "tray"]) -> Level:
    ratio = known.number(subject, f"{of}_level_ratio")
    return Level(
        name=subject.partition("/")[2],
        kind=known.word(subject, "supply_kind"),
        colour=known.word(subject, "supply_colour"),
        ratio=None if ratio is None else min(1.0, max(0.0, ratio)),
        media=known.word(subject, "tray_media"),
    )


def _queue(known: Known, subject: str, missing: str) -> Queue:
    observed = known.number(subject, "queue_observed_at_seconds")

    def amount(metric: str) -> float | None:
        number = known.number(subject, metric)
        return None if number is None or number < 0 else number

    return Queue(
        service=subject.removeprefix("queue:"),
        waiting=amount("queue_waiting_count"),
        longest_wait_s=amount("queue_longest_wait_seconds"),
        average_wait_s=amount("queue_average_wait_seconds"),
        served_last_hour=amount("queue_served_last_hour_count"),
        abandoned_last_hour=amount("queue_abandoned_last_hour_count"),
        counters_open=amount("queue_counters_open_count"),
        counters_total=amount("queue_counters_total_count"),
        observed_at=None if observed is None or not 0 <= observed < 4e10 else datetime.fromtimestamp(observed, UTC),
        stale=bool(known.number(subject, "queue_stale")),
        at=_newest(known, subject),
        missing=missing,
    )


def _newest(known: Known, subject: str) -> datetime:
    moments = [reading.at for reading in known.readings.get(subject, {}).values()]
    moments += [m.at for m in known.missing if m.subject == subject]
    return max(moments)


def _flag(number: float | None) -> bool | None:
    return None if number is None else bool(number)


def _lay_over(
    readings: dict[str, dict[str, Reading]],
    numbers: "dict[str, dict[str, float | Summary]] | dict[str, dict[str, Value]]",
    at: datetime,
    told: dict[str, datetime],
    collectors: Collection[str],
) -> None:
    """Put newer numbers over older readings.  What its collector told later, or tells no more, stays as it told."""
    for subject, of in numbers.items():
        for metric, number in of.items():
            known = metrics.CATALOGUE.get(metric)
            if collectors and (known is None or known.collector not in collectors):
                continue
            since = told.get(known.collector) if known else None
            if since is not None and since > at:
                continue
            old = readings.get(subject, {}).get(metric)
            if old is not None and old.at > at:
                continue
            summary = number if isinstance(number, Summary) else None
            value: Value = summary.last if summary is not None else number  # type: ignore[assignment]
            readings.setdefault(subject, {})[metric] = Reading(subject, metric, value, at, summary)


def _decode(kind: Literal["beat", "change", "live", "inventory"], payload: bytes) -> object:
    try:
        return wire.decode_up(kind, payload)
    except wire.Malformed:
        return None  # ingest admitted it, so a rolled back controller meets a newer message: nothing to show


def by_collector(known: Known) -> Sequence[tuple[str, list[Reading]]]:
    """The readings by collector, in the catalogue's order; those of newer agents last, under an empty name."""
    groups: dict[str, list[Reading]] = {name: [] for name in metrics.COLLECTORS}
    order = {name: place for place, name in enumerate(metrics.CATALOGUE)}
    for subject in sorted(known.readings):
        for metric in sorted(known.readings[subject], key=lambda name: order.get(name, len(order))):
            of = metrics.CATALOGUE.get(metric)
            groups.setdefault(of.collector if of else "", []).append(known.readings[subject][metric])
    return [(name, readings) for name, readings in groups.items() if readings]
