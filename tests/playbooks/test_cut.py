"""A line that is cut in mid-task: a short cut loses nothing, a long one is told, and the device finishes."""

import secrets
import time
from typing import NamedTuple

import pytest
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.linking import ids
from tests.playbooks.walking import Walks

KEEPALIVE_S = 110
"""Of the agent's connection, as it is unless agent.toml says otherwise."""
pytestmark = pytest.mark.trial

SHORT_S = 5.0
OUTPUT_BYTES = 600_000


class Cut(NamedTuple):
    device: Device
    run_id: int
    token: str
    since: float


@pytest.fixture(scope="module")
def walks(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Walks:
    return Walks(fleet, tmp_path_factory.mktemp("walks"), count=2)


@pytest.fixture(scope="module")
def long_cut(walks: Walks) -> Cut:
    """A device that lost its line in mid-task; it lasts while other tests go on."""
    device = walks.devices[1]
    token = secrets.token_hex(8)
    walks.hold(device)
    run_id = walks.order([device], token=token)
    walks.wait_on(device)
    device.link(up=False)
    return Cut(device, run_id, token, time.monotonic())


def test_after_a_short_cut_the_task_goes_on_and_its_output_is_whole(walks: Walks, long_cut: Cut):
    device = walks.devices[0]
    token = secrets.token_hex(8)
    walks.hold(device)
    run_id = walks.order([device], token=token, variables={"walk_output": OUTPUT_BYTES})
    walks.wait_on(device)

    device.link(up=False)
    cut_at = time.monotonic()
    walks.let_go(device)  # it ends, and tells, while nobody hears
    device.wait_until(lambda: not walks.waiting(device), "the end of the task")
    device.wait_until(lambda: time.monotonic() - cut_at > SHORT_S, "the end of the cut")
    device.link(up=True)
    run = walks.finish(run_id)

    assert (run["outcome"], run["attempts"]) == ("ok", 1), walks.told(run_id)
    assert walks.results(run_id, device)["All output is there"] == "ok"
    assert walks.trace(device, "begun", token) == walks.trace(device, "ended", token) == 1


def test_a_long_cut_is_told_and_the_device_finishes_what_it_began(walks: Walks, long_cut: Cut):
    device, run_id, token, since = long_cut
    run = walks.finish(run_id)
    told_after_s = time.monotonic() - since
    (host,) = walks.hosts(run_id).values()

    assert (run["outcome"], host["outcome"]) == ("failed", "unreachable"), walks.told(run_id)
    assert "the line was cut in mid-task" in host["message"]
    assert told_after_s < 1.5 * KEEPALIVE_S
    (shell,) = walks.waiting(device, token)
    walks.let_go(device)
    device.wait_until(lambda: shell not in device.pids(), "the end of what it had begun")
    assert walks.trace(device, "ended", token) == 0
    assert ids([device]) == list(walks.hosts(run_id))
