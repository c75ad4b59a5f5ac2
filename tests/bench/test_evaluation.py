"""What judging 25,000 devices costs, of processor time: `pytest -s -m bench tests/bench/test_evaluation.py`."""

import copy
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

import pytest
from tests.bench.country import DEVICES_OF_AN_ANNEX, Country

from annexfleet_controller.alerts.watcher import Watcher
from annexfleet_controller.garbage import settle
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.views import DeviceView

ANNEXES = 1786
"""Of 14 devices each: 25,004."""
MOST_S = 2.0
BEATS_A_LOOK = 167
"""25,000 devices that beat every 5 minutes send so many in the 2 s between two looks."""


def spent(work: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of processor time, of each round."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return found


def told(what: str, seconds: list[float]) -> None:
    print(f"{what}: best {min(seconds):.2f} s, median {median(seconds):.2f} s of {len(seconds)} rounds")


def by_hand(devices: list[DeviceView], now_s: float) -> int:
    """The same comparisons in one plain loop, by somebody who believes every value and remembers nothing."""
    found = 0
    for device in devices:
        online = device.connected and device.heard_at is not None and now_s - device.heard_at.timestamp() < 900
        found += not online
        values = device.values
        found += values.get("cpu_used_ratio", 0) > 0.9
        found += values.get("memory_used_ratio", 0) > 0.9
        found += values.get("swap_used_ratio", 0) > 0.8
        found += values.get("battery_charge_ratio", 1) < 0.2 and not values.get("battery_on_mains", 1)
        found += values.get("battery_charge_ratio", 1) < 0.08
        found += values.get("battery_health_ratio", 1) < 0.6
        found += values.get("temperature_celsius", 0) >= 85
        found += abs(device.clock_offset_s) > 30
        found += values.get("reboot_required", 0) == 1
        found += values.get("outbox_used_ratio", 0) > 0.8 or values.get("outbox_oldest_age_seconds", 0) > 21_600
        found += len(device.moves) >= 5
        for disk in device.disks.values():
            used, free = disk.get("disk_used_ratio", 0), disk.get("disk_free_bytes", 1e12)
            found += used > 0.85 and free < 10e9
            found += used > 0.95 and free < 3e9
            found += disk.get("disk_read_only", 0) == 1
        for printer in device.printers:
            found += printer.blocked
            found += printer.state == "unreachable"
            found += (printer.jobs or 0) > 10
            found += printer.paused is True
            for supply in printer.supplies:
                found += supply.ratio is not None and supply.ratio <= 0.1
        for queue in device.queues:
            found += (queue.longest_wait_s or 0) > 1800
            found += bool(queue.counters_open) and (queue.waiting or 0) / queue.counters_open > 10
        for portal in device.portals:
            found += portal.up is False
            found += (portal.total_s or 0) > 3
            found += (portal.certificate_days or 99) < 21
    return found


def begun(country: Country, home: Home) -> tuple[Watcher, float]:
    """A watcher that has looked for some minutes, and what its first look cost: what is wrong has become alerts."""
    began = time.process_time()
    watcher = Watcher(country.engine, home, clock=country.clock)
    watcher.tick()
    cold_s = time.process_time() - began
    for _ in range(3):
        country.clock.at += 61
        country.listens()
        country.all_beat()
        watcher.tick()
    watcher._is_first = True  # read all anew: everybody has been heard
    watcher.tick()
    return watcher, cold_s


def ordinary_looks(country: Country, watcher: Watcher, count: int = 10) -> list[float]:
    """What single looks cost, each with as many devices heard as come in two seconds."""
    numbers = [*watcher.fleet.views]
    found = []
    for look in range(count):
        country.clock.at += 2
        country.listens()
        country.beats([numbers[(look * BEATS_A_LOOK + n) % len(numbers)] for n in range(BEATS_A_LOOK)])
        found += spent(watcher.tick, 1)
    return found


@pytest.mark.bench
def test_25000_devices_are_evaluated_within_two_seconds_of_one_core(tmp_path: Path):
    country = Country(tmp_path, ANNEXES)
    (tmp_path / "home").mkdir()
    home = Home(tmp_path / "home", Settings())

    watcher, cold_s = begun(country, home)
    settle()  # as the watch loop does
    now = country.clock.now()
    everything = set(watcher.fleet.annexes)
    verdicts: list[object] = []

    def judge() -> None:
        nonlocal now
        now += timedelta(seconds=1)
        verdicts[:] = watcher._judge(everything, now)

    def judge_anew() -> None:
        watcher._memories.clear()
        judge()

    def fifth() -> None:
        """What a minute brings: each device beats every five minutes, and then its view is another."""
        for number in [*watcher.fleet.views][::5]:
            watcher.fleet.views[number] = copy.copy(watcher.fleet.views[number])

    def conclude() -> None:
        watcher._grouped_at -= timedelta(minutes=2)
        watcher._concluded(verdicts, watcher.judged, now)  # type: ignore[arg-type]

    anew, concluded = spent(judge_anew, 3), spent(conclude, 5)
    judged = []
    for _ in range(5):
        fifth()
        judged += spent(judge, 1)
    whole = [a + b for a, b in zip(judged, concluded, strict=True)]
    devices = list(watcher.fleet.views.values())
    hand = spent(lambda: by_hand(devices, now.timestamp()), 5)

    looks = ordinary_looks(country, watcher)
    live = len(watcher.ledger.live)
    print(f"\n{len(devices):,} devices in {len(everything):,} annexes, {len(verdicts):,} verdicts, {live} alerts live")
    told("every annex judged, nothing remembered", anew)
    told("every annex judged on the timer, a fifth of the devices heard since the last time", judged)
    told("alerts stepped, muted and grouped, incidents ranked", concluded)
    told("the last two together, all devices", whole)
    told("a plain loop with the same comparisons inlined, no memory, no causes, no readiness", hand)
    print(f"ratio {min(whole) / min(hand):.1f}")
    told(f"an ordinary look, {BEATS_A_LOOK} devices heard, database read and written", looks)
    print(f"cold start, all rows read, all judged, written: {cold_s:.1f} s")
    assert len(devices) == ANNEXES * DEVICES_OF_AN_ANNEX
    assert min(whole) < MOST_S
