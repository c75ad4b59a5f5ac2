"""Which of the commands that Ansible wants executed are modules that a device may run warm."""

import base64
import hashlib
import io
import json
import subprocess
import sys
import zipfile

import pytest
from tests.recorded import PYTHON, Wanted, named

from annexfleet_controller.rollouts import ansiballz
from annexfleet_controller.rollouts.ansiballz import recognise


@pytest.fixture(scope="module")
def ping(recorded: list[Wanted]) -> Wanted:
    return next(one for one in recorded if b"ping" in one.in_data and one.argv[2].startswith("/opt"))


def plain(in_data: bytes, command: str = f"{PYTHON} && sleep 0") -> ansiballz.Call | None:
    return recognise(["/bin/sh", "-c", command], in_data)


def test_ansibles_own_wrapper_is_known():
    """If this fails after an upgrade of ansible-core: compare its `_wrapper.py` with `run_as_ansible_does`, and add it
    to `WRAPPERS` if it still does the same."""
    module_common = pytest.importorskip("ansible.executor.module_common")

    code = module_common._get_ansiballz_code("#!/usr/bin/python3")

    assert hashlib.sha256(code.partition("\n")[2].encode()).hexdigest() in ansiballz.WRAPPERS


def test_a_module_is_recognised_with_all_that_it_needs(recorded: list[Wanted]):
    call = named(recorded, "ansible.modules.command")[0].call

    assert (call.module, call.fqn, call.interpreter) == ("ansible.legacy.command", "ansible.modules.command", PYTHON)
    assert json.loads(call.params)["ANSIBLE_MODULE_ARGS"]["stdin"] == "l'été à Tétouan تطوان"
    assert (call.profile, call.extensions, call.rlimit_nofile) == ("legacy", "{}", 0)
    assert (call.environment, call.as_root) == ({}, False)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(call.zip_data))) as archive:
        assert "ansible/modules/command.py" in archive.namelist()


def test_its_environment_is_read_as_a_shell_would(recorded: list[Wanted]):
    wanted = named(recorded, "ansible.legacy.surroundings")[1]

    assert wanted.call.environment == {"WORDS": 'l\'eau $HOME `id` "x" é ع', "EMPTY": "", "TZ": "Asia/Tokyo"}
    by_a_shell = subprocess.run(
        ["/bin/sh", "-c", wanted.argv[2].replace(PYTHON, "env -0")], capture_output=True, text=True, check=True
    )
    assert wanted.call.environment.items() <= dict(v.split("=", 1) for v in by_a_shell.stdout.split("\0") if v).items()


def test_one_that_is_to_become_root_is_recognised(recorded: list[Wanted]):
    (wanted,) = [one for one in recorded if "-u root" in one.argv[-1] and one.in_data]

    assert (wanted.call.fqn, wanted.call.as_root) == ("ansible.modules.slurp", True)
    assert wanted.call.environment == {"WORDS": "it's"}


def test_whatever_else_ansible_wants_is_executed_as_it_is(recorded: list[Wanted]):
    others = [one.argv for one in recorded if recognise(one.argv, one.in_data) is None]

    commands = "\n".join(argv[-1] for argv in others)
    for expected in (
        "-u nobody",
        "/opt/python/bin/python3",
        "'/usr/bin/python3 -v'",
        "mkdir -p",
        "echo ~",
        "async_wrapper",
    ):
        assert expected in commands
    assert "surroundings" not in commands


@pytest.mark.parametrize(
    "command",
    [
        f"{PYTHON} -c 'x' && sleep 0",
        f"{PYTHON}; id",
        f"{PYTHON} && id && sleep 0",
        f"{PYTHON} || sleep 0",
        f"{PYTHON} > /etc/passwd",
        f"{PYTHON} &",
        f"cd /tmp && {PYTHON}",
        f"A=$(id) {PYTHON}",
        f"A=`id` {PYTHON}",
        f"A=$HOME {PYTHON}",
        f'A="$HOME" {PYTHON}',
        f"A=~ {PYTHON}",
        f"A=x;B=y {PYTHON}",
        f"A=x\n{PYTHON}",
        f"A=x #{PYTHON}",
        f"A='x {PYTHON}",
        f"1A=x {PYTHON}",
        f"A-B=x {PYTHON}",
        f"=x {PYTHON}",
        f"env A=x {PYTHON}",
        f" {PYTHON}",
        f"{PYTHON} ",
        f"'{PYTHON}'",
        "A=x",
        "",
        "python3",
        "/usr/bin/python",
        "/usr/bin/python2.7",
        "/usr/bin/python3.",
        "/usr/bin/python3.111",
        "/usr/bin/../bin/python3",
        "/tmp/usr/bin/python3",
        f"sudo {PYTHON}",
        f"sudo -H -S -n  -u root {PYTHON}",
        f"sudo -H -S -n  -u nobody /bin/sh -c 'echo BECOME-SUCCESS-abc ; {PYTHON}'",
        f"sudo -H -S -n  -u root /bin/sh -c 'echo BECOME-SUCCESS-abc ; {PYTHON}; id'",
        f"sudo -H -S -n  -u root /bin/sh -c 'echo BECOME-SUCCESS-abc ; {PYTHON}' ; id",
        f"sudo -H -S -n  -u root /bin/sh -c 'echo BECOME-SUCCESS-$(id) ; {PYTHON}'",
        f"sudo -H -S -n  -u root /bin/sh -c 'echo BECOME-SUCCESS-abc ; {PYTHON}' x",
        f'sudo -H -S -n  -u root /bin/sh -c "echo BECOME-SUCCESS-abc ; {PYTHON}"',
        f"sudo -H -S -n  -u root -p x /bin/sh -c 'echo BECOME-SUCCESS-abc ; {PYTHON}'",
        f"su root -c '{PYTHON}'",
    ],
)
def test_a_command_that_does_anything_else_is_no_module(ping: Wanted, command: str):
    assert plain(ping.in_data, command) is None


@pytest.mark.parametrize("command", [PYTHON, f"{PYTHON}.11 && sleep 0", f"A=1 B='' C='x y' {PYTHON} && sleep 0"])
def test_a_command_that_only_starts_python_is_one(ping: Wanted, command: str):
    assert plain(ping.in_data, command).fqn == "ansible.modules.ping"


@pytest.mark.parametrize(
    "argv", [[], ["/bin/sh"], [PYTHON], ["/bin/bash", "-c", PYTHON], ["/bin/sh", "-c", PYTHON, "x"]]
)
def test_only_a_shells_command_is_looked_at(ping: Wanted, argv: list[str]):
    assert recognise(argv, ping.in_data) is None


CALL = b"    _ansiballz_main(\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"_ANSIBALLZ_WRAPPER = True", b"_ANSIBALLZ_WRAPPER = True; import os"),
        (b"import shutil", b"import shutil as _"),
        (b'if __name__ == "__main__":', b"if True:"),
        (b"rlimit_nofile=0,", b"rlimit_nofile=True,"),
        (b"rlimit_nofile=0,", b"rlimit_nofile=0,\nmore=1,"),
        (b"rlimit_nofile=0,", b"rlimit_nofile=0, more=1,"),
        (b"rlimit_nofile=0,", b"rlimit_nofile=0,\nrlimit_nofile=0,"),
        (b"rlimit_nofile=0,", b"rlimit_nofile=open('/etc/passwd'),"),
        (b"rlimit_nofile=0,", b"rlimit_nofile=1 << 99,"),
        (b"rlimit_nofile=0,\n", b""),
        (b"extensions={},", b"extensions=[],"),
        (b"extensions={},", b"extensions={1: {2}},"),
        (b"extensions={},", b"extensions=" + b"(" * 5000 + b","),
        (b"ansible_module=", b"ansible_modules="),
        (b"params='", b"params=b'"),
        (b"params='", b"params='x"),
        (b"date_time=datetime.datetime(", b"date_time=exec("),
        (b"zip_data='", b"zip_data=f'"),
        (b"module_fqn='", b"module_fqn='\xff"),
        (CALL, CALL + b"**{},\n"),
    ],
)
def test_a_payload_that_differs_anywhere_is_no_module(ping: Wanted, old: bytes, new: bytes):
    assert plain(ping.in_data).fqn == "ansible.modules.ping"
    assert ping.in_data.count(old) >= 1

    assert plain(ping.in_data.replace(old, new)) is None


@pytest.mark.parametrize("change", ["cut off", "goes on", "goes on after a line", "empty", "twice", "another's"])
def test_a_payload_that_does_not_end_there_is_no_module(ping: Wanted, change: str):
    whole = ping.in_data
    other = {
        "cut off": whole[:-3],
        "goes on": whole + b"import os",
        "goes on after a line": whole + b"os.system('id')\n)\n",
        "empty": b"",
        "twice": whole + whole,
        "another's": b"#!/usr/bin/python3\nprint(1)\n",
    }

    assert plain(other[change]) is None


def test_the_plugin_may_import_this_without_anything_else():
    done = subprocess.run(
        [sys.executable, "-c", "import annexfleet_controller.rollouts.ansiballz, sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert not {"ansible", "msgspec", "sqlalchemy", "fastapi", "paho"} & set(done.stdout.split())
