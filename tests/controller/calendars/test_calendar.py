"""When an annex is open, by the clock on its wall."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controller.calendars.weeks import always, every_day, local, shown, spans, utc

from annexfleet_controller.calendars import ALWAYS_OPEN, DEFAULT, Calendar, DatedHours, Holiday, Ramadan

# -- Morocco: the clock of Ramadan 2026, and the end of it


def test_over_ramadan_2026_the_clock_moves_and_the_hours_change():
    """tzdata 2026f: +01 until 15 February, +00 until 22 March, +01 until 20 September, +00 from then on."""
    weeks = shown(DEFAULT.spans(utc("2026-02-13"), utc("2026-02-21")))
    end = shown(DEFAULT.spans(utc("2026-03-18"), utc("2026-03-25")))

    assert weeks == [
        "2026-02-13 07:30-15:30",  # Friday, +01, usual hours
        "2026-02-16 08:30-16:30",  # Monday, the clock already at +00, Ramadan not yet begun
        "2026-02-17 08:30-16:30",
        "2026-02-18 08:30-16:30",
        "2026-02-19 09:00-15:00",  # the first day of Ramadan
        "2026-02-20 09:00-15:00",
    ]
    assert end == [
        "2026-03-18 09:00-15:00",
        "2026-03-19 09:00-15:00",  # the last
        "2026-03-20 08:30-16:30",  # Aïd al-Fitr, which nobody has entered here; usual hours at +00
        "2026-03-23 07:30-15:30",  # back at +01
        "2026-03-24 07:30-15:30",
    ]


def test_over_ramadan_2027_only_the_hours_change():
    """Morocco keeps +00 since 20 September 2026, so no clock moves.  8 February to 9 March are expected dates."""
    begin = shown(DEFAULT.spans(utc("2027-02-05"), utc("2027-02-10")))
    end = shown(DEFAULT.spans(utc("2027-03-09"), utc("2027-03-12")))

    assert begin == ["2027-02-05 08:30-16:30", "2027-02-08 09:00-15:00", "2027-02-09 09:00-15:00"]
    assert end == ["2027-03-09 09:00-15:00", "2027-03-10 08:30-16:30", "2027-03-11 08:30-16:30"]


def test_the_last_change_of_morocco_in_september_2026():
    found = shown(DEFAULT.spans(utc("2026-09-18"), utc("2026-09-22")))

    assert found == ["2026-09-18 07:30-15:30", "2026-09-21 08:30-16:30"]


def test_a_confirmed_ramadan_takes_the_place_of_the_expected_one():
    calendar = Calendar(
        "Africa/Casablanca", DEFAULT.week, DEFAULT.ramadan_week,
        ramadans=(Ramadan(1448, date(2027, 2, 9), date(2027, 3, 10)),),
    )  # fmt: skip

    assert not calendar.is_ramadan(date(2027, 2, 8))
    assert calendar.is_ramadan(date(2027, 3, 10))
    assert calendar.is_open(local("2027-02-08T08:45"))


# -- hours that the clock skips or shows twice


@pytest.mark.parametrize(
    ("pairs", "day", "expected"),
    [
        # Paris, 29 March 2026: 02:00 becomes 03:00
        (["01:30-03:30"], "2026-03-29", ["2026-03-29 00:30-01:30"]),
        (["02:00-03:00"], "2026-03-29", []),
        (["02:15-02:45"], "2026-03-29", []),
        (["02:30-04:00"], "2026-03-29", ["2026-03-29 01:00-02:00"]),
        # Paris, 25 October 2026: 03:00 becomes 02:00
        (["01:30-03:30"], "2026-10-25", ["2026-10-24 23:30-02:30"]),
        (["02:00-03:00"], "2026-10-25", ["2026-10-25 00:00-02:00"]),
        (["02:15-02:45"], "2026-10-25", ["2026-10-25 00:15-00:45", "2026-10-25 01:15-01:45"]),
    ],
)
def test_skipped_and_repeated_hours_in_paris(pairs, day, expected):
    calendar = always("Europe/Paris", *pairs)
    midnight = local(f"{day}T00:00", "Europe/Paris")

    found = calendar.spans(midnight.astimezone(UTC), midnight.astimezone(UTC) + timedelta(hours=23))

    assert shown(found) == expected


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_whole_day_is_as_long_as_the_clock_makes_it(day, hours):
    midnight = local(f"{day}T00:00", "Europe/Paris")
    next_midnight = midnight + timedelta(days=1)

    open_s = always("Europe/Paris", "00:00-24:00").open_seconds(midnight.astimezone(UTC), next_midnight.astimezone(UTC))

    assert open_s == hours * 3600


def test_the_clock_of_ramadan_2026_moves_at_night_too():
    """On 15 February 2026 at 03:00 the clock shows 02:00 again; on 22 March 02:00 becomes 03:00."""
    night = always("Africa/Casablanca", "02:00-03:00")

    assert shown(night.spans(utc("2026-02-15"), utc("2026-02-16"))) == ["2026-02-15 01:00-03:00"]
    assert shown(night.spans(utc("2026-03-22"), utc("2026-03-23"))) == []
    assert shown(night.spans(utc("2026-02-20"), utc("2026-02-21"))) == ["2026-02-20 02:00-03:00"]


def test_a_span_to_midnight_joins_the_next_day():
    calendar = always("Asia/Kathmandu", "00:00-02:00", "22:00-24:00")  # +05:45

    found = calendar.spans(local("2026-05-01T12:00", "Asia/Kathmandu"), local("2026-05-02T12:00", "Asia/Kathmandu"))

    assert found == [(local("2026-05-01T22:00", "Asia/Kathmandu"), local("2026-05-02T02:00", "Asia/Kathmandu"))]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Australia/Lord_Howe", "Pacific/Apia"])
def test_zones_far_from_utc_and_with_half_hours(zone):
    calendar = always(zone, "08:00-16:00")

    for day in range(1, 366, 7):
        noon = datetime(2026, 1, 1, 12, tzinfo=ZoneInfo(zone)) + timedelta(days=day)
        assert calendar.opened_at(noon) == noon.replace(hour=8)
        assert calendar.closes_at(noon) == noon.replace(hour=16)


# -- asking


def test_the_last_moment_is_closed_already():
    assert DEFAULT.is_open(local("2026-11-25T08:30"))
    assert not DEFAULT.is_open(local("2026-11-25T08:30") - timedelta(microseconds=1))
    assert DEFAULT.is_open(local("2026-11-25T16:30") - timedelta(microseconds=1))
    assert not DEFAULT.is_open(local("2026-11-25T16:30"))


def test_before_during_and_after_a_span():
    friday_evening = local("2026-11-27T18:00")

    assert DEFAULT.next_opening(friday_evening) == local("2026-11-30T08:30")
    assert DEFAULT.closes_at(friday_evening) is None
    assert DEFAULT.opened_at(friday_evening) is None
    assert DEFAULT.next_opening(local("2026-11-27T10:00")) == local("2026-11-27T10:00")
    assert DEFAULT.opened_at(local("2026-11-27T10:00")) == local("2026-11-27T08:30")
    assert DEFAULT.closes_at(local("2026-11-27T10:00")) == local("2026-11-27T16:30")


def test_what_never_closes_and_what_never_opens():
    at = utc("2026-11-25T10:00")
    never = Calendar("UTC", every_day(), every_day())

    assert ALWAYS_OPEN.is_open(at)
    assert ALWAYS_OPEN.closes_at(at) is None
    assert ALWAYS_OPEN.opened_at(at) == at - timedelta(days=60)
    assert ALWAYS_OPEN.open_seconds(at, at + timedelta(days=400)) == 400 * 86_400
    assert never.next_opening(at) is None
    assert never.open_seconds(at, at + timedelta(days=400)) == 0


def test_an_opening_is_looked_for_sixty_days_ahead():
    first = date(2026, 12, 1)
    closed = Calendar(
        "Africa/Casablanca", DEFAULT.week, DEFAULT.ramadan_week, exceptions=(DatedHours(first, date(2027, 3, 1), ()),)
    )

    assert closed.next_opening(utc("2026-12-01T09:00")) is None
    assert closed.next_opening(utc("2027-01-05T09:00")) == utc("2027-03-02T08:30")


def test_a_backward_or_empty_stretch_holds_nothing():
    at = utc("2026-11-25T10:00")

    assert DEFAULT.open_seconds(at, at) == 0
    assert DEFAULT.open_seconds(at, at - timedelta(days=3)) == 0
    assert DEFAULT.spans(at, at - timedelta(days=3)) == []
    assert DEFAULT.opening_days(at, at) == 0


@pytest.mark.parametrize("year", [1, 1900, 1969, 2300, 9999])
def test_far_years_are_closed(year):
    at = datetime(year, 6, 15, 10, tzinfo=UTC)

    assert not ALWAYS_OPEN.is_open(at)
    assert ALWAYS_OPEN.open_seconds(at, at + timedelta(days=1)) == 0


@pytest.mark.parametrize("ask", ["is_open", "next_opening", "closes_at", "opened_at"])
def test_a_moment_without_a_zone_is_refused(ask):
    with pytest.raises(ValueError, match="without a time zone"):
        getattr(DEFAULT, ask)(datetime(2026, 11, 25, 10))  # noqa: DTZ001


def test_many_days_asked_do_not_pile_up():
    calendar = always("UTC", "08:00-16:00")

    calendar.open_seconds(utc("2000-01-01"), utc("2020-01-01"))

    assert len(calendar._days) <= 400
    assert calendar.is_open(utc("2000-01-01T09:00"))


# -- which days


def test_what_is_stronger_on_a_day():
    holiday = Holiday(date(2027, 2, 17), "eid_al_fitr", religious=True)
    calendar = Calendar(
        "Africa/Casablanca", DEFAULT.week, DEFAULT.ramadan_week, ramadans=DEFAULT.ramadans, holidays=(holiday,),
        exceptions=(
            DatedHours(date(2027, 2, 18), date(2027, 2, 18), spans("10:00-12:00"), "visit"),
            DatedHours(date(2027, 2, 17), date(2027, 2, 19), ()),
        ),
    )  # fmt: skip

    assert calendar.hours(date(2027, 2, 16)) == spans("09:00-15:00")
    assert calendar.hours(date(2027, 2, 18)) == spans("10:00-12:00")
    assert calendar.why_closed(date(2027, 2, 17)) == "exception"
    assert calendar.why_closed(date(2027, 2, 18)) == ""
    assert calendar.why_closed(date(2027, 2, 20)) == "weekend"


def test_why_a_day_is_closed():
    calendar = Calendar(
        "Africa/Casablanca", DEFAULT.week, DEFAULT.ramadan_week, holidays=(Holiday(date(2026, 5, 27), "eid_al_adha"),)
    )

    assert calendar.why_closed(date(2026, 11, 18)) == "holiday:independence_day"
    assert calendar.why_closed(date(2026, 5, 27)) == "holiday:eid_al_adha"
    assert calendar.why_closed(date(2026, 11, 28)) == "weekend"
    assert calendar.why_closed(date(2026, 11, 25)) == ""


def test_who_does_not_close_on_holidays():
    calendar = Calendar("Africa/Casablanca", DEFAULT.week, DEFAULT.ramadan_week, closed_on_holidays=False)

    assert calendar.is_open(local("2026-11-18T10:00"))
    assert calendar.holiday_on(date(2026, 11, 18)) == "independence_day"
    assert calendar.why_closed(date(2026, 11, 18)) == ""


def test_opening_days_are_local_days_with_any_opening_time():
    assert DEFAULT.opening_days(local("2026-11-16T00:00"), local("2026-11-23T00:00")) == 4  # 18 November is a holiday
    assert DEFAULT.opening_days(local("2026-11-16T16:30"), local("2026-11-17T08:30")) == 0
    assert DEFAULT.opening_days(local("2026-11-16T16:29"), local("2026-11-17T08:31")) == 2
    assert ALWAYS_OPEN.opening_days(local("2026-11-16T23:59"), local("2026-11-17T00:01")) == 2


@pytest.mark.parametrize(
    ("since", "days", "expected"),
    [
        ("2026-11-23T08:30", 0, "2026-11-23T08:30"),
        ("2026-11-23T08:30", 0.5, "2026-11-23T12:30"),
        ("2026-11-23T12:30", 1, "2026-11-24T12:30"),
        ("2026-11-27T12:30", 1, "2026-11-30T12:30"),  # over a week-end
        ("2026-11-28T10:00", 1, "2026-11-30T16:30"),
        ("2026-11-17T16:30", 1.5, "2026-11-20T12:30"),  # over a holiday
        ("2027-02-05T12:30", 1, "2027-02-08T12:00"),  # half of a usual day, then half of a day in Ramadan
    ],
)
def test_so_many_opening_days_later(since, days, expected):
    assert DEFAULT.add_opening_days(local(since), days) == local(expected)


def test_where_nothing_opens_days_of_the_calendar_count():
    at = utc("2026-11-25T10:00")
    never = Calendar("UTC", every_day(), every_day())

    assert never.add_opening_days(at, 10) == at + timedelta(days=10)
    assert DEFAULT.add_opening_days(at, float("inf")) > at + timedelta(days=3660)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="below 0"):
            DEFAULT.add_opening_days(at, wrong)


# -- for any calendar

_MINUTES = st.lists(st.integers(0, 1440), max_size=6, unique=True).map(sorted)
_SPANS = _MINUTES.map(lambda edges: tuple(zip(edges[::2], edges[1::2], strict=False)))
_WEEKS = st.tuples(*[_SPANS] * 7)
_ZONES = st.sampled_from(
    ["Africa/Casablanca", "Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "UTC", "Pacific/Apia"]
)
_CALENDARS = st.builds(
    Calendar, time_zone=_ZONES, week=_WEEKS, ramadan_week=_WEEKS, ramadans=st.just(DEFAULT.ramadans),
    closed_on_holidays=st.booleans(),
)  # fmt: skip
_MOMENTS = st.one_of(
    st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    # around the changes of clocks, where mistakes live
    st.sampled_from(["2026-02-15T02", "2026-03-22T02", "2026-09-20T01", "2026-03-29T01", "2026-10-25T01"]).flatmap(
        lambda text: st.integers(-7200, 7200).map(lambda s: utc(f"{text}:00") + timedelta(seconds=s))
    ),
)


def by_the_wall(calendar: Calendar, at: datetime) -> bool:
    """The definition, said plainly."""
    wall = at.astimezone(ZoneInfo(calendar.time_zone))
    minute = wall.hour * 60 + wall.minute
    return any(opens <= minute < closes for opens, closes in calendar.hours(wall.date()))


@given(_CALENDARS, _MOMENTS)
def test_open_is_what_the_clock_on_the_wall_says(calendar: Calendar, at: datetime):
    assert calendar.is_open(at) is by_the_wall(calendar, at)


@given(_CALENDARS, _MOMENTS, st.floats(0, 20), st.floats(0, 20))
def test_opening_time_adds_up(calendar: Calendar, since: datetime, first: float, second: float):
    middle = since + timedelta(days=first)
    until = middle + timedelta(days=second)

    whole = calendar.open_seconds(since, until)

    assert whole == pytest.approx(calendar.open_seconds(since, middle) + calendar.open_seconds(middle, until))
    assert whole == pytest.approx(sum((e - s).total_seconds() for s, e in calendar.spans(since, until)))
    assert 0 <= whole <= (until - since).total_seconds()


@given(_CALENDARS, _MOMENTS, st.integers(0, 20 * 86_400))
def test_spans_are_in_order_apart_and_open_from_end_to_end(calendar: Calendar, since: datetime, length_s: int):
    until = since + timedelta(seconds=length_s)
    tick = timedelta(microseconds=1)

    found = calendar.spans(since, until)

    edges = [since, *(edge for span in found for edge in span), until]
    assert edges == sorted(edges)
    for start, end in found:
        assert start < end
        assert calendar.is_open(start)
        assert calendar.is_open(end - tick)
        assert start == since or not calendar.is_open(start - tick)
        assert end == until or not calendar.is_open(end)


@given(_CALENDARS, _MOMENTS)
def test_a_span_is_the_same_from_wherever_in_it_one_asks(calendar: Calendar, at: datetime):
    opens = calendar.next_opening(at)
    if opens is None:
        return
    begin, end = calendar.opened_at(opens), calendar.closes_at(opens)

    assert begin is not None
    assert begin <= opens
    if end is not None:
        assert calendar.opened_at(end - timedelta(seconds=1)) == begin or end - begin > timedelta(days=60)
        assert not calendar.is_open(end)


@given(_CALENDARS, _MOMENTS, st.floats(0, 40), st.floats(0, 40))
def test_more_opening_days_end_no_earlier(calendar: Calendar, at: datetime, fewer: float, more: float):
    fewer, more = sorted((fewer, more))

    assert at <= calendar.add_opening_days(at, fewer) <= calendar.add_opening_days(at, more)
