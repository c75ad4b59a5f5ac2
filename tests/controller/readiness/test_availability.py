"""Monthly availability in opening hours, in the annex's own time zone."""

from datetime import UTC, datetime, time, timedelta

import pytest

from annexfleet_controller.calendars import DEFAULT, Calendar
from annexfleet_controller.readiness.availability import Availability, Span, bounds, of_month

HOUR = 3600.0


def at(month, day, hour=0, minute=0, year=2026):
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def weekly(zone, opens=8, closes=16):
    day = ((opens * 60, closes * 60),)
    return Calendar(time_zone=zone, week=(day,) * 7, ramadan_week=(((9 * 60, 15 * 60),),) * 7, closed_on_holidays=False)


LATE = at(1, 1, year=2027)
UTC_DAYS = weekly("UTC")
ALL_NOVEMBER = 30 * 8 * HOUR


def test_a_month_in_which_everything_worked():
    month = of_month([Span("a", "ready", at(10, 1))], UTC_DAYS, "2026-11", now=LATE)

    assert month.services == {"a": Availability(ready_s=ALL_NOVEMBER)}
    assert month.annex == Availability(ready_s=ALL_NOVEMBER)
    assert month.annex.ratio(month.annex.serving_s) == 1


def test_only_opening_time_counts():
    spans = [
        Span("a", "ready", at(10, 1), at(11, 3, 14)),
        Span("a", "blocked", at(11, 3, 14), at(11, 4, 10)),  # two hours in the afternoon, the night, two in the morning
        Span("a", "degraded", at(11, 4, 10), at(11, 4, 12)),
        Span("a", "ready", at(11, 4, 12)),
    ]

    found = of_month(spans, UTC_DAYS, "2026-11", now=LATE).services["a"]

    assert (found.blocked_s, found.degraded_s, found.open_s) == (4 * HOUR, 2 * HOUR, ALL_NOVEMBER)
    assert found.ratio(found.serving_s) == pytest.approx(1 - 4 * HOUR / ALL_NOVEMBER)


def test_the_unknown_is_apart_and_never_available():
    spans = [
        Span("a", "unknown", at(11, 1), at(11, 11)),
        Span("a", "ready", at(11, 11), at(11, 21)),  # and then the controller was off for ten days
    ]

    found = of_month(spans, UTC_DAYS, "2026-11", now=LATE).services["a"]

    assert found.unknown_s == 20 * 8 * HOUR
    assert found.ratio(found.serving_s) == pytest.approx(1 / 3)
    assert found.known_ratio == 1


def test_a_span_that_is_still_open_counts_until_somebody_looked_last():
    found = of_month([Span("a", "ready", at(10, 1))], UTC_DAYS, "2026-11", now=at(11, 11), watched_until=at(11, 6))

    assert found.services["a"] == Availability(ready_s=5 * 8 * HOUR, unknown_s=5 * 8 * HOUR)


def test_a_month_counts_as_far_as_it_has_passed():
    month = of_month([Span("a", "ready", at(10, 1))], UTC_DAYS, "2026-11", now=at(11, 2, 12))

    assert month.until == at(11, 2, 12)
    assert month.services["a"].open_s == 12 * HOUR


def test_a_month_to_come_has_no_ratio():
    month = of_month([], UTC_DAYS, "2026-11", now=at(10, 2))

    assert month.services == {}
    assert month.annex.ratio(0.0) is None
    assert month.annex.known_ratio is None


def test_the_annex_stands_as_its_worst_service():
    spans = [
        Span("a", "ready", at(10, 1)),
        Span("b", "ready", at(10, 1), at(11, 2)),
        Span("b", "blocked", at(11, 2), at(11, 3)),
        Span("b", "ready", at(11, 3)),
    ]

    month = of_month(spans, UTC_DAYS, "2026-11", now=LATE)

    assert month.services["a"].blocked_s == 0
    assert month.annex.blocked_s == 8 * HOUR


def test_time_in_which_a_service_was_not_offered_is_not_its_own():
    spans = [Span("a", "ready", at(10, 1)), Span("new", "blocked", at(11, 29))]

    month = of_month(spans, UTC_DAYS, "2026-11", now=LATE)

    assert month.services["new"] == Availability(blocked_s=2 * 8 * HOUR)


def test_a_month_is_one_of_the_clock_on_the_annexs_wall():
    assert bounds("2026-11", "Africa/Casablanca") == (at(11, 1), at(12, 1))  # UTC since September 2026
    assert bounds("2026-06", "Africa/Casablanca") == (at(5, 31, 23), at(6, 30, 23))
    assert bounds("2026-12", "Europe/Paris") == (at(11, 30, 23), at(12, 31, 23))
    # A day that begins an hour later in winter than in summer: the month is an hour longer.
    october = bounds("2026-10", "Europe/Paris")
    assert october[1] - october[0] == timedelta(days=31, hours=1)


@pytest.mark.parametrize("wrong", ["", "2026-13", "2026-1", "26-01", "1900-01", "9999-12", "2026-11-01"])
def test_what_is_no_month_is_refused(wrong):
    with pytest.raises(ValueError, match="no month"):
        of_month([], UTC_DAYS, wrong, now=LATE)


def test_an_hour_that_the_clock_shows_twice_is_open_twice():
    paris = weekly("Europe/Paris", opens=0, closes=24)

    found = of_month([Span("a", "ready", at(1, 1))], paris, "2026-10", now=LATE).annex

    assert found.ready_s == (31 * 24 + 1) * HOUR


@pytest.mark.parametrize(("month", "zone_hours"), [("2026-02", (1, 0)), ("2026-03", (0, 1))])
def test_ramadan_of_2026_moved_the_clock_and_the_hours(month, zone_hours):
    """Ramadan 2026: 19 February to 19 March; the clock on +00 from 15 February to 22 March."""
    month_found = of_month([Span("a", "ready", at(1, 1))], DEFAULT, month, now=LATE)

    opening = sum(
        sum(closes - opens for opens, closes in DEFAULT.hours((month_found.since + timedelta(days=n, hours=12)).date()))
        for n in range((month_found.until - month_found.since).days + 1)
        if month_found.since + timedelta(days=n, hours=12) < month_found.until
    )
    assert month_found.annex.ready_s == opening * 60
    start, end = zone_hours
    assert month_found.since.time() == time((24 - start) % 24)
    assert month_found.until.time() == time((24 - end) % 24)


def test_many_spans_are_quick_enough_for_a_page():
    begin = at(11, 1)
    spans = [
        Span(
            f"service-{n % 7}",
            "ready" if n % 2 else "blocked",
            begin + timedelta(minutes=n),
            begin + timedelta(minutes=n + 7),
        )
        for n in range(20_000)
    ]

    month = of_month(spans, UTC_DAYS, "2026-11", now=LATE)

    assert len(month.services) == 7
