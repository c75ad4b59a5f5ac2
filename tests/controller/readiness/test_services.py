"""Services and what they need, from data and from what an annex has."""

import json
import time

import pytest
from tests.controller.readiness.annexes import ANNEX, annex, assessed, device, identity, printer, probe, queue, trees

from annexfleet_controller.errors import ServicesWrong
from annexfleet_controller.readiness import document, tree
from annexfleet_controller.readiness.leaves import Circumstances
from annexfleet_controller.readiness.model import Fix
from annexfleet_controller.readiness.services import CATALOGUE, NeedDefinition, Override, ServiceDefinition, offered
from annexfleet_controller.things import Thing

COUNTER = NeedDefinition(capability="counter")


def of(readiness):
    return {service.service: service for service in readiness.services}


def test_an_annex_where_everything_works_is_ready():
    found = assessed(annex(device(1, printers=(printer(),), portals=(probe(),), queues=(queue(),)), device(2)))

    assert [(service.service, service.state) for service in found.services] == [("residence", "ready")]
    assert found.plan == ()


def test_one_counter_of_two_is_degraded_and_says_why():
    (service,) = assessed(annex(device(1), device(2, online=False))).services

    assert service.state == "degraded"
    (reason,) = service.reasons
    assert (reason.capability, reason.working, reason.at_least, reason.full) == ("counter", 1, 1, 2)
    assert [leaf.name for leaf in reason.failing] == ["counter 2"]
    assert service.fix_set == ()


def test_paper_in_the_only_printer_restores_both_services():
    empty = printer(causes=["paper_empty"])

    found = assessed(annex(device(1, printers=(empty,), queues=(queue(), queue("etat-civil")))))

    paper = Fix("paper_empty", Thing("printer", identity(empty)))
    assert {service.state for service in found.services} == {"blocked"}
    assert [(remedy.fixes, remedy.restores) for remedy in found.plan] == [((paper,), ("etat-civil", "residence"))]


def test_a_service_that_hangs_on_the_unknown_is_unknown():
    view = annex(device(1, printers=(printer(state="unknown"),)))

    (service,) = assessed(view).services

    assert service.state == "unknown"
    assert [leaf.name for leaf in service.reasons[0].unsure] == ["P1"]


def test_with_the_line_cut_the_portal_is_the_one_thing_to_repair():
    view = annex(*(device(n, online=False, portals=(probe(),), printers=(printer(),)) for n in range(5)))

    (service,) = assessed(view, Circumstances(link_cut=True)).services

    assert service.state == "blocked"
    assert service.fix_set == (Fix("line_cut", Thing("annex", ANNEX)),)
    assert [reason.capability for reason in service.reasons] == ["portal", "counter", "print"]


def test_with_the_line_cut_an_annex_without_a_portal_is_unknown():
    (service,) = assessed(annex(device(1, online=False)), Circumstances(link_cut=True)).services

    assert service.state == "unknown"


def test_with_the_mains_cut_one_repair_brings_everything_back():
    view = annex(*(device(n, online=False, portals=(probe(),), printers=(printer(),)) for n in range(5)))

    (service,) = assessed(view, Circumstances(power_cut=True, link_cut=True)).services

    assert service.fix_set == (Fix("power_cut", Thing("annex", ANNEX)),)


def test_an_annex_without_printers_and_portals_needs_none():
    (need,) = trees(annex(device(1)))["reception"].needs

    assert need.capability == "counter"


@pytest.mark.parametrize("role", ["kiosk", "tablet"])
def test_where_there_are_no_counters_others_serve(role):
    view = annex(device(1, role), device(2, role, online=False))

    (service,) = assessed(view).services

    assert service.state == "degraded"
    assert service.reasons[0].capability == role


def test_an_annex_of_which_nothing_is_known_is_unknown_and_not_ready():
    assert assessed(annex()).state == "unknown"
    assert assessed(annex(device(1, "server"))).state == "unknown"


@pytest.mark.parametrize(
    ("queues", "overrides", "expected"),
    [
        ([], {}, ("reception",)),
        (["residence"], {}, ("residence",)),
        (["residence", "etat-civil"], {"residence": Override(offered=False)}, ("etat-civil",)),
        (["residence"], {"passeport": Override(offered=True)}, ("residence", "passeport")),
        ([], {"passeport": Override(offered=True)}, ("passeport",)),
        (["residence"], {"residence": Override(offered=False)}, ()),
        ([], {"reception": Override(needs=(COUNTER,))}, ("reception",)),
        (["nobody-knows"], {}, ("nobody-knows",)),
    ],
)
def test_what_is_offered(queues, overrides, expected):
    assert offered(queues, overrides) == expected


def test_an_annex_has_the_last_word_on_what_a_service_needs():
    view = annex(device(1, queues=(queue(),)), device(2, online=False))
    province = [ServiceDefinition(code="residence", needs=(NeedDefinition(capability="counter", at_least=2),))]

    assert assessed(view, own=province).state == "blocked"
    assert assessed(view, own=province, overrides={"residence": Override(needs=(COUNTER,))}).state == "degraded"


def test_named_things_and_no_others_count():
    first, second = printer("P1", causes=["paper_jam"]), printer("P2")
    view = annex(device(1, printers=(first, second), queues=(queue(),)))
    named = NeedDefinition(capability="print", of=(identity(first),))

    assert assessed(view, overrides={"residence": Override(needs=(named,))}).state == "blocked"
    gone = NeedDefinition(capability="print", of=("gone",))
    assert assessed(view, overrides={"residence": Override(needs=(gone,))}).state == "unknown"


def test_what_is_required_and_is_not_there_is_unknown():
    needs = (COUNTER, NeedDefinition(capability="portal", required=True))

    assert assessed(annex(device(1)), overrides={"reception": Override(needs=needs)}).state == "unknown"


def test_more_than_there_is_cannot_be_repaired():
    view = annex(device(1))

    found = assessed(view, overrides={"reception": Override(needs=(NeedDefinition(capability="counter", at_least=2),))})

    assert found.state == "blocked"
    assert found.services[0].fix_set == ()
    assert found.plan == ()


def test_what_would_break_if_things_went_away():
    view = annex(device(1, queues=(queue(),)), device(2), device(3, online=False))
    of_annex = trees(view)

    assert tree.what_breaks(of_annex, []) == ()
    assert tree.what_breaks(of_annex, [Thing("device", "d-3")]) == ()
    assert tree.what_breaks(of_annex, [Thing("device", "d-1")]) == ()  # it was degraded before
    both = [Thing("device", "d-1"), Thing("device", "d-2")]
    assert tree.what_breaks(of_annex, both) == (tree.Broken("residence", "degraded", "blocked"),)


def test_what_is_written_is_read_back():
    text = json.dumps({"services": [document.written_service(service) for service in CATALOGUE]})
    assert document.parse_services(json.loads(text)) == CATALOGUE
    override = Override(offered=True, needs=(NeedDefinition(capability="portal", at_least=None, instead=("link",)),))
    assert document.parse_override(json.loads(json.dumps(document.written_override(override)))) == override


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        ([], "", "not_an_object"),
        ({}, "services", "missing"),
        ({"services": {}}, "services", "not_a_list"),
        ({"services": [{}] * 101}, "services", "too_many"),
        ({"services": [{"code": "a"}, {"code": "a"}]}, "services.1.code", "twice"),
        ({"services": [{"code": "A b"}]}, "services.0.code", "not_a_code"),
        ({"services": [{"name": {}}]}, "services.0.code", "missing"),
        ({"services": [{"code": "a", "colour": 1}]}, "services.0.colour", "unknown_field"),
        ({"services": [{"code": "a", "name": {"fr": 3}}]}, "services.0.name.fr", "not_text"),
        ({"services": [{"code": "a", "name": {"fr": "x" * 81}}]}, "services.0.name.fr", "too_long"),
        ({"services": [{"code": "a", "needs": []}]}, "services.0.needs", "missing"),
    ],
)
def test_a_document_that_cannot_be_so_is_refused_with_the_field(wrong, field, reason):
    with pytest.raises(ServicesWrong) as refused:
        document.parse_services(wrong)

    assert refused.value.facts == {"field": field, "reason": reason}


@pytest.mark.parametrize(
    ("need", "field", "reason"),
    [
        ({}, "capability", "missing"),
        ({"capability": "coffee"}, "capability", "not_a_capability"),
        ({"capability": "counter", "at_least": True}, "at_least", "not_a_number"),
        ({"capability": "counter", "at_least": -1}, "at_least", "not_within_bounds"),
        ({"capability": "counter", "at_least": 2, "full": 1}, "full", "below_at_least"),
        ({"capability": "counter", "at_least": "all", "full": 1}, "full", "below_at_least"),
        ({"capability": "counter", "at_least": 2, "of": ["d-1"]}, "at_least", "more_than_named"),
        ({"capability": "counter", "of": ["d-1", "d-1"]}, "of", "twice"),
        ({"capability": "counter", "of": [""]}, "of", "missing"),
        ({"capability": "counter", "required": 1}, "required", "not_yes_or_no"),
        ({"capability": "counter", "instead": ["desk"]}, "instead", "not_a_capability"),
    ],
)
def test_a_need_that_cannot_be_so_is_refused_with_the_field(need, field, reason):
    with pytest.raises(ServicesWrong) as refused:
        document.parse_override({"needs": [need]})

    assert refused.value.facts == {"field": f"needs.0.{field}", "reason": reason}


def test_the_country_is_assessed_in_well_under_a_second():
    seen = tuple(printer(f"P{n}") for n in range(3))
    queues = (queue(), queue("etat-civil"), queue("legalisation"))
    view = annex(
        device(0, printers=seen, portals=(probe(),), queues=queues),
        *(device(n, printers=seen, portals=(probe(),)) for n in range(1, 14)),
    )

    before = time.process_time()
    for _ in range(300):
        assert assessed(view).state == "ready"

    assert (time.process_time() - before) * 1_800 / 300 < 1.0, "seconds for 1,800 annexes"
