"""Space, read-only file systems and wear."""

import os
import threading
from types import SimpleNamespace

import pytest
from tests.agent.collectors.trees import emmc, mounts, psutil_says, tree

from annexfleet_agent.collectors import disk
from annexfleet_agent.collectors.disk import Space
from annexfleet_agent.collectors.tree import Tree

pytestmark = pytest.mark.usefixtures("proc")
SPACE = Space(total=1_000_000, used=600_000, free=300_000, inodes_used_ratio=0.1)


def collect(machine, chosen=(), ask=lambda point: SPACE):
    return disk.collector(machine, chosen, ask=ask).collect()


def test_what_only_root_may_fill_is_neither_used_nor_free(tmp_path):
    report = collect(tree(tmp_path, mounts(("/", "ext4", "/dev/sda1", "rw"))))

    assert report.readings == {
        "disk:/": {
            "disk_used_ratio": 600 / 900,
            "disk_free_bytes": 300_000,
            "disk_total_bytes": 1_000_000,
            "disk_inodes_used_ratio": 0.1,
            "disk_read_only": 0,
        }
    }
    assert not report.problems


def test_the_figures_of_this_very_machine_agree_with_df(tmp_path):
    of = os.statvfs(tmp_path)

    report = disk.collector(tree(tmp_path, mounts(("/", "ext4", "/dev/sda1", "rw")))).collect()

    assert report.readings["disk:/"]["disk_total_bytes"] == of.f_blocks * of.f_frsize
    assert 0 <= report.readings["disk:/"].get("disk_inodes_used_ratio", 0) <= 1


def test_a_file_system_without_inodes_says_nothing_of_them(tmp_path):
    report = collect(
        tree(tmp_path, mounts(("/", "vfat", "/dev/sda1", "rw"))),
        ask=lambda point: SPACE._replace(inodes_used_ratio=None),
    )

    assert "disk_inodes_used_ratio" not in report.readings["disk:/"]


@pytest.mark.parametrize(
    ("options", "fstab", "read_only"),
    [
        ("rw", "UUID=1 / ext4 defaults 0 1\n", 0),
        ("ro", "UUID=1 / ext4 errors=remount-ro 0 1\n", 1),
        ("ro", "UUID=1 / ext4 ro,noatime 0 1\n", 0),
        ("ro", "# none\n", None),  # nobody says how it should be
        ("ro", "UUID=2 /srv ext4 defaults 0 1\n", 1),
    ],
)
def test_read_only_though_fstab_does_not_say_so(tmp_path, options, fstab, read_only):
    report = collect(tree(tmp_path, {**mounts(("/", "ext4", "/dev/sda1", options)), "/etc/fstab": fstab}))

    assert report.readings["disk:/"].get("disk_read_only") == read_only


def test_a_mount_that_fails_spoils_no_other(tmp_path):
    def ask(point):
        if point == "/srv":
            raise OSError(5, "Input/output error")
        return SPACE

    report = collect(
        tree(tmp_path, mounts(("/", "ext4", "/dev/sda1", "rw"), ("/srv", "ext4", "/dev/sda2", "rw"))), ask=ask
    )

    assert "disk_used_ratio" in report.readings["disk:/"]
    assert report.codes() == {"disk:/srv": {"*": "failed"}}


def test_a_mount_that_hangs_is_left_alone_until_it_has_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_PATIENCE_S", 0.05)
    let_go, asked = threading.Event(), []

    def ask(point):
        asked.append(point)
        if point == "/srv":
            assert let_go.wait(10)
        return SPACE

    machine = tree(tmp_path, mounts(("/", "ext4", "/dev/sda1", "rw"), ("/srv", "ext4", "/dev/sda2", "rw")))
    collector = disk.collector(machine, ask=ask)

    hanging = [collector.collect(), collector.collect()]
    monkeypatch.setattr(disk, "_PATIENCE_S", 10.0)
    let_go.set()
    for thread in threading.enumerate():
        if thread.name == "disk-/srv":
            thread.join(10)
    afterwards = collector.collect()

    for report in hanging:
        assert "disk_used_ratio" in report.readings["disk:/"]
        assert report.codes() == {"disk:/srv": {"*": "timed_out"}}
    assert "disk_used_ratio" in afterwards.readings["disk:/srv"]
    assert not afterwards.problems
    assert asked.count("/srv") == 2


def test_a_file_put_over_another_by_a_container_is_no_file_system(tmp_path):
    machine = tree(tmp_path, {"/etc/hosts": "", **mounts(("/etc/hosts", "ext4", "/dev/sda1", "rw"))})

    report = disk.collector(machine).collect()

    assert not report.readings
    assert not report.problems


def test_chosen_mounts_are_reported_and_no_others(tmp_path):
    machine = tree(tmp_path, mounts(("/", "ext4", "/dev/sda1", "rw"), ("/srv", "nfs4", "server:/srv", "rw")))

    report = collect(machine, chosen=["/srv", "/backup"])

    assert set(report.readings) == {"disk:/srv"}
    assert report.codes() == {"disk:/backup": {"*": "unsupported"}}


# -- wear -------------------------------------------------------------------------------------------------------------


def test_an_emmc_tells_its_wear(tmp_path):
    emmc(tmp_path, "0x02 0x04")

    report = collect(tree(tmp_path, mounts(("/", "ext4", "/dev/mmcblk0p2", "rw"))))

    assert report.readings["disk:/"]["disk_wear_ratio"] == 0.4


def test_an_encrypted_volume_is_followed_down_to_its_drive(tmp_path):
    emmc(tmp_path, "0x01 0x01", below="/dev/mapper/home")

    report = collect(tree(tmp_path, mounts(("/", "ext4", "/dev/mapper/home", "rw"))))

    assert report.readings["disk:/"]["disk_wear_ratio"] == 0.1


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("0x01 0x01", 0.1), ("0x01 0x0a", 1.0), ("0x0b 0x01", 1.0), ("0x00 0x00", None), ("", None), ("worn", None)],
)
def test_life_time_estimates(text, ratio):
    assert disk.parse_life_time(text) == ratio


# -- Windows ----------------------------------------------------------------------------------------------------------


def test_windows_tells_its_drives_and_leaves_sticks_and_shares_out(tmp_path, monkeypatch):
    def part(letter, opts):
        return SimpleNamespace(device=f"{letter}:\\", mountpoint=f"{letter}:\\", opts=opts, fstype="NTFS")

    parts = [part("C", "rw,fixed"), part("E", "rw,removable"), part("H", "rw,remote")]
    psutil_says(monkeypatch, disk_partitions=parts, disk_usage=SimpleNamespace(total=1000, used=400, free=600))
    monkeypatch.delattr(os, "statvfs")
    (tmp_path / "C:").mkdir()
    monkeypatch.chdir(tmp_path)

    report = disk.collector(Tree("")).collect()

    assert report.readings == {
        "disk:C:": {
            "disk_used_ratio": 0.4,
            "disk_free_bytes": 600,
            "disk_total_bytes": 1000,
            "disk_read_only": 0,
        }
    }
    assert not report.problems
