"""The default rules against the table "Recommended default set" of the facts, whose rows stand here by hand."""

import pytest

from annexfleet_agent.protocol.causes import CAUSES
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.rules import check
from annexfleet_controller.rules.defaults import default_rules, load

MINUTE, HOUR, DAY = 60, 3600, 86_400
S, T, I = "staff", "technician", "it"  # noqa: E741  # as in the table

# id: for in seconds, only in opening hours, severity, what it can become, audience, clear for in seconds
TABLE = {
    "annex.cannot_serve": (3 * MINUTE, True, "critical", "", {I, T, S}, 3 * MINUTE),
    "annex.degraded": (10 * MINUTE, True, "warning", "", {I}, 5 * MINUTE),
    "annex.power_cut": (60, False, "critical", "", {I, S}, 2 * MINUTE),
    "annex.link_down": (3 * MINUTE, False, "critical", "", {I}, 2 * MINUTE),
    "device.offline": (5 * MINUTE, True, "warning", "critical", {T, I}, 60),
    "device.missing": (0, False, "warning", "", {I}, 0),
    "device.flapping": (0, False, "warning", "", {I}, 0),
    "cpu.high": (15 * MINUTE, True, "info", "warning", {I}, 10 * MINUTE),
    "mem.high": (10 * MINUTE, False, "warning", "", {I}, 10 * MINUTE),
    "mem.oom_or_swap": (10 * MINUTE, False, "warning", "", {I}, 0),
    "disk.low": (10 * MINUTE, False, "warning", "", {I}, 0),
    "disk.critical": (2 * MINUTE, False, "critical", "", {I, T}, 0),
    "disk.readonly_or_smart": (MINUTE, False, "critical", "", {T}, 0),
    "battery.low": (2 * MINUTE, True, "warning", "", {S}, 0),
    "battery.critical": (0, False, "critical", "", {S}, 0),
    "battery.worn": (DAY, False, "info", "", {T}, 0),
    "temp.high": (5 * MINUTE, False, "warning", "", {T}, 0),
    "clock.skew": (5 * MINUTE, False, "warning", "critical", {I}, 0),
    "reboot.needed": (7 * DAY, False, "info", "", {T}, 0),
    "reboot.unexpected": (0, False, "info", "warning", {T}, 0),
    "agent.version_drift": (48 * HOUR, False, "info", "", {T}, 0),
    "agent.backlog": (10 * MINUTE, False, "warning", "", {I}, 0),
    "runner.forged": (0, False, "critical", "", {I}, 0),
    "config.drift": (30 * MINUTE, False, "warning", "", {T}, 0),
    "printer.blocked": (2 * MINUTE, True, "warning", "critical", {S}, 30),
    "printer.offline": (10 * MINUTE, True, "warning", "critical", {S, T}, 2 * MINUTE),
    "printer.supply_low": (HOUR, False, "warning", "", {T}, 0),
    "printer.supply_empty": (5 * MINUTE, False, "warning", "critical", {S, T}, 0),
    "printer.waste": (10 * MINUTE, False, "warning", "critical", {T}, 0),
    "printer.jam_repeat": (0, False, "warning", "", {T}, 0),
    "print.queue_depth": (5 * MINUTE, True, "warning", "", {S, I}, 0),
    "print.job_stuck": (0, False, "warning", "", {S}, 0),
    "print.queue_paused": (MINUTE, False, "info", "warning", {T}, 0),
    "queue.long": (10 * MINUTE, True, "warning", "", {I, S}, 0),
    "queue.critical": (10 * MINUTE, True, "critical", "", {I}, 0),
    "queue.stalled": (15 * MINUTE, True, "warning", "", {S, I}, 0),
    "queue.silent": (15 * MINUTE, True, "info", "", {I}, 0),
    "portal.down_local": (2 * MINUTE, True, "critical", "", {S, I}, 90),
    "portal.down_global": (MINUTE, False, "critical", "", {I}, 90),
    "portal.slow": (10 * MINUTE, True, "warning", "", {I}, 0),
    "portal.tls": (0, False, "warning", "critical", {I}, 0),
    "broker.down": (MINUTE, False, "critical", "", {I}, 30),
    "controller.db_lag": (2 * MINUTE, False, "critical", "", {I}, MINUTE),
    "deadman": (0, False, "critical", "", {I}, 0),
}

THRESHOLDS = {
    "annex.power_cut": {"lost": 2, "back": 1},
    "annex.link_down": {"silent": 2, "silent_share": 0.8, "back_share": 0.5},
    "device.missing": {"unseen": 3},
    "device.flapping": {"moves": 5, "moves_clear": 1},
    "cpu.high": {"used": 0.9, "used_clear": 0.75},
    "mem.high": {"used": 0.9, "used_clear": 0.8},
    "mem.oom_or_swap": {"used": 0.8, "used_clear": 0.6},
    "disk.low": {"used": 0.85, "used_clear": 0.8, "free": 10e9, "free_clear": 15e9, "full_in": 72 * HOUR},
    "disk.critical": {"used": 0.95, "used_clear": 0.9, "free": 3e9, "full_in": 24 * HOUR},
    "battery.low": {"charge": 0.2, "charge_clear": 0.3},
    "battery.critical": {"charge": 0.08, "charge_clear": 0.15},
    "battery.worn": {"health": 0.6},
    "temp.high": {"hot": 85, "hot_clear": 80},
    "clock.skew": {"offset": 30, "offset_clear": 5, "offset_critical": 5 * MINUTE},
    "reboot.unexpected": {"boots": 3},
    "runner.forged": {"refused": 1, "refused_clear": 0},
    "agent.backlog": {"used": 0.8, "used_clear": 0.2, "age": 6 * HOUR},
    "printer.supply_low": {"left": 0.1, "left_clear": 0.2, "days": 5},
    "printer.supply_empty": {"left": 0.01, "left_clear": 0.05},
    "printer.jam_repeat": {"jams_day": 3, "jams_week": 5, "jams_week_clear": 0},
    "print.queue_depth": {"jobs": 10, "jobs_growing": 5, "jobs_clear": 3},
    "print.job_stuck": {"age": 5 * MINUTE},
    "queue.long": {"wait": 30 * MINUTE, "wait_clear": 20 * MINUTE, "per_counter": 10},
    "queue.critical": {"wait": 60 * MINUTE, "wait_clear": 40 * MINUTE, "down": 1},
    "portal.down_global": {"annexes": 3, "annexes_share": 0.5},
    "portal.slow": {"total": 3, "total_clear": 2},
    "portal.tls": {"days": 21, "days_critical": 7},
    "deadman": {"silence": 5 * MINUTE},
}

NOT_HERE = {"agent.clone", "rollout.gate_hit", "rollout.stalled", "rollout.coverage", "security.unsigned"}
"""Rows of the table that belong to later work."""


def test_the_file_has_the_rows_of_the_table_and_no_others():
    assert set(default_rules()) == set(TABLE)
    assert not set(default_rules()) & NOT_HERE


@pytest.mark.parametrize("rule_id", TABLE)
def test_a_row(rule_id: str):
    rule = default_rules()[rule_id]
    for_s, only_open, severity, worse, audience, clear_for_s = TABLE[rule_id]

    assert rule.for_s == for_s
    assert rule.clear_for_s == clear_for_s
    assert rule.only_open is only_open
    assert rule.severity == severity
    assert (rule.critical_when is not None) == (worse == "critical")
    assert (rule.warning_when is not None) == (worse == "warning")
    assert set(rule.audience) == audience
    assert rule.enabled


@pytest.mark.parametrize("rule_id", THRESHOLDS)
def test_the_thresholds_of_a_row(rule_id: str):
    assert default_rules()[rule_id].levels | THRESHOLDS[rule_id] == default_rules()[rule_id].levels


def test_special_rows():
    rules = default_rules()

    assert rules["device.offline"].for_s_by_role == {"tablet": 15 * MINUTE}
    assert rules["printer.blocked"].then == (T,)
    assert rules["printer.blocked"].then_after_s == 30 * MINUTE
    assert "device.offline" in rules["annex.link_down"].mutes
    assert rules["device.flapping"].mutes == ("device.offline",)


def test_machines_get_time_to_be_switched_on():
    for rule_id in ("device.offline", "queue.silent", "annex.cannot_serve", "annex.degraded"):
        assert default_rules()[rule_id].opening_grace_s == 20 * MINUTE
    assert default_rules()["printer.offline"].opening_grace_s == 15 * MINUTE
    # When an annex opens every queue grows.
    assert default_rules()["queue.critical"].opening_grace_s == 20 * MINUTE
    assert all(rule.only_open for rule in default_rules().values() if rule.opening_grace_s)


def test_rules_explain_only_rules_that_exist():
    for rule in default_rules().values():
        assert set(rule.mutes) <= set(default_rules()) - {rule.id}


def test_every_threshold_has_a_name_and_every_name_is_used():
    for rule in default_rules().values():
        assert {use.level for use in check.uses(rule)} == set(rule.levels), rule.id


def test_every_rule_has_a_cause_but_the_one_that_takes_the_printers():
    assert [rule.id for rule in default_rules().values() if not rule.cause] == ["printer.blocked"]


def test_a_paused_queue_counts_once_no_cause_is_left_that_stops_the_printer():
    """The list in the file against the protocol's table: what blocks, may block or holds up a document."""
    (_, nothing_left) = default_rules()["print.queue_paused"].raise_when.of
    named = set(nothing_left.of.has)

    blocking = {cause.id for cause in CAUSES.values() if cause.blocks in {"yes", "job", "maybe"}}
    harmless = {"queue_paused", "job_stuck", "queue_rejecting", "duplex_problem", "unknown_reason"}
    assert named == blocking - harmless


def test_a_file_with_a_wrong_condition_is_refused():
    for toml in (b"", b"rule = 3", b'[[rule]]\nid = "x"', b"[[rule]]\nid = 1\nraise_when = []"):
        with pytest.raises(SettingsWrong):
            load(toml)
