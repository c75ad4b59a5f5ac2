"""Opening hours over the API: read, decided, refused with the place and the reason."""

from datetime import UTC, datetime

import pytest
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.store.database import writing

WEDNESDAY = datetime(2026, 11, 25, 10, tzinfo=UTC)
MORNINGS = {"week": {"monday": [["08:30", "12:00"]], "wednesday": [["08:30", "12:00"]]}}
ONE = "/api/v1/calendars/berkane-1"
HOLIDAYS = "/api/v1/calendars/holidays"
RAMADAN = "/api/v1/calendars/ramadan"


@pytest.fixture
def place(site: Site) -> Site:
    site.clock.at = WEDNESDAY
    with writing(site.engine) as db:
        for number in (1, 2, 3):
            places.annex(db, number, WEDNESDAY)
    return site


def test_an_annex_that_decided_nothing(place: Site):
    found = place.signed_in("staff").get(ONE).json()

    assert (found["annex"], found["is_own"], found["version"]) == ("berkane-1", False, 0)
    assert found["document"] == {"week": None, "ramadan": None, "exceptions": [], "closed_on_holidays": None}
    hours = found["hours"]
    assert hours["week"]["monday"] == [["08:30", "16:30"]]
    assert hours["ramadan"]["monday"] == [["09:00", "15:00"]]
    assert "saturday" not in hours["week"]
    assert (hours["is_open"], hours["opens_at"], hours["closes_at"]) == (True, None, "2026-11-25T16:30:00Z")


def test_an_annex_decides_and_takes_it_back(place: Site):
    client = place.signed_in("operator", annex="berkane-1")

    put = client.put(ONE, json={"version": 0, "document": MORNINGS})
    place.clock.at = WEDNESDAY.replace(hour=12)
    client = place.signed_in("operator", annex="berkane-1")
    decided = client.get(ONE).json()
    gone = client.delete(ONE)

    assert put.status_code == 200
    assert put.json()["version"] == decided["version"] == 1
    assert decided["document"]["week"] == MORNINGS["week"]
    assert decided["updated_by"] == "operator-berkane-1"
    assert not decided["hours"]["is_open"]
    assert decided["hours"]["opens_at"] == "2026-11-30T08:30:00Z"
    assert gone.status_code == 204
    assert (client.get(ONE).json()["is_own"], client.get(ONE).json()["version"]) == (False, 2)


def test_what_one_reads_can_be_written_back(place: Site):
    client = place.signed_in()
    document = {
        **MORNINGS, "ramadan": {}, "closed_on_holidays": False,
        "exceptions": [{"date": "2026-12-24", "closed": True, "name": "inventaire"}],
    }  # fmt: skip
    client.put(ONE, json={"version": 0, "document": document})

    read = client.get(ONE).json()
    again = client.put(ONE, json={"version": read["version"], "document": read["document"]})

    assert again.json()["document"] == read["document"] == document


def test_the_province_decides_for_who_did_not(place: Site):
    client = place.signed_in()
    client.put("/api/v1/calendars/berkane-2", json={"version": 0, "document": {"week": {}}})

    client.put("/api/v1/calendars/province", json={"version": 0, "document": MORNINGS})

    weeks = [item["hours"]["week"] for item in client.get("/api/v1/calendars").json()["items"]]
    assert weeks == [MORNINGS["week"], {}, MORNINGS["week"]]
    assert client.get("/api/v1/calendars/province").json()["document"]["week"] == MORNINGS["week"]


def test_page_by_page(place: Site):
    client = place.signed_in("staff")

    first = client.get("/api/v1/calendars?limit=2").json()
    second = client.get("/api/v1/calendars", params={"limit": 2, "cursor": first["next"]}).json()

    assert [item["annex"] for item in first["items"] + second["items"]] == ["berkane-1", "berkane-2", "berkane-3"]
    assert second["next"] is None


def test_others_annexes_are_out_of_sight(place: Site):
    client = place.signed_in("operator", annex="berkane-2")

    assert [item["annex"] for item in client.get("/api/v1/calendars").json()["items"]] == ["berkane-2"]
    assert client.get(ONE).status_code == 404
    assert client.put(ONE, json={"version": 0, "document": {}}).status_code == 404
    assert client.delete(ONE).status_code == 404


def test_two_people_at_once(place: Site):
    client = place.signed_in()
    client.put(ONE, json={"version": 0, "document": MORNINGS})

    late = client.put(ONE, json={"version": 0, "document": {"week": {}}})

    assert (late.status_code, late.json()["code"]) == (409, "calendar_changed")
    assert client.get(ONE).json()["document"]["week"] == MORNINGS["week"]


@pytest.mark.parametrize(
    ("document", "field", "reason"),
    [
        ({"week": {"monday": [["12:00", "08:30"]]}}, "week.monday", "ends_before_it_begins"),
        ({"week": {"maandag": []}}, "week.maandag", "unknown_field"),
        ({"exceptions": [{"date": "2026-02-30", "closed": True}]}, "exceptions.0.date", "not_a_date"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(place: Site, document, field, reason):
    answer = place.signed_in().put(ONE, json={"version": 0, "document": document})

    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["code"], problem["field"], problem["reason"]) == ("calendar_wrong", field, reason)


@pytest.mark.parametrize(
    "body", [{}, {"version": -1, "document": {}}, {"version": 2**40, "document": {}}, {"version": 0, "document": []}]
)
def test_a_body_of_another_form_is_refused(place: Site, body):
    assert place.signed_in().put(ONE, json=body).status_code == 422


# -- holidays and Ramadan


def test_holidays_of_a_year(place: Site):
    client = place.signed_in()
    before = client.get(HOLIDAYS, params={"year": 2027}).json()

    entered = client.post(HOLIDAYS, json={"name": "eid_al_fitr", "date": "2027-03-10"})
    client.post(HOLIDAYS, json={"name": "Moussem", "date": "2027-07-02"})
    after = client.get(HOLIDAYS, params={"year": 2027}).json()

    assert len(before["items"]) == 11
    assert all(item["fixed"] for item in before["items"])
    assert [one["name"] for one in before["missing"]] == [
        "ramadan", "eid_al_fitr", "eid_al_adha", "hijri_new_year", "mawlid",
    ]  # fmt: skip
    assert before["missing"][1]["expected"] == "2027-03-10"
    assert entered.status_code == 201
    assert [item["date"] for item in entered.json()["items"]] == ["2027-03-10", "2027-03-11"]
    new = [(item["date"], item["name"], item["religious"]) for item in after["items"] if not item["fixed"]]
    assert new == [
        ("2027-03-10", "eid_al_fitr", True), ("2027-03-11", "eid_al_fitr", True), ("2027-07-02", "Moussem", False),
    ]  # fmt: skip
    assert "eid_al_fitr" not in [one["name"] for one in after["missing"]]


def test_a_holiday_is_taken_back(place: Site):
    client = place.signed_in()
    client.post(HOLIDAYS, json={"name": "Moussem / ⵣ", "date": "2027-07-02"})

    gone = client.delete(f"{HOLIDAYS}/2027-07-02", params={"name": "Moussem / ⵣ"})
    again = client.delete(f"{HOLIDAYS}/2027-07-02", params={"name": "Moussem / ⵣ"})

    assert (gone.status_code, again.status_code, again.json()["code"]) == (204, 404, "holiday_unknown")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "eid_al_fitr", "date": "2027-06-10"},
        {"name": " ", "date": "2027-06-10"},
        {"name": "a\0", "date": "2027-06-10"},
        {"name": "x" * 101, "date": "2027-06-10"},
        {"name": "Moussem", "date": "1026-06-10"},
        {"name": "Moussem", "date": "soon"},
    ],
)
def test_an_unlikely_holiday_is_refused(place: Site, body):
    assert place.signed_in().post(HOLIDAYS, json=body).status_code == 422


def test_ramadan_is_confirmed_when_it_is_announced(place: Site):
    client = place.signed_in()
    expected = {one["hijri_year"]: one for one in client.get(RAMADAN).json()["items"]}[1448]

    put = client.put(RAMADAN, json={"first_day": "2027-02-09", "last_day": "2027-03-10", "confirmed": True})
    found = {one["hijri_year"]: one for one in client.get(RAMADAN).json()["items"]}[1448]

    assert (expected["confirmed"], expected["entered_by"]) == (False, "")
    assert put.json() == found
    assert (found["first_day"], found["confirmed"], found["entered_by"]) == ("2027-02-09", True, "admin-province")
    assert client.delete(f"{RAMADAN}/1448").status_code == 204
    assert client.delete(f"{RAMADAN}/1448").status_code == 404


def test_a_ramadan_of_28_days_is_refused(place: Site):
    body = {"first_day": "2027-02-09", "last_day": "2027-03-08", "confirmed": True}

    problem = place.signed_in().put(RAMADAN, json=body).json()

    assert (problem["field"], problem["reason"]) == ("last_day", "not_29_or_30_days")
