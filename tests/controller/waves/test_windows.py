"""Windows of annexes of Berkane: nights, weekends, Ramadan, holidays, and clocks that change."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controller.calendars.weeks import always, every_day, local, shown, utc

from annexfleet_controller.calendars import ALWAYS_OPEN, DEFAULT, Calendar, DatedHours, Holiday, resolve
from annexfleet_controller.waves import windows
from annexfleet_controller.waves.model import Policy

CLOSED = Policy()
ANY_TIME = Policy(window="always")
NOON = always("Africa/Casablanca", "08:30-12:00", "14:00-18:30")


@pytest.mark.parametrize(
    ("at", "is_open", "ends_at", "next_at"),
    [
        # A Wednesday in November: Morocco keeps UTC.
        ("2026-11-25 10:00", False, None, "2026-11-25 16:30"),
        ("2026-11-25 16:29", False, None, "2026-11-25 16:30"),
        ("2026-11-25 16:30", True, "2026-11-26 08:30", "2026-11-26 16:30"),
        ("2026-11-26 08:30", False, None, "2026-11-26 16:30"),
        # The Green March, 6 November 2026, is a Friday: from Thursday evening to Monday morning.
        ("2026-11-05 18:00", True, "2026-11-09 08:30", "2026-11-09 16:30"),
        ("2026-11-06 11:00", True, "2026-11-09 08:30", "2026-11-09 16:30"),
        # In Ramadan, from 19 February to 19 March 2026, annexes close at 15:00, and clocks stand at UTC.
        ("2026-03-05 15:00", True, "2026-03-06 09:00", "2026-03-06 15:00"),
        ("2026-03-05 14:59", False, None, "2026-03-05 15:00"),
        # The Friday before it, clocks were still an hour ahead; they went back on Sunday the 15th.
        ("2026-02-13 16:30", True, "2026-02-16 08:30", "2026-02-16 16:30"),
        # The last evening of Ramadan; Aïd was entered for Friday and Saturday; clocks go ahead on Sunday 22 March.
        ("2026-03-19 20:00", True, "2026-03-23 08:30", "2026-03-23 16:30"),
    ],
)
def test_an_annex_of_berkane(at, is_open, ends_at, next_at):
    calendar = resolve(
        None, None, [Holiday(date(2026, 3, 20), "eid_al_fitr", True), Holiday(date(2026, 3, 21), "eid_al_fitr", True)]
    )

    window = windows.now(calendar, CLOSED, local(at))

    assert window == windows.Window(
        is_open=is_open, ends_at=ends_at and local(ends_at), next_at=next_at and local(next_at)
    )


def test_the_clock_that_changes_makes_the_weekend_longer():
    began = windows.now(DEFAULT, CLOSED, local("2026-02-13 16:30"))

    assert began.ends_at == utc("2026-02-16 08:30")  # 16:30 on Friday was 15:30 UTC
    assert began.ends_at - utc("2026-02-13 15:30") == timedelta(hours=65)


def test_a_day_of_inventory_is_a_window():
    inventory = DatedHours(date(2026, 12, 24), date(2026, 12, 24), (), "inventory")
    calendar = Calendar(
        "Africa/Casablanca", every_day("08:30-16:30"), every_day("09:00-15:00"), exceptions=(inventory,)
    )

    assert windows.now(calendar, CLOSED, local("2026-12-24 10:00")).ends_at == local("2026-12-25 08:30")


def test_there_must_be_room_for_what_is_begun():
    noon = windows.now(NOON, CLOSED, local("2026-11-25 13:50"))

    assert noon.is_open
    assert noon.has_room(local("2026-11-25 13:50"), 600)
    assert not noon.has_room(local("2026-11-25 13:50"), 601)
    assert not windows.now(NOON, CLOSED, local("2026-11-25 10:00")).has_room(local("2026-11-25 10:00"), 1)


@pytest.mark.parametrize(
    ("at", "takes_s", "expected"),
    [
        ("2026-11-25 13:00", 3600, "2026-11-25 13:00"),
        ("2026-11-25 13:00", 3601, "2026-11-25 18:30"),
        ("2026-11-25 09:00", 7200, "2026-11-25 12:00"),
        ("2026-11-25 09:00", 7201, "2026-11-25 18:30"),
        ("2026-11-25 18:30", 14 * 3600, "2026-11-25 18:30"),
        ("2026-11-25 18:30", 14 * 3600 + 1, None),  # no night is that long
    ],
)
def test_the_first_moment_with_room(at, takes_s, expected):
    assert windows.first_room(NOON, CLOSED, local(at), takes_s) == (expected and local(expected))


def test_a_pause_between_two_spans_of_the_same_day_is_one():
    found = windows.spans(NOON, CLOSED, local("2026-11-25 10:00"), local("2026-11-26 10:00"))

    assert shown(found) == ["2026-11-25 12:00-14:00", "2026-11-25 18:30-08:30"]


def test_an_annex_that_never_closes_has_no_window():
    at = utc("2026-11-25 10:00")

    assert windows.now(ALWAYS_OPEN, CLOSED, at) == windows.Window(is_open=False)
    assert windows.first_room(ALWAYS_OPEN, CLOSED, at, 60) is None
    assert windows.spans(ALWAYS_OPEN, CLOSED, at, at + timedelta(days=1)) == []


def test_one_that_never_opens_is_always_in_its_window():
    never = Calendar("Africa/Casablanca", ((),) * 7, ((),) * 7)
    at = utc("2026-11-25 10:00")

    window = windows.now(never, CLOSED, at)

    assert window == windows.Window(is_open=True)
    assert window.has_room(at, 1e6)


def test_now_during_opening_hours():
    at = utc("2026-11-25 10:00")

    assert windows.now(DEFAULT, ANY_TIME, at) == windows.Window(is_open=True)
    assert windows.spans(DEFAULT, ANY_TIME, at, at + timedelta(days=2)) == [(at, at + timedelta(days=2))]


def test_a_moment_must_say_its_zone():
    with pytest.raises(ValueError, match="without a time zone"):
        windows.now(DEFAULT, ANY_TIME, datetime(2026, 11, 25, 10))  # noqa: DTZ001


moments = st.integers(0, 730 * 86_400).map(lambda seconds: utc("2026-01-01") + timedelta(seconds=seconds))


@given(moments, st.sampled_from([DEFAULT, NOON, ALWAYS_OPEN]))
def test_a_window_is_open_when_the_annex_is_not_and_ends_when_it_opens(at, calendar):
    window = windows.now(calendar, CLOSED, at)

    assert window.is_open is not calendar.is_open(at)
    if window.ends_at:
        assert calendar.is_open(window.ends_at)
        assert not calendar.is_open(window.ends_at - timedelta(seconds=1))
    if window.next_at:
        assert window.next_at > at
        assert windows.now(calendar, CLOSED, window.next_at).is_open


@given(moments, st.integers(0, 20 * 86_400), st.sampled_from([DEFAULT, NOON, ALWAYS_OPEN]))
def test_windows_and_opening_hours_make_up_all_time(since, seconds, calendar):
    until = since + timedelta(seconds=seconds)

    both = windows.spans(calendar, CLOSED, since, until) + calendar.spans(since, until)

    assert sum((end - begin for begin, end in both), timedelta()) == until - since
    assert all(begin < end for begin, end in both)
