"""One device: its collectors, its memory, its outbox and its uplink, on a loop it may share with others.

    collectors -> sampler -> digest -> outbox -> uplink -> broker

The agent program runs one of these; the simulator runs hundreds in one process, with collectors of its own.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from annexfleet_agent import __version__, desired, status
from annexfleet_agent.chance import Chance, SystemChance
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.digest import Digest
from annexfleet_agent.identity import Identity
from annexfleet_agent.loop import Loop, Outcome, Timer
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages
from annexfleet_agent.runner import framing
from annexfleet_agent.sampler import Sampler
from annexfleet_agent.settings import Settings
from annexfleet_agent.stocktaking import Stocktaking
from annexfleet_agent.uplink import RETRY_WINDOWS_S, Uplink

if TYPE_CHECKING:
    from annexfleet_agent.collectors.inventory import Taken

log = logging.getLogger(__name__)

_CLOCK_STEP_S = 5.0
_ORDINARY_AGE_S = 1200.0
_FRESH_S = 10.0
"""A collector's whole state that was told this recently is not told again after a connect."""
_RENEWAL_PERIOD_S = 3600.0
_RENEWAL_DEADLINE_S = 300.0
LONGEST_WATCH_S = 900.0
_REFUSALS_PER_MINUTE = 10
_OF_A_PRINTER = ("printer_model", "printer_uuid", "printer_address")


class Runs(Protocol):
    """What leads to a runner."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def refused_today(self) -> float | None:
        """Envelopes refused as if forged, in the last 24 hours; None while nobody knows."""


class AgentCore:
    """A whole agent but for the program around it."""

    def __init__(
        self,
        loop: Loop,
        settings: Settings,
        *,
        device_id: str,
        identity: Callable[[], Identity],
        outbox: Outbox,
        collectors: Callable[["AgentCore"], Sequence[Collector]],
        state_dir: Path,
        boot_id: str,
        inventory: Callable[[Sequence[dict[str, messages.Value]]], "Taken"] | None = None,
        renew: Callable[[], object] | None = None,
        forwarding: Callable[["AgentCore"], "Runs"] | None = None,
        retry_windows_s: Sequence[float] = RETRY_WINDOWS_S,
        rng: Chance | None = None,
    ) -> None:
        """Everything it touches comes from outside.

        `identity` says where to connect and with what; it is asked in the worker at each attempt.  `collectors` gets
        this object, whose figures and wishes some of them need.  `inventory` is given the printers and blocks, as does
        `renew`: they run in the worker.  `renew` is called when `identity().renew_at` has come.  `forwarding` leads
        to the runner; without it there is none.  `retry_windows_s`: see uplink.
        """
        self._loop = loop
        self._clock = loop.clock
        self._settings = settings
        self._outbox = outbox
        self._state_dir = state_dir
        self._device_id = device_id
        self._identity = identity
        self._boot_id = boot_id
        self._renew = renew
        self._rng: Chance = rng or SystemChance()
        self._config = desired.load(state_dir)
        self._started_at = self._clock.now()
        self._clock_offset = self._clock.now() - self._clock.mono()
        self._told_at: dict[str, float] = {}
        self._live: messages.Readings = {}
        self._refused: list[float] = []
        self._timers: dict[str, Timer] = {}
        self.digest = Digest()
        self.uplink = Uplink(
            loop,
            outbox,
            identity,
            device_id=device_id,
            hello=self._hello,
            on_config=self.configure,
            on_command=self.obey,
            on_ready=self._tell_everything,
            on_status=self._write_status,
            keepalive_s=settings.connection.keepalive_s,
            retry_windows_s=retry_windows_s,
            rng=self._rng,
        )
        self._stock = Stocktaking(loop, outbox, inventory, printers=self._printers, put=self._put)
        self.forwarding = forwarding(self) if forwarding is not None else None
        self._make_collectors = collectors
        self._sampler: Sampler | None = None

    # -- for the program around it

    def start(self) -> None:
        """Begin to measure and to connect."""
        self._sampler = Sampler(
            self._loop,
            self._make_collectors(self),
            self._take,
            period_s=self.sample_period_s,
            on_pass=self._passed,
        )
        # Devices that came back with the mains shall not all speak in the same second for ever.
        self._after("beat", self.beat_period_s * self._rng.uniform(0.3, 1.0), self._beat)
        self._stock.start(jitter=self._rng.uniform(0.5, 1.5))
        if self._renew is not None:
            self._after("renewal", 60 * self._rng.uniform(0.5, 1.5), self._look_at_certificate)
        if self.forwarding is not None:
            self.forwarding.start()
        self.uplink.start()
        self._write_status()

    def stop(self) -> None:
        """Sum up what was measured, say goodbye and let go of everything but the outbox's file."""
        for timer in self._timers.values():
            timer.cancel()
        self._stock.stop()
        if self._sampler is not None:
            self._sampler.stop()
        self._put_beat()
        self.uplink.stop()
        if self.forwarding is not None:
            self.forwarding.stop()
        self._write_status()
        self._outbox.close()

    # -- what collectors want to know

    def outbox_used_ratio(self) -> float:
        return self._outbox.used_ratio

    def outbox_oldest_age_seconds(self) -> float:
        """0 while nothing is older than the controller lets beats wait for their acknowledgement."""
        oldest = self._outbox.oldest_at()
        age_s = 0.0 if oldest is None else self._clock.now() - oldest
        return age_s if age_s > _ORDINARY_AGE_S else 0.0

    def config_version(self) -> int:
        return self._config.version if self._config else 0

    def desired_portals(self) -> Sequence[messages.Portal]:
        return (self._config.settings.portals if self._config else None) or ()

    def probed_elsewhere(self) -> frozenset[str]:
        return frozenset((self._config.settings.printers_probed_elsewhere if self._config else None) or ())

    @property
    def sample_period_s(self) -> float:
        wished = self._config.settings.sample_period_s if self._config else None
        return wished or self._settings.agent.sample_period_s

    @property
    def beat_period_s(self) -> float:
        wished = self._config.settings.beat_period_s if self._config else None
        return wished or self._settings.agent.beat_period_s

    # -- measuring

    def _take(self, collector: Collector, report: Report) -> None:
        self._heed_clock()
        now, mono = self._clock.now(), self._clock.mono()
        change = self.digest.take(collector.name, report, at=now, mono=mono)
        if self._sampler is not None and self._sampler.watched and collector.kept_fresh:
            for subject, of in self.digest.live(collector.name).items():
                self._live.setdefault(subject, {}).update(of)
        if change is not None:
            self._told_at[collector.name] = mono
            self._put(change)

    def _passed(self) -> None:
        if self._live:
            live, self._live = self._live, {}
            self.uplink.live(messages.Live(at=round(self._clock.now(), 1), readings=live))

    def _beat(self) -> None:
        self._after("beat", self.beat_period_s, self._beat)
        self._put_beat()
        self._write_status()

    def _put_beat(self) -> None:
        self._heed_clock()
        beat = self.digest.beat(at=self._clock.now(), mono=self._clock.mono())
        if beat is not None:
            self._put(beat)

    def _put(self, *items: messages.Item) -> None:
        self.uplink.pump(*self._outbox.put(*items))

    def _heed_clock(self) -> None:
        """Correct what waits if the device's clock was set, and tell the controller the new time."""
        if self._clock_was_set():
            self.uplink.greet()

    def _clock_was_set(self) -> bool:
        """Whether it was since this was last asked; what waits is correct afterwards."""
        offset = self._clock.now() - self._clock.mono()
        step_s, self._clock_offset = offset - self._clock_offset, offset
        if abs(step_s) <= _CLOCK_STEP_S:
            return False
        log.warning("the clock was set by_s=%.0f", step_s)
        self._outbox.shift(step_s)
        return True

    # -- telling

    def _hello(self, session_id: str) -> messages.Hello:
        self._clock_was_set()  # the controller takes what follows by the clock that this tells
        return messages.Hello(
            clock=self._clock.now(),
            session_id=session_id,
            boot_id=self._boot_id,
            install_id=self._outbox.install_id,
            next_seq=self._outbox.next_seq,
            oldest_seq=self._outbox.oldest_seq(),
            agent_version=__version__,
            config_version=self.config_version(),
            features=["runner"] if self.forwarding is not None else [],
        )

    def _tell_everything(self) -> None:
        """A controller hears us (again): what is true now goes before what was."""
        now, mono = self._clock.now(), self._clock.mono()
        stale = [name for name in self.digest.collectors if mono - self._told_at.get(name, -1e9) > _FRESH_S]
        changes = [change for name in stale if (change := self.digest.whole(name, at=now)) is not None]
        if changes:
            self._outbox.put(*changes)
        self._told_at.update(dict.fromkeys(stale, mono))
        self.uplink.pump(*self._outbox.newest_changes())

    def _write_status(self) -> None:
        link = self.uplink.status
        status.write(
            self._state_dir,
            status.Status(
                written_at=self._clock.now(),
                pid=os.getpid(),
                agent_version=__version__,
                device_id=self._device_id,
                started_at=self._started_at,
                link=link.state,
                connected_since=link.connected_since,
                last_ack_at=link.last_ack_at,
                outbox_items=self._outbox.count,
                outbox_used_ratio=self._outbox.used_ratio,
                outbox_trouble=self._outbox.trouble,
                config_version=self.config_version(),
                problem=link.problem,
                problem_at=link.problem_at,
            ),
        )

    # -- hearing

    def configure(self, config: messages.Config) -> None:
        """Take over what the controller wishes; settings it may not ask for change nothing."""
        if self._config is not None and config == self._config:
            return
        try:
            desired.check(config.settings)
        except desired.Refused as error:
            log.warning("settings of the controller are refused version=%s reason=%s", config.version, error)
            return
        before = self.sample_period_s, self.beat_period_s
        self._config = config
        desired.save(self._state_dir, config)
        log.info("settings of the controller are in force version=%s", config.version)
        if self._sampler is not None and before[0] != self.sample_period_s:
            self._sampler.set_period(self.sample_period_s)
        if "beat" in self._timers and before[1] != self.beat_period_s:
            self._after("beat", self.beat_period_s, self._beat)
        self._write_status()

    def obey(self, command: messages.Command) -> None:
        """Watch, or refuse."""
        if command.action == "watch":
            self.watch(min(command.seconds, LONGEST_WATCH_S))
            return
        mono = self._clock.mono()
        self._refused = [at for at in self._refused if mono - at < 60]
        log.warning("a command is refused: it is not signed action=%s", command.action[:40])
        if len(self._refused) < _REFUSALS_PER_MINUTE:  # a flood from above must not fill the outbox
            self._refused.append(mono)
            self._put(
                messages.Receipt(
                    seq=UNNUMBERED, at=self._clock.now(), command_id=command.id, outcome="refused", detail="unsigned"
                )
            )

    def keep_receipt(self, told: framing.Told) -> None:
        """What the runner says became of a command."""
        self._put(
            messages.Receipt(
                seq=UNNUMBERED,
                at=told.at,
                command_id=told.command_id,
                outcome=told.outcome,
                detail=told.detail,
                proof=told.proof,
            )
        )

    def watch(self, seconds: float) -> None:
        """Report every 2 s for so long, or until `watch(0)`."""
        if self._sampler is not None:
            self._sampler.watch(seconds)

    # -- now and then

    def _after(self, name: str, delay_s: float, callback: Callable[[], object]) -> None:
        timer = self._timers.get(name)
        if timer is not None:
            timer.cancel()
        self._timers[name] = self._loop.after(delay_s, callback)

    def worked(self) -> None:
        """A run or a command is at work here, or was: what it changed is told once it is quiet."""
        self._stock.worked()

    def _printers(self) -> list[dict[str, messages.Value]]:
        """What seldom changes of each printer, as the collector saw it last."""
        seen = self.digest.live("printers") if "printers" in self.digest.collectors else {}
        return [
            {"name": subject.removeprefix("printer:")}
            | {name.removeprefix("printer_"): of[name] for name in _OF_A_PRINTER if name in of}
            for subject, of in sorted(seen.items())
            if subject.startswith("printer:")
        ]

    def _look_at_certificate(self) -> None:
        assert self._renew is not None
        self._after("renewal", _RENEWAL_PERIOD_S * self._rng.uniform(0.8, 1.2), self._look_at_certificate)
        renew, now = self._renew, self._clock.now()

        def renew_if_due() -> bool:
            due = self._identity().renew_at <= now
            if due:
                renew()
            return due

        self._loop.in_worker(renew_if_due, self._renewed, deadline_s=_RENEWAL_DEADLINE_S)

    def _renewed(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            log.warning("the certificate could not be renewed, it is tried again error=%s", outcome.error)
        elif outcome.value:
            # Not every hour, even if this device's clock is a year ahead and every certificate looks old.
            self._after("renewal", 86_400 * self._rng.uniform(0.8, 1.2), self._look_at_certificate)
