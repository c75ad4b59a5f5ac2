"""Any course of verdicts and of time: what an alert never does."""

from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.controller.alerts.trouble import START, verdict
from tests.controller.alerts.trouble import rule as rule_of
from tests.drawing import examples

from annexfleet_controller.alerts import lifecycle
from annexfleet_controller.alerts.lifecycle import happened, step, without_verdict
from annexfleet_controller.calendars import ALWAYS_OPEN, DEFAULT
from annexfleet_controller.rules.model import Rule
from annexfleet_controller.things import Alert, Level

MINUTES = st.sampled_from([0.0, 0.5, 1.0, 3.0, 5.0, 5.0, 5.0, 9.0, 16.0, 60.0, 400.0, 900.0])
"""Steps of time; the long ones are nights, and a controller that was off."""


class Alerts(RuleBasedStateMachine):
    """One thing and one rule.  `rows` is what the store has: the newest is told to `step`."""

    of: Rule = rule_of()

    @initialize(
        for_s=st.sampled_from([0.0, 60.0, 300.0, 900.0]),
        clear_for_s=st.sampled_from([0.0, 60.0, 600.0]),
        samples=st.integers(1, 3),
        only_open=st.booleans(),
        grace_s=st.sampled_from([0.0, 1800.0]),
    )
    def begin(self, for_s: float, clear_for_s: float, samples: int, only_open: bool, grace_s: float) -> None:
        self.of = rule_of(
            for_s=for_s, clear_for_s=clear_for_s, samples=samples, only_open=only_open, opening_grace_s=grace_s
        )
        self.calendar = DEFAULT if only_open else ALWAYS_OPEN
        self.now = START
        self.rows: list[Alert] = []
        self.raises: list[datetime] = []
        """Moments of evidence since it was last not raised, as far as they follow each other closely."""
        self.newest = START - timedelta(days=1)

    @rule(minutes=MINUTES)
    def time_passes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(
        level=st.sampled_from(["raise", "raise", "raise", "hold", "clear", "clear"]),
        lag=st.sampled_from([0.0, 0.0, 2.0, 30.0]),
    )
    def something_is_heard(self, level: Level, lag: float) -> None:
        self._judged(level, max(self.newest, self.now - timedelta(minutes=lag)))

    @rule()
    def the_same_is_judged_again(self) -> None:
        if self.raises:
            self._judged("raise", self.raises[-1])

    @rule()
    def nothing_is_known(self) -> None:
        before = self._last()
        self._judged("unknown", self.newest)
        after = self._last()
        if before is not None:
            assert after is None or after.state == before.state, "silence opens nothing and clears nothing"

    @rule()
    def the_thing_is_taken_away(self) -> None:
        last = self._last()
        if last is not None:
            self._store(last, without_verdict(last, gone=True, now=self.now))
            self.raises = []

    def _judged(self, level: Level, evidence_at: datetime) -> None:
        minutes = (evidence_at - START).total_seconds() / 60
        before = self._last()
        if before is not None and before.state == "cleared" and self.now - before.cleared_at > lifecycle.RETURNS_WITHIN:  # type: ignore[operator]
            before = None
        said = verdict(level, minutes)
        after = step(before, said, self.of, calendar=self.calendar, now=self.now)
        assert step(after, said, self.of, calendar=self.calendar, now=self.now) == after
        self._note(level, evidence_at)
        if after is not None and after.state == "open" and (before is None or before.state != "open"):
            self._may_open(before, after)
        if before is not None and after is not None and after.state == "cleared" != before.state:
            assert level == "clear", "only evidence clears"
        self._store(before, after)

    def _note(self, level: Level, evidence_at: datetime) -> None:
        longest = max(lifecycle.LONGEST_GAP, timedelta(seconds=self.of.for_s))
        if level == "clear" or (level == "raise" and self.raises and evidence_at - self.raises[-1] > longest):
            self.raises = []
        if level == "raise" and (not self.raises or evidence_at > self.raises[-1]):
            self.raises.append(evidence_at)
        self.newest = max(self.newest, evidence_at)

    def _may_open(self, before: Alert | None, after: Alert) -> None:
        if self.of.only_open:
            assert self.calendar.is_open(self.now)
            assert (self.now - self.calendar.opened_at(self.now)).total_seconds() >= self.of.opening_grace_s  # type: ignore[operator]
        if before is not None and before.state == "cleared":
            assert after.flaps == before.flaps + 1
            assert self.now - before.cleared_at <= lifecycle.RETURNS_WITHIN  # type: ignore[operator]
            return
        assert len(self.raises) >= self.of.samples
        until = self.now if self.of.samples == 1 else self.raises[-1]
        assert self.calendar.open_seconds(self.raises[0], until) >= self.of.for_s

    def _last(self) -> Alert | None:
        return self.rows[-1] if self.rows else None

    def _store(self, before: Alert | None, after: Alert | None) -> None:
        """As the store does: an alert that was told is replaced, a new one stands beside the cleared one."""
        is_new = before is None or (before.state == "cleared" and after != before and happened(before, after) == "")
        if not is_new:
            self.rows.pop()
        if after is not None:
            self.rows.append(after)

    @invariant()
    def at_most_one_is_live(self) -> None:
        assert sum(row.state != "cleared" for row in getattr(self, "rows", [])) <= 1

    @invariant()
    def moments_make_sense(self) -> None:
        for row in getattr(self, "rows", []):
            assert row.since <= row.evidence_at <= self.now
            assert (row.opened_at is None) == (row.state == "pending")
            assert (row.cleared_at is None) == (row.state != "cleared")
            assert row.clearing_since is None or row.state == "open"


Alerts.TestCase.settings = settings(max_examples=examples(150), stateful_step_count=40, deadline=None)
TestAlerts = Alerts.TestCase
