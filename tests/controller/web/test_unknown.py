"""What nobody can tell now is never shown as well: devices that cannot be heard, sources that have stopped."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places
from tests.controller.web.test_pages import LANGUAGES, Parsed

from annexfleet_controller.access import links as making
from annexfleet_controller.i18n.direction import plain
from annexfleet_controller.store import fleet, links, overview
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.overview import Numbers
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.readings import DeviceState


@pytest.fixture
def cut(site: Site) -> Site:
    """An annex whose line was cut an hour ago; all was well until then."""
    at = site.clock.now()
    with writing(site.engine) as db:
        places.annex(db, 1, at)
        for number in (1, 2):
            places.device(db, number, "berkane-1", now=at)
        places.printers(db, 1, [places.Printed("hp", address="192.0.2.20:631")], at=at)
        places.queue(db, 1, "residence", waiting=0, at=at)
    site.clock.turn(hours=1)
    return site


def heard_again(engine: Engine, number: int, now: datetime) -> None:
    with writing(engine) as db:
        db.get_one(DeviceState, number).heard_at = now


def printer(site: Site) -> str:
    with reading(site.engine) as db:
        rows = fleet.devices(db, WHOLE, now=site.clock.now())
        return fleet.printers(rows, fleet.known(db, rows))[0].id


def text_of(site: Site, path: str) -> str:
    answer = site.signed_in().get(path)
    assert answer.status_code == 200
    return plain(" ".join(Parsed(answer.text).text.split()))


def test_the_card_of_an_annex_whose_line_is_cut_says_that_nothing_is_known(cut: Site):
    page = text_of(cut, "/")

    assert "1 printer: not known since" in page
    assert "(last state: without trouble)" in page
    assert "People waiting: not known since" in page
    assert "(last state: 0 people wait)" in page
    assert "1 printer, without trouble" not in page
    assert "0 people waiting" not in page


def test_its_page_says_so_of_each_printer_and_queue(cut: Site):
    page = text_of(cut, "/annexes/berkane-1")

    assert page.count("not known since") >= 2
    assert "(last state: idle)" in page
    assert "0 people waiting" not in page


def test_a_printer_that_only_silent_devices_see_does_not_work_for_all_anybody_knows(cut: Site):
    page = text_of(cut, f"/printers/{printer(cut)}?annex=berkane-1")

    assert "Nobody can tell how this printer is." in page
    assert "(last state: idle)" in page
    assert "Works." not in page


def test_the_word_of_a_device_that_can_be_heard_goes_before_that_of_a_silent_one(cut: Site):
    now = cut.clock.now()
    with writing(cut.engine) as db:
        jammed = places.Printed("hp", "stopped", ("paper_jam",), address="192.0.2.20:631")
        places.printers(db, 2, [jammed], at=now - timedelta(hours=2))
    heard_again(cut.engine, 2, now)

    page = text_of(cut, f"/printers/{printer(cut)}?annex=berkane-1")

    assert "Paper jam" in page
    assert "Nobody can tell" not in page
    assert "1 printer: not known" not in text_of(cut, "/")


def test_a_queue_of_a_silent_device_is_not_empty(cut: Site):
    page = text_of(cut, "/annexes/berkane-1/queues/residence")

    assert "Nobody can tell how many people wait." in page
    assert "(last state: 0 people wait)" in page
    assert "Nobody waits." not in page


def test_a_queue_whose_figures_have_stopped_is_not_empty(cut: Site):
    now = cut.clock.now()
    heard_again(cut.engine, 1, now)
    assert "Nobody waits." in text_of(cut, "/annexes/berkane-1/queues/residence")
    told = {"queue_waiting_count": 0, "queue_stale": 1, "queue_observed_at_seconds": now.timestamp() - 1800}
    with writing(cut.engine) as db:
        places.part(db, 1, "queues", {"queue:residence": told}, at=now)

    page = text_of(cut, "/annexes/berkane-1/queues/residence")

    assert "The source has stopped renewing its figures" in page
    assert "not known since" in page
    assert "Nobody waits." not in page
    assert "0 people waiting" not in text_of(cut, "/annexes/berkane-1")


def test_the_board_and_the_code_on_a_printer_say_since_when(cut: Site):
    with writing(cut.engine) as db:
        _, secret = making.new_board_at_console(db, "berkane-1", label="hall", by="test", now=cut.clock.now())
        label, _ = links.put_label(db, WHOLE, "berkane-1", printer(cut), place="Accueil", now=cut.clock.now())

    board = plain(" ".join(Parsed(cut.visitor().get(f"/board/{secret}").text).text.split()))
    code = plain(" ".join(Parsed(cut.visitor().get(f"/p/{label.code}").text).text.split()))

    assert "(last state: 0 people wait)" in board
    assert "(last state: idle)" in code
    assert "This printer works" not in code


def test_the_api_says_since_when_beside_the_last_state(cut: Site):
    client, since = cut.signed_in(), cut.clock.now() - timedelta(hours=1, seconds=40)
    for path in ("/api/v1/printers", "/api/v1/queues"):
        (item,) = client.get(path).json()["items"]
        assert datetime.fromisoformat(item["unknown_since"]) == since
    heard_again(cut.engine, 1, cut.clock.now())
    for path in ("/api/v1/printers", "/api/v1/queues"):
        (item,) = client.get(path).json()["items"]
        assert item["unknown_since"] is None


def test_among_many_annexes_printers_that_nobody_sees_are_not_without_trouble(site: Site):
    now = site.clock.now()
    with writing(site.engine) as db:
        for number in range(1, 27):
            places.annex(db, number, now)
        of = Numbers(silent=3, printers=4, unseen=4, is_stale=True)
        overview.write(db, {"berkane-1": of, "berkane-2": Numbers(online=3, printers=2, waiting=3.0)}, now=now)

    page = text_of(site, "/")

    assert "4 not known" in page
    assert "4 printers, without trouble" not in page
    assert "2 printers, without trouble" in page
    assert "not known in 1 annex" in page
    wall = text_of(site, "/wall")
    assert "Printers not known4" in wall
    assert "not known in 1 annex" in wall


@pytest.mark.parametrize("code", LANGUAGES)
def test_it_is_said_in_every_language(cut: Site, code: str):
    client = cut.signed_in()
    client.post("/language", data={"code": code})
    for path in ("/", "/annexes/berkane-1", f"/devices/{device_id(1)}", f"/printers/{printer(cut)}?annex=berkane-1",
                 "/annexes/berkane-1/queues/residence"):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code == 200
        assert "%(" not in answer.text
        assert 'class="mark unknown state"' in answer.text
