"""Batteries and mains.  A device without a battery says nothing."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import psutil

from annexfleet_agent.collectors.programs import find, output_of
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree

_FOLDER = "/sys/class/power_supply"
_CHARGE, _MAINS = "battery_charge_ratio", "battery_on_mains"
_HEALTH, _CYCLES = "battery_health_ratio", "battery_cycles_count"


class Pack(NamedTuple):
    """One battery of a device; amounts are all in the same unit within a pack."""

    charge: float | None
    """0 to 1."""
    status: str
    full: float | None
    design: float | None
    cycles: float | None


def collector(tree: Tree, *, termux: Callable[[], dict[str, Any]] | None = None) -> Collector:
    """Charge, mains, wear and cycles.  Two packs count as one battery.

    `termux` gives what `termux-battery-status` prints; by default that program is used where it is installed, and only
    then is the collector blocking.
    Source: psutil.sensors_battery; on Linux /sys/class/power_supply, since psutil there asks the first pack only, knows
    it by its name alone (it takes a mouse's for the device's, and misses tablets') and is told no wear; on Android
    Termux:API.
    """
    if termux is None and not tree.root and (program := find("termux-battery-status")):
        termux = lambda: msgspec.json.decode(output_of([program], timeout_s=10))  # noqa: E731

    def collect() -> Report:
        report = Report()
        with report.trying("", _CHARGE, _MAINS):
            if termux is not None:
                _from_termux(report, termux())
            elif psutil.LINUX:
                _from_sysfs(report, tree)
            else:
                _from_psutil(report)
        return report

    if termux is None:
        return Collector(name="battery", collect=collect)
    return Collector(name="battery", collect=collect, blocking=True, period_s=60, kept_fresh=False)


def _from_sysfs(report: Report, tree: Tree) -> None:
    try:
        names = tree.names(_FOLDER)
    except FileNotFoundError:
        return
    packs, mains = [], []
    for name in names:
        folder = f"{_FOLDER}/{name}"
        kind = tree.text(f"{folder}/type")
        if tree.text_or(f"{folder}/scope") == "Device":
            continue  # the battery of a mouse
        if kind in {"Battery", "UPS"} and tree.text_or(f"{folder}/present", "1") == "1":
            packs.append(_pack(tree, folder))
        elif kind in {"Mains", "USB", "Wireless"} and (online := tree.number(f"{folder}/online")) is not None:
            mains.append(online > 0)
    _put(report, packs, mains)


def _pack(tree: Tree, folder: str) -> Pack:
    full = design = now = None
    for quantity in ("energy", "charge"):  # in microwatt hours or microampere hours, as the driver likes
        now = tree.number(f"{folder}/{quantity}_now")
        full = tree.number(f"{folder}/{quantity}_full")
        design = tree.number(f"{folder}/{quantity}_full_design")
        if full:
            break
    percent = tree.number(f"{folder}/capacity")
    charge = percent / 100 if percent is not None else now / full if now is not None and full else None
    return Pack(charge, tree.text_or(f"{folder}/status"), full, design, tree.number(f"{folder}/cycle_count"))


def _put(report: Report, packs: list[Pack], mains: list[bool]) -> None:
    if not packs:
        return
    charges = [(pack.charge, pack.full or 1.0) for pack in packs if pack.charge is not None]
    if charges:
        weight = sum(full for _, full in charges)
        report.put("", _CHARGE, min(1.0, sum(charge * full for charge, full in charges) / weight))
    else:
        report.miss("", _CHARGE, "unsupported", "the battery does not tell its charge")
    statuses = {pack.status for pack in packs}
    if mains:
        report.put("", _MAINS, int(any(mains)))
    elif "Discharging" in statuses:
        report.put("", _MAINS, 0)
    elif statuses & {"Charging", "Full", "Not charging"}:
        report.put("", _MAINS, 1)
    else:  # some tablets say Unknown while they cannot tell; that is not "on mains"
        report.miss("", _MAINS, "unsupported", "the battery does not tell whether it is charged")
    worn = [min(1.0, pack.full / pack.design) for pack in packs if pack.full and pack.design]
    if worn:
        report.put("", _HEALTH, min(worn))
    cycles = [pack.cycles for pack in packs if pack.cycles]  # 0 is what drivers say that do not count
    if cycles:
        report.put("", _CYCLES, int(max(cycles)))


def _from_termux(report: Report, told: dict[str, Any]) -> None:
    report.put("", _CHARGE, float(told["percentage"]) / 100)
    report.put("", _MAINS, int(str(told["plugged"]) != "UNPLUGGED"))
    if told.get("cycle"):
        report.put("", _CYCLES, int(told["cycle"]))


def _from_psutil(report: Report) -> None:
    battery = psutil.sensors_battery()
    if battery is None:
        return
    report.put("", _CHARGE, min(1.0, battery.percent / 100))
    if battery.power_plugged is not None:
        report.put("", _MAINS, int(battery.power_plugged))
