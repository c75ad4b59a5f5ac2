"""What Ansible's `stat` costs on a device, warm and as Ansible runs it elsewhere, side by side.

    pytest -s -m bench tests/bench/test_warm_modules.py

Each round runs the same payload both ways, so that whatever else the machine does falls on both.  Warm, it goes through
all that a device does: the cache of files, the archive, the order to the warm Python, and reading what it says.
"""

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.agent.runner.warming import Device, plainly
from tests.recorded import Wanted, named

ROUNDS = 30
MOST_WARM_MS = 40.0
"""For the best round: the median is as much about what else the machine does."""
LEAST_TIMES = 4.0

pytestmark = pytest.mark.bench


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def processor_ms() -> float:
    """Of this process's children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def processor_ms_of(pid: int) -> float:
    """Of a process and its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) * 1000 / 100


def test_a_warm_module_takes_less_than_forty_milliseconds(recorded: list[Wanted], tmp_path: Path):
    wanted = named(recorded, "ansible.modules.stat")[0]
    device = Device(tmp_path / "device")
    try:
        first = milliseconds(lambda: device.run(wanted))
        device.run(wanted)
        (zygote,) = device.warm.pids
        plain, warm = [], []
        plain_used, warm_used = -processor_ms(), -processor_ms_of(zygote)
        for _ in range(ROUNDS):
            plain.append(milliseconds(lambda: plainly(wanted, device.home)))
            warm.append(milliseconds(lambda: device.run(wanted)))
        plain_used += processor_ms()
        warm_used += processor_ms_of(zygote)
    finally:
        device.close()

    print(f"\nstat, median of {ROUNDS}     latency   best      processor time")
    print(
        f"as usual               {statistics.median(plain):6.1f} ms {min(plain):6.1f} ms {plain_used / ROUNDS:6.1f} ms"
    )
    print(f"warm                   {statistics.median(warm):6.1f} ms {min(warm):6.1f} ms {warm_used / ROUNDS:6.1f} ms")
    times = statistics.median(plain) / statistics.median(warm)
    print(f"times                  {times:6.1f}    {min(plain) / min(warm):6.1f}    {plain_used / warm_used:6.1f}")
    print(f"the first of all, with starting the warm Python: {first:.0f} ms")
    assert min(warm) < MOST_WARM_MS
    assert times > LEAST_TIMES
