from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from annexfleet_controller import fixes
from annexfleet_controller.fixes import ORDINARY, PRINTER, RETURNING, SLOW, Claim, Patience, Shown
from annexfleet_controller.i18n.guidance import CAUSES
from annexfleet_controller.things import Alert, Thing

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
JAM = Thing("printer", "abc")


def s(seconds: float) -> datetime:
    """So many seconds after the claim."""
    return NOW + timedelta(seconds=seconds)


def alert(**more: object) -> Alert:
    return msgspec.structs.replace(
        Alert(id=4, rule_id="printer.blocked", thing=JAM, state="open", cause="paper_jam", since=s(-300),
              evidence_at=s(-300)),
        **more,
    )  # fmt: skip


def claimed() -> Claim:
    return fixes.claim(incident_id=1, alerts=[alert()], thing=JAM, cause="paper_jam", numbers=[3], by="amina", now=NOW)


def raised(told_s: float, heard_s: float | None = None, cause: str = "paper_jam") -> Shown:
    return Shown(level="raise", cause=cause, told_at=s(told_s), heard_at=None if heard_s is None else s(heard_s))


def clear(told_s: float, heard_s: float | None = None) -> Shown:
    return Shown(level="clear", told_at=s(told_s), heard_at=None if heard_s is None else s(heard_s))


UNKNOWN = Shown(level="unknown", told_at=s(-300), heard_at=None)


@pytest.mark.parametrize(
    ("found", "now_s", "outcome"),
    [
        # Told after the claim that it is gone.
        ([clear(5)], 6, "confirmed"),
        ([clear(5), clear(8)], 9, "confirmed"),
        # Gone by a reading that is older than the claim: not yet.
        ([clear(-5)], 6, "checking"),
        ([clear(0)], 6, "checking"),
        ([clear(-5, 90)], 90, "checking"),
        # ... but heard so long after it that the device has looked again.
        ([clear(-5, 101)], 101, "confirmed"),
        # One of two is left.
        ([clear(5), raised(5)], 6, "checking"),
        ([clear(5), raised(5)], 101, "not_confirmed"),
        ([clear(5), UNKNOWN], 6, "checking"),
        ([clear(5), UNKNOWN], 121, "unknown"),
        # Still told, but the printer may not have been asked again.
        ([raised(20, 60)], 60, "checking"),
        ([raised(20, 101)], 101, "not_confirmed"),
        # Nothing changed, and the device was heard long enough to have told it if it had.
        ([raised(-300, 99)], 100, "checking"),
        ([raised(-300, 101)], 101, "not_confirmed"),
        # Heard once after the claim: at the deadline it counts as it was.
        ([raised(-300, 10)], 119, "checking"),
        ([raised(-300, 10)], 120, "not_confirmed"),
        # Nothing newer was heard.
        ([raised(-300, -10)], 119, "checking"),
        ([raised(-300, -10)], 120, "unknown"),
        ([raised(-300)], 500, "unknown"),
        ([clear(-5, 10)], 120, "unknown"),
        ([UNKNOWN], 120, "unknown"),
        ([], 10, "checking"),
        ([], 120, "unknown"),
    ],
)
def test_what_a_printer_must_report(found: list[Shown], now_s: float, outcome: str):
    after = fixes.settle(claimed(), found, now=s(now_s))

    assert after.outcome == outcome
    assert after.settled_at == (None if outcome == "checking" else s(now_s))


def test_what_is_still_wrong_may_be_another_cause():
    after = fixes.settle(claimed(), [raised(40, 101, "cover_open")], now=s(101))

    assert after.still == "cover_open"


def test_what_is_settled_stays_so():
    unknown = fixes.settle(claimed(), [], now=s(200))

    assert fixes.settle(unknown, [clear(300)], now=s(301)) is unknown


def test_while_nothing_can_be_said_it_is_the_same_claim():
    claim = claimed()

    assert fixes.settle(claim, [raised(-300, 5)], now=s(5)) is claim


@pytest.mark.parametrize(
    ("of", "level", "told_s"),
    [
        (alert(), "raise", -300),
        (alert(unknown_since=s(-10)), "unknown", -300),
        (alert(clearing_since=s(4)), "clear", 4),
        (alert(clearing_since=s(4), evidence_at=s(9)), "clear", 9),
        (alert(state="cleared", cleared_at=s(20), evidence_at=s(9)), "clear", 9),
        (alert(state="cleared", cleared_at=s(20), evidence_at=s(-9)), "clear", -9),
    ],
)
def test_what_an_alert_says(of: Alert, level: str, told_s: float):
    found = fixes.shown(of, heard_at=s(1))

    assert (found.level, found.told_at, found.heard_at) == (level, s(told_s), s(1))


@pytest.mark.parametrize(
    ("thing", "cause", "expected"),
    [
        (JAM, "paper_jam", PRINTER),
        (JAM, "", PRINTER),
        (Thing("device", "d-1"), "device_offline", RETURNING),
        (Thing("annex", "berkane-1"), "power_cut", RETURNING),
        (Thing("device", "d-1"), "clock_wrong", SLOW),
        (Thing("portal", "berkane-1/watiqa"), "portal_down", ORDINARY),
        (Thing("device", "d-1"), "something_new", ORDINARY),
    ],
)
def test_how_long_it_takes_depends_on_what_it_is(thing: Thing, cause: str, expected: Patience):
    assert fixes.patience(thing.kind, cause) == expected


def test_every_cause_is_answered_within_some_minutes_and_after_its_device_has_looked():
    for cause in CAUSES:
        of = fixes.patience("device", cause)
        assert 0 < of.reads_within_s < of.deadline_s <= 360, cause


def test_the_causes_that_are_singled_out_exist():
    named = fixes._SLOW_CAUSES | fixes._RETURNING_CAUSES | fixes._OF_PRINTERS

    assert named <= set(CAUSES)


def test_seconds_left_are_those_to_the_deadline():
    claim = claimed()

    assert claim.left_s(NOW) == 120
    assert claim.left_s(s(119)) == 1
    assert claim.left_s(s(500)) == 0
    assert fixes.settle(claim, [clear(5)], now=s(6)).left_s(s(6)) == 0
