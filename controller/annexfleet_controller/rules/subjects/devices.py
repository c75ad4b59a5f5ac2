"""A device and its file systems, as rules are asked about them."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.rules.model import Subject, Values
from annexfleet_controller.things import Facts, Thing
from annexfleet_controller.views import LOST_AFTER_BEATS, DeviceView

_FLAPS_WITHIN = timedelta(minutes=30)
_FIRST_BOOT_GRACE = timedelta(minutes=10)
_MORNING = timedelta(minutes=45)
"""After opening, machines are being started; a start within it is nobody's surprise."""
_BOOT_TOLD_WITHIN = timedelta(minutes=25)
"""Less than an incident lingers after its cause: starts that a power cut explains end with it."""
_SILENCE_TOLD_AFTER = timedelta(minutes=5)
"""Of a device that was silent for so long an alert was opened, of it or of its annex; its start is the end of that."""


class DeviceContext(Struct, frozen=True):
    """What of its surroundings matters to a device."""

    calendar: Calendar
    link_up: bool
    """Whether the annex's line is believed to be up."""
    people_waiting: float | None = None
    blocks_service: bool = False
    """Whether a service cannot be provided because of this device."""
    usual_version: str = ""
    """The agent version that most devices of the province have."""
    disk_full_in_s: Mapping[str, float] = {}
    """By mount point, where a trend tells."""


class Kept(Struct, frozen=True):
    """A device's subjects, and how long they say the same if nothing is heard of it."""

    view: DeviceView
    context: DeviceContext
    subjects: list[Subject]
    until: datetime


def kept(before: Kept | None, view: DeviceView, context: DeviceContext, *, now: datetime) -> Kept:
    """`of_device`, and the answer of before where nothing is different: most devices tell nothing new for minutes."""
    if before is not None and before.view is view and now < before.until and before.context == context:
        return before
    return Kept(view, context, of_device(view, context, now=now), _same_until(view, now))


def _same_until(view: DeviceView, now: datetime) -> datetime:
    """The next moment at which time alone changes an answer; of a silent device each does."""
    if view.heard_at is None or not view.is_online(now):
        return now
    turns = [
        view.heard_at + timedelta(seconds=LOST_AFTER_BEATS * view.beat_period_s), view.enrolled_at + _FIRST_BOOT_GRACE,
        *(at + _FLAPS_WITHIN for at in view.moves),
        *(at + span for at in view.boots for span in (_BOOT_TOLD_WITHIN, timedelta(days=1))),
    ]  # fmt: skip
    return min(turn for turn in turns if turn > now)


def of_device(view: DeviceView, context: DeviceContext, *, now: datetime) -> list[Subject]:
    """The device itself, and each of its file systems."""
    online = view.is_online(now)
    silent_since = view.silent_since(now)
    thing = Thing("device", view.id)
    facts: Facts = {"device": view.name, "role": view.role}
    values: Values = dict(view.values) if online else {}
    boots: list[datetime] = []
    values |= {
        "online": online,
        "silent": None if view.heard_at is None else silent_since is not None,
        "silent_seconds": (now - silent_since).total_seconds() if silent_since else 0.0 if online else None,
        "unseen_opening_days": _unseen_days(silent_since, context.calendar, now),
        "went_orderly": view.gone_orderly and not view.connected,
        "connection_moves_30m_count": float(sum(now - at < _FLAPS_WITHIN for at in view.moves)),
        "role": view.role,
        "first_hour": now - view.enrolled_at < _FIRST_BOOT_GRACE,
        "annex_link_up": context.link_up,
        "people_waiting_count": context.people_waiting,
        "blocks_service": context.blocks_service,
    }
    if online:
        boots = _unexpected_boots(view, context.calendar)
        differs = bool(context.usual_version) and view.agent_version != context.usual_version
        values |= {
            "unexpected_boot": any(now - at < _BOOT_TOLD_WITHIN for at in boots),
            "unexpected_boots_24h_count": float(sum(now - at < timedelta(days=1) for at in boots)),
            "clock_offset_abs_seconds": abs(view.clock_offset_s),
            "config_differs": bool(view.config_wanted) and view.config_version != view.config_wanted,
            "agent_version_differs": differs if view.agent_version else None,
        }
    at = view.told_at or view.heard_at or view.enrolled_at
    since = {} if silent_since is None else {"silent": silent_since, "silent_seconds": silent_since}
    if online and boots:
        since["unexpected_boot"] = boots[-1]
    if view.mains_at is not None:
        since["battery_on_mains"] = view.mains_at
    if view.config_wanted_at is not None:
        since["config_differs"] = view.config_wanted_at
    subjects = [
        Subject(
            kind="device", thing=thing, annex_id=view.annex_id, values=values, since=since, facts=facts,
            at=now if silent_since else at, numbers=(view.number,),
        )
    ]  # fmt: skip
    if online:
        subjects += [_disk(view, thing, mount, context, at) for mount in view.disks]
    return subjects


def _disk(view: DeviceView, thing: Thing, mount: str, context: DeviceContext, at: datetime) -> Subject:
    values: Values = {
        **view.disks[mount],
        "disk_full_in_seconds": context.disk_full_in_s.get(mount),
        "role": view.role,
    }
    facts: Facts = {"device": view.name, "part": mount}
    for metric in ("disk_used_ratio", "disk_free_bytes"):
        if isinstance(number := values.get(metric), int | float):
            facts[metric] = float(number)
    return Subject(
        kind="disk", thing=thing, part=mount, annex_id=view.annex_id, values=values, at=at, facts=facts,
        numbers=(view.number,),
    )  # fmt: skip


def _unseen_days(silent_since: datetime | None, calendar: Calendar, now: datetime) -> float | None:
    """Opening days, in parts of a usual one, in which a silent device was not heard."""
    if silent_since is None:
        return 0.0
    if now - silent_since < timedelta(hours=12):
        return 0.0
    days = calendar.opening_days(silent_since, now)
    if days == 0:
        return 0.0
    opening_s = calendar.open_seconds(silent_since, now)
    usual_s = calendar.open_seconds(now - timedelta(days=28), now) / (
        calendar.opening_days(now - timedelta(days=28), now) or 1
    )
    return opening_s / usual_s if usual_s else 0.0


def _unexpected_boots(view: DeviceView, calendar: Calendar) -> list[datetime]:
    """Starts within opening hours, not in the morning, of a machine that had neither been switched off in order nor
    been silent for so long that this was told already."""
    found = []
    for at in view.boots:
        opened_at = calendar.opened_at(at)
        if opened_at is None or at - opened_at < _MORNING:
            continue
        if any(timedelta(0) <= at - goodbye < timedelta(minutes=30) for goodbye in view.goodbyes):
            continue
        lost_at = max((loss for loss in view.losses if loss <= at), default=None)
        if lost_at is not None and at - lost_at >= _SILENCE_TOLD_AFTER and not _came_between(view, lost_at, at):
            continue
        found.append(at)
    return found


def _came_between(view: DeviceView, lost_at: datetime, at: datetime) -> bool:
    """Whether it was heard again after that loss, before that moment."""
    return any(lost_at < move < at for move in view.moves)
