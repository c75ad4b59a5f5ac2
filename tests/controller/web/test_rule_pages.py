import re

import pytest
from tests.controller.fleet import add_annex
from tests.controller.site import Site

from annexfleet_controller.rules.defaults import default_rules
from annexfleet_controller.rules.ruleset import parse_override
from annexfleet_controller.store import rules
from annexfleet_controller.store.database import reading
from annexfleet_controller.web.pages import rule_form

DISK = {"levels.used": "85", "levels.free": "10", "for_s": "10", "audience": "it", "enabled": "1", "samples": "2"}


@pytest.fixture
def ruled(site: Site) -> Site:
    add_annex(site.engine, "berkane-1")
    add_annex(site.engine, "berkane-2")
    return site


def override(site: Site, scope: str = "", rule_id: str = "disk.low") -> object:
    with reading(site.engine) as db:
        return rules.ruleset(db).override(rule_id, scope)


def fields(html: str) -> dict[str, str]:
    return dict(re.findall(r'<input name="([^"]+)" value="([^"]*)"', html))


@pytest.mark.parametrize("code", ["en", "fr", "ar"])
def test_all_rules_in_words(ruled: Site, code: str):
    client = ruled.signed_in("operator")
    client.post("/language", data={"code": code})

    html = client.get("/admin/rules").text

    for rule_id in default_rules():
        assert f'<tr id="{rule_id}">' in html
    assert "%(" not in html


def test_a_rule_says_when_for_how_long_and_whom(ruled: Site):
    html = ruled.signed_in("operator").get("/admin/rules").text
    row = re.search(r'<tr id="disk.low">.*?</tr>', html, re.DOTALL)

    assert row is not None
    for words in ("more than 85%", "less than 10 GB", "10 min", "Warning", "Provincial IT"):
        assert words in row[0].replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("code", ["en", "fr", "ar"])
@pytest.mark.parametrize("rule_id", default_rules())
def test_every_rule_has_a_form_that_changes_nothing_when_it_is_sent_as_it_is(ruled: Site, rule_id: str, code: str):
    rule = default_rules()[rule_id]
    client = ruled.signed_in("operator")
    client.post("/language", data={"code": code})
    html = client.get(f"/admin/rules/{rule_id}").text
    typed = fields(html) | {"severity": rule.severity, "audience": rule.audience, "then": rule.then}
    typed |= {flag: "1" for flag in ("enabled", "only_open") if getattr(rule, flag)}

    answer = client.post(f"/admin/rules/{rule_id}", data=typed)

    assert answer.status_code == 303
    assert override(ruled, rule_id=rule_id) is None


def test_what_is_typed_counts(ruled: Site):
    client = ruled.signed_in("operator")

    answer = client.post(
        "/admin/rules/disk.low",
        data=DISK | {"levels.used": "90,5", "levels.free": "12", "for_s": "2.5", "audience": ["it", "technician"],
                     "annex": "berkane-1", "then": "staff", "then_after_s": "30", "severity": "critical"},
    )  # fmt: skip

    assert answer.status_code == 303
    assert answer.headers["location"] == "/admin/rules?annex=berkane-1#disk.low"
    changed = parse_override(
        {"levels": {"used": 0.905, "free": 12e9}, "for_s": 150, "audience": ["it", "technician"], "then": ["staff"],
         "then_after_s": 1800, "severity": "critical"}, default_rules()["disk.low"],
    )  # fmt: skip
    assert override(ruled, "berkane-1") == changed
    assert override(ruled) is None
    html = client.get("/admin/rules/disk.low?annex=berkane-1").text
    assert fields(html)["levels.used"] == "90.5"
    assert fields(html)["levels.free"] == "12"


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"levels.used": "8500"}, "levels.used", "No such value can occur"),
        ({"levels.used": "much"}, "levels.used", "Please enter a number"),
        ({"levels.used": "<b>"}, "levels.used", "Please enter a number"),
        ({"levels.used_clear": "85"}, "levels.used_clear", "must end below"),
        ({"for_s": "-1"}, "for_s", "No such value can occur"),
        ({"for_s": "9999999"}, "for_s", "too long"),
        ({"samples": "many"}, "samples", "Please enter a number"),
        ({"audience": []}, "audience", "choose at least one"),
        ({"audience": "king"}, "audience", "no such group"),
        ({"severity": "fatal"}, "severity", "no such severity"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(ruled: Site, typed: dict[str, str], field: str, words: str):
    answer = ruled.signed_in("operator").post("/admin/rules/disk.low", data=DISK | typed)

    assert answer.status_code == 422
    beside = re.search(rf'name="{re.escape(field)}".*?role="alert">([^<]*)<', answer.text, re.DOTALL)
    assert beside is not None
    assert words in beside[1]
    assert override(ruled) is None
    assert "<b>" not in answer.text


def test_a_change_is_taken_back(ruled: Site):
    client = ruled.signed_in("operator")
    client.post("/admin/rules/disk.low", data=DISK | {"for_s": "5"})
    assert override(ruled) is not None

    answer = client.post("/admin/rules/disk.low/reset", data={"annex": ""})

    assert answer.status_code == 303
    assert override(ruled) is None


def test_who_read_an_older_version_sees_what_it_is_now(ruled: Site):
    client = ruled.signed_in("operator")
    client.post("/admin/rules/disk.low", data=DISK | {"for_s": "5"})

    answer = client.post("/admin/rules/disk.low", data=DISK | {"for_s": "6", "version": "0"})

    assert answer.status_code == 409
    assert "Somebody else changed this rule" in answer.text
    assert fields(answer.text)["for_s"] == "5"


def test_who_is_confined_to_an_annex_sees_and_changes_its_rules(ruled: Site):
    client = ruled.signed_in("operator", annex="berkane-2")

    assert 'name="annex" value="berkane-2"' in client.get("/admin/rules/disk.low").text
    assert "The whole province" not in client.get("/admin/rules").text
    assert client.get("/admin/rules?annex=berkane-1").status_code == 404
    assert client.post("/admin/rules/disk.low", data=DISK | {"annex": "berkane-1"}).status_code == 404
    assert client.post("/admin/rules/disk.low", data=DISK | {"annex": "berkane-2", "for_s": "5"}).status_code == 303
    assert override(ruled, "berkane-2") is not None


def test_a_rule_that_is_not_there(ruled: Site):
    client = ruled.signed_in("operator")

    assert client.get("/admin/rules/disk.full").status_code == 404
    assert client.post("/admin/rules/disk.full", data=DISK).status_code == 404
    assert client.post("/admin/rules/disk.full/reset").status_code == 404


@pytest.mark.parametrize(
    ("metric", "default", "unit"),
    [
        ("disk_used_ratio", 0.9, "percent"), ("disk_free_bytes", 1e9, "gigabytes"),
        ("disk_full_in_seconds", 259_200, "days"), ("wait_estimated_seconds", 1800, "minutes"),
        ("outbox_oldest_age_seconds", 21_600, "hours"), ("portal_total_seconds", 3, "seconds"),
        ("clock_offset_abs_seconds", 90, "seconds"), ("portal_certificate_days", 21, "count"),
    ],
)  # fmt: skip
def test_in_which_unit_people_type_it(metric: str, default: float, unit: str):
    assert rule_form.unit_of(metric, default) == unit


def test_a_change_stands_in_the_audit_and_can_be_undone(ruled: Site):
    client = ruled.signed_in("operator")
    assert client.post("/admin/rules/disk.low", data=DISK | {"for_s": "44"}).status_code == 303

    assert "Changed a rule" in client.get("/admin/audit").text
    undo = re.search(r'action="(/admin/undo/\d+)"', client.get("/admin/rules").text)
    assert undo is not None
    answer = client.post(undo[1])

    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/rules?annex=#disk.low")
    assert override(ruled) is None
