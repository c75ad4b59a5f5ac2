"""Rules as people change them and take it back.  On SQLite and PostgreSQL."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.tending.hands import NOW, fleet, hand

from annexfleet_controller.store import audit, rules
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.tending import rules as tending
from annexfleet_controller.tending import undo
from annexfleet_controller.tending.errors import UndoRefused
from annexfleet_controller.tending.trace import Hand

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def by(engine: Engine) -> Hand:
    fleet(engine)
    return hand(engine)


def change(engine: Engine, by: Hand, scope: str, for_s: int) -> None:
    with writing(engine) as db:
        tending.change(db, by, scope, "disk.low", {"for_s": for_s}, version=None, now=NOW)


def take_back(engine: Engine, by: Hand) -> str:
    with writing(engine) as db:
        step = undo.newest(db, by, now=LATER)
        assert step is not None
        return undo.undo(db, by, step.id, now=LATER).act


def for_s(engine: Engine, scope: str) -> float | None:
    with reading(engine) as db:
        override = rules.ruleset(db).override("disk.low", scope)
        return None if override is None else override.for_s


@pytest.mark.parametrize("scope", ["", "berkane-1"])
def test_a_change_is_in_the_audit_and_taken_back(engine: Engine, by: Hand, scope: str):
    change(engine, by, scope, 700)
    change(engine, by, scope, 900)

    assert take_back(engine, by) == "rule.change"

    assert for_s(engine, scope) == 700
    with reading(engine) as db:
        entry = audit.entries(db, WHOLE)[1]
        assert (entry.act, entry.subject, entry.annex_id) == ("rule.change", "rule:disk.low", scope)
        assert "900" in str(entry.facts["document"])


def test_the_first_change_is_taken_back_to_none(engine: Engine, by: Hand):
    change(engine, by, "", 700)

    take_back(engine, by)

    assert for_s(engine, "") is None


def test_a_reset_is_in_the_audit_and_taken_back(engine: Engine, by: Hand):
    change(engine, by, "", 700)
    with writing(engine) as db:
        assert tending.reset(db, by, "", "disk.low", now=NOW)

    assert take_back(engine, by) == "rule.reset"

    assert for_s(engine, "") == 700


def test_what_changes_nothing_leaves_no_trace(engine: Engine, by: Hand):
    with writing(engine) as db:
        assert not tending.reset(db, by, "", "disk.low", now=NOW)
        tending.change(db, by, "", "disk.low", {}, version=None, now=NOW)

    with reading(engine) as db:
        assert not audit.entries(db, WHOLE)


def test_what_somebody_changed_since_stays(engine: Engine, by: Hand):
    change(engine, by, "", 700)
    other = hand(engine, "brahim")
    change(engine, other, "", 900)

    with pytest.raises(UndoRefused) as refused:
        take_back(engine, by)

    assert refused.value.facts["reason"] == "changed"
    assert for_s(engine, "") == 900


def test_a_confined_hand_takes_back_nothing_of_the_provinces(engine: Engine, by: Hand):
    change(engine, by, "", 700)

    with pytest.raises(UndoRefused) as refused:
        take_back(engine, Hand(by.user_id, by.name, "session", Scope(frozenset({"berkane-1"}))))

    assert refused.value.facts["reason"] == "out_of_sight"
