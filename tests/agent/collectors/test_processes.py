"""Processes worth knowing."""

from types import SimpleNamespace

from tests.agent.collectors.trees import WINDOWS, deny, process, psutil_is, tree

from annexfleet_agent.collectors import processes

PAGE = 4096


def test_processes_of_one_name_are_summed_up(tmp_path, monkeypatch):
    monkeypatch.setattr(processes.os, "sysconf", lambda name: PAGE)
    files = {**process(1, "systemd"), **process(50, "kiosk", pages=100), **process(51, "kiosk", pages=50)}

    report = processes.collector(tree(tmp_path, files), ["kiosk", "spooler"]).collect()

    assert report.readings == {
        "process:kiosk": {"process_running": 1, "process_memory_bytes": 150 * PAGE},
        "process:spooler": {"process_running": 0},
    }


def test_names_with_brackets_blanks_and_long_ones(tmp_path):
    files = {**process(1, "init"), **process(7, "a (b) c"), **process(8, "a-very-long-nam")}

    report = processes.collector(tree(tmp_path, files), ["a (b) c", "a-very-long-name-indeed"]).collect()

    assert [of["process_running"] for of in report.readings.values()] == [1, 1]


def test_a_zombie_does_not_run(tmp_path):
    files = {**process(1, "init"), **process(7, "kiosk", state="Z")}

    assert processes.collector(tree(tmp_path, files), ["kiosk"]).collect().readings == {
        "process:kiosk": {"process_running": 0}
    }


def test_where_processes_of_others_are_hidden_absence_proves_nothing(tmp_path):
    report = processes.collector(tree(tmp_path, process(70, "python3")), ["kiosk", "python3"]).collect()

    assert report.readings["process:python3"]["process_running"] == 1
    assert report.codes() == {"process:kiosk": {"process_running": "denied"}}


def test_no_names_no_work(tmp_path, monkeypatch):
    deny(monkeypatch, tmp_path, "/proc")

    assert not processes.collector(tree(tmp_path, {}), []).collect().problems


def test_windows_names_end_with_exe(monkeypatch):
    memory = SimpleNamespace(rss=1000)
    infos = [{"name": "kiosk.exe", "memory_info": memory}, {"name": "System", "memory_info": None}]
    fake = SimpleNamespace(process_iter=lambda attrs: [SimpleNamespace(info=info) for info in infos])
    psutil_is(monkeypatch, fake, processes)

    assert processes.collector(WINDOWS, ["kiosk"]).collect().readings == {
        "process:kiosk": {"process_running": 1, "process_memory_bytes": 1000}
    }
