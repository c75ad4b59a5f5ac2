from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_controller.calendars import ALWAYS_OPEN, DEFAULT
from annexfleet_controller.rules.together import LostTogether, MainsLost, lost_together, mains_lost_together
from annexfleet_controller.views import DeviceView

START = datetime(2026, 11, 25, 10, tzinfo=ZoneInfo("Africa/Casablanca")).astimezone(UTC)
"""On a working Wednesday; the annex closes at 16:30, 390 minutes later."""


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def device(number: int, **fields: Any) -> DeviceView:
    return DeviceView(
        number=number,
        id=f"d-{number}",
        annex_id="a-1",
        name=f"PC {number}",
        role="counter",
        enrolled_at=at(-9999),
        **fields,
    )


def on(number: int, heard: float, **fields: Any) -> DeviceView:
    return device(number, connected=True, heard_at=at(heard), **fields)


def cut(number: int, gone: float, heard: float | None = None, **fields: Any) -> DeviceView:
    return device(number, gone_at=at(gone), heard_at=at(gone if heard is None else heard), **fields)


def goodbye(number: int, gone: float) -> DeviceView:
    return cut(number, gone, gone_orderly=True)


def lost(
    devices: list[DeviceView], now: float, is_open: Callable[[datetime], bool] = DEFAULT.is_open, **kwargs: Any
) -> LostTogether:
    return lost_together(devices, at(now), is_open, **kwargs)


# -- the line


@pytest.mark.parametrize(
    ("devices", "numbers", "ratio"),
    [
        ([cut(1, 0), cut(2, 1), cut(3, 2.5)], (1, 2, 3), 1.0),
        ([cut(1, 0), cut(2, 1), cut(3, 2), cut(4, 2), on(5, 9)], (1, 2, 3, 4), 0.8),
        ([cut(1, 0), cut(2, 1), on(3, 9), on(4, 9)], (1, 2), 0.5),
        ([cut(1, 0), cut(2, 4)], (), 0.0),  # one after the other
        ([cut(1, 0)], (), 0.0),
        ([], (), 0.0),
        ([goodbye(1, 0), goodbye(2, 1), on(3, 9)], (), 0.0),
        ([cut(1, 0), cut(2, 1), goodbye(3, -5), cut(4, -3000)], (1, 2), 1.0),  # two were off before
        ([cut(1, 0), cut(2, 1), goodbye(3, 5)], (1, 2), 2 / 3),  # whose goodbye came through the line
        ([cut(1, 0), cut(2, 1), device(3)], (1, 2), 1.0),  # one was never heard
        ([cut(1, -2880), cut(2, -2880), on(3, 9), on(4, 9), on(5, 9)], (1, 2), 0.4),  # long gone
        ([cut(1, -2880), cut(2, -2880), cut(3, 0), cut(4, 0)], (3, 4), 1.0),  # of equals the later
    ],
)
def test_who_fell_silent_together(devices: list[DeviceView], numbers: tuple[int, ...], ratio: float):
    found = lost(devices, 10)

    assert (found.numbers, found.count, found.ratio) == (numbers, len(numbers), pytest.approx(ratio))


def test_a_connection_that_nobody_saw_end_may_have_ended_at_any_time_of_its_beat():
    """The broker lost the devices' connections, or was restarted: they count as connected and are not heard."""
    assert lost([on(1, 0), on(2, 4), cut(3, 5)], 60).numbers == (1, 2, 3)
    assert lost([on(1, 0), on(2, 9)], 60).numbers == ()


def test_it_began_when_the_last_of_them_was_heard():
    assert lost([cut(1, 2, heard=-3), cut(2, 2, heard=0.5), cut(3, 3, heard=-1)], 10).since == at(0.5)


@pytest.mark.parametrize(
    ("gone", "always_on", "expected"),
    [
        (395, (), 0),  # the power strip, after closing time
        (375, (), 0),  # and a little before
        (350, (), 3),
        (395, (3,), 3),  # the kiosk stays on at night
        (395, (3, 4), 0),  # the server is still there
        (395, (5,), 0),  # it was off anyway
    ],
)
def test_what_is_switched_off_in_the_evening_is_not_cut_off(gone: float, always_on: tuple[int, ...], expected: int):
    devices = [cut(1, gone), cut(2, gone + 1), cut(3, gone + 1), on(4, 1349), cut(5, -3000)]

    for now in (gone + 5, 22.5 * 60 + 5):  # and not either when the annex opens the next morning
        assert lost(devices, now, always_on=always_on).count == expected


# -- the mains


def battery(number: int, lost_at: float | None, heard: float = 0, **fields: Any) -> DeviceView:
    """One that has been without mains since then; or is on mains."""
    told = at(-500) if lost_at is None else at(lost_at)
    return on(number, heard, on_mains=lost_at is None, mains_at=told, **fields)


@pytest.mark.parametrize(
    ("devices", "count", "back"),
    [
        ([battery(1, 0), battery(2, 1)], 2, 0),
        ([battery(1, 0), battery(2, 1.1)], 0, 0),
        ([battery(1, 0)], 0, 0),
        ([battery(1, 0), battery(2, 0.5), battery(3, 0.9), battery(4, 5)], 3, 0),
        ([battery(1, 0), battery(2, 0.5), on(3, 4, on_mains=True, mains_at=at(4))], 0, 1),  # power is back
        ([battery(1, 0), battery(2, 0.5), battery(3, None, heard=4), cut(4, 0.5)], 2, 1),
        ([battery(1, 0), battery(2, 0.5), *(battery(n, None, heard=4) for n in (3, 4, 5))], 0, 3),  # these have power
        ([battery(1, 0), battery(2, 0.5), *(on(n, 4) for n in (3, 4, 5))], 0, 3),  # machines run, so there is power
        ([battery(1, 0), battery(2, 0.5), *(on(n, 4) for n in (3, 4))], 0, 2),  # chargers on a strip, switched off
        ([battery(1, 0), battery(2, 0.5), *(on(n, 1) for n in (3, 4, 5))], 2, 0),  # not heard since
        ([battery(1, 0), battery(2, 0.5), on(3, 4, boots=(at(3),))], 0, 1),  # this one started again
        ([battery(1, 0), battery(2, 0.5), on(3, 4, boots=(at(-90),))], 2, 1),  # this one has a battery of its own
        ([battery(1, -2000), battery(2, -2000)], 0, 0),  # nobody plugs them in
        ([on(1, 4, on_mains=False), on(2, 4, on_mains=False)], 0, 0),
    ],
)
def test_who_lost_mains_together(devices: list[DeviceView], count: int, back: int):
    found = mains_lost_together(devices, at(5))

    assert (found.count, found.back_count) == (count, back)
    assert found.since == (at(0) if count else None)
    assert len(found.numbers) == count


def test_those_that_ran_out_of_battery_still_count():
    assert (
        mains_lost_together([battery(1, 0, heard=5), cut(2, 40, on_mains=False, mains_at=at(0.5))], at(90)).count == 2
    )


_MINUTES = st.integers(-60, 60)
_ANY = st.builds(
    device, st.integers(1, 6), connected=st.booleans(), heard_at=st.none() | _MINUTES.map(at),
    gone_at=st.none() | _MINUTES.map(at), gone_orderly=st.booleans(), on_mains=st.none() | st.booleans(),
    mains_at=st.none() | _MINUTES.map(at),
)  # fmt: skip


@given(devices=st.lists(_ANY, max_size=6, unique_by=lambda one: one.number))
def test_what_is_said_of_any_devices_holds_together(devices: list[DeviceView]):
    found = lost(devices, 60, ALWAYS_OPEN.is_open)
    mains = mains_lost_together(devices, at(60))

    assert found == LostTogether() or (found.count == len(found.numbers) >= 2 and 0 < found.ratio <= 1)
    assert all(not one.is_online(at(60)) for one in devices if one.number in found.numbers)
    assert mains.count == len(mains.numbers)
    assert mains.count != 1
    assert lost(devices[::-1], 60, ALWAYS_OPEN.is_open) == found
    assert mains_lost_together(devices[::-1], at(60)) == mains
    assert (mains == MainsLost(back_count=mains.back_count)) == (mains.count == 0)
