"""Every process of a run is killed (-9) at each of its phases; what is told afterwards is true, and nothing is left.

Left out, since they cannot differ: the runner and its warm Python before the session and between tasks (they are not
there, or only wait: the next task starts them), the agent before the session (the device is offline, see `test_runs`),
and the signer later than at the session (nobody asks it again).
"""

import os
import secrets
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.linking import ids
from tests.playbooks.walking import PLACE, SUCCESSES, Walks

pytestmark = pytest.mark.trial

LARGE_BYTES = 1_500_000
RUNNER = "-m annexfleet_agent.runner"
WARM = "warm.py"


@pytest.fixture(scope="module")
def walks(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Walks:
    return Walks(fleet, tmp_path_factory.mktemp("walks"), count=1)


class Case(NamedTuple):
    victim: str
    phase: str
    outcomes: tuple[str, ...]
    """Of the device, that are true."""
    attempts: int = 1


ANEW = 2
"""The play's death begins the run anew."""
CASES = [
    Case("play", "before", SUCCESSES, ANEW),
    Case("play", "transfer", SUCCESSES, ANEW),
    Case("play", "between", SUCCESSES, ANEW),
    Case("play", "task", SUCCESSES, ANEW),
    Case("relay", "transfer", ("unreachable",)),
    Case("relay", "between", SUCCESSES),  # nothing was on its way
    Case("relay", "task", ("unreachable",)),
    Case("signer", "before", SUCCESSES),
    Case("agent", "transfer", SUCCESSES),  # its runner goes on, and the session with it
    Case("agent", "between", SUCCESSES),
    Case("agent", "task", SUCCESSES),
    Case("runner", "transfer", ("unreachable",)),
    Case("runner", "between", SUCCESSES),
    Case("runner", "task", ("unreachable",)),
    Case("warm", "between", SUCCESSES),
    Case("warm", "task", ("failed", "unreachable")),
    Case("serve", "task", (*SUCCESSES, "unreachable")),  # its broker went with it, and may be back in time
]


class _Walk:
    """One run on the one device, held at its phase."""

    def __init__(self, walks: Walks, path: Path, phase: str) -> None:
        self.walks = walks
        self.phase = phase
        self.device = walks.devices[0]
        self.token = secrets.token_hex(8)
        self.gate = path / "gate"
        self.large = path / "large"
        self.large.write_bytes(os.urandom(LARGE_BYTES))
        self.run_id = 0
        self.received_bytes = 0

    def begin(self) -> None:
        self.device.run(["rm", "-f", f"{PLACE}/large", f"{PLACE}/go"])
        if self.phase != "task":
            self.walks.let_go()
        self.received_bytes = self.device.traffic().received_bytes
        variables = {
            "walk_source": str(self.large) if self.phase == "transfer" else "",
            "walk_gate": str(self.gate) if self.phase == "between" else "",
        }
        self.run_id = self.walks.order([self.device], token=self.token, variables=variables)

    def reach(self) -> None:
        reached: dict[str, Callable[[], object]] = {
            "before": lambda: self.walks.process(self.run_id, "play"),
            "transfer": lambda: self.device.traffic().received_bytes - self.received_bytes > LARGE_BYTES // 2,
            "between": lambda: Path(f"{self.gate}.reached").exists(),
            "task": lambda: self.walks.waiting(self.device, self.token),
        }
        self.walks.controller.wait_until(lambda: bool(reached[self.phase]()), f"the phase {self.phase}", 120)

    def let_go(self) -> None:
        self.gate.touch()
        self.walks.let_go()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.victim}-{case.phase}")
def test_who_is_killed_is_told_truly_and_leaves_nothing(walks: Walks, tmp_path: Path, case: Case):
    walk = _Walk(walks, tmp_path, case.phase)
    device = walk.device
    if case.victim == "signer":
        _kill(walks, device, 0, case.victim)
    with ExitStack() as narrow:
        if case.phase == "transfer":
            narrow.enter_context(device.slow_line(kbit=2000))
        walk.begin()
        if case.victim != "signer":
            walk.reach()
            _kill(walks, device, walk.run_id, case.victim)
    if case.attempts == ANEW:
        walks.controller.wait_until(lambda: walks.run(walk.run_id)["attempts"] == ANEW, "another attempt", 120)
    elif case.outcomes[0] not in SUCCESSES:
        # What it was doing is told before anybody lets it go on.
        run = walks.finish(walk.run_id)
    walk.let_go()
    run = walks.finish(walk.run_id)

    outcome = walks.outcomes(walk.run_id)[ids([device])[0]]
    assert outcome in case.outcomes, walks.told(walk.run_id)
    assert run["attempts"] == case.attempts
    assert (run["outcome"] == "ok") == (outcome in SUCCESSES)
    if outcome in SUCCESSES:
        assert walks.trace(device, "ended", walk.token) == 1
    if case.attempts == 1:
        assert walks.trace(device, "begun", walk.token) <= 1
        assert walks.trace(device, "ended", walk.token) <= 1
    walks.wait_until_nothing_is_left(walk.run_id)


def test_after_all_of_that_a_run_is_a_run(walks: Walks):
    walks.let_go()

    run_id = walks.order(walks.devices[:1])

    assert walks.finish(run_id)["outcome"] == "ok", walks.told(run_id)


def _kill(walks: Walks, device: Device, run_id: int, victim: str) -> None:
    """Kill it, and do what its service manager does."""
    if victim in ("play", "relay"):
        process = walks.process(run_id, victim)
        assert process is not None
        process.kill()
        process_gone = process.pid
        walks.controller.wait_until(lambda: not psutil.pid_exists(process_gone) or _is_zombie(process_gone), "its end")
    elif victim == "signer":
        (process,) = [part for part in walks.controller.serve.parts if part.cmdline()[-1] == "signer"]
        process.kill()
    elif victim == "agent":
        assert device.agent is not None
        device.agent.kill()
        device.agent.start()
    elif victim == "serve":
        walks.controller.kill()
        walks.controller.restart()
    else:
        pids = device.pids({"runner": RUNNER, "warm": WARM}[victim])
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
