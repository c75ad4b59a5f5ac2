import re
from datetime import timedelta

import pytest
from tests.controller.site import Site
from tests.controller.web import country
from tests.controller.web.test_pages import Parsed

from annexfleet_controller.maintenance import Area, Maintenance
from annexfleet_controller.store import maintenance
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.places import Annex


@pytest.fixture
def many(site: Site) -> Site:
    country.country(site.engine, now=site.clock.now())
    return site


def tiles(html: str) -> dict[str, str]:
    """Classes by annex."""
    found = [of for tag, of in Parsed(html).tags if tag == "a" and of.get("tabindex") == "-1"]
    return {(of["href"] or "").rpartition("/")[2]: of.get("class") or "" for of in found}


def listed(html: str) -> list[str]:
    rows = html.partition('id="list"')[2].partition('id="trends"')[0]
    return re.findall(r'data-label="Annex"><a href="/annexes/([\w-]+)"', rows)


def test_every_annex_is_a_tile_and_the_list_has_a_page(many: Site):
    page = many.signed_in().get("/").text

    assert len(tiles(page)) == country.ANNEXES
    assert tiles(page)["annex-7"] == "blocked"
    assert tiles(page)["annex-8"] == "unknown"
    assert tiles(page)["annex-1"] == ""
    assert len(listed(page)) == 50
    assert listed(page)[0] == "annex-7"
    assert "Page 1 of 2" in page
    assert len(listed(many.signed_in().get("/?page=2").text)) == 10


def test_the_sums_lead_to_what_they_count(many: Site):
    page = many.signed_in().get("/").text
    sums = {of.get("href") for tag, of in Parsed(page).tags if tag == "a"}

    assert "/?state=blocked" in sums
    assert "177" in Parsed(page).text  # 59 annexes with three people each
    assert list(tiles(many.signed_in().get("/?state=blocked").text)) == ["annex-7"]


def test_search_district_and_service_narrow_it_together(many: Site):
    client = many.signed_in()

    assert set(tiles(client.get("/?q=Annexe+5").text)) >= {"annex-5", "annex-50"}
    assert set(tiles(client.get("/?district=oujda").text)) == {f"annex-{n}" for n in range(0, 60, 3)}
    assert tiles(client.get("/?service=etat-civil").text) == {"annex-7": "blocked"}
    assert "No annex is like that" in client.get("/?district=oujda&state=blocked").text
    assert len(tiles(client.get("/?state=nonsense").text)) == country.ANNEXES


def test_maintenance_is_shown_and_hides_nothing(many: Site):
    now = many.clock.now()
    with writing(many.engine) as db:
        work = Maintenance(
            area=Area(annexes=("annex-7",)), touches=("annex-7",), starts_at=now - timedelta(minutes=5),
            ends_at=now + timedelta(hours=1), reason="cabling", author="amina", created_at=now,
        )  # fmt: skip
        maintenance.create(db, work)

    page = many.signed_in().get("/").text

    assert tiles(page)["annex-7"] == "blocked worked"
    assert "cabling" in page  # it began within the hour
    assert list(tiles(many.signed_in().get("/?state=maintenance").text)) == ["annex-7"]


def test_nobody_sees_beyond_their_annexes(many: Site):
    page = many.signed_in("staff", annex="annex-1").get("/").text

    assert "annex-7" not in page
    assert "Paper jam" not in page
    assert "between 0 and 29" not in page  # of a day, not of thirty hours
    assert "People waiting" in page


def test_what_presses_and_what_changed_is_told(many: Site):
    page = many.signed_in().get("/").text

    assert "Paper jam" in page
    assert "1 alert raised" in page
    assert 'class="trend waiting"' in page
    assert 'class="trend ready"' in page
    assert "between 90% and 90%" in page


def test_when_nobody_has_looked_nothing_is_called_ready(many: Site):
    many.clock.turn(minutes=25)

    page = many.signed_in().get("/").text

    assert set(tiles(page).values()) == {"unknown"}
    assert "Nobody has looked since" in page


def test_an_annex_that_is_closed_for_good_is_shown_no_more(many: Site):
    with writing(many.engine) as db:
        db.get_one(Annex, "annex-7").retired_at = many.clock.now()

    assert "annex-7" not in tiles(many.signed_in().get("/").text)


def test_htmx_gets_the_fragment_it_asks_for(many: Site):
    for path, block in (("/", "annexes"), ("/", "trends"), ("/wall", "wall")):
        answer = many.signed_in().get(path, headers={"HX-Request": "true", "HX-Target": f"div#{block}"})

        assert "<html" not in answer.text
        assert f'id="{block}"' in answer.text.strip()[:40]


@pytest.mark.parametrize("code", ["fr", "ar", "en"])
def test_the_wall_in_every_language(many: Site, code: str):
    client = many.signed_in()
    client.post("/language", data={"code": code})

    page = client.get("/wall").text

    assert f'lang="{code}"' in page
    assert len(tiles(page)) == country.ANNEXES
    assert "/static/wall.js" in page
    assert "<nav" not in page


def test_the_wall_shows_a_district_alone(many: Site):
    assert len(tiles(many.signed_in().get("/wall?district=berkane").text)) == 20


def test_only_a_wall_of_staff_keeps_its_session_awake(many: Site):
    staff, operator = many.signed_in("staff"), many.signed_in("operator")

    assert "X-By-Itself" not in staff.get("/wall").text
    assert "signs itself out after 30 minutes" not in staff.get("/wall").text
    assert "X-By-Itself" in operator.get("/wall").text
    assert "signs itself out after 30 minutes" in operator.get("/wall").text

    for _ in range(3):
        many.clock.turn(minutes=20)
        assert staff.get("/wall", headers={"HX-Request": "true", "HX-Target": "div#wall"}).status_code == 200
