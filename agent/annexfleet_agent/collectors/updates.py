"""How many packages wait to be upgraded, and how many of them for security's sake."""

import re

from annexfleet_agent.collectors.programs import find, output_of
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree

_PERIOD_S = 86_400.0
_TIMEOUT_S = 240.0
"""4 s of processor time on a desktop; a tablet that is busy takes its time, at the lowest priority."""
_METRICS = ("updates_pending_count", "updates_security_pending_count")
_UPGRADE = re.compile(r"^Inst \S+ \[[^\]]*\] \((?P<origin>[^)]*)\)")
"""A line of `apt-get -s upgrade`; a package that is new has no old version in square brackets."""


def collector(tree: Tree) -> Collector:
    """Asked once a day, gently.  Nothing is fetched: it is what the machine knew at its last `apt-get update`.

    Source: apt-get --simulate; on a simulated tree, and where there is no apt-get: unsupported.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", *_METRICS):
            apt_get = find("apt-get")
            if tree.root or apt_get is None:
                raise NotImplementedError("apt-get is not here")
            argv = [apt_get, "-s", "-qq", "--with-new-pkgs", "-o", "Debug::NoLocking=1", "upgrade"]
            pending, security = parse(output_of(argv, timeout_s=_TIMEOUT_S, gently=True))
            report.put("", "updates_pending_count", pending)
            report.put("", "updates_security_pending_count", security)
        return report

    return Collector(
        name="updates", collect=collect, period_s=_PERIOD_S, blocking=True, deadline_s=_TIMEOUT_S + 10, kept_fresh=False
    )


def parse(printed: str) -> tuple[int, int]:
    """Upgrades and, of these, security upgrades, from what `apt-get -s upgrade` printed."""
    origins = [match["origin"] for line in printed.splitlines() if (match := _UPGRADE.match(line))]
    return len(origins), sum("security" in origin.lower() for origin in origins)
