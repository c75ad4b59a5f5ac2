"""One session with one device's runner, and one errand after another in it; thinks only.

It is opened when there is something to do, and confirmed by the runner before anything is asked: so no request goes to
one that may not have heard the envelope, and none is ever repeated, but for a module of which the device says that it
does not know what to run.  It is kept while the run lasts, and opened anew when the device was restarted or its runner
ended.

Told everything: packets, the signer's answers, what is known of the device's connection, and the time (monotonic).
"""

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from annexfleet_agent.protocol.channel import WITH_DATA, Channel, ChannelBroken, Part, session_of
from annexfleet_agent.protocol.envelope import ACK, CHALLENGE, FRAME, REFUSAL, Challenge, Malformed, Refusal, unpack
from annexfleet_agent.protocol.requests import RequestTooBig
from annexfleet_agent.protocol.sealing import Seal
from annexfleet_controller.rollouts.relay import words
from annexfleet_controller.rollouts.relay.errand import Errand
from annexfleet_controller.rollouts.relay.opening import Leave, NotSigned, Opening

CONFIRM_WITHIN_S = 10.0
PING_AFTER_S = 15.0
"""Of silence in mid-task."""
SILENT_FOR_S = 60.0
"""Then the line counts as cut."""
KEEP_EVERY_S = 50.0
"""Between tasks: a runner closes a session of which it heard nothing for 180 s."""
STALE_AFTER_S = 20.0
"""Who was silent for longer is asked whether it is there before it is asked to do anything."""
ANSWER_WITHIN_S = 8.0
BACK_WITHIN_S = 20.0
"""A device that goes between two tasks, as when its agent is restarted, is waited for; who was away before is not."""
CANCEL_WITHIN_S = 5.0
"""For the runner to say that what ran is ended."""


class Ways(Struct, frozen=True):
    """What a session does to the world."""

    send: Callable[[bytes], object]
    """A packet to the device."""
    ask: Callable[[Challenge], object]
    """The challenge to the signer."""
    may_send: Callable[[], bool] = lambda: True
    """Whether the connection to the broker takes more now."""
    refused: Callable[[str], object] = lambda _reason: None
    """Counts a refusal."""


class Session:
    """Belongs to one thread."""

    def __init__(self, device_id: str, channel: str, ways: Ways, *, is_command: bool = False) -> None:
        """`channel` names the topic on which the relay hears.  A command has no request: its envelope is what asks."""
        self.device_id = device_id
        self.is_away = False
        """The device said goodbye, or the broker did so for it."""
        self._away_since = 0.0
        self._name = channel
        self._ways = ways
        self._is_command = is_command
        self._opening: Opening | None = None
        self._channel: Channel | None = None
        self._session = ""
        self._boot_id = ""
        self._confirmed = False
        self._asked_at: float | None = None
        """When an answer began to be awaited: to the first ping, or to one before a task."""
        self._pinged_at = 0.0
        self._waiting: deque[Errand] = deque()
        self._active: Errand | None = None
        self._cancelled_at: float | None = None
        self._numbers = 0
        self.reason = ""
        """Why it could not be opened: the code of the runner or the signer, `offline` or `unanswered`."""
        self.was_sent = False
        """Whether an envelope went out that was not refused: then a command may have been begun."""

    # -- for who asks

    @property
    def is_idle(self) -> bool:
        return self._active is None and not self._waiting

    @property
    def is_open(self) -> bool:
        return self._channel is not None and self._confirmed

    def add(self, errand: Errand, now: float) -> None:
        """Do this after what waits before it."""
        if self._is_lost_sight_of(now):
            self.reason = "offline"
            errand.unreachable(words.OFFLINE)
            return
        self._waiting.append(errand)
        self.go_on(now)

    def cancel(self, errand: Errand, now: float) -> None:
        """Nobody wants this any more: what runs of it is ended on the device."""
        if errand in self._waiting:
            self._waiting.remove(errand)
            errand.unreachable(words.CANCELLED)
        elif errand is self._active and self._cancelled_at is None and self._channel is not None:
            self._cancelled_at = now
            self._put(Part("cancel", errand.number), now)

    def end(self, why: str, now: float) -> None:
        """No more errands; cancels what runs.  It is over when `is_idle`; then say `close`."""
        while self._waiting:
            self._waiting.popleft().unreachable(why)
        self._opening = None
        if self._active is not None:
            self._active.cancelled_because = why
            self.cancel(self._active, now)

    def close(self, now: float, *, says_so: bool = True) -> None:
        """Tell the runner that nothing more comes, which ends what runs; unless `says_so`, let it finish."""
        if self._channel is not None and says_so:
            self._put(Part("bye", 0), now)
        self._drop()

    # -- what happens

    def hear(self, packet: bytes, now: float) -> None:
        """A packet from this device; one of another session is ignored."""
        kind = packet[:1]
        if kind in (FRAME, ACK):
            self._hear_channel(packet, now)
        elif kind in (CHALLENGE, REFUSAL):
            try:
                body = unpack(packet)
            except Malformed:
                return
            if isinstance(body, Challenge) and self._opening is not None:
                self._opening.hear_challenge(body, now)
            elif isinstance(body, Refusal) and body.reason.isprintable():  # it goes into logs, and into the database
                self._hear_refusal(body, now)
        self.go_on(now)

    def answered(self, challenge: Challenge, answer: Leave | NotSigned, now: float) -> None:
        """The signer's answer."""
        if self._opening is None:
            return
        self._opening.answered(challenge, answer, now)
        if self._opening.state == "sent" and self._channel is None:
            self._begin_channel(self._opening, now)
        self.go_on(now)

    def said_hello(self, boot_id: str, now: float) -> None:
        """The device is there (again)."""
        self.is_away = False
        if self._channel is not None and boot_id != self._boot_id:
            self._lose(words.RESTARTED)
        self.line_is_back(now)

    def line_is_back(self, now: float) -> None:
        if self._channel is not None:
            self._channel.resume(now)
        if self._opening is not None:
            self._opening.line_is_back(now)
        self.go_on(now)

    def said_goodbye(self, now: float) -> None:
        """The device is away.  In a session that may be a short cut; before one there is nothing to wait for."""
        self.see(False, now)
        self._give_up_waiting(now)

    def see(self, is_there: bool, now: float) -> None:
        """What is known of the device's connection, where it said nothing itself."""
        if not is_there and not self.is_away:
            self._away_since = now
        self.is_away = not is_there

    def tick(self, now: float) -> None:
        """About twice a second."""
        self._give_up_waiting(now)
        if self._opening is not None:
            self._opening.tick(now)
        if self._channel is not None:
            self._channel.tick(now)
            self._watch(self._channel, now)
        self.go_on(now)

    # -- within

    def _hear_channel(self, packet: bytes, now: float) -> None:
        channel = self._channel
        if channel is None or session_of(packet) != self._session:
            return
        try:
            part = channel.hear(packet, now)
            self._confirmed, self._opening, self._asked_at = True, None, None
            if part is not None:
                self._hear_part(channel, part, now)
        except ChannelBroken:
            self._ways.refused("broken")
            self._lose(words.BROKEN)
        except Malformed:
            self._ways.refused("nonsense")
            self._lose(words.NONSENSE)

    def _hear_part(self, channel: Channel, part: Part, now: float) -> None:
        errand = self._active
        if part.kind == "bye":
            self._lose(words.RUNNER_GONE)
        elif errand is not None and (part.request == errand.number or self._is_command):
            errand.hear(part, channel.consumed)
            if errand.is_to_begin_again:
                self._begin_again(errand, now)
            elif errand.is_over:
                self._active, self._cancelled_at = None, None
        elif part.kind in WITH_DATA:
            channel.consumed()

    def _hear_refusal(self, refusal: Refusal, now: float) -> None:
        if self._opening is not None:
            if refusal.session == self._session:
                self._ways.refused(refusal.reason)
                self.was_sent = False
                self._take_back()
            self._opening.hear_refusal(refusal, now)
        elif self._channel is not None and refusal.session == self._session:
            self._lose(words.RUNNER_GONE)  # it does not know the session any more

    def _begin_channel(self, opening: Opening, now: float) -> None:
        assert opening.leave is not None
        assert opening.challenge is not None
        self._session, self._boot_id = opening.session, opening.challenge.boot_id
        self.was_sent = True
        keys = opening.leave.keys
        self._channel = Channel(self._session, out=Seal(keys.down), in_=Seal(keys.up), send=self._ways.send, now=now)
        self._confirmed, self._asked_at, self._pinged_at = False, now, now
        if self._is_command and self._waiting:
            self._begin(self._waiting.popleft(), now)
        self._put(Part("ping", 0), now)

    def go_on(self, now: float) -> None:
        """Begin and send what can be begun and sent now: there is room, or there is input."""
        if self._opening is not None and self._opening.state == "failed":
            why, self.reason, self._opening = self._opening.why, self._opening.reason, None
            self._drop_channel()
            self._fail_waiting(why)
        if self._waiting and self._active is None and not self.is_away:
            if self._channel is None:
                if self._opening is None:
                    self._opening = Opening(self._name, send=self._ways.send, ask=self._ways.ask, now=now)
            elif self._confirmed and self._asked_at is None:
                if now - self._channel.heard_at > STALE_AFTER_S:
                    self._asked_at = now
                    self._put(Part("ping", 0), now)
                else:
                    self._begin(self._waiting.popleft(), now)
        self._send_input(now)

    def _begin(self, errand: Errand, now: float) -> None:
        self._numbers += 1
        try:
            parts = errand.begin(self._numbers)
        except RequestTooBig:
            errand.unreachable(words.TOO_BIG)
            self.go_on(now)
            return
        self._active, self._cancelled_at = errand, None
        for part in parts:
            self._put(part, now)

    def _begin_again(self, errand: Errand, now: float) -> None:
        """Before all that waits; unless nobody wants it any more, for then it is ended as it is: nothing was done."""
        is_cancelled = self._cancelled_at is not None
        self._active, self._cancelled_at = None, None
        if is_cancelled:
            errand.unreachable(errand.cancelled_because or words.CANCELLED)
        else:
            self._begin(errand, now)

    def _send_input(self, now: float) -> None:
        while (
            self._active is not None
            and self._channel is not None
            and self._cancelled_at is None
            and self._channel.may_put
            and self._ways.may_send()
            and (part := self._active.next_input()) is not None
        ):
            self._put(part, now)

    def _watch(self, channel: Channel, now: float) -> None:
        silent_s = now - channel.heard_at
        asked_s = 0.0 if self._asked_at is None else now - self._asked_at
        if not self._confirmed:
            if asked_s >= CONFIRM_WITHIN_S and self._opening is not None:
                self._take_back()
                self._opening.unconfirmed(now)
        elif self._active is not None:
            if self._cancelled_at is not None and now - self._cancelled_at >= CANCEL_WITHIN_S:
                self._put(Part("bye", 0), now)
                self._lose(self._active.cancelled_because or words.CANCELLED)
            elif silent_s >= SILENT_FOR_S:
                self._lose(words.CUT.format(seconds=silent_s))
            elif silent_s >= PING_AFTER_S:
                self._ping_each(PING_AFTER_S, now)
        elif asked_s >= ANSWER_WITHIN_S:
            self._drop()  # it had nothing to do: what waits opens another one
        elif silent_s >= KEEP_EVERY_S and not self.is_away:
            self._ping_each(KEEP_EVERY_S, now)

    def _ping_each(self, every_s: float, now: float) -> None:
        if now - self._pinged_at >= every_s:
            self._pinged_at = now
            self._put(Part("ping", 0), now)

    def _put(self, part: Part, now: float) -> None:
        assert self._channel is not None
        try:
            self._channel.put(part, now)
        except ChannelBroken:  # far too much that was never acknowledged
            self._lose(words.CUT.format(seconds=now - self._channel.heard_at))

    def _lose(self, why: str) -> None:
        """The session is over, and what was done of the task is not known.  The runner is not told: it may finish."""
        errand, self._active = self._active, None
        self._drop()
        if errand is not None:
            errand.unreachable(why)

    def _drop(self) -> None:
        self._drop_channel()
        self._opening = None

    def _drop_channel(self) -> None:
        self._channel, self._session, self._confirmed = None, "", False
        self._asked_at, self._cancelled_at = None, None

    def _take_back(self) -> None:
        """The session did not come about.  Only a command can have been begun in it, and it may be sent again."""
        if self._active is not None:
            self._waiting.appendleft(self._active)
            self._active = None
        self._drop_channel()

    def _is_lost_sight_of(self, now: float) -> bool:
        may_be_back = self.is_open and now - self._away_since < BACK_WITHIN_S
        return self.is_away and self._active is None and not may_be_back

    def _give_up_waiting(self, now: float) -> None:
        if self._waiting and self._is_lost_sight_of(now):
            self.reason = "offline"
            self._fail_waiting(words.OFFLINE)

    def _fail_waiting(self, why: str) -> None:
        self._opening = None
        while self._waiting:
            self._waiting.popleft().unreachable(why)
