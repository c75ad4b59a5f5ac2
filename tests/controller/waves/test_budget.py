"""Which devices of an annex may be begun now, case by case."""

from datetime import timedelta

import pytest
from tests.controller.readiness import annexes
from tests.controller.waves.provinces import candidate

from annexfleet_controller.readiness.model import All, Leaf, Need
from annexfleet_controller.things import Thing
from annexfleet_controller.waves import budget
from annexfleet_controller.waves.model import Nature

NATURE = Nature(configures="agent")
NOBODY = {"residence": 0.0}


def leaves(states, kind="device"):
    """Such as "ok failing unknown": of things 1, 2, 3."""
    prefix = "d" if kind == "device" else "p"
    return tuple(
        Leaf(Thing(kind, f"{prefix}{number}"), f"{prefix}{number}", state)
        for number, state in enumerate(states.split(), start=1)
    )


def annex(states="ok", at_least=1, full=None, *, printers="", served_by=None, **of):
    needs = [Need("counter", at_least, leaves(states), full)]
    if printers:
        needs.append(Need("print", 1, leaves(printers, "printer"), 1))
    of = {"annex_id": "a", "is_open": True, "waiting": NOBODY, "served_by": served_by or {}, **of}
    return budget.AnnexNow(trees={"residence": All(tuple(needs))}, **of)


def begun(now, *numbers, at_most=99, nature=NATURE, role="counter"):
    return budget.allowed([candidate(n, role) for n in numbers], annex=now, nature=nature, at_most=at_most)[0]


def online(now):
    """Numbers of the counters that can be asked: those that are not away and not being changed."""
    return [
        number
        for number, leaf in enumerate(now.trees["residence"].needs[0].of, start=1)
        if leaf.thing.id not in now.away | now.changing | now.harmed
    ]


def why(now, number=1, **of):
    return dict(
        budget.allowed(
            [candidate(number, of.pop("role", "counter"))],
            annex=now, nature=of.pop("nature", NATURE), at_most=of.pop("at_most", 9),
        )[1]
    ).get(number, "")  # fmt: skip


def ids(*numbers):
    return frozenset(f"d{number}" for number in numbers)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (annex("ok ok ok", 1, 1), (1, 2)),
        (annex("ok ok ok", 2, 2), (1,)),
        (annex("ok ok ok", 1, 2), (1,)),
        (annex("ok ok ok", 1), ()),  # all three are needed for ready
        (annex("ok ok ok", 3, 3), ()),
        (annex("ok ok ok", 0, 0), (1, 2, 3)),
        # What is gone already counts, whoever took it.
        (annex("ok ok ok", 1, 1, changing=ids(3)), (1,)),
        (annex("ok ok ok", 2, 2, changing=ids(3)), ()),
        (annex("ok ok failing", 1, 1, harmed=ids(3), away=ids(3)), (1,)),
        # A fault of another kind: none but the last that works is kept.
        (annex("ok ok failing", 1, 1, away=ids(3)), (1,)),
        # It was blocked before, by itself: nothing is lost, and never more than could be spared if all were well.
        (annex("ok failing failing", 2, 2, away=ids(2, 3)), (1,)),
        # All three are needed and one is away: nothing is lost now, but it would be felt if that one came back.
        (annex("ok failing ok", 3, 3, away=ids(2)), ()),
        # Nobody knows of the third: it is not relied on, and it might have been there.
        (annex("ok ok unknown", 2, 2, away=ids(3)), ()),
        (annex("ok unknown failing", 2, 2, away=ids(2, 3)), ()),
        # One that is silent because it is being changed would work, had nobody touched it.
        (annex("failing failing failing failing ok", 2, 2, changing=ids(1), away=ids(1, 2, 3, 4)), ()),
        (annex("failing failing failing failing ok", 2, 2, away=ids(1, 2, 3, 4)), (5,)),
    ],
)
def test_while_people_are_served(now, expected):
    assert begun(now, *online(now)) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (annex("ok", 1, is_open=False), (1,)),  # the only one there is: at night or never
        (annex("ok ok", 2, 2, is_open=False), (1,)),  # both are needed, so one at a time
        (annex("ok ok", 2, 2, is_open=False, changing=ids(2)), ()),
        (annex("ok ok", 2, 2, is_open=False, harmed=ids(2)), ()),
        (annex("ok ok ok", 1, is_open=False), (1, 2)),  # less than ready, and still provided
        (annex("ok ok ok", 1, is_open=False, harmed=ids(1)), (2,)),
        (annex("ok ok ok", 2, 2, is_open=False), (1,)),
        # Switched off at night is not broken.
        (annex("ok ok unknown", 2, 2, is_open=False, away=ids(3)), (1,)),
        (annex("ok unknown unknown", 1, 1, is_open=False, away=ids(2, 3)), (1,)),
        # With the mains cut it is.
        (annex("ok ok failing", 1, 1, is_open=False, away=ids(3)), (1,)),
    ],
)
def test_while_the_annex_is_closed(now, expected):
    assert begun(now, *online(now)) == expected


def test_a_printer_goes_with_the_only_device_that_serves_it():
    both = {"p1": ("d1", "d2")}

    assert begun(annex("ok ok", 0, 0, printers="ok", served_by={"p1": ("d1",)}), 1, 2) == (2,)
    assert begun(annex("ok ok", 0, 0, printers="ok", served_by=both), 1, 2) == (1,)
    assert begun(annex("ok ok", 0, 0, printers="ok", served_by=both, away=ids(2)), 1) == ()
    assert begun(annex("ok ok", 0, 0, printers="ok ok", served_by={"p1": ("d1",), "p2": ("d2",)}), 1, 2) == (1,)


def test_a_printer_that_fails_for_itself_is_not_the_rollouts_fault():
    """Its only device is being changed; it was out of paper before, so the other one was what counted."""
    served = {"p1": ("d1",), "p2": ("d2",)}
    now = annex("ok ok ok", 0, 0, printers="failing ok", served_by=served, changing=ids(1))

    assert begun(now, 2) == ()
    assert begun(now, 3) == (3,)


def test_a_device_of_no_service_is_free():
    now = annex("ok", 1)

    assert begun(now, 1, 7, role="server") == (7,)


def test_a_service_of_the_annex_that_is_made_of_others_counts_too():
    desk = All((Need("counter", 1, leaves("ok ok")[:1]), Need("print", 1, leaves("ok", "printer"))))
    other = All((Need("counter", 1, leaves("ok ok")[1:]), Need("print", 1, leaves("ok", "printer"))))
    now = budget.AnnexNow(
        annex_id="a", is_open=True, waiting=NOBODY, trees={"residence": All((Need("counter", 1, (desk, other), 1),))}
    )

    assert begun(now, 1, 2) == (1,)


@pytest.mark.parametrize(
    ("waiting", "is_open", "role", "expected"),
    [
        ({"residence": 0.0}, True, "counter", ""),
        ({"residence": 0.0, "cnie": 2.0}, True, "counter", "people_waiting"),
        ({"residence": 2.0}, False, "kiosk", "people_waiting"),  # after closing time those who came are still served
        ({"residence": None}, True, "tablet", "queue_unknown"),
        ({}, True, "counter", "queue_unknown"),
        ({}, False, "counter", ""),
        ({"residence": None}, False, "counter", ""),
        ({"residence": 5.0}, True, "server", ""),
    ],
)
def test_nothing_is_begun_at_a_counter_while_people_wait(waiting, is_open, role, expected):
    now = annex("ok ok", 0, 0, waiting=waiting, is_open=is_open)

    assert why(now, role=role) == expected
    assert why(now, role=role, nature=Nature(configures="x", interrupts=False)) == expected


def test_the_other_reasons():
    assert why(annex("ok ok", 0, 0, changing=ids(1))) == "busy"
    assert why(annex("ok ok", 0, 0), at_most=0) == "most_at_once"
    assert why(annex("ok", 1)) == "budget"
    assert begun(annex("ok ok ok", 0, 0), 1, 2, 3, at_most=2) == (1, 2)


def test_what_interrupts_nobody_needs_no_budget():
    assert begun(annex("ok ok", 2, 2), 1, 2, nature=Nature(configures="clock", interrupts=False)) == (1, 2)


def test_one_that_a_rollout_left_broken_may_be_tried_again():
    assert begun(annex("failing ok", 1, 1, harmed=ids(1), away=ids(1)), 1, 2) == (1,)


def test_an_annex_as_it_is_seen():
    printer = annexes.printer("P1")
    view = annexes.annex(
        annexes.device(1, printers=(printer,), queues=(annexes.queue("residence", waiting=4.0),)),
        annexes.device(2, printers=(printer,), queues=(annexes.queue("cnie", stale=True),)),
        annexes.device(3, online=False),
    )
    trees = annexes.trees(view)

    now = budget.annex_now(view, trees, changing=["d-1"], harmed=["d-3"])

    assert (now.annex_id, now.is_open, now.trees) == (view.id, True, trees)
    assert now.waiting == {"residence": 4.0, "cnie": None}
    assert now.served_by == {annexes.identity(printer): ("d-1", "d-2")}
    assert (now.away, now.changing, now.harmed) == ({"d-3"}, {"d-1"}, {"d-3"})


def test_a_queue_whose_device_cannot_be_heard_is_unknown():
    view = annexes.annex(
        annexes.device(
            1, online=False, queues=(annexes.queue("residence", waiting=0.0, at=annexes.NOW - timedelta(1)),)
        )
    )

    assert budget.annex_now(view, {}).waiting == {"residence": None}


def test_trees_with_all_well_stay_shared():
    one = All((Need("counter", 1, leaves("failing unknown")),))

    well = budget.with_all_well({"a": one, "b": one})

    assert well["a"] is well["b"]
    assert [leaf.state for leaf in well["a"].needs[0].of] == ["ok", "ok"]
