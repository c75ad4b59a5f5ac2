"""A relay of the test, a real broker, the real agent and the real runner that it starts."""

import os
import queue
import re
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import pytest
from tests.agent.runner.authority import Enrolled, Made, Signer
from tests.agent.runner.relays import CHANNEL, Relay
from tests.flow.agents import Controller, running_agent, write_state
from tests.flow.talking import close_for_good

from annexfleet_agent.protocol import receipts, topics
from annexfleet_agent.protocol.channel import Part
from annexfleet_agent.protocol.commands import COMMANDS
from annexfleet_agent.protocol.envelope import Arguments, Refusal, Request

MOST_RSS_KIB = 28 * 1024


class MqttLink:
    """What `relays.Link` is, over the broker."""

    def __init__(self, broker, device_id):
        self.device_id = device_id
        self.packets = defaultdict(list)
        self._heard = queue.Queue()
        self._client = broker.controller_client()
        self._client.on_message = lambda _client, _data, message: self._heard.put(message.payload)
        subscribed = queue.Queue()
        self._client.on_subscribe = lambda *_: subscribed.put(True)
        self._client.on_connect = lambda client, *_: client.subscribe(topics.every_up_run(CHANNEL))
        broker.connect_controller(self._client)
        self._client.loop_start()
        subscribed.get(timeout=15)

    def packet(self, packet):
        self._client.publish(topics.down(self.device_id, "run"), packet)

    def hear(self, seconds=0.05):
        try:
            self.packets[CHANNEL].append(self._heard.get(timeout=seconds))
        except queue.Empty:
            return False
        return True

    def until(self, happened, seconds=90.0):
        end = time.monotonic() + seconds
        while not (found := happened()):
            assert time.monotonic() < end, "it did not happen"
            self.hear()
        return found

    def close(self):
        self._client.on_connect = self._client.on_message = None
        self._client.disconnect()
        self._client.loop_stop()
        close_for_good(self._client)


class Fleet:
    """One device, as installed and enrolled, and what the controller's side needs of it."""

    def __init__(self, place, broker, settings=""):
        self.place = place
        self.broker = broker
        self.device = broker.issue_device()
        # What may block for long would keep the agent from connecting meanwhile, on a machine under load.
        disabled = '[collectors]\ndisabled = ["updates", "printers", "units", "portal"]\n'
        self.file = write_state(place, broker, self.device, settings=f"{disabled}[runner]\n{settings}\n")
        self.enrolled = Enrolled(place / "runner", device_id=self.device.device_id)
        self.controller = Controller(broker)
        until(lambda: self.controller.is_listening, "the controller listens")
        self.links = []

    def link(self):
        self.links.append(MqttLink(self.broker, self.device.device_id))
        return self.links[-1]

    def online(self):
        until(lambda: self.controller.of("hello"), "the device says hello")
        return self

    def runners(self, agent):
        """Living runners that this agent started."""
        children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"annexfleet_agent.runner" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def close(self):
        for link in self.links:
            link.close()
        self.controller.close()
        for place in Path("/proc").iterdir():
            if place.name.isdigit() and str(self.file).encode() in _arguments(place):
                os.kill(int(place.name), signal.SIGKILL)


def _arguments(place):
    try:
        return (place / "cmdline").read_bytes()
    except OSError:
        return b""


def until(happened, what):
    """Poll other processes; a machine under load may take its time."""
    end = time.monotonic() + 90
    while not (found := happened()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


@pytest.fixture
def fleet(broker):
    place = Path(tempfile.mkdtemp(prefix="af-flow-"))  # pytest's own paths are too long for a socket
    made = Fleet(place, broker, "idle_s = 2")
    yield made
    made.close()
    shutil.rmtree(place)


def test_a_program_runs_on_a_device_behind_a_broker_and_leaves_the_agent_as_light_as_it_was(fleet, tmp_path):
    content = os.urandom(2_000_000)
    with running_agent(fleet.file) as agent:
        fleet.online()
        assert fleet.controller.of("hello")[0].features == ["runner"]
        assert fleet.runners(agent) == []

        relay = Relay(fleet, fleet.link()).open()
        result, output, _ = relay.run("/bin/sh", "-c", "cat; exit 3", data=b"hello")
        put = relay.upload(tmp_path / "file", content)
        _, back = relay.fetch(tmp_path / "file")

        assert (result.exit_code, output, put.error, back) == (3, b"hello", "", content)
        assert len(fleet.runners(agent)) == 1
        relay.put(Part("bye", 0))
        until(lambda: fleet.runners(agent) == [], "the runner ends when it is idle")
        rss_kib = int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{agent.pid}/status").read_text())[1])
        assert rss_kib <= MOST_RSS_KIB
        until(
            lambda: not Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().strip(),
            "nothing is left of it",
        )


def test_a_forged_order_is_told_to_the_controller_as_a_reading(fleet):
    with running_agent(fleet.file):
        fleet.online()
        relay = Relay(fleet, fleet.link())
        relay.send(Made(fleet.enrolled, relay.knock(), signer=Signer()))
        assert relay.answer(Refusal).reason == "unknown_key"

        until(
            lambda: any(
                change.collector == "agent" and change.readings[""].get("envelopes_refused_count") == 1
                for change in fleet.controller.of("change")
            ),
            "the controller hears of it",
        )


def test_a_receipt_comes_through_the_outbox(fleet):
    with running_agent(fleet.file):
        fleet.online()
        relay = Relay(fleet, fleet.link())
        arguments = Arguments(
            command="watch", parameters={"seconds": 60}, request_timeout_s=COMMANDS["watch"].timeout_s,
            receipt_key=b"k" * 32,
        )  # fmt: skip
        made = Made(fleet.enrolled, relay.knock(), action="command", command_id="c-7", arguments=arguments)
        relay.send(made)

        assert relay.result().receipt == "done"
        until(lambda: fleet.controller.of("receipt"), "the receipt comes")
        receipt = fleet.controller.of("receipt")[0]
        assert (receipt.command_id, receipt.outcome) == ("c-7", "done")
        assert receipts.is_proven(b"k" * 32, "c-7", "done", receipt.detail, receipt.proof)
        until(lambda: fleet.controller.of("live"), "the device is watched")


def test_a_runner_that_is_killed_in_the_middle_is_told_to_its_relay_at_once(fleet):
    with running_agent(fleet.file) as agent:
        fleet.online()
        relay = Relay(fleet, fleet.link()).open()
        relay.ask(Request(op="exec", argv=["/bin/sleep", "5"]))
        relay.until(lambda: relay.channel.is_drained)

        os.kill(fleet.runners(agent)[0], signal.SIGKILL)

        assert relay.answer(Refusal).reason == "no_session"
        again = Relay(fleet, relay.link).open()
        assert again.run("/bin/echo", "back")[1] == b"back\n"


def test_output_of_a_task_is_picked_up_after_the_line_was_cut(fleet, tmp_path):
    with running_agent(fleet.file, comes_back_soon=True) as agent:
        fleet.online()
        relay = Relay(fleet, fleet.link()).open()
        script = f"echo before; until [ -e {tmp_path}/go ]; do sleep 0.1; done; head -c 600000 /dev/zero; exit 9"
        number = relay.ask(Request(op="exec", argv=["/bin/sh", "-c", script]))
        relay.until(lambda: relay.data[number, "output"])
        hellos = len(fleet.controller.of("hello"))

        cut(agent, fleet.broker)
        (tmp_path / "go").touch()
        until(lambda: len(fleet.controller.of("hello")) > hellos, "the device is back")
        relay.channel.resume(time.monotonic())

        assert relay.result(number, seconds=60).exit_code == 9
        assert len(relay.data[number, "output"]) == 600_000 + len("before\n")


def test_an_agent_that_is_killed_and_started_again_finds_the_session(fleet, tmp_path):
    script = f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; echo done"
    with running_agent(fleet.file):
        fleet.online()
        relay = Relay(fleet, fleet.link()).open()
        number = relay.ask(Request(op="exec", argv=["/bin/sh", "-c", script]))
        relay.until(lambda: relay.channel.is_drained)
    hellos = len(fleet.controller.of("hello"))
    (tmp_path / "go").touch()

    with running_agent(fleet.file):
        until(lambda: len(fleet.controller.of("hello")) > hellos, "the device is back")
        relay.channel.resume(time.monotonic())

        assert relay.result(number, seconds=60).exit_code == 0
        assert relay.data[number, "output"] == b"done\n"


def cut(agent, broker):
    """End the agent's connection under it, as a line that was cut does."""
    done = os.system(f"ss -K dport = {broker.port} > /dev/null 2>&1")
    if done:
        pytest.skip("needs ss with the right to end connections")
    assert agent.poll() is None
