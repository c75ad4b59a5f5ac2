"""The agent on a real mosquitto with the product's configuration, over mutual TLS."""

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
from tests.flow.agents import Controller, agent, running_agent, write_state
from tests.flow.broker import running_broker

from annexfleet_agent import identity, status
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.device import AgentCore
from annexfleet_agent.loop import Loop
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages
from annexfleet_agent.settings import load

DEADLINE_S = 60.0
"""Only polled: a machine under load may take its time."""
MOST_RSS_KIB = 28 * 1024
"""The bar for the whole agent, connected."""


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


def started(loop, file, *, windows=(0.3,)):
    """An agent on this loop with one collector."""
    settings = load(file)
    found = identity.load(settings.identity_dir)

    def collect():
        report = Report()
        report.put("", "cpu_used_ratio", 0.5)
        report.put("", "cpu_count", 4)
        return report

    core = AgentCore(
        loop,
        settings,
        device_id=found.device_id,
        identity=lambda: found,
        outbox=Outbox(settings.state_dir / "outbox.db", max_bytes=2_000_000, boot_id="boot", owner=found.device_id),
        collectors=lambda _core: [Collector(name="cpu", collect=collect)],
        state_dir=settings.state_dir,
        boot_id="boot",
        retry_windows_s=windows,
        rng=random.Random(1),
    )
    core.start()
    return core


def put(core, count):
    """So many more items in the outbox."""
    beats = [
        messages.Beat(seq=UNNUMBERED, at=1, seconds=5, numbers={"": {"cpu_used_ratio": number}})
        for number in range(count)
    ]
    core._put(*beats)


def listening(loop, broker, **options):
    controller = Controller(broker, **options)
    assert loop.run_until(lambda: controller.is_listening)
    return controller


def until(happened, *, deadline_s=DEADLINE_S):
    """Poll another process."""
    end = time.monotonic() + deadline_s
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_is_measured_arrives_and_its_acknowledgement_empties_the_outbox(loop, broker, tmp_path):
    controller = listening(loop, broker)
    device = broker.issue_device()

    core = started(loop, write_state(tmp_path, broker, device))

    assert loop.run_until(lambda: bool(controller.of("beat")), timeout_s=DEADLINE_S)
    assert controller.heard[0][0] == "hello"
    assert controller.of("change")[0].collector == "cpu"
    assert loop.run_until(lambda: core.outbox_used_ratio() == 0)
    core.stop()
    until(
        lambda: controller.of("gone") == [messages.Gone(session_id=controller.heard[0][1].session_id, reason="stopped")]
    )
    controller.close()


def test_a_broker_killed_three_times_costs_no_item(loop, broker, tmp_path):
    controller = listening(loop, broker)
    device = broker.issue_device()
    core = started(loop, write_state(tmp_path, broker, device))
    assert loop.run_until(lambda: core.uplink.ready, timeout_s=DEADLINE_S)

    for number in range(3):
        put(core, 300)
        wanted = len(controller.heard) + 100
        loop.run_until(lambda of=controller, wanted=wanted: len(of.heard) > wanted, timeout_s=2)
        broker.kill()
        put(core, 50)
        assert loop.run_until(lambda: not core.uplink.ready, timeout_s=DEADLINE_S)
        broker.start()
        before, controller = controller, listening(loop, broker)
        controller.goes_on_from(before)
        before.close()
        assert core._outbox.count >= 50, f"round {number}"

    assert loop.run_until(lambda: core._outbox.count <= 2, timeout_s=90)
    assert controller.mark(device.device_id) >= 1050
    core.stop()
    controller.close()


def test_while_no_controller_listens_everything_is_kept(loop, broker, tmp_path):
    device = broker.issue_device()
    core = started(loop, write_state(tmp_path, broker, device))
    put(core, 20)

    assert loop.run_until(lambda: core.uplink.status.state == "nobody_listens", timeout_s=DEADLINE_S)
    assert core._outbox.count >= 20

    controller = listening(loop, broker)
    core.uplink.greet()
    assert loop.run_until(lambda: core.outbox_used_ratio() == 0, timeout_s=DEADLINE_S)
    assert controller.mark(device.device_id) >= 20
    core.stop()
    controller.close()


def test_what_the_broker_took_and_the_controller_did_not_is_sent_again(loop, broker, tmp_path):
    controller = listening(loop, broker, acknowledges=False)
    device = broker.issue_device()
    core = started(loop, write_state(tmp_path, broker, device))
    put(core, 20)
    assert loop.run_until(lambda: controller.mark(device.device_id) >= 20, timeout_s=DEADLINE_S)
    assert core._outbox.count >= 20
    controller.close()

    # Another controller, which knows nothing of the first one's.
    controller = listening(loop, broker)
    core.uplink._drain.again()
    core.uplink.pump()
    assert loop.run_until(lambda: core.outbox_used_ratio() == 0, timeout_s=DEADLINE_S)
    core.stop()
    controller.close()


def test_watching_shows_life_every_two_seconds(loop, broker, tmp_path):
    controller = listening(loop, broker)
    device = broker.issue_device()
    core = started(loop, write_state(tmp_path, broker, device))
    assert loop.run_until(lambda: core.uplink.ready, timeout_s=DEADLINE_S)

    controller.tell(device.device_id, messages.Command(id="1", action="watch", seconds=60))

    assert loop.run_until(lambda: len(controller.of("live")) >= 2, timeout_s=DEADLINE_S)
    assert controller.of("live")[0].readings == {"": {"cpu_used_ratio": 0.5, "cpu_count": 4}}
    core.stop()
    controller.close()


def test_many_agents_share_one_loop(loop, broker, tmp_path):
    controller = listening(loop, broker)
    cores = []
    for number in range(20):
        place = tmp_path / str(number)
        place.mkdir()
        cores.append(started(loop, write_state(place, broker, broker.issue_device())))

    assert loop.run_until(lambda: all(core.uplink.ready for core in cores), timeout_s=DEADLINE_S)
    assert loop.run_until(lambda: all(core.uplink.status.acked_upto > 0 for core in cores), timeout_s=DEADLINE_S)
    for core in cores:
        core.stop()
    controller.close()


def test_a_broker_of_another_authority_is_not_believed(loop, broker, tmp_path):
    with running_broker() as foreign:
        file = write_state(tmp_path, foreign, broker.issue_device())
        core = started(loop, file)

        assert loop.run_until(lambda: bool(core.uplink.status.problem), timeout_s=DEADLINE_S)

    assert "not of our authority" in core.uplink.status.problem
    core.stop()


def test_a_device_of_another_authority_is_told_so(loop, broker, tmp_path):
    with running_broker() as foreign:
        stranger = foreign.issue_device()
        file = write_state(tmp_path, broker, stranger)
        (tmp_path / "identity" / "a" / "authority.pem").write_bytes(broker.authority.root_pem)
        core = started(loop, file)

        assert loop.run_until(lambda: bool(core.uplink.status.problem), timeout_s=DEADLINE_S)

    assert "this device's certificate" in core.uplink.status.problem
    core.stop()


# -- the program


def test_the_program_reports_stays_small_and_ends_in_order(loop, broker, tmp_path):
    controller = listening(loop, broker)
    file = write_state(
        tmp_path, broker, broker.issue_device(),
        '[collectors]\ndisabled = []\n[[portal]]\nname = "local"\nurl = "http://127.0.0.1:9/"\n',
    )  # fmt: skip

    with running_agent(file) as process:
        until(lambda: len(controller.of("beat")) >= 3)
        # Printers are looked for after apt was asked, which a busy machine does slowly.
        wanted = {"cpu", "memory", "disk", "agent", "portal", "printers"}
        until(lambda: wanted <= {change.collector for change in controller.of("change")}, deadline_s=120)
        rss_kib = int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1])
        shown = agent("--settings", file, "status")
        process.send_signal(signal.SIGTERM)
        until(lambda: bool(controller.of("gone")))
        assert process.wait(10) == 0

    assert rss_kib <= MOST_RSS_KIB, "see lean.py"
    assert shown.returncode == 0
    assert "connection     connected" in shown.stdout
    assert controller.of("gone")[-1].reason == "stopped"
    assert not status.is_running(status.read(tmp_path))
    controller.close()


def test_a_program_killed_loses_nothing_it_had_measured(loop, broker, tmp_path):
    file = write_state(tmp_path, broker, broker.issue_device())
    with running_agent(file):
        until(lambda: (found := status.read(tmp_path)) is not None and found.outbox_items >= 10)
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=50_000_000, boot_id="x")
    waiting = outbox.count
    install = outbox.install_id
    outbox.close()
    assert waiting >= 10

    controller = listening(loop, broker)
    with running_agent(file):
        until(lambda: bool(controller.heard) and controller.mark(_device(tmp_path)) >= waiting)
    assert controller.of("hello")[0].install_id == install
    controller.close()


def _device(state_dir):
    return identity.load(state_dir / "identity").device_id


def test_a_second_agent_on_the_same_state_is_refused(broker, tmp_path):
    file = write_state(tmp_path, broker, broker.issue_device())
    with running_agent(file):
        until(lambda: status.read(tmp_path) is not None)

        second = agent("--settings", file, "run")

    assert second.returncode == 4
    assert "another agent runs on" in second.stderr


def test_an_unreachable_broker_is_said_and_nothing_is_lost(broker, tmp_path):
    file = write_state(tmp_path, broker, broker.issue_device())
    broker.kill()

    with running_agent(file) as process:
        until(lambda: (found := status.read(tmp_path)) is not None and found.problem != "" and found.outbox_items > 5)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
        assert "is the controller up?" in process.stderr.read()

    shown = agent("--settings", file, "status")
    assert shown.returncode == 1
    assert "not running" in shown.stdout
