"""A small province with everything that pages show, written as ingest writes it."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from tests.controller.fleet import device_id

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Change, Inventory, Live, Numbers, Problems, Readings, Summary
from annexfleet_controller.store import annexes
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import (
    ChangeRow,
    DeviceInventory,
    DevicePart,
    DeviceState,
    History,
    LiveSample,
    SetAside,
)


class Printed(msgspec.Struct, frozen=True):
    """A printer of the seed."""

    name: str
    state: str = "idle"
    causes: tuple[str, ...] = ()
    model: str = "HP LaserJet Pro M404dn"
    address: str = ""
    toner: float = 0.6


def annex(db: Session, number: int, now: datetime) -> str:
    annex_id = f"berkane-{number}"
    annexes.create(
        db, annex_id, name_fr=f"Annexe administrative {number}", name_ar=f"الملحقة الإدارية {number}", now=now
    )
    return annex_id


def device(
    db: Session,
    number: int,
    annex_id: str,
    *,
    now: datetime,
    name: str = "",
    role: str = "counter",
    heard: timedelta | None = timedelta(seconds=40),
    connected: bool = True,
    model: str = "OptiPlex 3080",
    agent_version: str = "0.1.0",
) -> Device:
    """A device; `heard` None for one that never reported."""
    row = Device(
        number=number, id=device_id(number), annex_id=annex_id, name=name or f"guichet-{number}", role=role,
        model=model, hardware_serial=f"7CXK{number:04}", enrolled_at=now - timedelta(days=20),
    )  # fmt: skip
    db.add(row)
    db.flush()
    if heard is not None:
        db.add(
            DeviceState(
                device_number=number, connected=connected, agent_version=agent_version, heard_at=now - heard,
                connected_at=now - timedelta(hours=9), session_id="s", boot_id="b", install_id="i",
            )
        )  # fmt: skip
        db.flush()
    return row


def part(
    db: Session, number: int, collector: str, readings: Readings, *, at: datetime, problems: Problems | None = None
) -> None:
    """What one collector told, as state and as a line of the past."""
    change = Change(
        seq=1, at=at.timestamp(), collector=collector, readings=readings, problems=problems or {},
        because=[f"{subject} {metric}" for subject, of in readings.items() for metric in of][:2],
    )  # fmt: skip
    payload = wire.encode(change)
    db.merge(DevicePart(device_number=number, collector=collector, at=at, payload=payload))
    db.add(ChangeRow(device_number=number, at=at, received_at=at, kind="change", collector=collector, payload=payload))
    db.flush()


def beat(db: Session, number: int, numbers: Numbers, *, at: datetime, newest: bool = True) -> None:
    payload = wire.encode(Beat(seq=1, at=at.timestamp(), seconds=300, samples=10, numbers=numbers))
    db.add(History(device_number=number, resolution_s=0, at=at, payload=payload))
    if newest:
        state = db.get(DeviceState, number)
        assert state is not None
        state.beat_at, state.beat = at, payload
    db.flush()


def live(db: Session, number: int, readings: Readings, *, at: datetime) -> None:
    payload = wire.encode(Live(at=at.timestamp(), readings=readings))
    db.merge(LiveSample(device_number=number, at=at, payload=payload))
    db.flush()


def inventory(db: Session, number: int, *, at: datetime, **hardware: str | int) -> None:
    body = Inventory(
        seq=1, at=at.timestamp(), digest="x", hardware=dict(hardware),
        os={"id": "debian", "version": "12", "name": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0-25-amd64"},
        packages={"cups": "2.4.2-3+deb12u8", "firefox-esr": "128.4.0esr-1"},
    )  # fmt: skip
    db.merge(DeviceInventory(device_number=number, at=at, payload=wire.encode(body)))
    db.flush()


def printers(db: Session, number: int, of: Sequence[Printed], *, at: datetime) -> None:
    readings: Readings = {}
    for printer in of:
        readings[f"printer:{printer.name}"] = {
            "printer_state": printer.state, "printer_causes": list(printer.causes),
            "printer_reasons": [f"{cause}-keyword" for cause in printer.causes], "printer_model": printer.model,
            "printer_address": printer.address or "usb", "printer_source": "device_ipp", "printer_accepting": 1,
            "printer_paused": 0, "printer_jobs_count": 3 if printer.causes else 0,
            "printer_oldest_job_age_seconds": 240 if printer.causes else 0, "printer_pages_count": 81_234,
        }  # fmt: skip
        readings[f"supply:{printer.name}/black"] = {
            "supply_level_ratio": printer.toner, "supply_kind": "toner", "supply_colour": "black",
        }  # fmt: skip
        readings[f"tray:{printer.name}/tray-1"] = {"tray_level_ratio": 0.7, "tray_media": "A4"}
    part(db, number, "printers", readings, at=at)


def queue(db: Session, number: int, service: str, *, waiting: float | None, at: datetime) -> None:
    subject = f"queue:{service}"
    readings: Readings = {subject: {"queue_counters_open_count": 3, "queue_counters_total_count": 4, "queue_stale": 0}}
    if waiting is not None:
        readings[subject] |= {
            "queue_waiting_count": waiting, "queue_longest_wait_seconds": waiting * 95,
            "queue_average_wait_seconds": waiting * 41, "queue_served_last_hour_count": 17,
            "queue_abandoned_last_hour_count": 1,
        }  # fmt: skip
    part(db, number, "queues", readings, at=at)


def refused(
    db: Session, *, at: datetime, device: int | None = None, topic: str = "", reason: str = "not_json", detail: str = ""
) -> None:
    """A message that was set aside, of a device or of nobody known."""
    sender = device_id(device) if device is not None else ""
    db.add(
        SetAside(
            device_id=sender, topic=topic or f"af/v1/d/{sender}/up/change", received_at=at, reason=reason,
            detail=detail, size_bytes=120, head=b"?",
        )
    )  # fmt: skip
    db.flush()


def busy_numbers(chance: random.Random) -> Numbers:
    """What a counter's beat holds on an ordinary day."""
    cpu = chance.uniform(0.05, 0.4)
    return {
        "": {
            "cpu_used_ratio": Summary(cpu, cpu * 0.4, cpu * 0.9, min(1.0, cpu * 1.9)),
            "memory_used_ratio": round(chance.uniform(0.42, 0.5), 3), "load_per_cpu_ratio": round(cpu * 1.3, 2),
            "swap_used_ratio": 0.02, "temperature_celsius": Summary(52, 47, 51, 58), "agent_memory_bytes": 26.1e6,
            "agent_cpu_ratio": 0.002, "outbox_used_ratio": 0.0, "outbox_oldest_age_seconds": 12.0,
        },
        "disk:/": {"disk_used_ratio": 0.91, "disk_free_bytes": 21.3e9},
        "net:enp1s0": {
            "network_received_bytes_per_second": Summary(82_000, 300, 40_000, 1.2e6),
            "network_sent_bytes_per_second": Summary(9_000, 100, 7_000, 90_000), "network_errors_per_second": 0.0,
        },
        "portal:watiqa": {"portal_total_seconds": Summary(0.41, 0.3, 0.4, 0.9)},
    }  # fmt: skip


def everything(db: Session, number: int, *, now: datetime, chance: random.Random, days: float = 1.0) -> None:
    """All that an ordinary counter tells, with a past."""
    at = now - timedelta(minutes=3)
    part(db, number, "cpu", {"": {"cpu_count": 4, "cpu_used_ratio": 0.2}}, at=at)
    part(db, number, "memory", {"": {"memory_total_bytes": 8.2e9}}, at=at)
    part(
        db, number, "disk", {"disk:/": {"disk_total_bytes": 256e9, "disk_inodes_used_ratio": 0.12}}, at=at,
        problems={"disk:/": {"disk_wear_ratio": "unsupported"}},
    )  # fmt: skip
    part(
        db, number, "network",
        {"net:enp1s0": {"network_link_up": 1, "network_link_bits_per_second": 1e9}}, at=at,
    )  # fmt: skip
    part(db, number, "battery", {}, at=at, problems={"": {"*": "unsupported"}})
    part(db, number, "uptime", {"": {"booted_at_seconds": now.timestamp() - 200_000, "uptime_seconds": 60}}, at=at)
    part(db, number, "clock", {"": {"clock_synchronised": 1}}, at=at)
    part(db, number, "reboot", {"": {"reboot_required": 1}}, at=at)
    part(db, number, "updates", {"": {"updates_pending_count": 14, "updates_security_pending_count": 3}}, at=at)
    part(db, number, "units", {"": {"units_failed": ["apt-daily.service"], "units_failed_count": 1}}, at=at)
    part(
        db, number, "portal",
        {"portal:watiqa": {"portal_up": 1, "portal_failed_stage": "none", "portal_certificate_days": 61}}, at=at,
    )  # fmt: skip
    steps = int(days * 288)
    for step in range(steps, -1, -1):
        if 100 < step < 130:
            continue  # it was off for a while
        beat(db, number, busy_numbers(chance), at=now - timedelta(minutes=5 * step, seconds=20), newest=step == 0)
    inventory(
        db, number, at=at, vendor="Dell Inc.", model="OptiPlex 3080", cpu_model="Intel Core i5-10500T", cpu_count=12,
        memory_bytes=8_200_000_000, architecture="x86_64", firmware="2.24.1",
    )  # fmt: skip


def province(engine: Engine, *, now: datetime, past_days: float = 1.0) -> None:
    """Three annexes of Berkane: one in trouble, one calm, one with a device that never reported."""
    chance = random.Random(4)
    with writing(engine) as db:
        one, two, five = (annex(db, number, now) for number in (1, 2, 5))
        for number in range(1, 15):
            silent = number in {6, 13}
            device(
                db, number, one, now=now, role=("counter", "tablet", "kiosk", "counter")[number % 4],
                connected=not silent,
                heard=timedelta(minutes=47) if silent else timedelta(seconds=chance.uniform(2, 90)),
            )  # fmt: skip
        for number in range(15, 25):
            device(db, number, two, now=now)
        for number in range(25, 30):
            device(db, number, five, now=now, heard=None if number == 29 else timedelta(seconds=30))
        everything(db, 1, now=now, chance=chance, days=past_days)
        at = now - timedelta(minutes=1)
        printers(
            db, 1,
            [
                Printed("guichet-hp", "stopped", ("paper_jam",)),
                Printed("accueil-kyocera", address="192.0.2.20:631", toner=0.08, causes=("toner_low",)),
            ],
            at=at,
        )  # fmt: skip
        printers(db, 2, [Printed("kyocera", address="192.0.2.20:631", toner=0.08)], at=at - timedelta(minutes=5))
        printers(db, 15, [Printed("guichet-canon", model="Canon LBP6030")], at=at)
        queue(db, 1, "residence", waiting=12, at=at)
        queue(db, 15, "etat-civil", waiting=4, at=at)
        queue(db, 25, "legalisation", waiting=None, at=at)
        refused(db, at=at, device=3, detail="byte 0")
        refused(db, at=at, topic="af/v1/d/nobody/up/beat", reason="unknown_topic")
