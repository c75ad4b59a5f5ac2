"""Space, read-only file systems and wear."""

import os
import threading
from types import SimpleNamespace

import pytest
from tests.agent.collectors.trees import WINDOWS, emmc, mountinfo, psutil_is, tree, write

from annexfleet_agent.collectors import disk


def space(*, blocks=1000, free=400, available=300, files=100, files_free=90):
    return SimpleNamespace(
        f_blocks=blocks, f_bfree=free, f_bavail=available, f_frsize=1000, f_files=files, f_ffree=files_free
    )


def collect(machine, chosen=(), ask=lambda point: space()):
    return disk.collector(machine, chosen, ask=ask).collect()


def test_space_is_counted_as_df_counts_it(tmp_path):
    report = collect(tree(tmp_path, mountinfo(("/", "ext4", "8:1", "rw"))))

    assert report.readings == {
        "disk:/": {
            "disk_used_ratio": 600 / 900,
            "disk_free_bytes": 300_000,
            "disk_total_bytes": 1_000_000,
            "disk_inodes_used_ratio": pytest.approx(0.1),
            "disk_read_only": 0,
        }
    }
    assert not report.problems


def test_the_figures_of_this_very_machine_agree_with_df(tmp_path):
    of = os.statvfs(tmp_path)

    report = disk.collector(tree(tmp_path, mountinfo(("/", "ext4", "8:1", "rw")))).collect()

    assert report.readings["disk:/"]["disk_total_bytes"] == of.f_blocks * of.f_frsize


def test_a_file_system_without_inodes_says_nothing_of_them(tmp_path):
    report = collect(tree(tmp_path, mountinfo(("/", "vfat", "8:1", "rw"))), ask=lambda point: space(files=0))

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
    report = collect(tree(tmp_path, {**mountinfo(("/", "ext4", "8:1", options)), "/etc/fstab": fstab}))

    assert report.readings["disk:/"].get("disk_read_only") == read_only


def test_a_mount_that_fails_spoils_no_other(tmp_path):
    def ask(point):
        if point == "/srv":
            raise OSError(5, "Input/output error")
        return space()

    report = collect(tree(tmp_path, mountinfo(("/", "ext4", "8:1", "rw"), ("/srv", "ext4", "8:2", "rw"))), ask=ask)

    assert "disk_used_ratio" in report.readings["disk:/"]
    assert report.codes() == {"disk:/srv": {"*": "failed"}}


def test_a_mount_that_hangs_is_left_alone_until_it_has_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_PATIENCE_S", 0.05)
    let_go, asked = threading.Event(), []

    def ask(point):
        asked.append(point)
        if point == "/srv":
            assert let_go.wait(10)
        return space()

    machine = tree(tmp_path, mountinfo(("/", "ext4", "8:1", "rw"), ("/srv", "ext4", "8:2", "rw")))
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
    write(tmp_path, {"/etc/hosts": "", **mountinfo(("/etc/hosts", "ext4", "8:1", "rw"), root="/var/hosts")})

    assert not collect(tree(tmp_path, {})).readings


def test_chosen_mounts_are_reported_and_no_others(tmp_path):
    machine = tree(tmp_path, mountinfo(("/", "ext4", "8:1", "rw"), ("/srv", "nfs4", "0:44", "rw")))

    report = collect(machine, chosen=["/srv", "/backup"])

    assert set(report.readings) == {"disk:/srv"}
    assert report.codes() == {"disk:/backup": {"*": "unsupported"}}


# -- wear -------------------------------------------------------------------------------------------------------------


def test_an_emmc_tells_its_wear(tmp_path):
    emmc(tmp_path, "179:2", "0x02 0x04")

    report = collect(tree(tmp_path, mountinfo(("/", "ext4", "179:2", "rw"))))

    assert report.readings["disk:/"]["disk_wear_ratio"] == 0.4


def test_an_encrypted_volume_is_followed_down_to_its_drive(tmp_path):
    emmc(tmp_path, "179:2", "0x01 0x01", below="253:0")

    report = collect(tree(tmp_path, mountinfo(("/", "ext4", "253:0", "rw"))))

    assert report.readings["disk:/"]["disk_wear_ratio"] == 0.1


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("0x01 0x01", 0.1), ("0x01 0x0a", 1.0), ("0x0b 0x01", 1.0), ("0x00 0x00", None), ("", None), ("worn", None)],
)
def test_life_time_estimates(text, ratio):
    assert disk.parse_life_time(text) == ratio


# -- Windows ----------------------------------------------------------------------------------------------------------


def test_windows_tells_through_psutil_and_leaves_sticks_out(monkeypatch):
    def part(letter, opts):
        return SimpleNamespace(mountpoint=f"{letter}:\\", opts=opts, fstype="NTFS")

    fake = SimpleNamespace(
        disk_partitions=lambda **_: [part("C", "rw,fixed"), part("E", "rw,removable")],
        disk_usage=lambda path: SimpleNamespace(percent=40.0, free=600, total=1000),
    )
    psutil_is(monkeypatch, fake, disk)

    report = disk.collector(WINDOWS).collect()

    assert report.readings == {"disk:C:": {"disk_used_ratio": 0.4, "disk_free_bytes": 600, "disk_total_bytes": 1000}}
