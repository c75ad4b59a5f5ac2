"""What is remembered of annexes for one month, as reports are made from it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Integer, and_, case, cast, func, or_, select
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Summary
from annexfleet_controller import maintenance
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.reports.figures import Changes, MaintenanceFigures, RolloutFigures, RunFigures
from annexfleet_controller.reports.making import COUNTER_GAP_DAYS, Stretch, Told, Waiting
from annexfleet_controller.reports.troubles import TroubleTold
from annexfleet_controller.store import calendars, history, readiness, supplies
from annexfleet_controller.store import maintenance as planned
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.alerts import IncidentAnnex, IncidentRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.printers import PrinterEvent
from annexfleet_controller.store.tables.readiness import ReadinessSpan
from annexfleet_controller.store.tables.readings import DevicePart, History
from annexfleet_controller.store.tables.rollouts import RolloutRow, RolloutTargetRow
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow
from annexfleet_controller.things import Facts, Rank
from annexfleet_controller.waves.model import BAD, MISSED

_NAMING = ("printer", "device", "queue", "portal", "annex")
"""Facts of an incident that name its thing."""
_WELL = ("succeeded", "compliant")
_DAY_AROUND = timedelta(days=1)
"""No time zone is farther from UTC."""


class Month(Struct, frozen=True, kw_only=True):
    """What is asked once for all annexes."""

    since: datetime
    until: datetime
    """Wide enough for any time zone."""
    calendars: Mapping[str, Calendar]
    watched_until: datetime | None
    jams: Mapping[str, Mapping[str, int]]
    """By annex and printer."""
    works: Sequence[tuple[int, maintenance.Maintenance]]
    rollouts: Mapping[str, Mapping[int, RolloutFigures]]
    runs: Mapping[str, Mapping[int, RunFigures]]


class _Queue(Struct):
    queue_waiting_count: float | Summary | None = None
    queue_longest_wait_seconds: float | Summary | None = None


class _Beat(Struct):
    """Of a beat only what is asked of it; the other subjects are not even looked into."""

    seconds: float
    numbers: dict[str, msgspec.Raw]


_beat = msgspec.json.Decoder(_Beat)
_queue = msgspec.json.Decoder(_Queue)
_facts = msgspec.json.Decoder(Facts)
_rank = msgspec.json.Decoder(Rank)


def earliest(db: Session) -> datetime | None:
    """From when on anything is remembered that a report tells of; None if nothing is."""
    found = [db.scalar(select(func.min(ReadinessSpan.since))), db.scalar(select(func.min(IncidentRow.opened_at)))]
    return min((at for at in found if at is not None), default=None)


def month(db: Session, *, since: datetime, until: datetime) -> Month:
    """What all annexes share of the time from `since` to `until`, the month's ends in any of their zones."""
    first, last = since - _DAY_AROUND, until + _DAY_AROUND
    jams: dict[str, dict[str, int]] = {}
    query = select(PrinterEvent.annex_id, PrinterEvent.printer_id, func.count()).where(
        PrinterEvent.at >= since, PrinterEvent.at < until, PrinterEvent.cause == "paper_jam"
    )
    for annex_id, printer_id, count in db.execute(query.group_by(PrinterEvent.annex_id, PrinterEvent.printer_id)):
        jams.setdefault(annex_id, {})[printer_id] = count
    return Month(
        since=first,
        until=last,
        calendars=calendars.of_all(db),
        watched_until=readiness.watched_until(db),
        jams=jams,
        works=[(work.id, work) for work in planned.within(db, since=since, until=until)],
        rollouts=_rollouts(db, since, until),
        runs=_runs(db, since, until),
    )


def told(db: Session, of: Month, ids: Sequence[str], *, since: datetime, until: datetime) -> Iterator[Told]:
    """Of each of these annexes what a month is made from."""
    troubles = _troubles(db, ids, since=since, until=until)
    waiting = _waiting(db, ids, since=since, until=until)
    levels = supplies.series(
        db, Scope(frozenset(ids)), since=(since - timedelta(days=COUNTER_GAP_DAYS)).date(), until=of.until.date()
    )
    days = {annex_id: list(rows) for annex_id, rows in groupby(levels, key=lambda row: row.annex_id)}
    for annex in db.scalars(select(Annex).where(Annex.id.in_(list(ids)))):
        calendar = of.calendars[annex.id]
        stretches, works = _works(of.works, annex.id, since, until)
        yield Told(
            annex_id=annex.id,
            created_at=annex.created_at,
            retired_at=annex.retired_at,
            calendar=calendar,
            spans=readiness.spans(db, annex.id, since=of.since, until=of.until),
            watched_until=of.watched_until,
            maintenance=stretches,
            troubles=troubles.get(annex.id, []),
            jams=dict(of.jams.get(annex.id, {})),
            supply_days=days.get(annex.id, []),
            waiting=waiting.get(annex.id, []),
            changes=Changes(dict(of.rollouts.get(annex.id, {})), dict(of.runs.get(annex.id, {})), works),
        )


def _works(
    works: Iterable[tuple[int, maintenance.Maintenance]], annex_id: str, since: datetime, until: datetime
) -> tuple[list[Stretch], dict[int, MaintenanceFigures]]:
    """When the whole annex was in maintenance, and every maintenance that had to do with it."""
    stretches: list[Stretch] = []
    listed: dict[int, MaintenanceFigures] = {}
    for id_, work in works:
        if not (work.area.province or annex_id in work.touches):
            continue
        cut = [
            (max(span.start, since), min(span.end, until))
            for span in maintenance.spans(work, since, until)
            if span.start < until and span.end > since
        ]
        if not cut:
            continue
        planned_s = sum((end - start).total_seconds() for start, end in cut)
        listed[id_] = MaintenanceFigures(work.reason, cut[0][0], planned_s)
        if not work.area.things and not work.area.roles:
            stretches += cut
    return stretches, listed


def _troubles(db: Session, ids: Sequence[str], *, since: datetime, until: datetime) -> dict[str, list[TroubleTold]]:
    ended = func.coalesce(IncidentRow.ended_at, IncidentRow.resolved_at)
    touched = (
        select(func.count()).where(IncidentAnnex.incident_id == IncidentRow.id).correlate(IncidentRow).scalar_subquery()
    )
    place = select(IncidentAnnex.incident_id, IncidentAnnex.annex_id).where(IncidentAnnex.annex_id.in_(list(ids)))
    at = place.subquery()
    query = (
        select(IncidentRow, at.c.annex_id, touched)
        .join(at, at.c.incident_id == IncidentRow.id)
        .where(IncidentRow.began_at < until, or_(ended.is_(None), ended > since))
        .order_by(IncidentRow.id)
    )
    found: dict[str, list[TroubleTold]] = {}
    for row, annex_id, annexes in db.execute(query):
        facts, rank = _facts.decode(row.facts), _rank.decode(row.rank)
        name = next((str(facts[key]) for key in _NAMING if key in facts), row.thing_id)
        found.setdefault(annex_id, []).append(
            TroubleTold(
                id=row.id, cause=row.cause, kind=row.kind, thing_kind=row.thing_kind, thing_id=row.thing_id,
                thing_name=name, annex_id=annex_id, annexes=annexes, severity=row.severity, began_at=row.began_at,
                opened_at=row.opened_at, ended_at=row.ended_at or row.resolved_at,
                acknowledged_at=row.acknowledged_at, people=rank.people_waiting,
                people_estimated=rank.people_estimated, muted=row.muted,
            )
        )  # fmt: skip
    return found


def _waiting(db: Session, ids: Sequence[str], *, since: datetime, until: datetime) -> dict[str, list[Waiting]]:
    """Beats and hours of the devices that count people; days say nothing of an hour."""
    counting = (
        select(Device.number, Device.annex_id)
        .join(DevicePart, DevicePart.device_number == Device.number)
        .where(Device.annex_id.in_(list(ids)), DevicePart.collector == "queues")
    )
    found: dict[str, list[Waiting]] = {}
    for number, annex_id in db.execute(counting.order_by(Device.number)).all():
        rows = db.execute(
            select(History.at, History.resolution_s, History.payload)
            .where(
                History.device_number == number,
                History.resolution_s.in_((history.AS_IT_CAME, history.HOUR)),
                History.at > since,
                History.at <= until,
            )
            .order_by(History.at)
        )
        into = found.setdefault(annex_id, [])
        for at, resolution_s, payload in rows:
            beat = _beat.decode(wire.unpack_own(payload))
            for subject, numbers in beat.numbers.items():
                if subject.startswith("queue:"):
                    of = _queue.decode(numbers)
                    into.append(
                        Waiting(
                            number, subject.removeprefix("queue:"), at, max(resolution_s, beat.seconds),
                            beat.seconds or 1.0, _mean(of.queue_waiting_count), _mean(of.queue_longest_wait_seconds),
                        )
                    )  # fmt: skip
    return found


def _mean(value: float | Summary | None) -> float | None:
    return value.mean if isinstance(value, Summary) else value


def _rollouts(db: Session, since: datetime, until: datetime) -> dict[str, dict[int, RolloutFigures]]:
    """By annex: those that were going on, with what became of its devices."""
    target, rollout = RolloutTargetRow, RolloutRow
    query = (
        select(
            target.annex_id, rollout.id, rollout.name, rollout.playbook, rollout.state, rollout.started_at,
            func.count(), cast(func.sum(case((target.state.in_(_WELL), 1), else_=0)), Integer),
            cast(func.sum(case((and_(target.state.in_(sorted(BAD)), target.reason != MISSED), 1), else_=0)), Integer),
        )
        .join(target, target.rollout_id == rollout.id)
        .where(rollout.started_at < until, or_(rollout.ended_at.is_(None), rollout.ended_at >= since))
        .group_by(
            target.annex_id, rollout.id, rollout.name, rollout.playbook, rollout.state, rollout.started_at
        )
    )  # fmt: skip
    found: dict[str, dict[int, RolloutFigures]] = {}
    for row in db.execute(query):
        annex_id, id_, *values = tuple[Any, ...](row)
        found.setdefault(annex_id, {})[id_] = RolloutFigures(*values)
    return found


def _runs(db: Session, since: datetime, until: datetime) -> dict[str, dict[int, RunFigures]]:
    """By annex: those that began, with how many of its devices failed."""
    host, run = RunHostRow, RunRow
    query = (
        select(
            host.annex_id, run.id, run.playbook, run.check, run.outcome, run.started_at, func.count(),
            cast(func.sum(case((host.outcome == "failed", 1), else_=0)), Integer),
        )
        .join(host, host.run_id == run.id)
        .where(run.started_at >= since, run.started_at < until)
        .group_by(host.annex_id, run.id, run.playbook, run.check, run.outcome, run.started_at)
    )  # fmt: skip
    found: dict[str, dict[int, RunFigures]] = {}
    for row in db.execute(query):
        annex_id, id_, *values = tuple[Any, ...](row)
        found.setdefault(annex_id, {})[id_] = RunFigures(*values)
    return found
