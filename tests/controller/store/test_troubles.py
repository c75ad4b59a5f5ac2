"""What pages ask of alerts and incidents, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.web import troubled

from annexfleet_controller.alerts import answers
from annexfleet_controller.errors import AlreadyAcknowledged
from annexfleet_controller.store import alerts, incidents
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.things import Incident

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
NEAR = Scope(frozenset({"berkane-1"}))


@pytest.fixture
def trouble(engine: Engine) -> tuple[Incident, Incident]:
    with writing(engine) as db:
        return troubled.two_annexes(db, now=NOW)


def test_of_many_effects_the_first_come_with_their_number(engine: Engine, trouble: tuple[Incident, Incident]):
    jam, cut = trouble
    with reading(engine) as db:
        found = alerts.effects(db, WHOLE, [jam.id, cut.id], each=2)

        assert set(found) == {cut.id}
        assert [alert.facts["device"] for alert in found[cut.id][0]] == ["guichet-15", "guichet-16"]
        assert found[cut.id][1] == 3
        assert alerts.effects(db, NEAR, [cut.id]) == {}


def test_what_is_open_is_counted_without_what_is_quiet(engine: Engine, trouble: tuple[Incident, Incident]):
    with writing(engine) as db:
        of = troubled.alert(db, "disk.low", "device", "d-1", now=NOW)
        troubled.incident(db, "device", "disk_low", [of], now=NOW, muted=True)
    with reading(engine) as db:
        assert incidents.count_open(db, WHOLE) == 2
        assert incidents.count_open(db, NEAR) == 1
        assert incidents.count_open(db, WHOLE, annex_id="berkane-2") == 1


def test_pending_alerts_stand_where_they_began(engine: Engine, trouble: object):
    with writing(engine) as db:
        new = troubled.alert(db, "cpu.high", "device", "d-1", now=NOW, since=NOW, state="pending", opened_at=None)
    with reading(engine) as db:
        found = alerts.listing(db, WHOLE, states=("pending", "open"), limit=3)
        rest = alerts.listing(
            db, WHOLE, states=("pending", "open"), before=(alerts.moment(found[-1]), found[-1].id), limit=9
        )

    assert found[0].id == new.id
    assert len({alert.id for alert in (*found, *rest)}) == 6


def test_who_asked_for_help_last_is_known(engine: Engine, trouble: tuple[Incident, Incident]):
    jam, cut = trouble
    with writing(engine) as db:
        for minutes, who in enumerate(("karim", "salma")):
            incidents.tell(db, [Told(jam.id, NOW + timedelta(minutes=minutes), "help_asked", who)])
    with reading(engine) as db:
        found = incidents.help_asked(db, [jam.id, cut.id])

    assert {incident_id: told.by for incident_id, told in found.items()} == {jam.id: "salma"}


def test_of_two_people_at_once_one_takes_it(engine: Engine, trouble: tuple[Incident, Incident]):
    jam = trouble[0]
    with writing(engine) as db:
        incidents.get(db, WHOLE, jam.id)  # what the session remembers must not decide
        answers.acknowledge(db, WHOLE, jam.id, by="amina", now=NOW)
        with pytest.raises(AlreadyAcknowledged, match="amina"):
            answers.acknowledge(db, WHOLE, jam.id, by="said", now=NOW)
    with reading(engine) as db:
        assert incidents.get(db, WHOLE, jam.id).acknowledged_by == "amina"
