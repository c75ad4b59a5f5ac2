"""Each default rule with one subject that raises it, one between, one that clears it, one of which nothing is known."""

# ruff: noqa: E501  # a table is read along its rows

import pytest
from tests.controller.rules.subjects import NOW, subject_of

from annexfleet_controller.rules.defaults import default_rules
from annexfleet_controller.rules.judge import judge

# id: values that raise, that hold (None: the rule has no between), that clear
CASES: dict[str, tuple[dict[str, object], dict[str, object] | None, dict[str, object]]] = {
    "annex.cannot_serve": (
        {"services_blocked_count": 1}, {"services_blocked_count": 0, "services_unknown_count": 1},
        {"services_blocked_count": 0, "services_unknown_count": 0},
    ),
    "annex.degraded": ({"services_degraded_count": 2}, None, {"services_degraded_count": 0}),
    "annex.power_cut": (
        {"mains_lost_together_count": 2, "mains_back_count": 0}, {"mains_lost_together_count": 1, "mains_back_count": 0},
        {"mains_lost_together_count": 1, "mains_back_count": 1},
    ),
    "annex.link_down": (
        {"silent_together_count": 4, "silent_together_ratio": 0.8, "back_ratio": 0.2},
        {"silent_together_count": 3, "silent_together_ratio": 0.6, "back_ratio": 0.4},
        {"silent_together_count": 2, "silent_together_ratio": 0.4, "back_ratio": 0.6},
    ),
    "device.offline": (
        {"silent": True, "annex_link_up": True, "online": False},
        {"silent": True, "annex_link_up": False, "online": False},
        {"silent": False, "annex_link_up": True, "online": True},
    ),
    "device.missing": (
        {"unseen_opening_days": 3, "online": False}, {"unseen_opening_days": 1, "online": False},
        {"unseen_opening_days": 0, "online": True},
    ),
    "device.flapping": (
        {"connection_moves_30m_count": 5}, {"connection_moves_30m_count": 2}, {"connection_moves_30m_count": 1},
    ),
    "cpu.high": ({"cpu_used_ratio": 0.91}, {"cpu_used_ratio": 0.8}, {"cpu_used_ratio": 0.7}),
    "mem.high": ({"memory_used_ratio": 0.91}, {"memory_used_ratio": 0.9}, {"memory_used_ratio": 0.79}),
    "mem.oom_or_swap": ({"swap_used_ratio": 0.81}, {"swap_used_ratio": 0.7}, {"swap_used_ratio": 0.5}),
    "battery.low": (
        {"battery_charge_ratio": 0.19, "battery_on_mains": 0.0}, {"battery_charge_ratio": 0.25, "battery_on_mains": 0.0},
        {"battery_charge_ratio": 0.1, "battery_on_mains": 1.0},
    ),
    "battery.critical": ({"battery_charge_ratio": 0.07}, {"battery_charge_ratio": 0.1}, {"battery_charge_ratio": 0.16}),
    "battery.worn": ({"battery_health_ratio": 0.5}, {"battery_health_ratio": 0.62}, {"battery_health_ratio": 0.8}),
    "temp.high": ({"temperature_celsius": 85.0}, {"temperature_celsius": 82.0}, {"temperature_celsius": 80.0}),
    "clock.skew": (
        {"clock_offset_abs_seconds": 31.0}, {"clock_offset_abs_seconds": 20.0}, {"clock_offset_abs_seconds": 1.0},
    ),
    "reboot.needed": ({"reboot_required": 1.0}, None, {"reboot_required": 0.0}),
    "reboot.unexpected": ({"unexpected_boot": True}, None, {"unexpected_boot": False}),
    "agent.version_drift": ({"agent_version_differs": True}, None, {"agent_version_differs": False}),
    "agent.backlog": (
        {"outbox_used_ratio": 0.1, "outbox_oldest_age_seconds": 22000.0},
        {"outbox_used_ratio": 0.5, "outbox_oldest_age_seconds": 100.0},
        {"outbox_used_ratio": 0.1, "outbox_oldest_age_seconds": 100.0},
    ),
    "runner.forged": ({"envelopes_refused_count": 1.0}, None, {"envelopes_refused_count": 0.0}),
    "config.drift": ({"config_differs": True}, None, {"config_differs": False}),
    "disk.low": (
        {"disk_used_ratio": 0.9, "disk_free_bytes": 20e9, "disk_full_in_seconds": 3600.0},
        {"disk_used_ratio": 0.9, "disk_free_bytes": 12e9}, {"disk_used_ratio": 0.9, "disk_free_bytes": 20e9},
    ),
    "disk.critical": (
        {"disk_used_ratio": 0.96, "disk_free_bytes": 2e9}, {"disk_used_ratio": 0.96, "disk_free_bytes": 20e9},
        {"disk_used_ratio": 0.5, "disk_free_bytes": 2e9},
    ),
    "disk.readonly_or_smart": (
        {"disk_read_only": 0.0, "disk_wear_ratio": 1.0}, None, {"disk_read_only": 0.0},
    ),
    "printer.blocked": (
        {"printer_blocked": True, "printer_unreachable": False}, {"printer_blocked": True, "printer_unreachable": True},
        {"printer_blocked": False, "printer_unreachable": False},
    ),
    "printer.offline": (
        {"printer_unreachable": True, "asleep": False}, {"printer_unreachable": True, "asleep": True},
        {"printer_unreachable": False},
    ),
    "printer.supply_low": (
        {"supply_is_receptacle": False, "supply_level_ratio": 0.1}, {"supply_is_receptacle": False, "supply_level_ratio": 0.15},
        {"supply_is_receptacle": False, "supply_level_ratio": 0.9},
    ),
    "printer.supply_empty": (
        {"supply_is_receptacle": False, "supply_level_ratio": 0.01}, {"supply_is_receptacle": False, "supply_level_ratio": 0.03},
        {"supply_is_receptacle": False, "supply_level_ratio": 0.05},
    ),
    "printer.waste": ({"printer_causes": ["waste_almost_full"]}, None, {"printer_causes": []}),
    "printer.jam_repeat": (
        {"jams_24h_count": 3, "jams_7d_count": 3}, {"jams_24h_count": 0, "jams_7d_count": 4},
        {"jams_24h_count": 0, "jams_7d_count": 0},
    ),
    "print.queue_depth": (
        {"printer_jobs_count": 6.0, "jobs_growing_10m": True}, {"printer_jobs_count": 6.0, "jobs_growing_10m": False},
        {"printer_jobs_count": 3.0},
    ),
    "print.job_stuck": (
        {"printer_oldest_job_age_seconds": 301.0, "printer_state": "idle", "printer_processing": False}, None,
        {"printer_oldest_job_age_seconds": 301.0, "printer_state": "processing", "printer_processing": True,
         "pages_still_5m": False},
    ),
    "print.queue_paused": (
        {"printer_paused": 1.0, "printer_causes": ["queue_paused"]},
        {"printer_paused": 1.0, "printer_causes": ["queue_paused", "paper_empty"]},
        {"printer_paused": 0.0, "printer_causes": []},
    ),
    "queue.long": (
        {"wait_estimated_seconds": 1900.0}, {"wait_estimated_seconds": 1500.0},
        {"wait_estimated_seconds": 300.0, "waiting_per_counter_count": 2.0},
    ),
    "queue.critical": (
        {"wait_estimated_seconds": 60.0, "queue_growing_30m": True, "counters_down_count": 1},
        {"wait_estimated_seconds": 3000.0, "queue_growing_30m": False, "counters_down_count": 1},
        {"wait_estimated_seconds": 60.0, "queue_growing_30m": True, "counters_down_count": 0},
    ),
    "queue.stalled": (
        {"queue_waiting_count": 4.0, "no_call_seconds": 90.0}, None, {"queue_waiting_count": 0.0, "no_call_seconds": 900.0},
    ),
    "queue.silent": (
        {"queue_stale": 0.0, "queue_silent_seconds": 700.0}, None, {"queue_stale": 0.0, "queue_silent_seconds": 10.0},
    ),
    "portal.down_local": (
        {"probes_failing_ratio": 1.0, "link_up": True}, {"probes_failing_ratio": 1.0, "link_up": False},
        {"probes_failing_ratio": 0.0, "link_up": True},
    ),
    "portal.down_global": (
        {"annexes_failing_count": 3, "annexes_failing_ratio": 0.01}, {"annexes_failing_count": 2, "annexes_failing_ratio": 0.01},
        {"annexes_failing_count": 1, "annexes_failing_ratio": 0.01},
    ),
    "portal.slow": ({"portal_total_seconds": 3.5}, {"portal_total_seconds": 2.5}, {"portal_total_seconds": 1.5}),
    "portal.tls": (
        {"portal_certificate_days": 20.0}, {"portal_certificate_days": 25.0}, {"portal_certificate_days": 80.0},
    ),
    "broker.down": ({"broker_connected": False}, None, {"broker_connected": True}),
    "controller.db_lag": ({"database_lag_seconds": 61.0}, {"database_lag_seconds": 30.0}, {"database_lag_seconds": 1.0}),
    "deadman": ({"deadman_silent_seconds": 301.0}, {"deadman_silent_seconds": 100.0}, {"deadman_silent_seconds": 1.0}),
}  # fmt: skip


def level(rule_id: str, values: dict[str, object]) -> str:
    return judge(default_rules()[rule_id], subject_of(rule_id, values), now=NOW).level


def test_every_default_rule_has_a_case():
    assert set(CASES) == set(default_rules())


@pytest.mark.parametrize("rule_id", CASES)
def test_a_rule(rule_id: str):
    raises, holds, clears = CASES[rule_id]

    assert level(rule_id, raises) == "raise"
    assert holds is None or level(rule_id, holds) == "hold"
    assert level(rule_id, clears) == "clear"
    assert level(rule_id, {}) == "unknown"
    assert level(rule_id, dict.fromkeys(raises)) == "unknown"


@pytest.mark.parametrize(
    ("rule_id", "more", "expected"),
    [
        ("device.offline", {"blocks_service": True}, "critical"),
        ("device.offline", {"blocks_service": False}, "warning"),
        ("device.offline", {}, "warning"),
        ("cpu.high", {"people_waiting_count": 1}, "warning"),
        ("cpu.high", {"people_waiting_count": 0}, "info"),
        ("clock.skew", {"clock_offset_abs_seconds": 301.0}, "critical"),
        ("clock.skew", {}, "warning"),
        ("reboot.unexpected", {"unexpected_boots_24h_count": 3}, "warning"),
        ("reboot.unexpected", {"unexpected_boots_24h_count": 2}, "info"),
        ("printer.blocked", {"other_printer_works": False}, "critical"),
        ("printer.blocked", {"other_printer_works": True}, "warning"),
        ("printer.blocked", {"other_printer_works": None}, "warning"),
        ("printer.supply_empty", {"printer_blocked": True}, "critical"),
        ("printer.waste", {"printer_causes": ["waste_full"]}, "critical"),
        ("print.queue_paused", {"heal_outcome": "refused"}, "warning"),
        ("print.queue_paused", {"heal_outcome": "resumed"}, "info"),
        ("portal.tls", {"portal_certificate_days": 6.0}, "critical"),
    ],
)
def test_how_bad_it_is(rule_id: str, more: dict[str, object], expected: str):
    verdict = judge(default_rules()[rule_id], subject_of(rule_id, CASES[rule_id][0] | more), now=NOW)

    assert (verdict.level, verdict.severity) == ("raise", expected)


@pytest.mark.parametrize(
    ("rule_id", "more", "expected"),
    [
        ("printer.blocked", {"cause": "paper_jam"}, "paper_jam"),
        ("printer.waste", {}, "waste_almost_full"),
        ("printer.waste", {"printer_causes": ["waste_full"]}, "waste_full"),
        ("disk.readonly_or_smart", {}, "disk_failing"),
        ("disk.readonly_or_smart", {"disk_read_only": 1.0, "disk_wear_ratio": 0.2}, "disk_read_only"),
        ("print.queue_paused", {"heal_outcome": "gave_up"}, "print_queue_not_healed"),
        ("print.queue_paused", {}, "queue_paused"),
        ("portal.down_local", {"cause": "anything"}, "portal_down"),
    ],
)
def test_its_cause(rule_id: str, more: dict[str, object], expected: str):
    assert judge(default_rules()[rule_id], subject_of(rule_id, CASES[rule_id][0] | more), now=NOW).cause == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # A printer says "toner low" of one of four: of those whose level speaks against it, it is not believed.
        ({"supply_level_ratio": 0.9, "supply_reason_low": True}, "clear"),
        ({"supply_level_ratio": 0.25, "supply_reason_low": True}, "raise"),
        ({"supply_level_ratio": None, "supply_reason_low": True}, "raise"),
        ({"supply_level_ratio": None, "supply_reason_low": False}, "clear"),
        ({"supply_level_ratio": 0.5, "supply_empty_in_opening_days": 5}, "raise"),
        ({"supply_level_ratio": 0.5, "supply_empty_in_opening_days": 6}, "hold"),
        ({"supply_level_ratio": 0.5, "supply_empty_in_opening_days": None}, "clear"),
        ({"supply_level_ratio": 0.05, "supply_is_receptacle": True}, "hold"),
        ({"supply_level_ratio": 0.05, "supply_is_receptacle": None}, "unknown"),
    ],
)
def test_supplies_by_level_reason_and_forecast(values: dict[str, object], expected: str):
    assert level("printer.supply_low", {"supply_is_receptacle": False} | values) == expected


def test_a_portal_of_a_single_annex_is_not_down_everywhere():
    assert level("portal.down_global", {"annexes_failing_count": 1, "annexes_failing_ratio": 1.0}) == "hold"
    assert level("portal.down_global", {"annexes_failing_count": 2, "annexes_failing_ratio": 0.6}) == "raise"


def test_one_device_alone_in_its_annex_is_offline_though_nobody_knows_its_line():
    assert level("device.offline", {"silent": True, "online": False, "annex_link_up": None}) == "raise"


@pytest.mark.parametrize(("blocks", "expected"), [(False, "hold"), (True, "raise")])
def test_a_device_that_was_switched_off_is_trouble_only_where_it_is_needed(blocks: bool, expected: str):
    off = {"silent": True, "online": False, "annex_link_up": True, "went_orderly": True, "blocks_service": blocks}

    assert level("device.offline", off) == expected
