import pytest
from tests.controller.fleet import add_annex
from tests.controller.site import Site

from annexfleet_controller.rules.defaults import default_rules
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.rules import RuleOverride

PATH = "/api/v1/rules"


@pytest.fixture
def ruled(site: Site) -> Site:
    add_annex(site.engine, "berkane-1")
    add_annex(site.engine, "berkane-2")
    return site


def rule(client, annex: str = "", rule_id: str = "disk.low") -> dict:
    items = client.get(f"{PATH}?annex={annex}").json()["items"]
    return next(item for item in items if item["id"] == rule_id)


def test_every_rule_with_what_it_counts(ruled: Site):
    page = ruled.signed_in("staff").get(PATH).json()

    assert [item["id"] for item in page["items"]] == list(default_rules())
    assert page["problems"] == []
    low = next(item for item in page["items"] if item["id"] == "disk.low")
    assert low["levels"]["used"] == {
        "metric": "disk_used_ratio", "comparison": "above", "where": "raise", "value": 0.85, "default": 0.85,
    }  # fmt: skip
    assert (low["for_s"], low["severity"], low["audience"], low["override"]) == (600, "warning", ["it"], None)


def test_a_change_counts_where_it_is_made(ruled: Site):
    client = ruled.signed_in("operator")

    made = client.put(f"{PATH}/disk.low?annex=berkane-1", json={"levels": {"used": 0.9}, "for_s": 60})

    assert made.status_code == 200
    assert made.json()["override"] == {"levels": {"used": 0.9}, "for_s": 60}
    here, elsewhere = rule(client, "berkane-1"), rule(client, "berkane-2")
    assert (here["levels"]["used"]["value"], here["levels"]["used"]["default"], here["for_s"]) == (0.9, 0.85, 60)
    assert (here["version"], here["updated_by"]) == (1, "operator-province")
    assert (elsewhere["levels"]["used"]["value"], elsewhere["version"]) == (0.85, 0)


@pytest.mark.parametrize(
    ("document", "field", "reason"),
    [
        ({"levels": {"used": 85}}, "levels.used", "out_of_range"),
        ({"levels": {"used_clear": 0.85}}, "levels.used_clear", "clear_not_below"),
        ({"levels": {"usage": 0.9}}, "levels.usage", "unknown_level"),
        ({"raise_when": {}}, "raise_when", "unknown_field"),
        ({"severity": "fatal"}, "severity", "unknown_severity"),
        ({"for_s": 1e9}, "for_s", "too_long"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(ruled: Site, document: dict, field: str, reason: str):
    client = ruled.signed_in("operator")

    answer = client.put(f"{PATH}/disk.low", json=document)

    assert answer.status_code == 422
    assert answer.json() | {"code": "rule_wrong", "field": field, "reason": reason} == answer.json()
    assert rule(client)["override"] is None


def test_bounds_are_told(ruled: Site):
    answer = ruled.signed_in("operator").put(f"{PATH}/disk.low", json={"levels": {"used": 85}}).json()

    assert (answer["low"], answer["high"]) == (0, 1)


def test_a_body_that_is_no_document(ruled: Site):
    client = ruled.signed_in("operator")

    for body in (b"", b"[]", b"{", b'"x"', b'{"levels": {"used": NaN}}'):
        answer = client.put(f"{PATH}/disk.low", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, body


def test_a_rule_or_an_annex_that_is_not_there(ruled: Site):
    client = ruled.signed_in("operator")

    assert client.put(f"{PATH}/disk.full", json={}).json()["code"] == "rule_unknown"
    assert client.delete(f"{PATH}/disk.full").status_code == 404
    assert client.get(f"{PATH}?annex=nowhere").status_code == 404
    assert client.put(f"{PATH}/disk.low?annex=nowhere", json={}).status_code == 404


def test_who_read_an_older_version_is_told(ruled: Site):
    client = ruled.signed_in("operator")
    client.put(f"{PATH}/disk.low?version=0", json={"for_s": 60})

    stale = client.put(f"{PATH}/disk.low?version=0", json={"for_s": 61})

    assert (stale.status_code, stale.json()["code"]) == (409, "rule_changed")
    assert client.delete(f"{PATH}/disk.low?version=7").status_code == 409
    assert rule(client)["for_s"] == 60


def test_a_change_is_taken_back(ruled: Site):
    client = ruled.signed_in("operator")
    client.put(f"{PATH}/disk.low", json={"enabled": False})
    assert rule(client)["enabled"] is False

    assert client.delete(f"{PATH}/disk.low").status_code == 204

    assert (rule(client)["enabled"], rule(client)["override"]) == (True, None)


def test_who_is_confined_to_an_annex_changes_rules_there_and_nowhere_else(ruled: Site):
    client = ruled.signed_in("operator", annex="berkane-1")

    assert client.put(f"{PATH}/disk.low?annex=berkane-1", json={"for_s": 60}).status_code == 200
    assert client.delete(f"{PATH}/disk.low?annex=berkane-1").status_code == 204
    assert client.put(f"{PATH}/disk.low?annex=berkane-2", json={"for_s": 60}).status_code == 404
    assert client.get(f"{PATH}?annex=berkane-2").status_code == 404
    assert client.put(f"{PATH}/disk.low", json={"for_s": 60}).status_code == 403


def test_what_is_stored_and_does_not_count_is_told(ruled: Site):
    with writing(ruled.engine) as db:
        db.add(
            RuleOverride(
                scope="berkane-2", rule_id="disk.low", document='{"levels": {"used": 7}}', version=1,
                updated_at=ruled.clock.now(), updated_by="x",
            )
        )  # fmt: skip

    problems = ruled.signed_in("operator").get(PATH).json()["problems"]

    assert problems == [{"annex": "berkane-2", "rule": "disk.low", "field": "levels.used", "reason": "out_of_range"}]
    assert ruled.signed_in("staff", annex="berkane-1").get(PATH).json()["problems"] == []
