from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controller.alerts.trouble import DEVICE, alert, at, rule, verdict

from annexfleet_controller.alerts import lifecycle
from annexfleet_controller.alerts.lifecycle import happened, reopen, step, without_verdict, worsened
from annexfleet_controller.calendars import ALWAYS_OPEN, DEFAULT, Calendar
from annexfleet_controller.rules.model import Rule
from annexfleet_controller.things import Alert, Thing, Verdict

RULE = rule(for_s=600, clear_for_s=300)
NEXT_MORNING = 22.5 * 60
"""8:30 of the next day, in minutes from the start."""


def told(*verdicts: Verdict, of: Rule = RULE, calendar: Calendar = DEFAULT, role: str = "") -> Alert | None:
    """What is left of verdicts that are judged as they come."""
    found = None
    for one in verdicts:
        found = step(found, one, of, calendar=calendar, now=one.evidence_at, role=role)
    return found


def raised(*minutes: float, **fields: Any) -> list[Verdict]:
    return [verdict("raise", one, **fields) for one in minutes]


def lasting(*verdicts: Verdict, **kwargs: Any) -> Alert:
    found = told(*verdicts, **kwargs)
    assert found is not None
    return found


# -- it opens


@pytest.mark.parametrize(
    ("minutes", "state"),
    [
        ((0,), "pending"),
        ((0, 5), "pending"),
        ((0, 5, 10), "open"),
        ((0, 14), "open"),
        ((0, 20), "pending"),  # nobody knows how it was in the gap
        ((0, 20, 30), "open"),
    ],
)
def test_an_alert_opens_when_evidence_shows_that_it_lasted(minutes: tuple[float, ...], state: str):
    assert lasting(*raised(*minutes)).state == state


def test_the_clock_alone_ripens_nothing():
    pending = lasting(*raised(0, 9))

    later = step(pending, verdict("raise", 9), RULE, calendar=DEFAULT, now=at(60))

    assert later is not None
    assert later.state == "pending"


def test_a_single_report_is_proof_where_the_rule_says_so():
    of = rule(for_s=120, samples=1)
    pending = lasting(*raised(0), of=of)

    later = step(pending, verdict("raise", 0), of, calendar=DEFAULT, now=at(2))

    assert pending.state == "pending"
    assert later is not None
    assert later.state == "open"


def test_a_change_that_still_stands_when_the_device_is_heard_again_is_two_moments():
    assert lasting(verdict("raise", 12, since=at(0))).state == "open"
    assert lasting(verdict("raise", 12, since=at(12)), of=rule()).state == "pending"


def test_hours_without_the_controller_count_only_if_the_readings_tell():
    pending = lasting(*raised(0))

    guessed = step(pending, verdict("raise", 180), RULE, calendar=DEFAULT, now=at(180))
    known = step(pending, verdict("raise", 180, since=at(0)), RULE, calendar=DEFAULT, now=at(180))

    assert guessed is not None
    assert known is not None
    assert (guessed.state, guessed.since) == ("pending", at(180))
    assert (known.state, known.since) == ("open", at(0))


def test_a_condition_that_began_anew_starts_again():
    pending = lasting(verdict("raise", 9, since=at(0)))

    anew = step(pending, verdict("raise", 12, since=at(11)), RULE, calendar=DEFAULT, now=at(12))

    assert anew is not None
    assert (anew.state, anew.since) == ("pending", at(11))


@pytest.mark.parametrize(
    ("since", "expected"),
    [(at(5), at(0)), (datetime(1970, 1, 1, tzinfo=UTC), at(0) - lifecycle.OLDEST_SINCE), (at(-60), at(-60))],
)
def test_the_beginning_is_not_in_the_future_and_not_in_another_age(since: datetime, expected: datetime):
    assert lasting(verdict("raise", 0, since=since)).since == expected


def test_a_role_may_have_its_own_patience():
    of = rule(for_s=300, for_s_by_role={"tablet": 900})

    assert lasting(*raised(0, 5), of=of, role="counter").state == "open"
    assert lasting(*raised(0, 5), of=of, role="tablet").state == "pending"


def test_unknown_does_not_ripen_a_pending_one_and_forgets_it_in_the_end():
    pending = lasting(*raised(0, 5), verdict("unknown", 10))

    assert (pending.state, pending.unknown_since) == ("pending", at(10))
    assert step(pending, verdict("unknown", 1600), RULE, calendar=DEFAULT, now=at(1600)) is None


def test_a_pending_one_ends_without_a_trace():
    assert told(*raised(0), verdict("clear", 5)) is None
    assert told(verdict("clear", 5)) is None
    assert told(verdict("unknown", 5)) is None


# -- opening hours


@pytest.mark.parametrize(
    ("grace_s", "minutes_after_opening", "state"),
    [(0, 4, "pending"), (0, 5, "open"), (1800, 5, "pending"), (1800, 34, "pending"), (1800, 35, "open")],
)
def test_a_machine_that_went_off_in_the_evening_counts_from_the_opening(
    grace_s: float, minutes_after_opening: float, state: str
):
    of = rule(for_s=300, only_open=True, opening_grace_s=grace_s)
    now = NEXT_MORNING + minutes_after_opening

    found = lasting(verdict("raise", now, since=at(391)), of=of)

    assert found.state == state


def test_what_was_almost_ripe_at_closing_time_goes_on_in_the_morning():
    of = rule(for_s=300, only_open=True)

    assert lasting(verdict("raise", 400, since=at(387)), of=of).state == "pending"
    assert lasting(verdict("raise", NEXT_MORNING + 1, since=at(387)), of=of).state == "pending"
    assert lasting(verdict("raise", NEXT_MORNING + 2, since=at(387)), of=of).state == "open"


def test_outside_opening_hours_nothing_comes_back_either():
    of = rule(only_open=True, samples=1)
    cleared = lasting(*raised(385), verdict("clear", 388), of=of)

    back = step(cleared, verdict("raise", 392), of, calendar=DEFAULT, now=at(392))

    assert back is not None
    assert (back.state, back.id, back.flaps) == ("pending", 0, 0)


# -- it lasts


def test_it_gets_worse_and_not_better_while_it_is_open():
    opened = lasting(*raised(0, 5, 10))

    worse = step(opened, verdict("raise", 15, severity="critical"), RULE, calendar=DEFAULT, now=at(15))
    better = step(worse, verdict("raise", 20), RULE, calendar=DEFAULT, now=at(20))

    assert worsened(opened, worse)
    assert not worsened(worse, better)
    assert better is not None
    assert better.severity == "critical"


def test_no_data_leaves_it_open_and_says_since_when():
    opened = lasting(*raised(0, 5, 10), verdict("clear", 12), verdict("unknown", 15), verdict("unknown", 900))

    assert (opened.state, opened.unknown_since, opened.clearing_since) == ("open", at(15), None)


def test_an_older_reading_says_nothing_about_now():
    opened = lasting(*raised(0, 5, 10))

    assert step(opened, verdict("clear", 4), RULE, calendar=DEFAULT, now=at(30)) == opened


# -- it clears


@pytest.mark.parametrize(
    ("levels", "state"),
    [
        ((("clear", 15),), "open"),
        ((("clear", 15), ("clear", 20)), "cleared"),
        ((("clear", 15), ("hold", 17), ("clear", 20)), "open"),
        ((("clear", 15), ("raise", 17), ("clear", 20)), "open"),
        ((("clear", 15), ("unknown", 17), ("clear", 20)), "open"),
        ((("hold", 15), ("hold", 200)), "open"),
        ((("clear", 15), ("clear", 60)), "open"),  # nobody knows how it was between
    ],
)
def test_it_clears_after_its_clear_level_has_lasted(levels: tuple[tuple[Any, float], ...], state: str):
    assert lasting(*raised(0, 5, 10), *(verdict(level, minutes) for level, minutes in levels)).state == state


def test_what_is_no_longer_there_ends():
    opened = lasting(*raised(0, 5, 10))

    gone = without_verdict(opened, gone=True, now=at(20))

    assert gone is not None
    assert (gone.state, gone.cleared_at) == ("cleared", at(20))
    assert happened(opened, gone) == "alert_cleared"
    assert without_verdict(lasting(*raised(0)), gone=True, now=at(20)) is None


def test_a_rule_that_is_switched_off_ends_its_alerts():
    off = rule(enabled=False)

    ended = step(lasting(*raised(0, 5, 10)), verdict("raise", 15), off, calendar=DEFAULT, now=at(15))

    assert ended is not None
    assert ended.state == "cleared"
    assert step(None, verdict("raise", 15), off, calendar=DEFAULT, now=at(15)) is None


# -- it comes back


def test_what_comes_back_within_ten_minutes_is_the_same_alert():
    cleared = lasting(*raised(0, 5, 10), verdict("clear", 15), verdict("clear", 20))

    back = step(cleared, verdict("raise", 29), RULE, calendar=DEFAULT, now=at(29))
    late = step(cleared, verdict("raise", 31), RULE, calendar=DEFAULT, now=at(31))

    assert back is not None
    assert (back.state, back.flaps, back.opened_at, back.cleared_at) == ("open", 1, at(10), None)
    assert happened(cleared, back) == "alert_reopened"
    assert late is not None
    assert (late.state, late.flaps) == ("pending", 0)


def test_nothing_comes_back_on_the_word_by_which_it_cleared():
    cleared = lasting(*raised(0, 5, 10), verdict("clear", 15), verdict("clear", 20))

    assert reopen(cleared, verdict("raise", 20), RULE, calendar=DEFAULT, now=at(21)) is None
    assert step(cleared, verdict("raise", 20), RULE, calendar=DEFAULT, now=at(21)) == cleared


def test_what_flaps_is_one_alert_and_stays_open_longer():
    of = rule(samples=1)
    found = lasting(*raised(0), of=of)
    states = []
    for minutes in range(1, 60):
        level = "raise" if minutes % 4 < 2 else "clear"
        stepped = step(found, verdict(level, minutes), of, calendar=DEFAULT, now=at(minutes))
        assert stepped is not None
        found = stepped
        states.append(found.state)
    assert states.count("cleared") == 8  # four times, for two minutes each; since then it is held open
    assert (found.flaps, found.state) == (4, "open")

    calm = found
    for minutes in range(60, 76):
        stepped = step(calm, verdict("clear", minutes), of, calendar=DEFAULT, now=at(minutes))
        assert stepped is not None
        calm = stepped
    assert calm.state == "cleared"


# -- whatever it is told

_MOMENTS = st.datetimes(timezones=st.sampled_from([None, UTC])) | st.sampled_from(
    [datetime.min, datetime.max, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]  # noqa: DTZ901
)
_NUMBERS = st.floats() | st.integers(-(10**20), 10**20).map(float)
_ALERTS = st.builds(
    Alert, rule_id=st.just("cpu.high"), thing=st.just(DEVICE), since=_MOMENTS, evidence_at=_MOMENTS,
    state=st.sampled_from(["pending", "open", "cleared"]), samples=st.integers(-5, 10**9),
    clearing_since=st.none() | _MOMENTS, unknown_since=st.none() | _MOMENTS, cleared_at=st.none() | _MOMENTS,
    severity=st.sampled_from(["info", "critical", "dreadful"]), returned_at=st.tuples(_MOMENTS),
    flaps=st.integers(-1, 9),
)  # fmt: skip
_VERDICTS = st.builds(
    Verdict, rule_id=st.just("cpu.high"), thing=st.just(DEVICE), annex_id=st.text(max_size=3),
    level=st.sampled_from(["raise", "hold", "clear", "unknown"]), evidence_at=_MOMENTS, since=st.none() | _MOMENTS,
    severity=st.sampled_from(["info", "critical", "dreadful"]),
)  # fmt: skip
_RULES = st.builds(
    rule, for_s=_NUMBERS, clear_for_s=_NUMBERS, opening_grace_s=_NUMBERS, samples=st.integers(-3, 5),
    only_open=st.booleans(), enabled=st.booleans(), for_s_by_role=st.dictionaries(st.just("kiosk"), _NUMBERS),
)  # fmt: skip


@given(
    found=st.none() | _ALERTS, said=_VERDICTS, of=_RULES, now=_MOMENTS, calendar=st.sampled_from([DEFAULT, ALWAYS_OPEN])
)
def test_nothing_it_is_told_breaks_it_and_twice_is_once(
    found: Alert | None, said: Verdict, of: Rule, now: datetime, calendar: Calendar
):
    once = step(found, said, of, calendar=calendar, now=now, role="kiosk")

    assert step(once, said, of, calendar=calendar, now=now, role="kiosk") == once
    if once is not None:
        without_verdict(once, gone=False, now=now)
        without_verdict(once, gone=True, now=now)


def test_a_verdict_about_something_else_changes_nothing():
    other = alert("cpu.high", "device", "d-2")

    assert step(other, verdict("clear", 60), RULE, calendar=DEFAULT, now=at(60)) == other
    assert other.thing != Thing("device", "d-1")
    assert timedelta(0) < lifecycle.RETURNS_WITHIN
