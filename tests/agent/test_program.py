"""What the resident program hands to its collectors, and what a mere look does not."""

from pathlib import Path

import msgspec
import pytest
from tests.agent.clocks import TurnedClock, TurnedLoop
from tests.agent.outboxes import opened

from annexfleet_agent import collectors, identity, printers, program
from annexfleet_agent.identity import Identity, Pair
from annexfleet_agent.settings import Agent, Runner, Settings

IDENTITY = Identity(
    device_id="d", broker_host="b", broker_port=1, enrol_url="", pair=Pair(Path("k"), Path("c"), Path("a")),
    previous=None, expires_at=4e9, renew_at=4e9,
)  # fmt: skip


@pytest.fixture
def allowed(monkeypatch):
    """Whether each printers' collector that is made may resume queues."""
    found = []
    made = printers.collector

    def noting(*given, heals=False):
        found.append(heals)
        return made(*given, heals=heals)

    monkeypatch.setattr(printers, "collector", noting)
    return found


def test_the_running_agent_may_resume_queues(allowed, tmp_path):
    settings = Settings()
    loop = TurnedLoop(TurnedClock())
    outbox = opened(tmp_path / "outbox.db")
    core = program._core(loop, settings, None, found=IDENTITY, outbox=outbox, board=None, boot="boot")

    core.start()
    core.stop()
    loop.close()

    assert allowed == [True]


@pytest.mark.parametrize(
    ("runner", "told", "lies_there", "due"),
    [
        ({}, "", "", True),
        ({}, "ab", "ab", False),
        ({}, "ab", "cd", True),
        ({"enabled": False}, "", "ab", False),
        ({"directory": "/nowhere/runner"}, "", "", False),
    ],
)
def test_a_runners_key_that_the_controller_does_not_know_is_told_at_once(  # noqa: PLR0917  # a table
    tmp_path, monkeypatch, runner, told, lies_there, due
):
    known = msgspec.structs.replace(IDENTITY, exchange_key=told)
    monkeypatch.setattr(identity, "load", lambda _directory: known)
    settings = Settings(agent=Agent(state_dir=str(tmp_path)), runner=Runner(**runner))
    if lies_there:
        (tmp_path / "runner").mkdir()
        (tmp_path / "runner" / "exchange.pub").write_text(lies_there + "\n")
    loop, outbox = TurnedLoop(TurnedClock()), opened(tmp_path / "outbox.db")
    core = program._core(loop, settings, None, found=known, outbox=outbox, board=None, boot="boot")

    assert core._identity().renew_at == (0.0 if due else known.renew_at)
    loop.close()


def test_who_only_looks_may_not(allowed):
    collectors.all_of(Settings(), TurnedClock())

    assert allowed == [False]
