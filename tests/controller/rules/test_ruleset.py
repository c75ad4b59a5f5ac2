import json

import pytest

from annexfleet_controller.errors import RuleUnknown, RuleWrong
from annexfleet_controller.rules import check, ruleset
from annexfleet_controller.rules.defaults import default_rules
from annexfleet_controller.rules.ruleset import PROVINCE, Override, Ruleset, StoredOverride, parse_override


def stored(rule_id: str, document: object, scope: str = PROVINCE) -> StoredOverride:
    return StoredOverride(scope, rule_id, json.dumps(document))


def refused(document: object, rule_id: str = "disk.low") -> tuple[str, str]:
    with pytest.raises(RuleWrong) as caught:
        parse_override(document, default_rules()[rule_id])
    return str(caught.value.facts["field"]), str(caught.value.facts["reason"])


def test_an_override_changes_what_it_names_and_no_more():
    rules = Ruleset([stored("disk.low", {"levels": {"used": 0.9}, "for_s": 60})])

    rule, default = rules.rule("disk.low", "berkane-1"), default_rules()["disk.low"]
    assert rule.levels == default.levels | {"used": 0.9}
    assert rule.for_s == 60
    assert rule.clear_when == default.clear_when
    assert rule.severity == default.severity


def test_an_annex_changes_what_the_province_made_of_it():
    rules = Ruleset(
        [
            stored("disk.low", {"severity": "info"}, "berkane-1"),
            stored("disk.low", {"levels": {"used": 0.9}, "severity": "critical"}),
        ]
    )

    here, elsewhere = rules.rule("disk.low", "berkane-1"), rules.rule("disk.low", "oujda-2")
    assert (here.levels["used"], here.severity) == (0.9, "info")
    assert (elsewhere.levels["used"], elsewhere.severity) == (0.9, "critical")
    assert rules.base("disk.low", "berkane-1") == elsewhere
    assert rules.base("disk.low", PROVINCE) == default_rules()["disk.low"]


def test_annexes_that_change_nothing_share_the_rules_of_the_province():
    rules = Ruleset([stored("disk.low", {"for_s": 5}, "berkane-1")])

    assert rules.of("oujda-2") is rules.of("taza-1")
    assert rules.of("berkane-1") is rules.of("berkane-1")
    # What an annex did not change is the very same rule, so that it is compiled once.
    assert rules.of("berkane-1")["device"][0] is rules.of("oujda-2")["device"][0]


def test_a_rule_that_is_switched_off_is_not_asked():
    rules = Ruleset([stored("disk.low", {"enabled": False}, "berkane-1")])

    assert "disk.low" not in {rule.id for rule in rules.of("berkane-1")["disk"]}
    assert "disk.low" in {rule.id for rule in rules.of("oujda-2")["disk"]}
    assert not rules.rule("disk.low", "berkane-1").enabled
    assert len(rules.rules("berkane-1")) == len(default_rules())


def test_what_is_stored_and_cannot_be_does_not_count_and_is_told():
    rules = Ruleset(
        [
            stored("disk.low", {"levels": {"used": 7}}),
            stored("disk.full", {"for_s": 3}),
            StoredOverride(PROVINCE, "mem.high", "{"),
            stored("mem.high", {"for_s": 3}, "berkane-1"),
        ]
    )

    assert rules.rule("disk.low") == default_rules()["disk.low"]
    assert rules.rule("mem.high", "berkane-1").for_s == 3
    assert {(p.rule_id, p.field, p.reason) for p in rules.problems} == {
        ("disk.low", "levels.used", "out_of_range"), ("disk.full", "", "unknown_rule"),
        ("mem.high", "", "not_a_document"),
    }  # fmt: skip


def test_an_annex_override_that_no_longer_fits_the_provinces_does_not_count():
    here = stored("disk.low", {"levels": {"used_clear": 0.82}}, "berkane-1")

    assert not Ruleset([here]).problems
    (problem,) = Ruleset([here, stored("disk.low", {"levels": {"used": 0.82, "used_clear": 0.7}})]).problems
    assert (problem.scope, problem.field, problem.reason) == ("berkane-1", "levels.used_clear", "clear_not_below")


def test_a_rule_that_is_not_there():
    with pytest.raises(RuleUnknown):
        Ruleset().rule("disk.full")
    with pytest.raises(RuleUnknown):
        Ruleset().base("disk.full", PROVINCE)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([], ("", "not_a_document")),
        ("{", ("", "not_a_document")),
        (b"\xff", ("", "not_a_document")),
        ({"raise_when": {}}, ("raise_when", "unknown_field")),
        ({"id": "x"}, ("id", "unknown_field")),
        ({"levels": {"usage": 0.9}}, ("levels.usage", "unknown_level")),
        ({"levels": [0.9]}, ("levels", "wrong_type")),
        ({"levels": {"used": "much"}}, ("levels.used", "not_a_number")),
        ({"levels": {"used": True}}, ("levels.used", "not_a_number")),
        ({"levels": {"used": float("nan")}}, ("levels.used", "not_a_number")),
        ({"levels": {"used": float("inf")}}, ("levels.used", "not_a_number")),
        ({"levels": {"used": 10**400}}, ("levels.used", "not_a_number")),
        ({"levels": {"used": 85}}, ("levels.used", "out_of_range")),
        ({"levels": {"used": -0.1}}, ("levels.used", "out_of_range")),
        ({"levels": {"used": 1}}, ("levels.used", "never")),
        ({"levels": {"free": 0}}, ("levels.free", "never")),
        ({"levels": {"free": -1}}, ("levels.free", "out_of_range")),
        ({"levels": {"used_clear": 0.85}}, ("levels.used_clear", "clear_not_below")),
        ({"levels": {"used_clear": 0.9}}, ("levels.used_clear", "clear_not_below")),
        ({"levels": {"used": 0.8}}, ("levels.used", "clear_not_below")),
        ({"levels": {"free": 15e9}}, ("levels.free", "clear_not_above")),
        ({"levels": {"free": 12e9, "free_clear": 11e9}}, ("levels.free_clear", "clear_not_above")),
        ({"for_s": -1}, ("for_s", "out_of_range")),
        ({"for_s": 31 * 86_400}, ("for_s", "too_long")),
        ({"for_s": "10m"}, ("for_s", "not_a_number")),
        ({"clear_for_s": 90_000}, ("clear_for_s", "too_long")),
        ({"for_s_by_role": {"toaster": 3}}, ("for_s_by_role", "unknown_role")),
        ({"for_s_by_role": {"tablet": 1e9}}, ("for_s_by_role.tablet", "too_long")),
        ({"severity": "fatal"}, ("severity", "unknown_severity")),
        ({"severity": 3}, ("severity", "unknown_severity")),
        ({"audience": ["king"]}, ("audience", "unknown_audience")),
        ({"audience": "it"}, ("audience", "wrong_type")),
        ({"audience": []}, ("audience", "empty")),
        ({"samples": 0}, ("samples", "out_of_range")),
        ({"samples": 1.5}, ("samples", "not_a_number")),
        ({"enabled": 1}, ("enabled", "wrong_type")),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(document: object, expected: tuple[str, str]):
    assert refused(document) == expected
    assert expected[1] in check.REASONS


@pytest.mark.parametrize(
    ("rule_id", "document", "expected"),
    [
        ("clock.skew", {"levels": {"offset_critical": 20}}, ("levels.offset_critical", "critical_milder")),
        ("portal.tls", {"levels": {"days_critical": 25}}, ("levels.days_critical", "critical_milder")),
        ("portal.tls", {"levels": {"days": 5}}, ("levels.days", "critical_milder")),
        ("portal.tls", {"levels": {"days": 28}}, ("levels.days", "clear_not_above")),
        ("annex.degraded", {"levels": {"degraded": 0}}, ("levels.degraded", "always")),
        ("temp.high", {"levels": {"hot": 500}}, ("levels.hot", "out_of_range")),
        ("battery.low", {"levels": {"charge_clear": 0.2}}, ("levels.charge_clear", "clear_not_above")),
    ],
)
def test_levels_that_do_not_fit_each_other(rule_id: str, document: object, expected: tuple[str, str]):
    assert refused(document, rule_id) == expected


def test_a_refusal_names_the_bounds():
    with pytest.raises(RuleWrong) as caught:
        parse_override({"levels": {"used": 85}}, default_rules()["disk.low"])

    assert (caught.value.facts["low"], caught.value.facts["high"]) == (0.0, 1.0)


def test_an_override_comes_back_as_it_was_stored():
    override = parse_override(
        {"levels": {"used": 0.9}, "audience": ["it", "staff", "it"], "enabled": False, "for_s": None},
        default_rules()["disk.low"],
    )

    assert override == Override(levels={"used": 0.9}, audience=("it", "staff"), enabled=False)
    assert json.loads(ruleset.encode(override)) == {
        "levels": {"used": 0.9}, "audience": ["it", "staff"], "enabled": False,
    }  # fmt: skip
    assert parse_override(ruleset.encode(override), default_rules()["disk.low"]) == override
    assert ruleset.apply(Override(), default_rules()["disk.low"]) == default_rules()["disk.low"]
