"""Services as they are kept, and how they stood."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select
from tests.controller.web import places

from annexfleet_controller.readiness.availability import Span
from annexfleet_controller.readiness.model import AnnexReadiness, Fix, Leaf, Reason, Remedy, ServiceReadiness
from annexfleet_controller.readiness.services import NeedDefinition, Override, ServiceDefinition
from annexfleet_controller.store import readiness, service_words
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.readiness import ReadinessSpan
from annexfleet_controller.things import Thing

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
ANNEX = "berkane-1"
PAPER = Fix("paper_empty", Thing("printer", "p"), "tray-1")


@pytest.fixture
def db_engine(engine: Engine) -> Engine:
    with writing(engine) as db:
        places.annex(db, 1, NOW)
        places.annex(db, 2, NOW)
    return engine


def stands(annex=ANNEX, **services):
    reason = Reason(
        "print", "blocked", 0, 0, 1, 1, (Leaf(Thing("printer", "p"), "P", "failing", frozenset({PAPER}), NOW),)
    )
    return AnnexReadiness(
        annex,
        tuple(
            ServiceReadiness(name, state, (reason,), (PAPER,)) if state == "blocked" else ServiceReadiness(name, state)
            for name, state in services.items()
        ),
        (Remedy((PAPER,), tuple(services)),) if "blocked" in services.values() else (),
    )


def note(engine, *found, minutes):
    with writing(engine) as db:
        return readiness.note(db, {of.annex_id: of for of in found}, now=NOW + timedelta(minutes=minutes))


def spans(engine, annex=ANNEX):
    with reading(engine) as db:
        found = readiness.spans(db, annex, since=NOW - timedelta(days=1), until=NOW + timedelta(days=1))
    return [
        (span.service, span.state, minute(span.since), None if span.until is None else minute(span.until))
        for span in found
    ]


def minute(moment):
    return (moment - NOW).total_seconds() / 60


def test_a_span_lasts_until_the_state_changes_and_saying_it_again_changes_nothing(db_engine: Engine):
    note(db_engine, stands(a="ready", b="ready"), minutes=0)
    note(db_engine, stands(a="ready", b="ready"), minutes=1)
    note(db_engine, stands(a="blocked", b="ready"), minutes=2)
    note(db_engine, stands(a="blocked", b="ready"), minutes=2)
    note(db_engine, stands(a="ready", b="ready"), minutes=5)

    assert spans(db_engine) == [
        ("a", "ready", 0, 2), ("b", "ready", 0, None), ("a", "blocked", 2, 5), ("a", "ready", 5, None),
    ]  # fmt: skip
    with reading(db_engine) as db:
        reasons = db.scalars(select(ReadinessSpan.reason).where(ReadinessSpan.state == "blocked")).all()
        assert reasons == ['[{"capability":"print","causes":["paper_empty"]}]']
        assert set(readiness.current(db)[ANNEX]) == {"a", "b"}
        assert readiness.current(db, Scope(frozenset({"berkane-2"}))) == {}


def test_a_state_that_did_not_last_leaves_no_span(db_engine: Engine):
    note(db_engine, stands(a="ready"), minutes=0)
    note(db_engine, stands(a="blocked"), minutes=1)
    note(db_engine, stands(a="unknown"), minutes=1)

    assert spans(db_engine) == [("a", "ready", 0, 1), ("a", "unknown", 1, None)]


def test_a_service_that_is_no_longer_offered_ends(db_engine: Engine):
    note(db_engine, stands(a="ready", b="ready"), stands("berkane-2", a="ready"), minutes=0)
    note(db_engine, stands(a="ready"), minutes=3)

    assert spans(db_engine) == [("a", "ready", 0, None), ("b", "ready", 0, 3)]
    assert spans(db_engine, "berkane-2") == [("a", "ready", 0, None)]


def test_time_in_which_nobody_watched_is_in_no_span(db_engine: Engine):
    assert note(db_engine, stands(a="ready"), minutes=0)
    assert not note(db_engine, minutes=9)
    assert note(db_engine, stands(a="ready"), minutes=60)

    assert spans(db_engine) == [("a", "ready", 0, 9), ("a", "ready", 60, None)]


def test_a_clock_that_was_set_back_spoils_nothing(db_engine: Engine):
    note(db_engine, stands(a="ready"), minutes=5)
    note(db_engine, stands(a="blocked"), minutes=2)

    with reading(db_engine) as db:
        assert readiness.watched_until(db) == NOW + timedelta(minutes=5)
        assert [span.state for span in readiness.current(db)[ANNEX].values()] == ["blocked"]


def test_old_spans_are_forgotten_and_open_ones_never(db_engine: Engine):
    note(db_engine, stands(a="ready", b="ready"), minutes=0)
    note(db_engine, stands(a="blocked", b="ready"), minutes=5)

    with writing(db_engine) as db:
        assert readiness.prune(db, before=NOW + timedelta(minutes=6)) == 1
        assert readiness.prune(db, before=NOW + timedelta(minutes=6)) == 0

    assert spans(db_engine) == [("b", "ready", 0, None), ("a", "blocked", 5, None)]


def test_how_annexes_stand_now_comes_back_as_it_was_written(db_engine: Engine):
    one, two = stands(a="blocked", b="ready"), stands("berkane-2", a="ready")

    with writing(db_engine) as db:
        readiness.write_now(db, {ANNEX: stands(a="ready")}, now=NOW - timedelta(hours=1))
        readiness.write_now(db, {of.annex_id: of for of in (one, two)}, now=NOW)

    with reading(db_engine) as db:
        assert readiness.now_of(db, ANNEX) == readiness.Found(NOW, one)
        assert [found.readiness.annex_id for found in readiness.now(db)] == [ANNEX, "berkane-2"]
        assert [found.readiness for found in readiness.now(db, state="ready")] == [two]
        assert [found.readiness for found in readiness.now(db, after=ANNEX, limit=1)] == [two]
        assert [found.readiness for found in readiness.now(db, Scope(frozenset({ANNEX})))] == [one]


def test_services_are_kept_with_what_annexes_say_of_them(db_engine: Engine):
    need = NeedDefinition(capability="print", of=("p",), required=True)
    passport = ServiceDefinition(code="passeport", name_fr="Passeport", name_ar="جواز السفر", needs=(need,))

    with writing(db_engine) as db:
        empty = readiness.services_version(db)
        readiness.replace_services(db, [passport], by="amina", now=NOW)
        service_words.put_override(db, ANNEX, "residence", Override(offered=False), by="amina", now=NOW)
        service_words.put_override(db, ANNEX, "residence", Override(offered=True, needs=(need,)), by="amina", now=NOW)
        assert readiness.services_version(db) != empty

    with reading(db_engine) as db:
        assert readiness.own_services(db) == (passport,)
        assert readiness.all_overrides(db) == {ANNEX: {"residence": Override(offered=True, needs=(need,))}}
        assert readiness.overrides(db, "berkane-2") == {}

    with writing(db_engine) as db:
        assert service_words.stamps(db, ANNEX)["residence"] == NOW.timestamp() * 1_000_000
        stood = service_words.catalogue_stamp(db)
        service_words.put_override(db, ANNEX, "residence", Override(), by="amina", now=NOW)
        assert service_words.stamps(db, ANNEX) == {}
        readiness.replace_services(db, [], by="amina", now=NOW)
        assert readiness.services_version(db) == empty
        assert service_words.catalogue_stamp(db) == 0 != stood


def test_spans_of_the_store_are_what_availability_counts(db_engine: Engine):
    note(db_engine, stands(a="ready"), minutes=0)

    with reading(db_engine) as db:
        assert readiness.spans(db, ANNEX, since=NOW, until=NOW + timedelta(days=1)) == [Span("a", "ready", NOW)]
        assert readiness.spans(db, ANNEX, since=NOW - timedelta(days=1), until=NOW) == []
