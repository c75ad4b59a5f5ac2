from datetime import UTC, date, datetime, time, timedelta

import pytest
from tests.controller.maintenance.planned import NOW, at, once, weekly

from annexfleet_controller import zones
from annexfleet_controller.maintenance import (
    Maintenance,
    Span,
    condition,
    ended_between,
    last_moment,
    next_span,
    span_at,
    spans,
    stopped,
)

MONDAY, TUESDAY, WEDNESDAY = 0, 1, 2
YEAR = timedelta(days=365)


def test_one_that_lasts_once_is_planned_then_active_then_past():
    m = once(at(24, 13), at(24, 15))

    assert [condition(m, at(24, hour)) for hour in (12, 13, 14, 15)] == ["planned", "active", "active", "past"]
    assert next_span(m, at(24, 12)) == Span(at(24, 13), at(24, 15))
    assert next_span(m, at(24, 13)) is None
    assert last_moment(m) == at(24, 15)


def test_weekly_over_midnight_is_one_span_that_begins_on_its_day():
    m = weekly(TUESDAY, begins=time(23, 0), minutes=180)

    span = span_at(m, datetime(2026, 11, 25, 1, 30, tzinfo=UTC))  # the night from Tuesday to Wednesday

    assert span is not None
    assert span.end - span.start == timedelta(minutes=180)
    assert span.start.astimezone(zones.zone(m.time_zone)).strftime("%a %H:%M") == "Tue 23:00"
    assert span_at(m, datetime(2026, 11, 26, 1, 30, tzinfo=UTC)) is None


# The zone's rules of those years: UTC+1, and UTC in Ramadan (2026: 15 February to 22 March).
@pytest.mark.parametrize("year_day", [date(2026, 2, 10), date(2026, 2, 24), date(2026, 3, 17), date(2026, 3, 24)])
def test_the_wall_clock_counts_when_the_clocks_move_for_ramadan(year_day: date):
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    m = weekly(TUESDAY, begins=time(22, 0), minutes=60, starts_at=begin, until=date(2026, 12, 1))
    zone = zones.zone(m.time_zone)
    wanted = datetime.combine(year_day, time(22, 0), zone)

    span = span_at(m, wanted.astimezone(UTC))

    assert span == Span(wanted.astimezone(UTC), wanted.astimezone(UTC) + timedelta(hours=1))


def test_those_tuesdays_are_not_all_the_same_moment_of_the_day_in_utc():
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    m = weekly(TUESDAY, begins=time(22, 0), minutes=60, starts_at=begin, until=date(2026, 6, 1))

    assert {span.start.hour for span in spans(m, begin, begin + YEAR)} == {21, 22}


def test_a_time_that_the_clock_skips_begins_after_the_skip_and_one_shown_twice_the_first_time():
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    m = weekly(6, begins=time(2, 30), minutes=45, starts_at=begin, until=date(2026, 12, 1), zone="Europe/Paris")
    found = [span.start for span in spans(m, begin, begin + YEAR)]

    assert datetime(2026, 3, 29, 1, 30, tzinfo=UTC) in found  # 2:30 does not exist: 3:30 on the wall
    assert datetime(2026, 10, 25, 0, 30, tzinfo=UTC) in found  # the first of two 2:30
    assert all(span.end - span.start == timedelta(minutes=45) for span in spans(m, begin, begin + YEAR))


def test_none_begins_before_the_start_nor_after_the_last_day():
    m = weekly(TUESDAY, begins=time(9, 0), minutes=30, starts_at=at(24, 12), until=date(2026, 12, 8))

    starts = [span.start.date() for span in spans(m, at(1, 0), at(1, 0) + YEAR)]

    assert starts == [date(2026, 12, 1), date(2026, 12, 8)]
    assert condition(m, datetime(2026, 12, 9, tzinfo=UTC)) == "past"


def test_days_that_meet_are_one_span_and_nobody_leaves_in_between():
    m = weekly(MONDAY, TUESDAY, WEDNESDAY, begins=time(0, 0), minutes=1440, starts_at=at(1, 0))
    span = span_at(m, at(24, 12))

    assert span is not None
    assert span.end - span.start == timedelta(days=3)
    assert ended_between([m], at(24, 12), at(25, 12)) == []


def test_the_whole_week_is_one_span_up_to_its_last_day():
    m = weekly(*range(7), begins=time(0, 0), minutes=1440, starts_at=at(1, 0), until=date(2027, 1, 31))
    span = span_at(m, at(24, 12))

    assert span is not None
    assert span.end.astimezone(zones.zone(m.time_zone)).date() == date(2027, 2, 1)
    assert next_span(m, at(24, 12)) is None


def test_what_was_left_is_named_once():
    ms = [once(at(24, 10), at(24, 13)), once(at(24, 10), at(24, 14), id_=2)]

    assert [m.id for m in ended_between(ms, at(24, 12), at(24, 13))] == [1]
    assert [m.id for m in ended_between(ms, at(24, 13), at(24, 14))] == [2]
    assert ended_between(ms, at(24, 14), at(24, 20)) == []


def test_what_was_cancelled_is_left_at_that_moment():
    m = stopped(once(at(24, 10), at(24, 18)), by="chief", now=at(24, 12))

    assert condition(m, at(24, 12)) == "past"
    assert last_moment(m) == at(24, 12)
    assert [one.id for one in ended_between([m], at(24, 11), at(24, 12))] == [1]
    assert m.cancelled_by == "chief"


def test_what_was_cancelled_before_it_began_never_lasts():
    m = stopped(once(at(24, 14), at(24, 18)), by="chief", now=at(24, 12))

    assert list(spans(m, at(1, 0), at(30, 0))) == []
    assert ended_between([m], at(24, 11), at(24, 20)) == []
    assert last_moment(m) == at(24, 12)


def test_of_a_weekly_one_only_the_occurrence_ends_unless_it_is_stopped_wholly():
    m = weekly(TUESDAY, begins=time(12, 0), minutes=240, starts_at=at(20, 0))

    early = stopped(m, by="tech", now=at(24, 13))

    assert span_at(m, at(24, 13)) is not None
    assert span_at(early, at(24, 13)) is None
    assert ended_between([early], at(24, 12, 30), at(24, 13)) == [early]
    following = next_span(early, at(24, 13))
    assert following is not None
    assert following.start.date() == date(2026, 12, 1)
    assert condition(stopped(m, by="tech", now=at(24, 13), wholly=True), at(24, 13)) == "past"
    assert condition(stopped(m, by="tech", now=at(25, 13)), at(25, 13)) == "past"  # none lasts: all of it


def test_what_is_over_stays_as_it_was():
    m = once(at(20, 10), at(20, 18))

    assert stopped(m, by="tech", now=NOW) is m


@pytest.mark.parametrize(
    "m",
    [
        once(at(24, 10), at(24, 18)),
        weekly(TUESDAY, begins=time(23, 0), minutes=600),
        stopped(weekly(TUESDAY, begins=time(12, 0), minutes=240, starts_at=at(20, 0)), by="x", now=at(24, 13)),
    ],
)
def test_conditions_and_spans_say_the_same_at_every_quarter_of_an_hour(m: Maintenance):
    begin, end = at(22, 0), at(22, 0) + timedelta(days=10)
    listed = list(spans(m, begin, end))
    moment = begin
    while moment < end:
        inside = any(span.start <= moment < span.end for span in listed)
        assert (condition(m, moment) == "active") is inside
        following = next_span(m, moment)
        expected = next((span for span in listed if span.start > moment), None)
        assert expected is None or following == expected
        moment += timedelta(minutes=15)
