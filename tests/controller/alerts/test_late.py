from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.controller.alerts.trouble import at

from annexfleet_controller.alerts.late import Happening, What, correct
from annexfleet_controller.calendars import DEFAULT
from annexfleet_controller.things import Incident, Thing

PRINTER = Thing("printer", "3f" * 12)
LINE_CUT = Incident(
    id=7, key="line_cut:a-1", kind="line_cut", cause="line_cut", annex_id="a-1", annexes=("a-1",),
    thing=Thing("annex", "a-1"), began_at=at(0), opened_at=at(4), state="resolved", resolved_at=at(62), ended_at=at(60),
)  # fmt: skip


def told(number: int, what: What, minutes: float, **fields: Any) -> Happening:
    return Happening(number=number, what=what, at=at(minutes), received_at=at(61), **fields)


def jam(what: What, minutes: float, cause: str = "paper_jam", number: int = 1) -> Happening:
    return told(number, what, minutes, printer=PRINTER, cause=cause, facts={"printer": "HP"})


_TWO_LOST = [told(1, "mains_lost", -0.5), told(2, "mains_lost", 0.2)]
_ONE_LOST = [told(1, "mains_lost", 0.2)]
_BACK_FOR_A_MINUTE = [told(2, "mains_back", 20), told(2, "mains_lost", 21)]
_TWO_STARTED = [told(3, "booted", 41), told(4, "booted", 44)]


@pytest.mark.parametrize(
    ("happenings", "kind", "began", "ended"),
    [
        ([], "line_cut", 0, 60),
        (_TWO_LOST, "power_cut", -0.5, 60),
        ([*_TWO_LOST, told(2, "mains_back", 40)], "power_cut", -0.5, 40),
        ([*_TWO_LOST, *_TWO_STARTED], "power_cut", -0.5, 44),
        ([*_TWO_LOST, *_BACK_FOR_A_MINUTE, told(1, "mains_back", 40)], "power_cut", -0.5, 40),
        ([*_ONE_LOST, *_TWO_STARTED], "power_cut", 0.2, 44),
        (_ONE_LOST, "line_cut", 0, 60),
        ([*_ONE_LOST, told(3, "booted", 41)], "line_cut", 0, 60),
        # A laptop that starts again, and a machine that was switched off, say nothing of the mains.
        ([*_ONE_LOST, told(3, "booted", 41), told(4, "booted", 44, has_battery=True)], "line_cut", 0, 60),
        ([*_ONE_LOST, *_TWO_STARTED, told(3, "gone_orderly", 30)], "line_cut", 0, 60),
        (_TWO_STARTED, "line_cut", 0, 60),  # somebody restarted them because nothing worked
        ([told(1, "mains_lost", 5), told(1, "mains_lost", 5.5)], "line_cut", 0, 60),  # one device twice
        ([told(1, "mains_lost", 5), told(2, "mains_lost", 7)], "line_cut", 0, 60),  # two laptops were taken away
        ([told(1, "mains_lost", -9), told(2, "mains_lost", -9)], "line_cut", 0, 60),  # long before
        ([told(1, "portal_down", 1), told(1, "portal_up", 55)], "line_cut", 0, 55),
        ([told(1, "connected", 58), told(2, "connected", 59)], "line_cut", 0, 58),
    ],
)  # fmt: skip
def test_what_a_cut_was(happenings: list[Happening], kind: str, began: float, ended: float):
    found = correct(LINE_CUT, reversed(happenings), calendar=DEFAULT, now=at(70))

    after = found.incident
    assert (after.kind, after.began_at, after.ended_at, after.id) == (kind, at(began), at(ended), 7)
    if kind == "power_cut":
        assert (found.kind, after.key, after.cause) == ("cause_corrected", "power_cut:a-1", "power_cut")
        assert (found.facts["from"], found.facts["began_at"]) == ("line_cut", at(began).timestamp())
    else:
        assert found.kind == ("times_corrected" if ended != 60 else "")


def test_a_power_cut_only_gets_its_times():
    cut = structs.replace(LINE_CUT, kind="power_cut", key="power_cut:a-1", cause="power_cut")

    found = correct(cut, [told(1, "mains_lost", -0.5), told(1, "mains_back", 40)], calendar=DEFAULT, now=at(70))

    assert (found.kind, found.incident.began_at, found.incident.ended_at) == ("times_corrected", at(-0.5), at(40))


def test_other_incidents_stay_as_they_are():
    other = structs.replace(LINE_CUT, kind="printer")

    assert correct(other, _TWO_LOST, calendar=DEFAULT, now=at(70)).incident == other


# -- nothing at all

_GOODBYES = [told(number, "gone_orderly", 385) for number in (1, 2, 3, 4)]
_EVENING = structs.replace(LINE_CUT, began_at=at(386), opened_at=at(389), ended_at=None, resolved_at=None, state="open")


@pytest.mark.parametrize(
    ("incident", "happenings", "lost", "expected"),
    [
        (_EVENING, _GOODBYES, (1, 2, 3, 4), "retracted"),
        (_EVENING, _GOODBYES, (1, 2, 3, 4, 5), "retracted"),  # the fifth has yet to tell
        (_EVENING, _GOODBYES, (), "retracted"),
        (_EVENING, _GOODBYES, (1, 2, 3, 4, 5, 6), ""),
        (_EVENING, [*_GOODBYES, told(5, "gone_lost", 386)], (1, 2, 3, 4, 5), ""),
        (_EVENING, [told(1, "gone_orderly", 385)], (1,), ""),
        (_EVENING, [], (1, 2, 3), ""),
        (structs.replace(_EVENING, began_at=at(120)), [told(n, "gone_orderly", 120) for n in (1, 2, 3)], (1, 2, 3), ""),
    ],
)
def test_machines_that_were_switched_off_are_no_incident(
    incident: Incident, happenings: list[Happening], lost: tuple[int, ...], expected: str
):
    found = correct(incident, happenings, lost=lost, calendar=DEFAULT, now=at(400))

    assert found.kind == expected
    assert (found.incident.state == "resolved") == (expected == "retracted")
    assert ("retracted" in found.incident.facts) == (expected == "retracted")


# -- printers


def test_a_jam_during_the_cut_is_told_as_past():
    known = [jam("printer_cause_set", 10), jam("printer_cause_set", 10.1, number=2), jam("printer_cause_cleared", 25)]

    (past,) = correct(LINE_CUT, known, calendar=DEFAULT, now=at(70)).past

    assert (past.key, past.state, past.cause) == (f"printer:{PRINTER.id}", "resolved", "paper_jam")
    assert (past.began_at, past.ended_at, past.opened_at) == (at(10), at(25), at(61))
    assert past.facts == {"printer": "HP"}
    assert correct(LINE_CUT, known, known=[past], calendar=DEFAULT, now=at(70)).past == ()


def test_what_a_printer_has_at_once_or_again_is_told_as_one():
    known = [
        jam("printer_cause_set", 10), jam("printer_cause_set", 12, "cover_open"), jam("printer_cause_cleared", 14),
        jam("printer_cause_cleared", 15, "cover_open"), jam("printer_cause_set", 20), jam("printer_cause_cleared", 30),
        jam("printer_cause_set", 45), jam("printer_cause_cleared", 50),
    ]  # fmt: skip

    past = correct(LINE_CUT, known, calendar=DEFAULT, now=at(70)).past

    assert [(one.began_at, one.ended_at) for one in past] == [(at(10), at(30)), (at(45), at(50))]


@pytest.mark.parametrize(
    "known",
    [
        [jam("printer_cause_set", 10)],  # it lasts, so it is an alert of now
        [jam("printer_cause_cleared", 10)],
        [jam("printer_cause_set", 50), jam("printer_cause_cleared", 61)],
        [jam("printer_cause_set", 10), jam("printer_cause_cleared", 11)],  # shorter than the rule asks
        [jam("printer_cause_set", 10, "toner_low"), jam("printer_cause_cleared", 30, "toner_low")],
        [jam("printer_cause_set", 10, "no_such"), jam("printer_cause_cleared", 30, "no_such")],
    ],
)
def test_what_is_no_past_trouble_of_a_printer(known: list[Happening]):
    assert correct(LINE_CUT, known, calendar=DEFAULT, now=at(70)).past == ()


def test_a_printer_that_jammed_at_night_troubled_nobody():
    night = structs.replace(LINE_CUT, began_at=at(600), ended_at=at(660), resolved_at=at(662))
    known = [jam("printer_cause_set", 610), jam("printer_cause_cleared", 630)]

    assert correct(night, known, calendar=DEFAULT, now=at(700)).past == ()


# -- whatever they tell

_HAPPENINGS = st.lists(
    st.builds(
        told, st.integers(1, 5),
        st.sampled_from(["mains_lost", "mains_back", "booted", "gone_lost", "gone_orderly", "connected", "portal_up",
                         "portal_down"]),
        st.integers(-6, 200).map(lambda half: half / 2), has_battery=st.sampled_from([None, True, False]),
    ) | st.builds(
        jam, st.sampled_from(["printer_cause_set", "printer_cause_cleared"]), st.integers(-5, 100),
        st.sampled_from(["paper_jam", "cover_open"]),
    ),
    max_size=20,
)  # fmt: skip


@given(happenings=_HAPPENINGS, is_open=st.booleans(), lost=st.frozensets(st.integers(1, 5)))
def test_the_same_evidence_twice_changes_nothing(happenings: list[Happening], is_open: bool, lost: frozenset[int]):
    incident = structs.replace(LINE_CUT, state="open", resolved_at=None, ended_at=None) if is_open else LINE_CUT

    once = correct(incident, happenings, lost=lost, calendar=DEFAULT, now=at(70))
    twice = correct(once.incident, happenings, lost=lost, known=once.past, calendar=DEFAULT, now=at(70))

    assert (twice.kind, twice.incident, twice.past) == ("", once.incident, ())
    after = once.incident
    assert after.ended_at is None or after.began_at <= after.ended_at
