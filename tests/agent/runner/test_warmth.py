"""Warm Pythons: which module may use which, what becomes of them, and how a module runs without."""

import ast
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.agent.runner.warming import Device, Outcome, eventually, plainly, surroundings
from tests.recorded import PYTHON, Wanted, named

from annexfleet_agent.protocol.envelope import Module, ModuleFile
from annexfleet_agent.runner import warm, warmth
from annexfleet_agent.runner.warmth import Cold, Lost, NeverStarted, plain

BASIC = "ansible/module_utils/basic.py"


@pytest.fixture
def stat(recorded: list[Wanted]) -> Wanted:
    return named(recorded, "ansible.modules.stat")[0]


@pytest.fixture
def slow(recorded: list[Wanted]) -> Wanted:
    """Tells that it began, and then takes its time, with two programs of its own."""
    return next(one for one in named(recorded, "ansible.legacy.ends") if "takes its time" in one.call.params)


def path_of(wanted: Wanted) -> Path:
    return Path(json.loads(wanted.call.params)["ANSIBLE_MODULE_ARGS"]["path"])


def edited(device: Device, wanted: Wanted, name: str, old: bytes, new: bytes) -> Module:
    """The same module with another content of one file, which the device has already."""
    split = wanted.split
    digest = next(file.sha256 for file in split.files if file.name == name)
    content = split.contents[digest].replace(old, new, 1)
    assert content != split.contents[digest]
    device.archive(wanted)
    device.cache.add(hashlib.sha256(content).hexdigest(), content)
    files = [
        ModuleFile(file.name, hashlib.sha256(content).hexdigest()) if file.name == name else file
        for file in split.files
    ]
    return replace(wanted.module, files=files)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# -- what may be inherited


def test_what_differs_by_one_byte_is_not_inherited(stat: Wanted, fresh_device: Device):
    device = fresh_device
    other = edited(device, stat, BASIC, b"def exit_json(", b"def exit_jsoX(")
    assert device.run(stat).exit_code == 0
    (first,) = device.warm.pids

    broken = device.run(stat, other)

    assert b"exit_json" in broken.output
    assert len(device.warm.pids) == 2
    assert device.run(stat).exit_code == 0
    assert first in device.warm.pids


def test_a_file_that_no_module_imports_first_may_differ(recorded: list[Wanted], stat: Wanted, fresh_device: Device):
    device = fresh_device
    device.run(stat)
    pids = device.warm.pids

    for fqn in ("ansible.modules.setup", "ansible.modules.find", "ansible.legacy.surroundings"):
        assert device.run(named(recorded, fqn)[0]).exit_code == 0
    other = edited(device, stat, "ansible/modules/stat.py", b"exists=True", b"exists='so'")
    said = device.run(stat, other).said

    assert said["stat"]["exists"] == "so"
    assert device.run(stat).said["stat"]["exists"] is True
    assert device.warm.pids == pids


def test_a_payload_without_what_others_import_gets_a_python_of_its_own(stat: Wanted, fresh_device: Device):
    device = fresh_device
    device.run(stat)
    without = replace(stat.module, files=[file for file in stat.module.files if file.name != BASIC])

    ended = device.run(stat, without)

    assert ended.exit_code == 1
    assert b"ansible.module_utils" in ended.errors
    assert len(device.warm.pids) == 2


def test_a_third_version_takes_the_place_of_the_one_used_longest_ago(stat: Wanted, fresh_device: Device):
    device = fresh_device
    versions = [edited(device, stat, BASIC, b"def exit_json(", b"def exit_json(" + b" " * n) for n in (1, 2, 3)]
    assert device.run(stat, versions[0]).exit_code == 0
    (first,) = device.warm.pids

    for module in versions[1:]:
        assert device.run(stat, module).exit_code == 0
    eventually(lambda: device.warm.tidy() or len(device.warm.pids) == 2)
    pids = device.warm.pids
    for module in (versions[1], versions[2]):
        assert device.run(stat, module).exit_code == 0

    assert sorted(device.warm.pids) == sorted(pids)
    assert not alive(first)


# -- cancelled, fallen, replaced


def test_to_cancel_kills_the_session_whole(slow: Wanted, fresh_device: Device):
    path_of(slow).unlink(missing_ok=True)
    running = fresh_device.start(slow)
    eventually(path_of(slow).exists)
    leader = running.started.pid
    members = warm.session_of(leader)
    assert len(members) == 3  # with the one that leads another session

    running.started.cancel()
    ended = running.outcome()

    assert ended.exit_code == -signal.SIGKILL
    eventually(lambda: not any(alive(pid) for pid in members))
    assert fresh_device.warm.falls == 0


def test_letting_go_of_a_module_cancels_it(slow: Wanted, fresh_device: Device):
    path_of(slow).unlink(missing_ok=True)
    running = fresh_device.start(slow)
    eventually(path_of(slow).exists)
    members = warm.session_of(running.started.pid)

    running.close()

    eventually(lambda: not any(alive(pid) for pid in members))


def test_a_second_module_waits_for_nobody(slow: Wanted, stat: Wanted, fresh_device: Device):
    path_of(slow).unlink(missing_ok=True)
    running = fresh_device.start(slow)
    eventually(path_of(slow).exists)

    with pytest.raises(Cold, match="runs"):
        fresh_device.start(stat)
    running.close()


def test_a_python_that_fell_takes_its_module_with_it_and_is_replaced(slow: Wanted, stat: Wanted, fresh_device: Device):
    path_of(slow).unlink(missing_ok=True)
    running = fresh_device.start(slow)
    eventually(path_of(slow).exists)
    members = warm.session_of(running.started.pid)
    (fallen,) = fresh_device.warm.pids

    os.kill(fallen, signal.SIGKILL)
    eventually(lambda: fresh_device.warm.tidy() or fresh_device.warm.falls)
    fresh_device.warm.tidy()
    assert fresh_device.warm.falls == 1
    with pytest.raises(Lost):
        running.outcome()

    eventually(lambda: not any(alive(pid) for pid in members))
    assert fresh_device.run(stat).exit_code == 0
    assert fallen not in fresh_device.warm.pids
    fresh_device.warm.tidy()
    assert fresh_device.warm.falls == 0


@pytest.mark.parametrize("end", ["close", "cancel", "all"])
def test_what_a_fallen_python_left_is_killed_though_nobody_asks_how_it_ended(slow: Wanted, tmp_path: Path, end: str):
    device = Device(tmp_path / "device")
    path_of(slow).unlink(missing_ok=True)
    running = device.start(slow)
    eventually(path_of(slow).exists)
    members = warm.session_of(running.started.pid)
    (fallen,) = device.warm.pids
    os.kill(fallen, signal.SIGKILL)
    eventually(lambda: not alive(fallen))

    {"close": running.started.close, "cancel": running.started.cancel, "all": device.close}[end]()

    eventually(lambda: not any(alive(pid) for pid in members))
    running.close()
    device.close()


def test_a_python_that_falls_before_the_module_began_says_so(
    stat: Wanted, fresh_device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    program = tmp_path / "falls.py"
    program.write_text("raise SystemExit(3)\n", encoding="utf-8")
    monkeypatch.setattr(warmth, "_PROGRAM", program)

    for _ in range(warmth.MOST_FALLS):
        try:
            with pytest.raises(NeverStarted):
                fresh_device.run(stat)
        except Cold:  # it had fallen before the module could be handed over
            continue
        eventually(lambda: fresh_device.warm.tidy() or not fresh_device.warm.pids)

    with pytest.raises(Cold, match="fall"):
        fresh_device.start(stat)


def test_one_that_does_not_answer_is_killed_when_asked_twice(stat: Wanted, fresh_device: Device):
    fresh_device.run(stat)
    (stuck,) = fresh_device.warm.pids
    os.kill(stuck, signal.SIGSTOP)
    running = fresh_device.start(stat)

    running.started.cancel()
    running.started.cancel()

    with pytest.raises(NeverStarted):
        running.outcome()
    assert fresh_device.run(stat).exit_code == 0


def test_one_that_has_worked_enough_is_replaced(stat: Wanted, fresh_device: Device, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warmth, "MOST_MODULES", 3)

    seen = []
    for _ in range(6):
        assert fresh_device.run(stat).exit_code == 0
        seen.append(fresh_device.warm.pids[0])

    assert len(set(seen)) == 2
    eventually(lambda: fresh_device.warm.tidy() or not alive(seen[0]))
    assert fresh_device.warm.falls == 0


def test_one_that_has_grown_too_far_is_replaced(stat: Wanted, fresh_device: Device, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warmth, "MOST_BYTES", 1024)
    fresh_device.run(stat)
    (first,) = fresh_device.warm.pids

    assert fresh_device.run(stat).exit_code == 0

    eventually(lambda: fresh_device.warm.tidy() or first not in fresh_device.warm.pids)


def test_what_is_installed_for_python_is_seen_at_once(stat: Wanted, fresh_device: Device):
    fresh_device.run(stat)
    (first,) = fresh_device.warm.pids
    fresh_device.warm.tidy()
    mine = subprocess.run(
        [PYTHON, "-c", "import site; print(site.getusersitepackages())"],
        env=surroundings(fresh_device.home), capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip

    Path(mine).mkdir(parents=True)
    assert fresh_device.run(stat).exit_code == 0

    assert first not in fresh_device.warm.pids[:1]


def test_when_the_runner_dies_nothing_goes_on(slow: Wanted, stat: Wanted, tmp_path: Path):
    path_of(slow).unlink(missing_ok=True)
    device = Device(tmp_path / "device")
    archive = device.archive(slow)
    code = (
        "import sys, time, pathlib, msgspec\n"
        "from annexfleet_agent.protocol.envelope import Module\n"
        "from annexfleet_agent.runner.warmth import Warm\n"
        "directory, home, archive = map(pathlib.Path, sys.argv[1:4])\n"
        "warm = Warm(directory, environment={'HOME': str(home), 'PATH': '/usr/bin:/bin'})\n"
        "started = warm.start(msgspec.json.decode(sys.stdin.read(), type=Module), archive, 1, 2)\n"
        "while started.pid is None: time.sleep(0.01)\n"
        "print(started.pid, *warm.pids, flush=True)\n"
        "time.sleep(1000)\n"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "other", device.home, archive],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    runner.stdin.write(msgspec.json.encode(slow.module))
    runner.stdin.close()
    leader, zygote = map(int, runner.stdout.readline().split())
    eventually(path_of(slow).exists)
    members = warm.session_of(leader)

    runner.kill()
    runner.wait()
    runner.stdout.close()

    eventually(lambda: not any(alive(pid) for pid in (*members, zygote)))
    device.close()


def test_nothing_is_left_when_it_is_closed(slow: Wanted, stat: Wanted, tmp_path: Path):
    device = Device(tmp_path / "device")
    path_of(slow).unlink(missing_ok=True)
    running = device.start(slow)
    eventually(path_of(slow).exists)
    pids = [*device.warm.pids, *warm.session_of(running.started.pid)]

    device.close()

    eventually(lambda: not any(alive(pid) for pid in pids))
    assert list((tmp_path / "device" / "warm").iterdir()) == []
    running.close()


def test_to_start_returns_at_once_also_the_first_time(stat: Wanted, fresh_device: Device):
    fresh_device.archive(stat)
    took = []
    for _ in range(4):
        began = time.thread_time()
        running = fresh_device.start(stat)
        took.append(time.thread_time() - began)
        running.outcome()

    assert min(took[1:]) < 0.01
    assert took[0] < 0.1


# -- without warmth


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"interpreter": "/opt/python/bin/python3"}, "another Python"),
        ({"interpreter": "/usr/bin/python3x"}, "another Python"),
        ({"environment": {"LC_ALL": "C"}}, "environment"),
        ({"environment": {"PYTHONPATH": "/tmp"}}, "environment"),
        ({"environment": {"LD_PRELOAD": "x.so"}}, "environment"),
        ({"environment": {"HOME": "/nowhere"}}, "environment"),
    ],
)
def test_some_modules_cannot_run_warm(stat: Wanted, device: Device, change: dict, why: str):
    with pytest.raises(Cold, match=why):
        device.start(stat, replace(stat.module, **change))


def test_a_runner_that_is_not_root_asks_sudo(stat: Wanted, device: Device, monkeypatch: pytest.MonkeyPatch):
    module = replace(stat.module, as_root=True, environment={"A": "b c"})
    assert device.run(stat, module).exit_code == 0

    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(Cold, match="root"):
        device.start(stat, module)
    argv, _ = plain(module, Path("/x"))
    assert argv == ["sudo", "-H", "-S", "-n", "-u", "root", "env", "A=b c", PYTHON]


@pytest.mark.parametrize("nth", range(5))
def test_a_module_runs_the_same_without_warmth(recorded: list[Wanted], device: Device, nth: int):
    wanted = named(recorded, "ansible.legacy.surroundings")[nth]
    argv, text = plain(wanted.module, device.archive(wanted))

    done = subprocess.run(
        argv, input=text, capture_output=True, check=False, cwd=device.home, start_new_session=True,
        env=surroundings(device.home) | wanted.module.environment,
    )  # fmt: skip
    ours, theirs = Outcome(done.returncode, done.stdout, done.stderr).said, plainly(wanted, device.home).said
    del ours["random"], theirs["random"]

    assert ours == theirs


def test_the_text_of_a_module_without_warmth_is_text_whatever_its_parameters(stat: Wanted, device: Device):
    arguments = json.loads(stat.module.params)
    arguments["ANSIBLE_MODULE_ARGS"]["path"] = "/tmp/\"'''\\\n{}é\u2028ع"
    module = replace(stat.module, params=json.dumps(arguments, ensure_ascii=False))
    argv, text = plain(module, device.archive(stat))

    done = subprocess.run(argv, input=text, capture_output=True, check=True, env=surroundings(device.home))

    assert json.loads(done.stdout)["invocation"]["module_args"]["path"] == arguments["ANSIBLE_MODULE_ARGS"]["path"]
    assert device.run(stat, module).output == done.stdout


# -- other Pythons


def test_the_script_is_written_for_the_oldest_of_them():
    ast.parse(Path(warm.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(Path(warm.__file__).read_text(encoding="utf-8")))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                     if isinstance(node, ast.Import) else [])
    }  # fmt: skip

    assert imported - sys.stdlib_module_names == {"ansible"}
    assert not set(warm.IMPORTED_FIRST.replace(".", " ").split()) & {"multiprocessing", "ansible"}


def other_pythons() -> list[str]:
    """Of those that devices have; whatever of them is on this machine."""
    found = []
    for minor in (9, 10, 12, 13, 14):
        places = [
            shutil.which(f"python3.{minor}"),
            *Path("~/.pyenv/versions").expanduser().glob(f"3.{minor}.*/bin/python3"),
        ]
        real = [str(place) for place in places if place and "shims" not in str(place)]
        found += real[:1]
    return found


@pytest.mark.parametrize("python", other_pythons())
def test_other_pythons_can_be_kept_warm_too(
    recorded: list[Wanted], stat: Wanted, fresh_device: Device, monkeypatch: pytest.MonkeyPatch, python: str
):
    monkeypatch.setattr(warmth, "_INTERPRETER", re.compile(".*"))
    wanted = named(recorded, "ansible.legacy.surroundings")[0]
    module = replace(wanted.module, interpreter=python)
    fresh_device.run(stat, replace(stat.module, interpreter=python))

    ours = fresh_device.run(wanted, module)
    argv, text = plain(module, fresh_device.archive(wanted))
    done = subprocess.run(
        argv, input=text, capture_output=True, check=False, cwd=fresh_device.home, start_new_session=True,
        env=surroundings(fresh_device.home),
    )  # fmt: skip
    theirs = Outcome(done.returncode, done.stdout, done.stderr)

    assert ours.errors == theirs.errors
    assert ours.said | {"random": 0} == theirs.said | {"random": 0}
    assert len(fresh_device.warm.pids) == 1
    assert fresh_device.warm.falls == 0
