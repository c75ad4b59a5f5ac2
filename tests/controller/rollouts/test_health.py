"""What the gate is told of changed devices, and of untouched ones beside them."""

from datetime import UTC, datetime, timedelta

import pytest

from annexfleet_controller.rollouts.health import ailments, figures, restarts
from annexfleet_controller.store.rollout_evidence import Trouble
from annexfleet_controller.views import DeviceView

AT = datetime(2026, 11, 24, 20, tzinfo=UTC)


def points(*values: float, every_s: float = 300.0, first_s: float = -3600.0) -> list[tuple[datetime, dict[str, float]]]:
    return [
        (AT + timedelta(seconds=first_s + every_s * n), {"memory_used_ratio": value}) for n, value in enumerate(values)
    ]


def test_means_before_and_after():
    readings, slopes = figures([*points(0.4, 0.6), *points(0.8, 0.9, first_s=300)], AT)
    assert readings == {"memory_used_ratio": (pytest.approx(0.5), pytest.approx(0.85))}
    assert slopes == {}  # not for half an hour yet


def test_what_rises_hour_after_hour():
    rising = points(*[0.5 + 0.01 * n for n in range(13)], first_s=300)
    _, slopes = figures([*points(0.5), *rising], AT)
    assert slopes == {"memory_used_ratio": pytest.approx(0.12)}


@pytest.mark.parametrize("found", [[], points(0.5), points(0.5, first_s=300)])
def test_what_is_known_of_one_side_only_is_not_compared(found: list[tuple[datetime, dict[str, float]]]):
    assert figures(found, AT)[0] == {}


def test_a_goodbye_and_the_start_after_it_are_one_restart():
    def view(**moments: tuple[datetime, ...]) -> DeviceView:
        return DeviceView(number=1, id="d", annex_id="a", name="n", role="counter", enrolled_at=AT, **moments)

    def after(minutes: float) -> datetime:
        return AT + timedelta(minutes=minutes)

    assert restarts(view(), AT) == 0
    assert restarts(view(goodbyes=(after(10),), boots=(after(12),)), AT) == 1
    assert restarts(view(boots=(after(-5), after(10), after(30), after(60))), AT) == 3


def trouble(rule: str, since_h: float, cleared_h: float | None = None) -> Trouble:
    cleared_at = None if cleared_h is None else AT + timedelta(hours=cleared_h)
    return Trouble("d", rule, "warning", AT + timedelta(hours=since_h), cleared_at)


def test_an_alert_from_before_excuses_only_its_like():
    jams = [trouble("printer.blocked", -1, 1), trouble("printer.blocked", 2)]

    assert ailments(jams, AT) == (True, {}, ())
    more = [*jams, trouble("reboot.unexpected", 1), trouble("cpu.high", 1, 2)]
    assert ailments(more, AT) == (True, {"reboot.unexpected": "warning", "cpu.high": "warning"}, ("cpu.high",))


def test_one_that_was_away_or_flapped_before_proves_nothing():
    assert ailments([trouble("device.offline", -1, 1)], AT)[0] is False
    assert ailments([trouble("device.flapping", -1)], AT)[0] is False
    assert ailments([trouble("device.offline", -3, -1)], AT)[0] is True
