"""What a simulated device answers to a run; nothing is done on this machine."""

import hashlib
import json
from pathlib import Path

import pytest

from annexfleet_agent.protocol.channel import Part
from annexfleet_agent.protocol.envelope import Module, Request, Result
from annexfleet_controller.simulate.answers import Visit
from annexfleet_controller.simulate.province import Province
from annexfleet_controller.simulate.worse import Worsening
from annexfleet_controller.waves.mishaps import Fault
from annexfleet_controller.waves.rehearsal.script import Release

TEMPORARY = b"/root" + b"/.ansible/tmp"


class Desk:
    """Where an answer is heard."""

    number = 1

    def __init__(self) -> None:
        self.output = b""
        self.results: list[Result] = []

    def say(self, part: Part) -> None:
        self.output += part.data

    def may_say(self) -> bool:
        return True

    def consumed(self) -> None: ...

    def done(self, result: Result) -> None:
        self.results.append(result)


@pytest.fixture
def visit(province: Province) -> Visit:
    return Visit(Worsening(Release(), province.machines[0], seed=1))


def faulty(province: Province, fault: Fault) -> Visit:
    return Visit(Worsening(Release(fault=fault), province.machines[0], seed=1))


def module(name: str, **arguments: object) -> Request:
    params = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    return Request(
        op="module", module=Module(manifest="0" * 64, fqn=f"ansible.modules.{name}", params=params, profile="legacy")
    )


def answered(visit: Visit, request: Request, *, input_: bytes | None = None) -> Desk:
    desk = Desk()
    answer = visit.answer(desk, request)
    answer.start()
    if input_ is not None:
        answer.feed(Part("input", 1, input_, last=True))
    return desk


def test_a_task_is_answered_as_changed_and_nothing_is_done(visit: Visit, tmp_path: Path):
    place = tmp_path / "file"

    desk = answered(visit, module("copy", dest=str(place), content="x"))

    assert json.loads(desk.output)["changed"] is True
    assert [result.exit_code for result in desk.results] == [0]
    assert visit.changed_something
    assert not place.exists()


def test_what_only_looks_changes_nothing(visit: Visit):
    facts = json.loads(answered(visit, module("setup")).output)
    there = json.loads(answered(visit, module("stat", path="/run/systemd/system")).output)
    user = json.loads(answered(visit, module("command", _raw_params="id -u")).output)

    assert facts["ansible_facts"]["ansible_distribution"] == "Debian"
    assert there["stat"]["exists"]
    assert user["stdout"] == "0"
    assert not Visit(visit._worsening).changed_something


def test_one_that_fails_fails_every_task_and_was_not_changed(province: Province):
    visit = faulty(province, "play_fails")

    desk = answered(visit, module("copy"))

    assert json.loads(desk.output)["failed"] is True
    assert desk.results[0].exit_code == 1
    assert not visit.changed_something


def test_one_that_hangs_ends_when_nobody_waits_any_more(province: Province):
    desk = Desk()
    answer = faulty(province, "hangs").answer(desk, module("copy"))
    answer.start()

    assert desk.results == []
    answer.cancel("timed_out")
    assert [result.error for result in desk.results] == ["timed_out"]


def test_files_are_compared_and_let_go(visit: Visit, tmp_path: Path):
    content, place = b"some content", tmp_path / "file"
    good = Request(op="put", path=str(place), size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    assert answered(visit, good, input_=content).results == [Result(sha256=good.sha256)]
    assert answered(visit, good, input_=b"other").results == [Result(error="digest_differs")]
    assert not place.exists()
    assert answered(visit, Request(op="fetch", path="/etc/shadow")).results[0].error == "not_found"


def test_ansibles_own_questions_to_a_shell(visit: Visit):
    made = "( umask 77 && mkdir -p /somewhere/tmp && mkdir /somewhere/tmp/ansible-tmp-1.5-7-9 )"

    home = answered(visit, Request(op="exec", argv=["/bin/sh", "-c", "echo ~ && sleep 0"]), input_=b"")
    directory = answered(visit, Request(op="exec", argv=["/bin/sh", "-c", made]), input_=b"")
    other = answered(visit, Request(op="exec", argv=["touch", "/tmp/not-made"]), input_=b"")

    assert home.output == b"/root\n"
    assert directory.output == b"ansible-tmp-1.5-7-9=" + TEMPORARY + b"/ansible-tmp-1.5-7-9\n"
    assert (other.output, other.results) == (b"", [Result()])
    assert not Path("/tmp/not-made").exists()
