"""The audit's chain is read through now and then, and its newest entry is noted outside of the database."""

import logging
import os
from pathlib import Path

import msgspec

from annexfleet_controller.settings import Home
from annexfleet_controller.store import audit
from annexfleet_controller.store.audit import Checkpoint
from annexfleet_controller.store.database import reading
from annexfleet_controller.work.worker import Worker

log = logging.getLogger(__name__)


class ChainBroken(Exception):
    """Somebody changed the audit; `annexfleet audit verify` says where."""


def checkpoint_path(home: Home) -> Path:
    return home.path / "audit-checkpoint"


def checkpoint(home: Home) -> Checkpoint | None:
    """What was noted last; None where nothing was.  Raises ValueError for a file that is not ours."""
    try:
        return msgspec.json.decode(checkpoint_path(home).read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return None


def note_audit(worker: Worker) -> None:
    """Note the newest entry, if everything up to it is as it was written.

    Raises ChainBroken where it is not: the job then shows as failed, and the old note stays, as it is the evidence.
    """
    noted = checkpoint(worker.home)
    with reading(worker.engine) as db:
        newest = audit.tail(db)
        bad = audit.verify(db, checkpoint=noted)
    if bad is not None:
        raise ChainBroken(f"the audit is not as it was written: entry {bad.id} {bad.reason}")
    if newest is not None and newest != noted:
        _write(checkpoint_path(worker.home), newest)


def _write(path: Path, newest: Checkpoint) -> None:
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(newest) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
