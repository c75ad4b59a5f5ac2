"""Which item goes next, and which has to go again.  It only thinks: the uplink sends and listens.

Gaps go first: until the controller has them its mark cannot pass what they tell, and nothing would be acknowledged.
Then the newest state, then what is put in meanwhile, then the backlog from the oldest on with a bounded number of items
that the controller has not acknowledged.
"""

import logging
from collections import deque
from typing import Literal, NamedTuple

from msgspec import Struct

from annexfleet_agent.clock import Clock
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import Pending
from annexfleet_agent.protocol import messages

log = logging.getLogger(__name__)

CREDIT = 128
"""Items of the backlog that may wait for the controller's acknowledgement."""
PATIENCE_S = 60.0
PATIENCE_WITH_BEATS_S = 1200.0
"""In steady state the controller acknowledges beats every 15 minutes only."""
STUCK_SENDS = 5
STUCK_S = 600.0


class _Sent(NamedTuple):
    at: float
    """By the clock that never steps."""
    kind: str
    by_credit: bool


class _First(Struct):
    """The oldest item, which the controller's mark does not pass."""

    seq: int
    since: float
    sends: int = 1
    answered: int = 0
    """Of these, how many were followed by an acknowledgement that did not cover it."""


class Drain:
    """What was sent of an outbox in this connection and what was not.

    It lives as long as the process: it knows, too, up to where a controller can have heard of this outbox.
    """

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._install_id = outbox.install_id
        self._tellable = outbox.next_seq - 1
        """No acknowledgement can be above this, unless the outbox was put back from an older copy."""
        self._sent: dict[int, _Sent] = {}
        self._first_of_all: deque[int] = deque()
        self._cursor = 0
        self._offered = 0
        """The item of the backlog that `next` gave last."""
        self._credit_used = 0
        self._impatience = 1
        self._first: _First | None = None

    def begin(self) -> None:
        """Nothing counts as sent: another connection, or nobody was there to hear it."""
        self._sent.clear()
        self._first_of_all.clear()
        self._cursor = self._offered = self._credit_used = 0

    def prefer(self, *seqs: int) -> None:
        """These go before what waits longer."""
        self._first_of_all.extend(seqs)

    def began_anew(self) -> bool:
        """Whether the outbox has begun a new installation since this was asked; then nothing counts as sent."""
        if self._outbox.install_id == self._install_id:
            return False
        self._install_id = self._outbox.install_id
        self._tellable = 0
        self._first = None
        self.begin()
        return True

    def told(self, hello: messages.Hello) -> None:
        """The controller counts as had what is below the oldest item."""
        self._tellable = max(self._tellable, hello.oldest_seq - 1)

    def next(self) -> Pending | None:
        """The item to be sent now; None if there is none, or no credit.  The same again until it is sent."""
        for seq in self._outbox.gaps:
            gap = None if seq in self._sent else self._outbox.get(seq)
            if gap is not None:
                return gap
        while self._first_of_all:
            seq = self._first_of_all[0]
            item = None if seq in self._sent else self._outbox.get(seq)
            if item is not None:
                return item
            self._first_of_all.popleft()
        while self._credit_used < CREDIT:
            found = self._outbox.first(1, after=self._cursor)
            if not found:
                return None
            self._offered = found[0].seq
            if self._offered not in self._sent:
                return found[0]
            self._cursor = self._offered
        return None

    def sent(self, item: Pending) -> None:
        by_credit = item.seq == self._offered
        if by_credit:
            self._cursor = item.seq
            self._credit_used += 1
        self._sent[item.seq] = _Sent(self._clock.mono(), item.kind, by_credit)
        self._tellable = max(self._tellable, item.seq)
        if self._first is not None and self._first.seq == item.seq:
            self._first.sends += 1

    def acked(self, ack: messages.Ack) -> Literal["taken", "foreign", "began_anew"]:
        """Let go of what the controller has.

        `began_anew`: it knows of numbers that this process never told, so the outbox (or the whole machine) was put
        back from an older copy and what is new bears numbers that were used before.  A new installation has begun.
        """
        if ack.install_id and ack.install_id != self._outbox.install_id:
            return "foreign"
        if ack.upto > self._tellable:
            log.error("the controller knows items that were never sent, a new installation begins upto=%s", ack.upto)
            self._outbox.begin_anew()
        elif self._outbox.ack(ack.upto, ack.install_id):
            self._impatience = 1
        if self.began_anew():
            return "began_anew"
        for seq in [seq for seq in self._sent if seq <= ack.upto]:
            self._credit_used -= self._sent.pop(seq).by_credit
        self._judge_first()
        return "taken"

    def is_overdue(self) -> bool:
        """Whether something has waited too long for its acknowledgement."""
        now = self._clock.mono()
        return any(now - sent.at > self._patience_s(sent) for sent in self._sent.values())

    def again(self) -> None:
        """Send everything again that is not acknowledged, and be more patient with it."""
        log.info("items are sent again count=%s", len(self._sent))
        self._impatience *= 2
        self.begin()

    def _patience_s(self, sent: _Sent) -> float:
        quiet = sent.kind == "beat" and self._credit_used < CREDIT
        return min(PATIENCE_WITH_BEATS_S, PATIENCE_S * self._impatience) if not quiet else PATIENCE_WITH_BEATS_S

    def _judge_first(self) -> None:
        """Give up the oldest item if the controller's mark will never pass it; a Gap takes its place.

        Only answers count: a controller that cannot write does not answer, and then everything waits.
        """
        found = self._outbox.first(1)
        if not found:
            self._first = None
            return
        seq, kind = found[0].seq, found[0].kind
        sent = self._sent.get(seq)
        if self._first is not None and self._first.seq != seq:
            self._first = None
        if sent is None or not self._gaps_were_heard():
            return
        if self._first is None:
            self._first = _First(seq=seq, since=sent.at)
        if self._clock.mono() - sent.at > 1:
            self._first.answered = self._first.sends
        if self._first.answered >= STUCK_SENDS and self._clock.mono() - self._first.since >= STUCK_S:
            log.error("the controller cannot take an item, it is given up seq=%s kind=%s", seq, kind)
            self._outbox.give_up(seq, self._clock.now())
            self._first = None

    def _gaps_were_heard(self) -> bool:
        """Whether all Gaps went long enough ago to be answered: what one of them tells may be what holds the mark."""
        gone = [self._sent.get(seq) for seq in self._outbox.gaps]
        return all(sent is not None and self._clock.mono() - sent.at > 1 for sent in gone)
