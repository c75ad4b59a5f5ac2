"""One device that lies must not take anything from the others."""

from datetime import timedelta

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.store.database import writing

PAGES = ("/", "/annexes/berkane-1", f"/devices/{device_id(1)}", "/api/v1/queues", "/api/v1/printers",
         f"/api/v1/devices/{device_id(1)}")  # fmt: skip


@pytest.fixture
def province(site: Site) -> Site:
    now = site.clock.now()
    with writing(site.engine) as db:
        for number in (1, 2):
            annex = places.annex(db, number, now)
            places.device(db, number, annex, now=now)
        places.queue(db, 2, "residence", waiting=7, at=now)
    return site


@pytest.mark.parametrize("value", [1e16, 1e26, 1e28, 1e308, -1e308, -3, 10**15, 1e-300])
def test_a_number_that_nothing_measures_breaks_no_page(province: Site, value: float):
    now = province.clock.now()
    with writing(province.engine) as db:
        metrics = ("waiting_count", "longest_wait_seconds", "served_last_hour_count", "counters_open_count",
                   "counters_total_count", "observed_at_seconds", "average_wait_seconds")  # fmt: skip
        places.part(db, 1, "queues", {f"queue:{s}": {f"queue_{m}": value for m in metrics} for s in "ab"}, at=now)
        places.part(
            db, 1, "printers",
            {
                "printer:p": {"printer_jobs_count": value, "printer_pages_count": value,
                              "printer_oldest_job_age_seconds": value, "printer_accepting": value},
                "supply:p/x": {"supply_level_ratio": value},
                "tray:p/y": {"tray_level_ratio": value},
            },
            at=now,
        )  # fmt: skip
        places.part(
            db, 1, "cpu",
            {"": {"cpu_used_ratio": value, "x_bytes": value, "x_seconds": value, "y_at_seconds": value, "z": value,
                  "w_celsius": value, "b_bits_per_second": value, "uptime_seconds": value}},
            at=now,
        )  # fmt: skip
        places.inventory(db, 1, at=now, memory_bytes=int(value), x_seconds=int(value), x_at_seconds=int(value))

    admin = province.signed_in()

    assert {path: admin.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 200)


def test_what_a_device_claims_beyond_reason_is_unknown(province: Site):
    with writing(province.engine) as db:
        places.part(db, 1, "queues", {"queue:a": {"queue_waiting_count": 1e26}}, at=province.clock.now())

    page = province.signed_in().get("/").text

    assert "Nobody tells how many people wait" in page


def test_a_device_does_not_speak_for_a_printer_of_another_annex(province: Site):
    now = province.clock.now()
    with writing(province.engine) as db:
        for number, state, at in ((1, "stopped", now), (2, "idle", now + timedelta(seconds=1))):
            readings = {"printer_state": state, "printer_uuid": "urn:uuid:1", "printer_source": "device_ipp"}
            places.part(db, number, "printers", {f"printer:{number}": readings}, at=at)

    found = province.signed_in().get("/api/v1/printers").json()["items"]

    assert {(p["annex"], p["state"]) for p in found} == {("berkane-1", "stopped"), ("berkane-2", "idle")}
