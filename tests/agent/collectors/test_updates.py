"""Pending updates."""

from tests.agent.collectors.trees import tree

from annexfleet_agent.collectors import updates
from annexfleet_agent.collectors.tree import Tree

PRINTED = """\
Inst base-files [12.4] (12.5 Debian:12.5/stable [amd64])
Conf base-files (12.5 Debian:12.5/stable [amd64])
Inst linux-image-6.1.0-2 (6.1.2 Debian-Security:12/stable-security [amd64])
Inst linux-image-amd64 [6.1.1] (6.1.2 Debian-Security:12/stable-security [amd64])
Inst libc6 [2.35-1] (2.35-2 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64]) []
"""


def test_upgrades_are_counted_and_packages_that_are_new_are_not():
    assert updates.parse(PRINTED) == (3, 2)


def test_apt_get_is_run_gently_and_asked_only_to_pretend(monkeypatch):
    ran = {}

    def output_of(argv, **how):
        ran.update(how, argv=argv)
        return PRINTED

    monkeypatch.setattr(updates, "output_of", output_of)
    monkeypatch.setattr(updates, "find", lambda name: f"/usr/bin/{name}")

    report = updates.collector(Tree("")).collect()

    assert report.readings == {"": {"updates_pending_count": 3, "updates_security_pending_count": 2}}
    assert ran["gently"]
    assert "-s" in ran["argv"]


def test_a_system_without_apt_get_is_unsupported(monkeypatch, tmp_path):
    monkeypatch.setattr(updates, "find", lambda name: None)

    for machine in (Tree(""), tree(tmp_path, {})):
        assert set(updates.collector(machine).collect().codes()[""].values()) == {"unsupported"}


def test_it_is_asked_once_a_day_by_the_worker():
    collector = updates.collector(Tree(""))

    assert (collector.period_s, collector.blocking, collector.kept_fresh) == (86_400, True, False)
