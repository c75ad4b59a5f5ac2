"""How hot the processor is."""

from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from annexfleet_agent.collectors.report import Collector, Report

_CHIPS = (
    *("coretemp", "k10temp", "zenpower", "k8temp", "cpu", "soc_thermal"),
    *("bigcore", "littlecore", "scpi_sensors"),
)
_ZONES = ("x86_pkg_temp", "soc", "acpitz", "mtktscpu", "tsens_tz")
"""Beginnings of the names of drivers that measure at the processor, not at a drive or a network card; zones are asked
where no such chip answers."""
_METRIC = "temperature_celsius"


def collector() -> Collector:
    """The hottest sensor near the processor.  A virtual machine, which has none, says nothing.

    Source: psutil.sensors_temperatures, which Windows lacks.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", _METRIC):
            sensors = psutil.sensors_temperatures()
            celsius = _near(sensors, _CHIPS) or _near(sensors, _ZONES)
            if celsius:
                report.put("", _METRIC, max(celsius))
        return report

    return Collector(name="temperature", collect=collect, period_s=60)


def _near(sensors: Mapping[str, Sequence[Any]], names: tuple[str, ...]) -> list[float]:
    """Degrees of the sensors so named, without what one says that is not there (0, -128, 255)."""
    found = [entry.current for name, entries in sensors.items() if name.lower().startswith(names) for entry in entries]
    return [celsius for celsius in found if 0 < celsius < 150]
