"""The world as readings: what each collector of a real agent would report of a simulated machine.

Every name stands in the catalogue (a test holds the two together).  The world's moments are turned into the device's
own time by `to_device_time`, because a simulated day may run apart from the real one.
"""

from collections.abc import Callable

from annexfleet_agent.collectors.report import Report
from annexfleet_controller.simulate.day import is_open
from annexfleet_controller.simulate.province import SERVICES, SHEETS_IN_A_TRAY, Annex, Machine, Printer, Province

PORTAL = "portal:e-services"
_LOW = 0.1
_PROCESSORS = {"counter": 4, "kiosk": 4, "server": 8, "tablet": 8}
_AGENT_MEMORY_BYTES = 24e6


class View:
    """One machine of a province, as its agent sees it."""

    def __init__(
        self,
        province: Province,
        annex: Annex,
        machine: Machine,
        *,
        probed_elsewhere: Callable[[], frozenset[str]] = frozenset,
        offset_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`offset_s` is what must be added to the world's time to get the device's."""
        self._province = province
        self._annex = annex
        self._machine = machine
        self._probed_elsewhere = probed_elsewhere
        self._offset_s = offset_s

    def cpu(self) -> Report:
        report = Report()
        report.put("", "cpu_used_ratio", self._machine.busy)
        report.put("", "cpu_count", _PROCESSORS[self._machine.role])
        return report

    def load(self) -> Report:
        return _one("load_per_cpu_ratio", self._machine.busy * 1.2)

    def memory(self) -> Report:
        report = Report()
        report.put("", "memory_used_ratio", min(1.0, self._machine.memory + self._machine.leaked))
        report.put("", "memory_total_bytes", self._machine.memory_bytes)
        report.put("", "swap_used_ratio", max(0.0, self._machine.memory - 0.6) / 2)
        return report

    def disk(self) -> Report:
        machine, report = self._machine, Report()
        report.put("disk:/", "disk_used_ratio", machine.disk_used / machine.disk_bytes)
        report.put("disk:/", "disk_free_bytes", machine.disk_bytes - machine.disk_used)
        report.put("disk:/", "disk_total_bytes", machine.disk_bytes)
        report.put("disk:/", "disk_inodes_used_ratio", 0.11)
        report.put("disk:/", "disk_read_only", 0)
        return report

    def network(self) -> Report:
        machine, report = self._machine, Report()
        link = "net:wlan0" if machine.has_battery else "net:eth0"
        report.put(link, "network_link_up", 1)
        report.put(link, "network_received_bytes_per_second", machine.received_per_s)
        report.put(link, "network_sent_bytes_per_second", machine.sent_per_s)
        report.put(link, "network_errors_per_second", 0.0)
        if machine.has_battery:
            report.put(link, "wifi_signal_dbm", machine.signal_dbm)
        else:
            report.put(link, "network_link_bits_per_second", 1e9)
        return report

    def battery(self) -> Report:
        machine, report = self._machine, Report()
        if not machine.has_battery:
            report.miss("", "*", "unsupported", "no battery")
            return report
        report.put("", "battery_charge_ratio", machine.charge)
        report.put("", "battery_on_mains", int(machine.on_mains))
        report.put("", "battery_health_ratio", 0.91)
        report.put("", "battery_cycles_count", 212)
        return report

    def temperature(self) -> Report:
        return _one("temperature_celsius", self._machine.temperature)

    def uptime(self) -> Report:
        report = Report()
        report.put("", "uptime_seconds", self._province.now - self._machine.booted_at)
        report.put("", "booted_at_seconds", self._machine.booted_at + self._offset_s())
        return report

    def clock(self) -> Report:
        return _one("clock_synchronised", 1)

    def reboot(self) -> Report:
        return _one("reboot_required", int(self._machine.name == "serveur-1"))

    def updates(self) -> Report:
        report = Report()
        report.put("", "updates_pending_count", len(self._machine.name) * 2)
        report.put("", "updates_security_pending_count", int(self._machine.role == "kiosk"))
        return report

    def units(self) -> Report:
        report = Report()
        report.put("", "units_failed", [])
        report.put("", "units_failed_count", 0)
        return report

    def processes(self) -> Report:
        report = Report()
        name = "process:firefox-esr" if self._machine.role != "server" else "process:postgres"
        report.put(name, "process_running", 1)
        report.put(name, "process_memory_bytes", 3e8 + 5e8 * self._machine.memory)
        return report

    def agent(self) -> Report:
        report = Report()
        report.put("", "agent_cpu_ratio", 0.002)
        report.put("", "agent_memory_bytes", _AGENT_MEMORY_BYTES)
        return report

    def portal(self) -> Report:
        total, report = self._machine.portal_s, Report()
        up = self._annex.portal_up and self._annex.line_up and not self._machine.probe_lost
        report.put(PORTAL, "portal_up", int(up))
        report.put(PORTAL, "portal_failed_stage", "none" if up else "http" if self._annex.line_up else "dns")
        if not up:
            report.miss(PORTAL, "portal_total_seconds", "timed_out")
            return report
        report.put(PORTAL, "portal_status_code", 200)
        report.put(PORTAL, "portal_certificate_days", 57)
        for stage, share in (("total", 1.0), ("dns", 0.06), ("tcp", 0.09), ("tls", 0.2), ("http", 0.65)):
            report.put(PORTAL, f"portal_{stage}_seconds", total * share)
        return report

    def printers(self) -> Report:
        report = Report()
        elsewhere = self._probed_elsewhere()
        for printer in self._machine.printers:
            self._printer(report, printer, elsewhere=printer.address in elsewhere)
        return report

    def _printer(self, report: Report, printer: Printer, *, elsewhere: bool) -> None:
        subject = f"printer:{printer.name}"
        report.put(subject, "printer_address", printer.address)
        report.put(subject, "printer_model", printer.model)
        report.put(subject, "printer_accepting", 1)
        report.put(subject, "printer_paused", 0)
        report.put(subject, "printer_jobs_count", len(printer.jobs))
        if printer.jobs:
            report.put(subject, "printer_oldest_job_age_seconds", self._province.now - printer.jobs[0][0])
        if elsewhere:
            report.put(subject, "printer_source", "probed_elsewhere")
            return
        if not self._annex.power or not printer.on:
            report.put(subject, "printer_state", "unreachable")
            report.put(subject, "printer_causes", ["unreachable"])
            report.put(subject, "printer_reasons", ["connecting-to-device"])
            report.put(subject, "printer_source", "print_server")
            return
        reasons, causes = _reasons(printer)
        state = "stopped" if printer.blocked else "processing" if printer.jobs else "idle"
        report.put(subject, "printer_state", state)
        report.put(subject, "printer_causes", causes)
        report.put(subject, "printer_reasons", reasons)
        report.put(subject, "printer_source", "device_ipp")
        report.put(subject, "printer_pages_count", int(printer.pages))
        supply, tray = f"supply:{printer.name}/black", f"tray:{printer.name}/tray-1"
        report.put(supply, "supply_level_ratio", round(printer.toner, 2))
        report.put(supply, "supply_kind", "toner")
        report.put(supply, "supply_colour", "black")
        report.put(tray, "tray_level_ratio", round(printer.sheets / SHEETS_IN_A_TRAY, 2))
        report.put(tray, "tray_media", "iso_a4_210x297mm")

    def queues(self) -> Report:
        report = Report()
        province = self._province
        for service in SERVICES:
            queue, subject = self._annex.queues[service], f"queue:{service}"
            if not self._annex.queue_source_up:
                report.miss(subject, "*", "unreachable", "the source does not answer")
                continue
            desks = [machine for machine in self._annex.machines if machine.service == service]
            waits = [province.now - came for came in queue.waiting]
            is_working = is_open(province.local(), province.hours)
            report.put(subject, "queue_waiting_count", len(waits))
            report.put(subject, "queue_longest_wait_seconds", max(waits, default=0.0))
            report.put(subject, "queue_average_wait_seconds", sum(waits) / len(waits) if waits else 0.0)
            report.put(subject, "queue_served_last_hour_count", len(queue.served))
            report.put(subject, "queue_abandoned_last_hour_count", len(queue.abandoned))
            report.put(subject, "queue_counters_total_count", len(desks))
            report.put(subject, "queue_counters_open_count", sum(desk.running for desk in desks) if is_working else 0)
            report.put(subject, "queue_observed_at_seconds", province.now + self._offset_s())
            report.put(subject, "queue_stale", 0)
        return report


def _one(metric: str, value: float) -> Report:
    report = Report()
    report.put("", metric, value)
    return report


def _reasons(printer: Printer) -> tuple[list[str], list[str]]:
    """The keywords a printer in this condition says, and the canonical causes they mean."""
    found: list[tuple[str, str]] = []
    if printer.jammed:
        found.append(("media-jam-error", "paper_jam"))
    if printer.cover_open:
        found.append(("cover-open-error", "cover_open"))
    if printer.sheets < 1:
        found.append(("media-empty-error", "paper_empty"))
    elif printer.sheets < SHEETS_IN_A_TRAY * _LOW:
        found.append(("media-low-warning", "paper_low"))
    if printer.toner <= 0:
        found.append(("toner-empty-error", "toner_empty"))
    elif printer.toner < _LOW:
        found.append(("toner-low-warning", "toner_low"))
    return [reason for reason, _ in found], [cause for _, cause in found]


def collectors_of(machine: Machine) -> tuple[str, ...]:
    """Which collectors this machine has, by their names in the catalogue."""
    common = (
        "cpu", "load", "memory", "disk", "network", "battery", "temperature", "uptime", "clock", "reboot", "updates",
        "units", "processes", "agent", "portal",
    )  # fmt: skip
    printing = ("printers",) if machine.printers else ()
    return (*common, *printing, *(("queues",) if machine.keeps_queues else ()))
