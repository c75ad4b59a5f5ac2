from datetime import UTC, datetime, timedelta

import pytest

from annexfleet_controller.access import guessing

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("by_name", "by_address", "last_s_ago", "expected_s"),
    [
        (0, 0, None, 0),
        (4, 4, 0, 0),
        (5, 5, 0, 1),
        (6, 6, 0, 2),
        (9, 9, 0, 16),
        (9, 9, 10, 6),
        (9, 9, 17, 0),
        (500, 500, 0, 900),
        (1, 19, 0, 0),
        (1, 20, 0, 1),
    ],
)
def test_each_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(
    by_name: int, by_address: int, last_s_ago: float | None, expected_s: float
):
    last = None if last_s_ago is None else NOW - timedelta(seconds=last_s_ago)

    assert guessing.wait(by_name=by_name, by_address=by_address, last=last, now=NOW) == timedelta(seconds=expected_s)
