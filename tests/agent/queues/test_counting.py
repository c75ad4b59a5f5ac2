"""All sources in one report: each in its own time, each failing alone."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.agent.queues.servers import ok, serving

from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.protocol.metrics import CATALOGUE
from annexfleet_agent.queues import BadSource, PushBoard, collectors
from annexfleet_agent.queues.rows import METRIC_OF, Row
from annexfleet_agent.settings import Settings

NOW = 1_700_000_000.0


class HandClock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return NOW + self.passed

    def mono(self) -> float:
        return 500.0 + self.passed


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def settings(*queues: dict[str, Any]) -> Settings:
    return msgspec.convert({"queue": list(queues)}, Settings)


def of(clock: HandClock, *queues: dict[str, Any], pushed: PushBoard | None = None) -> Collector:
    (collector,) = collectors(settings(*queues), clock, pushed)
    return collector


def write(path: Path, document: object, at: float = NOW) -> dict[str, Any]:
    """A file source with this document in it."""
    path.write_text(json.dumps(document))
    import os

    os.utime(path, (at, at))
    return {"source": "file", "path": str(path), "service": path.stem}


def test_without_queues_there_is_no_collector(clock: HandClock):
    assert collectors(Settings(), clock) == ()


def test_the_readings_of_a_whole_row_are_those_of_the_catalogue(clock: HandClock, tmp_path: Path):
    document = {
        "waiting": 12, "oldest_at": NOW - 640, "average_wait_s": 210, "served_last_hour": 31, "abandoned_last_hour": 0,
        "counters_open": 3, "counters_total": 5, "observed_at": NOW - 20, "ticket": "A-17", "name": "somebody",
    }  # fmt: skip

    report = of(clock, write(tmp_path / "acts.json", document)).collect()

    assert report.problems == {}
    assert report.readings == {
        "queue:acts": {
            "queue_waiting_count": 12,
            "queue_longest_wait_seconds": 640.0,
            "queue_average_wait_seconds": 210.0,
            "queue_served_last_hour_count": 31,
            "queue_abandoned_last_hour_count": 0,
            "queue_counters_open_count": 3,
            "queue_counters_total_count": 5,
            "queue_observed_at_seconds": NOW - 20,
            "queue_stale": 0,
        }
    }
    queue_metrics = {name for name, metric in CATALOGUE.items() if metric.collector == "queues"}
    assert set(report.readings["queue:acts"]) == queue_metrics
    assert set(METRIC_OF.values()) < queue_metrics


def test_what_is_missing_stays_unknown(clock: HandClock, tmp_path: Path):
    report = of(clock, write(tmp_path / "acts.json", {"served_last_hour": 0})).collect()

    assert set(report.readings["queue:acts"]) == {
        "queue_served_last_hour_count",
        "queue_observed_at_seconds",
        "queue_stale",
    }
    assert report.problems == {}


def test_a_refused_field_is_told_and_costs_no_other(clock: HandClock, tmp_path: Path):
    report = of(clock, write(tmp_path / "acts.json", {"waiting": -3, "counters_open": 2})).collect()

    assert report.readings["queue:acts"]["queue_counters_open_count"] == 2
    assert report.codes() == {"queue:acts": {"queue_waiting_count": "malformed"}}
    assert "below zero" in report.problems["queue:acts"]["queue_waiting_count"].detail


def test_old_figures_are_stale_and_not_drawn_as_if_counted(clock: HandClock, tmp_path: Path):
    collector = of(clock, {**write(tmp_path / "acts.json", {"waiting": 4}), "max_age_s": 60})

    assert collector.collect().readings["queue:acts"]["queue_waiting_count"] == 4
    clock.passed = 61
    report = collector.collect()

    assert report.readings["queue:acts"] == {"queue_observed_at_seconds": NOW, "queue_stale": 1}
    assert report.codes() == {"queue:acts": {"*": "stale"}}


def test_the_wait_grows_between_two_looks_at_the_source(clock: HandClock, tmp_path: Path):
    source = {**write(tmp_path / "acts.json", {"oldest_at": NOW - 100}), "period_s": 60}
    collector = of(clock, source)
    collector.collect()
    (tmp_path / "acts.json").unlink()

    clock.passed = 30

    assert collector.collect().readings["queue:acts"]["queue_longest_wait_seconds"] == 130


def test_each_source_is_asked_in_its_own_period(clock: HandClock):
    with serving(ok(b'{"waiting": 1}')) as slow, serving(ok(b'{"waiting": 2}')) as quick:
        collector = of(
            clock,
            {"source": "http", "service": "slow", "url": slow.url, "period_s": 300},
            {"source": "http", "service": "quick", "url": quick.url, "period_s": 10},
        )
        for second in range(0, 300, 10):
            clock.passed = second
            collector.collect()

    assert (len(slow.heard), len(quick.heard)) == (2, 30)  # the slow one again a tenth before its period is over
    assert collector.period_s == 10
    assert collector.blocking


def test_a_source_fails_alone_and_its_queues_are_named(clock: HandClock, tmp_path: Path):
    with sqlite3.connect(tmp_path / "q.db") as database:
        database.execute("create table q (service text, waiting int)")
        database.execute("insert into q values ('births', 3), ('deaths', 1)")
    database.close()
    collector = of(
        clock,
        {"source": "sql", "path": str(tmp_path / "q.db"), "query": "select service, waiting from q"},
        {"source": "command", "service": "desk", "argv": ["/bin/sh", "-c", "exit 7"]},
        write(tmp_path / "acts.json", {"waiting": 4}),
    )

    report = collector.collect()
    assert {s: r.get("queue_waiting_count") for s, r in report.readings.items()} == {
        "queue:births": 3, "queue:deaths": 1, "queue:acts": 4,
    }  # fmt: skip
    assert report.codes() == {"queue:desk": {"*": "failed"}}

    (tmp_path / "q.db").unlink()
    clock.passed = 30
    report = collector.collect()
    assert set(report.readings) == {"queue:acts"}
    gone = {"*": "unreachable"}
    assert report.codes() == {"queue:births": gone, "queue:deaths": gone, "queue:desk": {"*": "failed"}}


def test_rows_in_a_document_by_expressions(clock: HandClock, tmp_path: Path):
    document = {
        "halls": [{"id": "Etat Civil", "tickets": [{"s": "w"}, {"s": "w"}, {"s": "x"}]}, {"id": 2, "tickets": []}]
    }
    source = {
        **write(tmp_path / "all.json", document),
        "rows": "halls",
        "fields": {"service": "id", "waiting": "len(tickets[s=w])"},
    }

    report = of(clock, source).collect()

    assert {s: r["queue_waiting_count"] for s, r in report.readings.items()} == {"queue:etat-civil": 2, "queue:2": 0}


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        ([], "@"),
        ({"q": {}}, "q"),
        ({}, "q"),
        ([{"waiting": 1}], "@"),
        ([{"service": "a/b"}], "@"),
        (3, ""),
        ("x", ""),
    ],
)
def test_documents_without_the_promised_rows_are_malformed(
    clock: HandClock, tmp_path: Path, document: object, rows: str
):
    report = of(clock, {**write(tmp_path / "acts.json", document), "rows": rows}).collect()

    assert report.readings == {}
    assert report.codes() == {"queue:acts": {"*": "malformed"}}


def test_too_many_queues_are_too_many(clock: HandClock, tmp_path: Path):
    document = [{"service": f"s{n}"} for n in range(65)]

    report = of(clock, {**write(tmp_path / "acts.json", document), "rows": "@"}).collect()

    assert report.codes() == {"queue:acts": {"*": "too_big"}}


def test_of_two_sources_of_one_queue_the_first_counts(clock: HandClock, tmp_path: Path):
    rows = {**write(tmp_path / "all.json", [{"service": "acts", "waiting": 9}]), "rows": "@"}

    report = of(clock, write(tmp_path / "acts.json", {"waiting": 4}), rows).collect()

    assert report.readings["queue:acts"]["queue_waiting_count"] == 4


def test_pushed_figures_become_stale_by_the_clock_that_does_not_step(clock: HandClock):
    board = PushBoard(clock)
    collector = of(clock, {"source": "push", "service": "acts", "max_age_s": 100}, pushed=board)

    silent = collector.collect()
    board.put(Row(service="acts", waiting=5))
    board.put(Row(service="other", waiting=6))
    fresh = collector.collect()
    clock.passed = 101
    old = collector.collect()

    assert not collector.blocking
    assert silent.codes() == {"queue:acts": {"*": "stale"}}
    assert silent.readings == {"queue:acts": {"queue_stale": 1}}
    assert {s: r["queue_waiting_count"] for s, r in fresh.readings.items()} == {"queue:acts": 5, "queue:other": 6}
    assert old.codes() == {"queue:acts": {"*": "stale"}}
    assert old.readings["queue:other"]["queue_waiting_count"] == 6


@pytest.mark.parametrize(
    ("queue", "key"),
    [
        ({"source": "http"}, "queue[0].url"),
        ({"source": "http", "url": "ftp://x"}, "queue[0].url"),
        ({"source": "sql", "path": "x"}, "queue[0].query"),
        ({"source": "sql", "query": "select 1"}, "queue[0].path"),
        ({"source": "sql", "query": "select 1", "path": "x", "url": "postgresql://x"}, "queue[0].path"),
        ({"source": "sql", "query": "select 1", "url": "mysql://x"}, "queue[0].url"),
        ({"source": "file"}, "queue[0].path"),
        ({"source": "command"}, "queue[0].argv"),
        ({"source": "file", "path": "x", "rows": "a["}, "queue[0].rows"),
        ({"source": "file", "path": "x", "fields": {"waiting": "len("}}, "queue[0].fields.waiting"),
        ({"source": "file", "path": "x", "fields": {"ticket": "t"}}, "queue[0].fields.ticket"),
    ],
)
def test_a_source_that_cannot_work_is_named_at_the_start(clock: HandClock, queue: dict[str, Any], key: str):
    with pytest.raises(BadSource) as caught:
        collectors(settings(queue), clock)

    assert str(caught.value).startswith(f"{key}:")


def test_a_queue_that_stands_twice_is_refused(clock: HandClock):
    with pytest.raises(BadSource, match="twice"):
        collectors(settings({"source": "file", "path": "a"}, {"source": "file", "path": "b"}), clock)


def test_a_report_is_new_each_time(clock: HandClock, tmp_path: Path):
    collector = of(clock, write(tmp_path / "acts.json", {"waiting": 4}))

    first, second = collector.collect(), collector.collect()

    assert isinstance(first, Report)
    assert first.readings == second.readings
    assert first.readings is not second.readings
