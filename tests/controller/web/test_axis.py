"""What happened around a thing stands on the axis of its chart: a device's changes, a printer's and a queue's day."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, troubled
from tests.controller.web.test_pages import LANGUAGES, Parsed
from tests.controller.web.test_things import printer, text_of

from annexfleet_controller.maintenance import Area, Maintenance
from annexfleet_controller.rollouts import commanding
from annexfleet_controller.store import maintenance, printer_events
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.printer_events import Onset
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.web.pages.printer import Day, bars
from annexfleet_controller.web.timeline import Mark, placed

ONE = f"/devices/{device_id(1)}"


@pytest.fixture
def seeded(site: Site) -> Site:
    site.clock.at = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
    places.province(site.engine, now=site.clock.now(), past_days=0.01)
    return site


def marks(site: Site, path: str, role: str = "admin") -> list[str]:
    return [str(of["data-mark"]) for _, of in Parsed(site.signed_in(role).get(path).text).tags if "data-mark" in of]


def worked_on(site: Site) -> None:
    now = site.clock.now()
    with writing(site.engine) as db:
        work = Maintenance(
            area=Area(annexes=("berkane-1",)), touches=("berkane-1",), starts_at=now - timedelta(hours=2),
            ends_at=now - timedelta(hours=1), reason="cabling", author="amina", created_at=now - timedelta(days=1),
        )  # fmt: skip
        maintenance.create(db, work)


def test_a_devices_own_changes_are_on_the_axis_and_have_a_time(seeded: Site):
    with writing(seeded.engine) as db:
        now = seeded.clock.now()
        places.part(db, 20, "portal", {"portal:e-services": {"portal_up": 0}}, at=now - timedelta(hours=3))
        places.part(db, 20, "portal", {"portal:e-services": {"portal_up": 1}}, at=now - timedelta(minutes=9))
    page = f"/devices/{device_id(20)}"

    assert marks(seeded, f"{page}?span=24h") == ["change", "change"]
    assert marks(seeded, f"{page}?span=1h") == ["change"]
    text = text_of(seeded, f"{page}?span=24h")
    assert "No trouble, no maintenance and no change in this time." not in text
    assert re.search(r"10:21, 9 min", text)


def test_a_printers_month_is_one_axis(seeded: Site):
    now, id_ = seeded.clock.now(), printer(seeded)
    worked_on(seeded)
    with writing(seeded.engine) as db:
        troubled.alert(db, "printer.blocked", "printer", id_, now=now, severity="critical", cause="paper_jam")
        printer_events.add(db, [Onset(id_, "berkane-1", "cover_open", now - timedelta(days=4))])
    path = f"/printers/{id_}?annex=berkane-1"

    assert marks(seeded, path) == ["alert", "maintenance", "change"]
    html = seeded.signed_in().get(path).text
    assert f"/api/v1/devices/{device_id(1)}/series?metric=printer_jobs_count&amp;subject=printer%3Aguichet-hp" in html
    assert "/static/charts.js" in html


def test_a_queues_day_is_one_axis(seeded: Site):
    now = seeded.clock.now()
    worked_on(seeded)
    with writing(seeded.engine) as db:
        troubled.alert(db, "queue.long", "queue", "berkane-1/residence", now=now, cause="queue_long")
        for minutes in (5, 10):
            numbers = {"queue:residence": {"queue_waiting_count": 6.0}}
            places.beat(db, 1, numbers, at=now - timedelta(minutes=minutes), newest=False)
    path = "/annexes/berkane-1/queues/residence"

    found = marks(seeded, path)

    assert "alert" in found
    assert "maintenance" in found
    html = seeded.signed_in().get(path).text
    assert 'class="band alert' in html
    assert 'class="band maintenance' in html


def test_what_concerns_a_printer_is_asked_of_its_device_on_the_printers_page(seeded: Site):
    id_ = printer(seeded)
    with writing(seeded.engine) as db:
        db.get_one(Device, 1).exchange_key = b"k" * 32
    path = f"/printers/{id_}?annex=berkane-1"
    client = seeded.signed_in("technician")
    html = client.get(path).text
    assert f'action="/devices/{device_id(1)}/commands#commands"' in html
    assert "clear_print_queue" in html
    assert "reboot" not in html
    assert "clear_print_queue" not in seeded.signed_in("staff", annex="berkane-1").get(path).text

    form = {"name": "clear_print_queue", "printer": "guichet-hp", "from_printer": id_}
    answer = client.post(f"/devices/{device_id(1)}/commands", data=form)

    assert (answer.status_code, answer.headers["location"]) == (303, f"/printers/{id_}#commands")
    with writing(seeded.engine) as db:
        commanding.send(
            db, WHOLE, device_id(1), "clear_print_queue", {"printer": "accueil-kyocera"}, by="amina", via="session",
            now=seeded.clock.now(), command_id="",
        )  # fmt: skip
    receipts = client.get(path).text.partition('id="receipts"')[2].partition("</ul>")[0]
    assert receipts.count("<li") == 1
    assert "guichet-hp" in receipts
    form["from_printer"] = "//evil.example"
    elsewhere = client.post(f"/devices/{device_id(1)}/commands", data=form)
    assert elsewhere.headers["location"] == f"{ONE}#commands"


def test_where_marks_and_bars_stand():
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    since = now - timedelta(hours=10)
    found = placed(
        [
            Mark(kind="alert", at=now - timedelta(hours=1), until=None, title=""),
            Mark(kind="maintenance", at=since - timedelta(hours=5), until=since + timedelta(hours=2), title=""),
            Mark(kind="rollout", at=since + timedelta(hours=5), until=now, title=""),
            Mark(kind="change", at=since - timedelta(hours=5), until=since - timedelta(hours=5), title=""),
        ],
        since=since, until=now + timedelta(hours=10), now=now,
    )  # fmt: skip

    assert [(one.kind, one.start, one.width) for one in found] == [
        ("alert", 45.0, 5.0), ("maintenance", 0.0, 10.0), ("rollout", 25.0, 0.0),
    ]  # fmt: skip
    (first, last) = bars(
        [Day(date(2026, 10, 26), 4), Day(date(2026, 11, 1), None), Day(date(2026, 11, 24), 7)],
        zone_name="Africa/Casablanca", now=now,
    )  # fmt: skip
    assert first.x < 5
    assert last.width < first.width
    assert last.x + last.width < 1000


@pytest.mark.parametrize("code", LANGUAGES)
def test_it_is_told_in_every_language(seeded: Site, code: str):
    client = seeded.signed_in()
    client.post("/language", data={"code": code})
    for path in (ONE, f"/printers/{printer(seeded)}?annex=berkane-1", "/annexes/berkane-1/queues/residence"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "%(" not in answer.text
