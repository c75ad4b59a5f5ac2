"""What it costs to look who differs from what is wanted; run with `pytest -s -m bench tests/bench/test_drift.py`."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert
from tests.controller.site import Site

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Change, Inventory
from annexfleet_controller.desired.document import parse
from annexfleet_controller.desired.resolve import PROVINCE, Layer
from annexfleet_controller.store import desired, desired_drift
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.readings import DeviceInventory, DevicePart, DeviceState
from annexfleet_controller.work.desired import compare_desired
from annexfleet_controller.work.worker import Job, Worker

DEVICES, ANNEXES = 25_000, 1_800
MOST_LOOK_S = 0.15
"""Processor time of a look at who differs; the whole page has two lists of 1,800 annexes besides."""
MOST_PAGE_S = 0.4


def country(engine: Engine, site: Site) -> None:
    """Devices of which the province wants something of every kind, and every ninth annex more."""
    now = site.clock.now()
    packages = {f"package-{number}": "1.0" for number in range(1500)} | {"htop": "3.2"}
    inventory = wire.encode(Inventory(seq=1, at=now.timestamp(), digest="x", packages=packages))
    change = wire.encode(Change(seq=1, at=now.timestamp(), collector="printers", readings={}))
    numbers = range(1, DEVICES + 1)
    with writing(engine) as db:
        places = [{"id": f"a-{of}", "name_fr": "x", "name_ar": "x", "created_at": now} for of in range(ANNEXES)]
        db.execute(insert(Annex), places)
        fields = {"role": "counter", "model": "M", "enrolled_at": now}
        db.execute(
            insert(Device),
            [
                {"number": n, "id": f"d-{n:026d}", "annex_id": f"a-{n % ANNEXES}", "name": f"n{n}", **fields}
                for n in numbers
            ],
        )
        db.execute(insert(DeviceState), [{"device_number": n, "connected_at": now, "heard_at": now} for n in numbers])
        parts = [(n, collector) for n in numbers for collector in ("agent", "printers", "memory")]
        told = {"at": now, "install_id": "i" * 16, "payload": change}
        db.execute(insert(DevicePart), [{"device_number": n, "collector": of, "seq": n, **told} for n, of in parts])
        for start in range(0, DEVICES, 1000):
            some = numbers[start : start + 1000]
            db.execute(insert(DeviceInventory), [{"device_number": n, "at": now, "payload": inventory} for n in some])
        whole = {"packages": {"htop": "present", "telnet": "absent"}, "print_queues": {"old": "absent"}}
        desired.put(db, PROVINCE, parse({"agent": {"sample_period_s": 30}, **whole}), version=0, by="a", now=now)
        for of in range(0, ANNEXES, 9):
            more = parse({"packages": {"nano": "present"}})
            desired.put(db, Layer("annex", f"a-{of}"), more, version=0, by="a", now=now)


def took(what: str, do: Callable[[], Any], *, rounds: int = 5) -> float:
    """Processor seconds of the best of some rounds."""
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        do()
        spent.append(time.process_time() - began)
    print(f"{what}: {min(spent) * 1000:.0f} ms of a processor")
    return min(spent)


@pytest.mark.bench
def test_a_look_at_25000_devices_costs_next_to_nothing(sqlite_engine: Engine, tmp_path: Path):
    site = Site(sqlite_engine, tmp_path)
    country(sqlite_engine, site)
    job = Job("compare_desired", timedelta(0), compare_desired)
    worker = Worker(sqlite_engine, site.home, (job,), clock=site.clock)

    began = time.process_time()
    while True:
        worker.do_what_is_due()
        with reading(sqlite_engine) as db:
            if desired_drift.as_of(db):
                break
    print(f"all compared for the first time: {time.process_time() - began:.1f} s of a processor")
    client = site.signed_in("operator")
    fragment = {"HX-Request": "true", "HX-Target": "differing"}
    took("the job where nothing is new", worker.do_what_is_due)
    api = took("API, 100 devices", lambda: client.get("/api/v1/desired/drift"))
    annex = took("API, one annex", lambda: client.get("/api/v1/desired/drift?annex=a-9"))
    live = took("the page's live part", lambda: client.get("/desired", headers=fragment))
    page = took("the whole page", lambda: client.get("/desired"))

    assert max(api, annex, live) < MOST_LOOK_S
    assert page < MOST_PAGE_S
