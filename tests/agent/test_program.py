"""What the resident program hands to its collectors, and what a mere look does not."""

from pathlib import Path

import pytest
from tests.agent.clocks import TurnedClock, TurnedLoop
from tests.agent.outboxes import opened

from annexfleet_agent import collectors, printers, program
from annexfleet_agent.identity import Identity, Pair
from annexfleet_agent.settings import Settings

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


def test_who_only_looks_may_not(allowed):
    collectors.all_of(Settings(), TurnedClock())

    assert allowed == [False]
