"""Clock synchronisation."""

import os

import pytest
from tests.agent.collectors.trees import HandClock, tree

from annexfleet_agent.collectors import clock
from annexfleet_agent.collectors import tree as trees_
from annexfleet_agent.collectors.tree import Tree

MARK = "/run/systemd/timesync/synchronized"


def test_the_time_daemons_fresh_mark_is_enough(tmp_path, monkeypatch):
    machine, now = tree(tmp_path, {MARK: ""}), HandClock()
    os.utime(machine.path(MARK), (now.now() - 60, now.now() - 60))
    monkeypatch.setattr(clock, "kernel_says", lambda tree: pytest.fail("the kernel was asked"))

    assert clock.collector(machine, now).collect().readings == {"": {"clock_synchronised": 1}}


@pytest.mark.parametrize(("kernel", "told"), [(True, 1), (False, 0)])
def test_after_an_old_mark_the_kernel_decides(tmp_path, monkeypatch, kernel, told):
    machine, now = tree(tmp_path, {MARK: ""}), HandClock()
    os.utime(machine.path(MARK), (now.now() - 86_400, now.now() - 86_400))
    monkeypatch.setattr(clock, "kernel_says", lambda tree: kernel)

    assert clock.collector(machine, now).collect().readings == {"": {"clock_synchronised": told}}


def test_the_kernel_of_this_machine_can_be_asked():
    assert clock.kernel_says(Tree("")) in {True, False}


def test_on_android_the_kernel_is_never_asked(monkeypatch):
    monkeypatch.setenv("ANDROID_ROOT", "/system")
    monkeypatch.setattr(clock, "_status", lambda: pytest.fail("this would have ended the process"))

    report = clock.collector(Tree(""), HandClock(now=0)).collect()

    assert trees_.on_android()
    assert report.codes() == {"": {"clock_synchronised": "unsupported"}}


def test_a_system_without_adjtimex_is_unsupported(monkeypatch):
    def status():
        raise AttributeError("adjtimex")

    monkeypatch.setattr(clock, "_status", status)

    assert clock.collector(Tree(""), HandClock(now=0)).collect().codes() == {"": {"clock_synchronised": "unsupported"}}
