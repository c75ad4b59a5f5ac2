"""Annexes in numbers, kept for pages that show all of them at once: what moved is written, and the past remembered.

Presence, printers and services are written with the look that found them changed; how many people wait changes at
almost every look somewhere, and is written every ten seconds.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from msgspec import structs
from sqlalchemy.orm import Session

from annexfleet_controller.alerts import judging
from annexfleet_controller.alerts.judging import Judged
from annexfleet_controller.store import overview
from annexfleet_controller.store.overview import Moment, Numbers
from annexfleet_controller.things import Incident

PROVINCE_EVERY = timedelta(minutes=5)
ANNEXES_EVERY = timedelta(hours=1)
KEPT_FOR = timedelta(days=8)
"""A week, and the day it is compared with."""
WAITING_EVERY = timedelta(seconds=10)


class Overview:
    """What was written last, by annex, and what is to be written."""

    def __init__(self) -> None:
        self._written: dict[str, Numbers] = {}
        self._fresh: dict[str, Numbers] = {}
        self._moment: dict[str, Moment] = {}
        self._written_at = self._province_at = self._annexes_at = datetime(1970, 1, 1, tzinfo=UTC)

    def is_due(
        self,
        judged: Mapping[str, Judged],
        everything: Mapping[str, Judged],
        incidents: Iterable[Incident],
        *,
        now: datetime,
        listens: bool,
    ) -> bool:
        """Take in what was judged; whether something of it has to be written in this look.

        `everything` is what is known of all annexes.  While nobody listens the past has a hole: nothing is known of it.
        """
        for annex_id, of in judged.items():
            found = numbers(of)
            if found == self._written.get(annex_id):
                self._fresh.pop(annex_id, None)
            else:
                self._fresh[annex_id] = found
        if listens and everything and _full(now, PROVINCE_EVERY) > self._province_at:
            is_hour = _full(now, ANNEXES_EVERY) > self._annexes_at
            self._moment = moments(everything, incidents, now=now, each=is_hour)
        if self._moment or any(_without_waiting(of) != self._last(a) for a, of in self._fresh.items()):
            return True
        return bool(self._fresh) and now - self._written_at >= WAITING_EVERY

    def write(self, db: Session, *, now: datetime) -> None:
        overview.write(db, self._fresh, now=now)
        overview.remember(db, self._moment)
        if len(self._moment) > 1:
            overview.forget(db, before=now - KEPT_FOR)

    def written(self, *, now: datetime) -> None:
        """It is committed."""
        self._written |= self._fresh
        self._written_at = now
        self._fresh = {}
        if self._moment:
            self._province_at = _full(now, PROVINCE_EVERY)
        if len(self._moment) > 1:
            self._annexes_at = _full(now, ANNEXES_EVERY)
        self._moment = {}

    def _last(self, annex_id: str) -> Numbers | None:
        known = self._written.get(annex_id)
        return None if known is None else _without_waiting(known)


def numbers(of: Judged) -> Numbers:
    """What is shown of an annex among many."""
    view, services = of.view, [service.state for service in of.readiness.services]
    believed = [seen.queue for seen in view.queues if seen.believed]
    fresh = [queue for queue in believed if not queue.stale]
    never = sum(device.heard_at is None for device in view.devices)
    return Numbers(
        is_open=view.is_open,
        online=len(view.online),
        silent=len(view.devices) - len(view.online) - never,
        never=never,
        printers=len(view.printers),
        troubled=sum(seen.believed and seen.printer.in_trouble for seen in view.printers),
        unseen=sum(not seen.believed for seen in view.printers),
        ready=services.count("ready"),
        degraded=services.count("degraded"),
        blocked=services.count("blocked"),
        unknown=services.count("unknown"),
        waiting=judging.people_waiting(view),
        longest_wait_s=max((q.longest_wait_s for q in fresh if q.longest_wait_s is not None), default=None),
        is_stale=len(fresh) < len(view.queues),
    )


def moments(
    everything: Mapping[str, Judged], incidents: Iterable[Incident], *, now: datetime, each: bool
) -> dict[str, Moment]:
    """The province at this moment, under the empty name; with `each` also every annex, by its id."""
    of_annex: dict[str, int] = {}
    count = 0
    for incident in incidents:
        if incident.state != "open" or incident.muted:
            continue
        count += 1
        for annex_id in {incident.annex_id, *incident.annexes} - {""}:
            of_annex[annex_id] = of_annex.get(annex_id, 0) + 1
    known = {annex_id: numbers(of) for annex_id, of in everything.items()}
    found = {"": _moment(known.values(), count, _full(now, PROVINCE_EVERY))}
    if each:
        hour = _full(now, ANNEXES_EVERY)
        found |= {annex_id: _moment([of], of_annex.get(annex_id, 0), hour) for annex_id, of in known.items()}
    return found


def _moment(of: Collection[Numbers], incidents: int, at: datetime) -> Moment:
    opened = [one for one in of if one.is_open]
    waiting = [one.waiting for one in of if one.waiting is not None]
    return Moment(
        at=at, ready=sum(one.ready for one in opened), degraded=sum(one.degraded for one in opened),
        blocked=sum(one.blocked for one in opened), unknown=sum(one.unknown for one in opened),
        waiting=sum(waiting) if waiting else None, incidents=incidents,
    )  # fmt: skip


def _without_waiting(of: Numbers) -> Numbers:
    return structs.replace(of, waiting=None, longest_wait_s=None, is_stale=False)


def _full(now: datetime, step: timedelta) -> datetime:
    """The last full step before now, in UTC."""
    seconds = step.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
