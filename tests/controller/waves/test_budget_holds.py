"""Whatever befalls an annex: what the budget allows makes no service of it stand worse."""

from itertools import chain, combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controller.waves.provinces import Annex, annexes, befall, happenings
from tests.drawing import examples

from annexfleet_controller.readiness import tree
from annexfleet_controller.readiness.model import All
from annexfleet_controller.things import Thing
from annexfleet_controller.waves import budget
from annexfleet_controller.waves.model import Nature

NATURE = Nature(configures="agent")
AT_A_COUNTER = {"counter", "kiosk", "tablet"}


def begin(annex: Annex, order, at_most=99):
    """As the conductor does: what is let through is begun at once."""
    waiting = {candidate.id: candidate for candidate in annex.candidates()}
    asked = [waiting[of] for of in order if of in waiting]
    begun, held = budget.allowed(asked, annex=annex.now(), nature=NATURE, at_most=at_most)
    assert sorted([*begun, *(number for number, _ in held)]) == sorted(candidate.number for candidate in asked)
    new = {f"d{number}" for number in begun}
    annex.changing |= new
    return new


def every_part(of):
    of = sorted(of)
    return map(set, chain.from_iterable(combinations(of, count) for count in range(len(of) + 1)))


def assert_nobody_is_missed(annex: Annex, new: set[str]):
    """Of the needs that have fewer things for what was begun, none is met worse than without any rollout.

    In every world that agrees with what was known.  While the annex is closed, what one alone would cost is free.
    """
    touched = annex.changing | annex.broken
    # At night a silent device is switched off, and there in the morning; what is out of sight may work or not.
    down = {of for of in annex.silent - annex.unsure if annex.is_open}
    for dead in every_part(annex.unsure & annex.silent if annex.is_open else ()):
        off = (down | dead) - touched
        for needs in annex.services.values():
            for need in needs:
                if annex.loses(need, new, off | touched):
                    floor = 2 if annex.is_open else min(met_when_well(annex, need, {device}) for device in new)
                    assert annex.met(need, off | touched) >= min(annex.met(need, off), floor), (need, annex)


def met_when_well(annex: Annex, need, off: set[str]) -> int:
    jammed, annex.jammed = annex.jammed, set()
    try:
        return annex.met(need, off)
    finally:
        annex.jammed = jammed


@settings(max_examples=examples(250))
@given(st.data())
def test_no_sequence_of_events_makes_a_service_stand_worse_because_of_a_rollout(data):
    annex = data.draw(annexes())
    for what, whom in data.draw(happenings(annex)):
        if what != "begin":
            befall(annex, what, whom)
            continue
        waiting, is_open = dict(annex.waiting), annex.is_open

        new = begin(annex, whom)

        assert_nobody_is_missed(annex, new)
        people = [count for count in waiting.values() if count]
        if people or (is_open and None in waiting.values()):
            assert not {device for device in new if annex.devices[device] in AT_A_COUNTER}


@settings(max_examples=examples(150))
@given(st.data())
def test_an_open_annex_to_which_nothing_else_happens_stands_as_it_would_without_the_rollout(data):
    """Runs that fail, hang, break their device; and devices that are mended: at no moment is a service worse for it."""
    annex = data.draw(annexes(is_open=True))
    annex.silent = data.draw(st.sets(st.sampled_from(sorted(annex.devices))))
    annex.jammed = data.draw(st.sets(st.sampled_from(sorted(annex.printers)))) if annex.printers else set()
    for what, whom in data.draw(happenings(annex)):
        if what == "begin":
            begin(annex, whom)
        elif what in ("ends", "fails", "mended", "quiet"):
            befall(annex, what, whom)

        touched = annex.changing | annex.broken
        for service in annex.services:
            assert annex.worth(service, annex.silent | touched) == annex.worth(service, annex.silent)
            # Nor would it be if everything that fails were mended this minute.
            for need in annex.services[service]:
                assert met_when_well(annex, need, touched) == met_when_well(annex, need, set())


@settings(max_examples=examples(150))
@given(st.data())
def test_what_is_broken_at_night_costs_an_annex_no_more_than_its_own_devices_do_one_by_one(data):
    """However a release breaks devices: in the morning no service is gone that could spare each of them."""
    annex = data.draw(annexes(is_open=False))
    for what, whom in data.draw(happenings(annex)):
        if what == "begin":
            begin(annex, whom)
        elif what in ("ends", "fails", "quiet"):
            befall(annex, what, whom)

    annex.is_open = True
    off = annex.changing | annex.broken
    for service in annex.services:
        alone = [annex.worth(service, {device}) for device in sorted(annex.devices)]
        assert annex.worth(service, off) >= min(alone)


@settings(max_examples=examples(100))
@given(st.data())
def test_readiness_itself_finds_that_nothing_breaks(data):
    """By `what_breaks`, which people see, and by the live trees: the second opinion of the same property."""
    annex = data.draw(annexes(is_open=True))
    annex.silent = data.draw(st.sets(st.sampled_from(sorted(annex.devices))))
    before = annex.now().trees

    new = begin(annex, data.draw(st.permutations(sorted(annex.devices))))

    heard = set(annex.devices) - annex.silent
    down = {Thing("device", device) for device in new} | {
        Thing("printer", printer)
        for printer, devices in annex.printers.items()
        if new.intersection(devices) and not heard.intersection(devices) - new
    }
    assert tree.what_breaks(before, down) == ()


@given(st.data())
def test_the_order_of_asking_changes_who_is_begun_and_never_how_much_may_be_lost(data):
    annex = data.draw(annexes())
    order = data.draw(st.permutations(sorted(annex.devices)))
    at_most = data.draw(st.integers(0, 3))

    new = begin(annex, order, at_most)

    assert len(new) <= at_most
    assert_nobody_is_missed(annex, new)


def test_services_without_needs_hold_nobody_up():
    now = budget.AnnexNow(annex_id="a", trees={"reception": All(())}, is_open=False)

    assert budget.Loss(now).breaks("d1") == ""
