"""Modules of Ansible run warm as they do in a Python of their own: every one of these is compared with that."""

import json
import os
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.agent.runner.warming import Device, Outcome, eventually, plainly
from tests.recorded import Wanted, named

_VOLATILE = {"start", "end", "delta"}
_VOLATILE_FACTS = re.compile(
    r"ansible_(date_time|uptime_seconds|mem.*|loadavg|mounts|processor_.*|swap.*|env|devices|interfaces|all_ipv.*"
    r"|default_ipv.|a?fb?[0-9].*|if.*|v.*eth.*|vdev.*)"
)
"""Other tests make network interfaces meanwhile."""


def both(wanted: Wanted, device: Device, *, before: Callable[[], object] = lambda: None) -> tuple[Outcome, Outcome]:
    """As Ansible would, and warm; `before` each."""
    before()
    plain = plainly(wanted, device.home)
    before()
    return plain, device.run(wanted)


def settled(said: dict[str, Any]) -> dict[str, Any]:
    """Without what is another with every run."""
    kept = {name: value for name, value in said.items() if name not in _VOLATILE}
    facts = kept.get("ansible_facts")
    if facts:
        # What Ansible makes of sets has another order in each process.
        kept["ansible_facts"] = {
            name: sorted(value, key=str) if isinstance(value, list) else value
            for name, value in facts.items()
            if not _VOLATILE_FACTS.fullmatch(name)
        }
    return kept


@pytest.mark.parametrize(
    "fqn",
    [
        "stat",
        "command",
        "setup",
        "apt",
        "service_facts",
        "package_facts",
        "find",
        "slurp",
        "user",
        "async_status",
        "uri",
    ],
)
def test_a_module_of_ansible_says_the_same(recorded: list[Wanted], device: Device, fqn: str):
    for wanted in named(recorded, f"ansible.modules.{fqn}"):
        plain, warm = both(wanted, device)

        assert settled(warm.said) == settled(plain.said)
        assert (warm.exit_code, warm.errors) == (plain.exit_code, plain.errors)


def test_a_module_that_changes_something_changes_the_same(recorded: list[Wanted], device: Device):
    (wanted,) = named(recorded, "ansible.modules.lineinfile")
    path = Path(json.loads(wanted.call.params)["ANSIBLE_MODULE_ARGS"]["path"])
    written = []

    def before() -> None:
        if path.exists():
            written.append((path.read_bytes(), path.stat().st_mode))
        path.unlink(missing_ok=True)

    plain, warm = both(wanted, device, before=before)
    before()

    assert warm == plain
    assert warm.said["changed"] is True
    assert written[0] == written[1] == ("ville = Fès فاس\n".encode(), 0o100600)


def test_a_copy_puts_its_file_in_place(recorded: list[Wanted], device: Device):
    (wanted,) = named(recorded, "ansible.modules.copy")
    arguments = json.loads(wanted.call.params)["ANSIBLE_MODULE_ARGS"]
    copied = Path(arguments["dest"])

    def before() -> None:
        copied.unlink(missing_ok=True)
        source = Path(arguments["src"])
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("Salé سلا\n", encoding="utf-8")

    plain, warm = both(wanted, device, before=before)

    assert settled(warm.said) == settled(plain.said)
    assert warm.exit_code == 0
    assert copied.read_text(encoding="utf-8") == "Salé سلا\n"
    assert copied.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("nth", [0, 1, 3], ids=["by itself", "with an environment", "with a limit of files"])
def test_a_module_finds_the_surroundings_of_a_fresh_python(recorded: list[Wanted], device: Device, nth: int):
    wanted = named(recorded, "ansible.legacy.surroundings")[nth]
    device.run(wanted)  # the second one finds a Python that has worked already

    plain, warm = both(wanted, device)

    assert (warm.exit_code, warm.errors) == (0, b"")
    assert warm.said.pop("random", None) != plain.said.pop("random", None)
    ours, theirs = ({k: v for k, v in one.said.items() if k != "random"} for one in (warm, plain))
    assert ours == theirs
    assert ours["leads_session"]
    assert ours["environment"]["LANG"] == "C.UTF-8"
    if nth == 1:
        assert ours["environment"]["WORDS"] == 'l\'eau $HOME `id` "x" é ع'
        assert ours["zone"][0][0] == "JST"
    if nth == 3:
        assert ours["limits"]["RLIMIT_NOFILE"][0] == 300


def test_no_two_modules_draw_the_same_random_numbers(recorded: list[Wanted], device: Device):
    drawn = [tuple(device.run(wanted).said["random"]) for wanted in named(recorded, "ansible.legacy.surroundings")[4:]]

    assert len(set(drawn)) == 3


def test_the_runners_umask_holds(recorded: list[Wanted], fresh_device: Device):
    wanted = named(recorded, "ansible.legacy.surroundings")[0]
    before = os.umask(0o027)
    try:
        plain, warm = both(wanted, fresh_device)
    finally:
        os.umask(before)

    assert warm.said["umask"] == plain.said["umask"] == 0o027


ENDS = [
    "succeeds", "raises", "falls through", "fails", "exits at once", "exits with words", "exits with 300", "is killed",
    "crashes", "is interrupted", "prints much", "leaves a thread", "leaves a file open", "daemonises",
    "closes its output",
]  # fmt: skip


@pytest.mark.parametrize("how", ENDS)
def test_a_module_ends_as_in_a_fresh_python(recorded: list[Wanted], device: Device, how: str):
    wanted = ending(recorded, how)
    path = Path(json.loads(wanted.call.params)["ANSIBLE_MODULE_ARGS"]["path"])
    path.unlink(missing_ok=True)
    left: list[str] = []

    def before() -> None:
        if path.exists():
            left.append(path.read_text(encoding="utf-8"))
            path.unlink()
            if how == "daemonises":
                os.kill(int(left[-1]), signal.SIGKILL)

    if how == "daemonises":
        plain, warm = plainly(wanted, device.home), None
        eventually(path.exists)
        before()
        warm = device.run(wanted)
        eventually(path.exists)
    else:
        plain, warm = both(wanted, device, before=before)
    before()

    assert (warm.exit_code, warm.output) == (plain.exit_code, plain.output)
    if how == "is interrupted":
        assert warm.errors.endswith(b"KeyboardInterrupt\n")
    elif how == "closes its output":
        assert warm.exit_code == 120
    else:
        assert warm.errors == plain.errors
    if how == "daemonises":
        assert len(left) == 2
    else:
        assert left[:1] == left[1:]
    # The warm Python has taken no harm.
    assert device.run(ending(recorded, "succeeds")).exit_code == 0
    assert device.warm.falls == 0


def ending(recorded: list[Wanted], how: str) -> Wanted:
    return next(
        wanted for wanted in named(recorded, "ansible.legacy.ends")
        if json.loads(wanted.call.params)["ANSIBLE_MODULE_ARGS"]["how"] == how
    )  # fmt: skip


def test_limits_and_control_group_are_entered_before_the_module_starts(
    recorded: list[Wanted], device: Device, tmp_path: Path
):
    wanted = named(recorded, "ansible.legacy.surroundings")[0]
    entrance = tmp_path / "cgroup.procs"

    said = device.run(
        wanted, entrance=entrance, limits=[(resource.RLIMIT_CPU, 77), (resource.RLIMIT_CORE, 0)], nicer_by=3
    ).said

    assert entrance.read_text(encoding="utf-8") == "0"
    assert said["limits"]["RLIMIT_CPU"] == [77, 82]
    assert said["nice"] == os.nice(0) + 3
    assert said["limits"]["RLIMIT_CORE"] == [0, 0]


def test_parameters_may_be_long(recorded: list[Wanted], device: Device):
    wanted = named(recorded, "ansible.legacy.surroundings")[0]
    arguments = json.loads(wanted.module.params)
    arguments["ANSIBLE_MODULE_ARGS"]["text"] = text = "ع" * 3_000_000
    module = msgspec.structs.replace(wanted.module, params=json.dumps(arguments))

    assert device.run(wanted, module).said["text"] == text


def test_two_hundred_modules_leave_nothing_behind(recorded: list[Wanted], fresh_device: Device):
    device = fresh_device
    wanted = named(recorded, "ansible.modules.stat")[0]
    for _ in range(3):
        device.run(wanted)
    (zygote,) = device.warm.pids
    here, memory = descriptors(os.getpid()), resident_kib(zygote)

    for _ in range(200):
        assert device.run(wanted).exit_code == 0

    assert device.warm.pids == [zygote]
    assert descriptors(os.getpid()) == here
    eventually(lambda: descriptors(zygote) == IDLE_DESCRIPTORS)
    assert children(zygote) == []
    assert resident_kib(zygote) < memory + 4096


IDLE_DESCRIPTORS = 7
"""The three streams, the runner's socket, epoll's, and both ends of what signals wake it by."""


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
