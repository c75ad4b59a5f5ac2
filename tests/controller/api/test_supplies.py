"""The plan of supplies over the API: for programs and for spreadsheets."""

import csv
import io
from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session
from tests.controller.site import Site
from tests.controller.supplies.past import NOW, falling, series
from tests.controller.web import places

from annexfleet_controller.store import supplies
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.alerts import IncidentAnnex, IncidentRow
from annexfleet_controller.things import SupplyDay


@pytest.fixture
def stocked(site: Site) -> Site:
    """Annex 1 soon needs a CF259A and has a broken printer; annex 2 needs one of another make."""
    site.clock.at = NOW
    now = site.clock.now()
    today = now.date()
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, now)
        supplies.note(db, falling(8, until=today))
        brother = {"supply": "TN-2410", "printer_model": "Brother HL-L2350DW"}
        supplies.note(db, falling(3, until=today, annex_id="berkane-2", printer_id="b" * 24, **brother))
        supplies.note(db, series([None] * 5, until=today, printer_id="c" * 24))
        incident(db, "berkane-1", "fuser_fault", now - timedelta(hours=2))
        incident(db, "berkane-2", "paper_empty", now)
    return site


def incident(db: Session, annex_id: str, cause: str, at: datetime) -> None:
    row = IncidentRow(
        key=cause, kind="printer", cause=cause, annex_id=annex_id, thing_kind="printer", thing_id="x", state="open",
        severity="critical", facts='{"printer": "guichet-hp"}', began_at=at, opened_at=at,
    )  # fmt: skip
    db.add(row)
    db.flush()
    db.add(IncidentAnnex(incident_id=row.id, annex_id=annex_id))


def note(site: Site, rows: list[SupplyDay]) -> None:
    with writing(site.engine) as db:
        supplies.note(db, rows)


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_supplies_by_page_and_state(stocked: Site):
    client = stocked.signed_in("staff")

    first = client.get("/api/v1/supplies?limit=2").json()
    second = client.get(f"/api/v1/supplies?limit=2&cursor={first['next']}").json()

    names = [(item["printer"][0], item["state"], item["why"]) for item in first["items"] + second["items"]]
    assert names == [("a", "soon", ""), ("b", "urgent", ""), ("c", "unknown", "no_level")]
    assert second["next"] is None
    item = first["items"][0]
    assert item["part"]["key"] == "cf259a"
    assert item["days_left"]["earliest"] <= item["days_left"]["estimate"] <= item["days_left"]["latest"]
    assert item["days_left"]["confidence"] == 0.9
    assert second["items"][0]["days_left"] is None
    assert [i["printer"][0] for i in client.get("/api/v1/supplies?state=urgent").json()["items"]] == ["b"]
    assert client.get("/api/v1/supplies?annex=berkane-2").json()["items"][0]["annex"] == "berkane-2"
    assert client.get("/api/v1/supplies?state=late").status_code == 422
    assert client.get("/api/v1/supplies?cursor=x").status_code == 422


def test_the_order_list_takes_the_shelf_into_account(stocked: Site):
    client = stocked.signed_in("technician")
    assert client.put("/api/v1/supplies/stock/cf259a", json={"quantity": 4}).json()["quantity"] == 4

    items = client.get("/api/v1/supplies/orders").json()["items"]

    assert [(i["part"]["key"], i["needed"], i["stock"], i["quantity"]) for i in items] == [
        ("tn-2410", 1, 0, 1),
        ("cf259a", 1, 4, 0),
    ]


def test_who_sees_some_annexes_sees_their_needs_and_no_shelf(stocked: Site):
    stocked.signed_in("technician").put("/api/v1/supplies/stock/cf259a", json={"quantity": 4})
    client = stocked.signed_in("technician", annex="berkane-1")

    items = client.get("/api/v1/supplies/orders").json()["items"]

    assert [(i["part"]["key"], i["stock"], i["quantity"]) for i in items] == [("cf259a", None, 1)]
    assert [v["annex"] for v in client.get("/api/v1/supplies/visits").json()["items"]] == ["berkane-1"]
    assert [i["printer"][0] for i in client.get("/api/v1/supplies").json()["items"]] == ["a", "c"]
    assert "berkane-2" not in client.get("/api/v1/supplies/visits.csv").text
    assert client.get("/api/v1/supplies?annex=berkane-2").json()["items"] == []


def test_the_visit_list_names_troubles_and_parts(stocked: Site):
    items = stocked.signed_in().get("/api/v1/supplies/visits").json()["items"]

    assert [v["annex"] for v in items] == ["berkane-1", "berkane-2"]
    assert [(t["thing"], t["cause"]) for t in items[0]["troubles"]] == [("guichet-hp", "fuser_fault")]
    # Out of paper is for the staff.
    assert items[1]["troubles"] == []
    assert [(p["part"]["key"], p["count"]) for v in items for p in v["parts"]] == [("cf259a", 1), ("tn-2410", 1)]


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [
        ("cf259a", {"quantity": 0}, 200),
        ("cf259a", {"quantity": -1}, 422),
        ("cf259a", {"quantity": 10_000}, 422),
        ("cf259a", {"quantity": "many"}, 422),
        ("cf259a", {}, 422),
        ("nobody-has-this", {"quantity": 1}, 404),
        ("x" * 201, {"quantity": 1}, 422),
    ],
)
def test_what_can_be_counted(stocked: Site, key: str, body: dict[str, object], status: int):
    answer = stocked.signed_in("technician").put(f"/api/v1/supplies/stock/{key}", json=body)

    assert answer.status_code == status
    if status == 404:
        assert answer.json()["code"] == "supply_unknown"


def test_a_spreadsheet_opens_it_in_the_reader_s_language(stocked: Site):
    client = stocked.signed_in()

    for code, first in (("fr", "Référence"), ("ar", "القطعة"), ("en", "Part")):
        client.post("/language", data={"code": code})
        answer = client.get("/api/v1/supplies/orders.csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"].startswith('attachment; filename="orders-')
        assert answer.content.startswith(b"\xef\xbb\xbf")
        header, *rows = read(answer.content.decode("utf-8-sig"))
        assert header[0] == first
        assert [row[0] for row in rows] == ["TN-2410", "CF259A"]
        assert all(len(row) == len(header) for row in rows)
    header, *rows = read(client.get("/api/v1/supplies/visits.csv").content.decode("utf-8-sig"))
    assert rows[0][:4] == ["1", "Annexe administrative 1", "Heating fault", "guichet-hp"]
    assert [row[4] for row in rows if row[4]] == ["CF259A", "TN-2410"]


def test_a_table_is_given_to_who_asks_for_one(stocked: Site):
    client = stocked.signed_in()

    for noun in ("orders", "visits"):
        path = f"/api/v1/supplies/{noun}"
        assert client.get(path, headers={"Accept": "text/csv"}).content == client.get(f"{path}.csv").content
        assert client.get(path, headers={"Accept": "text/html, */*"}).json()["horizon_opening_days"] == 30


@pytest.mark.parametrize("word", ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", " =1", "\t=1", "＝1", "\u202e=1"])
def test_a_device_s_word_is_never_a_formula(stocked: Site, word: str):
    today = stocked.clock.now().date()
    note(stocked, falling(2, until=today, printer_id="e" * 24, supply="x", printer_name=word, printer_model=word))

    for noun in ("orders", "visits"):
        text = stocked.signed_in().get(f"/api/v1/supplies/{noun}.csv").content.decode("utf-8-sig")
        cells = [cell.lstrip() for row in read(text) for cell in row]
        assert any(word.strip().lstrip("\u202e") in cell for cell in cells)
        assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "＝"))] == []
