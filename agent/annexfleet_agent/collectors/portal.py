"""Whether the portals that citizens and staff need can be reached from here, and where it stops if not.

Each check runs in a thread of its own, four at a time, because looking a name up may hang and cannot be interrupted.
A thread that outlives its check's time is given up: the portal counts as timed out where the check stood, and is not
asked again before the thread has ended.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.portalcheck import Finding, check, parse_url
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.http1 import system_trust
from annexfleet_agent.protocol.messages import Portal
from annexfleet_agent.settings import PortalCheck, Settings

_PERIOD_S = 60.0
_AT_A_TIME = 4
_PATIENCE_S = 15.0
"""A pass waits no longer; what is still running then is told by the next pass."""
_GRACE_S = 0.5
"""A check ends itself at its deadline, unless it hangs in the look-up of a name."""
_STEPS = ("dns", "tcp", "tls", "http", "total")


def collector(
    settings: Settings,
    clock: Clock,
    desired: Callable[[], Sequence[Portal]] = tuple,
    *,
    trust: Callable[[], ssl.SSLContext] | None = None,
) -> Collector:
    """One subject `portal:<name>` for each portal of agent.toml and each that the controller wishes besides.

    Of two with one name that of agent.toml counts.  Only agent.toml may give a url with credentials.  `trust` gives the
    certificates to believe in; by default those of the system, loaded at the first https check.
    """
    checks = _Checks(clock, trust or system_trust)

    def collect() -> Report:
        report = Report()
        portals = list(settings.portal)
        names = {portal.name for portal in portals}
        for wish in desired():
            if wish.name in names:
                continue
            if _bears_credentials(wish.url):
                report.miss(f"portal:{wish.name}", "*", "denied", "only agent.toml may give a url with credentials")
            else:
                portals.append(_as_check(wish))
            names.add(wish.name)
        for portal, finding in checks.run(portals):
            put(report, portal.name, finding)
        return report

    return Collector(
        name="portal",
        collect=collect,
        period_s=min((portal.period_s for portal in settings.portal), default=_PERIOD_S),
        blocking=True,
        deadline_s=_PATIENCE_S + 10,
        kept_fresh=False,
    )


def put(report: Report, name: str, finding: Finding) -> None:
    """A finding as readings.  If there was no answer, the reason stands where the time of the whole check would."""
    subject = f"portal:{name}"
    failed = finding.stage != "none"
    report.put(subject, "portal_up", int(not failed))
    report.put(subject, "portal_failed_stage", finding.stage)
    if finding.status is not None:
        report.put(subject, "portal_status_code", finding.status)
    for step in _STEPS:
        if step in finding.seconds:
            report.put(subject, f"portal_{step}_seconds", finding.seconds[step])
    if finding.certificate_days is not None:
        report.put(subject, "portal_certificate_days", finding.certificate_days)
    if failed and "total" not in finding.seconds:
        report.miss(subject, "portal_total_seconds", finding.code, finding.detail)


def _as_check(wish: Portal) -> PortalCheck:
    return PortalCheck(
        name=wish.name, url=wish.url, expect_status=wish.expect_status, expect_text=wish.expect_text, period_s=_PERIOD_S
    )


def _bears_credentials(url: str) -> bool:
    try:
        return "@" in parse_url(url).netloc
    except ValueError:
        return False  # the check says what is wrong with it


class _Run:
    """A check that was started."""

    def __init__(self, patience_s: float) -> None:
        self.finding = Finding(stage="dns")
        self.over = False
        self.give_up_at = time.monotonic() + patience_s

    def ending(self) -> Finding | None:
        """What came out, if it ended or is overdue; else None."""
        if self.over:
            return self.finding
        if time.monotonic() < self.give_up_at:
            return None
        # A copy: the thread may go on writing into its own.
        return Finding(
            self.finding.stage, "timed_out", "it did not end in its time", seconds=dict(self.finding.seconds)
        )


class _Watched:
    """A portal, when it is due, what was found last, and the check that was started last."""

    def __init__(self) -> None:
        self.due = float("-inf")
        self.found: Finding | None = None
        self.run: _Run | None = None
        self.settled = True

    def settle(self) -> bool:
        """Take the running check's finding if there is one; whether nothing is left to wait for."""
        if not self.settled and self.run is not None and (found := self.run.ending()):
            self.found, self.settled = found, True
        return self.settled

    def may_start(self, now: float) -> bool:
        return self.due <= now and self.settled and (self.run is None or self.run.over)


class _Checks:
    def __init__(self, clock: Clock, trust: Callable[[], ssl.SSLContext]) -> None:
        self._clock = clock
        self._trust = trust
        self._watched: dict[PortalCheck, _Watched] = {}
        # Released by every check that ends, also by one that an earlier pass started.
        self._ended = threading.Semaphore(0)

    def run(self, portals: Sequence[PortalCheck]) -> Iterator[tuple[PortalCheck, Finding]]:
        """Check what is due, wait for it within the patience, and give the newest finding of each that has one."""
        self._watched = {portal: self._watched.get(portal) or _Watched() for portal in portals}
        now = self._clock.mono()
        until = time.monotonic() + _PATIENCE_S
        running = [watched for watched in self._watched.values() if not watched.settle()]
        waiting = [portal for portal, watched in self._watched.items() if watched.may_start(now)]
        while (running or waiting) and time.monotonic() < until:
            while waiting and len(running) < _AT_A_TIME:
                running.append(self._start(waiting.pop(0), now))
            until_next = min([until, *(watched.run.give_up_at for watched in running if watched.run)])
            self._ended.acquire(timeout=max(0.0, until_next - time.monotonic()))
            running = [watched for watched in running if not watched.settle()]
        for portal, watched in self._watched.items():
            if watched.found is not None:
                yield portal, watched.found

    def _start(self, portal: PortalCheck, now: float) -> _Watched:
        run = _Run(portal.timeout_s + _GRACE_S)

        def work() -> None:
            check(portal, run.finding, trust=self._trust, now=self._clock.now)
            run.over = True
            self._ended.release()

        watched = self._watched[portal]
        watched.run, watched.settled = run, False
        watched.due = now + 0.9 * portal.period_s  # a pass may come a little early, and shall not be skipped then
        threading.Thread(target=work, name=f"portal-{portal.name}", daemon=True).start()
        return watched
