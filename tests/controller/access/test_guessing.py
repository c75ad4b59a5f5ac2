from datetime import UTC, datetime, timedelta

import pytest

from annexfleet_controller.access import guessing
from annexfleet_controller.access.guessing import Failed

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("by_both", "by_name", "by_address", "last_s_ago", "expected_s"),
    [
        (0, 0, 0, None, 0),
        (4, 4, 4, 0, 0),
        (5, 5, 5, 0, 1),
        (6, 6, 6, 0, 2),
        (9, 9, 9, 0, 16),
        (9, 9, 9, 10, 6),
        (9, 9, 9, 17, 0),
        (500, 500, 500, 0, 900),
        (0, 99, 199, 0, 0),
        (0, 100, 0, 0, 1),
        (0, 0, 200, 0, 1),
    ],
)
def test_each_failure_doubles_the_wait_up_to_a_quarter_of_an_hour(
    by_both: int, by_name: int, by_address: int, last_s_ago: float | None, expected_s: float
):
    last = None if last_s_ago is None else NOW - timedelta(seconds=last_s_ago)

    pause = guessing.wait(
        by_both=Failed(by_both, last), by_name=Failed(by_name, last), by_address=Failed(by_address, last), now=NOW
    )

    assert pause == timedelta(seconds=expected_s)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_who_has_one_address_of_a_network_counts_as_the_network(address: str, expected: str):
    assert guessing.asker(address) == expected
