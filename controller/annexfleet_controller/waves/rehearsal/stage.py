"""The stage of a rehearsal: real plan, real budget, real windows, real gate, real steps; only the devices are played.

Time jumps from moment to moment: to whatever may be noticed next (a run's end, a report, a device that falls silent or
comes back, a window, a limit), then to the conductor's next tick, and every few minutes while health is watched.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from random import Random
from statistics import median_low

from msgspec import Struct

from annexfleet_controller import calendars as opening
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.readiness.model import All
from annexfleet_controller.waves import beginning, conduct, windows
from annexfleet_controller.waves.applying import applied
from annexfleet_controller.waves.budget import AnnexNow
from annexfleet_controller.waves.model import (
    BAD,
    OVER,
    TOUCHED,
    Begin,
    Candidate,
    GateVerdict,
    Health,
    Judge,
    Nature,
    Plan,
    Policy,
    Rollout,
    Settle,
    Step,
    Target,
    Turn,
)
from annexfleet_controller.waves.plan import plan as planned
from annexfleet_controller.waves.rehearsal.casting import cast
from annexfleet_controller.waves.rehearsal.machines import BEAT_S, Machine
from annexfleet_controller.waves.rehearsal.script import Script
from annexfleet_controller.waves.rehearsal.story import Moment, Story
from annexfleet_controller.waves.seen import Device, Outcome, Seen

TICK_S = 2.0
"""Of the conductor."""
LOOK_EVERY_S = 600.0
"""While devices are changed or their health is watched."""
_IDLE_LOOK_S = 1800.0
_MOST_TICKS_AT_ONCE = 50
_CONTROLS_EACH = 10
_FEWEST_CONTROLS, _MOST_CONTROLS = 50, 200


class Setting(Struct, frozen=True, kw_only=True):
    """Where a rehearsal takes place."""

    candidates: tuple[Candidate, ...]
    """The targets, and other devices of their annexes too."""
    targets: frozenset[int] | None = None
    """Numbers of those that are meant; None: all."""
    structure: Mapping[str, Mapping[str, All]] = {}
    served_by: Mapping[str, Mapping[str, tuple[str, ...]]] = {}
    calendars: Mapping[str, Calendar] = {}
    """By annex; one that is missing opens as the province does."""


def rehearse(
    setting: Setting, policy: Policy, nature: Nature, script: Script, *, start_at: datetime, deadline_s: float
) -> Story:
    """What would happen if this rollout were started at `start_at` and ran until it is over, stopped, or its deadline.

    The same arguments always tell the same story.  300 devices over three days take about a second.
    """
    meant = [of for of in setting.candidates if setting.targets is None or of.number in setting.targets]
    plan = planned(meant, policy, nature, structure=setting.structure, served_by=setting.served_by)
    end_at = start_at + timedelta(seconds=deadline_s)
    rollout = Rollout(
        id=1, state="running", policy=policy, nature=nature, started_at=start_at, deadline_at=end_at
    )  # fmt: skip
    return _Stage(setting, plan, rollout, script, start_at=start_at, end_at=end_at).play()


class _Stage:
    def __init__(
        self, setting: Setting, plan: Plan, rollout: Rollout, script: Script, *, start_at: datetime, end_at: datetime
    ) -> None:
        self._setting, self._plan, self._script, self.rollout = setting, plan, script, rollout
        self._started_at = start_at
        self._calendars = {of.annex_id: opening.DEFAULT for of in setting.candidates} | dict(setting.calendars)
        self._start = start_at.timestamp()
        self._end = end_at.timestamp()
        self._random = Random(f"stage:{script.seed}")  # noqa: S311  # a toy world, no secrets
        self._machines = cast(
            setting.candidates, self._calendars, script, start=self._start, end=self._end, meant=setting.targets
        )
        self._of_annex: dict[str, list[int]] = {}
        for of in setting.candidates:
            self._of_annex.setdefault(of.annex_id, []).append(of.number)
        self.targets = list(_targets(plan, setting.candidates))
        self._outcomes: dict[int, Outcome] = {}
        self._coming: dict[int, tuple[float, str]] = {}
        self._moments: list[Moment] = []
        self._heap: list[tuple[float, int]] = []
        self._verdict: GateVerdict | None = None
        self._known_health: dict[tuple[int, bool], tuple[float, Health]] = {}
        self._known_devices: dict[int, Device] = {}
        self._devices_at = 0.0
        self._run_id = 1
        self._stopped: tuple[datetime, datetime, int] | None = None
        self._begun_after_stop = 0

    # -- the play

    def play(self) -> Story:
        now = self._start
        self._tell(now, "started", {"devices": self._plan.device_count, "waves": len(self._plan.waves)})
        for machine in self._machines.values():
            for at in machine.edges():
                self._push(at, machine.of.number)
        for calendar in {id(one): one for one in self._calendars.values()}.values():
            for opens_at, closes_at in calendar.spans(_moment(self._start), _moment(self._end)):
                self._push(opens_at.timestamp())
                self._push(closes_at.timestamp())
        self._push(self._end)
        self._until_quiet(now)
        while not self._is_over():
            moment = self._next(now)
            if moment is None or moment > self._end + 2 * self.rollout.policy.timeout_s + self._LONGEST_TAIL_S:
                self._tell(now, "out_of_time", {})
                break
            now = self._until_quiet(moment)
        return self._story(now)

    _LONGEST_TAIL_S = 7200.0

    def _is_over(self) -> bool:
        unsettled = {target.state for target in self.targets}
        if self.rollout.state in OVER:
            return not unsettled & {"waiting", "running", "verifying", "deferred"}
        return self.rollout.state == "stopped" and not unsettled & {"running", "verifying"}

    def _until_quiet(self, evidence: float) -> float:
        """Tick until nothing more is to be done; the first tick is at most two seconds after the evidence."""
        now = self._start + math.ceil((evidence - self._start) / TICK_S) * TICK_S
        for _ in range(_MOST_TICKS_AT_ONCE):
            self._end_runs(now)
            seen = self._seen(now)
            steps = conduct.steps(self.rollout, self.targets, seen, now=_moment(now))
            if not steps:
                return now
            self._carry_out(steps, seen, now, evidence)
            if not any(isinstance(step, Turn) for step in steps):
                return now  # all that follows from these was thought out with them
            now += TICK_S
        raise AssertionError("the conductor does not come to rest")

    def _carry_out(self, steps: Sequence[Step], seen: Seen, now: float, evidence: float) -> None:
        for step in steps:
            self._note(step, now, evidence)
        self.rollout, self.targets, self._verdict = applied(
            self.rollout, self.targets, steps, seen, now=_moment(now), run_id=self._run_id
        )
        self._run_id += len(steps)
        for step in steps:
            if isinstance(step, Begin):
                self._start_run(step.devices, now)
            elif isinstance(step, Settle):
                self._after_settling(step, now)
            elif isinstance(step, Turn) and step.phase == "soaking":
                policy = self.rollout.policy
                for soak_s in (policy.canary_soak_s, policy.soak_s, policy.last_soak_s):
                    self._push(now + soak_s)
                    self._push(now + soak_s + policy.longest_wait_s)
            elif isinstance(step, Judge) and step.verdict.look_again_at is not None:
                self._push(step.verdict.look_again_at.timestamp())

    # -- runs

    def _start_run(self, devices: Sequence[int], now: float) -> None:
        if self._stopped is not None:
            self._begun_after_stop += len(devices)
        for number in devices:
            machine = self._machines[number]
            takes_s = 1 + self.rollout.nature.takes_s * self._random.uniform(0.5, 1.5)
            self._outcomes.pop(number, None)
            fault = self._script.release.fault if machine.has_fault(self._script.release) else ""
            if fault == "hangs":
                takes_s, outcome = self.rollout.policy.timeout_s, "timed_out"
            elif not machine.is_up_throughout(now, now + takes_s):
                takes_s, outcome = min(takes_s, 30.0), "unreachable"
            else:
                outcome = "failed" if fault == "play_fails" else "changed"
            self._coming[number] = (now + takes_s, outcome)
            self._push(now + takes_s)

    def _end_runs(self, now: float) -> None:
        for number, (at, outcome) in list(self._coming.items()):
            if at > now:
                continue
            del self._coming[number]
            self._outcomes[number] = Outcome(outcome=outcome, ended_at=_moment(at))
            machine = self._machines[number]
            if outcome == "changed":
                machine.change(at, self._script.release, dict(self._script.new_facts))
                self._push(at + 61)
                self._push(at + self.rollout.policy.verify_within_s + TICK_S)
                silent = machine.turns_silent()
                if silent is not None:
                    self._push(silent, number)

    def _after_settling(self, step: Settle, now: float) -> None:
        if step.not_before is not None:
            self._push(step.not_before.timestamp())
        if step.state == "verifying":
            self._push(now + 61)

    # -- what is seen

    def _seen(self, now: float) -> Seen:
        at = _moment(now)
        devices = self._devices(now)
        policy = self.rollout.policy
        by_calendar: dict[int, windows.Window] = {}
        found: dict[str, windows.Window] = {}
        for annex_id, calendar in self._calendars.items():
            if id(calendar) not in by_calendar:
                by_calendar[id(calendar)] = windows.now(calendar, policy, at)
            found[annex_id] = by_calendar[id(calendar)]
        due = beginning.due(self.rollout, self.targets, devices, found, now=at)
        return Seen(
            devices=devices, outcomes=dict(self._outcomes), windows=found,
            annexes=self._annexes({devices[number].annex_id for number in due}, devices, at),
            calendars=self._calendars, health=tuple(self._health(now)), verdict=self._verdict,
        )  # fmt: skip

    def _devices(self, now: float) -> dict[int, Device]:
        """As they are now; of those that have ended, or whose turn has not come, as they were within a minute."""
        fresh = {
            target.number for target in self.targets
            if target.state in {"running", "verifying", *BAD}
            or (target.wave <= self.rollout.wave and target.state in {"waiting", "deferred"})
        }  # fmt: skip
        if now - self._devices_at >= BEAT_S:
            self._known_devices, self._devices_at = {}, now
        for number, machine in self._machines.items():
            if number in fresh or number not in self._known_devices:
                self._known_devices[number] = self._device(machine, now)
        return dict(self._known_devices)

    def _device(self, machine: Machine, now: float) -> Device:
        of = machine.of
        heard = machine.heard_at(now)
        is_online = machine.is_heard(now)
        facts = machine.facts
        if machine.changed_at is not None and (heard is None or heard <= machine.changed_at):
            facts = dict(of.facts)
        return Device(
            number=of.number, id=of.id, annex_id=of.annex_id, role=of.role, facts=facts, is_online=is_online,
            heard_at=None if heard is None else _moment(heard),
            up_since=_moment(machine.up_since(now)) if is_online else None,
        )  # fmt: skip

    def _annexes(self, annex_ids: set[str], devices: Mapping[int, Device], at: datetime) -> dict[str, AnnexNow]:
        states = {target.number: target.state for target in self.targets}
        harmed = {target.number for target in self.targets if target.state in BAD and target.is_touched}
        found = {}
        for annex_id in annex_ids:
            here = [devices[number] for number in self._of_annex[annex_id]]
            found[annex_id] = AnnexNow(
                annex_id=annex_id, trees=self._setting.structure.get(annex_id, {}),
                is_open=self._calendars[annex_id].is_open(at),
                changing=frozenset(d.id for d in here if states.get(d.number) in {"running", "verifying"}),
                harmed=frozenset(d.id for d in here if d.number in harmed),
                away=frozenset(d.id for d in here if not d.is_online),
                served_by=self._setting.served_by.get(annex_id, {}), waiting={"reception": 0.0},
            )  # fmt: skip
        return found

    def _health(self, now: float) -> Iterator[Health]:
        changed = [t for t in self.targets if t.is_touched and t.run_ended_at is not None]
        if not changed or not self.rollout.phase:  # after the last wave only results are looked at
            return
        touched = {target.number for target in self.targets if target.is_touched}
        for target in changed:
            since = target.run_ended_at
            if since is not None:
                yield self._health_of(target.number, since.timestamp(), now, is_changed=True)
        of_wave = [
            target.run_ended_at for target in changed if target.wave == self.rollout.wave and target.run_ended_at
        ]
        others_since = median_low(of_wave or [t.run_ended_at for t in changed if t.run_ended_at]).timestamp()
        annexes = {target.annex_id for target in changed}
        others = [m for number, m in self._machines.items() if number not in touched]
        others.sort(key=lambda machine: (machine.of.annex_id not in annexes, machine.of.number))
        count = min(_MOST_CONTROLS, max(_FEWEST_CONTROLS, _CONTROLS_EACH * len(changed)))
        for machine in others[:count]:
            yield self._health_of(machine.of.number, others_since, now, is_changed=False)

    def _health_of(self, number: int, since: float, now: float, *, is_changed: bool) -> Health:
        """As read at the last look, unless something happened to this device meanwhile."""
        known = self._known_health.get((number, is_changed))
        is_same_look = known is not None and known[0] // LOOK_EVERY_S == now // LOOK_EVERY_S
        if known is not None and is_same_look and known[1].since == _moment(since):
            return known[1]
        health = self._machines[number].health(since, now, is_changed=is_changed)
        self._known_health[number, is_changed] = (now, health)
        return health

    # -- time

    def _push(self, at: float, device: int = 0) -> None:
        if at >= self._start:
            heappush(self._heap, (at, device))

    def _next(self, now: float) -> float | None:
        """The next moment at which something may have become known."""
        matters = self._mattering()
        is_watched = self.rollout.phase == "soaking" or any(t.state in {"running", "verifying"} for t in self.targets)
        limit = now + (LOOK_EVERY_S if is_watched else _IDLE_LOOK_S)
        while self._heap:
            at, device = self._heap[0]
            if at > limit:
                return limit
            heappop(self._heap)
            if at <= now or (device and device not in matters):
                continue
            if device:
                self._known_health.pop((device, True), None)
                self._comes_back(device, at)
            return at
        return limit if now < self._end else None

    def _mattering(self) -> set[int]:
        touched = TOUCHED if self.rollout.phase else frozenset({"running", "verifying", *BAD})
        return {
            target.number for target in self.targets
            if target.state in touched or (target.state in {"waiting", "deferred"} and target.wave <= self.rollout.wave)
        }  # fmt: skip

    def _comes_back(self, number: int, at: float) -> None:
        target = next(target for target in self.targets if target.number == number)
        if target.state == "deferred" and self._machines[number].is_up(at):
            ready = beginning.ready_at(target, self._device(self._machines[number], at))
            self._push(ready.timestamp())

    # -- the story

    def _note(self, step: Step, now: float, evidence: float) -> None:
        if isinstance(step, Begin):
            self._tell(now, "begun", {"devices": len(step.devices), "wave": self.rollout.wave})
        elif isinstance(step, Settle):
            facts: dict[str, str | int | float] = {"device": step.device, "state": step.state, "reason": step.reason}
            self._tell(now, "device", facts)
        elif isinstance(step, Judge):
            self._tell(now, "gate", {"word": step.verdict.word, "wave": self.rollout.wave}, step.verdict)
        elif step.state == "stopped":
            touched = sum(target.begun_at is not None for target in self.targets)
            self._stopped = (_moment(now), _moment(evidence), touched)
            self._tell(now, "stopped", {"wave": self.rollout.wave, "touched": touched})
        elif step.state in OVER:
            self._tell(now, step.state, {"reason": step.reason})
        else:
            self._tell(now, "soaking" if step.phase == "soaking" else "wave", {"wave": step.wave})

    def _tell(
        self, now: float, kind: str, facts: Mapping[str, str | int | float], verdict: GateVerdict | None = None
    ) -> None:
        self._moments.append(Moment(at=_moment(now), kind=kind, facts=facts, verdict=verdict))

    def _story(self, now: float) -> Story:
        stopped_at, evidence_at, touched = self._stopped or (None, None, 0)
        harmed = tuple(
            target.number for target in self.targets
            if target.begun_at is not None and self._machines[target.number].has_fault(self._script.release)
        )  # fmt: skip
        return Story(
            plan=self._plan, rollout=self.rollout, targets=tuple(self.targets), moments=tuple(self._moments),
            started_at=self._started_at, ended_at=_moment(now), stopped_at=stopped_at, evidence_at=evidence_at,
            touched_at_stop=touched, begun_after_stop=self._begun_after_stop, harmed=harmed,
        )  # fmt: skip


def _targets(plan: Plan, candidates: Sequence[Candidate]) -> Iterator[Target]:
    annex_of = {of.number: of.annex_id for of in candidates}
    for wave in plan.waves:
        for position, number in enumerate(wave.devices):
            yield Target(number=number, annex_id=annex_of[number], wave=wave.number, position=position)
    for number in plan.compliant:
        yield Target(number=number, annex_id=annex_of[number], wave=0, state="compliant")
    for number in plan.unreachable:
        yield Target(number=number, annex_id=annex_of[number], wave=0, state="skipped")


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
