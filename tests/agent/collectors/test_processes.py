"""Processes worth knowing."""

import shutil
from types import SimpleNamespace

import psutil
import pytest
from tests.agent.collectors.trees import PAGE_BYTES, deny, process, psutil_says, stat, write

from annexfleet_agent.collectors import processes


@pytest.fixture(autouse=True)
def machine(proc, tmp_path):
    write(tmp_path, stat(busy=1, idle=1))


def collect(tmp_path, names, *of):
    for files in of:
        write(tmp_path, files)
    return processes.collector(names).collect()


def test_processes_of_one_name_are_summed_up(tmp_path):
    running = process(1, "systemd"), process(50, "kiosk", pages=100), process(51, "kiosk", pages=50)

    assert collect(tmp_path, ["kiosk", "spooler"], *running).readings == {
        "process:kiosk": {"process_running": 1, "process_memory_bytes": 150 * PAGE_BYTES},
        "process:spooler": {"process_running": 0},
    }


def test_names_with_brackets_blanks_and_long_ones(tmp_path):
    long = process(8, "a-very-long-nam", command="/usr/bin/a-very-long-name-indeed\0--quiet\0")
    denied = process(9, "another-long-na", command="another\0")

    report = collect(
        tmp_path,
        ["a (b) c", "a-very-long-name-indeed", "another-long-name"],
        *(process(1, "init"), process(7, "a (b) c"), long, denied),
    )

    assert [of["process_running"] for of in report.readings.values()] == [1, 1, 1]


def test_a_zombie_does_not_run(tmp_path):
    assert collect(tmp_path, ["kiosk"], process(1, "init"), process(7, "kiosk", state="Z")).readings == {
        "process:kiosk": {"process_running": 0}
    }


def test_where_processes_of_others_are_hidden_absence_proves_nothing(tmp_path):
    report = collect(tmp_path, ["kiosk", "python3"], process(70, "python3"))

    assert report.readings["process:python3"]["process_running"] == 1
    assert report.codes() == {"process:kiosk": {"process_running": "denied"}}


def test_no_names_no_work(tmp_path, monkeypatch):
    deny(monkeypatch, tmp_path, "/proc")

    assert not processes.collector([]).collect().problems


def test_a_name_is_asked_until_it_was_the_same_twice(tmp_path, monkeypatch):
    asked = []
    ask = psutil.Process.name
    monkeypatch.setattr(psutil.Process, "name", lambda of: asked.append(of.pid) or ask(of))
    write(tmp_path, process(1, "init"))
    write(tmp_path, process(7, "sh"))
    collector = processes.collector(["kiosk"])

    before = collector.collect().readings["process:kiosk"]
    write(tmp_path, process(7, "kiosk"))  # what was forked has become its program
    after = [collector.collect().readings["process:kiosk"]["process_running"] for _ in range(4)]

    assert before == {"process_running": 0}
    assert after == [1, 1, 1, 1]
    assert asked.count(1) == 2
    assert asked.count(7) == 3


def test_a_process_that_ended_is_gone_at_once(tmp_path):
    write(tmp_path, process(1, "init"))
    write(tmp_path, process(7, "kiosk"))
    collector = processes.collector(["kiosk"])
    for _ in range(3):
        collector.collect()

    shutil.rmtree(tmp_path / "proc/7")

    assert collector.collect().readings == {"process:kiosk": {"process_running": 0}}


def test_windows_names_end_with_exe(monkeypatch):
    names = {4: "System", 70: "kiosk.exe"}

    class Process(SimpleNamespace):
        def __init__(self, pid):
            super().__init__(name=lambda: names[pid], status=lambda: "running", memory_info=self.memory_info)

        def memory_info(self):
            return SimpleNamespace(rss=1000)

    monkeypatch.setattr(psutil, "WINDOWS", True)
    monkeypatch.setattr(psutil, "Process", Process)
    psutil_says(monkeypatch, pids=list(names))

    assert processes.collector(["kiosk", "spooler"]).collect().readings == {
        "process:kiosk": {"process_running": 1, "process_memory_bytes": 1000},
        "process:spooler": {"process_running": 0},
    }
