"""A row of a queue takes what is a figure, and refuses the rest field by field."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.queues.path import compile_
from annexfleet_agent.queues.rows import FIELDS, Row, canonical, longest_wait, pick, service_id

NOW = 1_700_000_000.0


def test_a_whole_row():
    values = {
        "waiting": 12,
        "longest_wait_s": 640,
        "average_wait_s": 210.5,
        "served_last_hour": 31,
        "abandoned_last_hour": 0,
        "counters_open": 3,
        "counters_total": 5.0,
        "observed_at": "2023-11-14T22:13:00Z",
        "oldest_at": NOW - 700,
    }

    row, refused = canonical("acts", values, now=NOW)

    assert refused == []
    assert row == Row(
        service="acts",
        waiting=12,
        longest_wait_s=640.0,
        average_wait_s=210.5,
        served_last_hour=31,
        abandoned_last_hour=0,
        counters_open=3,
        counters_total=5,
        observed_at=NOW - 20,
        oldest_at=NOW - 700,
    )


def test_what_is_missing_is_unknown_and_not_zero():
    row, refused = canonical("acts", {"waiting": None}, now=NOW)

    assert row == Row(service="acts")
    assert refused == []


@pytest.mark.parametrize("field", ["waiting", "served_last_hour", "counters_total", "average_wait_s", "longest_wait_s"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "12", True, [], {}, 10**400, 1e12])
def test_what_is_no_figure_is_refused_and_the_rest_stays(field: str, value: object):
    row, refused = canonical("acts", {field: value, "abandoned_last_hour": 2}, now=NOW)

    assert getattr(row, field) is None
    assert row.abandoned_last_hour == 2
    assert [refusal.field for refusal in refused] == [field]
    assert field in refused[0].reason


def test_people_come_in_whole_numbers():
    row, refused = canonical("acts", {"waiting": 2.5, "served_last_hour": 3.0}, now=NOW)

    assert (row.waiting, row.served_last_hour) == (None, 3)
    assert [refusal.field for refusal in refused] == ["waiting"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOW, NOW),
        (NOW + 60, NOW + 60),
        ("2023-11-14T22:13:20+00:00", NOW),
        ("2023-11-14T23:13:20+01:00", NOW),
        ("2023-11-14 22:13:20", NOW),
        (datetime(2023, 11, 14, 22, 13, 20), NOW),  # noqa: DTZ001  # databases give such, and they mean UTC
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), NOW),
        (NOW * 1000, None),
        (NOW + 3600, None),
        (-5, None),
        ("yesterday", None),
        (True, None),
        (math.nan, None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_moments_are_seconds_or_iso_8601(value: object, expected: float | None):
    row, refused = canonical("acts", {"observed_at": value}, now=NOW)

    assert row.observed_at == expected
    assert bool(refused) is (expected is None)


def test_the_wait_is_counted_from_the_moment_it_began():
    row, _ = canonical("acts", {"oldest_at": NOW - 100, "longest_wait_s": 7}, now=NOW)

    assert longest_wait(row, now=NOW + 20) == 120
    assert longest_wait(Row(service="acts", longest_wait_s=7.0), now=NOW + 20) == 7
    assert longest_wait(Row(service="acts"), now=NOW) is None


def test_a_field_that_an_expression_promised_and_is_not_there_is_refused():
    document = {"n": 3, "served_last_hour": 5, "name": "Fatima", "ticket": "A12"}

    values, refused = pick(document, {"waiting": compile_("n"), "counters_open": compile_("desks")})

    assert values == {"waiting": 3, "served_last_hour": 5}
    assert [refusal.field for refusal in refused] == ["counters_open"]


@pytest.mark.parametrize(
    ("value", "expected"), [("Etat Civil", "etat-civil"), (" A.1 ", "a.1"), (7, "7"), ("légalisation", None),
    ("", None), ("-x", None), ("x" * 64, None), (True, None), (None, None), ("a/b", None)]
)  # fmt: skip
def test_a_services_id(value: object, expected: str | None):
    if expected is None:
        with pytest.raises(ValueError, match="service"):
            service_id(value)
    else:
        assert service_id(value) == expected


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.sampled_from(FIELDS), anything))
def test_a_row_never_holds_what_is_no_figure(values: dict[str, Any]):
    row, refused = canonical("acts", values, now=NOW)

    for field in FIELDS:
        value = getattr(row, field)
        given_ = values.get(field)
        assert (value is None) == (given_ is None or field in {refusal.field for refusal in refused})
        assert value is None or (math.isfinite(value) and value >= 0)
