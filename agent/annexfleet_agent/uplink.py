"""Keeps a session with the broker, drains the outbox through it, and hears what comes down.

An item is gone from the outbox only when the controller's acknowledgement covers it.  What a broker says it took
proves nothing.  Nothing goes before the controller has acknowledged the hello: only that tells whether our numbers are
new to it.  What stays unacknowledged too long is asked about (a new hello) and sent again.  The order is the drain's.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, get_args

from annexfleet_agent import session, trouble
from annexfleet_agent.chance import Chance, SystemChance, new_id
from annexfleet_agent.drain import Drain
from annexfleet_agent.identity import Identity
from annexfleet_agent.link_status import Status
from annexfleet_agent.loop import Loop, Outcome, Timer
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import Pending
from annexfleet_agent.protocol import messages, topics, wire

if TYPE_CHECKING:
    from paho.mqtt.client import Client

log = logging.getLogger(__name__)

RETRY_WINDOWS_S = (60.0, 120.0, 180.0)
"""The wait before each attempt is drawn evenly from 0 to the next of these; the last one stays.  The full width is used
every time, so that devices which lost one broker together never come back together."""
_REFUSED_WINDOW_S = 600.0
_FIRST_WINDOW_S = 2.0
_STEADY_AFTER_S = 60.0
"""A connection that lasted this long was a good one: the next loss begins with the first window."""
_DIAL_DEADLINE_S = 40.0
_OPEN_DEADLINE_S = 30.0
_IN_FLIGHT = 16
"""Publications without the broker's answer; mosquitto takes 20."""
_ANSWER_S = 60.0
"""A broker that does not answer a publication in this time is dead."""
_AFTER_NUDGE_S = 15.0
_HELLO_AGAIN_S = 60.0
"""A hello was heard and not acknowledged: the controller may have been busy with its database."""
_NOBODY_WINDOW_S = (10.0, 60.0)
"""No controller is there: the next hello is sent somewhere in this time."""
_KIND_OF: dict[str, topics.Down] = {kind: kind for kind in get_args(topics.Down)}


class Uplink:
    """One device's way to its controller."""

    def __init__(
        self,
        loop: Loop,
        outbox: Outbox,
        identity: Callable[[], Identity],
        *,
        device_id: str,
        hello: Callable[[str], messages.Hello],
        on_config: Callable[[messages.Config], object],
        on_command: Callable[[messages.Command], object],
        on_ready: Callable[[], object],
        keepalive_s: int = 110,
        retry_windows_s: Sequence[float] = RETRY_WINDOWS_S,
        rng: Chance | None = None,
        on_status: Callable[[], object] = lambda: None,
    ) -> None:
        """`identity` is asked (in the worker) at each attempt, so that a renewed certificate is used.

        `hello` makes the greeting of a session id.  `on_ready` is called when a controller hears us, before the
        backlog goes: what is put into the outbox then goes first.
        """
        self.status = Status()
        self._loop = loop
        self._outbox = outbox
        self._identity = identity
        self._device_id = device_id
        self._hello = hello
        self._on_config = on_config
        self._on_command = on_command
        self._on_ready = on_ready
        self._on_status = on_status
        self.on_run: Callable[[bytes], object] = lambda _packet: None
        """Takes packets that are meant for a runner; this and the next two are for the agent to set."""
        self.on_line: Callable[[bool], object] = lambda _up: None
        """Hears when the connection came (true) or went."""
        self.on_room: Callable[[], None] = lambda: None
        """Hears when `has_room` holds again."""
        self._keepalive_s = keepalive_s
        self._windows_s = tuple(retry_windows_s)
        self._rng: Chance = rng or SystemChance()
        self._session: session.Session | None = None
        self._session_id = ""
        self._running = False
        self._retry: Timer | None = None
        self._opening: Timer | None = None
        self._checking: Timer | None = None
        self._greeting: Timer | None = None
        self._heed_dates = True
        self._use_previous = False
        self._opened_at = 0.0
        self._ready = False
        self._greeted_at = 0.0
        self._mids: dict[int, tuple[int, float]] = {}
        """Publications that the broker has not answered: their item (0: a hello) and since when."""
        self._drain = Drain(outbox, loop.clock)
        self._nudged = False

    # -- for the agent

    def start(self) -> None:
        self._running = True
        self._retry = self._loop.after(self._rng.uniform(0, min(_FIRST_WINDOW_S, self._windows_s[0])), self._connect)

    def stop(self) -> None:
        """Say goodbye and end."""
        self._running = False
        for timer in (self._retry, self._opening, self._checking, self._greeting):
            if timer is not None:
                timer.cancel()
        if self._session is not None:
            goodbye = messages.Gone(session_id=self._session_id, reason="stopped")
            self._session.publish("gone", wire.encode(goodbye), qos=0)
            self._session.close()
            self._session = None
        self._set_state("offline")

    @property
    def ready(self) -> bool:
        """Whether a controller hears us, as far as one can know."""
        return self._ready

    def pump(self, *newest: int) -> None:
        """Something was put into the outbox; these numbers go before what waits longer."""
        if self._drain.began_anew():  # its file was damaged
            self._greet_anew()
        if self._ready:
            self._drain.prefer(*newest)
            self._send_what_may_go()

    def greet(self) -> None:
        """Send a hello, which the controller answers with an acknowledgement at once."""
        if self._session is None:
            return
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None
        hello = self._hello(self._session_id)
        mid = self._session.publish("hello", wire.encode(hello), qos=1)
        if mid is not None:
            self._mids[mid] = (0, self._now())
            self._greeted_at = self._now()
            self._drain.told(hello)

    def live(self, sample: messages.Live) -> None:
        """Send a sample of a watched device; nobody minds if it is lost."""
        if self._session is not None and self._ready:
            self._session.publish("live", wire.encode(sample), qos=0)

    def publish_run(self, channel: str, packet: bytes) -> None:
        """Send a packet of the runner's, if the line is up."""
        if self._session is not None:
            self._session.publish_run(channel, packet)

    @property
    def has_room(self) -> bool:
        """Whether the line takes more packets at once."""
        return self._session is None or self._session.has_room

    def cut(self, why: str) -> None:
        """Drop the connection without a goodbye, as a cut line does; the simulator's way to cut one."""
        self._break_off(why)

    # -- connecting

    def _connect(self) -> None:
        if not self._running:
            return
        self.status.attempts += 1
        self._set_state("connecting")
        self._session_id = session_id = new_id(6)
        heed_dates, use_previous = self._heed_dates, self._use_previous

        def dial() -> "Client":
            identity = self._identity()
            pair = identity.previous if use_previous and identity.previous is not None else identity.pair
            context = session.tls_context(pair.authority, pair.certificate, pair.key, heed_dates=heed_dates)
            return session.dial(identity, context, keepalive_s=self._keepalive_s, session_id=session_id)

        self._loop.in_worker(
            dial,
            self._dialled,
            deadline_s=_DIAL_DEADLINE_S,
            late=lambda outcome: None if outcome.error else session.hang_up(outcome.value),
        )

    def _dialled(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._failed_to_dial(outcome.error)
            return
        client = outcome.value
        if not self._running:
            session.hang_up(client)
            return
        self._session = session.Session(
            self._loop, client, self, device_id=self._device_id, keepalive_s=self._keepalive_s
        )
        self._opening = self._loop.after(
            _OPEN_DEADLINE_S, lambda: self._break_off("the broker took the call and is silent")
        )

    def _failed_to_dial(self, error: BaseException) -> None:
        if trouble.is_about_dates(error) and self._heed_dates:
            self._note(
                "the controller's certificate is not valid by this device's clock "
                f"({time.strftime('%Y-%m-%d %H:%M', time.gmtime(self._loop.clock.now()))} UTC): check the clock; "
                "going on with dates ignored, name and authority are still verified"
            )
            self._heed_dates = False
            self._connect()
            return
        self._heed_dates = True
        self._lost(trouble.explain(error), refused=trouble.is_refusal(error))

    def _break_off(self, why: str) -> None:
        if self._session is not None:
            self._session.break_off(why)

    def _lost(self, why: str, *, refused: bool) -> None:
        self._session = None
        self.on_line(False)
        self._ready = False
        self._mids.clear()
        self._drain.begin()
        for timer in (self._opening, self._checking, self._greeting):
            if timer is not None:
                timer.cancel()
        self._note(why)
        self._set_state("offline")
        if not self._running:
            return
        if refused:
            self._use_previous = not self._use_previous  # the pair before a renewal may still be good
        if self._opened_at and self._now() - self._opened_at >= _STEADY_AFTER_S:
            self.status.attempts = 0
        self._opened_at = 0.0
        number = min(max(0, self.status.attempts - 1), len(self._windows_s) - 1)
        window_s = self._windows_s[number]
        if refused and self.status.attempts > 1:
            window_s = max(window_s, min(_REFUSED_WINDOW_S, window_s * 10))
        delay_s = self._rng.uniform(0, window_s)
        log.info("next attempt to connect in_s=%.0f", delay_s)
        self._retry = self._loop.after(delay_s, self._connect)

    # -- what the session says

    def on_open(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self._opened_at = self._now()
        self.status.connected_since = self._loop.clock.now()
        log.info("connected device=%s", self._device_id)
        self._set_state("connected")
        self.on_line(True)
        self._checking = self._loop.after(_AFTER_NUDGE_S, self._check)
        self.greet()

    def on_closed(self, reason: str, *, refused: bool) -> None:
        self._lost(trouble.plain(reason), refused=refused)

    def on_delivered(self, mid: int, reason: int) -> None:
        seq, _since = self._mids.pop(mid, (None, 0.0))
        if seq is None:
            return
        if reason == session.NO_SUBSCRIBER:
            self._nobody_listens()
        elif reason >= 0x80:
            self._note(f"the broker refused a message: reason 0x{reason:02x}")
            if seq == 0:
                self._nobody_listens()
        elif seq == 0:
            self._set_state("connected")
        self._send_what_may_go()

    def on_message(self, topic: str, payload: bytes) -> None:
        kind = _KIND_OF.get(topic.removeprefix(topics.every_down(self._device_id)[:-1]))
        if kind is None:
            log.warning("a message on a foreign topic is ignored topic=%s", topic[:100])
            return
        if kind == "run":
            self.on_run(payload)
            return
        try:
            message = wire.decode_down(kind, payload)
        except wire.Malformed as error:
            log.warning("a message from above is ignored kind=%s reason=%s", kind, error)
            return
        if isinstance(message, messages.Ack):
            self._acked(message)
        elif isinstance(message, messages.Config):
            self._on_config(message)
        else:
            self._on_command(message)

    def _nobody_listens(self) -> None:
        """The broker has nobody to give our messages to: the controller is away.  Ask again now and then."""
        self._ready = False
        self._drain.begin()
        self._set_state("nobody_listens")
        if not self._asks_later:
            self._greeting = self._loop.after(self._rng.uniform(*_NOBODY_WINDOW_S), self.greet)

    @property
    def _asks_later(self) -> bool:
        return self._greeting is not None and self._greeting.waiting

    # -- draining

    def _send_what_may_go(self) -> None:
        while self._ready and self._session is not None and len(self._mids) < _IN_FLIGHT:
            item = self._drain.next()
            if item is None:
                return
            if not self._send(item):
                return

    def _send(self, item: Pending) -> bool:
        """Whether the next one may go: not while the line is lost and only the news of it is still under way."""
        payload = item.payload()
        if not item.fits or len(payload) > wire.MAX_PAYLOAD_BYTES:
            log.error("an item is too big to be sent and is given up seq=%s kind=%s", item.seq, item.kind)
            self._drain.sent(item)  # or it would be next for ever on a disk that is too full to give it up
            self._outbox.give_up(item.seq, self._loop.clock.now())
            return True
        assert self._session is not None
        mid = self._session.publish(item.kind, payload, qos=1)  # type: ignore[arg-type]
        if mid is None:
            return False
        self._mids[mid] = (item.seq, self._now())
        self._drain.sent(item)
        return True

    def _acked(self, ack: messages.Ack) -> None:
        became = self._drain.acked(ack)
        if became == "foreign":
            log.info("an acknowledgement of another installation is ignored install=%s", ack.install_id)
            return
        self.status.last_ack_at = self._loop.clock.now()
        self.status.acked_upto = ack.upto
        if became == "began_anew":
            self._greet_anew()
        elif not self._ready and self._session is not None and not self._asks_later:
            self._ready = True
            self._set_state("connected")
            self._on_ready()
        self._send_what_may_go()
        self._on_status()

    def _greet_anew(self) -> None:
        """The controller has to hear of a new installation before it takes anything."""
        self._ready = False
        self.greet()

    # -- time passes

    def _check(self) -> None:
        """Every 15 s: is the broker dead, is something unacknowledged for too long?"""
        self._checking = self._loop.after(_AFTER_NUDGE_S, self._check)
        if any(self._now() - since > _ANSWER_S for _seq, since in self._mids.values()):
            self._break_off("the broker does not answer any more")
            return
        if not self._ready and not self._asks_later and self._now() - self._greeted_at > _HELLO_AGAIN_S:
            self.greet()
        if not self._ready or not self._drain.is_overdue():
            self._nudged = False
        elif not self._nudged:
            self._nudged = True
            self.greet()
        else:
            self._nudged = False
            self._drain.again()
            self._send_what_may_go()

    def _now(self) -> float:
        return self._loop.clock.mono()

    def _set_state(self, state: str) -> None:
        if state == "offline":
            self.status.connected_since = None
        if state != self.status.state:
            self.status.state = state
            self._on_status()

    def _note(self, problem: str) -> None:
        if problem != self.status.problem:
            log.warning("%s", problem)
        self.status.problem = problem
        self.status.problem_at = self._loop.clock.now()
