"""The page of supplies, and the sheets that it prints."""

from datetime import timedelta

import pytest
from tests.controller.api.test_supplies import note, stocked
from tests.controller.site import Site
from tests.controller.supplies.past import NOW, falling, series
from tests.controller.web import places

from annexfleet_controller.store.database import writing

__all__ = ["stocked"]

LANGUAGES = ("fr", "ar", "en")


def test_the_page_in_every_language(stocked: Site):
    client = stocked.signed_in()
    for code, title in (("fr", "Consommables"), ("ar", "المستهلكات"), ("en", "Supplies")):
        client.post("/language", data={"code": code})
        for path in ("/supplies", "/supplies/print", "/supplies?annex=berkane-1"):
            html = client.get(path).text
            assert f"<title>{title}" in html
            assert "CF259A" in html
            assert "%(" not in html


def test_what_presses_most_comes_first(stocked: Site):
    html = stocked.signed_in().get("/supplies").text

    orders, visits, forecast = (html.index(f'id="{part}"') for part in ("orders", "visits", "forecast"))
    assert orders < visits < forecast
    assert html.index("TN-2410", forecast) < html.index("CF259A", forecast)
    assert "Heating fault" in html[visits:forecast]
    assert "the printer tells no level" in html[forecast:]


def test_the_shelf_is_counted_without_a_script(stocked: Site):
    client = stocked.signed_in("technician")

    answer = client.post("/supplies/stock", data={"order_key": "cf259a", "quantity": "7"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/supplies#orders")
    html = client.get("/supplies").text
    assert 'name="quantity" type="number" min="0" max="9999" value="7"' in html
    assert client.post("/supplies/stock", data={"order_key": "nothing", "quantity": "7"}).status_code == 404
    for quantity in ("-1", "10000", "seven", ""):
        assert client.post("/supplies/stock", data={"order_key": "cf259a", "quantity": quantity}).status_code == 422


def test_who_may_not_count_sees_no_field(stocked: Site):
    assert 'name="quantity"' not in stocked.signed_in("staff").get("/supplies").text
    confined = stocked.signed_in("technician", annex="berkane-1").get("/supplies").text
    assert "On the shelf" not in confined
    assert "berkane-2" not in confined
    assert "TN-2410" not in confined


@pytest.mark.parametrize(
    ("role", "shown"), [("staff", False), ("technician", True), ("operator", True), ("admin", True)]
)
def test_the_menu_leads_there_from_technician_up(stocked: Site, role: str, *, shown: bool):
    assert ('<a href="/supplies"' in stocked.signed_in(role).get("/").text) is shown


def test_a_sheet_for_the_order_and_one_for_each_annex(stocked: Site):
    html = stocked.signed_in().get("/supplies/print").text

    assert html.count('<section class="sheet"') == 3
    assert '<link rel="stylesheet" href="/static/paper.css">' in html
    sheet = stocked.signed_in().get("/static/paper.css").text
    assert "size: A4" in sheet
    assert "break-before: page" in sheet


def test_before_anything_is_known_it_says_so(site: Site):
    site.clock.at = NOW
    with writing(site.engine) as db:
        places.annex(db, 1, site.clock.now())

    assert "No printer has told of its supplies yet" in site.signed_in().get("/supplies").text
    assert "No annex needs a visit." in site.signed_in().get("/supplies/print").text


def test_calm_supplies_need_nothing(site: Site):
    site.clock.at = NOW
    with writing(site.engine) as db:
        places.annex(db, 1, site.clock.now())
    note(site, falling(80, until=site.clock.now().date(), per_day=0.005))

    html = site.signed_in().get("/supplies").text

    assert "Nothing is needed within 30 opening days." in html
    assert "No annex needs a visit." in html


@pytest.mark.parametrize(
    "word", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}", "%(num)s%s{0}"]
)
def test_a_device_s_word_stays_a_word(stocked: Site, word: str):
    today = stocked.clock.now().date()
    named = {"supply": word, "colour": word, "printer_name": word, "printer_model": word}
    note(stocked, falling(2, until=today, printer_id="e" * 24, **named))
    note(stocked, falling(2, until=today, printer_id="f" * 24, kind="other", **named))

    for path in ("/supplies", "/supplies/print"):
        html = stocked.signed_in().get(path).text
        assert "<script>alert" not in html
        assert "<img" not in html
        assert ">49<" not in html


@pytest.mark.parametrize("value", [1e15, 0.0, 1e-300])
def test_pages_beyond_reason_break_nothing(stocked: Site, value: float):
    today = stocked.clock.now().date()
    note(stocked, [*series([0.4, 0.3, 0.2] * 5, until=today, printer_id="e" * 24, pages_count=value)])
    note(stocked, falling(2, until=today - timedelta(days=1), printer_id="f" * 24, pages_per_day=value))

    assert stocked.signed_in().get("/supplies").status_code == 200
    assert stocked.signed_in().get("/api/v1/supplies").status_code == 200
