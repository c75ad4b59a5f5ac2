"""History is folded and forgotten, and so is what passed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from annexfleet_controller.store import (
    changes,
    commands,
    history,
    people,
    pulses,
    rollouts,
    runs,
    set_aside,
    states,
    supplies,
    undoing,
    watches,
)
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.work.worker import Worker

_DEVICES_AT_ONCE = 20
_ROWS_AT_ONCE = 400
_PRUNE_AT_ONCE = 2000
_RUNS_AT_ONCE = 10
_UNDO_KEPT = timedelta(hours=1)
_CONTACTS_UNDO_KEPT = timedelta(minutes=10)
"""As long as they may be taken back (`tending.putting_back`): they may hold secrets."""
_PULSES_KEPT = timedelta(minutes=10)
_ATTACHMENTS_KEPT = timedelta(days=30)
_SIGN_INS_KEPT = timedelta(days=1)
"""Failed ones, and answers to requests that may be repeated."""


def fold_history(worker: Worker) -> None:
    """Beats into hours and hours into days, once they are old enough; days are forgotten in the end."""
    now, kept = worker.clock.now(), worker.settings
    beats_until = _floor(now - timedelta(days=kept.keep_beats_days), history.HOUR)
    hours_until = _floor(now - timedelta(days=kept.keep_hours_days), history.DAY)
    _fold(worker, history.AS_IT_CAME, history.HOUR, beats_until)
    _fold(worker, history.HOUR, history.DAY, hours_until)
    days_until = now - timedelta(days=kept.keep_days_days)
    after = 0
    while devices := _devices_with(worker, history.DAY, days_until, after):
        with writing(worker.engine) as db:
            for number in devices:
                history.forget(db, number, history.DAY, until=days_until)
        after = devices[-1]
        if not worker.go_on():
            return


def _fold(worker: Worker, of: int, into: int, until: datetime) -> None:
    after = 0
    while devices := _devices_with(worker, of, until, after):
        left = _ROWS_AT_ONCE
        with writing(worker.engine) as db:
            for number in devices:
                # The fence between devices: what one of them told must not keep the others' history from being folded.
                try:
                    with db.begin_nested():
                        left -= history.fold(db, number, of=of, into=into, until=until, at_most=left)
                except SQLAlchemyError:
                    raise
                except Exception as error:
                    worker.complain_once("history of a device cannot be folded", number, error)
                if left <= 0:
                    break  # this device may have more: it comes first again
                after = number
        if not worker.go_on():
            return


def _devices_with(worker: Worker, resolution_s: int, until: datetime, after: int) -> list[int]:
    with reading(worker.engine) as db:
        return history.devices_with(db, resolution_s, until=until, after=after, at_most=_DEVICES_AT_ONCE)


def forget_old(worker: Worker) -> None:
    """Changes, messages set aside, days of supplies, runs, rollouts and commands older than the settings keep them."""
    now, kept = worker.clock.now(), worker.settings
    for prune, days in ((changes.prune, kept.keep_changes_days), (set_aside.prune, kept.keep_set_aside_days)):
        while True:
            with writing(worker.engine) as db:
                gone = prune(db, before=now - timedelta(days=days), at_most=_PRUNE_AT_ONCE)
            if gone < _PRUNE_AT_ONCE or not worker.go_on():
                break
    while True:
        with writing(worker.engine) as db:
            oldest = (now - timedelta(days=kept.keep_supply_days)).date()
            gone = supplies.prune(db, before=oldest, at_most=_PRUNE_AT_ONCE)
        if gone < _PRUNE_AT_ONCE or not worker.go_on():
            break
    while True:
        with writing(worker.engine) as db:
            # Each has rows by the hundred.
            old = runs.prune(db, before=now - timedelta(days=kept.keep_runs_days), at_most=_RUNS_AT_ONCE)
        if len(old) < _RUNS_AT_ONCE or not worker.go_on():
            break
    while True:
        with writing(worker.engine) as db:
            # As long as their runs, and each after these: what became of a device is told by both.
            over = rollouts.prune(db, before=now - timedelta(days=kept.keep_runs_days), at_most=_RUNS_AT_ONCE)
        if len(over) < _RUNS_AT_ONCE or not worker.go_on():
            break
    _forget_commands(worker)


def _forget_commands(worker: Worker) -> None:
    """Commands are kept as long as runs; the files that they brought, which may have 20 MB each, a month."""
    now = worker.clock.now()
    with writing(worker.engine) as db:
        files = commands.prune(db, before=now - timedelta(days=worker.settings.keep_runs_days))
        files += commands.forget_attachments(db, before=now - _ATTACHMENTS_KEPT)
    for name in files:
        (worker.home.path / "diagnostics" / Path(name).name).unlink(missing_ok=True)


def forget_what_passed(worker: Worker) -> None:
    """Pulses that every page has seen, watches that ended, samples that nobody looks at, sessions that ran out, and
    what acts replaced that can be taken back no more."""
    now = worker.clock.now()
    with writing(worker.engine) as db:
        pulses.prune(db, before=now - _PULSES_KEPT)
        watches.prune(db, before=now - _PULSES_KEPT)
        states.prune_live(db, before=now - timedelta(hours=1))
        undoing.prune(db, before=now - _UNDO_KEPT, contacts_before=now - _CONTACTS_UNDO_KEPT)
        people.prune(
            db,
            sessions_before=now - timedelta(hours=worker.settings.session_hours),
            failures_before=now - _SIGN_INS_KEPT,
            answers_before=now - _SIGN_INS_KEPT,
        )


def _floor(moment: datetime, size_s: int) -> datetime:
    """The last full hour or day (UTC) before a moment."""
    return datetime.fromtimestamp(moment.timestamp() // size_s * size_s, UTC)
