"""Compiled code of Ansible's modules, kept on disk from one warm Python to the next."""

import hashlib
import marshal
import os
import subprocess
from pathlib import Path

import pytest
from tests.agent.runner.warming import Device, surroundings
from tests.recorded import PYTHON, Wanted, named

from annexfleet_agent.runner.warmth import Warm

_SPOIL = """
import hashlib, marshal, sys, types
for file in sys.argv[1:]:
    with open(file, "rb") as kept:
        code = marshal.loads(kept.read()[32:])
    if code.co_filename.endswith("ansible/modules/stat.py"):
        text = marshal.dumps(compile("print('kept')", code.co_filename, "exec"))
        with open(file, "wb") as kept:
            kept.write(hashlib.sha256(text).digest() + text)
"""


@pytest.fixture
def stat(recorded: list[Wanted]) -> Wanted:
    return named(recorded, "ansible.modules.stat")[0]


@pytest.fixture
def codes(fresh_device: Device, stat: Wanted, tmp_path: Path) -> Path:
    """What one warm Python left, with another content for one file, so that its use can be seen."""
    assert fresh_device.run(stat).exit_code == 0
    fresh_device.warm.close()
    (directory,) = tmp_path.rglob("warm-code")
    files = sorted(directory.iterdir())
    assert len(files) > 50
    subprocess.run([PYTHON, "-c", _SPOIL, *map(str, files)], check=True)
    return directory


def again(device: Device, codes: Path) -> Device:
    device.warm = Warm(codes.with_name("warm"), environment=surroundings(device.home))
    return device


def test_the_next_python_takes_what_the_last_one_compiled(fresh_device: Device, stat: Wanted, codes: Path):
    assert again(fresh_device, codes).run(stat).output.startswith(b"kept")


def test_what_is_damaged_is_compiled_anew(fresh_device: Device, stat: Wanted, codes: Path):
    for file in codes.iterdir():
        os.truncate(file, file.stat().st_size - 1)

    outcome = again(fresh_device, codes).run(stat)

    assert outcome.exit_code == 0
    assert outcome.said["stat"]["exists"] is True
    for file in codes.iterdir():
        digest, text = file.read_bytes()[:32], file.read_bytes()[32:]
        assert hashlib.sha256(text).digest() == digest, "it was not written anew"


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_what_others_could_have_written_is_not_executed(
    fresh_device: Device, stat: Wanted, codes: Path, mode: int
):  # fmt: skip
    codes.chmod(mode)

    outcome = again(fresh_device, codes).run(stat)

    assert outcome.said["stat"]["exists"] is True


def test_what_is_kept_is_bounded(fresh_device: Device, stat: Wanted, codes: Path):
    for number in range(4001):
        (codes / f"{number}").write_bytes(marshal.dumps(None))

    assert again(fresh_device, codes).run(stat).said["stat"]["exists"] is True
    assert len(list(codes.iterdir())) < 1000
