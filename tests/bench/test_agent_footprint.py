"""The full agent beside node_exporter: memory, and processor time a sample, at the same period in the same minutes.

    pytest -s -m bench tests/bench/test_agent_footprint.py
    ANNEXFLEET_BENCH_PERIOD_S=30 ANNEXFLEET_BENCH_SAMPLES=10 pytest -s -m bench tests/bench/test_agent_footprint.py

Both sample every 10 s, as exporters usually are scraped.  The agent's printers (every 30 s, the devices every 90 s),
its queues (30 s) and its portal over TLS (60 s) keep the periods they have by default, and so do its beats to the
outbox and over mutual TLS to the broker.  node_exporter runs nine collectors and is scraped compressed over plain HTTP,
as Prometheus does it.  At the agent's own default period of 30 s nearly all of that falls into every sample; the second
command measures that, and asks for the memory only.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import mean

import pytest
from tests.bench.surroundings import (
    Memory,
    configuration,
    cpu_ms,
    eventually,
    ingesting,
    memory,
    peak_rss,
    register,
    surroundings,
    write_identity,
)
from tests.flow.broker import free_port, running_broker

from annexfleet_agent import http1
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.tables.readings import DeviceState

PERIOD_S = float(os.environ.get("ANNEXFLEET_BENCH_PERIOD_S", "10"))
SAMPLES = int(os.environ.get("ANNEXFLEET_BENCH_SAMPLES", "24"))
MOST_RSS_MIB = 28.0
SETTLING_S = 100.0
"""After the inventory: by then all that is done once, or learnt in the first minutes, is done."""
NINE = ("cpu", "loadavg", "meminfo", "filesystem", "netdev", "diskstats", "hwmon", "powersupplyclass", "time")

pytestmark = pytest.mark.bench


def start_node_exporter(stack: ExitStack, directory: Path) -> tuple[subprocess.Popen[bytes], int]:
    program = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    if program is None:
        pytest.skip("node_exporter is not installed (Debian: prometheus-node-exporter)")
    port = free_port()
    log = stack.enter_context((directory / "node_exporter.log").open("wb"))
    process = subprocess.Popen(
        [program, f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults",
         *(f"--collector.{name}" for name in NINE)], stdout=log, stderr=log,
    )  # fmt: skip
    stack.callback(end, process)
    eventually(lambda: answers(port))
    return process, port


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)


def answers(port: int) -> bool:
    try:
        http1.dial("127.0.0.1", port, http1.Deadline(1)).close()
    except OSError:
        return False
    return True


def scrape(port: int) -> int:
    """Bytes of one answer, as Prometheus asks for it."""
    deadline = http1.Deadline(10)
    with closing(http1.dial("127.0.0.1", port, deadline)) as connection:
        answer = http1.request(
            connection, "GET", "/metrics", host="localhost", deadline=deadline, max_bytes=1 << 20,
            headers={"Accept-Encoding": "gzip", "Accept": "text/plain;version=0.0.4"},
        )  # fmt: skip
    assert answer.status == 200
    return len(answer.body)


def test_the_full_agent_is_lighter_on_the_processor_than_node_exporter(tmp_path: Path):
    with ExitStack() as stack:
        broker = stack.enter_context(running_broker())
        engine = stack.enter_context(ingesting(broker))
        around = stack.enter_context(surroundings(tmp_path))
        device = broker.issue_device()
        register(engine, device)
        write_identity(tmp_path / "identity", broker, device)
        config = configuration(tmp_path, around, push_port=free_port(), period_s=PERIOD_S)
        log = stack.enter_context((tmp_path / "agent.log").open("wb"))
        agent = subprocess.Popen(
            [sys.executable, "-m", "annexfleet_agent", "--settings", config, "run"],
            stdout=log, stderr=log, env=around.environment,
        )  # fmt: skip
        stack.callback(end, agent)

        def told_everything() -> bool:
            with reading(engine) as db:
                state = db.get(DeviceState, 1)
                return state is not None and state.inventory_at is not None

        eventually(told_everything, within_s=120)  # half a minute: the inventory comes last, and once a day
        time.sleep(SETTLING_S)
        exporter, port = start_node_exporter(stack, tmp_path)
        for _ in range(3):
            scrape(port)

        mine, theirs = cpu_ms(agent.pid), cpu_ms(exporter.pid)
        my_memory: list[Memory] = []
        their_memory: list[Memory] = []
        scraped: list[int] = []
        began = time.monotonic()
        for number in range(1, SAMPLES + 1):
            time.sleep(max(0.0, began + number * PERIOD_S - time.monotonic()))  # the period is what is measured
            scraped.append(scrape(port))
            my_memory.append(memory(agent.pid))
            their_memory.append(memory(exporter.pid))
        assert agent.poll() is None, (tmp_path / "agent.log").read_text()[-2000:]
        mine = (cpu_ms(agent.pid) - mine) / SAMPLES
        theirs = (cpu_ms(exporter.pid) - theirs) / SAMPLES
        my_peak = peak_rss(agent.pid)
        their_peak = peak_rss(exporter.pid)

    print(f"\n{SAMPLES} samples, one every {PERIOD_S:g} s, side by side; MiB at the end (peak RSS), CPU a sample")
    print("                        RSS           PSS    RssAnon   CPU ms")
    for name, of, peak, cpu in (
        ("annexfleet-agent, full", my_memory, my_peak, mine),
        ("node_exporter, 9 coll.", their_memory, their_peak, theirs),
    ):
        last = of[-1]
        print(f"{name:<22} {last.rss:5.1f} ({peak:4.1f}) {last.pss:5.1f}      {last.anonymous:5.1f}    {cpu:5.2f}")
    print(f"CPU ratio agent/node_exporter {mine / theirs:.2f}; node_exporter's answer {mean(scraped):.0f} bytes gzip")
    assert max(each.rss for each in my_memory) <= MOST_RSS_MIB
    if PERIOD_S <= 10:
        assert mine / theirs < 1
