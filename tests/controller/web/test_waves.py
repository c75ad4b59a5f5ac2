from datetime import UTC, datetime, timedelta

from annexfleet_controller.waves.model import TARGET_STATES, Policy
from annexfleet_controller.web import waves, wishes
from annexfleet_controller.web.wishes import Asked
from annexfleet_controller.zones import PROVINCE

NOON = datetime(2026, 11, 25, 12, tzinfo=PROVINCE)


def test_a_bar_has_a_piece_for_each_state_and_fills_the_whole():
    bar = waves.bar({"waiting": 2, "failed": 1, "succeeded": 5})

    assert [(part.state, part.count, part.start, part.width) for part in bar] == [
        ("succeeded", 5, 0.0, 62.5), ("failed", 1, 62.5, 12.5), ("waiting", 2, 75.0, 25.0),
    ]  # fmt: skip
    assert waves.bar({}) == []


def test_what_ended_and_what_ended_badly_is_counted():
    tally = dict.fromkeys(TARGET_STATES, 1)

    assert waves.ended(tally) == 6
    assert waves.bad(tally) == 3


def test_nights_go_from_noon_to_noon_and_tell_how_many_annexes():
    evening, morning = NOON + timedelta(hours=4, minutes=30), NOON + timedelta(hours=20, minutes=30)
    windows = {"a": [(evening, morning)], "b": [(evening + timedelta(hours=2), morning)], "c": [], "d": []}

    first, second = waves.nights(windows, since=NOON + timedelta(hours=1), zone=PROVINCE, count=2)

    assert (first.on.isoformat(), first.hours, first.annexes, first.is_whole) == (
        "2026-11-25", [("16:30", "08:30")], 2, False,
    )  # fmt: skip
    assert [(round(slot.start, 2), round(slot.width, 2), slot.share) for slot in first.slots] == [
        (18.75, 8.33, 1), (27.08, 58.33, 2),
    ]  # fmt: skip
    assert (second.spans, second.annexes, second.slots) == ([], 0, [])


def test_in_the_morning_the_night_that_has_begun_is_the_first():
    now = datetime(2026, 11, 26, 7, tzinfo=UTC)

    night = waves.nights({"a": [(now, now + timedelta(days=3))]}, since=now, zone=PROVINCE, count=2)

    assert night[0].on.isoformat() == "2026-11-25"
    assert (night[0].is_whole, night[1].is_whole) == (False, True)


def test_a_policy_comes_back_from_the_form_as_it_went_in():
    policy = wishes.policy(Asked(preset="evening", policy={"soak_s": "7,5", "most_bad_ratio": "12"}, window="always"))

    assert (policy.soak_s, policy.most_bad_ratio, policy.window, policy.growth) == (450.0, 0.12, "always", 4.0)
    preset, values, window = wishes._of_policy(policy)
    assert (preset, values, window) == ("evening", {"soak_s": "7.5", "most_bad_ratio": "12"}, "always")
    assert wishes.policy(Asked(preset=preset, policy=values, window=window)) == policy


def test_every_value_of_a_policy_can_be_set_singly():
    assert {*wishes.UNITS, "window"} == set(Policy.__struct_fields__)
