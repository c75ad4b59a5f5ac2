"""Portals, queues of people, an annex as a whole and the controller itself, as rules are asked about them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median

from msgspec import Struct

from annexfleet_controller import state
from annexfleet_controller.rules.model import Subject, Values
from annexfleet_controller.rules.tracks import QueueTrack
from annexfleet_controller.things import Facts, Thing
from annexfleet_controller.views import AnnexView, QueueView

# -- portals ----------------------------------------------------------------------------------------------------------


def of_portals(view: AnnexView, *, link_up: bool) -> list[Subject]:
    """Each portal as the devices of this annex see it that can be heard."""
    probes: dict[str, list[tuple[int, float | None, bool | None, float | None, datetime]]] = {}
    for device in view.online:
        for probe in device.portals:
            seen = (device.number, probe.total_s, probe.up, probe.certificate_days, probe.at)
            probes.setdefault(probe.name, []).append(seen)
    subjects = []
    for name, seen_by in sorted(probes.items()):
        told = [up for _, _, up, _, _ in seen_by if up is not None]
        failing = sum(not up for up in told)
        times = [total for _, total, up, _, _ in seen_by if up and total is not None]
        days = [left for *_, left, _ in seen_by if left is not None]
        values: Values = {
            "probes_count": float(len(told)),
            "probes_failing_count": float(failing) if told else None,
            "probes_failing_ratio": failing / len(told) if told else None,
            "portal_total_seconds": median(times) if times else None,
            "portal_certificate_days": min(days) if days else None,
            "link_up": link_up,
        }
        facts: Facts = {"portal": name}
        if days:
            facts["days"] = min(days)
        subjects.append(
            Subject(
                kind="portal", thing=Thing("portal", f"{view.id}/{name}"), annex_id=view.id, values=values,
                at=view.at,  # a portal that goes down or up is told at once
                facts=facts, numbers=tuple(number for number, *_ in seen_by),
            )
        )  # fmt: skip
    return subjects


def of_portals_everywhere(portals: Iterable[Subject], *, now: datetime) -> list[Subject]:
    """Each portal as all annexes see it, from their subjects (`of_portals`)."""
    seen: dict[str, list[bool]] = {}
    for subject in portals:
        ratio = subject.values.get("probes_failing_ratio")
        if isinstance(ratio, int | float):
            seen.setdefault(str(subject.facts["portal"]), []).append(ratio > 0.5)
    return [
        Subject(
            kind="portal_everywhere", thing=Thing("portal", f"*/{name}"), annex_id="", at=now,
            values={
                "annexes_count": float(len(failing)),
                "annexes_failing_count": float(sum(failing)),
                "annexes_failing_ratio": sum(failing) / len(failing),
            },
            facts={"portal": name, "annexes": float(sum(failing))},
        )
        for name, failing in sorted(seen.items())
    ]  # fmt: skip


_PACE_KNOWN_AFTER_S = 900.0


# -- queues of people -------------------------------------------------------------------------------------------------


def of_queue(
    view: QueueView,
    track: QueueTrack,
    *,
    annex_id: str,
    counters_down: int,
    now: datetime,
    opened_at: datetime | None = None,
) -> Subject:
    """A queue where people wait; `opened_at` is when the annex opened, if it is open."""
    open_s = None if opened_at is None else (now - opened_at).total_seconds()
    queue = view.queue
    heard_at = queue.observed_at or queue.at
    values: Values = {
        "queue_stale": queue.stale or bool(queue.missing) or not view.believed,
        "queue_silent_seconds": max(0.0, (now - heard_at).total_seconds()) if queue.stale or not view.believed else 0.0,
        "counters_down_count": float(counters_down),
    }
    if view.believed and not queue.stale and not queue.missing:
        values |= {
            "queue_waiting_count": queue.waiting,
            "queue_longest_wait_seconds": queue.longest_wait_s,
            "wait_estimated_seconds": estimated_wait_s(queue, open_s),
            "waiting_per_counter_count": _per_counter(queue),
            "queue_growing_30m": track.grows(),
            "no_call_seconds": track.no_call_s(now),
        }
    facts: Facts = {"service": queue.service}
    if queue.waiting is not None:
        facts["waiting"] = queue.waiting
    if (wait_s := estimated_wait_s(queue, open_s)) is not None:
        facts["seconds"] = wait_s
    return Subject(
        kind="queue", thing=Thing("queue", f"{annex_id}/{queue.service}"), annex_id=annex_id, values=values,
        at=queue.at, facts=facts, numbers=(view.device_number,),
    )  # fmt: skip


def estimated_wait_s(queue: state.Queue, open_s: float | None = None) -> float | None:
    """How long somebody who comes now will wait: as many as wait, at the pace of the last hour; at least as long as
    the longest has waited already.  None if neither is known.

    `open_s`: for how long the annex has been open.  Whoever was served in the last hour was so since it opened, and
    from the first quarter of an hour no pace can be told.
    """
    paced = None
    hour_s = 3600.0 if open_s is None else min(3600.0, open_s)
    # Fewer than one in an hour is no pace, and one that is next to nothing would make the wait infinite.
    is_paced = queue.served_last_hour is not None and queue.served_last_hour >= 1 and hour_s >= _PACE_KNOWN_AFTER_S
    if queue.waiting is not None and queue.served_last_hour is not None and is_paced:
        paced = queue.waiting / queue.served_last_hour * hour_s
    if queue.waiting == 0:
        return 0.0
    known = [wait for wait in (paced, queue.longest_wait_s) if wait is not None]
    return max(known) if known else None


def _per_counter(queue: state.Queue) -> float | None:
    if queue.waiting is None or queue.counters_open is None or queue.counters_open < 1:
        return None
    return queue.waiting / queue.counters_open


# -- an annex as a whole, and the controller itself -------------------------------------------------------------------


class AnnexContext(Struct, frozen=True):
    """What is concluded of an annex before its own rules are asked."""

    lost_count: int
    """Devices that went silent together (`rules.together.lost_together`)."""
    lost_ratio: float
    lost_since: datetime | None
    lost_numbers: tuple[int, ...]
    back_ratio: float
    """Of the devices that are usually on: how many can be heard."""
    mains_lost_count: int
    mains_lost_since: datetime | None
    mains_numbers: tuple[int, ...]
    mains_back_count: int
    blocked: Sequence[str] | None
    """Services that cannot be provided; None if readiness is not known."""
    degraded: Sequence[str]
    unknown: Sequence[str]
    fixes: str = ""
    """The smallest set of repairs, as `cause@kind:id`, with commas."""
    lacks: str = ""
    """The same of everything that only degrades services."""
    ingest_listens: bool = True
    """Whether silence means anything: false while the controller itself hears nobody."""


def of_annex(view: AnnexView, context: AnnexContext) -> Subject:
    """The annex as a whole."""
    listens = context.ingest_listens
    values: Values = {
        "devices_count": float(len(view.devices)),
        "silent_together_count": float(context.lost_count) if listens else None,
        "silent_together_ratio": context.lost_ratio if listens else None,
        "back_ratio": context.back_ratio if listens else None,
        "mains_lost_together_count": float(context.mains_lost_count),
        "mains_back_count": float(context.mains_back_count),
        "services_blocked_count": None if context.blocked is None else float(len(context.blocked)),
        "services_degraded_count": None if context.blocked is None else float(len(context.degraded)),
        "services_unknown_count": None if context.blocked is None else float(len(context.unknown)),
        "annex_is_open": view.is_open,
    }
    since: dict[str, datetime] = {}
    if context.lost_since is not None:
        since |= {"silent_together_count": context.lost_since, "silent_together_ratio": context.lost_since}
    if context.mains_lost_since is not None:
        since["mains_lost_together_count"] = context.mains_lost_since
    facts: Facts = {"services": ",".join(context.blocked or context.degraded), "fixes": context.fixes}
    if context.lacks:
        facts["lacks"] = context.lacks
    numbers = context.mains_numbers or context.lost_numbers
    return Subject(
        kind="annex", thing=Thing("annex", view.id), annex_id=view.id, values=values, since=since, at=view.at,
        facts=facts, numbers=numbers,
    )  # fmt: skip


def of_controller(figures: Mapping[str, float | bool | None], *, now: datetime) -> Subject:
    """The controller itself, by `figures` (the names stand in the README of the room)."""
    return Subject(
        kind="controller", thing=Thing("controller", "controller"), annex_id="", values=dict(figures), at=now
    )
