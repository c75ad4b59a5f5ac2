"""What every list and page costs in a whole country: `pytest -s -m bench tests/bench/test_pages.py`.

There are 25,004 devices in 1,786 annexes, one of twenty of which is not well.

Asked in one process, without a network: time on the clock, processor time (the client's included), bytes as made and as
packed.  Beside them `/healthz`, and what a plain page with 50 rows of the same database costs, for scale.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median

import pytest
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient
from jinja2 import Environment
from msgspec import Struct, structs
from sqlalchemy import text
from tests.bench.country import Country
from tests.bench.test_evaluation import ANNEXES, begun
from tests.controller.reports import months
from tests.controller.site import Site

from annexfleet_controller.access import links as board_links
from annexfleet_controller.garbage import settle
from annexfleet_controller.readiness.availability import Span
from annexfleet_controller.reports import making
from annexfleet_controller.store import districts, fleet, incidents, links, reports
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE

ROUNDS = 20
"""So that the worst but one is the 95th of a hundred."""
BAR_S, BAR_BYTES = 0.150, 200_000
A_DISTRICT = 40
"""Annexes of one."""
MONTH = "2026-10"
PEERS = ("/healthz", "/bench/plain")

PAGES = (
    "/", "/?state=blocked", "/?q=17", "/?page=20", "/?district=d3", "/wall", "/annexes/annex-41", "/devices",
    "/devices?q=guichet", "/devices?presence=silent", "/devices/{device}", "/devices/{device}/figures",
    "/devices/{device}/settings", "/printers/{unlabelled}", "/printers/{printer}?annex=annex-41",
    "/annexes/annex-41/queues/{queue}", "/board/{board}", "/p/{code}", "/alerts", "/alerts?state=over",
    "/alerts?kind=printer&severity=critical&who=free", "/alerts?q=annexe+17", "/alerts?annex=annex-41",
    "/incidents/{incident}", "/mine",
    "/mine?show=visits", "/supplies", "/supplies/print", "/runs", "/runs/new", "/rollouts", "/rollouts/new",
    "/desired", "/desired/layer?kind=annex&of=annex-41", "/desired/devices/{device}", "/maintenance",
    f"/reports/{MONTH}", f"/reports/{MONTH}?page=20", f"/reports/{MONTH}?district=d3",
    f"/reports/{MONTH}?annex=annex-41", "/admin/annexes", "/admin/annexes/annex-41", "/admin/districts",
    "/admin/devices", "/admin/devices?q=guichet", "/admin/tokens", "/admin/links", "/admin/links?annex=annex-41",
    "/admin/labels?annex=annex-41", "/admin/services", "/admin/rules",
    "/admin/rules/printer.blocked", "/admin/calendars", "/annexes/annex-41/calendar", "/annexes/annex-41/services",
    "/admin/contacts", "/admin/contacts/new", "/admin/people", "/admin/people/new", "/admin/keys", "/admin/audit",
    "/admin/set-aside", "/account", "/api/v1/devices", "/api/v1/devices?search=guichet", "/api/v1/annexes",
    "/api/v1/readiness", "/api/v1/alerts", "/api/v1/incidents", "/api/v1/printers",
    "/api/v1/printers?in_trouble=true", "/api/v1/printers?in_trouble=false", "/api/v1/printers?search=laserjet",
    "/api/v1/printers?search={printer}", "/api/v1/printers?search=nothing", "/api/v1/queues",
    "/api/v1/queues?search=passport", "/api/v1/inventory", "/api/v1/supplies", "/api/v1/supplies?state=soon",
    "/api/v1/desired/drift", f"/api/v1/reports/{MONTH}",
)  # fmt: skip

POSTS = {"/admin/tokens": {"annex": "annex-41", "role": "counter", "devices": "14", "hours": "24"}}
"""Answered with a page of their own: the sheet by which an annex enrols its devices."""
EXPORTS = (
    "/api/v1/supplies/orders.csv", "/api/v1/supplies/visits.csv", f"/api/v1/reports/{MONTH}/annexes.csv",
    f"/api/v1/reports/{MONTH}/incidents.csv", "/api/v1/openapi.json", "/metrics",
)  # fmt: skip
"""Not looked at but kept, or read by programs: told beside the others, without a bar."""

_PLAIN = Environment(autoescape=True).from_string(
    "<!doctype html><table>{% for row in rows %}<tr><td>{{ row.name }}</td><td><a href='/devices/{{ row.id }}'>"
    "{{ row.id }}</a></td><td>{{ row.annex_id }}</td><td>{{ row.role }}</td></tr>{% endfor %}</table>"
)


class Cost(Struct, frozen=True):
    """Of one page, over all rounds."""

    path: str
    walls_s: list[float]
    processor_s: list[float]
    made_bytes: int
    wire_bytes: int

    @property
    def p95_s(self) -> float:
        return _p95(self.walls_s)

    @property
    def processor(self) -> float:
        """Seconds, the median: what another program does meanwhile does not count here."""
        return median(self.processor_s)

    def __str__(self) -> str:
        walls = f"{median(self.walls_s) * 1e3:7.0f} {self.p95_s * 1e3:7.0f}"
        sizes = f"{self.made_bytes / 1e3:8.0f} {self.wire_bytes / 1e3:7.0f}"
        spent = f"{self.processor * 1e3:7.0f} {_p95(self.processor_s) * 1e3:7.0f}"
        return f"{self.path:46} {walls} {spent} {sizes}"


def _p95(seconds: list[float]) -> float:
    return sorted(seconds)[round(0.95 * (len(seconds) - 1))]


def cost(client: TestClient, path: str, rounds: int = ROUNDS) -> Cost:
    """One more round is asked first and not counted: what a process does once in its life."""
    walls, processors = [], []
    for _ in range(rounds + 1):
        processor, wall = time.process_time(), time.perf_counter()
        answer = client.request(
            "POST" if path in POSTS else "GET", path, data=POSTS.get(path), headers={"Accept-Encoding": "gzip"}
        )
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
        assert answer.status_code in {200, 201}, f"{path}: {answer.status_code} {answer.text[:300]}"
    return Cost(path, walls[1:], processors[1:], len(answer.content), answer.num_bytes_downloaded)


@contextmanager
def country_site(path: Path) -> Iterator[Site]:
    """A country that was judged, with districts and two months in figures, and its web process."""
    country = Country(path, ANNEXES)
    site = Site(country.engine, path).with_authority()
    begun(country, site.home)
    furnish(country)
    site.clock.at = country.clock.now()
    yield site
    country.engine.dispose()


def furnish(country: Country) -> None:
    """What nobody's device tells: districts, and months in figures."""
    now = country.clock.now()
    with writing(country.engine) as db:
        for number in range(country.annexes // A_DISTRICT + 1):
            districts.create(db, f"d{number}", name_fr=f"Commune {number}", name_ar=f"جماعة {number}", now=now)
        db.flush()
        db.execute(text(f"UPDATE annex SET district_id = 'd' || (CAST(substr(id, 7) AS INTEGER) / {A_DISTRICT})"))
    random = Random(4)
    for month in (making.before(MONTH), MONTH):
        with writing(country.engine) as db:
            figures = [figures_of_a_month(random, country.annex_id(n), month, now) for n in range(country.annexes)]
            reports.put(db, [(annex_id, of, True) for annex_id, of in figures])
            reports.add_up(db, month)


def figures_of_a_month(random: Random, annex_id: str, month: str, now: datetime) -> tuple[str, reports.Figures]:
    """One that has a little of everything."""
    first = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    states = random.choices(("ready", "degraded", "blocked", "unknown"), (80, 8, 6, 6), k=20)
    spans = [
        Span(service, state, first + timedelta(days=1.5 * n), first + timedelta(days=1.5 * (n + 1)))
        for service in ("residence", "birth", "cnie", "legalisation", "passport", "marriage")
        for n, state in enumerate(random.sample(states, len(states)))
    ]
    troubles = []
    for number in range(random.randint(5, 30)):
        opened = first + timedelta(days=random.uniform(0, 28))
        one = months.trouble(
            number, 1, 1, 1, annex_id=annex_id, cause=random.choice(("paper_jam", "paper_empty", "device_offline")),
            thing_id=f"{annex_id}-{random.randint(1, 4)}", began_at=opened, opened_at=opened,
        )  # fmt: skip
        troubles.append(structs.replace(one, ended_at=opened + timedelta(hours=random.uniform(0.2, 5))))
    counters = [
        structs.replace(
            months.counter(date.fromisoformat(f"{month}-01") + timedelta(days=day), 10_000.0 + 100 * day),
            annex_id=annex_id, printer_id=f"{annex_id}-{printer}",
        )
        for printer in range(4) for day in range(30)
    ]  # fmt: skip
    told = months.told(annex_id=annex_id, spans=spans, troubles=troubles, supply_days=counters, watched_until=now)
    return annex_id, making.made(told, month, now=now)


def add_plain(site: Site) -> None:
    """The peer: fifty rows of the same database in a table, asked by nobody in particular."""

    def plain() -> HTMLResponse:
        with reading(site.engine) as db:
            rows = db.execute(text("SELECT id, name, annex_id, role FROM device ORDER BY number LIMIT 50")).all()
        return HTMLResponse(_PLAIN.render(rows=rows))

    site.app.add_api_route("/bench/plain", plain)


def costs(site: Site, *, rounds: int = ROUNDS, only: str = "") -> list[Cost]:
    """Of the peers and every page, as an administrator of the whole province sees it."""
    add_plain(site)
    client = site.signed_in("admin")
    names = asked_for(site)
    paths = [
        path.format(**names) for path in (*PEERS, *PAGES, *POSTS, *EXPORTS) if path in PEERS or re.search(only, path)
    ]
    ready(site)
    found = []
    print(f"\n{'':46}  median     p95     CPU     p95       kB  packed")
    for path in paths:
        found.append(cost(client, path, rounds))
        print(found[-1], flush=True)
    return found


def asked_for(site: Site) -> dict[str, str]:
    """What stands in the paths: a device, a printer, a queue, an incident, a board and a label, most of one annex."""
    now = site.clock.now()
    with writing(site.engine) as db:
        rows = fleet.devices(db, WHOLE, now=now, annex_id="annex-41")
        known = fleet.known(db, rows, collectors=["printers", "queues"])
        printer, unlabelled, *_ = fleet.printers(rows, known)
        queue = fleet.queues(rows, known)[0]
        _, board = board_links.new_board_at_console(db, "annex-41", label="hall", by="bench", now=now)
        label, _ = links.put_label(db, WHOLE, "annex-41", printer.id, place="Guichet 2", now=now)
        return {
            "device": rows[0].id, "printer": printer.id, "unlabelled": unlabelled.id, "queue": queue.queue.service,
            "board": board, "code": label.code, "incident": str(incidents.open_ones(db)[0].id),
        }  # fmt: skip


def ready(site: Site) -> None:
    """As a web process is that has begun; what this one has made of its country before is none of that."""
    site.app.state.beside.turn()
    settle()


@pytest.mark.bench
def test_every_page_of_a_whole_country_is_quick_and_small(tmp_path: Path):
    with country_site(tmp_path) as site:
        found = costs(site)

    pages = [of for of in found if of.path not in (*PEERS, *EXPORTS)]
    assert {of.path: f"{of.p95_s * 1e3:.0f} ms" for of in pages if of.p95_s >= BAR_S} == {}
    assert {of.path: of.wire_bytes for of in pages if of.wire_bytes >= BAR_BYTES} == {}
