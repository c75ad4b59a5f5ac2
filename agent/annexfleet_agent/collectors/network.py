"""Links: whether they have a carrier, how much goes over them, what breaks, and how strong the Wi-Fi is."""

import json
from collections.abc import Callable
from typing import NamedTuple

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.programs import find, output_of
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree, ask_psutil

_MOST_LINKS = 8
_VIRTUAL = (
    *("lo", "veth", "docker", "br-", "virbr", "vnet", "tap", "dummy", "ifb"),
    *("sit", "ip6tnl", "tunl", "bonding_masters"),
)
"""Beginnings of the names of links that lead nowhere outside the machine."""
_RATES = ("network_received_bytes_per_second", "network_sent_bytes_per_second", "network_errors_per_second")
_WIFI = "wifi_signal_dbm"


class Counts(NamedTuple):
    """What a link has counted since it exists."""

    received_bytes: float
    sent_bytes: float
    errors: float


def collector(tree: Tree, clock: Clock, *, signals: Callable[[], dict[str, float]] | None = None) -> Collector:
    """Rates are those of the time since the pass before, so the first pass has none.

    `signals` gives dBm by link where no file does; by default Termux's program is used where it is installed.
    Only a collector that runs a program is blocking.
    Source: /sys/class/net, /proc/net/dev, /proc/net/wireless; elsewhere psutil.
    """
    before: dict[str, Counts] = {}
    before_at = clock.mono()
    if signals is None and not tree.root and (program := find("termux-wifi-connectioninfo")):
        signals = _termux(program)

    def collect() -> Report:
        nonlocal before, before_at
        report = Report()
        now = clock.mono()
        counts: dict[str, Counts] = {}
        with report.trying("", "network_link_up", *_RATES):
            counts = _counts(tree, report)
            for link, count in counts.items():
                _rates(report, link, before.get(link), count, now - before_at)
            before, before_at = counts, now
        with report.trying("", _WIFI):
            _wifi(report, tree, list(counts), signals)
        return report

    if signals is None:
        return Collector(name="network", collect=collect)
    return Collector(name="network", collect=collect, blocking=True, period_s=60, kept_fresh=False)


def _counts(tree: Tree, report: Report) -> dict[str, Counts]:
    """The counts of each link; puts what else is known of it."""
    if tree.foreign:
        return _foreign(report)
    try:
        links = real_links(tree)
    except PermissionError:  # Android hides /sys/class/net
        links = []
    counts = parse_dev(tree.text("/proc/net/dev"))
    for link in links or [name for name in counts if not name.startswith(_VIRTUAL)][:_MOST_LINKS]:
        _carrier(tree, report, link)
    known = {subject.removeprefix("net:") for subject in report.readings}
    return {link: count for link, count in counts.items() if link in known}


def real_links(tree: Tree) -> list[str]:
    """Links with hardware behind them; in a container, where none has, those that lead out of it.

    Raises OSError if /sys/class/net cannot be listed.
    """
    names = [name for name in tree.names("/sys/class/net") if not name.startswith(_VIRTUAL)]
    hardware = [name for name in names if tree.exists(f"/sys/class/net/{name}/device")]
    return (hardware or names)[:_MOST_LINKS]


def _carrier(tree: Tree, report: Report, link: str) -> None:
    folder = f"/sys/class/net/{link}"
    try:
        up = tree.text(f"{folder}/carrier") == "1"
    except PermissionError:
        return report.miss(f"net:{link}", "network_link_up", "denied", f"{folder}/carrier")
    except FileNotFoundError:  # /proc/net/dev names it, /sys does not show it
        return report.put(f"net:{link}", "network_link_up", 1)
    except OSError:  # EINVAL: it is switched off
        up = False
    report.put(f"net:{link}", "network_link_up", int(up))
    megabits = tree.number(f"{folder}/speed")  # -1, or an error, where the link has no fixed speed
    if up and megabits is not None and megabits > 0:
        report.put(f"net:{link}", "network_link_bits_per_second", megabits * 1e6)
    return None


def _rates(report: Report, link: str, old: Counts | None, new: Counts, seconds: float) -> None:
    subject = f"net:{link}"
    if old is None or seconds <= 0 or any(n < o for n, o in zip(new, old, strict=True)):
        return  # the counters began anew: the driver was loaded again
    if not report.readings[subject]["network_link_up"]:
        return  # nothing is not worth 0
    for metric, n, o in zip(_RATES, new, old, strict=True):
        report.put(subject, metric, (n - o) / seconds)


def parse_dev(text: str) -> dict[str, Counts]:
    """Counts by link from the text of /proc/net/dev.

    Frames dropped while receiving are not counted: most are frames of protocols that nobody here speaks.
    """
    counts = {}
    for line in text.splitlines()[2:]:
        name, colon, rest = line.partition(":")
        words = rest.split()
        if colon and len(words) >= 16:
            # received: bytes packets errs drop fifo frame compressed multicast; sent: bytes packets errs drop ...
            errors = float(words[2]) + float(words[10]) + float(words[11])
            counts[name.strip()] = Counts(float(words[0]), float(words[8]), errors)
    return counts


def _foreign(report: Report) -> dict[str, Counts]:
    psutil = ask_psutil()
    counts: dict[str, Counts] = {}
    counters = psutil.net_io_counters(pernic=True)
    for link, state in list(psutil.net_if_stats().items()):
        of = counters.get(link)
        if of is None or link.lower().startswith(("lo", "veth", "vethernet")) or len(counts) >= _MOST_LINKS:
            continue
        report.put(f"net:{link}", "network_link_up", int(state.isup))
        if state.isup and state.speed > 0:
            report.put(f"net:{link}", "network_link_bits_per_second", state.speed * 1e6)
        counts[link] = Counts(of.bytes_recv, of.bytes_sent, of.errin + of.errout + of.dropout)
    return counts


# -- Wi-Fi ------------------------------------------------------------------------------------------------------------


def _wifi(report: Report, tree: Tree, links: list[str], signals: Callable[[], dict[str, float]] | None) -> None:
    if signals is not None:
        for link, dbm in signals().items():
            report.put(f"net:{link}", _WIFI, dbm)
        return
    if tree.foreign:
        return
    heard = parse_wireless(tree.text_or("/proc/net/wireless"))
    for link in links:
        subject = f"net:{link}"
        if link in heard:
            report.put(subject, _WIFI, heard[link])
        elif tree.exists(f"/sys/class/net/{link}/phy80211") and report.readings[subject]["network_link_up"]:
            report.miss(subject, _WIFI, "unsupported", "the driver does not fill /proc/net/wireless")


def parse_wireless(text: str) -> dict[str, float]:
    """dBm by link from the text of /proc/net/wireless."""
    heard = {}
    for line in text.splitlines()[2:]:
        name, colon, rest = line.partition(":")
        words = rest.split()
        if not colon or len(words) < 3:
            continue
        level = float(words[2].rstrip("."))
        if level > 0:  # some drivers give the byte unsigned
            level -= 256
        if -120 <= level < 0:
            heard[name.strip()] = level
    return heard


def _termux(program: str) -> Callable[[], dict[str, float]]:
    def signals() -> dict[str, float]:
        told = json.loads(output_of([program], timeout_s=10))
        # -127 is what Android says while it is not connected.
        return {"wlan0": float(told["rssi"])} if told.get("rssi", -127) > -127 else {}

    return signals
