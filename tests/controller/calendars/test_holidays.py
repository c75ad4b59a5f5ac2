"""Holidays and Ramadan: the fixed ones known, the religious ones asked for in time."""

from datetime import date, timedelta

import pytest
from tests.controller.calendars.weeks import utc

from annexfleet_controller.calendars import KNOWN_RAMADANS, Holiday, Ramadan, missing_religious
from annexfleet_controller.calendars.holidays import (
    FEASTS,
    feast_days,
    fixed_of,
    fixed_on,
    ramadan,
    ramadans_known,
    tabular,
)
from annexfleet_controller.errors import CalendarWrong

NEXT_YEAR = ["ramadan", "eid_al_fitr", "eid_al_adha", "hijri_new_year", "mawlid"]


def test_the_fixed_holidays_of_2027():
    assert [(one.date.month, one.date.day) for one in fixed_of(2027)] == [
        (1, 1), (1, 11), (1, 14), (5, 1), (7, 30), (8, 14), (8, 20), (8, 21), (10, 31), (11, 6), (11, 18),
    ]  # fmt: skip
    assert not any(one.religious for one in fixed_of(2027))


@pytest.mark.parametrize(
    ("day", "name"),
    [
        ("2023-01-14", ""),
        ("2024-01-14", "amazigh_new_year"),
        ("2025-10-31", ""),
        ("2026-10-31", "unity_day"),
        ("2026-11-18", "independence_day"),
        ("2026-11-19", ""),
    ],
)
def test_a_holiday_counts_from_its_first_year(day, name):
    assert fixed_on(date.fromisoformat(day)) == name


@pytest.mark.parametrize(
    ("hijri", "announced"),
    [
        ((1443, 10, 1), "2022-05-02"),
        ((1444, 10, 1), "2023-04-22"),
        ((1444, 12, 10), "2023-06-29"),
        ((1445, 10, 1), "2024-04-10"),
        ((1446, 9, 1), "2025-03-02"),
        ((1446, 10, 1), "2025-03-31"),
        ((1447, 9, 1), "2026-02-19"),
        ((1447, 10, 1), "2026-03-20"),
    ],
)
def test_the_tabular_calendar_is_near_what_the_ministry_announced(hijri, announced):
    assert abs((tabular(*hijri) - date.fromisoformat(announced)).days) <= 2


def test_the_days_of_a_feast():
    assert feast_days("eid_al_fitr", date(2026, 3, 20)) == [
        Holiday(date(2026, 3, 20), "eid_al_fitr", religious=True),
        Holiday(date(2026, 3, 21), "eid_al_fitr", religious=True),
    ]
    assert len(feast_days("hijri_new_year", date(2026, 6, 17))) == 1


@pytest.mark.parametrize(
    ("name", "day", "reason"),
    [
        ("eid_al_fitr", "2026-05-20", "far_from_expected"),
        ("eid_al_adha", "2026-03-20", "far_from_expected"),
        ("christmas", "2026-12-25", "unknown_feast"),
    ],
)
def test_an_unlikely_feast_is_refused(name, day, reason):
    with pytest.raises(CalendarWrong) as refused:
        feast_days(name, date.fromisoformat(day))

    assert refused.value.facts["reason"] == reason


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [
        ("2027-02-08", "2027-03-07", "not_29_or_30_days"),
        ("2027-02-08", "2027-03-10", "not_29_or_30_days"),
        ("2027-03-08", "2027-02-08", "not_29_or_30_days"),
        ("2027-03-08", "2027-04-05", "far_from_expected"),
    ],
)
def test_an_unlikely_ramadan_is_refused(first, last, reason):
    with pytest.raises(CalendarWrong) as refused:
        ramadan(date.fromisoformat(first), date.fromisoformat(last), confirmed=True)

    assert refused.value.facts["reason"] == reason


def test_two_ramadans_that_begin_in_2030_have_years_of_their_own():
    assert ramadan(date(2030, 1, 6), date(2030, 2, 4), confirmed=True).year == 1451
    assert ramadan(date(2030, 12, 26), date(2031, 1, 24), confirmed=True).year == 1452


def test_known_ramadans_would_be_accepted():
    for known in KNOWN_RAMADANS:
        assert ramadan(known.first_day, known.last_day, confirmed=known.confirmed) == known


def test_what_was_entered_takes_the_place_of_what_is_known():
    entered = ramadan(date(2027, 2, 9), date(2027, 3, 10), confirmed=True)

    assert ramadans_known([entered]) == (*KNOWN_RAMADANS[:2], entered)


# -- the reminder


def names(now: str, holidays=(), ramadans=()) -> list[str]:
    return [one.name for one in missing_religious(holidays, ramadans, utc(now))]


def test_sixty_days_before_a_year_ends_the_next_one_is_asked_for():
    assert names("2026-11-01") == []
    assert names("2026-11-02") == NEXT_YEAR
    assert names("2026-12-31") == NEXT_YEAR


def test_in_the_year_itself_only_what_is_still_to_come():
    assert names("2027-01-05") == NEXT_YEAR
    assert names("2027-06-10") == ["mawlid"]
    assert names("2027-09-01") == []


def entered_2027() -> list[Holiday]:
    first_days = {"eid_al_fitr": "2027-03-10", "eid_al_adha": "2027-05-17", "hijri_new_year": "2027-06-07",
                  "mawlid": "2027-08-16"}  # fmt: skip
    return [day for name, first in first_days.items() for day in feast_days(name, date.fromisoformat(first))]


def test_what_was_entered_is_not_asked_for():
    month = ramadan(date(2027, 2, 8), date(2027, 3, 9), confirmed=False)

    assert names("2026-11-25", entered_2027(), [month]) == []
    assert names("2026-11-25", entered_2027()) == ["ramadan"]
    assert names("2026-11-25", entered_2027()[2:], [month]) == ["eid_al_fitr"]


def test_the_feasts_of_another_year_do_not_count():
    last_year = [Holiday(day.date - timedelta(days=354), day.name, religious=True) for day in entered_2027()]

    assert names("2026-11-25", last_year) == NEXT_YEAR


@pytest.mark.parametrize(
    ("now", "asked"), [("2027-02-04", False), ("2027-02-05", True), ("2027-03-09", True), ("2027-03-10", False)]
)
def test_an_expected_ramadan_is_to_be_confirmed_when_it_begins(now, asked):
    expected = Ramadan(1448, date(2027, 2, 8), date(2027, 3, 9), confirmed=False)

    missing = missing_religious(entered_2027(), [expected], utc(now))

    assert [(one.name, one.to_confirm) for one in missing] == ([("ramadan", True)] if asked else [])


def test_the_reminder_says_about_when():
    missing = missing_religious([], [], utc("2026-11-25"))

    assert [(one.name, one.year, one.expected.isoformat()) for one in missing][:2] == [
        ("ramadan", 1448, "2027-02-08"),
        ("eid_al_fitr", 1448, "2027-03-10"),
    ]
    assert {feast.name for feast in FEASTS} <= {one.name for one in missing}
