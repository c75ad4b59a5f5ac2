"""Every code that people may see has words in every language: of devices, annexes, people, alerts, settings."""

import importlib
import pkgutil
import re
from typing import get_args

import pytest
from tests.controller.i18n.words import ROOM, msgids

import annexfleet_controller
from annexfleet_agent.protocol import causes, metrics
from annexfleet_agent.protocol.messages import ProblemCode
from annexfleet_controller.access import passwords
from annexfleet_controller.access.roles import ROLES
from annexfleet_controller.calendars import FEASTS, FIXED
from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.i18n.catalogues import CODES
from annexfleet_controller.maintenance import Condition, Reason
from annexfleet_controller.supplies import forecast, levels
from annexfleet_controller.tending import putting_back, reach, undo
from annexfleet_controller.waves import machine
from annexfleet_controller.web.curves import SPANS
from annexfleet_controller.web.pages.alerts import PERIODS, WHOSE
from annexfleet_controller.web.timeline import MARK_KINDS


def calendar_reasons() -> set[str]:
    """Every reason for which a calendar is refused."""
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOM / "calendars").glob("*.py"))
    return set(re.findall(r'reason="(\w+)"', source))


def acts() -> set[str]:
    """Every act that is written into the audit."""
    source = "".join(file.read_text(encoding="utf-8") for file in ROOM.rglob("*.py"))
    named = set(re.findall(r'act="(\w+\.\w+)"', source)) | set(re.findall(r'_note\([^)]*?"(\w+\.\w+)"', source))
    of_people = set(machine.ACTS) - machine.BY_CONDUCTOR
    return named | {f"rollout.{act}" for act in of_people | {"create", "edit", "dry_run"}}


def account_reasons() -> set[str]:
    """Every reason for which an account or a key is refused."""
    source = "".join(file.read_text(encoding="utf-8") for file in ROOM.rglob("*.py"))
    return set(re.findall(r'AccountWrong\([^)]*?reason="(\w+)"', source))


def setting_reasons() -> set[str]:
    """Every reason for which a change of settings is refused."""
    source = "".join(file.read_text(encoding="utf-8") for file in ROOM.rglob("*.py"))
    return {
        one
        for found in re.findall(r"SettingWrong\([^)]*reason=([^)]*)", source)
        for one in re.findall(r'"(\w+)"', found)
    }


CONFIRMED = (
    "annex.retire", "device.move", "device.retire", "device.replace", "service.change", "calendar.change",
    "rule.disable",
)  # fmt: skip
"""Acts before which a page says what they touch."""


RULES = [
    "annex.cannot_serve", "annex.degraded", "annex.power_cut", "annex.link_down", "device.offline",
    "device.missing", "device.flapping", "cpu.high", "mem.high", "mem.oom_or_swap", "disk.low", "disk.critical",
    "disk.readonly_or_smart", "battery.low", "battery.critical", "battery.worn", "temp.high", "clock.skew",
    "reboot.needed", "reboot.unexpected", "agent.version_drift", "agent.backlog", "config.drift", "runner.forged",
    "printer.blocked",
    "printer.offline", "printer.supply_low", "printer.supply_empty", "printer.waste", "printer.jam_repeat",
    "print.queue_depth", "print.job_stuck", "print.queue_paused", "queue.long", "queue.critical", "queue.stalled",
    "queue.silent", "portal.down_local", "portal.down_global", "portal.slow", "portal.tls", "broker.down",
    "controller.db_lag", "deadman",
]  # fmt: skip
INCIDENT_KINDS = (
    "power_cut", "line_cut", "portal_down", "portal_down_everywhere",
    "printer", "device", "queue", "annex", "controller",
)  # fmt: skip


CODES_ONLY_ON_THE_COMMAND_LINE = {
    "settings_wrong", "home_in_use", "port_taken", "not_ready", "simulation_failed", "crl_wrong", "clock_wrong",
    "revocation_not_heeded", "not_kicked",
}  # fmt: skip


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("metric", metrics.CATALOGUE),
        ("collector", metrics.COLLECTORS),
        ("cause", causes.CAUSES),
        ("problem", ProblemCode.__args__),  # type: ignore[attr-defined]
        ("word", {word for metric in metrics.CATALOGUE.values() for word in metric.words}),
        ("presence", ("online", "silent", "never", "revoked")),
        ("mark", MARK_KINDS),
        ("charge", WHOSE),
        ("span", (*SPANS, *PERIODS)),
        ("role", ROLES),
        ("device_role", ("counter", "kiosk", "tablet", "server")),
        ("happening", ("change", "inventory", "receipt", "gap", "connected", "gone")),
        ("account_reason", account_reasons()),
        ("account_state", ("open", "disabled")),
        ("role_about", ROLES),
        ("password_rule", passwords.RULES),
        ("weakness", ("too_short", "too_long", "too_common", "holds_name", "same_as_before")),
        ("span", ("24h", "7d", "90d")),
        ("rule", RULES),
        ("severity", ("info", "warning", "critical")),
        ("readiness", ("ready", "degraded", "blocked", "unknown")),
        ("capability", ("counter", "print", "portal", "kiosk", "tablet", "queue", "link")),
        ("incident_kind", INCIDENT_KINDS),
        ("incident_state", ("open", "acknowledged", "resolved")),
        ("alert_state", ("pending", "open", "cleared")),
        ("maintenance_state", get_args(Condition)),
        ("maintenance_reason", get_args(Reason)),
        ("thing_kind", ("device", "printer", "portal", "queue", "annex", "link", "power")),
        ("cartridge_colour", ("black", "cyan", "magenta", "yellow", "colour")),
        ("holiday", ("ramadan", *(one.name for one in (*FIXED, *FEASTS)))),
        ("calendar_reason", calendar_reasons()),
        ("word", levels.KINDS),
        ("supply_state", forecast.STATES),
        ("act", acts()),
        ("act", undo.RESTORERS),
        ("done", undo.RESTORERS),
        ("effect", get_args(reach.Effect)),
        ("undo_refused", putting_back.REASONS),
        ("setting_reason", setting_reasons()),
        ("confirm", CONFIRMED),
        ("confirm_button", CONFIRMED),
        ("via", ("session", "key", "console", "worker", "link")),
        ("supply_why", tuple(why for why in forecast.WHYS if why)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_code_that_people_may_see_has_words(code: str, kind: str, names: list[str]):
    known = msgids(code)

    assert [name for name in names if (kind, name) not in known] == []


@pytest.mark.parametrize("code", CODES)
def test_every_error_has_words(code: str):
    for module in pkgutil.walk_packages(annexfleet_controller.__path__, "annexfleet_controller."):
        if "__main__" not in module.name and ".migrations" not in module.name:
            importlib.import_module(module.name)

    def below(kind: type[AnnexfleetError]) -> set[type[AnnexfleetError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    codes = {kind.code for kind in below(AnnexfleetError)} - CODES_ONLY_ON_THE_COMMAND_LINE

    assert [one for one in sorted(codes) if ("error", one) not in msgids(code)] == []
