"""A month of one annex, and months added up."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from tests.controller.reports.months import AFTER, HOURS_S, LONG_AGO, MONTH, at, counter, told, trouble

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.calendars.calendar import DEFAULT
from annexfleet_controller.calendars.holidays import KNOWN_RAMADANS
from annexfleet_controller.readiness.availability import Span
from annexfleet_controller.reports import Figures, making, merged
from annexfleet_controller.reports.making import Waiting


def test_availability_counts_opening_hours_and_tells_apart_what_nobody_knows():
    spans = [
        Span("residence", "ready", LONG_AGO, at(10, 10)),
        Span("residence", "blocked", at(10, 10), at(10, 12)),
        Span("residence", "ready", at(10, 12), at(15)),
        Span("residence", "unknown", at(15), at(16)),
        Span("residence", "ready", at(16)),
    ]

    found = making.made(told(spans=spans), MONTH, now=AFTER)

    whole = found.whole
    assert whole.blocked_s == 2 * 3600
    assert whole.unknown_s == 8 * 3600  # the 15th is a Tuesday
    assert whole.ready_s == HOURS_S - 10 * 3600
    assert whole.served_ratio == pytest.approx(1 - 2 / (22 * 8 - 8))
    assert whole.known_ratio == pytest.approx(1 - 8 / (22 * 8))
    assert found.services == {"residence": whole}


def test_a_month_of_which_nothing_is_known_is_never_fine():
    found = making.made(told(spans=[], watched_until=None), MONTH, now=AFTER)

    assert found.whole.unknown_s == HOURS_S
    assert found.whole.served_ratio is None
    assert found.whole.known_ratio == 0


def test_maintenance_of_the_annex_is_apart_from_everything():
    spans = [Span("residence", "ready", LONG_AGO, at(10, 9)), Span("residence", "blocked", at(10, 9), at(10, 12)),
             Span("residence", "ready", at(10, 12))]  # fmt: skip
    night, morning = (at(9, 22), at(10, 6)), (at(10, 8), at(10, 11))

    found = making.made(told(spans=spans, maintenance=[morning, night]), MONTH, now=AFTER)

    assert found.whole.maintenance_s == 2.5 * 3600  # from the opening at half past eight
    assert found.whole.blocked_s == 3600
    assert found.whole.open_s == HOURS_S
    assert found.services["residence"] == found.whole


def test_ramadans_hours_and_holidays_count_as_the_calendar_says():
    ramadan = KNOWN_RAMADANS[-1]
    month = f"{ramadan.first_day + timedelta(days=10):%Y-%m}"
    since, until = making.availability.bounds(month, DEFAULT.time_zone)

    found = making.made(told(created_at=since - timedelta(days=1), spans=[Span("s", "ready", since)],
                             watched_until=until), month, now=until)  # fmt: skip

    assert found.whole.ready_s == DEFAULT.open_seconds(since, until)
    assert found.whole.ready_s < DEFAULT.opening_days(since, until) * 8 * 3600


def test_an_annex_of_the_middle_of_a_month_is_judged_from_then_on():
    begun = at(16)

    found = making.made(told(created_at=begun, spans=[Span("residence", "ready", begun)]), MONTH, now=AFTER)

    assert found.since == begun
    assert found.whole.unknown_s == 0
    assert found.whole.open_s == DEFAULT.open_seconds(begun, at(30, 23.9))


def test_an_annex_that_closed_is_judged_until_then():
    found = making.made(told(retired_at=at(16)), MONTH, now=AFTER)

    assert found.until == at(16)
    assert found.whole.open_s == DEFAULT.open_seconds(at(1), at(16))


def test_the_current_month_ends_now():
    now = at(10, 12.5)

    found = making.made(told(watched_until=now), MONTH, now=now)

    assert found.until == now
    assert found.whole.ready_s == DEFAULT.open_seconds(at(1), now)
    assert not making.is_settled(now, MONTH, DEFAULT.time_zone)
    assert not making.is_settled(at(30, 23), MONTH, DEFAULT.time_zone)
    assert making.is_settled(AFTER, MONTH, DEFAULT.time_zone)


def test_incidents_are_the_months_in_which_they_opened_and_their_minutes_are_cut_to_it():
    before = trouble(1, 1, 0, None, began_at=LONG_AGO, opened_at=LONG_AGO, ended_at=at(1, 9.5))
    jam = trouble(2, 10, 10, 2, acknowledged_at=at(10, 10.5))
    quiet = trouble(3, 11, 10, 2, muted=True)

    found = making.made(told(troubles=[before, jam, quiet]), MONTH, now=AFTER).incidents

    assert found.count == 1
    assert found.muted == 1
    assert found.open_s == 3 * 3600
    assert found.people == 4
    assert found.mean_acknowledged_s() == 1800
    assert found.mean_repaired_s() == 7200


def test_a_thing_with_three_incidents_is_named():
    jams = [trouble(number, 7 + number, 9, 1) for number in range(3)]
    other = trouble(9, 21, 9, 1, thing_id="b" * 24)

    found = making.made(told(troubles=[*jams, other], jams={"a" * 24: 5}), MONTH, now=AFTER)

    assert [(one.id, one.count, one.open_s) for one in found.incidents.repeaters] == [("a" * 24, 3, 3 * 3600)]
    assert {one.id: (one.jams, one.blocked_s) for one in found.printing.listed} == {
        "a" * 24: (5, 3 * 3600), "b" * 24: (0, 3600),
    }  # fmt: skip


def test_pages_are_differences_of_counters_and_a_new_counter_tells_nothing():
    days = [
        counter(date(2026, 8, 29), 1000), counter(date(2026, 9, 1), 1100), counter(date(2026, 9, 2), 1150),
        counter(date(2026, 9, 4), 30), counter(date(2026, 9, 7), 80), counter(date(2026, 9, 8), None),
        counter(date(2026, 9, 2), None, "b" * 24),
    ]  # fmt: skip

    found = making.made(told(supply_days=days), MONTH, now=AFTER).printing

    assert found.by_day == {"2026-09-01": 100, "2026-09-02": 50, "2026-09-07": 50}
    assert (found.pages, found.printers, found.counted) == (200, 2, 1)
    assert [one.pages for one in found.listed if one.id == "b" * 24] == [None]


def point(
    day: int, hour: float, people: float | None, wait_s: float | None, *, service="residence", device=1
) -> Waiting:
    return Waiting(device, service, at(day, hour), 300, 300, people, wait_s)


def test_people_waiting_are_those_of_all_queues_by_hour_and_only_while_open():
    points = [
        point(7, 9.25, 4, 600), point(7, 9.5, 6, 600), point(14, 9.25, 5, 1200), point(7, 9.25, 1, 60, service="cnie"),
        point(7, 20, 50, 9000), point(7, 10.25, None, None),
    ]  # fmt: skip

    found = making.made(told(waiting=points), MONTH, now=AFTER).queues

    assert set(found.cells) == {"0-9"}
    assert found.cells["0-9"].mean == pytest.approx(5 + 1)
    assert found.mean_wait_s == pytest.approx((600 + 600 + 1200 + 60) / 4)
    assert 600 < (found.wait_quantile_s(0.9) or 0) <= 1200
    assert found.counted_s / found.open_s == pytest.approx(900 / HOURS_S)


def test_a_queue_that_two_devices_count_is_counted_once():
    twice = [point(7, 9.25, 4, 600), point(7, 9.5, 4, 600), point(7, 9.25, 4, 600, device=2)]

    found = making.made(told(waiting=twice), MONTH, now=AFTER).queues

    assert found.cells["0-9"].seconds == 600


def test_annexes_add_up_and_what_they_share_counts_once():
    line = {"cause": "line_cut", "kind": "portal", "annexes": 2, "thing_id": "*/portal"}
    one = making.made(told(troubles=[trouble(5, 10, 10, 1, **line), trouble(6, 11, 10, 1)]), MONTH, now=AFTER)
    two = making.made(
        told(annex_id="berkane-2", troubles=[trouble(5, 10, 10, 1, **line)], spans=[]), MONTH,
        now=AFTER + timedelta(hours=1),
    )  # fmt: skip
    before = msgspec.json.encode([one, two])

    whole = merged([one, two])

    assert whole is not None
    assert (whole.annexes, whole.as_of) == (2, AFTER)
    assert whole.whole.open_s == 2 * HOURS_S
    assert whole.whole.unknown_s == HOURS_S
    assert whole.incidents.count == 2
    assert whole.incidents.by_cause()["line_cut"].open_s == 2 * 3600
    assert msgspec.json.encode([one, two]) == before
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Figures) == whole
    assert merged([]) is None


def test_a_calendar_that_never_opens_makes_no_month_of_nothing():
    closed = Calendar(DEFAULT.time_zone, ((),) * 7, ((),) * 7)

    found = making.made(told(calendar=closed), MONTH, now=AFTER)

    assert found.whole.open_s == 0
    assert found.whole.served_ratio is None


def test_months_are_counted_back():
    now = datetime(2026, 3, 1, tzinfo=UTC)

    assert making.months_back(datetime(2025, 12, 5, tzinfo=UTC), now, "UTC", at_most=9) == [
        "2026-03", "2026-02", "2026-01", "2025-12",
    ]  # fmt: skip
    assert making.months_back(LONG_AGO, now, "UTC", at_most=2) == ["2026-03", "2026-02"]
    assert making.before("2026-01") == "2025-12"
