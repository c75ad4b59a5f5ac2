"""The job that notes the newest entry outside of the database, and `annexfleet audit verify`."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, update

from annexfleet_controller import work
from annexfleet_controller.__main__ import main
from annexfleet_controller.cli import exits
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import audit
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.audit import AuditRow
from annexfleet_controller.work import Worker
from annexfleet_controller.work.audit import ChainBroken, checkpoint, checkpoint_path, note_audit

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


@pytest.fixture
def worker(sqlite_engine: Engine, tmp_path: Path) -> Worker:
    """On the database that the command line finds in the home."""
    home = Home(tmp_path, Settings(database_url=str(sqlite_engine.url)))
    (tmp_path / "controller.toml").write_text(f'database_url = "{sqlite_engine.url}"\n')
    return Worker(sqlite_engine, home, work.JOBS)


def write(worker: Worker, count: int, *, actor: str = "tech") -> None:
    with writing(worker.engine) as db:
        for _ in range(count):
            audit.add(db, now=NOW, actor=actor, via="console", act="run.create", subject="run:1")


def verify(worker: Worker, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["--home", str(worker.home.path), "audit", "verify"])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_the_newest_entry_is_noted_for_its_owner_alone(worker: Worker):
    note_audit(worker)
    assert checkpoint(worker.home) is None

    write(worker, 3)
    note_audit(worker)

    with reading(worker.engine) as db:
        assert checkpoint(worker.home) == audit.tail(db)
    assert stat.S_IMODE(checkpoint_path(worker.home).stat().st_mode) == 0o600


def test_a_cut_tail_fails_the_job_and_keeps_the_note(worker: Worker):
    write(worker, 3)
    note_audit(worker)
    noted = checkpoint(worker.home)
    with writing(worker.engine) as db:
        db.execute(delete(AuditRow).where(AuditRow.id == 3))

    with pytest.raises(ChainBroken, match="entry 3 missing"):
        note_audit(worker)
    write(worker, 2, actor="who wants it to look whole")
    with pytest.raises(ChainBroken, match="entry 3 forged"):
        note_audit(worker)

    assert checkpoint(worker.home) == noted


def test_a_change_in_the_middle_is_found_though_nothing_was_added_since(worker: Worker):
    write(worker, 3)
    note_audit(worker)
    with writing(worker.engine) as db:
        db.execute(update(AuditRow).where(AuditRow.id == 2).values(actor="nobody"))

    with pytest.raises(ChainBroken, match="entry 2 changed"):
        note_audit(worker)


def test_the_worker_does_it(worker: Worker):
    assert "note_audit" in {job.name for job in work.JOBS}


def test_a_whole_chain_is_told(worker: Worker, capsys: pytest.CaptureFixture[str]):
    write(worker, 2)
    code, said = verify(worker, capsys)
    assert (code, "2 entries, each as it was written; the newest is" in said) == (exits.DONE, True)
    assert "No entry has been noted" in said

    note_audit(worker)

    assert "No entry has been noted" not in verify(worker, capsys)[1]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (update(AuditRow).where(AuditRow.id == 1).values(actor="x"), "entry 1 was changed"),
        (delete(AuditRow).where(AuditRow.id == 2), "entry 2 is missing"),
        (delete(AuditRow).where(AuditRow.id == 3), "entry 3 is missing"),
    ],
)
def test_what_was_done_to_it_is_told(worker: Worker, capsys: pytest.CaptureFixture[str], spoil: object, said: str):
    write(worker, 3)
    note_audit(worker)
    with writing(worker.engine) as db:
        db.execute(spoil)  # type: ignore[call-overload]

    code, told = verify(worker, capsys)

    assert code == exits.FAILED
    assert said in told


def test_a_note_that_somebody_spoiled_is_told(worker: Worker, capsys: pytest.CaptureFixture[str]):
    checkpoint_path(worker.home).write_text("[1")

    code, told = verify(worker, capsys)

    assert code == exits.FAILED
    assert "audit-checkpoint is not as it was written" in told
