"""What the resident process must not drag along; the figures themselves are in tests/bench and tests/flow."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from annexfleet_agent import __version__, lean

_UNWANTED = {
    "asyncio", "http.client", "email", "cryptography", "urllib.request", "argparse", "typing_extensions", "inspect",
    "dataclasses", "subprocess", "ipaddress", "tokenize", "random", "tomllib", "unicodedata", "stringprep",
}  # fmt: skip


def imported_by(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_resident_process_imports_nothing_heavy():
    modules = imported_by("import annexfleet_agent.__main__, annexfleet_agent.program")

    assert {"paho.mqtt.client", "msgspec", "sqlite3", "psutil"} <= modules
    assert modules & _UNWANTED == set()
    # A megabyte of structs that only the runner needs.
    assert (
        modules & {f"annexfleet_agent.{name}" for name in ("protocol.envelope", "protocol.channel", "runner.jobs")}
        == set()
    )


def test_looking_up_a_name_loads_no_letters_of_the_world():
    modules = imported_by(
        "import annexfleet_agent.__main__, annexfleet_agent.program, socket\nsocket.getaddrinfo('localhost', 80)"
    )

    assert modules & {"unicodedata", "stringprep"} == set()


def test_what_was_put_off_is_there_when_somebody_wants_it():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import annexfleet_agent.lean, socket\n"
            "print('bücher.example'.encode('idna'), b'xn--bcher-kva'.decode('idna'), 'a.example.'.encode('idna'))\n"
            "import urllib.parse, paho.mqtt.client as paho\n"
            "print(urllib.parse.urlsplit('http://[::1]:80/').hostname, paho.urllib.request.getproxies is not None)\n"
            "import urllib.request, ipaddress, subprocess, typing_extensions, msgspec.inspect, tokenize\n"
            "print(ipaddress.ip_address('::1'), subprocess.run(['true']).returncode, msgspec.inspect.type_info(int))\n"
            "for bad in ('a..b', 'x' * 64 + '.example'):\n"
            "    try: bad.encode('idna')\n"
            "    except UnicodeError: print('refused')\n",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == [
        "b'xn--bcher-kva.example' bücher b'a.example.'",
        "::1 True",
        "::1 0 IntType(gt=None, ge=None, lt=None, le=None, multiple_of=None)",
        "refused",
        "refused",
    ]


def test_one_arena_can_be_asked_for_on_any_system():
    lean.use_one_arena()


def test_the_version_is_that_of_the_package():
    project = tomllib.loads((Path(__file__).parents[2] / "agent" / "pyproject.toml").read_text())["project"]

    assert __version__ == project["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


@pytest.mark.parametrize("module", ["annexfleet_agent.session", "annexfleet_agent.device"])
def test_each_room_can_be_imported_by_itself(module):
    assert module in imported_by(f"import {module}")
