"""What to order, and whom to visit with what."""

from datetime import timedelta

import pytest
from tests.controller.supplies.past import NOW, falling, series

from annexfleet_controller.supplies.forecast import SupplyForecast, forecasts
from annexfleet_controller.supplies.plan import Order, Trouble, Visit, made, needed, orders, visits
from annexfleet_controller.things import Incident, SupplyDay, Thing

BROTHER = {"supply": "TN-2410", "printer_model": "Brother HL-L2350DW"}


def found(*rows: list[SupplyDay]) -> list[SupplyForecast]:
    return forecasts([row for some in rows for row in some], {}, NOW)


def printer(n: str, left: float, annex: int = 1, **other: object) -> list[SupplyDay]:
    fields = {"printer_id": n * 24, "printer_name": f"printer-{n}", "annex_id": f"berkane-{annex}"}
    return falling(left, **(fields | other))


def trouble(annex: int = 1, *, severity: str = "warning", cause: str = "fuser_fault", thing: str = "hp") -> Trouble:
    return Trouble(
        annex_id=f"berkane-{annex}", thing=thing, cause=cause, severity=severity, since=NOW - timedelta(hours=annex)
    )  # type: ignore[arg-type]


def test_one_line_a_part_with_who_needs_it():
    plan = orders(found(printer("a", 10), printer("b", 3, annex=2), printer("c", 60), printer("d", 20, **BROTHER)), {})

    assert [(order.part.key, order.needed, order.quantity) for order in plan] == [("cf259a", 2, 2), ("tn-2410", 1, 1)]
    assert [(place.annex_id, place.printer_name, place.count) for place in plan[0].places] == [
        ("berkane-1", "printer-a", 1),
        ("berkane-2", "printer-b", 1),
    ]
    assert plan[0].models == ("HP LaserJet Pro M404dn",)
    assert plan[0].first_in == pytest.approx(3, abs=0.1)


def test_what_is_on_the_shelf_is_not_ordered_again():
    def plan(on_shelf: int) -> Order:
        (order,) = orders(found(printer("a", 10), printer("b", 3)), {"cf259a": on_shelf, "tn-2410": 50})
        return order

    assert [(plan(n).needed, plan(n).stock, plan(n).quantity) for n in (0, 1, 2, 9)] == [
        (2, 0, 2), (2, 1, 1), (2, 2, 0), (2, 9, 0),
    ]  # fmt: skip


def test_what_must_be_bought_comes_before_what_is_there():
    plan = orders(found(printer("a", 2), printer("b", 12, **BROTHER)), {"cf259a": 1})

    assert [order.part.key for order in plan] == ["tn-2410", "cf259a"]


def test_a_printer_that_is_hungry_needs_more_than_one():
    # 0.1 a day: a cartridge lasts ten opening days.  Empty in 3, then at 13 and at 23.
    (hungry,) = found(series([0.3 + 0.1 * ago for ago in reversed(range(7))]))

    assert needed(hungry, horizon_days=30) == 3
    assert needed(hungry, horizon_days=12) == 1
    assert needed(hungry, horizon_days=2) == 0


def test_the_early_end_of_the_interval_decides():
    (of,) = found(printer("a", 31))
    assert of.days_left is not None
    assert needed(of) == 0

    import msgspec

    early = msgspec.structs.replace(of, days_left=msgspec.structs.replace(of.days_left, earliest=29.0))
    assert needed(early) == 1


def test_where_nothing_can_be_foretold_the_level_decides():
    low, empty, unknown, fine = (found(series(levels))[0] for levels in ([0.08] * 9, [0.0], [None], [0.9] * 20))

    assert [needed(of) for of in (low, empty, unknown, fine)] == [1, 1, 0, 0]


def test_the_annex_that_needs_it_most_is_visited_first():
    plan = visits(
        found(
            printer("a", 20, annex=1), printer("b", 3, annex=2), printer("c", 0, annex=3), printer("d", 25, annex=4),
            printer("e", 90, annex=5),
        ),
        [trouble(1), trouble(4, severity="critical"), trouble(6)],
    )  # fmt: skip

    assert [visit.annex_id for visit in plan] == [
        "berkane-3",  # a printer without toner
        "berkane-4",  # a critical trouble
        "berkane-1",  # a trouble, and a part that is due
        "berkane-6",
        "berkane-2",
    ]


def visit_of(rows: list[SupplyForecast], troubles: list[Trouble]) -> Visit:
    (visit,) = visits(rows, troubles)
    return visit


def test_a_visit_names_the_parts_to_carry_for_which_printers():
    visit = visit_of(found(printer("a", 10), printer("b", 3), printer("d", 20, **BROTHER), printer("c", 60)), [])

    assert [(carry.part.key, carry.count, carry.printers) for carry in visit.parts] == [
        ("cf259a", 2, ("printer-a", "printer-b")),
        ("tn-2410", 1, ("printer-d",)),
    ]
    assert [of.newest.printer_name for of in visit.supplies] == ["printer-b", "printer-a", "printer-d"]


def test_the_worst_trouble_of_an_annex_stands_first():
    visit = visit_of(
        [], [trouble(thing="a"), trouble(severity="critical", thing="b"), trouble(severity="info", thing="c")]
    )

    assert [one.thing for one in visit.troubles] == ["b", "a", "c"]


def test_nothing_to_do_is_an_empty_plan():
    assert orders(found(printer("a", 80)), {}) == []
    assert visits(found(printer("a", 80)), []) == []
    assert visits([], []) == []


def test_the_whole_plan_takes_only_the_incidents_that_one_goes_to():
    def incident(cause: str, **other: object) -> Incident:
        fields: dict[str, object] = {
            "id": 7, "key": cause, "kind": "printer", "cause": cause, "annex_id": "berkane-1",
            "thing": Thing("printer", "a" * 24), "facts": {"printer": "guichet-hp"}, "began_at": NOW, "opened_at": NOW,
            "severity": "critical",
        }  # fmt: skip
        return Incident(**(fields | other))  # type: ignore[arg-type]

    plan = made(
        forecasts([*printer("a", 10)], {}, NOW, lead_days=15), stock={"cf259a": 1}, horizon_days=30,
        incidents=[
            incident("fuser_fault"), incident("paper_empty"), incident("drum_end", facts={}),
            incident("portal_down", annex_id=""),
        ],
        goes=lambda one: one.cause != "paper_empty",
    )  # fmt: skip

    assert [of.state for of in plan.supplies] == ["soon"]
    assert [order.quantity for order in plan.orders] == [0]
    (visit,) = plan.visits
    assert [(one.cause, one.thing, one.incident_id) for one in visit.troubles] == [
        ("drum_end", "a" * 24, 7),
        ("fuser_fault", "guichet-hp", 7),
    ]
