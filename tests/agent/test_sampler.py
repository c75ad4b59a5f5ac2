import threading

import pytest
from tests.agent.clocks import TurnedClock

from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.loop import Loop
from annexfleet_agent.sampler import Sampler


class Measured:
    """What a sampler's collectors did."""

    def __init__(self):
        self.clock = TurnedClock()
        self.loop = Loop(self.clock)
        self.heard = []
        self.passes = 0
        self.reports = []

    def collector(self, name, **settings):
        return Collector(name=name, collect=Report, **settings)

    def on_report(self, collector, report):
        self.heard.append((collector.name, self.clock.mono() - 1000))
        self.reports.append(report)

    def on_pass(self):
        self.passes += 1

    def sampler(self, *collectors, period_s=30.0):
        return Sampler(self.loop, collectors, self.on_report, period_s=period_s, on_pass=self.on_pass)

    def run(self, seconds, step=0.1):
        for _ in range(round(seconds / step)):
            self.loop.step()
            self.clock.turn(step)
        self.loop.step()

    def times(self, name):
        return [round(at, 1) for who, at in self.heard if who == name]


@pytest.fixture
def measured():
    measured = Measured()
    yield measured
    measured.loop.close()


def test_first_passes_are_staggered_and_later_ones_come_together(measured):
    measured.sampler(*[measured.collector(name) for name in ("cpu", "load", "memory")])

    measured.run(35)

    assert [times[0] for times in map(measured.times, ("cpu", "load", "memory"))] == [0, 0.1, 0.2]
    assert measured.times("cpu")[1] == measured.times("load")[1] == measured.times("memory")[1] == 30
    assert measured.passes == 4


def test_each_collector_has_its_period(measured):
    measured.sampler(measured.collector("cpu"), measured.collector("updates", period_s=100.0), period_s=10)

    measured.run(205, step=1)

    assert len(measured.times("cpu")) == 21
    assert len(measured.times("updates")) == 3


def test_a_collector_that_fails_spoils_only_itself(measured, caplog):
    def broken():
        raise PermissionError("no")

    measured.sampler(Collector(name="cpu", collect=broken), measured.collector("load"))

    measured.run(1)

    assert [name for name, _ in measured.heard] == ["cpu", "load"]
    assert measured.reports[0].codes() == {"": {"*": "denied"}}
    assert "cpu" in caplog.text


def test_watching_samples_every_two_seconds_and_then_no_more(measured):
    sampler = measured.sampler(measured.collector("cpu"), measured.collector("updates", kept_fresh=False))
    measured.run(5)

    sampler.watch(10)
    measured.run(60)

    watched = [at for at in measured.times("cpu") if 5 < at <= 16]
    assert len(watched) in (5, 6)
    assert measured.times("cpu")[-1] - measured.times("cpu")[-2] >= 29
    assert measured.times("updates") == pytest.approx([0.1, 30.1, 60.1], abs=0.2)


def test_watching_can_be_ended_and_asked_for_again(measured):
    sampler = measured.sampler(measured.collector("cpu"))
    sampler.watch(900)
    measured.run(6)
    sampler.watch(0)
    before = len(measured.heard)

    measured.run(20)

    assert len(measured.heard) <= before + 1
    assert not sampler.watched


def test_what_was_slept_through_is_not_made_up_for(measured):
    measured.sampler(measured.collector("cpu"))
    measured.run(1)

    measured.clock.turn(3600)
    measured.run(1)

    assert len(measured.heard) == 2


def test_a_shorter_period_is_heeded_at_once(measured):
    sampler = measured.sampler(measured.collector("cpu"), period_s=3600)
    measured.run(2)

    sampler.set_period(5)
    measured.run(6)

    assert len(measured.heard) == 2


def test_a_blocking_collector_keeps_nobody_waiting(measured):
    release = threading.Event()

    def slow():
        release.wait(5)
        report = Report()
        report.put("", "cpu_count", threading.get_ident())
        return report

    measured.sampler(Collector(name="portal", collect=slow, blocking=True), measured.collector("load"))
    measured.run(1)
    assert [name for name, _ in measured.heard] == ["load"]

    release.set()
    assert measured.loop.run_until(lambda: len(measured.heard) == 2)
    assert measured.reports[1].readings[""]["cpu_count"] != threading.get_ident()


def test_a_collector_that_hangs_is_told_once_and_asked_again_when_it_is_free(measured):
    release = threading.Event()
    asked = []

    def hangs():
        asked.append(1)
        release.wait(10)
        return Report()

    measured.sampler(Collector(name="portal", collect=hangs, blocking=True, deadline_s=5))
    measured.run(1)
    assert measured.loop.run_until(lambda: bool(asked))

    measured.run(100, step=1)
    assert [report.codes() for report in measured.reports] == [{"": {"*": "timed_out"}}]
    assert len(asked) == 1

    release.set()

    def asked_again():
        measured.clock.turn(1)
        return len(asked) > 1

    assert measured.loop.run_until(asked_again)


def test_nothing_is_heard_after_the_end(measured):
    sampler = measured.sampler(measured.collector("cpu"))
    measured.run(1)

    sampler.stop()
    measured.run(100, step=10)

    assert len(measured.heard) == 1
