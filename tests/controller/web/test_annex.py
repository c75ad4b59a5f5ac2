import re
from datetime import UTC, datetime, timedelta

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, troubled
from tests.controller.web.test_pages import Parsed

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Summary
from annexfleet_controller.maintenance import Area, Maintenance
from annexfleet_controller.readiness.model import AnnexReadiness, Leaf, Reason, ServiceReadiness
from annexfleet_controller.store import contacts, maintenance, readiness
from annexfleet_controller.store.contacts import NewContact, NewRoute
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex, PrinterLabel
from annexfleet_controller.store.tables.readings import History
from annexfleet_controller.things import Thing
from annexfleet_controller.web.rooms import natural


@pytest.fixture
def seeded(site: Site) -> Site:
    site.clock.at = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)  # a Tuesday morning
    places.province(site.engine, now=site.clock.now(), past_days=0.01)
    return site


def page(site: Site, role: str = "admin", **who: str) -> str:
    return site.signed_in(role, **who).get("/annexes/berkane-1").text


def test_what_stands_where(seeded: Site):
    with writing(seeded.engine) as db:
        db.get_one(Device, 1).place = "Guichet 10"
        db.get_one(Device, 2).place = "Guichet 2"

    rooms = page(seeded).partition("Rooms and counters")[2].partition("<h2>Printers")[0]

    assert rooms.index("Guichet 2") < rooms.index("Guichet 10") < rooms.index("No place yet")
    tenth = rooms[rooms.index("Guichet 10") : rooms.index("No place yet")]
    assert "guichet-hp" in tenth  # it hangs on the device that stands there
    assert "accueil-kyocera" not in tenth


def test_a_labelled_printer_stands_where_its_label_says(seeded: Site):
    link = page(seeded).partition("accueil-kyocera")[0].rpartition('href="#printer-')[2][:24]
    with writing(seeded.engine) as db:
        db.add(PrinterLabel(printer_id=link, annex_id="berkane-1", code="abc", place="Accueil",
                            created_at=seeded.clock.now()))  # fmt: skip

    rooms = page(seeded).partition("Rooms and counters")[2].partition("<h2>Printers")[0]

    assert "accueil-kyocera" in rooms[rooms.index("Accueil") : rooms.index("No place yet")]


def test_counter_two_comes_before_counter_ten():
    assert sorted(["Guichet 10", "guichet 2", "Accueil"], key=natural) == ["Accueil", "guichet 2", "Guichet 10"]


def test_the_queue_of_today_stands_against_the_weeks_before(seeded: Site):
    now = seeded.clock.now()
    with writing(seeded.engine) as db:
        for week, people, resolution in ((0, 12.0, 0), (1, 4.0, 3600), (2, 6.0, 3600)):
            for hour in (8, 9, 10):
                at = now.replace(hour=hour, minute=0) - timedelta(weeks=week)
                waiting = {"queue_waiting_count": Summary(people, people, people, people)}
                beat = Beat(seq=1, at=at.timestamp(), seconds=300, samples=1, numbers={"queue:residence": waiting})
                db.add(History(device_number=1, resolution_s=resolution, at=at, payload=wire.encode(beat)))

    text = " ".join(Parsed(page(seeded)).text.split())

    assert "Waiting today" in text
    assert re.search(r"<figcaption><b><bdi>Residence certificate</bdi>", page(seeded)), "its name, not its code"
    assert "The same day of the 2 weeks before" in text
    assert re.search(r"09:00</th><td>12</td><td>5</td>", page(seeded))
    assert 'class="usual"' in page(seeded)


def test_a_queue_without_a_past_is_not_drawn(seeded: Site):
    assert "Waiting today" not in page(seeded)


def test_what_is_planned_and_whom_to_call(seeded: Site):
    now = seeded.clock.now()
    with writing(seeded.engine) as db:
        db.get_one(Annex, "berkane-1").note = "The key is with the guard, 06 12 34 56 78"
        work = Maintenance(
            area=Area(annexes=("berkane-1",)), touches=("berkane-1",), starts_at=now + timedelta(hours=8),
            ends_at=now + timedelta(hours=9), reason="new cables", author="amina", created_at=now,
        )  # fmt: skip
        maintenance.create(db, work)
        for name, annexes in (("Amina", '["berkane-1"]'), ("Said", None), ("Far away", '["berkane-2"]')):
            contacts.create(
                db, NewContact(name=name, kind="email", address=f"{name[:3]}@example.ma", language="fr"),
                [NewRoute(audiences="technician", annexes=annexes, min_severity="warning", hours="always")],
                by="admin", now=now,
            )  # fmt: skip

    html = page(seeded, "staff", annex="berkane-1")

    for expected in ("new cables", "The key is with the guard", "Amina", "Said", "For technicians"):
        assert expected in html
    assert "Far away" not in html
    assert "example.ma" not in html  # an address is nobody's business here
    assert 'aria-current="date"' in html


def test_nobody_to_call_is_said(seeded: Site):
    assert "Nobody is told of trouble in this annex" in page(seeded)
    assert "Nothing is planned here" in page(seeded)


def test_htmx_gets_the_queues_alone(seeded: Site):
    answer = seeded.signed_in().get(
        "/annexes/berkane-1", headers={"HX-Request": "true", "HX-Target": "section#queues_today"}
    )

    assert answer.text.strip().startswith('<section id="queues_today"')
    assert "Rooms and counters" not in answer.text


def test_a_device_with_open_trouble_is_not_shown_as_well_on_the_plan(seeded: Site):
    now = seeded.clock.now()
    with writing(seeded.engine) as db:
        full = troubled.alert(
            db, "disk.full", "device", device_id(2), now=now, severity="critical", cause="disk_full", incident_id=None
        )
        incident = troubled.incident(db, "device", "disk_full", [full], now=now)
        troubled.alert(db, "cpu.high", "device", device_id(3), now=now, severity="info", cause="cpu_high")

    rooms = page(seeded).partition("Rooms and counters")[2].partition("<h2>Printers")[0]
    of = {int(n): item for item in rooms.split("<li>") for n in re.findall(r"guichet-(\d+)</bdi></a>", item)}

    assert 'class="mark online' not in of[2]
    assert 'class="mark blocked state"' in of[2]
    assert f'<a href="/incidents/{incident.id}">' in of[2]
    assert 'class="mark online state"' in of[3]  # what is only said takes nothing from it
    assert 'class="mark silent state"' in of[6]


def test_the_reasons_of_a_service_lead_to_printers_queues_and_a_device_that_looks_at_the_portal(seeded: Site):
    failing = [
        Leaf(Thing("printer", "3f0c9a3b1d5e7f90aa11bb22"), "hp", "failing"),
        Leaf(Thing("queue", "berkane-1/etat civil"), "etat civil", "unknown"),
        Leaf(Thing("portal", "berkane-1/e-services"), "e-services", "failing"),
        Leaf(Thing("portal", "berkane-1/nobody-looks"), "nobody-looks", "failing"),
    ]
    reason = Reason("print", "blocked", 0, 0, 1, 1, tuple(failing))
    with writing(seeded.engine) as db:
        now = seeded.clock.now()
        places.part(db, 2, "portal", {"portal:e-services": {"portal_up": 0}}, at=now)
        found = AnnexReadiness("berkane-1", (ServiceReadiness("residence", "blocked", (reason,)),))
        readiness.write_now(db, {"berkane-1": found}, now=now)
        readiness.note(db, {}, now=now)

    services = page(seeded).partition('class="readiness"')[2].partition("<h2>Queues")[0]

    assert 'href="/printers/3f0c9a3b1d5e7f90aa11bb22?annex=berkane-1"' in services
    assert 'href="/annexes/berkane-1/queues/etat%20civil"' in services
    assert re.search(r'href="/devices/d-[a-z2-7]{26}"><bdi>e-services', services)
    assert "<bdi>nobody-looks</bdi>" in services


def test_a_queue_without_earlier_weeks_has_no_legend_of_them(seeded: Site):
    now = seeded.clock.now()
    with writing(seeded.engine) as db:
        for minutes in (5, 10, 15):
            numbers = {"queue:residence": {"queue_waiting_count": 6.0}}
            places.beat(db, 1, numbers, at=now - timedelta(minutes=minutes), newest=False)

    for path in ("/annexes/berkane-1", "/annexes/berkane-1/queues/residence"):
        text = Parsed(seeded.signed_in().get(path).text).text

        assert "Today" in text
        assert "weeks" not in text
        assert "Usual " not in text.partition("today")[2].partition("This week")[0]
