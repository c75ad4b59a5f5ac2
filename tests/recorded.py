"""What Ansible itself wants executed for the tasks of recording/playbook.yml: recorded, never executed."""

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from annexfleet_agent.protocol.envelope import Module
from annexfleet_controller.rollouts import ansiballz
from annexfleet_controller.rollouts.modules import Split, split

_HERE = Path(__file__).with_name("recording")
PYTHON = "/usr/bin/python3"


@dataclass(frozen=True, eq=False, repr=False)
class Wanted:
    """A command that Ansible would execute."""

    argv: list[str]
    in_data: bytes

    @cached_property
    def call(self) -> ansiballz.Call:
        call = ansiballz.recognise(self.argv, self.in_data)
        assert call is not None
        return call

    @cached_property
    def split(self) -> Split:
        return split(self.call.zip_data)

    @cached_property
    def module(self) -> Module:
        call = self.call._asdict()
        del call["zip_data"], call["module"]
        return Module(files=self.split.files, **call)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Wanted]:
    """All that Ansible wants executed for the playbook, in its order."""
    pytest.importorskip("ansible", reason="ansible-core is not installed")
    if sys.platform != "linux" or not os.access(PYTHON, os.X_OK):
        pytest.skip(f"there is no {PYTHON}")
    return record(tmp_path_factory.mktemp("recorded"))


def record(directory: Path) -> list[Wanted]:
    """In the order of the playbook."""
    recorded = directory / "recorded.jsonl"
    place = directory / "place"
    place.mkdir()
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "device,", "playbook.yml"],
        cwd=_HERE, capture_output=True, text=True, check=False,
        env={
            "PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8", "ANSIBLE_HOME": str(directory),
            "RECORDED": str(recorded), "PLACE": str(place),
            "ANSIBLE_CONNECTION_PLUGINS": str(_HERE / "connection_plugins"),
            "ANSIBLE_LIBRARY": str(_HERE / "library"), "ANSIBLE_PIPELINING": "1", "ANSIBLE_TRANSPORT": "recording",
            "ANSIBLE_PYTHON_INTERPRETER": PYTHON, "ANSIBLE_REMOTE_TEMP": str(directory / "remote"),
            "ANSIBLE_LOCAL_TEMP": str(directory / "local"),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = recorded.read_text(encoding="utf-8").splitlines()
    return [Wanted(one["argv"], base64.b64decode(one["in_data"])) for one in map(json.loads, lines)]


def named(recorded: list[Wanted], fqn: str) -> list[Wanted]:
    """Those of one module, in the playbook's order."""
    calls = [(wanted, ansiballz.recognise(wanted.argv, wanted.in_data)) for wanted in recorded]
    found = [wanted for wanted, call in calls if call is not None and call.fqn == fqn and not call.as_root]
    assert found, fqn
    return found
