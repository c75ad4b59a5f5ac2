"""The catalogue of all readings: what each name means, in which unit, and what is usual.

A name says what is measured and ends with its unit, in base units (seconds, bytes, ratios from 0 to 1).  Names are
never reused for something else.
"""

from math import inf
from typing import Literal

from msgspec import Struct

Kind = Literal["gauge", "fact", "state", "states"]
"""gauge: a number that moves all the time; it travels in beats, and in a change when it crosses a level.
fact: a number that seldom moves; it travels in changes only.
state: a word.  states: a set of words.  Both travel in changes only."""


class Metric(Struct, frozen=True, kw_only=True):
    """What is known of a reading before it is measured."""

    name: str
    collector: str
    unit: str
    """`ratio`, `bytes`, `seconds`, `celsius`, `dbm`, `count`, `per_second`, `bytes_per_second`, `bool` (0 or 1), or
    `word`."""
    kind: Kind
    meaning: str
    usual: tuple[float, float] | None = None
    """Lowest and highest value that nobody need look at: an end where more is harmless (an empty disk, an idle link) is
    as far as it goes.  None where there is none, or for words."""
    levels: tuple[float, ...] = ()
    """Crossing one of these is told at once.  A level not above the usual lowest value is reached from above, any other
    from below."""
    level_slack: float = 0.0
    """A level counts as left only this far on its near side, so that a value which trembles is told once."""
    dead_band: float = 0.0
    """For a fact: the least movement that is told."""
    digits: int = 4
    """Significant digits that go on the wire."""
    decimals: int = 9
    """Digits after the point that go on the wire, at most."""
    noise: float = 0.0
    """For a gauge: if it moved by no more than this during a beat, its mean goes on the wire alone."""
    words: tuple[str, ...] = ()
    """For a state: the words it can be, where they are few."""


def _m(
    name: str,
    collector: str,
    unit: str,
    kind: Kind,
    meaning: str,
    *,
    usual: tuple[float, float] | None = None,
    levels: tuple[float, ...] = (),
    level_slack: float = 0.0,
    dead_band: float = 0.0,
    digits: int = 4,
    decimals: int = 9,
    noise: float = 0.0,
    words: tuple[str, ...] = (),
) -> Metric:
    return Metric(
        name=name, collector=collector, unit=unit, kind=kind, meaning=meaning, usual=usual, levels=levels,
        level_slack=level_slack, dead_band=dead_band, digits=digits, decimals=decimals,
        noise=noise, words=words,
    )  # fmt: skip


# The order is that of the catalogue's tables: what a person asks first stands first.
_ALL = (
    # -- the machine
    _m("cpu_used_ratio", "cpu", "ratio", "gauge", "Share of all processors' time that was not idle", usual=(0, 0.7), levels=(0.95,), level_slack=0.15, digits=3, decimals=3, noise=0.05),
    _m("cpu_count", "cpu", "count", "fact", "Logical processors"),
    _m("load_per_cpu_ratio", "load", "ratio", "gauge", "Load average of one minute divided by the processors", usual=(0, 1), levels=(2.0,), level_slack=0.5, digits=3, decimals=2, noise=0.1),
    _m("memory_used_ratio", "memory", "ratio", "gauge", "Memory that could not be given to a new program, as a share of all", usual=(0, 0.85), levels=(0.9, 0.97), level_slack=0.05, digits=3, decimals=3, noise=0.005),
    _m("memory_total_bytes", "memory", "bytes", "fact", "Memory installed", dead_band=16e6),
    _m("swap_used_ratio", "memory", "ratio", "gauge", "Swap in use, as a share of all", usual=(0, 0.3), levels=(0.8,), level_slack=0.2, digits=3, decimals=3, noise=0.005),
    _m("disk_used_ratio", "disk", "ratio", "gauge", "Space in use on a file system, as df counts it", usual=(0, 0.85), levels=(0.85, 0.95), level_slack=0.02, digits=3, decimals=3, noise=0.001),
    _m("disk_free_bytes", "disk", "bytes", "gauge", "Space a program without rights can still use", usual=(10e9, inf), digits=3),
    _m("disk_inodes_used_ratio", "disk", "ratio", "fact", "Inodes in use", usual=(0, 0.8), levels=(0.9,), level_slack=0.02, dead_band=0.05, digits=3),
    _m("disk_total_bytes", "disk", "bytes", "fact", "Size of the file system", dead_band=1e6),
    _m("disk_read_only", "disk", "bool", "fact", "1 if it is mounted read-only though fstab does not say so", usual=(0, 0), dead_band=0.5),
    _m("disk_wear_ratio", "disk", "ratio", "fact", "Life used up, as the drive itself reports it (eMMC)", usual=(0, 0.8), dead_band=0.05),
    _m("network_received_bytes_per_second", "network", "bytes_per_second", "gauge", "Bytes received over a link", usual=(0, 12.5e6), digits=3, decimals=0, noise=10e3),
    _m("network_sent_bytes_per_second", "network", "bytes_per_second", "gauge", "Bytes sent over a link", usual=(0, 12.5e6), digits=3, decimals=0, noise=10e3),
    _m("network_errors_per_second", "network", "per_second", "gauge", "Packets lost or broken on a link, both ways", usual=(0, 0.1), levels=(1.0,), level_slack=0.5, digits=2, decimals=2, noise=0.1),
    _m("network_link_up", "network", "bool", "fact", "1 if the link has a carrier", usual=(1, 1), dead_band=0.5),
    _m("network_link_bits_per_second", "network", "per_second", "fact", "Speed that the link agreed on, in bits", dead_band=1e6),
    _m("wifi_signal_dbm", "network", "dbm", "gauge", "Strength of the Wi-Fi signal", usual=(-67, 0), levels=(-75.0,), level_slack=5, digits=2, noise=4),
    _m("battery_charge_ratio", "battery", "ratio", "gauge", "Charge left", usual=(0.2, 1), levels=(0.08, 0.2), level_slack=0.05, digits=3, decimals=3, noise=0.005),
    _m("battery_on_mains", "battery", "bool", "fact", "1 while mains power is connected", usual=(1, 1), dead_band=0.5),
    _m("battery_health_ratio", "battery", "ratio", "fact", "Full charge as a share of the designed one", usual=(0.6, 1), dead_band=0.02, digits=3),
    _m("battery_cycles_count", "battery", "count", "fact", "Charge cycles that the battery has counted", dead_band=1),
    _m("temperature_celsius", "temperature", "celsius", "gauge", "The hottest sensor near the processor", usual=(0, 80), levels=(85.0,), level_slack=5, digits=3, decimals=1, noise=2),
    _m("uptime_seconds", "uptime", "seconds", "fact", "Time since the machine started; told at a start only, the rest follows from it", dead_band=1e12),
    _m("booted_at_seconds", "uptime", "seconds", "fact", "Unix time of the machine's start, by its own clock", dead_band=120, digits=10),
    _m("clock_synchronised", "clock", "bool", "fact", "1 if the operating system says that its clock follows a time server", usual=(1, 1), dead_band=0.5),
    _m("reboot_required", "reboot", "bool", "fact", "1 if an update waits for a restart", usual=(0, 0), dead_band=0.5),
    _m("updates_pending_count", "updates", "count", "fact", "Packages that can be upgraded", usual=(0, 50), dead_band=1),
    _m("updates_security_pending_count", "updates", "count", "fact", "Of these, security updates", usual=(0, 0), dead_band=1),
    _m("units_failed", "units", "word", "states", "systemd units that failed", usual=None),
    _m("units_failed_count", "units", "count", "fact", "How many systemd units failed", usual=(0, 0), dead_band=1),
    _m("process_running", "processes", "bool", "fact", "1 if a process that agent.toml names is running", usual=(1, 1), dead_band=0.5),
    _m("process_memory_bytes", "processes", "bytes", "gauge", "Resident memory of all processes of that name", digits=3, noise=2e6),
    # -- the agent itself
    _m("agent_cpu_ratio", "agent", "ratio", "gauge", "Processor time of the agent, as a share of one processor", usual=(0, 0.02), digits=2, decimals=4, noise=0.005),
    _m("agent_memory_bytes", "agent", "bytes", "gauge", "Resident memory of the agent", usual=(0, 30e6), digits=3, noise=500e3),
    _m("outbox_used_ratio", "agent", "ratio", "gauge", "How full the outbox is", usual=(0, 0.1), levels=(0.8,), level_slack=0.3, digits=2, decimals=2, noise=0.01),
    _m("outbox_oldest_age_seconds", "agent", "seconds", "gauge", "Age of the oldest item that waits for an acknowledgement, 0 up to the usual 20 minutes", usual=(0, 600), levels=(21600.0,), level_slack=3600, digits=2, decimals=0),
    _m("agent_config_version", "agent", "count", "fact", "Version of the desired settings in force", dead_band=1),
    _m("envelopes_refused_count", "agent", "count", "fact", "Orders to the runner that were refused as if forged, in the last 24 hours", usual=(0, 0), dead_band=1),
    # -- portals
    _m("portal_up", "portal", "bool", "fact", "1 if the last check got the expected answer", usual=(1, 1), dead_band=0.5),
    _m("portal_failed_stage", "portal", "word", "state", "Where the check stopped", words=("none", "dns", "tcp", "tls", "http", "status", "text")),
    _m("portal_status_code", "portal", "count", "fact", "HTTP status of the last answer", dead_band=1),
    _m("portal_total_seconds", "portal", "seconds", "gauge", "Time of the whole check", usual=(0, 3), levels=(3.0,), level_slack=1, digits=3, decimals=3, noise=0.2),
    _m("portal_dns_seconds", "portal", "seconds", "gauge", "Time to find the address", usual=(0, 0.5), digits=2, decimals=3, noise=0.05),
    _m("portal_tcp_seconds", "portal", "seconds", "gauge", "Time to connect", usual=(0, 0.5), digits=2, decimals=3, noise=0.05),
    _m("portal_tls_seconds", "portal", "seconds", "gauge", "Time to agree on keys", usual=(0, 1), digits=2, decimals=3, noise=0.1),
    _m("portal_http_seconds", "portal", "seconds", "gauge", "Time from the request to the end of the answer", usual=(0, 2), digits=2, decimals=3, noise=0.2),
    _m("portal_certificate_days", "portal", "count", "fact", "Days until the server's certificate ends", usual=(21, inf), levels=(7.0, 21.0), dead_band=1),
    # -- printers
    _m("printer_state", "printers", "word", "state", "What the printer is doing, the device's own word before that of the print server", words=("idle", "processing", "stopped", "unreachable", "unknown")),
    _m("printer_causes", "printers", "word", "states", "Canonical causes that trouble the printer (protocol.causes)"),
    _m("printer_reasons", "printers", "word", "states", "The raw keywords as the printer or the print server said them"),
    _m("printer_accepting", "printers", "bool", "fact", "1 if the queue accepts new documents", usual=(1, 1), dead_band=0.5),
    _m("printer_paused", "printers", "bool", "fact", "1 if the queue is stopped at the print server", usual=(0, 0), dead_band=0.5),
    _m("printer_heal_outcome", "printers", "word", "state", "What the agent did for a queue that stopped", words=("none", "switched_off", "left_alone", "waiting", "resumed", "refused", "gave_up")),
    _m("printer_heal_reason", "printers", "word", "state", "Why it did that", words=("none", "cause_present", "settling", "cause_gone", "by_hand", "unclear", "documents_unknown", "same_document", "too_often", "cause_unknown", "printer_unknown", "server_denied", "server_failed", "not_recorded")),
    _m("printer_heal_causes", "printers", "word", "states", "Canonical causes for which the queue stopped"),
    _m("printer_heals_count", "printers", "count", "fact", "How often the agent resumed this queue since it was installed", dead_band=1),
    _m("printer_jobs_count", "printers", "count", "gauge", "Documents that wait or print", usual=(0, 5), levels=(5.0, 10.0), level_slack=2),
    _m("printer_oldest_job_age_seconds", "printers", "seconds", "gauge", "Age of the oldest document that is not printed yet", usual=(0, 120), levels=(180.0,), level_slack=60, digits=3, decimals=0),
    _m("printer_pages_count", "printers", "count", "fact", "Pages printed in the printer's life; told with what else moves, for themselves every 50", dead_band=50, digits=9),
    _m("printer_address", "printers", "word", "state", "host:port of a network printer, or usb, or local"),
    _m("printer_uuid", "printers", "word", "state", "The printer's own identity, where it has one"),
    _m("printer_model", "printers", "word", "state", "Make and model as the printer tells"),
    _m("printer_source", "printers", "word", "state", "Who told the state: the device over ipp or snmp, or the print server's memory", words=("device_ipp", "device_snmp", "print_server", "probed_elsewhere")),
    _m("supply_level_ratio", "printers", "ratio", "fact", "What is left in a supply, 0 to 1; a receptacle counts the room left", usual=(0.1, 1), levels=(0.01, 0.1), level_slack=0.04, dead_band=0.01, digits=3),
    _m("supply_kind", "printers", "word", "state", "Toner, ink, drum, waste and so on"),
    _m("supply_colour", "printers", "word", "state", "Colour of a supply"),
    _m("tray_level_ratio", "printers", "ratio", "fact", "Paper left in a tray", usual=(0.1, 1), levels=(0.01, 0.1), level_slack=0.04, dead_band=0.05, digits=3),
    _m("tray_media", "printers", "word", "state", "Paper that a tray holds"),
    # -- where people wait
    _m("queue_waiting_count", "queues", "count", "gauge", "People waiting", usual=(0, 20), levels=(1.0, 10.0, 20.0, 40.0), level_slack=1),
    _m("queue_longest_wait_seconds", "queues", "seconds", "gauge", "How long the person who came first has waited", usual=(0, 1800), levels=(1800.0, 3600.0), level_slack=300, digits=3, decimals=0),
    _m("queue_average_wait_seconds", "queues", "seconds", "gauge", "Mean wait of those who wait", usual=(0, 900), digits=3, decimals=0, noise=30),
    _m("queue_served_last_hour_count", "queues", "count", "gauge", "People served in the last 60 minutes", usual=(0, 40)),
    _m("queue_abandoned_last_hour_count", "queues", "count", "gauge", "People who left unserved in the last 60 minutes", usual=(0, 5)),
    _m("queue_counters_open_count", "queues", "count", "fact", "Counters that serve now", dead_band=1),
    _m("queue_counters_total_count", "queues", "count", "fact", "Counters there are", dead_band=1),
    _m("queue_observed_at_seconds", "queues", "seconds", "fact", "Unix time at which the source says this was so", dead_band=1e12, digits=10),
    _m("queue_stale", "queues", "bool", "fact", "1 if the source did not renew its figures in time", usual=(0, 0), dead_band=0.5),
)  # fmt: skip

CATALOGUE: dict[str, Metric] = {metric.name: metric for metric in _ALL}
assert len(CATALOGUE) == len(_ALL), "a metric stands twice in the catalogue"

COLLECTORS: tuple[str, ...] = tuple(dict.fromkeys(metric.collector for metric in _ALL))
"""Every collector that may send a change, in the catalogue's order."""
