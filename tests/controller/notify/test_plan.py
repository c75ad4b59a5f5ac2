"""Who is told what, by examples."""

import pytest
from tests.controller.notify.planning import ALL, World, incident, receiver, told

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.notify import model, plan
from annexfleet_controller.notify.model import Item, Route

IT = Route(audiences=("it",))


def test_what_opens_is_told_once_and_what_ends_too():
    world = World()
    world.opens()

    assert world.tell() == ["1 opened 1"]
    assert world.later(minutes=40).tell() == []
    world.resolves()
    assert world.tell() == ["1 resolved 1"]
    assert world.later(hours=2).tell() == []


def test_the_end_waits_until_half_an_hour_after_the_beginning():
    world = World()
    world.opens()
    world.tell()
    world.later(minutes=10).resolves()

    assert world.tell() == []
    assert world.later(minutes=19, seconds=59).tell() == []
    assert world.later(seconds=1).tell() == ["1 resolved 1"]


def test_an_incident_that_comes_back_before_its_end_was_told_says_nothing():
    world = World()
    world.opens()
    world.tell()
    world.later(minutes=10).resolves()
    world.later(minutes=5).becomes(state="open", resolved_at=None)

    assert world.later(minutes=60).tell() == []


def test_an_incident_that_comes_back_after_its_end_was_told_is_told_again():
    world = World()
    world.opens()
    world.tell()
    world.later(minutes=30).resolves()
    world.tell()
    world.becomes(state="open", resolved_at=None)

    assert world.later(minutes=29).tell() == []
    assert world.later(minutes=1).tell() == ["1 opened 1"]


def test_what_ended_before_its_notice_went_out_is_never_told():
    world = World()
    world.opens()
    assert [told(one) for one in world.queue()] == ["1 opened 1"]

    world.resolves()

    assert world.deliver() == []
    assert world.later(hours=1).tell() == []


def test_resolved_goes_only_to_whom_the_beginning_was_delivered():
    world = World(receiver(1), receiver(2))
    world.opens()
    world.queue()
    world.told[0] = world.ended(world.told[0], "failed")
    world.deliver()
    world.later(hours=1).resolves()

    assert world.tell() == ["2 resolved 1"]


def test_a_permanent_failure_is_not_tried_again_for_the_same_word():
    world = World()
    world.opens()
    world.queue()
    world.deliver(state="failed")

    assert world.later(hours=1).tell() == []
    world.becomes(severity="critical")
    assert world.tell() == ["1 worsened 1"]


def test_what_gets_worse_is_told():
    world = World()
    world.opens()
    world.tell()
    world.later(minutes=5).becomes(severity="critical")

    assert world.tell() == []
    assert world.later(minutes=25).tell() == ["1 worsened 1"]


def test_who_wants_only_what_is_critical_hears_it_when_it_is():
    world = World(receiver(1, Route(audiences=ALL, min_severity="critical")))
    world.opens()
    assert world.tell() == []

    world.becomes(severity="critical")
    assert world.tell() == ["1 opened 1"]


@pytest.mark.parametrize(
    ("route", "is_told"),
    [
        (Route(audiences=("it", "staff")), True),
        (Route(audiences=("technician",)), False),
        (Route(audiences=("it",), annexes=("berkane-1", "berkane-2")), True),
        (Route(audiences=("it",), annexes=("berkane-2",)), False),
        (Route(audiences=("it",), min_severity="critical"), False),
        (Route(audiences=()), False),
    ],
)
def test_who_is_told_by_audience_annex_and_severity(route: Route, is_told: bool):
    audible = model.Audible(incident(), frozenset({"it"}))
    planned = plan.plan([audible], [], [receiver(1, route)], {}, now=incident().opened_at)

    assert bool(planned) is is_told


def test_what_belongs_to_no_annex_is_for_those_of_the_whole_province():
    audible = model.Audible(incident(annex_id=""), frozenset({"it"}))
    receivers = [receiver(1, IT), receiver(2, Route(audiences=("it",), annexes=("berkane-1",)))]

    assert [one.contact_id for one in plan.plan([audible], [], receivers, {}, now=incident().opened_at)] == [1]


def test_maintenance_silences_trouble_and_not_the_good_end_of_what_was_told():
    world = World()
    world.opens(1, muted=True)
    world.opens(2)
    assert world.tell() == ["1 opened 2"]
    world.becomes(2, muted=True, severity="critical")
    assert world.later(hours=5).tell() == []

    world.resolves(1)
    world.resolves(2)

    assert world.tell() == ["1 resolved 2"]


# -- much at once


def test_three_come_one_by_one_and_more_come_together():
    world = World()
    for number in (1, 2, 3):
        world.opens(number)
    assert world.tell() == ["1 opened 1", "1 opened 2", "1 opened 3"]

    for number in (4, 5):
        world.opens(number)
    assert world.later(minutes=1).tell() == ["1 digest 4 5"]
    world.opens(6)
    assert world.later(minutes=1).tell() == []
    assert world.later(minutes=9).tell() == ["1 opened 6"]


def test_a_storm_is_one_digest_with_the_worst_first():
    world = World()
    for number in range(1, 51):
        world.opens(number, severity="critical" if number == 50 else "warning")

    (digest,) = world.tell()

    assert digest.startswith("1 digest 50 1 2 ")
    assert len(digest.split()) == 52


def test_beyond_the_hours_limit_there_is_a_digest_each_half_hour():
    world, sent = World(), []
    for minute in range(240):
        world.opens(minute + 1)
        sent += [(minute, one.split()[1]) for one in world.tell()]
        world.later(minutes=1)

    for start in range(0, 180, 10):
        assert sum(start <= minute < start + 60 for minute, _ in sent) <= 12
    assert {one for row in world.told for one in (item.incident_id for item in row.items)} >= set(range(1, 200))


def test_nothing_piles_up_for_who_cannot_be_reached():
    world = World()
    for number in range(1, 200):
        world.opens(number)
        world.queue()
        world.later(minutes=5)

    assert len(world.told) <= 5
    world.deliver()
    assert [one.split()[1] for one in world.later(minutes=10).tell()] == ["digest"]


# -- hours


def test_quiet_hours_hold_all_but_what_is_critical_and_end_in_a_digest_of_what_holds():
    world = World(receiver(1, Route(audiences=ALL, hours="opening")))
    world.later(hours=10)  # 19:00
    for number in (1, 2, 3, 4):
        world.opens(number)
    world.opens(5, severity="critical")

    assert world.tell() == ["1 opened 5"]
    world.becomes(5, acknowledged_at=world.now)
    world.resolves(1)
    assert world.later(hours=13).tell() == []  # 8:00 on Tuesday
    assert world.later(minutes=30).tell() == ["1 digest 2 3 4"]
    assert world.later(minutes=1).tell() == []


def test_who_wants_quiet_has_quiet():
    world = World(receiver(1, Route(audiences=ALL, hours="opening", critical_always=False)))
    world.later(hours=10).opens(severity="critical")

    assert world.tell() == []


def test_hours_of_ones_own():
    evening = Calendar("Africa/Casablanca", ((((18 * 60), (22 * 60)),),) * 7, ((),) * 7)
    world = World(receiver(1, Route(audiences=ALL, hours="custom", own_hours=evening)))
    world.opens()

    assert world.tell() == []
    assert world.later(hours=9).tell() == ["1 opened 1"]


# -- nobody answers

CHAIN = (
    receiver(1, Route(audiences=ALL)),
    receiver(2, Route(audiences=ALL, level=1, after_s=900)),
    receiver(3, Route(audiences=ALL, level=2, after_s=3600)),
)


def test_who_does_not_answer_is_passed_over_once_a_level():
    world = World(*CHAIN)
    world.opens()

    assert world.tell() == ["1 opened 1"]
    assert world.later(minutes=14).tell() == []
    assert world.later(minutes=1).tell() == ["2 escalation 1"]
    assert world.later(minutes=45).tell() == ["3 escalation 1"]
    assert world.later(hours=3).tell() == []


def test_an_answer_ends_escalation_and_reminders():
    world = World(*CHAIN)
    world.opens(severity="critical")
    world.tell()
    world.becomes(acknowledged_at=world.now)

    assert world.later(hours=9).tell() == []


def test_an_answer_before_the_escalation_went_out_stops_it():
    world = World(*CHAIN)
    world.opens()
    world.tell()
    world.later(minutes=15).queue()
    world.becomes(acknowledged_at=world.now)

    assert world.deliver() == []


def test_escalation_counts_from_when_somebody_was_told():
    first = receiver(1, Route(audiences=ALL, hours="opening"))
    world = World(first, CHAIN[1])
    world.later(hours=10).opens()

    assert world.later(hours=13, minutes=29).tell() == []
    assert world.later(minutes=1).tell() == ["1 opened 1"]
    assert world.later(minutes=15).tell() == ["2 escalation 1"]


def test_where_nobody_comes_first_escalation_counts_from_the_beginning():
    world = World(CHAIN[1])
    world.opens()

    assert world.tell() == []
    assert world.later(minutes=15).tell() == ["2 escalation 1"]
    world.later(minutes=30).resolves()
    assert world.tell() == ["2 resolved 1"]


def test_what_is_critical_and_has_no_answer_is_told_again():
    world = World()
    world.opens(severity="critical")
    world.tell()

    assert world.later(hours=3, minutes=59).tell() == []
    assert world.later(minutes=1).tell() == ["1 reminder 1"]
    assert world.later(hours=4).tell() == ["1 reminder 1"]


# -- crashes


def test_planned_twice_it_is_the_same_wish():
    world = World()
    world.opens()

    assert [one.dedupe_key for one in world.planned()] == [one.dedupe_key for one in world.planned()]
    first = world.planned()[0].dedupe_key
    world.tell()
    world.later(hours=1).resolves()
    assert world.planned()[0].dedupe_key != first


@pytest.mark.parametrize(
    ("what", "changes", "expected"),
    [
        ("opened", {}, ""),
        ("opened", {"state": "resolved"}, "over"),
        ("worsened", {"severity": "critical"}, ""),
        ("worsened", {"severity": "info"}, "eased"),
        ("opened", {"muted": True}, "muted"),
        ("opened", {"acknowledged_at": incident().opened_at}, ""),
        ("escalation", {"acknowledged_at": incident().opened_at}, "acknowledged"),
        ("reminder", {"acknowledged_at": incident().opened_at}, "acknowledged"),
        ("help", {"muted": True, "acknowledged_at": incident().opened_at}, ""),
        ("help", {"state": "resolved"}, "over"),
        ("resolved", {}, "reopened"),
        ("resolved", {"state": "resolved", "muted": True}, ""),
    ],
)
def test_what_need_not_be_said_any_more(what: model.What, changes: dict[str, object], expected: str):
    item = Item(incident_id=1, what=what, severity="warning")

    assert plan.stands_no_more(item, incident(**changes)) == expected
