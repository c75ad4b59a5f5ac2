"""Whether pages that stay open grow: `pytest -s -m bench tests/bench/test_open_page.py`.

Chromium has the province, a device and the alerts open, each in a window of its own, while ten changes a second come:
live numbers of the device, people who wait, printers that jam and are mended.  Ten seconds after opening, in the middle
and at the end it is counted what each page holds after its garbage is collected, and how long its main thread was ever
kept busy at a stretch, from its first moment on.
`ANNEXFLEET_OPEN_S` says how long (3600 is the promise), `ANNEXFLEET_CHANGES_PER_S` how fast, so that an hour's changes
may come in less.
"""

import os
import random
import time
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import Struct
from playwright.sync_api import Page
from sqlalchemy import Engine
from tests.browser.conftest import Opened, chromium, opened
from tests.browser.town import Town
from tests.controller.web import places

from annexfleet_controller.store.database import writing

__all__ = ["chromium", "opened"]

SECONDS = float(os.environ.get("ANNEXFLEET_OPEN_S", "90"))
CHANGES_PER_S = float(os.environ.get("ANNEXFLEET_CHANGES_PER_S", "10"))
SETTLED_S = 10.0
LONGEST_TASK_MS = 100.0
MOST_GROWTH = 1.10
"""Of heap, nodes and listeners, from the middle to the end."""

_LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((one) => one.duration)))
  .observe({ type: "longtask", buffered: true });
"""


class Held(Struct, frozen=True):
    """What a page holds."""

    nodes: int
    listeners: int
    heap_bytes: int

    def __str__(self) -> str:
        return f"{self.nodes:6} nodes {self.listeners:5} listeners {self.heap_bytes / 1e6:6.2f} MB"


class Watched:
    """A page and what is asked of its browser about it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")
        page.evaluate(_LONG_TASKS)

    def held(self) -> Held:
        self._session.send("HeapProfiler.collectGarbage")
        told = {of["name"]: of["value"] for of in self._session.send("Performance.getMetrics")["metrics"]}
        return Held(int(told["Nodes"]), int(told["JSEventListeners"]), int(told["JSHeapUsedSize"]))

    def long_tasks(self) -> list[float]:
        """In milliseconds, the longest first; those of 50 and more."""
        return sorted(self._page.evaluate("window.longTasks"), reverse=True)

    def wait(self, seconds: float) -> None:
        self._page.wait_for_timeout(1000 * seconds)


class Trouble:
    """Ten changes a second, evenly spaced, of which every fifth moves what stands on all three pages."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._chance = random.Random(7)
        self._count = 0

    def go_on(self, seconds: float, watched: list[Watched]) -> None:
        began = time.monotonic()
        for n in range(int(seconds * CHANGES_PER_S)):
            if (ahead := began + n / CHANGES_PER_S - time.monotonic()) > 0:
                watched[0].wait(ahead)
            self._change()

    def _change(self) -> None:
        self._count += 1
        if self._count % 50 == 0:
            jams = self._count % 100 != 0
            self._town.printer(1, causes=["paper_jam"] if jams else [], state="stopped" if jams else "idle")
        elif self._count % 5 == 0:
            self._town.waiting(1, self._chance.randint(0, 30))
        else:
            chance = self._chance.random()
            numbers = {
                "cpu_used_ratio": chance,
                "memory_used_ratio": 0.4 + chance / 10,
                "temperature_celsius": 50 + 9 * chance,
            }
            self._town.live(1, {"": numbers})
        if self._count % 20 == 0:  # the worker's look every two seconds
            self._town.listens()
            assert self._town.holder.turn()
        if self._count % 1200 == 0:
            self._town.beat(*range(1, 7))


@pytest.fixture
def town(sqlite_engine: Engine, tmp_path: Path):
    made = Town(sqlite_engine, tmp_path)
    chance = random.Random(1)
    with writing(sqlite_engine) as db:
        now = made.clock.at
        for step in range(1, 288):
            places.beat(db, 1, places.busy_numbers(chance), at=now - timedelta(minutes=5 * step), newest=False)
    with made.served():
        yield made


@pytest.mark.bench
def test_pages_left_open_do_not_grow_and_never_keep_their_reader_waiting(town: Town, opened: Opened):
    device = f"/devices/{town.ids[0]}"
    pages = {
        path: Watched(opened(town, path, role="technician")) for path in ("/", f"{device}?span=24h", "/alerts")
    }  # fmt: skip
    trouble = Trouble(town)
    watched = list(pages.values())
    told: dict[str, list[Held]] = {path: [] for path in pages}
    began = time.monotonic()
    for seconds in (SETTLED_S, (SECONDS - SETTLED_S) / 2, (SECONDS - SETTLED_S) / 2):
        trouble.go_on(seconds, watched)
        for path, of in pages.items():
            told[path].append(of.held())

    took_s = time.monotonic() - began
    changes = int(SECONDS * CHANGES_PER_S)
    print(f"\n{changes} changes, {changes / took_s:.1f} a second")
    for path, of in pages.items():
        print(
            path,
            *(f"  {when:6} {held}" for when, held in zip(("start", "middle", "end"), told[path], strict=True)),
            sep="\n",
        )
        print("  tasks of 50 ms and more:", [round(ms) for ms in of.long_tasks()][:12])
    for path, (_, middle, end) in told.items():
        for name in ("nodes", "listeners", "heap_bytes"):
            assert getattr(end, name) <= getattr(middle, name) * MOST_GROWTH, (path, name)
    assert {
        path: of.long_tasks()[:3] for path, of in pages.items() if max(of.long_tasks(), default=0) > LONGEST_TASK_MS
    } == {}
