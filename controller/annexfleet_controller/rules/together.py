"""What happened to several devices of an annex at once: its line was cut, or its power.  Thinks only.

One silent device says nothing of the annex; nearly all of them at one moment do.  That also happens every evening,
when somebody switches a power strip off.  So around and outside opening hours silence counts only if machines that
stay on at night fell silent too.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_controller.views import DeviceView

SILENT_WITHIN = timedelta(minutes=3)
"""A broker notices a cut connection within one and a half keep-alives, of each device at another moment."""
MAINS_LOST_WITHIN = timedelta(seconds=60)
CLOSES_WITHIN = timedelta(minutes=30)
"""So shortly before closing time machines are being switched off already."""
POWERED_AFTER = timedelta(minutes=2)
"""A machine without a battery that is heard so long after a loss of power had none."""
MAINS_LOST_AT_MOST = timedelta(hours=24)
"""No power cut is believed to last longer: then the laptops are simply not plugged in."""


class LostTogether(Struct, frozen=True):
    """Devices that fell silent together and still are."""

    count: int = 0
    ratio: float = 0.0
    """Of those that were on when it happened."""
    since: datetime | None = None
    """The last moment at which one of them was heard: the line was cut then or just after."""
    numbers: tuple[int, ...] = ()


class MainsLost(Struct, frozen=True):
    """Devices with a battery that lost mains together and are still without, by what they told last."""

    count: int = 0
    since: datetime | None = None
    """When the first of them lost it."""
    numbers: tuple[int, ...] = ()
    back_count: int = 0
    """Devices that show that there is power: heard now and on mains, or without a battery and heard well after the
    loss."""


def lost_together(
    devices: Sequence[DeviceView],
    now: datetime,
    is_open: Callable[[datetime], bool],
    *,
    always_on: Collection[int] = (),
) -> LostTogether:
    """The devices of one annex that fell silent within `SILENT_WITHIN` of each other, without a goodbye.

    `is_open` is the calendar's.  It is asked about the moment of the loss and not about now, because machines that were
    switched off in the evening are still silent when the annex opens.  `always_on`: numbers of the devices that usually
    stay on at night (kiosks, servers); where there are none, what happens at closing time counts as switching off.
    """
    lost = _largest(_silences(devices, now))
    if not lost:
        return LostTogether()
    began = max(start for start, _, _ in lost)
    numbers = {device.number for _, _, device in lost}
    on = numbers | {device.number for device in devices if _was_on(device, began, now)}
    if not is_open(began) or not is_open(began + CLOSES_WITHIN):
        stayed_on = on.intersection(always_on)
        if not stayed_on or not stayed_on <= numbers:
            return LostTogether()
    heard = [device.heard_at for _, _, device in lost if device.heard_at is not None]
    since = min(max(heard), *(end for _, end, _ in lost))
    return LostTogether(len(numbers), len(numbers) / len(on), since, tuple(sorted(numbers)))


def mains_lost_together(devices: Sequence[DeviceView], now: datetime) -> MainsLost:
    """The devices of one annex that lost mains within `MAINS_LOST_WITHIN` of each other.

    The count is 0 once one that can be heard has mains back, or has started again without a battery: power returns to
    all at once, and a laptop that ran out cannot tell.  It is 0 too while no fewer devices show that there is power
    than say they lost it: those with a battery that stayed on mains, and those without one that are heard
    `POWERED_AFTER` the loss.  Two tablets that are picked up together are such a case, and two whose chargers hang on a
    power strip that is switched off in the evening, while kiosk and server stay on.
    """
    without = sorted(
        (device.mains_at, device.number) for device in devices
        if device.on_mains is False and device.mains_at is not None
        and timedelta(0) <= now - device.mains_at <= MAINS_LOST_AT_MOST
    )  # fmt: skip
    lost: list[tuple[datetime, int]] = []
    for place, (first, _) in enumerate(without):
        group = [one for one in without[place:] if one[0] - first <= MAINS_LOST_WITHIN]
        if len(group) >= max(2, len(lost)):  # of equals the later
            lost = group
    since = lost[0][0] if lost else None
    powered = [device for device in devices if _has_power(device, since, now)]
    if since is None or len(powered) >= len(lost) or any(_got_it_back(device, since) for device in powered):
        return MainsLost(back_count=len(powered))
    return MainsLost(len(lost), since, tuple(sorted(number for _, number in lost)), len(powered))


def _has_power(device: DeviceView, lost_at: datetime | None, now: datetime) -> bool:
    """Whether it shows that there is power now, after a loss if there was one."""
    if not device.is_online(now) or device.heard_at is None:
        return False
    if device.on_mains is None:
        return lost_at is None or device.heard_at - lost_at > POWERED_AFTER
    return device.on_mains


def _got_it_back(device: DeviceView, lost_at: datetime) -> bool:
    """Whether one that has power had none: its mains returned, or it has none but mains and started again."""
    if device.on_mains is None:
        return any(boot > lost_at for boot in device.boots)
    return device.mains_at is not None and device.mains_at > lost_at


_Silence = tuple[datetime, datetime, DeviceView]
"""Between which moments it fell silent, and who."""


def _silences(devices: Sequence[DeviceView], now: datetime) -> list[_Silence]:
    found = []
    for device in devices:
        silent_since = device.silent_since(now)
        if silent_since is None or (device.gone_orderly and not device.connected):
            continue
        latest = silent_since
        if device.connected or device.gone_at is None:  # nobody noticed when: it may have been any time in its beat
            latest = min(now, silent_since + timedelta(seconds=device.beat_period_s))
        found.append((silent_since, max(silent_since, latest), device))
    return sorted(found, key=lambda silence: (silence[0], silence[2].number))


def _largest(silent: Sequence[_Silence]) -> list[_Silence]:
    """The most that can have fallen silent within `SILENT_WITHIN`; of equals the later.  Fewer than two are none."""
    best: list[_Silence] = []
    for end in sorted({latest for _, latest, _ in silent}):
        # A window that begins where some device's span ends holds as many as any: moved later it would lose that one.
        group = [one for one in silent if one[1] >= end and one[0] <= end + SILENT_WITHIN]
        if len(group) >= max(2, len(best)):
            best = group
    return best


def _was_on(device: DeviceView, at: datetime, now: datetime) -> bool:
    """Whether it was on when others fell silent: it is heard now, or fell silent later itself."""
    silent_since = device.silent_since(now)
    if silent_since is not None:
        return silent_since > at
    return device.heard_at is not None
