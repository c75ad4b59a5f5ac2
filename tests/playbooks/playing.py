"""Ansible as tests run it, and what became of each task, so that two ways to the devices can be compared."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
OUTCOMES = ("ok", "changed", "failed", "ignored", "skipped", "unreachable")
"""`ok` without a change; `ignored` failed and was allowed to."""


class Told(NamedTuple):
    """How one task ended on one host."""

    host: str
    number: int
    """Of the task in the order of the playbook, from 1."""
    task: str
    outcome: str
    message: str


class Played(NamedTuple):
    """A playbook that ran to its end."""

    exit_code: int
    took_s: float
    told: list[Told]
    output: str

    @property
    def counts(self) -> dict[str, int]:
        """Over all hosts and tasks, by outcome."""
        found = Counter(told.outcome for told in self.told)
        return {outcome: found[outcome] for outcome in OUTCOMES}

    @property
    def by_task(self) -> dict[tuple[int, str], dict[str, int]]:
        """For each task, how often each outcome came."""
        tasks: dict[tuple[int, str], Counter[str]] = {}
        for told in self.told:
            tasks.setdefault((told.number, told.task), Counter())[told.outcome] += 1
        return {task: dict(found) for task, found in sorted(tasks.items())}

    @property
    def trouble(self) -> str:
        """For the message of an assertion."""
        bad = [told for told in self.told if told.outcome in ("failed", "unreachable")]
        return "\n".join(map(str, bad)) or self.output[-4000:]


def differences(one: Played, other: Played) -> list[str]:
    """Where two runs of the same playbook on equally fresh devices ended otherwise; empty if nowhere.

    Hosts are not told apart, since the two runs need not be on the same devices.
    """
    left, right = one.by_task, other.by_task
    return [
        f"task {task[0]} ({task[1]}): {left.get(task, {})} against {right.get(task, {})}"
        for task in sorted({*left, *right})
        if left.get(task) != right.get(task)
    ]


def ansible_environment(directory: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """For `ansible…` in a directory of its own: nothing of the host's settings, nothing left in the home."""
    settings = directory / "ansible.cfg"
    settings.touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORKS": "20",
        "LC_ALL": "C.UTF-8",
        **(more or {}),
    }


def play(
    playbook: Path,
    inventory: Path,
    directory: Path,
    *,
    variables: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    timeout_s: float = 300.0,
) -> Played:
    """Run a playbook with `ansible-playbook`; `directory`: an empty one for what it writes."""
    tally = directory / "tally.jsonl"
    own = {
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "tally",
        "TALLY_FILE": str(tally),
    }
    argv = [
        "ansible-playbook",
        "-i",
        inventory,
        playbook,
        "--extra-vars",
        json.dumps(dict(variables or {})),
        *arguments,
    ]
    began = time.monotonic()
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=timeout_s, cwd=directory,
        env=ansible_environment(directory, {**own, **(environment or {})}),
    )  # fmt: skip
    took_s = time.monotonic() - began
    lines = tally.read_text("utf-8").splitlines() if tally.exists() else []
    return Played(done.returncode, took_s, [Told(**json.loads(line)) for line in lines], done.stdout + done.stderr)
