"""A month beside the one before it."""

from datetime import timedelta

from tests.controller.reports.months import AFTER, MONTH, at, told, trouble

from annexfleet_controller.readiness.availability import Span
from annexfleet_controller.reports import comparing, making


def judged(now, before) -> dict[str, tuple[str, float | None]]:
    return {one.measure: (one.judgement, one.change) for one in comparing.compared(now, before)}


def test_without_a_month_before_nothing_is_said():
    found = making.made(told(), MONTH, now=AFTER)

    assert {judgement for judgement, _ in judged(found, None).values()} == {"unknown"}
    assert [one.measure for one in comparing.compared(found, None)] == list(comparing.MEASURES)


def test_what_is_better_depends_on_the_figure():
    calm = making.made(told(), MONTH, now=AFTER)
    spans = [Span("residence", "blocked", at(1), at(10)), Span("residence", "ready", at(10))]
    bad = making.made(told(spans=spans, troubles=[trouble(1, 10, 10, 2)]), MONTH, now=AFTER)

    found = judged(bad, calm)

    assert found["served"][0] == "worse"
    assert found["incidents"] == ("worse", None)  # from none, no part can be told
    assert judged(calm, bad)["served"][0] == "better"
    assert judged(calm, bad)["incidents"] == ("better", -1.0)
    assert judged(calm, calm)["served"] == ("same", 0)
    assert judged(calm, calm)["pages"] == ("unknown", None)  # no counter told


def test_a_part_of_a_month_is_compared_by_opening_hour():
    jams = [trouble(number, 2 + number, 9, 1) for number in range(2)]
    half = making.made(told(troubles=jams, watched_until=at(16)), MONTH, now=at(16))
    whole = making.made(told(troubles=[*jams, trouble(8, 21, 9, 1), trouble(9, 22, 9, 1)]), MONTH, now=AFTER)

    judgement, change = judged(half, whole)["incidents"]

    assert judgement == "same"
    assert change is not None
    assert abs(change) < 0.01


def test_a_month_that_has_hardly_begun_is_not_compared():
    begun = at(1, 9)
    found = making.made(told(watched_until=begun), MONTH, now=begun + timedelta(minutes=5))

    assert judged(found, making.made(told(), MONTH, now=AFTER))["served"] == ("unknown", None)
