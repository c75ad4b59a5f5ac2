"""Whether an update waits for a restart."""

from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree

_PERIOD_S = 300.0
_MARK = "/run/reboot-required"


def collector(tree: Tree) -> Collector:
    """1 or 0 on systems that leave a mark (Debian, Ubuntu); unsupported elsewhere.

    Source: /run/reboot-required, which package scripts create and a restart removes.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", "reboot_required"):
            if tree.exists(_MARK) or tree.exists("/var" + _MARK):
                report.put("", "reboot_required", 1)
            elif tree.exists("/var/lib/dpkg/status"):
                report.put("", "reboot_required", 0)
            else:
                report.miss("", "reboot_required", "unsupported", "this system leaves no mark")
        return report

    return Collector(name="reboot", collect=collect, period_s=_PERIOD_S, kept_fresh=False)
