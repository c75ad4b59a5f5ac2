"""From what a person asked for to a maintenance, or to the reason why it cannot be."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Literal

from msgspec import Struct, structs

from annexfleet_controller import zones
from annexfleet_controller.calendars.document import WEEKDAYS
from annexfleet_controller.errors import MaintenanceWrong
from annexfleet_controller.maintenance.plan import Area, Maintenance, Weekly, last_moment, next_span, span_at
from annexfleet_controller.things import Thing

Reason = Literal[
    "empty_scope", "mixed_scope", "too_many", "roles_of_things", "unknown_role", "unknown_annex", "unknown_thing",
    "no_reason", "reason_too_long", "too_far", "end_and_week", "no_end", "is_over", "until_missing", "zones_differ",
    "no_weekdays", "unknown_weekday", "minutes_wrong", "time_wrong", "end_before_start", "until_too_far", "in_the_past",
    "too_long", "never",
]  # fmt: skip
"""Why it cannot be; each has words."""

ROLES = ("counter", "kiosk", "tablet", "server")
LONGEST = timedelta(days=31)
"""What is quiet for longer is not being worked on: it is out of service."""
LONGEST_WEEKLY = timedelta(days=366)
LONGEST_REASON = 200
MOST_NAMED = 500
_A_DAY_MINUTES = 24 * 60
_PROVINCE_ZONE = "Africa/Casablanca"


class Draft(Struct, frozen=True, kw_only=True):
    """A maintenance as somebody asks for it, checked for types and nothing else."""

    province: bool = False
    annexes: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()
    roles: tuple[str, ...] = ()
    starts_at: datetime | None = None
    """None, or a moment that is past: now."""
    ends_at: datetime | None = None
    weekdays: tuple[str, ...] = ()
    """`monday` ...; for a weekly one."""
    at: str = ""
    """HH:MM; for a weekly one."""
    minutes: int = 0
    until: date | None = None
    reason: str = ""


def parse(
    draft: Draft,
    *,
    zones_of: Mapping[str, str],
    annex_of: Mapping[Thing, str],
    author: str,
    now: datetime,
) -> Maintenance:
    """The maintenance.

    `zones_of`: time zone of each annex that the author may name.  `annex_of`: annex of each device and printer that
    the author may name.  Raises MaintenanceWrong with `field` and `reason`.
    """
    area, touches = _area(draft, zones_of, annex_of)
    reason = " ".join(draft.reason.split())
    if not reason:
        raise _wrong("reason", "no_reason")
    if len(reason) > LONGEST_REASON:
        raise _wrong("reason", "reason_too_long")
    zone = _zone(touches, zones_of)
    starts_at = max(draft.starts_at or now, now)  # what happened before it was planned was told already
    if starts_at > now + LONGEST_WEEKLY:
        raise _wrong("starts_at", "too_far")
    weekly = _weekly(draft, starts_at, zone) if draft.weekdays or draft.at or draft.until is not None else None
    if weekly is not None and draft.ends_at is not None:
        raise _wrong("ends_at", "end_and_week")
    if weekly is None and draft.ends_at is None:
        raise _wrong("ends_at", "no_end")
    made = Maintenance(
        area=area, touches=touches, starts_at=starts_at, ends_at=draft.ends_at, weekly=weekly, time_zone=zone,
        reason=reason, author=author, created_at=now,
    )  # fmt: skip
    _check_times(made, now)
    return made


def moved_end(
    m: Maintenance, *, ends_at: datetime | None = None, until: date | None = None, now: datetime
) -> Maintenance:
    """The maintenance with another end: `ends_at` for one that lasts once, `until` (its last day) for a weekly one.

    Raises MaintenanceWrong; also for one that is over, which nobody can revive.
    """
    if m.cancelled_at is not None or last_moment(m) <= now:
        raise _wrong("ends_at" if m.weekly is None else "until", "is_over")
    if m.weekly is None:
        if ends_at is None or until is not None:
            raise _wrong("ends_at", "no_end")
        moved = structs.replace(m, ends_at=ends_at)
    else:
        if until is None or ends_at is not None:
            raise _wrong("until", "until_missing")
        _check_until(until, max(m.starts_at, now), m.time_zone)
        moved = structs.replace(m, weekly=structs.replace(m.weekly, until=until))
    _check_times(moved, now)
    return moved


def _area(draft: Draft, zones_of: Mapping[str, str], annex_of: Mapping[Thing, str]) -> tuple[Area, tuple[str, ...]]:
    chosen = [name for name in ("province", "annexes", "things") if getattr(draft, name)]
    if not chosen:
        raise _wrong("annexes", "empty_scope")
    if len(chosen) > 1:
        raise _wrong(chosen[1], "mixed_scope")
    if len(draft.annexes) > MOST_NAMED or len(draft.things) > MOST_NAMED:
        raise _wrong(chosen[0], "too_many")
    if draft.roles and draft.things:
        raise _wrong("roles", "roles_of_things")
    if any(role not in ROLES for role in draft.roles):
        raise _wrong("roles", "unknown_role")
    if any(annex not in zones_of for annex in draft.annexes):
        raise _wrong("annexes", "unknown_annex")
    if any(thing.kind not in ("device", "printer") or thing not in annex_of for thing in draft.things):
        raise _wrong("things", "unknown_thing")
    area = Area(
        province=draft.province, annexes=tuple(sorted(set(draft.annexes))), things=tuple(sorted(set(draft.things))),
        roles=tuple(role for role in ROLES if role in draft.roles),
    )  # fmt: skip
    return area, tuple(sorted({*area.annexes, *(annex_of[thing] for thing in area.things)}))


def _zone(touches: tuple[str, ...], zones_of: Mapping[str, str]) -> str:
    """One clock for all of it, so that "22:00" means one moment."""
    found = sorted({zones_of.get(annex, _PROVINCE_ZONE) for annex in touches})
    if len(found) > 1:
        raise _wrong("annexes", "zones_differ")
    return found[0] if found else _PROVINCE_ZONE


def _weekly(draft: Draft, starts_at: datetime, zone: str) -> Weekly:
    if not draft.weekdays:
        raise _wrong("weekdays", "no_weekdays")
    if any(day not in WEEKDAYS for day in draft.weekdays):
        raise _wrong("weekdays", "unknown_weekday")
    if draft.until is None:
        raise _wrong("until", "until_missing")
    if not 1 <= draft.minutes <= _A_DAY_MINUTES:
        raise _wrong("minutes", "minutes_wrong")
    _check_until(draft.until, starts_at, zone)
    days = tuple(sorted({WEEKDAYS.index(day) for day in draft.weekdays}))
    return Weekly(weekdays=days, at=_clock_time(draft.at), minutes=draft.minutes, until=draft.until)


def _clock_time(text: str) -> time:
    hours, _, minutes = text.partition(":")
    if len(text) != 5 or not (hours + minutes).isascii() or not (hours + minutes).isdecimal():
        raise _wrong("at", "time_wrong")
    if not (int(hours) < 24 and int(minutes) < 60):
        raise _wrong("at", "time_wrong")
    return time(int(hours), int(minutes))


def _check_until(until: date, starts_at: datetime, zone: str) -> None:
    first = starts_at.astimezone(zones.zone(zone)).date()
    if until < first:
        raise _wrong("until", "end_before_start")
    if until - first > LONGEST_WEEKLY:
        raise _wrong("until", "until_too_far")


def _check_times(m: Maintenance, now: datetime) -> None:
    if m.ends_at is not None:
        if m.ends_at <= m.starts_at:
            raise _wrong("ends_at", "end_before_start")
        if m.ends_at <= now:
            raise _wrong("ends_at", "in_the_past")
        if m.ends_at - max(m.starts_at, now) > LONGEST:
            raise _wrong("ends_at", "too_long")
    elif span_at(m, now) is None and next_span(m, now) is None:
        raise _wrong("weekdays", "never")


def _wrong(field: str, reason: Reason) -> MaintenanceWrong:
    return MaintenanceWrong(f"{field}: {reason}", field=field, reason=reason)
