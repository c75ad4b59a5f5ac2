from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AnnexUnknown, RuleChanged, RuleUnknown, RuleWrong
from annexfleet_controller.rules.ruleset import PROVINCE, Override
from annexfleet_controller.store import annexes, rules
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.rules import RuleOverride

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


@pytest.fixture
def db(engine: Engine):
    with writing(engine) as session:
        annexes.create(session, "berkane-1", name_fr="1", name_ar="1", now=NOW)
        yield session


def put(db: Session, document: object, *, scope: str = PROVINCE, version: int | None = None) -> Override:
    return rules.put(db, scope, "disk.low", document, version=version, by="amina", now=NOW)


def test_what_is_put_counts_where_it_was_put(db: Session):
    put(db, {"levels": {"used": 0.9}})
    put(db, {"for_s": 60}, scope="berkane-1")

    ruleset = rules.ruleset(db)
    assert ruleset.rule("disk.low").levels["used"] == 0.9
    assert ruleset.rule("disk.low").for_s == 600
    assert (ruleset.rule("disk.low", "berkane-1").levels["used"], ruleset.rule("disk.low", "berkane-1").for_s) == (
        0.9,
        60,
    )
    assert rules.kept(db, PROVINCE)["disk.low"] == rules.Kept(1, NOW, "amina")


def test_who_read_an_older_version_does_not_overwrite(db: Session):
    put(db, {"for_s": 60}, version=0)
    put(db, {"for_s": 61}, version=1)

    for stale in (0, 1, 7):
        with pytest.raises(RuleChanged):
            put(db, {"for_s": 62}, version=stale)
    with pytest.raises(RuleChanged):
        rules.remove(db, PROVINCE, "disk.low", version=1)
    with pytest.raises(RuleChanged):
        rules.put(db, PROVINCE, "mem.high", {"for_s": 3}, version=2, by="amina", now=NOW)
    assert rules.ruleset(db).rule("disk.low").for_s == 61
    assert rules.kept(db, PROVINCE)["disk.low"].version == 2


def test_without_a_version_the_last_one_counts(db: Session):
    put(db, {"for_s": 60})
    put(db, {"severity": "info"})

    rule = rules.ruleset(db).rule("disk.low")
    assert (rule.for_s, rule.severity) == (600, "info")


def test_what_is_removed_counts_no_more(db: Session):
    put(db, {"for_s": 60})

    assert rules.remove(db, PROVINCE, "disk.low", version=1)
    assert not rules.remove(db, PROVINCE, "disk.low")
    assert rules.ruleset(db).rule("disk.low").for_s == 600
    assert rules.kept(db, PROVINCE) == {}


def test_an_override_that_changes_nothing_is_not_kept(db: Session):
    put(db, {"for_s": 60})

    assert put(db, {}) == Override()
    assert rules.kept(db, PROVINCE) == {}


def test_what_cannot_be_is_not_kept(db: Session):
    with pytest.raises(RuleWrong):
        put(db, {"levels": {"used": 85}})
    with pytest.raises(AnnexUnknown):
        put(db, {"for_s": 60}, scope="nowhere")
    with pytest.raises(RuleUnknown):
        rules.put(db, PROVINCE, "disk.full", {}, version=None, by="amina", now=NOW)
    assert rules.kept(db, PROVINCE) == {}


def test_one_that_was_stored_and_cannot_be_read_does_not_stop_the_others(db: Session):
    put(db, {"for_s": 60})
    db.add(RuleOverride(scope="", rule_id="mem.high", document="{", version=1, updated_at=NOW, updated_by="x"))
    db.flush()

    ruleset = rules.ruleset(db)
    assert [problem.rule_id for problem in ruleset.problems] == ["mem.high"]
    assert ruleset.rule("disk.low").for_s == 60


def test_the_stamp_moves_with_every_change(db: Session):
    stamps = [rules.stamp(db)]
    put(db, {"for_s": 60})
    stamps.append(rules.stamp(db))
    rules.put(db, PROVINCE, "disk.low", {"for_s": 61}, version=1, by="amina", now=NOW.replace(hour=11))
    stamps.append(rules.stamp(db))
    rules.remove(db, PROVINCE, "disk.low")
    stamps.append(rules.stamp(db))

    assert stamps[0] == stamps[3]
    assert len(set(stamps)) == 3
