"""Asks every source of queue figures in its own period and makes one report of what they say.

A source fails alone: its queues get the problem, the others their figures.  When two sources tell of the same queue,
the one that stands first in agent.toml counts.
"""

import importlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.report import Problem, Report, code_for
from annexfleet_agent.protocol.messages import ProblemCode
from annexfleet_agent.queues.path import Absent, BadExpression, Mismatch, Path, compile_
from annexfleet_agent.queues.push import PushBoard
from annexfleet_agent.queues.rows import (
    FIELDS,
    METRIC_OF,
    Refusal,
    Row,
    canonical,
    longest_wait,
    pick,
    service_id,
    stamped,
)
from annexfleet_agent.queues.source import MAX_ROWS, Fetched, SourceFailed
from annexfleet_agent.settings import QueueSource

log = logging.getLogger(__name__)

PUSHED_MAX_AGE_S = 300.0
"""For a pushed queue that agent.toml does not name."""
_EARLY = 0.9
"""A source is due a little before its period is over, so that a timer's jitter does not skip a turn."""


class BadSource(ValueError):
    """A [[queue]] of agent.toml cannot work.  The message begins with the key."""


class Seen(NamedTuple):
    """A row, and when it was got."""

    row: Row
    refused: Sequence[Refusal]
    mono_at: float
    """By the clock that does not step: the age of a row that tells no moment of its own."""


class Plan(NamedTuple):
    """A source with its expressions understood."""

    source: QueueSource
    rows: Path | None
    fields: Mapping[str, Path]


def plan(source: QueueSource, key: str) -> Plan:
    """Check a source and understand its expressions.  Raises BadSource, which names the key (`queue[0].url`)."""
    _check(source, key)
    try:
        rows = compile_(source.rows) if source.rows else None
    except BadExpression as error:
        raise BadSource(f"{key}.rows: {error}") from None
    fields = {}
    for name, expression in source.fields.items():
        if name not in {"service", *FIELDS}:
            raise BadSource(f"{key}.fields.{name}: a queue has no such field; it has {', '.join(FIELDS)}")
        try:
            fields[name] = compile_(expression)
        except BadExpression as error:
            raise BadSource(f"{key}.fields.{name}: {error}") from None
    return Plan(source, rows, fields)


def _check(source: QueueSource, key: str) -> None:
    if source.source == "http":
        from annexfleet_agent.queues import http  # noqa: PLC0415  # as in `_fetch`

        try:
            http.address(source.url)
        except ValueError as error:
            raise BadSource(f"{key}.url: {error}") from None
    elif source.source == "sql":
        if not source.query:
            raise BadSource(f"{key}.query: a source of kind `sql` needs a SELECT")
        if bool(source.path) == bool(source.url):
            raise BadSource(f"{key}.path: give either `path` (SQLite) or `url` (PostgreSQL)")
        if source.url and not source.url.startswith(("postgresql://", "postgres://")):
            raise BadSource(f"{key}.url: must be postgresql://…")
    elif source.source == "file" and not source.path:
        raise BadSource(f"{key}.path: a source of kind `file` needs one")
    elif source.source == "command" and not source.argv:
        raise BadSource(f"{key}.argv: a source of kind `command` needs a program")


class Counting:
    """All sources of this device."""

    def __init__(self, plans: Sequence[Plan], clock: Clock, pushed: PushBoard | None) -> None:
        self._clock = clock
        self._asked = [_Asked(plan) for plan in plans if plan.source.source != "push"]
        self._pushed = pushed
        self._declared = {plan.source.service: plan.source for plan in plans if plan.source.source == "push"}
        self._told_twice: set[str] = set()

    def collect(self) -> Report:
        """What is known of every queue now."""
        report = Report()
        taken: set[str] = set()
        for asked in self._asked:
            asked.ask_if_due(self._clock)
            if asked.failure is not None:
                for service in asked.services or [asked.source.service]:
                    if self._first(service, taken):
                        report.miss(f"queue:{service}", "*", asked.failure.code, asked.failure.detail)
                continue
            for seen in asked.rows:
                if self._first(seen.row.service, taken):
                    self._tell(report, seen, asked.source.max_age_s)
        for seen, max_age_s in self._from_push():
            if self._first(seen.row.service, taken):
                self._tell(report, seen, max_age_s)
        for service in self._declared.keys() - taken:
            report.put(f"queue:{service}", "queue_stale", 1)
            report.miss(f"queue:{service}", "*", "stale", "nothing was pushed since the agent started")
        return report

    def _first(self, service: str, taken: set[str]) -> bool:
        if service in taken:
            if service not in self._told_twice:
                self._told_twice.add(service)
                log.warning("two sources tell of the same queue; the first counts service=%s", service)
            return False
        taken.add(service)
        return True

    def _from_push(self) -> Iterator[tuple[Seen, float]]:
        if self._pushed is None:
            return
        for row, mono_at in self._pushed.rows():
            declared = self._declared.get(row.service)
            yield Seen(row, (), mono_at), declared.max_age_s if declared else PUSHED_MAX_AGE_S

    def _tell(self, report: Report, seen: Seen, max_age_s: float) -> None:
        now, row = self._clock.now(), seen.row
        subject = f"queue:{row.service}"
        refused = {METRIC_OF[refusal.field]: refusal.reason for refusal in seen.refused}
        observed_at = row.observed_at
        if observed_at is None:
            observed_at = now - max(0.0, self._clock.mono() - seen.mono_at)
        stale = now - observed_at > max_age_s
        report.put(subject, "queue_observed_at_seconds", round(observed_at))
        report.put(subject, "queue_stale", int(stale))
        if stale:
            # Old figures would be drawn as if somebody had counted; no data is unknown.
            report.miss(subject, "*", "stale", f"older than {max_age_s:g} s")
            return
        figures = {
            "queue_waiting_count": row.waiting,
            "queue_longest_wait_seconds": longest_wait(row, now=now),
            "queue_average_wait_seconds": row.average_wait_s,
            "queue_served_last_hour_count": row.served_last_hour,
            "queue_abandoned_last_hour_count": row.abandoned_last_hour,
            "queue_counters_open_count": row.counters_open,
            "queue_counters_total_count": row.counters_total,
        }
        for metric, value in figures.items():
            if value is not None:
                report.put(subject, metric, value)
            elif metric in refused:
                report.miss(subject, metric, "malformed", refused[metric])
        if "queue_observed_at_seconds" in refused:
            report.miss(subject, "queue_observed_at_seconds", "malformed", refused["queue_observed_at_seconds"])


class _Asked:
    """One source, and what it said last."""

    def __init__(self, plan: Plan) -> None:
        self.source = plan.source
        self.rows: list[Seen] = []
        self.failure: Problem | None = None
        self.services: list[str] = []
        """Those it told of when it last could."""
        self._plan = plan
        self._due_at = float("-inf")

    def ask_if_due(self, clock: Clock) -> None:
        if clock.mono() < self._due_at:
            return
        self._due_at = clock.mono() + self.source.period_s * _EARLY
        try:
            fetched = _fetch(self.source)
            self.rows = list(_rows(self._plan, fetched, clock))
            self.failure = None
            self.services = [seen.row.service for seen in self.rows]
        except Exception as error:  # the fence: a source spoils only its own queues
            self.failure = Problem(_code(error), f"{type(error).__name__}: {error}"[:200])


def _fetch(source: QueueSource) -> Fetched:
    """Ask a source.  Its kind's module is loaded now: a device uses one kind, and the others would stay in memory."""
    kind = importlib.import_module(f"annexfleet_agent.queues.{source.source}")
    fetched: Fetched = kind.fetch(source)
    return fetched


def _code(error: Exception) -> ProblemCode:
    if isinstance(error, Absent | Mismatch | ValueError):
        return "malformed"
    return code_for(error)


def _rows(plan: Plan, fetched: Fetched, clock: Clock) -> Iterator[Seen]:
    """The rows in a document.  Raises SourceFailed, Absent, Mismatch; ValueError for a service's id."""
    source, now = plan.source, clock.now()
    if plan.rows is not None or source.source == "sql":
        elements = plan.rows.read(fetched.document) if plan.rows is not None else fetched.document
        if not isinstance(elements, list):
            raise SourceFailed("malformed", f"{source.rows!r} is no list")
        if not elements:
            raise SourceFailed("malformed", "the list of queues is empty")
        if len(elements) > MAX_ROWS:
            raise SourceFailed("too_big", f"over {MAX_ROWS} queues")
    else:
        elements = [fetched.document]
        if not isinstance(fetched.document, dict | list):
            raise SourceFailed("malformed", "the document is neither an object nor a list")
    several = plan.rows is not None or len(elements) > 1
    for element in elements:
        values, not_there = pick(element, plan.fields)
        named = values.get("service")
        if named is None and (several or "service" in plan.fields):
            raise SourceFailed("malformed", "a row without its service")
        service = service_id(named) if named is not None and (several or _names_itself(plan)) else source.service
        row, refused = canonical(service, values, now=now)
        if fetched.observed_at is not None:
            row = stamped(row, min(fetched.observed_at, now))
        yield Seen(row, [*not_there, *refused], clock.mono())


def _names_itself(plan: Plan) -> bool:
    return "service" in plan.fields or plan.source.source == "sql"
