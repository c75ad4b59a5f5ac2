"""Which file systems are worth reporting."""

import pytest

from annexfleet_agent.collectors import mounts
from annexfleet_agent.collectors.mounts import Mount


def reported(*of):
    found = [Mount(point, kind, device, frozenset(options.split(","))) for point, kind, device, options in of]
    return [mount.point for mount in mounts.worth_reporting(found)]


def test_real_drives_are_and_what_lives_in_memory_is_not():
    assert reported(
        ("/", "ext4", "8:1", "rw"),
        ("/run", "tmpfs", "0:20", "rw"),
        ("/snap/core/1", "squashfs", "7:1", "ro"),
        ("/var", "xfs", "8:2", "rw"),
        ("/mnt/server", "nfs4", "0:50", "rw"),
        ("/boot/efi", "vfat", "8:3", "rw"),
    ) == ["/", "/var"]


@pytest.mark.parametrize("kind", ["overlay", "9p", "squashfs", "tmpfs"])
def test_the_root_is_whatever_it_is_made_of(kind):
    assert reported(("/", kind, "0:30", "rw"), ("/proc", "proc", "0:5", "rw")) == ["/"]


def test_a_file_system_is_told_once_at_its_shortest_mount_point():
    assert reported(
        ("/var/lib/thing", "ext4", "8:2", "rw"), ("/srv", "ext4", "8:2", "rw"), ("/", "ext4", "8:1", "rw")
    ) == ["/", "/srv"]


def test_what_was_mounted_over_another_hides_it():
    assert reported(("/", "ext4", "8:1", "rw"), ("/data", "ext4", "8:2", "rw"), ("/data", "tmpfs", "0:9", "rw")) == [
        "/"
    ]


@pytest.mark.parametrize(
    "point", ["/media/someone/HOLIDAY", "/run/media/someone/X", "/home/someone", "/home/someone/x"]
)
def test_the_names_of_peoples_sticks_and_homes_stay_on_the_device(point):
    assert reported(("/", "ext4", "8:1", "rw"), (point, "vfat", "8:17", "rw")) == ["/"]


def test_a_home_partition_is_a_file_system_like_any_other():
    assert reported(("/", "ext4", "8:1", "rw"), ("/home", "ext4", "8:2", "rw")) == ["/", "/home"]


def test_fstab_tells_how_it_should_be():
    text = "# comment / ext4 ro\nUUID=1 / ext4 rw,noatime 0 1\nUUID=2 /opt/a\\040b ext4 defaults,ro 0 2\nbroken\n"

    assert mounts.parse_fstab(text) == {"/": False, "/opt/a b": True}
