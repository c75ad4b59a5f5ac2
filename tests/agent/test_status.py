import os

import msgspec
import pytest

from annexfleet_agent import status
from annexfleet_agent.status import Status


@pytest.fixture
def running():
    return Status(
        written_at=1000,
        pid=os.getpid(),
        agent_version="0.1.0",
        device_id="d-x",
        started_at=100,
        link="connected",
        connected_since=400,
        last_ack_at=940,
        outbox_items=3,
        outbox_used_ratio=0.25,
        outbox_trouble="",
        config_version=2,
        problem="nothing listens at the broker's address",
        problem_at=390,
    )


def test_what_was_written_is_read(tmp_path, running):
    status.write(tmp_path, running)

    assert status.read(tmp_path) == running


def test_where_no_agent_ran_there_is_nothing(tmp_path):
    assert status.read(tmp_path) is None
    (tmp_path / "status.json").write_bytes(b"{")
    assert status.read(tmp_path) is None


def test_a_person_sees_how_it_is(running):
    shown = status.render(running, running=True, now=1000)

    assert "connected for  10 min" in shown
    assert "last receipt   60 s ago" in shown
    assert "waiting        3 items, 25% full" in shown
    assert "last problem   10 min ago: nothing listens" in shown


def test_a_person_sees_that_it_does_not_run(running):
    shown = status.render(running, running=False, now=1000)

    assert "not running" in shown
    assert "connection     none" in shown
    assert "connected for" not in shown


@pytest.mark.parametrize(("trouble", "words"), [("began_anew", "moved aside"), ("disk_full", "the disk is full")])
def test_a_person_sees_what_is_wrong_with_the_outbox(running, trouble, words):
    shown = status.render(msgspec.structs.replace(running, outbox_trouble=trouble), running=True, now=1000)

    assert words in shown


def test_whether_it_runs_is_asked_of_the_system(running):
    assert status.is_running(running)
    assert not status.is_running(msgspec.structs.replace(running, pid=2**22 + 1))
