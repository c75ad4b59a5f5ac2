"""Contacts as people change them and take it back.  On SQLite and PostgreSQL."""

from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import Engine
from tests.controller.notify.bureau import EVERYTHING
from tests.controller.tending.hands import NOW, fleet, hand
from tests.controller.web import troubled

from annexfleet_controller.errors import SettingChanged
from annexfleet_controller.store import audit, contact_records, contacts, notices, undoing
from annexfleet_controller.store.contacts import NewContact, NewRoute
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.notices import NewItem, NewNotice
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.undoing import UndoStep
from annexfleet_controller.tending import contacts as tending
from annexfleet_controller.tending import undo
from annexfleet_controller.tending.errors import UndoRefused
from annexfleet_controller.tending.trace import Hand

SECRET = "https://hooks.example.ma/T0K3N"
AMINA = NewContact(name="Amina", kind="webhook", address=SECRET, secret="s" * 40, language="fr")
NEAR = NewRoute(
    audiences="it", annexes='["berkane-1"]', annex_ids=("berkane-1",), min_severity="warning", hours="always"
)  # fmt: skip


@pytest.fixture
def by(engine: Engine) -> Hand:
    fleet(engine)
    return hand(engine)


def make(engine: Engine, by: Hand) -> int:
    with writing(engine) as db:
        return tending.create(db, by, AMINA, [EVERYTHING, NEAR], now=NOW).id


def take_back(engine: Engine, by: Hand, *, now=NOW) -> None:
    with writing(engine) as db:
        step = undo.newest(db, by, now=now)
        assert step is not None
        undo.undo(db, by, step.id, now=now)


def seen(engine: Engine, contact_id: int) -> dict:
    """All of a contact but its version."""
    with reading(engine) as db:
        record = contact_records.of(db, contacts.get(db, contact_id))
    del record["contact"]["version"]
    for route in record["routes"]:
        del route["id"]
    return record


def steps(engine: Engine) -> str:
    with reading(engine) as db:
        return " ".join(row.before for row in db.query(UndoStep))


def test_one_that_was_added_is_gone_again(engine: Engine, by: Hand):
    contact_id = make(engine, by)
    assert SECRET not in steps(engine)

    take_back(engine, by)

    with reading(engine) as db:
        assert contacts.find(db, contact_id) is None
        told = [(entry.act, entry.subject, entry.facts.get("act")) for entry in audit.entries(db, WHOLE)]
    subject = f"contact:{contact_id}"
    assert told == [("settings.undo", subject, "contact.create"), ("contact.create", subject, None)]


def test_a_change_is_taken_back_with_its_routes(engine: Engine, by: Hand):
    contact_id = make(engine, by)
    with writing(engine) as db:
        contacts.verified(db, contact_id, address=SECRET, now=NOW)
    before = seen(engine, contact_id)
    other = msgspec.structs.replace(AMINA, name="Youssef", enabled=False)
    with writing(engine) as db:
        tending.change(db, by, contact_id, other, [NEAR], version=1, now=NOW)
    assert SECRET not in steps(engine), "what stayed as it was is not kept a second time"

    take_back(engine, by)

    assert seen(engine, contact_id) == before
    with reading(engine) as db:
        assert contacts.get(db, contact_id).version == 3


def test_another_address_is_taken_back_and_is_verified_as_it_was(engine: Engine, by: Hand):
    contact_id = make(engine, by)
    with writing(engine) as db:
        contacts.verified(db, contact_id, address=SECRET, now=NOW)
    before = seen(engine, contact_id)
    other = msgspec.structs.replace(AMINA, address="https://hooks.example.ma/other")
    with writing(engine) as db:
        tending.change(db, by, contact_id, other, [EVERYTHING, NEAR], version=1, now=NOW)

    take_back(engine, by)

    assert seen(engine, contact_id) == before
    assert before["contact"]["verified_at"] is not None


def test_one_that_was_removed_comes_back_with_its_notices(engine: Engine, by: Hand):
    contact_id = make(engine, by)
    before = seen(engine, contact_id)
    with writing(engine) as db:
        incident = troubled.jam(db, now=NOW)
        item = NewItem(incident_id=incident.id, what="opened", severity="critical")
        notices.queue(
            db, [NewNotice(contact_id=contact_id, kind="opened", items=(item,), due_at=NOW, dedupe_key="k")], now=NOW
        )
    with reading(engine) as db:
        record = contact_records.notices_of(db, contact_id)
    with writing(engine) as db:
        with pytest.raises(SettingChanged):
            tending.remove(db, by, contact_id, version=7, now=NOW)
        tending.remove(db, by, contact_id, now=NOW)
        assert notices.listing(db, limit=9) == []

    take_back(engine, by)

    assert seen(engine, contact_id) == before
    with reading(engine) as db:
        assert contact_records.notices_of(db, contact_id) == record
        assert len(record["notices"]) == len(record["items"]) == 1


def test_where_another_has_its_number_it_comes_back_under_a_new_one(engine: Engine, by: Hand):
    contact_id = make(engine, by)
    with writing(engine) as db:
        tending.remove(db, by, contact_id, now=NOW)
        other = contacts.create(db, AMINA, [], by="x", now=NOW)
        db.flush()
        other.id = contact_id

    take_back(engine, by)

    with reading(engine) as db:
        back = [one for one in contacts.listing(db) if one.id != contact_id]
        assert len(back) == 1
        assert len(contacts.routes(db, back[0].id)[back[0].id]) == 2


def test_what_somebody_changed_since_is_not_taken_back(engine: Engine, by: Hand):
    contact_id = make(engine, by)
    with writing(engine) as db:
        tending.change(db, hand(engine, "youssef"), contact_id, AMINA, [], version=1, now=NOW)

    with pytest.raises(UndoRefused) as refused:
        take_back(engine, by)

    assert refused.value.facts["reason"] == "changed"


def test_a_later_contact_of_the_same_number_is_another(engine: Engine, by: Hand):
    contact_id = make(engine, by)
    with writing(engine) as db:
        contacts.remove(db, contact_id)
        later = contacts.create(db, AMINA, [], by="x", now=NOW + timedelta(seconds=5))
        db.flush()
        later.id = contact_id

    with pytest.raises(UndoRefused):
        take_back(engine, by)


def test_who_is_confined_takes_nothing_back(engine: Engine, by: Hand):
    make(engine, by)
    confined = Hand(by.user_id, by.name, by.via, hand(engine, "other", "berkane-1").scope)

    with pytest.raises(UndoRefused) as refused:
        take_back(engine, confined)

    assert refused.value.facts["reason"] == "out_of_sight"


def test_what_a_step_of_a_contact_holds_is_forgotten_first(engine: Engine, by: Hand):
    contact_id = make(engine, by)
    with writing(engine) as db:
        tending.remove(db, by, contact_id, now=NOW)
    assert SECRET in steps(engine)

    with writing(engine) as db:
        undoing.prune(db, before=NOW - timedelta(hours=1), contacts_before=NOW + timedelta(seconds=1))

    assert steps(engine) == ""
