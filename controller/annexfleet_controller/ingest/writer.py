"""One transaction a batch: history, states, changes, marks and the pulse; all of it or nothing.

What `write` returns is committed, so it may be acknowledged.  When it raises, the batch may be written again: what was
stored of it counts as repeated then.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from annexfleet_agent.protocol.messages import Hello, Receipt
from annexfleet_controller.ingest.decode import Aside, Heard
from annexfleet_controller.ingest.marks import Mark
from annexfleet_controller.ingest.settle import Settled, settle
from annexfleet_controller.store import changes, commands, history, parts, pulses, set_aside, states
from annexfleet_controller.store import marks as marks_store
from annexfleet_controller.store.database import writing

log = logging.getLogger(__name__)

ASIDE_KEPT_PER_DEVICE = 20
"""No more undecodable messages of one device are kept a day (UTC); the others are only counted."""


class DatabaseFailing(Exception):
    """The database cannot write now: it is locked, full, read-only, away or not migrated.  Trying again may help."""


def write(engine: Engine, batch: Sequence[Heard | Aside], now: datetime) -> Settled:
    """Commit a batch and give what came of it.  Raises DatabaseFailing.

    A message that the database itself refuses is found by halving the batch, and set aside: one device's oddity must
    not hold up the others.
    """
    try:
        return _transaction(engine, batch, now)
    except (OperationalError, InterfaceError, InternalError, ProgrammingError) as error:
        raise DatabaseFailing(str(error.orig)) from error
    except Exception as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise DatabaseFailing(str(error.orig)) from error
        # The fence between messages: whatever one of them brings about, the others go through.
        if len(batch) > 1:
            middle = len(batch) // 2
            return _joined(write(engine, batch[:middle], now), write(engine, batch[middle:], now))
        only = batch[0]
        if isinstance(only, Aside):
            log.exception("message dropped, not even its reason can be stored device=%s", only.device_id)
            return Settled(counts={"dropped_unstorable": 1})
        log.exception("message set aside, the database refuses it device=%s kind=%s", only.device_id, only.kind)
        topic = f"{only.device_id} {only.kind}"
        seq = getattr(only.message, "seq", 0)
        aside = Aside(
            only.device_id, topic, only.payload, only.at, "not_storable", type(error).__name__, seq, only.weight
        )
        return write(engine, [aside], now)


def _transaction(engine: Engine, batch: Sequence[Heard | Aside], now: datetime) -> Settled:
    with writing(engine) as db:
        known = states.lock(db, {message.device_id for message in batch})
        numbers = [device.number for device in known.values()]
        others = [
            (known[message.device_id].number, message.message.install_id)
            for message in batch
            if isinstance(message, Heard) and isinstance(message.message, Hello) and message.device_id in known
        ]
        had = {key: Mark(*mark) for key, mark in marks_store.of(db, numbers, others=others).items()}
        settled = settle(batch, known, had)
        heard = settled.heard
        history.add(db, settled.history)
        changes.add(db, settled.changes)
        parts.replace(db, [(number, name, *part) for (number, name), part in sorted(settled.parts.items())])
        states.write_connections(db, settled.connections.values())
        states.write_beats(db, [(n, heard[n], *beat) for n, beat in settled.beats.items()])
        states.write_heard(db, [(n, at) for n, at in heard.items() if n not in settled.beats])
        states.write_inventories(db, [(n, *of) for n, of in settled.inventories.items()])
        states.write_live(db, [(n, *of) for n, of in settled.live.items()])
        marks_store.write(db, [(*key, *mark) for key, mark in settled.marks.items()], now=now)
        marks_store.keep_newest(db, settled.new_installs.items())
        if settled.set_aside:
            _keep_few(db, settled.set_aside, now)
        for device_id, receipt in settled.receipts:
            _settle_command(db, device_id, receipt, settled.pulses, now)
        pulses.add(db, settled.pulses, now=now)
    return settled


def _settle_command(db: Session, device_id: str, receipt: Receipt, touched: dict[int, str], now: datetime) -> None:
    """A receipt ends the command that it is of, if the relay did not hear of it before."""
    try:
        number = commands.settle_by_receipt(
            db, receipt.command_id, receipt.outcome, now=now, device_id=device_id, detail=receipt.detail,
            proof=receipt.proof,
        )  # fmt: skip
    except commands.ReceiptForged:
        log.warning("a forged receipt settles nothing device=%s command=%s", device_id, receipt.command_id)
        return
    if number is not None:
        touched[number] = touched.get(number, "") + "k"


def _keep_few(db: Session, asides: list[Aside], now: datetime) -> None:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    kept = set_aside.count_each(db, {aside.device_id for aside in asides}, since=today)
    rows = []
    for aside in asides:
        kept[aside.device_id] = kept.get(aside.device_id, 0) + 1
        if kept[aside.device_id] <= ASIDE_KEPT_PER_DEVICE:
            log.info("message set aside device=%s reason=%s", aside.device_id or aside.topic, aside.reason)
            rows.append((aside.device_id, aside.topic, aside.at, aside.reason, aside.detail, aside.payload))
    set_aside.add(db, rows)


def _joined(first: Settled, second: Settled) -> Settled:
    """What has to be said and counted after both; their rows are written already."""
    counts = {
        name: first.counts.get(name, 0) + second.counts.get(name, 0) for name in {**first.counts, **second.counts}
    }
    return Settled(
        due=[*first.due, *second.due],
        hellos=[*first.hellos, *second.hellos],
        set_aside=[*first.set_aside, *second.set_aside],
        history=[*first.history, *second.history],
        changes=[*first.changes, *second.changes],
        counts=counts,
    )
