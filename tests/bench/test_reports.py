"""What months in figures cost in a whole country: `pytest -s -m bench tests/bench/test_reports.py`.

Of 1,786 annexes 60 remember a month (services that came and went, incidents, counters of printers, a week of beats and
three of hours of a queue), which the job of `work` makes figures from; the others have figures of the same kind.  Then
the province's page, tables and PDF are asked for.  Beside it: a database that only sums up the same spans, incidents
and counters; and a plain table of 400 rows, laid out by the same WeasyPrint.
"""

import resource
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
from sqlalchemy import Engine, func, insert, select
from tests.bench.test_evaluation import ANNEXES
from tests.bench.test_pages import figures_of_a_month
from tests.controller.fleet import device_id
from tests.controller.site import Site

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat
from annexfleet_controller import paper
from annexfleet_controller.store import districts, reports
from annexfleet_controller.store.database import open_database, reading, writing
from annexfleet_controller.store.migrate import upgrade
from annexfleet_controller.store.tables.alerts import IncidentAnnex, IncidentRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.readiness import ReadinessSpan
from annexfleet_controller.store.tables.readings import DevicePart, History
from annexfleet_controller.store.tables.supplies import SupplyDayRow
from annexfleet_controller.web.render import STATIC
from annexfleet_controller.work import reports as job
from annexfleet_controller.work.worker import Job, Worker

MONTH, FIRST = "2026-10", datetime(2026, 10, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 5, tzinfo=UTC)
REMEMBERING = 60
PLAIN_ROWS = 400
A_DISTRICT = 40
SERVICES = ("residence", "birth", "cnie", "legalisation", "passport", "marriage")
STATES = ("ready", "ready", "ready", "degraded", "blocked")
CAUSES = ("paper_jam", "paper_empty", "device_offline", "toner_empty")
TABLES = ("annexes", "services", "incidents", "repeated", "printers", "pages", "queues", "changes")

MADE_S, ADDED_UP_S, PDF_S, PDF_BYTES = 0.15, 3.0, 30.0, 500_000_000
"""Of an annex, processor time; of the province; and of a PDF with the memory that its process takes."""

_T = TypeVar("_T")


def province(path: Path) -> Engine:
    engine = open_database(f"sqlite:///{path / 'controller.db'}")
    upgrade(engine)
    random = Random(4)
    with writing(engine) as db:
        for number in range(ANNEXES // A_DISTRICT + 1):
            districts.create(db, f"d{number}", name_fr=f"Commune {number}", name_ar=f"جماعة {number}", now=FIRST)
        db.execute(insert(Annex), [_annex(number) for number in range(ANNEXES)])
        for number in range(REMEMBERING):
            for table, rows in _remembered(random, number).items():
                db.execute(insert(table), rows)
    return engine


def _annex(number: int) -> dict[str, object]:
    return {
        "id": f"annex-{number}", "name_fr": f"Annexe administrative {number}", "time_zone": "Africa/Casablanca",
        "name_ar": f"الملحقة الإدارية {number}", "created_at": FIRST - timedelta(days=90),
        "district_id": f"d{number // A_DISTRICT}",
    }  # fmt: skip


def _remembered(random: Random, number: int) -> dict[type, list[dict[str, object]]]:
    """The rows of an annex's month, by table, in the order in which they can be written."""
    annex_id, device = f"annex-{number}", number + 1
    return {
        ReadinessSpan: [
            {"annex_id": annex_id, "service": service, "state": random.choice(STATES),
             "since": FIRST + timedelta(days=1.5 * n), "until": FIRST + timedelta(days=1.5 * (n + 1))}
            for service in SERVICES for n in range(20)
        ],
        IncidentRow: [_incident(random, number, n) for n in range(17)],
        IncidentAnnex: [{"incident_id": number * 17 + n + 1, "annex_id": annex_id} for n in range(17)],
        SupplyDayRow: [
            {"printer_id": f"{number:020}{printer:04}", "supply": supply, "annex_id": annex_id, "kind": "toner",
             "day": (date(2026, 10, 1) + timedelta(days=day)).isoformat(), "colour": "black", "level_ratio": 0.5,
             "pages_count": 10_000.0 + 100 * day, "printer_name": f"guichet-{printer}", "printer_model": "HP LaserJet"}
            for printer in range(4) for supply in ("black", "drum") for day in range(31)
        ],
        Device: [{"number": device, "id": device_id(device), "annex_id": annex_id, "name": "kiosk", "role": "kiosk",
                  "enrolled_at": FIRST}],
        DevicePart: [{"device_number": device, "collector": "queues", "at": FIRST, "payload": b"{}"}],
        History: [
            *(_beat(device, 3600, FIRST + timedelta(hours=n)) for n in range(1, 24 * 24)),
            *(_beat(device, 0, FIRST + timedelta(days=24, minutes=5 * n)) for n in range(7 * 288)),
        ],
    }  # fmt: skip


def _incident(random: Random, number: int, n: int) -> dict[str, object]:
    began = FIRST + timedelta(days=random.uniform(0, 28))
    ended = began + timedelta(hours=random.uniform(0.2, 5))
    return {
        "id": number * 17 + n + 1, "key": f"{number}-{n}", "kind": "printer", "cause": random.choice(CAUSES),
        "annex_id": f"annex-{number}", "thing_kind": "printer", "thing_id": f"{number:020}{n % 4:04}",
        "state": "resolved", "severity": "critical", "facts": '{"printer": "guichet-1"}', "began_at": began,
        "opened_at": began, "resolved_at": ended, "ended_at": ended,
    }  # fmt: skip


_QUEUE = {"queue_waiting_count": 7.0, "queue_longest_wait_seconds": 900.0, "queue_counters_open_count": 3.0}
_SYSTEM = {"cpu_used_ratio": 0.2, "memory_used_ratio": 0.4, "temperature_celsius": 51.0, "load_per_cpu_ratio": 0.1}
_TOLD = wire.encode(Beat(seq=1, at=1.0, seconds=300.0, numbers={"": _SYSTEM, "queue:residence": _QUEUE}))


def _beat(device: int, resolution_s: int, at: datetime) -> dict[str, object]:
    return {"device_number": device, "resolution_s": resolution_s, "at": at, "payload": _TOLD}


def spent(what: str, work: Callable[[], _T]) -> tuple[_T, float]:
    """What came of it, and its processor time, which is told with the time on the clock."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    processor = time.process_time() - processor
    print(f"{what:60} {time.perf_counter() - wall:8.2f} s, processor {processor:6.2f} s", flush=True)
    return found, processor


def summed_up(engine: Engine) -> int:
    """The peer: what a database alone can say of the same rows, which knows of no opening hours."""
    with reading(engine) as db:
        of_spans = select(
            ReadinessSpan.annex_id, ReadinessSpan.state, func.sum(ReadinessSpan.until - ReadinessSpan.since)
        )
        spans = db.execute(of_spans.group_by(ReadinessSpan.annex_id, ReadinessSpan.state)).all()
        incidents = db.execute(select(IncidentRow.annex_id, func.count()).group_by(IncidentRow.annex_id)).all()
        counted = select(SupplyDayRow.printer_id, func.max(SupplyDayRow.pages_count))
        pages = db.execute(counted.group_by(SupplyDayRow.printer_id)).all()
    return len(spans) + len(incidents) + len(pages)


def laid_out(what: str, make: Callable[[], bytes]) -> tuple[float, int]:
    """Seconds of the process that makes a PDF, and the most memory that any such process took until now."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    pdf = make()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took_s, most = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss * 1024
    sizes = f"{len(pdf) / 1e3:.0f} kB, at most {most / 1e6:.0f} MB of memory so far"
    print(f"{what:60} {time.perf_counter() - wall:8.2f} s, processor {took_s:6.2f} s, {sizes}", flush=True)
    return took_s, most


def plain_table(rows: int) -> bytes:
    """The peer: numbers and nothing else."""
    lines = "".join(f"<tr><td>annex {n}<td>{n % 100} %<td>{n * 7 % 50}<td>{n * 3}</tr>" for n in range(rows))
    return paper.make(f"<!doctype html><title>plain</title><table>{lines}</table>", STATIC)


def _demand(is_whole: bool) -> None:
    assert is_whole


@pytest.mark.bench
def test_a_month_of_a_country_is_made_shown_and_printed(tmp_path: Path):
    engine = province(tmp_path)
    site = Site(engine, tmp_path)
    site.clock.at = NOW
    ids = [f"annex-{number}" for number in range(REMEMBERING)]
    some = Job("make_reports", timedelta(hours=1), lambda worker: _demand(job.make_some(worker, MONTH, ids, now=NOW)))
    worker = Worker(engine, site.home, (some,), clock=site.clock)
    print()

    done, of_sample = spent(f"a month of {REMEMBERING} annexes made", worker.do_what_is_due)
    assert done == ["make_reports"]
    spent("  the same rows only summed up by the database", lambda: summed_up(engine))
    print(
        f"  {of_sample / REMEMBERING * 1e3:.0f} ms an annex, {of_sample / REMEMBERING * ANNEXES:.0f} s all of a country"
    )
    random = Random(5)
    with writing(engine) as db:
        more = [figures_of_a_month(random, f"annex-{n}", MONTH, NOW) for n in range(REMEMBERING, ANNEXES)]
        reports.put(db, [(annex_id, of, True) for annex_id, of in more])
    _, added_up_s = spent("the province added up", lambda: job.add_up(worker, MONTH))

    client = site.signed_in("admin")
    for path in (f"/reports/{MONTH}", f"/reports/{MONTH}?district=d3"):
        spent(path, lambda path=path: client.get(path).raise_for_status())  # type: ignore[misc]
    for table in TABLES:
        path = f"/api/v1/reports/{MONTH}/{table}.csv"
        found, _ = spent(path, lambda path=path: client.get(path).raise_for_status())  # type: ignore[misc]
        print(f"  {len(found.content) / 1e3:.0f} kB, {found.text.count(chr(10))} lines")
    pdf_s, pdf_bytes = laid_out(f"/reports/{MONTH}.pdf", lambda: client.get(f"/reports/{MONTH}.pdf").content)
    laid_out(f"/reports/{MONTH}.pdf?district=d3", lambda: client.get(f"/reports/{MONTH}.pdf?district=d3").content)
    laid_out(f"  a plain table of {PLAIN_ROWS} rows", lambda: plain_table(PLAIN_ROWS))
    engine.dispose()

    assert of_sample / REMEMBERING < MADE_S
    assert added_up_s < ADDED_UP_S
    assert pdf_s < PDF_S
    assert pdf_bytes < PDF_BYTES
