"""Months as pages, programs and the work loop see them."""

import csv
import io
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from tests.controller.reports.months import trouble
from tests.controller.site import Site, TurnedClock
from tests.controller.web import places

from annexfleet_controller import paper
from annexfleet_controller.api import report_tables
from annexfleet_controller.i18n.catalogues import CODES, language
from annexfleet_controller.paper.__main__ import found, laid_out
from annexfleet_controller.readiness.model import AnnexReadiness, ServiceReadiness
from annexfleet_controller.reports import comparing
from annexfleet_controller.store import incidents, readiness
from annexfleet_controller.store.database import writing
from annexfleet_controller.things import Incident, Rank, Thing
from annexfleet_controller.web.render import STATIC
from annexfleet_controller.work import Worker
from annexfleet_controller.work.reports import make_reports


@pytest.fixture
def place(site: Site) -> Site:
    """Two annexes that were watched since early yesterday, one with a jam; their month is worked out."""
    site.clock.at = site.clock.at.replace(year=2026, month=9, day=10, hour=15, minute=0, second=0)
    now = site.clock.at
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, now - timedelta(days=40))
            places.device(db, number, f"berkane-{number}", now=now)
            places.queue(db, number, "residence", waiting=4, at=now)
            places.beat(
                db, number, {"queue:residence": {"queue_waiting_count": 4.0, "queue_longest_wait_seconds": 600.0}},
                at=now - timedelta(hours=4), newest=False,
            )  # fmt: skip
        for minutes in range(31 * 60, -1, -5):
            at = now - timedelta(minutes=minutes)
            state = "blocked" if 26 * 60 <= minutes <= 27 * 60 else "ready"
            found_now = {
                f"berkane-{number}": AnnexReadiness(
                    f"berkane-{number}", (ServiceReadiness("residence", state if number == 1 else "ready"),)
                )
                for number in (1, 2)
            }
            readiness.note(db, found_now, now=at)
        jam = trouble(1, 9, 13, 1)
        incidents.save(db, [
            Incident(
                key="printer:a", kind="printer", cause="paper_jam", annex_id="berkane-1", annexes=("berkane-1",),
                thing=Thing("printer", jam.thing_id), state="resolved", severity="critical",
                facts={"printer": "=cmd|x"}, began_at=jam.began_at, opened_at=jam.opened_at,
                resolved_at=jam.ended_at, ended_at=jam.ended_at, rank=Rank(people_waiting=4.0),
            )
        ])  # fmt: skip
    work(site)
    return site


def work(site: Site) -> None:
    clock = site.clock
    assert isinstance(clock, TurnedClock)
    worker = Worker(site.engine, site.home, (), clock=clock)
    worker.go_on = lambda: True  # type: ignore[method-assign]  # no lease is held here
    make_reports(worker)


def test_a_month_is_worked_out_and_told_to_programs(place: Site):
    month = place.signed_in("staff").get("/api/v1/reports/2026-09").json()

    assert month["annexes"] == 2
    assert month["whole"]["blocked_seconds"] == pytest.approx(3900)
    assert month["whole"]["unknown_seconds"] > 0  # the days before anybody watched
    assert month["incidents"]["count"] == 1
    assert month["queues"]["mean_waiting"] == 4
    assert [line["annex"] for line in month["worst"]] == ["berkane-1", "berkane-2"]
    assert place.signed_in("staff").get("/api/v1/reports").json()["items"][0] == "2026-09"


def test_nobody_sees_more_than_their_annexes(place: Site):
    client = place.signed_in("staff", annex="berkane-2")

    assert client.get("/api/v1/reports/2026-09").json()["incidents"]["count"] == 0
    assert [line["annex"] for line in client.get("/api/v1/reports/2026-09").json()["worst"]] == ["berkane-2"]
    assert "berkane-1" not in client.get("/reports/2026-09").text
    for path in ("/api/v1/reports/2026-09?annex=berkane-1", "/reports/2026-09?annex=berkane-1",
                 "/reports/2026-09.pdf?annex=berkane-1", "/reports/2026-09?district=nowhere",
                 "/api/v1/reports/2026-09/annexes.csv?annex=berkane-1"):  # fmt: skip
        assert client.get(path).status_code == 404, path
    assert "berkane-1" not in client.get("/api/v1/reports/2026-09/annexes.csv").text


def test_months_that_cannot_be_told_are_refused_with_the_reason(place: Site):
    client = place.signed_in("staff")

    assert client.get("/api/v1/reports/2026-10").json()["code"] == "report_of_future"
    assert client.get("/reports/2026-10").status_code == 422
    assert client.get("/reports/2026-13").status_code == 422
    assert client.get("/api/v1/reports/2024-01").json()["code"] == "report_missing"
    assert "Nothing is kept of this month" in client.get("/reports/2024-01").text
    assert client.get("/reports").headers["location"] == "/reports/2026-09"


def test_a_month_that_is_settled_stays_as_it_is(place: Site):
    place.clock.turn(days=40)
    work(place)
    before = place.signed_in("staff").get("/api/v1/reports/2026-09").json()

    place.clock.turn(days=3)
    with writing(place.engine) as db:
        readiness.prune(db, before=place.clock.now(), at_most=10_000)
    work(place)

    assert place.signed_in("staff").get("/api/v1/reports/2026-09").json() == before
    assert before["until"].startswith(("2026-09-30T23:00", "2026-10-01T00:00"))


@pytest.mark.parametrize("code", CODES)
def test_the_page_is_whole_in_every_language(place: Site, code: str):
    client = place.signed_in("staff")
    client.cookies.set("annexfleet_language", code)

    page = client.get("/reports/2026-09")

    assert page.status_code == 200
    assert len(page.content) < 200_000
    assert "berkane-1" in page.text


def test_a_table_opens_right_in_excel_and_calculates_nothing(place: Site):
    with writing(place.engine) as db:
        for number in range(2):
            at = trouble(1, 8, 9 + number, 1)
            incidents.save(db, [
                Incident(
                    key=f"printer:{number}", kind="printer", cause="paper_jam", annex_id="berkane-1",
                    thing=Thing("printer", at.thing_id), state="resolved", facts={"printer": "=cmd|x"},
                    began_at=at.began_at, opened_at=at.opened_at, resolved_at=at.ended_at, ended_at=at.ended_at,
                )
            ])  # fmt: skip
    place.clock.turn(hours=1)
    work(place)
    client = place.signed_in("staff")
    client.cookies.set("annexfleet_language", "fr")

    told = client.get("/api/v1/reports/2026-09/repeated.csv")
    annexes = client.get("/api/v1/reports/2026-09/annexes.csv").content.decode("utf-8-sig")

    assert told.content.startswith("\ufeff".encode())
    rows = list(csv.reader(io.StringIO(told.content.decode("utf-8-sig")), delimiter=";"))
    assert rows[1][0] == "'=cmd|x"
    served = list(csv.reader(io.StringIO(annexes), delimiter=";"))[1][7]
    assert served.count(",") == 1
    for name in report_tables.TABLES:
        assert client.get(f"/api/v1/reports/2026-09/{name}.csv").status_code == 200


def test_every_code_has_words():
    for code in CODES:
        words = language(code)
        for kind, codes in (
            ("report_measure", comparing.MEASURES), ("report_table", report_tables.TABLES),
            ("report_order", ("worst", "incidents", "name")), ("report_judgement", ("better", "worse")),
            ("report_change", ("same", "incomparable", "more", "less", "points_more", "points_less")),
        ):  # fmt: skip
            assert [one for one in codes if not words.knows(kind, one)] == []


@pytest.mark.skipif(bool(paper.missing()), reason="the libraries of WeasyPrint are not installed")
def test_a_month_becomes_a_pdf_in_arabic(place: Site):
    client = place.signed_in("staff")
    client.cookies.set("annexfleet_language", "ar")

    made = client.get("/reports/2026-09.pdf")

    assert made.status_code == 200, made.text
    assert made.headers["content-type"] == "application/pdf"
    assert made.content.startswith(b"%PDF-")
    assert b"Plex" in made.content or len(made.content) > 20_000


def test_a_pdf_that_cannot_be_made_says_what_is_missing(place: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paper, "missing", lambda: ("libpango-1.0-0",))
    client = place.signed_in("staff")

    assert "libpango-1.0-0" in client.get("/reports/2026-09").text
    assert client.get("/reports/2026-09.pdf").status_code == 503


def test_who_comes_while_others_wait_is_told_to_try_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paper, "missing", tuple)
    taken = [paper._waiting.acquire(blocking=False) for _ in range(paper.MOST_WAITING + 1)]
    try:
        with pytest.raises(paper.PaperBusy):
            paper.make("<p>", STATIC)
    finally:
        for _ in taken:
            paper._waiting.release()


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "http://127.0.0.1:1/x.css", "static:../../settings.css", "static:reports.py", ""]
)
def test_a_document_loads_nothing_but_our_static_files(address: str):
    with pytest.raises(ValueError, match=r"ours"):
        found(address, STATIC)
    assert found("static:report_print.css", STATIC).name == "report_print.css"


@pytest.mark.skipif(bool(paper.missing()), reason="the libraries of WeasyPrint are not installed")
def test_what_a_document_may_not_load_is_left_out(tmp_path: Path):
    secret = tmp_path / "secret.svg"
    secret.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>', encoding="utf-8")

    assert laid_out(f'<p>x<img src="file://{secret}"><img src="http://127.0.0.1:1/">', STATIC).startswith(b"%PDF-")


def test_pages_do_not_carry_the_pdf_library_along():
    code = "import sys, annexfleet_controller.app; sys.exit('weasyprint' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
