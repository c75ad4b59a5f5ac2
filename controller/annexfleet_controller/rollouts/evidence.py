"""Everything that a rollout's next steps are thought out from (`waves.seen.Seen`), read from the store."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median

from msgspec import Struct, structs
from sqlalchemy.orm import Session

from annexfleet_controller.rollouts.eyes import Eyes
from annexfleet_controller.rollouts.health import Ward
from annexfleet_controller.store import rollout_evidence, rollout_targets, run_queue
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.waves import beginning, budget, natures, windows
from annexfleet_controller.waves.budget import AnnexNow
from annexfleet_controller.waves.model import BAD, SETTLED, Rollout, Target
from annexfleet_controller.waves.seen import Device, Outcome, Seen
from annexfleet_controller.waves.windows import Window

MEASURED = 200
"""The newest durations count for how long a device takes."""
MEASURED_ANEW = timedelta(minutes=5)


class Read(Struct, frozen=True, kw_only=True):
    """A rollout with all that was read for its next steps."""

    rollout: Rollout
    targets: Sequence[Target]
    seen: Seen
    disturbed: Mapping[str, frozenset[int]]
    """By annex with devices that are due: those that rollouts and runs were changing as this was read."""
    began: Mapping[int, datetime]
    """When Ansible came to a device whose run has ended."""


class Reader:
    """Reads for one rollout, and remembers what need not be read again at the next look."""

    def __init__(self) -> None:
        self._ward = Ward()
        self._takes_s: float | None = None
        self._measured_at: datetime | None = None
        self._ailing: dict[int, datetime] = {}
        self._moved: dict[int, datetime] = {}

    def read(self, db: Session, eyes: Eyes, detail: Detail, *, now: datetime) -> Read:
        """All there is to know for its next steps."""
        rollout = detail.rollout
        targets = rollout_targets.of_rollout(db, rollout.id)
        outcomes, began = _outcomes(db, targets)
        rollout = _patient(rollout, targets, eyes.listening_since, now)
        superseded: frozenset[int] = frozenset()
        if rollout.started_at is not None and eyes.has_rival(rollout.id, detail.configures):
            newer = rollout_targets.newer(db, rollout.id, detail.configures, started_after=rollout.started_at)
            superseded = frozenset(newer)
        devices = _devices(db, eyes, rollout, targets, now)
        moved = [target.number for target in targets if beginning.is_moved(target, Seen(devices=devices))]
        self._moved = {number: self._moved.get(number, now) for number in moved}
        seen = Seen(
            devices=devices, moved=self._moved, outcomes=outcomes, superseded=superseded,
            takes_s=self._measured(db, detail, now),
            verdict=detail.gate, ailing=self._failing(db, targets, now),
        )  # fmt: skip
        if rollout.state in {"running", "paused"} and rollout.wave >= 1:
            seen = structs.replace(
                seen, health=self._ward.health(db, eyes, rollout, targets, now=now),
                calendars=_of_wave(eyes, rollout, targets) if rollout.phase == "soaking" else {},
            )  # fmt: skip
        disturbed: dict[str, frozenset[int]] = {}
        if rollout.state == "running":
            seen, disturbed = _with_what_is_due(db, eyes, rollout, targets, seen, now=now)
        return Read(rollout=rollout, targets=targets, seen=seen, disturbed=disturbed, began=began)

    def _failing(self, db: Session, targets: Sequence[Target], now: datetime) -> Mapping[int, datetime]:
        running = {target.run_id for target in targets if target.state == "running" and target.run_id}
        found = rollout_evidence.failing(db, running) if running else set()
        self._ailing = {number: self._ailing.get(number, now) for number in found}
        return self._ailing

    def _measured(self, db: Session, detail: Detail, now: datetime) -> float | None:
        if self._measured_at is None or now - self._measured_at >= MEASURED_ANEW:
            found = rollout_targets.durations(db, detail.playbook, limit=MEASURED)
            self._takes_s, self._measured_at = (median(found) if found else None), now
        return self._takes_s


def _patient(rollout: Rollout, targets: Sequence[Target], listening_since: datetime, now: datetime) -> Rollout:
    """While ingest did not listen nobody could report: that time is not held against a device."""
    waits = [target.run_ended_at for target in targets if target.state == "verifying" and target.run_ended_at]
    if not waits or listening_since <= min(waits):
        return rollout
    within_s = rollout.policy.verify_within_s + (listening_since - min(waits)).total_seconds()
    return structs.replace(rollout, policy=structs.replace(rollout.policy, verify_within_s=within_s))


def _outcomes(db: Session, targets: Sequence[Target]) -> tuple[dict[int, Outcome], dict[int, datetime]]:
    pairs = [(target.number, target.run_id) for target in targets if target.state == "running" and target.run_id]
    if not pairs:
        return {}, {}
    found, began = {}, {}
    for number, of in rollout_evidence.outcomes(db, pairs).items():
        ended_at = of.ended_at
        # Until the run has ended its process may still be at it, and the device is not free.
        if of.run_state != "ended" or of.state != "ended" or ended_at is None:
            continue
        if of.outcome == "skipped" and of.run_problem in run_queue.NEVER_BEGUN:
            found[number] = Outcome(outcome="not_begun", ended_at=ended_at)
            continue
        is_late = of.outcome == "cancelled" and of.run_outcome == "timed_out"
        found[number] = Outcome(outcome="timed_out" if is_late else of.outcome, ended_at=ended_at)
        if of.started_at is not None:
            began[number] = of.started_at
    return found, began


def _devices(db: Session, eyes: Eyes, rollout: Rollout, targets: Sequence[Target], now: datetime) -> dict[int, Device]:
    """The targets that are in service, and the others of the annexes where something is verified."""
    names = tuple(sorted({expectation.fact for expectation in rollout.nature.expects}))
    asked = [target.number for target in targets if _is_asked(rollout, target)] if names else []
    reported = eyes.reported(db, asked, names, now=now)
    beside = {number for target in targets if target.state == "verifying" for number in _mates(eyes, target)}
    found = {}
    for number in {*(target.number for target in targets), *beside}:
        of, told = eyes.devices.get(number), eyes.told.get(number)
        if of is None:
            continue
        said = reported.get(number)
        found[number] = Device(
            number=number, id=of.id, annex_id=of.annex_id, role=of.role,
            facts={} if said is None else said.facts,
            heard_at=said.heard_at if said is not None else told.heard_at if told is not None and not names else None,
            is_online=eyes.is_online(number, now), up_since=None if told is None else told.hello_at,
        )  # fmt: skip
    return found


def _is_asked(rollout: Rollout, target: Target) -> bool:
    """Whether what it reports may lead to a step: it is verified, it is its turn, or it may yet turn up."""
    if target.state in {"waiting", "deferred"}:
        return beginning.is_its_turn(rollout, target)
    return target.state == "verifying" or target.state in BAD


def _mates(eyes: Eyes, target: Target) -> Iterable[int]:
    of = eyes.devices.get(target.number)
    return eyes.of_annex.get(target.annex_id if of is None else of.annex_id, ())


def _of_wave(eyes: Eyes, rollout: Rollout, targets: Sequence[Target]) -> dict[str, object]:
    annexes = {target.annex_id for target in targets if target.wave == rollout.wave}
    return {annex_id: eyes.calendars[annex_id] for annex_id in annexes if annex_id in eyes.calendars}


def _with_what_is_due(
    db: Session, eyes: Eyes, rollout: Rollout, targets: Sequence[Target], seen: Seen, *, now: datetime
) -> tuple[Seen, dict[str, frozenset[int]]]:
    turn = [
        target.number
        for target in targets
        if target.state in {"waiting", "deferred"} and beginning.is_its_turn(rollout, target)
    ]
    if not turn:
        return seen, {}
    open_windows = _windows(eyes, rollout, seen, turn, now)
    due = beginning.due(rollout, targets, seen.devices, open_windows, now=now)
    annexes = {seen.devices[number].annex_id for number in due}
    own = {target.number for target in targets if target.state in {"running", "verifying"}}
    found, changing = annexes_now(db, eyes, annexes, now=now)
    disturbed = {
        annex_id: frozenset(changing.intersection(eyes.of_annex.get(annex_id, ()))) for annex_id in annexes
    }  # fmt: skip
    busy = frozenset(number for number in turn if number in changing and number not in own)
    return structs.replace(seen, windows=open_windows, annexes=found, busy=busy), disturbed


def annexes_now(
    db: Session, eyes: Eyes, annexes: Collection[str], *, now: datetime, but: Collection[int] = ()
) -> tuple[dict[str, AnnexNow], set[int]]:
    """What beginning something in these annexes depends on, and the devices there that are being changed.

    Those in `but` count as not being changed: it is asked whether they may be.
    """
    members = [number for annex_id in annexes for number in eyes.of_annex.get(annex_id, ())]
    standing = rollout_targets.disturbed(db, members)
    changing = {*rollout_evidence.claimed(db, members), *standing.changing}.difference(but)
    found: dict[str, AnnexNow] = {}
    for annex_id in annexes:
        view, trees = eyes.annex(db, annex_id, now=now)
        found[annex_id] = budget.annex_now(
            view, trees,
            changing=[device.id for device in view.devices if device.number in changing],
            harmed=[device.id for device in view.devices
                    if device.number in standing.harmed and not _is_well(eyes, device.number, standing.harmed, now)],
        )  # fmt: skip
    return found, changing


def _windows(eyes: Eyes, rollout: Rollout, seen: Seen, turn: Collection[int], now: datetime) -> dict[str, Window]:
    annexes = {seen.devices[number].annex_id for number in turn if number in seen.devices}
    return {
        annex_id: windows.now(eyes.calendars[annex_id], rollout.policy, now)
        for annex_id in annexes
        if annex_id in eyes.calendars
    }


def _is_well(eyes: Eyes, number: int, harmed: Mapping[int, datetime], now: datetime) -> bool:
    """Whether a device that a rollout left in a bad state was heard since, and can be."""
    told = eyes.told.get(number)
    return (
        told is not None
        and told.heard_at is not None
        and told.heard_at > harmed[number]
        and eyes.is_online(number, now)
    )


def is_over(targets: Sequence[Target]) -> bool:
    return all(target.state in SETTLED for target in targets)


def facts_kept(rollout: Rollout, facts: Mapping[str, str]) -> dict[str, str]:
    """Of what a device reports, that which is kept with it."""
    return {name: facts[name] for name in natures.facts_of(rollout.nature) if name in facts}
