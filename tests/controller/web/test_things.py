"""Pages of single things: a device with what happened around it, a printer, a queue of people."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, troubled
from tests.controller.web.test_pages import LANGUAGES, POLYGLOTS, Parsed

from annexfleet_controller.i18n.direction import plain
from annexfleet_controller.store import fleet, printer_events, supplies, watches
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.printer_events import Onset
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import ChangeRow
from annexfleet_controller.things import SupplyDay, Thing
from annexfleet_controller.web.daycurve import curve, hourly
from annexfleet_controller.web.pages.printer import pages_of_days
from annexfleet_controller.zones import PROVINCE

ONE = f"/devices/{device_id(1)}"


@pytest.fixture
def seeded(site: Site) -> Site:
    places.province(site.engine, now=site.clock.now(), past_days=0.1)
    return site


def text_of(site: Site, path: str, role: str = "admin", annex: str = "") -> str:
    answer = site.signed_in(role, annex=annex).get(path)
    assert answer.status_code == 200
    return plain(" ".join(Parsed(answer.text).text.split()))


def printer(site: Site, name: str = "guichet-hp") -> str:
    with reading(site.engine) as db:
        rows = fleet.devices(db, WHOLE, now=site.clock.now(), annex_id="berkane-1")
        found = fleet.printers(rows, fleet.known(db, rows, collectors=["printers"]))
    return next(seen.id for seen in found if seen.printer.name == name)


# -- a device


def test_a_device_says_first_that_it_works(site: Site):
    now = site.clock.now()
    with writing(site.engine) as db:
        places.annex(db, 1, now)
        places.device(db, 1, "berkane-1", now=now, heard=timedelta(seconds=20))

    assert "Works. Last heard 20 seconds ago." in text_of(site, ONE)


def test_a_device_says_first_what_is_wrong_since_when_who_waits_and_what_to_do(seeded: Site):
    now = seeded.clock.now()
    with writing(seeded.engine) as db:
        troubled.alert(
            db, "printer.blocked", "printer", printer(seeded), now=now, severity="critical", cause="paper_jam",
            facts={"printer": "guichet-hp"},
        )  # fmt: skip
        troubled.alert(db, "cpu.high", "device", device_id(1), now=now, cause="cpu_high")

    page = text_of(seeded, ONE)

    assert "Paper jam (guichet-hp), since" in page
    assert "12 people wait meanwhile." in page
    assert "1 other trouble" in page
    assert page.index("Paper jam (guichet-hp), since") < page.index("Over time")


def test_what_happened_stands_on_the_axis_of_the_curves_and_no_more_than_that(seeded: Site):
    now = seeded.clock.now()
    with writing(seeded.engine) as db:
        for hours, cause in ((2, "cpu_high"), (50, "memory_high")):
            at = now - timedelta(hours=hours)
            troubled.alert(
                db, cause.replace("_", "."), "device", device_id(1), now=now, state="cleared", cause=cause, since=at,
                opened_at=at, cleared_at=at + timedelta(minutes=30),
            )  # fmt: skip
        for minutes, kind in ((90, "gone"), (60, "connected"), (31, "gone"), (30.5, "connected")):
            at = now - timedelta(minutes=minutes)
            db.add(ChangeRow(device_number=1, at=at, received_at=at, kind=kind, collector="", payload=b""))

    def drawn(span: str) -> list[tuple[str, float]]:
        tags = Parsed(seeded.signed_in().get(f"{ONE}?span={span}").text).tags
        marks = [of for _, of in tags if of.get("data-mark", "change") != "change"]
        return [(str(of["data-mark"]), float(of["data-until"] or 0) - float(of["data-from"] or 0)) for of in marks]

    assert drawn("24h") == [("away", 1800.0), ("alert", 1800.0)]  # a reconnect of 30 s is no absence
    assert drawn("7d") == [("away", 1800.0), ("alert", 1800.0), ("alert", 1800.0)]


def test_watching_live_is_asked_for_and_has_an_end(seeded: Site):
    client = seeded.signed_in("staff", annex="berkane-1")
    assert "watch=1" not in client.get(ONE).text  # who only looks costs the device nothing
    assert "Watch live for 5 minutes" in client.get(ONE).text

    answer = client.post(f"{ONE}/watch", data={"chart": " cpu_used_ratio"})

    assert answer.headers["location"] == f"{ONE}?span=1h&chart=+cpu_used_ratio#charts"
    with reading(seeded.engine) as db:
        assert watches.of(db, 1, now=seeded.clock.now()) == seeded.clock.now() + timedelta(minutes=5)
    assert "Live until" in client.get(ONE).text
    client.post(f"{ONE}/watch", data={"stop": "true"})
    assert "Live until" not in client.get(ONE).text
    assert client.post(f"/devices/{device_id(15)}/watch").status_code == 404


def test_the_charts_can_be_read_as_tables_without_a_script(seeded: Site):
    assert f"{ONE}/figures?span=24h" in seeded.signed_in().get(ONE).text

    page = Parsed(seeded.signed_in().get(f"{ONE}/figures?span=24h").text)

    assert "Processor in use" in page.text
    assert "Lowest" in page.text
    assert len([tag for tag, _ in page.tags if tag == "tr"]) > 8
    assert seeded.signed_in().get(f"{ONE}/figures?span=1y").status_code == 422


def test_a_package_is_found_without_a_script(seeded: Site):
    found = text_of(seeded, f"{ONE}?package=CUPS")

    assert "cups 2.4.2" in found
    assert "firefox-esr" not in found
    assert "2 packages" in found
    assert "No package is called so." in text_of(seeded, f"{ONE}?package=nothing")


def test_where_it_stands_and_what_stood_there_before(seeded: Site):
    with writing(seeded.engine) as db:
        old, new = db.get(Device, 14), db.get(Device, 1)
        assert old is not None
        assert new is not None
        old.replaced_by, new.place = 1, "Guichet 4"

    page = text_of(seeded, ONE)

    assert "Took the place ofguichet-14" in page
    assert "Annexe administrative 1, Guichet 4" in page
    assert "Its place was taken byguichet-1" in text_of(seeded, f"/devices/{device_id(14)}")


# -- a printer


def test_a_printer_says_what_is_wrong_and_what_to_do_and_how_it_has_been(seeded: Site):
    now, id_ = seeded.clock.now(), printer(seeded)
    with writing(seeded.engine) as db:
        causes = (("paper_jam", 1), ("paper_jam", 9), ("cover_open", 30), ("paper_jam", 100))
        printer_events.add(db, [Onset(id_, "berkane-1", c, now - timedelta(days=d)) for c, d in causes])

    page = text_of(seeded, f"/printers/{id_}?annex=berkane-1")

    for told in (
        "Paper jam (guichet-hp).", "Open the cover", "toner black", "A4", "2 paper jams in 90 days", "Seen by",
        "guichet-1", "the oldest for 4 min",
    ):  # fmt: skip
        assert told in page


def test_what_still_lasts_is_not_among_the_past_troubles_of_a_printer(seeded: Site):
    now, id_ = seeded.clock.now(), printer(seeded)
    with writing(seeded.engine) as db:
        causes = (("paper_jam", timedelta(minutes=4)), ("paper_jam", timedelta(days=9)))
        printer_events.add(db, [Onset(id_, "berkane-1", cause, now - ago) for cause, ago in causes])

    html = seeded.signed_in().get(f"/printers/{id_}?annex=berkane-1").text

    assert "2 paper jams in 90 days" in html
    assert html.partition('<ol class="onsets">')[2].partition("</ol>")[0].count("Paper jam") == 1


def test_a_tray_and_its_paper_are_called_as_people_call_them(seeded: Site):
    now, id_ = seeded.clock.now(), printer(seeded)
    readings = {
        "printer:guichet-hp": {"printer_state": "idle", "printer_address": "usb", "printer_causes": []},
        "tray:guichet-hp/tray-1": {"tray_level_ratio": 0.7, "tray_media": "iso_a4_210x297mm"},
        "tray:guichet-hp/bypass": {"tray_level_ratio": 0.7, "tray_media": "envelope"},
    }
    with writing(seeded.engine) as db:
        places.part(db, 1, "printers", readings, at=now)

    page = text_of(seeded, f"/printers/{id_}?annex=berkane-1")

    assert "Tray 1 A4" in page
    assert "bypass envelope" in page
    assert "iso_a4" not in page


def test_a_printer_that_runs_well_says_so(seeded: Site):
    with writing(seeded.engine) as db:
        places.printers(db, 15, [places.Printed("guichet-canon")], at=seeded.clock.now())
    with reading(seeded.engine) as db:
        rows = fleet.devices(db, WHOLE, now=seeded.clock.now(), annex_id="berkane-2")
        id_ = fleet.printers(rows, fleet.known(db, rows))[0].id

    assert "guichet-canon Works." in text_of(seeded, f"/printers/{id_}?annex=berkane-2")
    assert "guichet-canon Works." in text_of(seeded, f"/printers/{id_}")  # a link that does not say where


def test_a_printer_beyond_ones_annexes_is_not_there(seeded: Site):
    client, id_ = seeded.signed_in("operator", annex="berkane-2"), printer(seeded)
    for path in (f"/printers/{id_}", f"/printers/{id_}?annex=berkane-1", f"/printers/{id_}?annex=berkane-2"):
        assert client.get(path).status_code == 404
    assert client.get("/printers/nonsense").status_code == 404


def test_pages_of_a_day_are_what_its_counter_rose_by():
    def day(number: int, pages: float | None) -> SupplyDay:
        return SupplyDay(
            annex_id="a", printer_id="p", supply="black", day=date(2026, 11, number), kind="toner", colour="black",
            level_ratio=0.5, pages_count=pages, printer_name="hp", printer_model="HP",
        )  # fmt: skip

    rows = [day(1, 100), day(2, 130), day(4, 150), day(5, 20), day(6, None), day(7, 25)]

    found = pages_of_days(rows, since=date(2026, 11, 2), until=date(2026, 11, 7))

    assert [one.pages for one in found] == [30, None, 20, None, None, 5]


def test_the_pages_of_a_printer_are_drawn(seeded: Site):
    today, id_ = seeded.clock.now().date(), printer(seeded)
    with writing(seeded.engine) as db:
        supplies.note(
            db,
            [
                SupplyDay(
                    annex_id="berkane-1", printer_id=id_, supply="black", day=today - timedelta(days=ago), kind="toner",
                    colour="black", level_ratio=0.5, pages_count=pages, printer_name="hp", printer_model="HP",
                )
                for ago, pages in ((3, 1000.0), (2, 1090.0), (1, 1100.0))
            ],
        )  # fmt: skip

    assert "100 pages printed in these days" in text_of(seeded, f"/printers/{id_}?annex=berkane-1")


# -- a queue


def test_a_queue_says_who_waits_how_long_and_at_how_many_counters(seeded: Site):
    page = text_of(seeded, "/annexes/berkane-1/queues/residence")

    for told in ("12 people wait, the longest for 19 min", "Counters open3 of 4", "Counted byguichet-1"):
        assert told in page
    assert "Nobody tells how many people wait." in text_of(seeded, "/annexes/berkane-5/queues/legalisation")
    assert seeded.signed_in().get("/annexes/berkane-1/queues/nothing").status_code == 404


def test_a_queue_whose_name_holds_a_slash_has_its_page(seeded: Site):
    with writing(seeded.engine) as db:
        places.queue(db, 1, "etat/civil", waiting=7, at=seeded.clock.now())

    (link,) = set(re.findall(r'href="(/annexes/berkane-1/queues/etat[^"]+)"', text_of_html(seeded)))
    shown = text_of(seeded, link)

    assert "7 people wait" in shown
    assert "etat/civil" in shown
    assert f'data-hx-get="{link}"' in seeded.signed_in().get(link).text


def text_of_html(seeded: Site) -> str:
    return seeded.signed_in().get("/annexes/berkane-1").text


def test_todays_queue_is_drawn_beside_the_usual_one(seeded: Site):
    now = seeded.clock.now()
    with writing(seeded.engine) as db:
        for week in range(3):
            for minutes in (5, 10, 15):
                at = now - timedelta(weeks=week, minutes=minutes)
                places.beat(db, 1, {"queue:residence": {"queue_waiting_count": 6.0}}, at=at, newest=False)

    html = seeded.signed_in().get("/annexes/berkane-1/queues/residence").text

    assert 'class="usual"' in html
    assert "As a table" in html


def test_a_curve_is_broken_where_nobody_told_and_the_usual_is_a_mean():
    start = datetime(2026, 11, 23, tzinfo=PROVINCE).timestamp()
    at = [start + hours * 3600 for hours in (9.0, 9.25, 12.0, 12.25)]

    found = curve(at, [2.0, None, 4.0, 8.0], [{9: 2.0}, {9: 4.0, 10: 1.0}], PROVINCE)

    assert [len(some.split()) for some in found.today] == [1, 2]
    assert [(one.hour, one.today, one.usual) for one in found.hours] == [
        (9, 2.0, 3.0),
        (10, None, 1.0),
        (12, 6.0, None),
    ]
    assert found.top == 8.0
    assert curve([], [], [], PROVINCE).is_empty
    assert hourly(at, [2.0, 4.0, None, 1.0], PROVINCE) == {9: 3.0, 12: 1.0}
    assert datetime.fromtimestamp(start, UTC).astimezone(PROVINCE).hour == 0


# -- every language, every name


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_page_of_a_thing_in_every_language(seeded: Site, code: str):
    client = seeded.signed_in()
    client.post("/language", data={"code": code})
    for path in (f"/printers/{printer(seeded)}?annex=berkane-1", "/annexes/berkane-1/queues/residence",
                 "/annexes/berkane-5/queues/legalisation", f"{ONE}/figures", f"{ONE}?span=1h"):  # fmt: skip
        answer = client.get(path)

        assert answer.status_code == 200
        assert "%(" not in answer.text
        assert f'<html lang="{code}"' in answer.text


def test_whatever_a_printer_and_a_queue_are_called_stays_text(site: Site):
    now = site.clock.now()
    with writing(site.engine) as db:
        places.annex(db, 1, now)
        places.device(db, 1, "berkane-1", now=now)
        places.printers(db, 1, [places.Printed(e, e, (e,), model=e, address=e) for e in POLYGLOTS], at=now)
    client = site.signed_in()
    for name in POLYGLOTS:
        with writing(site.engine) as db:
            places.queue(db, 1, name[:100], waiting=2, at=now)
        with reading(site.engine) as db:
            rows = fleet.devices(db, WHOLE, now=now)
            ids = [seen.id for seen in fleet.printers(rows, fleet.known(db, rows))]
        assert len(ids) == len(POLYGLOTS)
    links = [
        of["href"] for _, of in Parsed(client.get("/annexes/berkane-1").text).tags if "/queues/" in str(of.get("href"))
    ]
    for path in (*links, *(f"/printers/{id_}?annex=berkane-1" for id_ in ids)):
        page = Parsed(client.get(str(path)).text)

        assert not [of for _, of in page.tags if any(name.startswith("on") for name in of)]
        assert not [tag for tag, _ in page.tags if tag == "img"]
    assert Thing("printer", ids[0]).kind == "printer"
