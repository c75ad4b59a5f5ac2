"""Boards and labels are made, printed and taken back."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.jammed import Annex
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.access.address import address
from annexfleet_controller.store import annexes, audit, links, people
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.places import BoardLink


@pytest.fixture
def jam(site: Site) -> Annex:
    return Annex(site.engine, now=site.clock.now())


def make(site: Site, label: str = "hall"):
    return site.signed_in("operator").post("/admin/links/boards", data={"annex": "berkane-1", "label": label})


def acts(site: Site) -> list[str]:
    with reading(site.engine) as db:
        return [entry.act for entry in audit.entries(db, WHOLE)]


def test_a_board_is_shown_once_with_its_code_and_opens(site: Site, jam: Annex):
    made = make(site)
    address_shown = re.search(r"http://testserver(/board/[\w-]+)", made.text)

    assert made.status_code == 201
    assert address_shown is not None
    assert '<svg class="qr"' in made.text or 'class="qr"' in made.text
    assert site.visitor().get(address_shown[1]).status_code == 200
    secret = address_shown[1].removeprefix("/board/")
    assert len(secret) >= 43
    assert secret not in site.signed_in("operator").get("/admin/links?annex=berkane-1").text
    with reading(site.engine) as db:
        assert secret not in str([row.digest for row in db.query(BoardLink)])
    assert acts(site) == ["board.create"]


def test_a_revoked_board_opens_nothing(site: Site, jam: Annex):
    path = re.search(r"/board/[\w-]+", make(site).text)
    assert path is not None
    with reading(site.engine) as db:
        (board,) = links.boards(db, WHOLE)

    answer = site.signed_in("operator").post(f"/admin/links/boards/{board.id}/revoke")
    site.signed_in("operator").post(f"/admin/links/boards/{board.id}/revoke")

    assert answer.headers["location"] == "/admin/links?annex=berkane-1"
    assert site.visitor().get(path[0]).status_code == 404
    assert acts(site) == ["board.revoke", "board.create"]


def test_labels_are_made_placed_renewed_and_printed(site: Site, jam: Annex):
    operator = site.signed_in("operator")
    form = {"annex": "berkane-1", "printer": jam.printer.id}

    assert operator.post("/admin/links/labels/all", data=form).headers["location"] == "/admin/labels?annex=berkane-1"
    with reading(site.engine) as db:
        first = links.labels(db, WHOLE, "berkane-1")[jam.printer.id]
    operator.post("/admin/links/labels", data=form | {"do": "place", "place": " Guichet  2 "})
    operator.post("/admin/links/labels", data=form | {"do": "renew"})
    with reading(site.engine) as db:
        after = links.labels(db, WHOLE, "berkane-1")[jam.printer.id]

    assert (first.place, after.place) == ("", "Guichet 2")
    assert re.fullmatch("[a-hj-km-np-z2-9]{10}", after.code)
    assert site.visitor().get(f"/p/{first.code}").status_code == 404
    assert site.visitor().get(f"/p/{after.code}").status_code == 200
    sheet = operator.get("/admin/labels?annex=berkane-1").text
    assert f"{after.code[:5]}-{after.code[5:]}" in sheet
    assert "Scannez ce code" in sheet
    assert "المرجو مسح هذا الرمز" in sheet
    assert acts(site) == ["label.make", "label.place", "label.make"]


def test_a_printer_of_another_annex_gets_no_label(site: Site, jam: Annex):
    with writing(site.engine) as db:
        places.annex(db, 2, site.clock.now())
    form = {"annex": "berkane-2", "printer": jam.printer.id}

    assert site.signed_in("operator").post("/admin/links/labels", data=form).status_code == 404


def test_an_address_of_this_machine_alone_is_said(sqlite_engine: Engine, tmp_path: Path):
    site = Site(sqlite_engine, tmp_path, public_url="http://localhost:8080")
    assert "public_url" in site.signed_in("operator").get("/admin/links").text

    assert address("http://127.0.0.1:8080/").only_here
    assert address("http://[::1]:8080").only_here
    assert not address("https://fleet.example.ma").only_here
    assert address("https://fleet.example.ma/").of("/p/x") == "https://fleet.example.ma/p/x"


def test_the_list_is_paged_and_searched(site: Site):
    with writing(site.engine) as db:
        for number in range(1, 65):
            places.annex(db, number, site.clock.now())
    operator = site.signed_in("operator")

    first = operator.get("/admin/links").text
    assert first.count("/admin/links?annex=") == 60
    assert "after=berkane-" in first
    assert operator.get("/admin/links?q=berkane-64").text.count("/admin/links?annex=") == 1
    assert "No annex is called so." in operator.get("/admin/links?q=nowhere").text


def test_so_many_boards_and_no_more(site: Site, jam: Annex, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(links, "MOST_OF_AN_ANNEX", 1)
    assert make(site).status_code == 201
    assert make(site, "counter").status_code == 409
    assert make(site, "  ").status_code in {409, 422}


def test_the_api_makes_lists_and_revokes(site: Site, jam: Annex):
    operator = site.signed_in("operator")
    base = "/api/v1/annexes/berkane-1/links"

    made = operator.post(base, json={"label": "hall"}, headers={"Idempotency-Key": "k"}).json()
    again = operator.post(base, json={"label": "hall"}, headers={"Idempotency-Key": "k"}).json()
    listed = operator.get(base).json()["items"]

    assert again == made
    assert [(one["label"], one["url"]) for one in listed] == [("hall", None)]
    path = made["url"].removeprefix("http://testserver")
    assert site.visitor().get(path).status_code == 200
    assert operator.delete(f"{base}/{made['id']}").status_code == 204
    assert site.visitor().get(path).status_code == 404
    with writing(site.engine) as db:
        places.annex(db, 2, site.clock.now())
    assert operator.delete(f"/api/v1/annexes/berkane-2/links/{made['id']}").status_code == 404


def test_links_are_kept_on_both_databases(engine: Engine, tmp_path: Path):
    site = Site(engine, tmp_path)
    now = site.clock.now()
    with writing(engine) as db:
        places.annex(db, 1, now)
        board = links.add_board(db, WHOLE, "berkane-1", digest="d" * 64, label="hall", by="x", now=now)
        label, _ = links.put_label(db, WHOLE, "berkane-1", "a" * 24, place="hall", now=now)
        people.add_failure(db, name="link guessed", address="link 10.0.0.1", now=now)
    with writing(engine) as db:
        assert links.board_of(db, "d" * 64) == board
        assert links.label_of(db, f" {label.code[:5].upper()}-{label.code[5:]}") == label
        assert links.counts(db, WHOLE, ["berkane-1"]) == {"berkane-1": links.Counts(1, 1)}
        assert links.still_good(db, [board.id]) == {board.id}
        assert links.revoke_board(db, WHOLE, board.id, now=now)[1]
        assert links.still_good(db, [board.id]) == set()


def test_another_annex_that_labels_a_printer_gets_a_code_of_its_own(site: Site, jam: Annex):
    now = site.clock.now()
    with writing(site.engine) as db:
        places.annex(db, 2, now)
        old, _ = links.put_label(db, WHOLE, "berkane-1", "a" * 24, place="hall", now=now)
        new, is_new = links.put_label(db, WHOLE, "berkane-2", "a" * 24, now=now)

    assert is_new
    assert (new.annex_id, new.place) == ("berkane-2", "")
    assert site.visitor().get(f"/p/{old.code}").status_code == 404
    assert site.visitor().get(f"/p/{new.code}").status_code == 200


def test_codes_of_a_closed_annex_open_nothing(site: Site, jam: Annex):
    with writing(site.engine) as db:
        label, _ = links.put_label(db, WHOLE, "berkane-1", jam.printer.id, now=site.clock.now())
        place = annexes.get(db, WHOLE, "berkane-1")
        annexes.change(db, place, version=place.version, retired_at=site.clock.now())

    answer = site.visitor().get(f"/p/{label.code}")

    assert answer.status_code == 404
    assert "This link opens nothing" in answer.text
