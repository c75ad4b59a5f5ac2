"""Time zones by the packaged rules."""

from datetime import UTC, date, datetime, timedelta

import pytest

from annexfleet_controller import zones


@pytest.mark.parametrize(
    ("moment", "hours"),
    [
        ("2026-02-10", 1),
        ("2026-03-01", 0),  # Ramadan
        ("2026-06-01", 1),
        ("2026-11-23", 0),  # since September 2026, all year
        ("2027-06-01", 0),
    ],
)
def test_morocco_by_the_rules_in_force_whatever_the_machine_knows(moment, hours):
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)

    assert at.astimezone(zones.PROVINCE).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize("name", ["", "Africa", "Africa/Nowhere", "../etc/passwd", "\0"])
def test_what_is_no_zone_is_refused(name):
    with pytest.raises(ValueError, match="no time zone"):
        zones.zone(name)


def test_a_browser_is_told_the_moments_at_which_the_hour_changed():
    steps = zones.ahead_of_utc(zones.PROVINCE, date(2026, 1, 1), date(2027, 6, 1))

    assert [(datetime.fromtimestamp(since, UTC).isoformat(), ahead_s) for since, ahead_s in steps] == [
        ("2026-01-01T00:00:00+00:00", 3600),
        ("2026-02-15T02:00:00+00:00", 0),
        ("2026-03-22T02:00:00+00:00", 3600),
        ("2026-09-20T01:00:00+00:00", 0),
    ]
