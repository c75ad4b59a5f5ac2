"""Levels of supplies that were told before anybody wrote them down."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import add_annex, add_devices

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Change
from annexfleet_controller.alerts import backfill
from annexfleet_controller.store import changes, states, supplies
from annexfleet_controller.store.database import reading, writing

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)


def told(engine: Engine, days_ago: float, level: float | None) -> None:
    at = NOW - timedelta(days=days_ago)
    supply = {"supply_kind": "toner", "supply_colour": "black"}
    if level is not None:
        supply["supply_level_ratio"] = level
    readings = {
        "printer:laser": {"printer_state": "idle", "printer_address": "10.0.0.9:631", "printer_model": "HP"},
        "supply:laser/black": supply,
    }
    payload = wire.encode(Change(seq=1, at=at.timestamp(), collector="printers", readings=readings))
    with writing(engine) as db:
        changes.add(db, [(1, at.timestamp(), at.timestamp(), "change", "printers", payload)])


@pytest.fixture
def annex(engine: Engine) -> Engine:
    add_annex(engine)
    add_devices(engine, 1)
    with writing(engine) as db:
        states.begin(db, [1])
    return engine


def test_the_last_level_of_each_day_before_this_one_is_taken(annex: Engine):
    for days_ago, level in ((3.0, 0.9), (2.9, 0.88), (1.0, 0.8), (0.95, None), (0.0, 0.7)):
        told(annex, days_ago, level)

    with reading(annex) as db:
        found = backfill.supply_days(db, "berkane-1", now=NOW)

    assert [(row.day.isoformat(), row.level_ratio, row.supply) for row in found] == [
        ("2026-11-22", 0.88, "black"),
        ("2026-11-24", 0.8, "black"),
    ]


def test_an_annex_whose_levels_are_kept_is_left_alone(annex: Engine):
    told(annex, 3, 0.9)
    told(annex, 2, 0.8)
    with writing(annex) as db:
        assert backfill.wanting(db, ["berkane-1"]) == ["berkane-1"]
        supplies.note(db, backfill.supply_days(db, "berkane-1", now=NOW))

    with reading(annex) as db:
        assert backfill.wanting(db, ["berkane-1"]) == []
