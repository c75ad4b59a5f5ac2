"""One simulated device: a real agent that measures a thought-up machine, and whose line and power can be cut."""

import logging
import random
import secrets
from collections.abc import Sequence
from pathlib import Path

from annexfleet_agent import enrolment
from annexfleet_agent import identity as identities
from annexfleet_agent.collectors.inventory import Taken
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.device import AgentCore
from annexfleet_agent.enrolment import RunnerPlace
from annexfleet_agent.identity import Identity
from annexfleet_agent.loop import Loop
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.protocol.messages import Value
from annexfleet_agent.settings import Agent, Settings
from annexfleet_controller.simulate.measured import View, collectors_of
from annexfleet_controller.simulate.province import Annex, Machine, Province
from annexfleet_controller.simulate.runner import SimulatedRunner
from annexfleet_controller.simulate.worse import Worsening

log = logging.getLogger(__name__)

SAMPLE_S, BEAT_S = 30.0, 300.0
FASTEST_SAMPLE_S, FASTEST_BEAT_S = 2.0, 10.0
OUTBOX_BYTES = 20_000_000
_SELDOM = {"updates": 3600.0, "inventory": 3600.0, "units": 300.0, "processes": 60.0, "portal": 60.0}
"""Periods of collectors that are not asked with every sample, in seconds of the simulated day."""


class SimulatedDevice:
    """A machine with its agent."""

    def __init__(
        self,
        loop: Loop,
        province: Province,
        annex: Annex,
        machine: Machine,
        *,
        directory: Path,
        rate: float,
        retry_windows_s: tuple[float, ...],
        worsening: Worsening,
    ) -> None:
        self.annex = annex
        self.machine = machine
        self.directory = directory
        self._loop = loop
        self._province = province
        self._rate = rate
        self._retry_windows_s = retry_windows_s
        self._worsening = worsening
        self._agent_starts = 0
        self._core: AgentCore | None = None

    @property
    def runner_place(self) -> RunnerPlace:
        return RunnerPlace(self.directory / "runner", is_own=True)

    @property
    def identity_dir(self) -> Path:
        return self.directory / "identity"

    @property
    def device_id(self) -> str:
        known = identities.read(self.identity_dir)
        return known.device_id if known else ""

    @property
    def link(self) -> str:
        """`off` without power, else the state of the uplink."""
        return "off" if self._core is None else self._core.uplink.status.state

    def enrol(self, token: str) -> None:
        """Get a certificate over the real enrolment.  Raises EnrolmentFailed."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        machine = self.machine
        enrolment.enrol(
            token,
            self.identity_dir,
            name=machine.name,
            role=machine.role,
            again=True,
            hardware=(machine.serial, machine.model),
            runner=self.runner_place,
        )

    def view(self, core: AgentCore | None = None, *, offset_s: float | None = None) -> View:
        """The machine as its agent sees it; `offset_s` where the world's time stands still against the device's."""
        return View(
            self._province,
            self.annex,
            self.machine,
            probed_elsewhere=frozenset if core is None else core.probed_elsewhere,
            offset_s=lambda: self._loop.clock.now() - self._province.now if offset_s is None else offset_s,
        )

    def open_outbox(self, boot_id: str) -> Outbox:
        """Raises OutboxBusy if the agent runs."""
        return Outbox(self.directory / "outbox.db", max_bytes=OUTBOX_BYTES, boot_id=boot_id, owner=self.device_id)

    # -- life

    def follow(self) -> None:
        """Bring the agent in line with the world: boot, lose power, lose the line."""
        self._worsening.pass_time(self._province)
        machine = self.machine
        if machine.running and self._core is None:
            self._boot()
        elif not machine.running and self._core is not None:
            if not machine.switched_off:
                # No goodbye: the line goes first, so the broker has to find out by itself.
                self._core.uplink.cut("the machine stopped")
            self.stop()
        elif self._core is not None and not self._has_line and self.link in ("connected", "nobody_listens"):
            self._core.uplink.cut("the line is cut")
        elif self._core is not None and machine.agent_starts != self._agent_starts:
            self._core.uplink.cut("the agent starts anew")
            self.stop()
            self._boot()

    @property
    def _has_line(self) -> bool:
        return self.annex.line_up and not self.machine.link_lost

    def stop(self) -> None:
        if self._core is not None:
            self._core.stop()
            self._core = None

    def _boot(self) -> None:
        boot_id = secrets.token_hex(8)
        self._agent_starts = self.machine.agent_starts
        sample_s = max(FASTEST_SAMPLE_S, SAMPLE_S / self._rate)
        beat_s = max(FASTEST_BEAT_S, BEAT_S / self._rate)
        settings = Settings(agent=Agent(state_dir=str(self.directory), sample_period_s=sample_s, beat_period_s=beat_s))
        self._core = AgentCore(
            self._loop,
            settings,
            device_id=self.device_id,
            identity=self._reached_identity,
            outbox=self.open_outbox(boot_id),
            collectors=self._collectors,
            state_dir=self.directory,
            boot_id=boot_id,
            inventory=self._inventory,
            renew=lambda: enrolment.renew(self.identity_dir, runner=self.runner_place),
            forwarding=lambda core: self._runner(core, boot_id),
            retry_windows_s=self._retry_windows_s,
            rng=random.Random(boot_id),  # noqa: S311  # to spread load
        )
        self._core.start()

    def _runner(self, core: AgentCore, boot_id: str) -> SimulatedRunner:
        return SimulatedRunner(
            self._loop, self.runner_place.directory, core.uplink, boot_id=boot_id, worsening=self._worsening,
            world_now=lambda: self._province.now, worked=core.worked,
        )  # fmt: skip

    def _reached_identity(self) -> Identity:
        """Asked at each attempt to connect: a cut line refuses it."""
        if not self._has_line:
            raise ConnectionRefusedError("the line is cut")
        found = identities.load(self.identity_dir)
        if found is None:
            raise identities.IdentityBroken(f"{self.identity_dir} holds no identity any more")
        return found

    def _collectors(self, core: AgentCore) -> tuple[Collector, ...]:
        view = self.view(core)

        def agent() -> Report:
            report = view.agent()
            report.put("", "outbox_used_ratio", core.outbox_used_ratio())
            report.put("", "outbox_oldest_age_seconds", core.outbox_oldest_age_seconds())
            report.put("", "agent_config_version", core.config_version())
            return report

        return tuple(
            Collector(
                name=name,
                collect=agent if name == "agent" else getattr(view, name),
                period_s=max(FASTEST_SAMPLE_S, _SELDOM[name] / self._rate) if name in _SELDOM else None,
                kept_fresh=name not in _SELDOM,
            )
            for name in collectors_of(self.machine)
        )

    def _inventory(self, _seen: Sequence[dict[str, Value]]) -> Taken:
        machine = self.machine
        maker, _, model = machine.model.partition(" ")
        system = "android 14" if machine.role == "tablet" else "debian 12"
        return Taken(
            digest=f"sim-{machine.serial.lower()}",
            hardware={
                "vendor": maker, "model": model, "cpu_count": 8 if machine.role in ("server", "tablet") else 4,
                "memory_bytes": int(machine.memory_bytes), "drives": [f"sda {int(machine.disk_bytes)}"],
            },
            os={"id": system.split(maxsplit=1)[0], "version": system.split()[1], "time_zone": "Africa/Casablanca"},
            packages_digest="",
            packages={},
            printers=[{"name": p.name, "model": p.model, "address": p.address} for p in machine.printers],
        )  # fmt: skip
