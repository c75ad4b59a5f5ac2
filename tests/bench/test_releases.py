"""200 bad and 200 good releases, rehearsed: how many devices were touched and harmed before STOP, and false STOPs.

`python -m tests.bench.play_releases` plays them in parts.
"""

import pytest
from tests.bench.play_releases import row, table
from tests.bench.releases import bad, good, played

pytestmark = pytest.mark.bench

COUNT = 200
MOST_S = 10.0


def test_bad_releases_are_stopped():
    rows = [row(index, case, played(case)) for index, case in enumerate(bad(COUNT))]
    print(f"\n{table(rows)}")

    for one in rows:
        assert one.is_stopped, one
        assert one.after_stop == 0, one
        assert one.lag_s <= MOST_S, one
        assert one.harmed <= one.bar, one
        if one.in_canary:
            assert one.touched <= one.bar, one


def test_good_releases_are_not_stopped():
    rows = [row(index, case, played(case)) for index, case in enumerate(good(COUNT))]
    print(f"\n{table(rows)}")

    assert not [one for one in rows if one.is_stopped]
