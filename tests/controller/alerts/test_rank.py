from typing import Any

import pytest
from msgspec import structs
from tests.controller.alerts.trouble import at

from annexfleet_controller.alerts import rank
from annexfleet_controller.alerts.rank import Place
from annexfleet_controller.calendars import DEFAULT
from annexfleet_controller.readiness.model import AnnexReadiness, Fix, Leaf, Reason, ServiceReadiness, State
from annexfleet_controller.state import Queue
from annexfleet_controller.things import Incident, IncidentKind, Rank, Thing, ThingKind
from annexfleet_controller.views import QueueView

PRINTER = Thing("printer", "3f" * 12)
OTHER = Thing("printer", "00" * 12)


def incident(
    kind: IncidentKind, thing_kind: ThingKind, thing_id: str, annexes: tuple[str, ...] = ("a-1",), **told: Any
) -> Incident:
    return Incident(
        key=f"{kind}:{thing_id}", kind=kind, cause="", annex_id=annexes[0] if len(annexes) == 1 else "",
        annexes=annexes, thing=Thing(thing_kind, thing_id), **{"began_at": at(0), "opened_at": at(3), **told},
    )  # fmt: skip


def queue(service: str, waiting: float | None, *, stale: bool = False, believed: bool = True) -> QueueView:
    told = Queue(
        service=service, waiting=waiting, longest_wait_s=None, average_wait_s=None, served_last_hour=None,
        abandoned_last_hour=None, counters_open=None, counters_total=None, observed_at=at(0), stale=stale, at=at(0),
    )  # fmt: skip
    return QueueView(service, told, 1, believed)


def service(name: str, state: State = "blocked", thing: Thing = PRINTER, *, proven: bool = True) -> ServiceReadiness:
    fix = Fix("paper_jam", thing)
    leaf = Leaf(thing, "HP", "failing", frozenset({fix}))
    reason = Reason(capability="print", state=state, working=0, unknown=0, at_least=1, full=1, failing=(leaf,))
    return ServiceReadiness(name, state, (reason,), (fix,) if proven and state == "blocked" else ())


def place(*services: ServiceReadiness, queues: tuple[QueueView, ...] = (), annex_id: str = "a-1", **told: Any) -> Place:
    return Place(calendar=DEFAULT, queues=queues, readiness=AnnexReadiness(annex_id, services), **told)


def test_a_need_that_is_only_degraded_does_not_hold_up_what_another_blocks():
    mixed = structs.replace(
        service("passport"), reasons=(*service("x", "degraded", OTHER).reasons, *service("x").reasons)
    )
    here = {"a-1": place(mixed, queues=(queue("passport", 6),))}

    assert rank.of(incident("printer", "printer", OTHER.id), here, now=at(30)).services_blocked == ()
    assert rank.of(JAM, here, now=at(30)).services_blocked == ("passport",)


JAM = incident("printer", "printer", PRINTER.id)


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (place(service("passport"), queues=(queue("passport", 6),)), Rank(180, 6, False, ("passport",), 30)),
        (
            place(service("passport"), service("deeds"), queues=(queue("passport", 6), queue("deeds", 4))),
            Rank(600, 10, False, ("deeds", "passport"), 30),
        ),
        # Who waits for a service that works waits for another reason.
        (
            place(service("passport"), service("deeds", "ready"), queues=(queue("passport", 6), queue("deeds", 40))),
            Rank(180, 6, False, ("passport",), 30),
        ),
        (place(service("passport", thing=OTHER), queues=(queue("passport", 6),)), Rank(0, 0, False, (), 30)),
        (
            place(service("passport", proven=False), queues=(queue("passport", 6),)),
            Rank(180, 6, False, ("passport",), 30),
        ),
        (place(service("passport"), average_waiting={"passport": 5}), Rank(150, 5, True, ("passport",), 30)),
        (
            place(service("passport"), queues=(queue("passport", 90, stale=True),), average_waiting={"passport": 5}),
            Rank(150, 5, True, ("passport",), 30),
        ),
        (
            place(service("passport"), queues=(queue("passport", 9, believed=False),), average_waiting={"passport": 5}),
            Rank(270, 9, True, ("passport",), 30),
        ),
        (place(service("passport"), queues=(queue("passport", None),)), Rank(0, 0, True, ("passport",), 30)),
        (
            place(service("passport", "degraded"), queues=(queue("passport", 6),)),
            Rank(0, 0, False, (), 30, ("passport",)),
        ),
        (Place(calendar=DEFAULT), Rank(0, 0, False, (), 30)),
    ],
)  # fmt: skip
def test_people_times_services_times_minutes(here: Place, expected: Rank):
    assert rank.of(JAM, {"a-1": here}, now=at(30)) == expected


def test_an_old_count_is_no_better_than_the_average():
    here = place(service("passport"), queues=(queue("passport", 9, believed=False),), average_waiting={"passport": 5})

    assert rank.of(JAM, {"a-1": here}, now=at(61)).people_waiting == 5


@pytest.mark.parametrize("kind", ["power_cut", "line_cut", "annex"])
def test_an_annex_that_is_cut_off_holds_up_all_its_services(kind: IncidentKind):
    here = place(service("passport"), service("deeds", thing=OTHER))

    found = rank.of(incident(kind, "annex", "a-1"), {"a-1": here}, now=at(30))

    assert found.services_blocked == ("deeds", "passport")


def test_a_portal_that_is_down_everywhere_counts_in_every_annex():
    places = {
        annex_id: place(
            service("passport", thing=Thing("portal", f"{annex_id}/watiqa")), service("deeds"),
            queues=(queue("passport", waiting),), annex_id=annex_id,
        )
        for annex_id, waiting in (("a-1", 6), ("a-2", 4))
    }  # fmt: skip
    down = incident("portal_down_everywhere", "portal", "*/watiqa", ("a-1", "a-2", "a-3"))

    assert rank.of(down, places, now=at(30)) == Rank(300, 10, False, ("passport",), 30)


def test_effects_count_too():
    here = place(service("passport"), queues=(queue("passport", 6),))
    device = incident("device", "device", "d-1")

    assert rank.of(device, {"a-1": here}, now=at(30)).score == 0
    assert rank.of(device, {"a-1": here}, now=at(30), effects=[PRINTER]).score == 180


def test_only_opening_time_counts_and_nobody_waits_at_night():
    here = place(service("passport"), average_waiting={"passport": 5})

    night = rank.of(JAM, {"a-1": here}, now=at(800))
    over = rank.of(structs.replace(JAM, ended_at=at(20)), {"a-1": here}, now=at(120))

    assert (night.minutes, night.people_waiting, night.people_estimated) == (390, 0, True)
    assert over.minutes == 20


def test_the_order_of_incidents():
    def one(key: str, score: float, severity: Any, degraded: tuple[str, ...], began: float) -> Incident:
        ranked = Rank(score=score, services_degraded=degraded)
        return structs.replace(JAM, key=key, rank=ranked, severity=severity, began_at=at(began))

    ordered = [
        one("a", 900, "info", (), 50), one("b", 10, "critical", (), 50), one("c", 0, "critical", (), 50),
        one("d", 0, "warning", ("x", "y"), 50), one("e", 0, "warning", ("x",), 50), one("f", 0, "warning", (), 10),
        one("g", 0, "warning", (), 20), one("h", 0, "info", ("x", "y", "z"), 0),
    ]  # fmt: skip

    shuffled = ordered[::-1]
    assert [found.key for found in sorted(shuffled, key=rank.order)] == list("abcdefgh")
