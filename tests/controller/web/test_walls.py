"""A wall screen by a link: it stays until somebody revokes it, shows no more than it should, and names no person."""

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from tests.controller.site import Site
from tests.controller.web import places, troubled

from annexfleet_controller.access import guessing
from annexfleet_controller.access import links as making
from annexfleet_controller.store import audit, districts, incidents, links
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.errors import TooManyWalls
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.tending import annexes as tending
from annexfleet_controller.tending.trace import Hand


@pytest.fixture
def province(site: Site) -> Site:
    """Two annexes, the second of them in a district; each has an incident that somebody took."""
    now = site.clock.now()
    with writing(site.engine) as db:
        districts.create(db, "ahfir", name_fr="Ahfir", name_ar="أحفير", now=now)
        for number in (1, 2):
            places.annex(db, number, now)
            places.device(db, number, f"berkane-{number}", now=now)
            of = troubled.alert(
                db, "device.offline", "device", places.device_id(number), f"berkane-{number}", now=now,
                cause="device_offline", facts={"device": f"guichet-{number}"},
            )  # fmt: skip
            incident = troubled.incident(db, "device", "device_offline", [of], f"berkane-{number}", now=now)
            incidents.acknowledge(db, incident.id, by="amina", now=now)
        there = db.get(Annex, "berkane-2")
        assert there is not None
        there.district_id = "ahfir"
    return site


def make(site: Site, district: str = "") -> str:
    made = site.signed_in("operator").post("/admin/links/walls", data={"label": "hall", "district": district})
    assert made.status_code == 201
    path = re.search(r"http://testserver(/wall/[\w-]{43,})", made.text)
    assert path is not None
    return path[1]


def test_a_wall_is_shown_once_and_stays_until_it_is_revoked(province: Site):
    path = make(province)
    visitor, operator = province.visitor(), province.signed_in("operator")
    province.clock.turn(days=40)

    assert visitor.get(path).status_code == 200
    assert "X-By-Itself" in visitor.get(path).text, "nor does it keep the session of whoever is signed in there"
    assert "signs itself out" not in visitor.get(path).text
    assert path not in province.signed_in("operator").get("/admin/links").text
    with reading(province.engine) as db:
        (wall,) = links.walls(db)
    operator = province.signed_in("operator")
    assert operator.post(f"/admin/links/walls/{wall.id}/revoke").headers["location"] == "/admin/links"
    operator.post(f"/admin/links/walls/{wall.id}/revoke")

    assert visitor.get(path).status_code == 404
    by_htmx = visitor.get(path, headers={"HX-Request": "true", "HX-Target": "div#wall"})
    assert by_htmx.headers["HX-Refresh"] == "true"
    with reading(province.engine) as db:
        assert [entry.act for entry in audit.entries(db, WHOLE)] == ["wall.revoke", "wall.create"]
        assert links.still_good(db, [wall.id]) == set()


def test_it_leads_nowhere_and_names_nobody(province: Site):
    answer = province.visitor().get(make(province))

    assert "guichet-1" in answer.text
    assert "somebody takes care of it" in answer.text
    assert "amina" not in answer.text
    assert not re.search(r'(?:href|action)="/(?!static/|language")', answer.text)
    assert answer.headers["referrer-policy"] == "strict-origin"
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    signed_in = province.signed_in("operator").get("/wall").text
    assert 'href="/annexes/berkane-1"' in signed_in
    assert "amina" in signed_in


def test_a_wall_of_a_district_shows_nothing_else(province: Site):
    path = make(province, "ahfir")
    text = province.visitor().get(f"{path}?district=").text

    assert "guichet-2" in text
    assert "guichet-1" not in text
    assert "Ahfir" in text
    assert 'title="Annexe administrative 1"' not in text
    assert text.count("<i title=") + len(re.findall('<i class="[a-z ]+" title=', text)) == 1


def test_asked_by_htmx_it_is_what_moves(province: Site):
    path = make(province)
    text = province.visitor().get(path, headers={"HX-Request": "true", "HX-Target": "div#wall"}).text

    assert text.startswith('<div id="wall"')
    assert f'data-hx-get="{path}"' in text


def test_a_board_opens_no_wall_and_a_wall_no_board(province: Site):
    with writing(province.engine) as db:
        now = province.clock.now()
        board, secret = making.new_board_at_console(db, "berkane-1", label="hall", by="x", now=now)
    path = make(province)

    assert province.visitor().get(f"/wall/{secret}").status_code == 404
    assert province.visitor().get(path.replace("/wall/", "/board/")).status_code == 404
    with reading(province.engine) as db:
        assert [one.id for one in links.boards(db, WHOLE)] == [board.id]
        assert [one.id for one in links.boards(db, Scope(frozenset({"berkane-1"})))] == [board.id]
        (wall,) = links.walls(db)
    operator = province.signed_in("operator")
    assert operator.post(f"/admin/links/walls/{board.id}/revoke").status_code == 404
    assert operator.post(f"/admin/links/boards/{wall.id}/revoke").status_code == 404


def test_whoever_guesses_waits_and_a_wall_does_not(province: Site):
    path, visitor = make(province), province.visitor()
    tried = [visitor.get(f"/wall/{number:043}").status_code for number in range(guessing.FREE_BY_ADDRESS + 1)]

    assert tried == [404] * guessing.FREE_BY_ADDRESS + [429]
    assert visitor.get(path).status_code == 200


def test_a_removed_district_takes_its_walls_along(province: Site):
    path = make(province, "ahfir")
    now = province.clock.now()
    with writing(province.engine) as db:
        there = db.get(Annex, "berkane-2")
        assert there is not None
        there.district_id = ""
        db.flush()
        tending.remove_district(db, Hand(1, "amina", "session", WHOLE), "ahfir", now=now)
        districts.create(db, "ahfir", name_fr="Ahfir", name_ar="أحفير", now=now)

    assert province.visitor().get(path).status_code == 404


def test_who_is_confined_to_annexes_is_offered_none(province: Site):
    make(province)

    assert "/admin/links/walls" in province.signed_in("operator").get("/admin/links").text
    assert "/admin/links/walls" not in province.signed_in("operator", annex="berkane-1").get("/admin/links").text
    assert "/admin/links/walls" not in province.signed_in("operator").get("/admin/links?q=berkane").text


def test_what_is_wrong_is_said(province: Site):
    operator = province.signed_in("operator")

    assert operator.post("/admin/links/walls", data={"label": "hall", "district": "nowhere"}).status_code == 404
    assert operator.post("/admin/links/walls", data={"label": "  "}).status_code == 422


def test_the_api_makes_lists_and_revokes(province: Site):
    operator = province.signed_in("operator")
    wanted = {"label": "hall", "district": "ahfir"}

    made = operator.post("/api/v1/walls", json=wanted, headers={"Idempotency-Key": "k"}).json()
    again = operator.post("/api/v1/walls", json=wanted, headers={"Idempotency-Key": "k"}).json()

    assert again == made
    assert [(w["district"], w["url"]) for w in operator.get("/api/v1/walls").json()["items"]] == [("ahfir", None)]
    path = made["url"].removeprefix("http://testserver")
    assert province.visitor().get(path).status_code == 200
    assert operator.delete(f"/api/v1/walls/{made['id']}").status_code == 204
    assert province.visitor().get(path).status_code == 404


def test_walls_are_kept_on_both_databases_and_are_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(links, "MOST_WALLS", 1)
    now = datetime(2026, 11, 26, 9, tzinfo=UTC)
    with writing(engine) as db:
        wall = links.add_wall(db, "", digest="d" * 64, label=" the  hall ", by="x", now=now)
        with pytest.raises(TooManyWalls):
            links.add_wall(db, "", digest="e" * 64, label="hall", by="x", now=now)
    with writing(engine) as db:
        assert links.wall_of(db, "d" * 64) == wall
        assert links.board_of(db, "d" * 64) is None
        assert wall.label == "the hall"
        assert links.still_good(db, [wall.id]) == {wall.id}
        assert links.revoke_wall(db, wall.id, now=now)[1]
        assert not links.revoke_wall(db, wall.id, now=now)[1]
        links.add_wall(db, "", digest="e" * 64, label="hall", by="x", now=now)
