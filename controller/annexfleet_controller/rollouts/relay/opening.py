"""How a session with a device's runner is opened: knock, challenge, leave of the signer, envelope; thinks only.

    knocking --challenge--> asking --leave--> (envelope sent)
       ^                                          |
       +---- pausing <---- busy, not ready <------+

A knock that may be lost is repeated when the line was away (ours, or the device's); each names a session of its own.
"""

import secrets
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from annexfleet_agent.protocol.envelope import SESSION_BYTES, Challenge, Knock, Refusal, pack
from annexfleet_agent.protocol.sealing import SessionKeys
from annexfleet_controller.rollouts.relay import words

CHALLENGE_WITHIN_S = 10.0
LEAVE_WITHIN_S = 20.0
BUSY_FOR_S = 600.0
"""A device that is busy for longer is not reached."""
_BUSY_AGAIN_S = (1.0, 10.0)
"""First and longest pause before a busy device is asked again."""
NOT_READY_FOR_S = 30.0
_AGAIN = frozenset({"stale_boot", "foreign_challenge", "expired", "replayed", "no_session"})
"""Refusals that a race may cause: a restart between challenge and envelope, another session at the same time, an
envelope that was lost."""
MOST_ATTEMPTS = 3


class Leave(Struct, frozen=True):
    """What the signer gave."""

    packet: bytes
    """ENVELOPE, to be sent as it is."""
    keys: SessionKeys


class NotSigned(Struct, frozen=True):
    """Why it gave none: in words, and the signer's code."""

    why: str
    reason: str = ""


State = Literal["knocking", "asking", "sent", "pausing", "failed"]


class Opening:
    """One way to one session."""

    def __init__(
        self, channel: str, *, send: Callable[[bytes], object], ask: Callable[[Challenge], object], now: float
    ) -> None:
        """`ask` brings the challenge to the signer; its answer comes back through `answered`."""
        self._channel = channel
        self._send = send
        self._ask = ask
        self.state: State = "knocking"
        self.why = ""
        """If it failed."""
        self.reason = ""
        """The runner's code, if it refused; `unanswered` if it said nothing."""
        self.challenge: Challenge | None = None
        self.leave: Leave | None = None
        self._sessions: set[str] = set()
        self._began_at = now
        self._since = now
        self._busy_since: float | None = None
        self._pause_s = _BUSY_AGAIN_S[0]
        self._attempts = 0
        self._knock(now)

    @property
    def session(self) -> str:
        """The name of the session for which leave was given; empty before."""
        return self.challenge.session if self.challenge is not None and self.leave is not None else ""

    def line_is_back(self, now: float) -> None:
        """A knock may have been lost."""
        if self.state == "knocking":
            self._send_knock()

    def hear_challenge(self, challenge: Challenge, now: float) -> None:
        if self.state != "knocking" or challenge.session not in self._sessions:
            return
        if challenge.busy:
            self._pause("busy", now)
            return
        self.challenge = challenge
        self._become("asking", now)
        self._ask(challenge)

    def answered(self, challenge: Challenge, answer: Leave | NotSigned, now: float) -> None:
        """The signer's answer.  Leave makes the envelope go out."""
        if self.state != "asking" or challenge != self.challenge:
            return
        if isinstance(answer, NotSigned):
            self.reason = answer.reason
            self._fail(answer.why)
            return
        self.leave = answer
        self._become("sent", now)
        self._send(answer.packet)

    def hear_refusal(self, refusal: Refusal, now: float) -> None:
        if self.state not in ("knocking", "sent") or refusal.session not in self._sessions:
            return
        self.reason = refusal.reason
        if refusal.reason in ("busy", "not_ready"):
            self._pause(refusal.reason, now)
        elif refusal.reason in _AGAIN and self._attempts < MOST_ATTEMPTS:
            self._knock(now)
        else:
            self._fail(words.refused(refusal.reason))

    def unconfirmed(self, now: float) -> None:
        """The envelope was sent and the runner says nothing."""
        if self._attempts < MOST_ATTEMPTS:
            self._knock(now)
        else:
            self.reason = "unanswered"
            self._fail(words.NOT_OPENED)

    def tick(self, now: float) -> None:
        if self.state == "knocking" and now - self._since >= CHALLENGE_WITHIN_S:
            self.reason = "unanswered"
            self._fail(words.NO_CHALLENGE.format(seconds=CHALLENGE_WITHIN_S))
        elif self.state == "asking" and now - self._since >= LEAVE_WITHIN_S:
            self.reason = "signer_away"
            self._fail(words.SIGNER_AWAY)
        elif self.state == "pausing" and now - self._since >= self._pause_s:
            self._pause_s = min(2 * self._pause_s, _BUSY_AGAIN_S[1])
            self._attempts = 0
            self._knock(now)

    # -- within

    def _knock(self, now: float) -> None:
        self._attempts += 1
        self._sessions = set()
        self.challenge = self.leave = None
        self._become("knocking", now)
        self._send_knock()

    def _send_knock(self) -> None:
        session = secrets.token_hex(SESSION_BYTES)
        self._sessions.add(session)
        self._send(pack(Knock(session=session, channel=self._channel)))

    def _pause(self, reason: str, now: float) -> None:
        self.reason = reason
        since = self._busy_since = self._busy_since if self._busy_since is not None else now
        most_s = BUSY_FOR_S if reason == "busy" else NOT_READY_FOR_S
        if now - since >= most_s:
            self._fail(words.BUSY.format(seconds=now - since) if reason == "busy" else words.refused(reason))
        else:
            self._become("pausing", now)

    def _become(self, state: State, now: float) -> None:
        self.state = state
        self._since = now

    def _fail(self, why: str) -> None:
        self.state = "failed"
        self.why = why
