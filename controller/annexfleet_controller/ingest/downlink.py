"""What devices are told: that their items are committed, which settings are meant for them, and to be watched.

All of it goes out at QoS 0 and may be lost: an acknowledgement is repeated when the device repeats its item, settings
come again at the next hello, and an order to watch is renewed while somebody looks.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.messages import Ack, Command, Config
from annexfleet_controller.clock import Clock
from annexfleet_controller.ingest.acks import Acks, Said
from annexfleet_controller.ingest.settle import Settled
from annexfleet_controller.store import configs, watches
from annexfleet_controller.store.database import reading, writing

log = logging.getLogger(__name__)

LONGEST_WATCH_S = 900.0
WATCHES_EVERY_S = 0.25
CONFIGS_EVERY_S = 2.0
_OVERLAP = timedelta(seconds=30)
"""How long a change of settings may take to be committed, and still be seen here."""

Publish = Callable[[str, bytes], None]


class Downlink:
    """Speaks to devices.  Belongs to one thread."""

    def __init__(self, engine: Engine, publish: Publish, clock: Clock) -> None:
        self._engine = engine
        self._publish = publish
        self._clock = clock
        self._acks = Acks()
        self._watches_at = self._configs_at = 0.0
        self._told: dict[str, int] = {}
        """Version of the settings that a device was last sent while it was connected."""

    def after(self, settled: Settled) -> None:
        """Say what follows from a batch; it must be committed."""
        self._send_acks(self._acks.note(settled.due, self._clock.mono()))
        if settled.hellos:
            self._guarded(lambda: self._greet(set(settled.hellos)))

    def tick(self) -> None:
        """What is due by time; call it often, it looks itself whether there is anything to do."""
        now = self._clock.mono()
        self._send_acks(self._acks.overdue(now))
        if now - self._watches_at >= WATCHES_EVERY_S:
            self._watches_at = now
            self._guarded(self._send_watches)
        if now - self._configs_at >= CONFIGS_EVERY_S:
            self._configs_at = now
            self._guarded(self._send_changed_configs)

    def _send_acks(self, said: Iterable[Said]) -> None:
        for device_id, install_id, upto in said:
            payload = wire.encode(Ack(upto=upto, install_id=install_id))
            self._publish(topics.down(device_id, "ack"), payload)

    def _greet(self, device_ids: set[str]) -> None:
        """A device said hello: it may lack settings, and it forgot that it was watched."""
        with reading(self._engine) as db:
            wished = configs.not_in_force(db, device_ids=device_ids)
            watched = watches.watched(db, device_ids, now=self._clock.now())
        self._send_configs(wished)
        if watched:
            with writing(self._engine) as db:
                watches.order_again(db, watched)

    def _send_changed_configs(self) -> None:
        with reading(self._engine) as db:
            changed = configs.not_in_force(db, since=self._clock.now() - _OVERLAP)
        self._send_configs([wish for wish in changed if self._told.get(wish.device_id) != wish.version])
        self._told = {wish.device_id: wish.version for wish in changed}

    def _send_configs(self, wished: Iterable[configs.Desired]) -> None:
        for wish in wished:
            payload = wire.encode(Config(version=wish.version, settings=wish.settings))
            self._publish(topics.down(wish.device_id, "config"), payload)

    def _send_watches(self) -> None:
        now = self._clock.now()
        with reading(self._engine) as db:
            if not watches.any_due(db, now=now):
                return
        with writing(self._engine) as db:
            orders = watches.claim_orders(db, now=now)
        for device_id, until in orders:
            seconds = min(LONGEST_WATCH_S, max(0.0, (until - now).total_seconds()))
            command = Command(id=f"watch-{int(now.timestamp())}", action="watch", seconds=round(seconds, 1))
            self._publish(topics.down(device_id, "command"), wire.encode(command))

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except SQLAlchemyError as error:
            # Settings and watches can wait; the writer speaks up about a database that fails.
            log.warning("devices are not told settings or watches for now reason=%s", error)
