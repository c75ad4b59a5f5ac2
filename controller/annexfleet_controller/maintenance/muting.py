"""Which alerts a maintenance keeps quiet.

A muted alert opens, lasts and clears like any other, and pages show it with the maintenance that mutes it: nothing is
hidden.  What whoever tells people has to keep to:

- While `Alert.muted_by` is set nothing is sent about it: not that it opened, not that it cleared, no escalation.
- When it is unset, the maintenance being over: what is still open and of which nobody was told yet is told as newly
  opened; of what cleared meanwhile nothing is said, and "resolved" only goes to whoever was told that it opened.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, structs

from annexfleet_controller.maintenance.plan import Area, Maintenance, Span, span_at
from annexfleet_controller.things import Alert, Thing

_NO_ROLES: Mapping[str, str] = {}
_NO_DEVICES: Mapping[Thing, Sequence[str]] = {}


class About(Struct, frozen=True, kw_only=True):
    """What an alert is about, as far as a maintenance asks."""

    thing: Thing
    annex_id: str = ""
    role: str = ""
    """Of the device, if it is one."""
    devices: tuple[tuple[str, str], ...] = ()
    """Id and role of the devices on whose word alone it rests: where all are worked on, it is quiet too."""


def active(maintenances: Iterable[Maintenance], about: About, *, now: datetime) -> Maintenance | None:
    """The maintenance that keeps this quiet now; of several the one that lasts longest, then the older one."""
    lasting = [(span.end, -m.id, m) for m in maintenances if (span := span_at(m, now)) and _covers(m.area, about)]
    return max(lasting, key=lambda found: found[:2])[2] if lasting else None


def mute(
    alerts: Iterable[Alert],
    maintenances: Iterable[Maintenance],
    *,
    now: datetime,
    roles: Mapping[str, str] = _NO_ROLES,
    devices: Mapping[Thing, Sequence[str]] = _NO_DEVICES,
) -> list[Alert]:
    """The alerts in their order, each with `muted_by` as it must be now: set, another one, or None again.

    `roles`: of devices, by id.  `devices`: by printer, queue or portal, the ids of the devices that see it; what is not
    named there is quiet only where it is covered itself.  An alert that has cleared keeps what it had.
    """
    lasting: list[tuple[Maintenance, Span]] = [(m, span) for m in maintenances if (span := span_at(m, now))]
    lasting.sort(key=lambda pair: (pair[1].end, -pair[0].id), reverse=True)
    muted = []
    for alert in alerts:
        if alert.state == "cleared":
            muted.append(alert)
            continue
        thing = alert.thing
        about = About(
            thing=thing, annex_id=alert.annex_id, role=roles.get(thing.id, "") if thing.kind == "device" else "",
            devices=tuple((id_, roles.get(id_, "")) for id_ in devices.get(thing, ())),
        )  # fmt: skip
        by = next((m.id for m, _ in lasting if _covers(m.area, about)), None)
        muted.append(alert if by == alert.muted_by else structs.replace(alert, muted_by=by))
    return muted


def _covers(area: Area, about: About) -> bool:
    if _names(area, about.thing, about.annex_id, about.role):
        return True
    if not about.devices or about.thing.kind == "annex":
        return False
    return all(_names(area, Thing("device", id_), about.annex_id, role) for id_, role in about.devices)


def _names(area: Area, thing: Thing, annex_id: str, role: str) -> bool:
    if area.things:
        return thing in area.things
    if not area.province and annex_id not in area.annexes:
        return False
    return not area.roles or (thing.kind == "device" and role in area.roles)
