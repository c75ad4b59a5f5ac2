"""Days that lie behind."""

from datetime import UTC, datetime, timedelta

import pytest

from annexfleet_agent.protocol.messages import Beat, Change
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.simulate import past, world
from annexfleet_controller.simulate.measured import View
from annexfleet_controller.simulate.province import build
from annexfleet_controller.zones import PROVINCE

NOW = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)


def test_the_last_day_is_told_finely_and_the_days_before_coarsely():
    until = NOW.timestamp()
    province = build(1, 3, now=until - 2 * 86_400)
    annex, machine = province.annexes[0], province.machines[0]
    teller = past.Teller(machine, View(province, annex, machine))

    past.make_up(world.World(province, []), until, [teller], offset_s=50.0)

    beats = [item for item in teller.items if isinstance(item, Beat)]
    fine = [beat for beat in beats if beat.at > until + 50 - 86_400]
    assert len(fine) == pytest.approx(288, abs=5)
    assert len(beats) - len(fine) == pytest.approx(48, abs=3)
    assert beats[-1].at == pytest.approx(until + 50, abs=1)
    assert all(item.at > until - 86_400 for item in teller.items if isinstance(item, Change))


@pytest.mark.parametrize(
    ("hour", "now", "expected"),
    [
        ("", "2026-11-23 03:00", "2026-11-23 03:00"),
        ("open", "2026-11-23 11:17", "2026-11-23 11:17"),
        ("open", "2026-11-23 20:00", "2026-11-23 10:00"),
        ("open", "2026-11-22 11:00", "2026-11-20 10:00"),  # Sunday -> Friday
        ("09:30", "2026-11-23 08:00", "2026-11-20 09:30"),
    ],
)
def test_the_day_begins_where_it_is_asked_to(hour: str, now: str, expected: str):
    begins = world.beginning(hour, datetime.fromisoformat(now).replace(tzinfo=PROVINCE))

    assert begins.astimezone(PROVINCE).strftime("%Y-%m-%d %H:%M") == expected


@pytest.mark.parametrize("hour", ["noon", "25:00", "1000"])
def test_an_hour_that_is_none_is_refused(hour: str):
    with pytest.raises(SettingsWrong, match="--hour"):
        world.beginning(hour, NOW + timedelta())
