"""Ansible's own modules through a real runner, as a relay sends them."""

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from tests.agent.runner.relays import Device, Relay
from tests.recorded import named

from annexfleet_agent.protocol.channel import Part
from annexfleet_agent.protocol.envelope import Request
from annexfleet_agent.protocol.requests import MissingGathering, deflated_files
from annexfleet_agent.runner import family


@pytest.fixture(scope="module")
def device():
    place = Path(tempfile.mkdtemp(prefix="af-runner-"))
    made = Device(place)
    made.start()
    yield made
    made.close()
    shutil.rmtree(place)


@pytest.fixture
def relay(device):
    made = Relay(device, device.link()).open()
    yield made
    made.put(Part("bye", 0))
    made.until(lambda: made.is_bye)


def missing(relay, number):
    """What the runner asks for; nothing if it has all."""
    relay.until(lambda: relay.parts["missing"] or number in relay.results)
    gathering = MissingGathering()
    asked = None
    while relay.parts["missing"] and asked is None:
        asked = gathering.add(relay.parts["missing"].pop(0))
    return asked or []


def run(relay, wanted, module=None):
    number = relay.ask(Request(op="module", module=module or wanted.module), wants_input=False)
    asked = missing(relay, number)
    if asked:
        relay.give(number, deflated_files([wanted.split.contents[digest] for digest in asked]))
    return relay.result(number), relay.data[number, "output"], asked


def test_files_cross_the_line_once_and_modules_run_warm_then(recorded, relay, device):
    wanted = named(recorded, "ansible.modules.stat")[0]

    first, output, asked = run(relay, wanted)
    again, same, nothing = run(relay, wanted)

    assert (first.exit_code, first.error) == (0, "")
    assert asked
    assert not nothing
    assert msgspec.json.decode(output)["stat"]["exists"] == msgspec.json.decode(same)["stat"]["exists"]
    assert again.exit_code == 0
    assert "Python of its own" not in device.log()


def by_manifest(wanted):
    return msgspec.structs.replace(wanted.module, files=[], manifest=wanted.split.manifest)


def test_a_module_whose_manifest_is_known_runs_without_its_files_being_named(recorded, relay, device):
    wanted = named(recorded, "ansible.modules.stat")[0]
    _, before, _ = run(relay, wanted)

    result, output, asked = run(relay, wanted, by_manifest(wanted))

    assert (result.exit_code, result.error, asked) == (0, "", [])
    assert msgspec.json.decode(output)["stat"]["exists"] == msgspec.json.decode(before)["stat"]["exists"]
    assert "Python of its own" not in device.log()


def test_a_module_whose_manifest_is_not_known_is_not_begun_and_then_is_told_whole(recorded, relay):
    wanted = named(recorded, "ansible.modules.slurp")[0]

    unknown, nothing, asked = run(relay, wanted, by_manifest(wanted))
    whole = msgspec.structs.replace(wanted.module, manifest=wanted.split.manifest)
    result, output, _ = run(relay, wanted, whole)
    known, again, _ = run(relay, wanted, by_manifest(wanted))

    assert (unknown.error, nothing, asked) == ("manifest_unknown", b"", [])
    assert (result.exit_code, result.error, known.exit_code, known.error) == (0, "", 0, "")
    assert output == again != b""


def test_files_that_do_not_fit_their_manifest_are_refused(recorded, relay):
    wanted = named(recorded, "ansible.modules.stat")[0]

    result, output, asked = run(relay, wanted, msgspec.structs.replace(wanted.module, manifest="ab" * 32))

    assert (result.error, output, asked) == ("malformed", b"", [])


def test_a_module_for_another_python_runs_cold_and_says_the_same(recorded, relay, device):
    wanted = named(recorded, "ansible.modules.stat")[0]
    _, warm, _ = run(relay, wanted)

    result, cold, _ = run(relay, wanted, msgspec.structs.replace(wanted.module, environment={"PYTHONHASHSEED": "1"}))

    assert result.exit_code == 0
    assert msgspec.json.decode(cold)["stat"]["exists"] == msgspec.json.decode(warm)["stat"]["exists"]
    assert "Python of its own" in device.log()


def test_files_that_are_not_what_was_asked_for_are_refused(recorded, relay):
    wanted = named(recorded, "ansible.modules.command")[0]
    module = msgspec.structs.replace(
        wanted.module, files=[msgspec.structs.replace(file, sha256="ab" * 32) for file in wanted.module.files[:1]]
    )
    for sent in (deflated_files([b"something else"]), deflated_files([]), b"not deflated at all", b""):
        number = relay.ask(Request(op="module", module=module), wants_input=False)
        assert missing(relay, number) == ["ab" * 32]
        relay.give(number, sent)
        assert relay.result(number).error == "malformed"


def test_a_module_that_runs_is_cancelled_whole(recorded, relay, device):
    wanted = next(one for one in named(recorded, "ansible.legacy.ends") if "takes its time" in one.call.params)
    path = Path(json.loads(wanted.call.params)["ANSIBLE_MODULE_ARGS"]["path"])
    path.unlink(missing_ok=True)
    number = relay.ask(Request(op="module", module=wanted.module), wants_input=False)
    relay.until(lambda: relay.parts["missing"] or path.exists())
    if relay.parts["missing"]:
        asked = missing(relay, number)
        relay.give(number, deflated_files([wanted.split.contents[digest] for digest in asked]))
    relay.until(lambda: len(sleepers(device)) == 2)

    relay.put(Part("cancel", number))

    assert relay.result(number).error == "cancelled"
    relay.until(lambda: not sleepers(device), 5)


def sleepers(device):
    """Whom the runner's work has put to sleep, wherever they went: an orphan becomes the runner's own child."""
    processes = family.table()
    found = []
    for pid in family.descendants(processes, [device.process.pid]):
        with suppress(OSError):
            if b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes() and processes[pid].state != "Z":
                found.append(pid)
    return found
