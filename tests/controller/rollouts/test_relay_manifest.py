"""Modules on their way to a device: by their manifest first, and whole where the device does not know that."""

import os

import msgspec
import pytest
from msgspec.structs import replace
from tests.controller.rollouts.relay_line import Asker, Line, kinds

from annexfleet_agent.protocol.channel import DATA_BYTES, Part
from annexfleet_agent.protocol.envelope import Module, ModuleFile, Request
from annexfleet_agent.protocol.requests import MAX_REQUEST_BYTES, RequestGathering, manifest_of
from annexfleet_controller.rollouts.relay import words
from annexfleet_controller.rollouts.relay.errand import Errand
from annexfleet_controller.rollouts.relay.framing import Verdict

DIGEST = "1" * 64
FILES = [ModuleFile("ansible/__init__.py", "0" * 64), ModuleFile("ansible/modules/x.py", DIGEST)]
MODULE = Module(files=FILES, manifest=manifest_of(FILES), fqn="ansible.modules.x", params="{}", profile="legacy")


class Asking:
    """A line on which a module was asked for, and what the device heard of it."""

    def __init__(self, module: Module = MODULE) -> None:
        self.line = Line()
        self.asker = Asker()
        self.packed: list[list[str]] = []
        self.errand = Errand(Request(op="module", module=module), self.asker, self._pack)
        self.line.session.add(self.errand, self.line.now)
        self.line.open()
        self.line.deliver()

    def _pack(self, digests: list[str]) -> bytes:
        self.packed.append(digests)
        return b"files"

    def does_not_know(self, number: int) -> None:
        self.line.result(number, error="manifest_unknown")
        self.line.deliver()

    def requests(self) -> dict[int, Module | None]:
        """By their numbers."""
        gatherings: dict[int, RequestGathering] = {}
        found = {}
        for part in self.line.heard:
            if part.kind == "request":
                request = gatherings.setdefault(part.request, RequestGathering()).add(part)
                if request is not None:
                    found[part.request] = request.module
        return found


def test_a_device_that_knows_the_manifest_is_told_no_file():
    asking = Asking()
    asking.line.say(Part("output", 1, b"{}"))
    asking.line.result(1)

    assert asking.requests() == {1: replace(MODULE, files=[])}
    assert asking.asker.verdict == Verdict(exit_code=0)
    assert asking.asker.output == b"{}"


def test_a_device_that_does_not_is_asked_once_more_with_all_files_and_nobody_notices():
    asking = Asking()
    asking.does_not_know(1)
    assert asking.asker.verdict is None
    assert not asking.line.session.is_idle

    asking.line.say(Part("missing", 2, bytes.fromhex(DIGEST)))
    asking.line.deliver()
    asking.line.say(Part("output", 2, b"{}"))
    asking.line.result(2)

    assert asking.requests() == {1: replace(MODULE, files=[]), 2: MODULE}
    assert asking.packed == [[DIGEST]]
    assert [(part.request, part.data, part.last) for part in asking.line.heard if part.kind == "input"] == [
        (2, b"files", True)
    ]
    assert (asking.asker.verdict, asking.asker.output) == (Verdict(exit_code=0), b"{}")
    assert asking.line.refusals == []


def test_what_waits_behind_it_still_comes_after_it():
    asking = Asking()
    _, later = asking.line.ask()
    asking.does_not_know(1)
    assert list(asking.requests()) == [1, 2]

    asking.line.result(2)
    asking.line.deliver()
    asking.line.result(3)

    assert asking.requests() == {1: replace(MODULE, files=[]), 2: MODULE, 3: None}
    assert later.verdict == Verdict(exit_code=0)


def test_a_device_that_does_not_know_it_even_then_fails_the_task():
    asking = Asking()
    asking.does_not_know(1)
    asking.does_not_know(2)

    assert asking.asker.verdict is not None
    assert asking.asker.verdict.code == "manifest_unknown"
    assert "was not told" in asking.asker.verdict.error
    assert list(asking.requests()) == [1, 2]
    assert asking.line.session.is_idle


def test_a_module_without_manifest_is_told_whole_at_once():
    asking = Asking(replace(MODULE, manifest=""))
    asking.does_not_know(1)

    assert list(asking.requests().values()) == [replace(MODULE, manifest="")]
    assert asking.asker.verdict is not None
    assert asking.asker.verdict.code == "manifest_unknown"


def test_a_device_that_said_something_already_is_not_asked_again():
    asking = Asking()
    asking.line.say(Part("output", 1, b"it did something"))
    asking.does_not_know(1)

    assert asking.asker.verdict is not None
    assert asking.asker.verdict.code == "manifest_unknown"
    assert list(asking.requests()) == [1]


def test_a_program_cannot_be_an_unknown_manifest():
    line = Line()
    _, asker = line.ask()
    line.open()
    line.result(1, error="manifest_unknown")
    line.deliver()

    assert asker.verdict is not None
    assert asker.verdict.code == "manifest_unknown"
    assert kinds(line).count("request") == 1


def test_files_that_were_not_named_cannot_be_asked_for():
    asking = Asking()
    asking.line.say(Part("missing", 1, bytes.fromhex(DIGEST)))

    assert asking.packed == []
    assert asking.asker.verdict == Verdict(unreachable=words.NONSENSE)


def test_input_that_comes_early_goes_with_the_request_that_is_told_whole():
    asking = Asking()
    asking.errand.feed(b"input", last=True)
    asking.line.session.go_on(asking.line.now)
    asking.line.deliver()
    assert "input" not in kinds(asking.line)

    asking.does_not_know(1)

    assert [(part.request, part.data) for part in asking.line.heard if part.kind == "input"] == [(2, b"input")]


@pytest.mark.parametrize("why", ["", words.RUN_OVER])
def test_one_that_is_cancelled_meanwhile_is_not_asked_again(why: str):
    asking = Asking()
    if why:
        asking.line.session.end(why, asking.line.now)
    else:
        asking.line.session.cancel(asking.errand, asking.line.now)
    asking.does_not_know(1)

    assert asking.asker.verdict == Verdict(unreachable=why or words.CANCELLED)
    assert list(asking.requests()) == [1]
    assert asking.line.session.is_idle

    _, next_one = asking.line.ask()
    asking.line.deliver()
    asking.line.result(2)
    assert next_one.verdict == Verdict(exit_code=0)


def test_one_that_is_cancelled_after_it_was_asked_again_is_cancelled_under_its_new_number():
    asking = Asking()
    asking.does_not_know(1)
    asking.line.session.cancel(asking.errand, asking.line.now)
    asking.line.deliver()

    assert [part.request for part in asking.line.heard if part.kind == "cancel"] == [2]
    asking.line.result(1)  # of what it is no more
    assert asking.asker.verdict is None
    asking.line.result(2, error="cancelled")
    assert asking.asker.verdict is not None
    assert asking.asker.verdict.unreachable
    assert asking.line.session.is_idle


def test_one_whose_parameters_fill_many_parts_is_told_twice_in_the_same_order():
    big = replace(MODULE, params='"' + os.urandom(DATA_BYTES).hex() + '"')
    asking = Asking(big)
    asking.does_not_know(1)

    assert kinds(asking.line).count("request") > 3
    assert asking.requests() == {1: replace(big, files=[]), 2: big}


def test_one_that_is_too_big_only_with_its_files_ends_the_task_and_not_the_session():
    least = Request(op="module", module=replace(MODULE, files=[], params=""))
    asking = Asking(replace(MODULE, params="x" * (MAX_REQUEST_BYTES - len(msgspec.json.encode(least)))))
    assert asking.asker.verdict is None
    asking.does_not_know(1)

    assert asking.asker.verdict == Verdict(unreachable=words.TOO_BIG)
    assert asking.line.session.is_idle
    _, next_one = asking.line.ask()
    asking.line.deliver()
    asking.line.result(asking.line.heard[-1].request)
    assert next_one.verdict == Verdict(exit_code=0)
