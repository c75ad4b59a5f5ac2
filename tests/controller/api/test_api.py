from datetime import timedelta

import pytest
from sqlalchemy import func, select
from tests.controller.fleet import add_annex, device_id
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_agent.protocol import enrolment
from annexfleet_agent.protocol.messages import Summary
from annexfleet_controller.access import users
from annexfleet_controller.store import figures
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Token
from annexfleet_controller.store.tables.people import IdempotentAnswer


@pytest.fixture
def seeded(site: Site) -> Site:
    places.province(site.engine, now=site.clock.now(), past_days=0.1)
    return site


def all_pages(client, address: str, limit: int) -> list[dict]:
    items, cursor = [], ""
    while True:
        page = client.get(f"{address}limit={limit}&cursor={cursor}").json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = page["next"]


@pytest.mark.parametrize("noun", ["annexes", "devices", "printers", "queues"])
def test_page_by_page_everything_comes_once(seeded: Site, noun: str):
    client = seeded.signed_in()
    whole = client.get(f"/api/v1/{noun}?limit=500").json()["items"]

    assert all_pages(client, f"/api/v1/{noun}?", 2) == whole
    assert len({item["id"] for item in whole}) == len(whole) > 1


def test_changes_page_by_page(seeded: Site):
    client = seeded.signed_in()
    address = f"/api/v1/devices/{device_id(1)}/changes?"

    whole = client.get(address + "limit=100").json()["items"]

    assert all_pages(client, address, 3) == whole
    assert [item["at"] for item in whole] == sorted((item["at"] for item in whole), reverse=True)
    assert whole[0]["because"]


@pytest.mark.parametrize("cursor", ["x", "W10", "WyJhIl0", "é", "////", "eyJhIjoxfQ"])
@pytest.mark.parametrize("address", ["devices", f"devices/{device_id(1)}/changes"])
def test_a_cursor_that_is_not_ours_is_refused(seeded: Site, address: str, cursor: str):
    answer = seeded.signed_in().get(f"/api/v1/{address}", params={"cursor": cursor})

    assert answer.status_code == 422
    assert answer.json()["field"] == "cursor"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("annex=berkane-2", 10),
        ("presence=silent", 2),
        ("presence=never", 1),
        ("presence=online", 26),
        ("presence=revoked", 0),
        ("role=tablet", 4),
        ("search=guichet-29", 1),
        ("search=GUICHET-29", 1),
        ("search=7CXK0003", 1),
        ("search=%25", 0),
        ("search=_", 0),
        ("annex=berkane-1&presence=silent&role=kiosk", 1),
    ],
)
def test_devices_are_found_by_what_one_knows(seeded: Site, query: str, expected: int):
    assert len(seeded.signed_in().get(f"/api/v1/devices?limit=500&{query}").json()["items"]) == expected


def test_a_device_with_all_that_it_told(seeded: Site):
    device = seeded.signed_in().get(f"/api/v1/devices/{device_id(1)}").json()

    readings = {(r["subject"], r["metric"]): r["value"] for r in device["readings"]}
    assert device["presence"] == "online"
    assert readings["disk:/", "disk_used_ratio"] == 0.91
    assert readings["", "units_failed"] == ["apt-daily.service"]
    missing = {(m["subject"], m["metric"]): m["problem"] for m in device["missing"]}
    assert missing == {("", "*"): "unsupported", ("disk:/", "disk_wear_ratio"): "unsupported"}


def test_printers_in_trouble_and_each_once(seeded: Site):
    client = seeded.signed_in()

    troubled = client.get("/api/v1/printers?in_trouble=true").json()["items"]
    calm = client.get("/api/v1/printers?in_trouble=false").json()["items"]

    assert {p["name"] for p in troubled} == {"guichet-hp", "accueil-kyocera"}
    assert [p["name"] for p in calm] == ["guichet-canon"]
    shared = next(p for p in troubled if p["address"] == "192.0.2.20:631")
    assert shared["seen_by"] == [device_id(1), device_id(2)]


def test_an_unknown_number_is_null_and_not_zero(seeded: Site):
    (queue,) = seeded.signed_in().get("/api/v1/queues?search=legalisation").json()["items"]

    assert queue["waiting"] is None
    assert queue["counters_open"] == 3


def test_a_series_has_a_gap_where_the_device_was_silent(site: Site):
    now = site.clock.now()
    add_annex(site.engine)
    with writing(site.engine) as db:
        places.device(db, 1, "berkane-1", now=now)
        for minutes in (60, 55, 50, 10, 5):
            at = now - timedelta(minutes=minutes)
            places.beat(db, 1, {"": {"cpu_used_ratio": Summary(0.3, 0.1, 0.2, 0.6)}}, at=at)

    series = site.signed_in().get(f"/api/v1/devices/{device_id(1)}/series?metric=cpu_used_ratio").json()

    assert {len(series[name]) for name in ("at", "values", "mins", "maxs")} == {len(series["at"])}
    assert [value for value in series["values"] if value is not None] == [0.2] * 5
    assert None in series["values"]
    assert 0 not in series["values"]


@pytest.mark.parametrize("subject", ['disk:/media/"key"', "disk:\\\\share", "disk:/\n", "disk:/été", "disk:/ملف"])
def test_a_series_of_whatever_a_device_calls_its_things(site: Site, subject: str):
    now = site.clock.now()
    add_annex(site.engine)
    with writing(site.engine) as db:
        places.device(db, 1, "berkane-1", now=now)
        places.beat(db, 1, {subject: {"disk_used_ratio": 0.25}, "disk:/": {"disk_used_ratio": 0.5}}, at=now)
    query = {"metric": "disk_used_ratio", "subject": subject}

    series = site.signed_in().get(f"/api/v1/devices/{device_id(1)}/series", params=query).json()

    assert series["values"] == [0.25]


@pytest.mark.parametrize(
    "query",
    ["", "metric=cpu_used_ratio&since=yesterday", "metric=cpu_used_ratio&since=2026-01-01T00:00:00",
     "metric=cpu_used_ratio&since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_series_asked_wrongly_is_a_problem(seeded: Site, query: str):
    answer = seeded.signed_in().get(f"/api/v1/devices/{device_id(1)}/series?{query}")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("language", "title"),
    [("fr", "Cet appareil n’existe pas ou se trouve hors de vos annexes."),
     ("ar", "هذا الجهاز غير موجود أو خارج ملحقاتكم.")],
)  # fmt: skip
def test_a_problem_has_a_code_and_a_title_in_ones_language(site: Site, language: str, title: str):
    answer = site.signed_in().get("/api/v1/devices/d-nobody", headers={"Accept-Language": language})

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:annexfleet:problem:device_unknown", "title": title, "status": 404, "code": "device_unknown",
    }  # fmt: skip


def test_what_is_no_route_is_a_problem_too(site: Site):
    client = site.signed_in()

    assert client.get("/api/v1/nothing").json()["code"] == "not_found"
    assert client.put("/api/v1/annexes").json()["code"] == "method_not_allowed"


def test_a_body_that_is_too_big_is_refused_before_it_is_read(site: Site):
    answer = site.signed_in().post(
        "/api/v1/annexes", content=b"x" * 70_000, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 413


def tokens(site: Site) -> int:
    with reading(site.engine) as db:
        return db.scalar(select(func.count()).select_from(Token)) or 0


def test_a_token_is_made_once_though_it_is_asked_for_twice(site: Site):
    add_annex(site.engine)
    client = site.with_authority().signed_in("operator")
    key = {"Idempotency-Key": "7f1c"}

    first = client.post("/api/v1/tokens", json={"annex": "berkane-1", "devices": 2}, headers=key)
    again = client.post("/api/v1/tokens", json={"annex": "berkane-1", "devices": 2}, headers=key)
    other = client.post("/api/v1/tokens", json={"annex": "berkane-1", "devices": 3}, headers=key)

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert other.json()["code"] == "idempotency_key_reused"
    assert tokens(site) == 1
    assert enrolment.decode_token(first.json()["text"]).id == first.json()["id"]


def test_a_kept_answer_opens_for_its_caller_only_and_for_a_day(site: Site):
    add_annex(site.engine)
    client = site.with_authority().signed_in("operator", name="clerk")
    key = {"Idempotency-Key": "7f1c"}
    body = {"annex": "berkane-1"}
    text = client.post("/api/v1/tokens", json=body, headers=key).json()["text"]

    with reading(site.engine) as db:
        assert text.encode() not in db.scalars(select(IdempotentAnswer.sealed)).one()
    elsewhere = site.signed_in("operator", name="clerk")
    assert elsewhere.post("/api/v1/tokens", json=body, headers=key).status_code == 409
    assert site.signed_in("operator", name="yassine").post("/api/v1/tokens", json=body, headers=key).status_code == 201
    site.clock.turn(hours=25)
    next_day = site.signed_in("operator", name="clerk").post("/api/v1/tokens", json=body, headers=key)
    assert next_day.status_code == 201
    assert tokens(site) == 3


def test_a_request_that_failed_may_be_repeated_with_its_key(site: Site):
    client = site.with_authority().signed_in("operator")
    key = {"Idempotency-Key": "7f1c"}
    assert client.post("/api/v1/tokens", json={"annex": "berkane-1"}, headers=key).status_code == 404

    add_annex(site.engine)

    assert client.post("/api/v1/tokens", json={"annex": "berkane-1"}, headers=key).status_code == 201


def test_a_token_lists_without_its_secret_and_is_revoked(site: Site):
    add_annex(site.engine)
    client = site.with_authority().signed_in("operator")
    made = client.post("/api/v1/tokens", json={"annex": "berkane-1"}).json()

    assert client.delete(f"/api/v1/tokens/{made['id']}").status_code == 204

    (listed,) = client.get("/api/v1/tokens").json()["items"]
    assert listed["text"] is None
    assert listed["revoked_at"] is not None
    assert site.signed_in("operator", annex="berkane-1").get("/api/v1/tokens").json()["items"] == [listed]


@pytest.mark.parametrize(
    "wrong", [{}, {"annex": ""}, {"devices": 0}, {"devices": 501}, {"hours": 0}, {"hours": 999}, {"role": "x"}]
)
def test_a_token_that_must_not_be_is_refused(site: Site, wrong: dict):
    add_annex(site.engine)
    body = {"annex": "berkane-1", **wrong} if wrong else {}

    answer = site.with_authority().signed_in("operator").post("/api/v1/tokens", json=body)

    assert answer.status_code == (404 if wrong == {"annex": ""} else 422)


def test_an_annex_is_created_by_a_program(site: Site):
    site.person("clerk", "operator")
    site.signed_in(name="clerk")
    key = users.create_key(site.engine, "clerk", "sync", now=site.clock.now())
    bearer = {"Authorization": f"Bearer {key}"}
    body = {"id": "berkane-7", "name_fr": "Annexe 7", "name_ar": "الملحقة 7"}

    made = site.visitor().post("/api/v1/annexes", json=body, headers=bearer)
    again = site.visitor().post("/api/v1/annexes", json=body, headers=bearer)
    wrong = site.visitor().post("/api/v1/annexes", json={**body, "id": "b-8", "time_zone": "Mars"}, headers=bearer)

    assert made.status_code == 201
    assert made.json()["devices"] == {"online": 0, "silent": 0, "never": 0}
    assert again.json()["code"] == "annex_exists"
    assert wrong.json()["field"] == "time_zone"


def test_the_description_has_every_route_of_the_api_with_examples(site: Site):
    described = site.signed_in("staff").get("/api/v1/openapi.json").json()

    routes = {route.path for route in site.app.routes if getattr(route, "path", "")} | set(described["paths"])
    assert {path for path in described["paths"] if path.startswith("/api/")} >= {
        f"/api/v1/{noun}" for noun in ("annexes", "devices", "printers", "queues", "tokens", "events")
    }
    assert "/" not in described["paths"]
    assert routes
    for name in ("AnnexOut", "DeviceOut", "PrinterOut", "QueueOut", "NewToken", "SeriesOut", "Problem"):
        assert described["components"]["schemas"][name]["examples"]


def test_figures_for_prometheus(seeded: Site):
    with writing(seeded.engine) as db:
        figures.add(db, {"ingest_items": 12}, now=seeded.clock.now())

    text = seeded.signed_in("technician").get("/metrics").text

    assert 'annexfleet_devices{annex="berkane-1",presence="silent"} 2.0' in text
    assert "annexfleet_set_aside 2.0" in text
    assert "annexfleet_ingest_items 12.0" in text


def test_ready_means_migrated_and_that_ingest_lives(site: Site):
    assert site.visitor().get("/healthz").status_code == 200
    assert site.visitor().get("/readyz").json()["checks"] == {"database": True, "migrated": True, "ingest": False}
    with writing(site.engine) as db:
        figures.put(db, {"ingest_alive_at_seconds": 1}, now=site.clock.now())

    assert site.visitor().get("/readyz").status_code == 200
    site.clock.turn(minutes=5)
    assert site.visitor().get("/readyz").status_code == 503
