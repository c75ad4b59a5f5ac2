"""Nothing gets in but by this gate: it gives out challenges, has each envelope judged, and remembers what it let in.

An envelope that is let in has its sequence number on disk, and its challenge forgotten, before `admit` returns.
"""

import logging
import secrets
from collections import deque
from pathlib import Path

from annexfleet_agent.clock import Clock
from annexfleet_agent.protocol.envelope import (
    CHALLENGE_BYTES,
    CHALLENGE_LIFETIME_S,
    HARMLESS,
    Challenge,
    Knock,
    RefusalReason,
)
from annexfleet_agent.runner import keys
from annexfleet_agent.runner.judge import Accepted, Asked, Known, Refused, cheap, opened, verdict
from annexfleet_agent.runner.ledger import Ledger, LedgerUnusable

log = logging.getLogger(__name__)

_MOST_ASKED = 32
"""Challenges that wait; a flood of knocks drives out the oldest."""
_SIGNATURES_PER_MINUTE = 20
"""After so many refusals, no more arithmetic is done for anybody within the minute."""


class Gate:
    """One runner's."""

    def __init__(
        self, directory: Path, ledger: Ledger, *, boot_id: str, allowed: frozenset[str], version: str, clock: Clock
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._boot_id = boot_id
        self._allowed = allowed
        self._version = version
        self._clock = clock
        self._asked: dict[str, Asked] = {}
        self._refused_at: deque[float] = deque(maxlen=_SIGNATURES_PER_MINUTE)
        self._uncounted: dict[str, int] = {}

    def challenge(self, knock: Knock, *, busy: bool) -> Challenge:
        """An answer to a knock.  Raises Refused: not ready."""
        try:
            key, trust = keys.load(self._directory), keys.trust(self._directory)
        except keys.KeysUnusable as error:
            log.warning("nobody can be obeyed: %s", error)
            raise Refused("not_ready", knock.session) from None
        number = secrets.token_hex(CHALLENGE_BYTES)
        while len(self._asked) >= _MOST_ASKED:
            del self._asked[next(iter(self._asked))]
        self._asked[number] = Asked(knock.session, self._clock.mono())
        return Challenge(
            session=knock.session,
            challenge=number,
            boot_id=self._boot_id,
            keys_version=trust.keys_version,
            exchange_key=key.public_key().public_bytes_raw().hex(),
            busy=busy,
            runner_version=self._version,
        )

    def admit(self, packet: bytes, *, running: str) -> tuple[Accepted, str]:
        """What an ENVELOPE packet gives leave to do, and the device's id.  Raises Refused; it is counted then.

        `running` is the session that is at work; empty if none is.
        """
        try:
            return self._admit(packet, running)
        except Refused as refused:
            self._count(refused.reason)
            raise

    @property
    def awaits(self) -> bool:
        """Whether a challenge waits for its envelope."""
        self._forget_old()
        return bool(self._asked)

    def flush(self) -> bool:
        """Bring what was counted to the disk; whether there was anything."""
        counted, self._uncounted = self._uncounted, {}
        if counted:
            self._ledger.count_refusals(counted, now=self._clock.now())
        return bool(counted)

    def _admit(self, packet: bytes, running: str) -> tuple[Accepted, str]:
        self._forget_old()
        _, envelope = opened(packet)
        known, trust = self._known(envelope.session, busy=running not in ("", envelope.session))
        if self._is_flooded():
            raise Refused(cheap(envelope, known) or "busy", envelope.session)
        try:
            accepted = verdict(packet, known)
        except Refused as refused:
            if refused.reason in HARMLESS:  # it was ours: its challenge is used up
                self._asked.pop(envelope.challenge, None)
            raise
        del self._asked[envelope.challenge]
        self._remember(accepted)
        return accepted, trust.device_id

    def _known(self, session: str, *, busy: bool) -> tuple[Known, keys.Trust]:
        try:
            key, trust = keys.load(self._directory), keys.trust(self._directory)
        except keys.KeysUnusable as error:
            log.warning("nobody can be obeyed: %s", error)
            raise Refused("not_ready", session) from None
        known = Known(
            device_id=trust.device_id,
            boot_id=self._boot_id,
            key=key,
            keys=trust.keys,
            verify_keys=trust.verified,
            asked=self._asked,
            sequence=self._ledger.sequence,
            newest_issued_at=self._ledger.newest_issued_at,
            allowed=self._allowed,
            busy=busy,
            now=self._clock.mono(),
        )
        return known, trust

    def _remember(self, accepted: Accepted) -> None:
        envelope = accepted.envelope
        begun_before = envelope.action == "command" and self._ledger.receipt(envelope.command_id) is not None
        try:
            if accepted.new_keys is not None:
                keys.adopt(self._directory, accepted.new_keys)
                log.info("a new set of command keys is in force")
            self._ledger.begin(
                sequence=envelope.sequence,
                issued_at=envelope.issued_at,
                command_id=envelope.command_id if envelope.action == "command" and not begun_before else "",
                receipt_key=accepted.arguments.receipt_key,
                now=self._clock.now(),
            )
        except keys.KeySetWrong:
            raise Refused("keys_wrong", envelope.session) from None
        except (keys.KeysUnusable, LedgerUnusable, OSError) as error:
            log.error("nothing is done: it could not be remembered reason=%s", error)  # noqa: TRY400
            raise Refused("not_ready", envelope.session) from None

    def _count(self, reason: RefusalReason) -> None:
        self._uncounted[reason] = self._uncounted.get(reason, 0) + 1
        if reason not in HARMLESS:
            self._refused_at.append(self._clock.mono())

    def _is_flooded(self) -> bool:
        now = self._clock.mono()
        while self._refused_at and now - self._refused_at[0] > 60:
            self._refused_at.popleft()
        return len(self._refused_at) >= _SIGNATURES_PER_MINUTE

    def _forget_old(self) -> None:
        now = self._clock.mono()
        for number in [one for one, asked in self._asked.items() if now - asked.made_at > CHALLENGE_LIFETIME_S]:
            del self._asked[number]
