"""Which file systems are worth reporting."""

import pytest
from tests.agent.collectors.trees import mountinfo

from annexfleet_agent.collectors import mounts


def reported(*of, root="/"):
    text = mountinfo(*of, root=root)["/proc/self/mountinfo"]
    return [mount.point for mount in mounts.worth_reporting(mounts.parse(text))]


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


def test_escaped_blanks_and_broken_lines():
    text = "20 1 8:1 / /a\\040b ro - ext4 /dev/a ro\nnonsense\n1 2 3 4 5 6 - 7\n\n"

    (mount,) = mounts.parse(text)

    assert (mount.point, mount.read_only, mount.is_bound) == ("/a b", True, False)


def test_fstab_tells_how_it_should_be():
    text = "# comment / ext4 ro\nUUID=1 / ext4 rw,noatime 0 1\nUUID=2 /opt/a\\040b ext4 defaults,ro 0 2\nbroken\n"

    assert mounts.parse_fstab(text) == {"/": False, "/opt/a b": True}
