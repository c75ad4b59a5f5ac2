"""systemd units that failed."""

import msgspec

from annexfleet_agent.collectors.programs import find, output_of
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree

_PERIOD_S = 300.0
_MOST_NAMED = 32
_METRICS = ("units_failed", "units_failed_count")


def collector(tree: Tree) -> Collector:
    """Unsupported where systemd does not run the machine.

    Source: systemctl list-units --failed, as JSON since systemd 246 and as a table before.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", *_METRICS):
            systemctl = find("systemctl")
            if systemctl is None or not tree.exists("/run/systemd/system"):
                raise NotImplementedError("systemd does not run this machine")
            argv = [systemctl, "list-units", "--failed", "--all", "--full", "--plain", "--no-legend", "--no-pager"]
            units = parse(output_of([*argv, "--output=json"], timeout_s=10))
            report.put("", "units_failed", sorted({without_names(unit) for unit in units})[:_MOST_NAMED])
            report.put("", "units_failed_count", len(units))
        return report

    return Collector(name="units", collect=collect, period_s=_PERIOD_S, blocking=True, kept_fresh=False)


def parse(printed: str) -> list[str]:
    """Names of units from what systemctl printed."""
    if printed.lstrip().startswith("["):
        return [str(row["unit"]) for row in msgspec.json.decode(printed)]
    return [words[0] for line in printed.splitlines() if (words := line.split())]


def without_names(unit: str) -> str:
    """A unit's name without what could name a person: a home directory or a stick that somebody plugged in."""
    for beginning in ("home-", "media-", "run-media-", "run-user-"):
        if unit.startswith(beginning):
            return f"{beginning}*.{unit.rpartition('.')[2]}"
    return unit[:256]
