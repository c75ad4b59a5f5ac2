"""Commands of technicians to single devices: a lodger in the loop of the console's relay.

An order is claimed, signed and sent as soon as its device is there, once; what became of it the runner answers at once,
and its receipt comes through ingest as well: whichever is first settles it.  An order of which nothing was heard after
it was sent is sent again: the device does nothing twice, and answers with the receipt that it keeps.
"""

import logging
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.orm import Session as Db

from annexfleet_agent.protocol.envelope import Challenge
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.identity.signer import Request
from annexfleet_controller.rollouts.masking import plain
from annexfleet_controller.rollouts.relay import signing
from annexfleet_controller.rollouts.relay.background import Background
from annexfleet_controller.rollouts.relay.errand import Errand
from annexfleet_controller.rollouts.relay.framing import Verdict
from annexfleet_controller.rollouts.relay.session import Session
from annexfleet_controller.store import commands, pulses
from annexfleet_controller.store.commands import Due
from annexfleet_controller.store.database import reading, writing

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
SENT_AGAIN_AFTER = timedelta(seconds=60)
"""Of silence after an order was sent."""
PAUSE_S = 15.0
"""After a device could not be reached, or was busy for long."""
FORGOTTEN_AFTER = timedelta(minutes=30)
"""Of silence: then the outcome is unknown."""
LONGEST_S = FORGOTTEN_AFTER.total_seconds()
"""A device that goes on answering and never ends must not keep a place that others wait for."""
MOST_AT_ONCE = 32
MAX_ATTACHMENT_BYTES = 20 * 1024 * 1024
WITH_ATTACHMENT = "diagnostics"
OUTCOMES = frozenset({"done", "refused", "failed", "unknown"})
"""Of receipts; whatever else a device says of itself nobody understands."""
_PASSES = frozenset(
    {"", "offline", "unanswered", "busy", "not_ready", "stale_boot", "foreign_challenge", "expired", "replayed",
     "no_session", "signer_away", "failed", "no_keys", "keys_behind", "clock_wrong", "sequence", "database",
     "command_expired"}
)  # fmt: skip
"""Reasons for which an order was not sent that may be gone soon; for any other it is not tried again."""
_OF_THE_RUNNER = frozenset(
    {
        "too_big",
        "malformed",
        "keys_wrong",
        "unknown_key",
        "bad_signature",
        "other_device",
        "sealed_wrong",
        "not_allowed",
    }
)


class Attachments:
    """The files that commands brought, in the home's `diagnostics/`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def begin(self, command_id: str) -> "_Attachment":
        return _Attachment(self._directory / f"{command_id}.tar.gz")

    def remove(self, name: str) -> None:
        (self._directory / Path(name).name).unlink(missing_ok=True)


class _Attachment:
    """One of them, while it comes.  A disk that is full costs the file and nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self.size_bytes = 0
        self.problem = ""

    def add(self, data: bytes) -> None:
        self.size_bytes += len(data)
        if self.problem:
            return
        if self.size_bytes > MAX_ATTACHMENT_BYTES:
            self._fail("output_too_big")
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                self._file = os.fdopen(descriptor, "wb")
            self._file.write(data)
        except OSError as error:
            log.warning("an attachment cannot be kept file=%s reason=%s", self._path, error)
            self._fail("no_space")

    def keep(self) -> str:
        """Its name, now that it is whole; empty if there is none."""
        if self._file is None or self.problem:
            return ""
        try:
            self._file.close()
            self._part.replace(self._path)
        except OSError as error:
            log.warning("an attachment cannot be kept file=%s reason=%s", self._path, error)
            self._fail("no_space")
            return ""
        return self._path.name

    def drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)
            self._file = None

    @property
    def _part(self) -> Path:
        return self._path.with_name(self._path.name + ".part")

    def _fail(self, problem: str) -> None:
        self.problem = problem
        self.drop()


class Sessions(Struct, frozen=True):
    """What the relay lends."""

    new: Callable[[str, Callable[[Challenge], Request]], Session]
    """A session of class command with a device."""
    forget: Callable[[Session, float, bool], object]
    """One that is over; False: its runner is left to finish."""
    background: Background
    mono: Callable[[], float]


class _Sending:
    """One order under way; an `errand.Outlet`."""

    def __init__(
        self,
        due: Due,
        session: Session,
        attachment: _Attachment,
        over: Callable[["_Sending"], object],
        *,
        began_at: float,
    ) -> None:
        self.due = due
        self.session = session
        self.attachment = attachment
        self.errand = Errand(None, self)
        self.began_at = began_at
        self.is_over = False
        self._over = over

    def give(self, kind: str, data: bytes, consumed: Callable[[], None]) -> None:
        if kind == "output" and self.due.name == WITH_ATTACHMENT:
            self.attachment.add(data)
        consumed()

    def ended(self, verdict: Verdict) -> None:
        self.is_over = True
        self._over(self)


class Commands:
    """Belongs to the relay's thread; a `process.Lodger`."""

    def __init__(self, engine: Engine, relay: Sessions, attachments: Attachments, clock: Clock = SYSTEM) -> None:
        self._engine = engine
        self._relay = relay
        self._attachments = attachments
        self._clock = clock
        self._sending: dict[str, _Sending] = {}
        self._over: list[_Sending] = []
        self._not_before: dict[str, float] = {}
        self._looked_at = 0.0
        self._looking = False
        self._ending = False
        self._writing = 0

    def tick(self, now: float) -> None:
        while self._over:
            self._settle(self._over.pop(), now)
        for sending in list(self._sending.values()):
            if sending.is_over:
                continue
            if sending.attachment.problem == "output_too_big":
                sending.session.cancel(sending.errand, now)
            if now - sending.began_at >= LONGEST_S:
                self._drop(sending, now)
        if not self._ending and not self._looking and now - self._looked_at >= LOOK_EVERY_S:
            self._looking, self._looked_at = True, now
            self._relay.background.ask(self._look, lambda due: self._found(due, now), self._not_looked)

    def is_idle(self) -> bool:
        return not self._sending and not self._over and not self._writing

    def end(self, now: float) -> None:
        """What was sent goes on on the device; its receipt comes later."""
        self._ending = True
        for sending in list(self._sending.values()):
            was_sent = sending.session.was_sent
            self._forget(sending, now, says_so=False)
            if not was_sent and sending.due.state == "waiting":
                self._put_back(sending.due)

    # -- what is to be sent

    def _look(self) -> list[Due]:
        now = self._clock.now()
        with reading(self._engine) as db:
            found = commands.due(db, now=now, again_before=now - SENT_AGAIN_AFTER)
            stale = commands.any_stale(db, now=now, sent_before=now - FORGOTTEN_AFTER)
        if stale:
            with writing(self._engine) as db:
                numbers = commands.give_up(db, now=now) + commands.forget(
                    db, sent_before=now - FORGOTTEN_AFTER, now=now
                )
                pulses.add(db, dict.fromkeys(numbers, "k"), now=now, origin="commands")
        return found

    def _found(self, found: list[Due], now: float) -> None:
        self._looking = False
        self._not_before = {id_: at for id_, at in self._not_before.items() if at > now}
        busy = {sending.due.device_id for sending in self._sending.values()}
        for due in found:
            if len(self._sending) >= MOST_AT_ONCE or self._ending:
                break
            if due.id not in self._not_before and due.device_id not in busy:
                busy.add(due.device_id)
                self._begin(due)

    def _not_looked(self) -> None:
        self._looking = False

    def _begin(self, due: Due) -> None:
        session = self._relay.new(
            due.device_id, lambda challenge: signing.request_for_command(due.id, due.device_id, challenge)
        )
        sending = _Sending(
            due, session, self._attachments.begin(due.id), self._over.append, began_at=self._relay.mono()
        )
        self._sending[due.id] = sending
        self._relay.background.ask(
            lambda: self._claim(due), lambda ours: self._claimed(sending, ours), lambda: self._claimed(sending, False)
        )

    def _claim(self, due: Due) -> bool:
        now = self._clock.now()
        with writing(self._engine) as db:
            ours = commands.claim(db, due.id, now=now)
            if ours:
                pulses.add(db, {due.device_number: "k"}, now=now, origin="commands")
        return ours

    def _claimed(self, sending: _Sending, ours: bool) -> None:
        now = self._relay.mono()
        if not ours or sending.due.id not in self._sending:
            self._forget(sending, now)
        else:
            log.info(
                "a command is sent command=%s name=%s device=%s",
                sending.due.id,
                sending.due.name,
                sending.due.device_id,
            )
            sending.session.add(sending.errand, now)

    def _drop(self, sending: _Sending, now: float) -> None:
        log.warning("a command does not end command=%s device=%s", sending.due.id, sending.due.device_id)
        self._not_before[sending.due.id] = now + SENT_AGAIN_AFTER.total_seconds()
        self._forget(sending, now)
        sending.attachment.drop()

    # -- what became of it

    def _settle(self, sending: _Sending, now: float) -> None:
        due, result, reason = sending.due, sending.errand.result, sending.session.reason
        was_sent = sending.session.was_sent
        self._forget(sending, now)
        if result is not None and result.receipt:
            problem = sending.attachment.problem
            attachment = sending.attachment.keep() if result.receipt == "done" else ""
            detail = problem or sending.attachment.problem or result.detail or result.error
            outcome = result.receipt if result.receipt in OUTCOMES else "unknown"
            self._write_end(due, outcome, plain(detail).replace("\n", " "), attachment)
        elif was_sent or due.state == "sent":
            self._not_before[due.id] = now + SENT_AGAIN_AFTER.total_seconds()
        elif reason in _PASSES:
            self._not_before[due.id] = now + PAUSE_S
            self._put_back(due)
        else:
            self._write_end(due, "refused" if reason in _OF_THE_RUNNER else "not_sent", reason, "")
        sending.attachment.drop()

    def _write_end(self, due: Due, outcome: str, detail: str, attachment: str) -> None:
        log.info("a command ended command=%s device=%s outcome=%s detail=%s", due.id, due.device_id, outcome, detail)

        def write(db: Db) -> None:
            now = self._clock.now()
            commands.settle(
                db, due.id, outcome, now=now, device_id=due.device_id, detail=detail, attachment=attachment
            )  # fmt: skip
            pulses.add(db, {due.device_number: "k"}, now=now, origin="commands")

        self._write(write)

    def _put_back(self, due: Due) -> None:
        self._write(lambda db: commands.put_back(db, due.id))

    def _write(self, write: Callable[[Db], object]) -> None:
        """In the background; what could not be written, the next look finds again."""

        def do() -> None:
            with writing(self._engine) as db:
                write(db)

        def done() -> None:
            self._writing -= 1

        self._writing += 1
        self._relay.background.ask(do, lambda _: done(), done)

    def _forget(self, sending: _Sending, now: float, *, says_so: bool = True) -> None:
        self._sending.pop(sending.due.id, None)
        self._relay.forget(sending.session, now, says_so)
