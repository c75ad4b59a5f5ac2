from datetime import datetime, timedelta

import msgspec
import pytest
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.jammed import NOW, Annex
from tests.controller.web import places

from annexfleet_controller import state
from annexfleet_controller.alerts import claims
from annexfleet_controller.errors import NothingToFix
from annexfleet_controller.store import alerts, fixes, fleet, incidents
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.things import Thing


def s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def annex(engine: Engine) -> Annex:
    return Annex(engine)


def test_a_claim_names_what_must_clear_who_can_tell_and_until_when(annex: Annex):
    claim = annex.claim()

    assert claim.alerts == (annex.alert.id,)  # the effect clears by itself
    assert claim.numbers == (2,)  # device 1 sees it too, and cannot be heard
    assert (claim.outcome, claim.cause, claim.by) == ("checking", "paper_jam", "amina")
    assert claim.deadline == s(120)
    assert annex.watched(s(119)) == [2]
    assert annex.watched(s(300)) == []
    assert annex.story() == [("fix_claimed", "amina", {"cause": "paper_jam", "seconds": 120})]


def test_said_twice_it_is_one_claim(annex: Annex):
    first = annex.claim()

    assert annex.claim(at=s(10), by="karim") == first
    assert annex.claim() == first
    assert len(annex.story()) == 1


def test_the_printer_confirms_it(annex: Annex):
    annex.claim()

    assert annex.step(s(10)) == []
    settled = annex.step(s(40), state="cleared", cleared_at=s(39), evidence_at=s(38))

    assert [claim.outcome for claim in settled] == ["confirmed"]
    assert annex.story()[1:] == [("fix_confirmed", "", {"outcome": "confirmed"})]
    assert annex.step(s(200)) == []
    with reading(annex.engine) as db:
        found = fixes.of_incident(db, annex.incident.id)
    assert found == settled[0]


def test_an_alert_that_cleared_and_lives_no_more_is_looked_up(annex: Annex):
    annex.claim()
    with writing(annex.engine) as db:
        alerts.save(db, [msgspec.structs.replace(annex.alert, state="cleared", cleared_at=s(39), evidence_at=s(38))])

    assert [claim.outcome for claim in annex.step(s(40))] == ["confirmed"]


def test_the_printer_still_reports_another_cause(annex: Annex):
    annex.claim()
    annex.hear(2, s(101))

    settled = annex.step(s(101), cause="cover_open", evidence_at=s(30))

    assert [(claim.outcome, claim.still) for claim in settled] == [("not_confirmed", "cover_open")]
    assert annex.story()[1:] == [("fix_not_confirmed", "", {"outcome": "not_confirmed", "cause": "cover_open"})]


def test_a_device_that_was_heard_long_enough_and_told_no_change_counts(annex: Annex):
    annex.claim()
    annex.hear(2, s(95))
    assert annex.step(s(100)) == []

    annex.hear(2, s(101))
    assert [claim.outcome for claim in annex.step(s(102))] == ["not_confirmed"]


def test_nobody_answers(annex: Annex):
    annex.claim()
    annex.hear(1, s(60))  # not the one whose word on the printer is taken

    assert annex.step(s(119)) == []
    assert [claim.outcome for claim in annex.step(s(121))] == ["unknown"]
    assert annex.story()[1:] == [("fix_not_confirmed", "", {"outcome": "unknown"})]


def test_after_an_answer_one_may_claim_again(annex: Annex):
    first = annex.claim()
    annex.step(s(121))

    second = annex.claim(at=s(200))

    assert second.id != first.id
    assert second.deadline == s(320)


def test_two_workers_settle_it_once(annex: Annex):
    claim = annex.claim()
    annex.step(s(121))

    with writing(annex.engine) as db:
        assert not fixes.settle(db, msgspec.structs.replace(claim, outcome="confirmed", settled_at=s(122)))
        found = fixes.of_incident(db, annex.incident.id)
    assert found is not None
    assert found.outcome == "unknown"


def test_of_what_is_over_nothing_is_verified(annex: Annex):
    over = msgspec.structs.replace(annex.incident, state="resolved", resolved_at=NOW)
    with writing(annex.engine) as db:
        of = alerts.of_incident(db, annex.incident.id)
        with pytest.raises(NothingToFix):
            claims.claim_fix(db, over, of, by="amina", now=NOW)
        with pytest.raises(NothingToFix):
            claims.claim_fix(db, annex.incident, [], by="amina", now=NOW)

    assert annex.watched(NOW) == []


@pytest.mark.parametrize(
    ("thing", "numbers", "watched"),
    [
        (Thing("device", device_id(3)), (3,), [3]),
        (Thing("queue", "berkane-1/cin"), (3,), [3]),
        (Thing("portal", "berkane-1/watiqa"), (1, 2, 3), [1, 2, 3]),
        (Thing("annex", "berkane-1"), (1, 2, 3), [1, 2, 3]),
        (Thing("controller", "broker"), (), []),
    ],
)
def test_who_can_tell_depends_on_the_thing(annex: Annex, thing: Thing, numbers: tuple[int, ...], watched: list[int]):
    with writing(annex.engine) as db:
        places.queue(db, 3, "cin", waiting=4, at=NOW)
        incident = incidents.save(db, [annex.an_incident("device", thing)])[0]
        alert = alerts.save(db, [annex.an_alert(thing, incident_id=incident.id, rule_id="r")])[0]
        claim = claims.claim_fix(db, incident, [alert], by="amina", now=NOW)

    assert claim.numbers == numbers
    assert annex.watched(NOW) == watched


def test_the_printer_of_the_claim_is_the_one_that_pages_show(annex: Annex):
    with reading(annex.engine) as db:
        row = fleet.device(db, WHOLE, device_id(2))
        printer = state.printers(fleet.known(db, [row])[2])[0]

    assert annex.printer.id == state.printer_identity("berkane-1", row.id, printer)
