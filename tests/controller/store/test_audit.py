import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, delete, update

from annexfleet_controller.store import audit
from annexfleet_controller.store.audit import Bad, Checkpoint
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.audit import AuditRow

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def write(engine: Engine, count: int = 1, **of: object) -> None:
    whole = {"actor": "tech", "via": "session", "act": "run.create", "subject": "run:1", "facts": {"playbook": "files"}}
    with writing(engine) as db:
        for number in range(count):
            audit.add(db, **({"now": NOW + timedelta(seconds=number)} | whole | of))  # type: ignore[arg-type]


def verified(engine: Engine, checkpoint: Checkpoint | None = None) -> Bad | None:
    with reading(engine) as db:
        return audit.verify(db, checkpoint=checkpoint)


def tail(engine: Engine) -> Checkpoint:
    with reading(engine) as db:
        newest = audit.tail(db)
    assert newest is not None
    return newest


def test_entries_are_numbered_without_a_hole_and_verify(engine: Engine):
    assert verified(engine) is None
    write(engine, 5)

    assert verified(engine) is None
    with reading(engine) as db:
        found = audit.entries(db, WHOLE)
    assert [entry.id for entry in found] == [5, 4, 3, 2, 1]
    assert (found[-1].at, found[-1].facts) == (NOW, {"playbook": "files"})


def test_an_act_that_did_not_happen_leaves_no_entry(engine: Engine):
    def act_and_fail() -> None:
        with writing(engine) as db:
            audit.add(db, now=NOW, actor="tech", via="session", act="run.create", subject="run:1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        act_and_fail()

    assert verified(engine) is None
    with reading(engine) as db:
        assert audit.count(db) == 0


CHANGES = {
    "at": NOW + timedelta(microseconds=1),
    "actor": "somebody else",
    "via": "key",
    "act": "run.cancel",
    "subject": "run:2",
    "annex_id": "berkane-1",
    "facts": '{"playbook": "firewall"}',
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_changed_entry_is_found(engine: Engine, column: str):
    write(engine, 3)
    with writing(engine) as db:
        db.execute(update(AuditRow).where(AuditRow.id == 2).values({column: CHANGES[column]}))

    assert verified(engine) == Bad(2, "changed")


@pytest.mark.parametrize("gone", [1, 2])
def test_a_deleted_entry_is_found(engine: Engine, gone: int):
    write(engine, 3)
    with writing(engine) as db:
        db.execute(delete(AuditRow).where(AuditRow.id == gone))

    assert verified(engine) == Bad(gone, "missing")


def test_a_deleted_entry_whose_number_the_next_ones_took_is_found(engine: Engine):
    write(engine, 3)
    with writing(engine) as db:
        db.execute(delete(AuditRow).where(AuditRow.id == 2))
        db.execute(update(AuditRow).where(AuditRow.id == 3).values(id=2))

    assert verified(engine) == Bad(2, "unlinked")


def test_two_that_changed_places_are_found(engine: Engine):
    write(engine, 3)
    with writing(engine) as db:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            db.execute(update(AuditRow).where(AuditRow.id == old).values(id=new))

    assert verified(engine) == Bad(2, "unlinked")


def test_a_tail_that_was_cut_off_is_found_by_what_was_noted(engine: Engine):
    write(engine, 3)
    noted = tail(engine)
    with writing(engine) as db:
        db.execute(delete(AuditRow).where(AuditRow.id == 3))

    assert verified(engine) is None
    assert verified(engine, noted) == Bad(3, "missing")
    write(engine, actor="who wants it to look whole")
    assert verified(engine, noted) == Bad(3, "forged")


def test_a_chain_that_was_computed_anew_is_found_by_what_was_noted(engine: Engine):
    write(engine, 3)
    noted = tail(engine)
    with writing(engine) as db:
        db.execute(delete(AuditRow))
    write(engine, 5, actor="forger")

    assert verified(engine) is None
    assert verified(engine, noted) == Bad(3, "forged")


def test_writers_beside_each_other_leave_one_whole_chain(engine: Engine):
    threads = [threading.Thread(target=lambda: [write(engine) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tail(engine).id == 40
    assert verified(engine) is None


def test_more_entries_than_are_read_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit, "_AT_ONCE", 3)
    write(engine, 10)
    assert verified(engine) is None

    with writing(engine) as db:
        db.execute(update(AuditRow).where(AuditRow.id == 9).values(actor="x"))
    assert verified(engine) == Bad(9, "changed")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"actor": "TECH"}, [3, 1]),
        ({"act": "run"}, [2, 1]),
        ({"act": "run.cancel"}, [2]),
        ({"act": "r_n"}, []),
        ({"subject": "run:1"}, [1]),
        ({"subject": "%"}, []),
        ({"before": 3}, [2, 1]),
        ({"limit": 2}, [3, 2]),
    ],
)
def test_entries_are_narrowed(engine: Engine, asked: dict[str, object], expected: list[int]):
    write(engine)
    write(engine, actor="boss", act="run.cancel", subject="run:2")
    write(engine, act="device.revoke", subject="device:d-x")

    with reading(engine) as db:
        assert [entry.id for entry in audit.entries(db, WHOLE, **asked)] == expected  # type: ignore[arg-type]


def test_who_sees_some_annexes_sees_only_what_was_done_there(engine: Engine):
    write(engine)
    write(engine, annex_id="berkane-1", act="command.send")
    write(engine, annex_id="berkane-2")

    with reading(engine) as db:
        scope = Scope(frozenset({"berkane-1"}))
        assert [entry.id for entry in audit.entries(db, scope)] == [2]
        assert audit.acts(db, scope) == ["command.send"]
        assert audit.acts(db, WHOLE) == ["command.send", "run.create"]


def test_an_entry_that_somebody_spoiled_can_still_be_shown(engine: Engine):
    write(engine)
    with writing(engine) as db:
        db.execute(update(AuditRow).values(facts="[no json"))

    with reading(engine) as db:
        assert audit.entries(db, WHOLE)[0].facts == {}
    assert verified(engine) == Bad(1, "changed")
