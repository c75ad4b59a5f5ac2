"""Which state of the layers runs brought to devices."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annexfleet_controller.store import runs
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow

_AT_ONCE = 500


def brought(
    db: Session, playbook: str, variable: str, numbers: Collection[int]
) -> dict[int, tuple[int, datetime]]:  # fmt: skip
    """By device: the revision that the newest run of this playbook brought which came to a good end there, and when.

    Dry runs bring nothing.  One that was never run, or so long ago that its run is forgotten, is missing.
    """
    newest: dict[int, tuple[int, datetime]] = {}
    ordered = sorted(numbers)
    for start in range(0, len(ordered), _AT_ONCE):
        query = (
            select(RunHostRow.device_number, func.max(RunHostRow.run_id))
            .join(RunRow, RunRow.id == RunHostRow.run_id)
            .where(
                RunHostRow.device_number.in_(ordered[start : start + _AT_ONCE]), RunRow.playbook == playbook,
                RunRow.kind == "playbook", RunRow.check.is_(False), RunHostRow.outcome.in_(sorted(runs.SUCCESSES)),
            )
            .group_by(RunHostRow.device_number)
        )  # fmt: skip
        of_run: dict[int, list[int]] = {}
        for number, run_id in db.execute(query):
            of_run.setdefault(run_id, []).append(number)
        rows = select(RunRow.id, RunRow.variables).where(RunRow.id.in_(of_run))
        revisions = {run_id: _revision(text, variable) for run_id, text in db.execute(rows)}
        ends = select(RunHostRow.run_id, RunHostRow.device_number, RunHostRow.ended_at).where(
            RunHostRow.run_id.in_(of_run), RunHostRow.device_number.in_([one for of in of_run.values() for one in of])
        )
        for run_id, number, ended_at in db.execute(ends):
            revision = revisions.get(run_id)
            if number in of_run[run_id] and revision is not None and ended_at is not None:
                newest[number] = (revision, ended_at)
    return newest


def _revision(text: str, variable: str) -> int | None:
    try:
        found = msgspec.json.decode(text, type=dict[str, object]).get(variable)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, int) and not isinstance(found, bool) else None
