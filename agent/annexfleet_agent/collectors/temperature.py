"""How hot the processor is."""

from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree, ask_psutil

_CHIPS = (
    *("coretemp", "k10temp", "zenpower", "k8temp", "cpu", "soc_thermal"),
    *("bigcore", "littlecore", "scpi_sensors"),
)
_ZONES = ("x86_pkg_temp", "cpu", "soc", "acpitz", "bigcore", "littlecore", "mtktscpu", "tsens_tz")
"""Beginnings of the names of drivers and zones that measure at the processor, not at a drive or a network card."""
_METRIC = "temperature_celsius"


def collector(tree: Tree) -> Collector:
    """The hottest sensor near the processor.  A virtual machine, which has none, says nothing.

    Source: /sys/class/hwmon, else /sys/class/thermal; elsewhere psutil.sensors_temperatures, which Windows lacks.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", _METRIC):
            celsius = _foreign() if tree.foreign else _hwmon(tree) or _zones(tree)
            if celsius:
                report.put("", _METRIC, max(celsius))
        return report

    return Collector(name="temperature", collect=collect)


def _hwmon(tree: Tree) -> list[float]:
    found = []
    for chip in _names(tree, "/sys/class/hwmon"):
        folder = f"/sys/class/hwmon/{chip}"
        if tree.text_or(f"{folder}/name").startswith(_CHIPS):
            inputs = [name for name in _names(tree, folder) if name.startswith("temp") and name.endswith("_input")]
            found += [tree.number(f"{folder}/{name}") for name in inputs]
    return believable(found)


def _zones(tree: Tree) -> list[float]:
    names = [name for name in _names(tree, "/sys/class/thermal") if name.startswith("thermal_zone")]
    zones = [f"/sys/class/thermal/{name}" for name in names]
    near = [zone for zone in zones if tree.text_or(f"{zone}/type").lower().startswith(_ZONES)]
    return believable([tree.number(f"{zone}/temp") for zone in near])


def _names(tree: Tree, folder: str) -> list[str]:
    try:
        return tree.names(folder)
    except FileNotFoundError:
        return []


def believable(millidegrees: list[float | None]) -> list[float]:
    """Degrees Celsius, without what a sensor says that is not there (0, -128, 255)."""
    return [value / 1000 for value in millidegrees if value is not None and 0 < value < 150_000]


def _foreign() -> list[float]:
    sensors = ask_psutil().sensors_temperatures()
    near = [entry.current for chip, entries in sensors.items() if chip.startswith(_CHIPS) for entry in entries]
    return believable([celsius * 1000 for celsius in near])
