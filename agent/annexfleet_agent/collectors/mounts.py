"""Which file systems are worth reporting, and how /etc/fstab wants them; thinks only."""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

_REAL = {
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "jfs", "reiserfs", "ubifs"),
    *("vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "hfsplus", "apfs"),
}
"""Types that live on a drive and can fill up.  tmpfs, squashfs (a snap is always full), overlay and what comes over
the network are not among them."""
_PASSING = {"removable", "cdrom", "remote"}
"""What Windows says of sticks, discs and shares."""
_UNINTERESTING = (
    *("/boot/efi", "/efi", "/boot/firmware", "/snap", "/var/snap"),
    *("/var/lib/docker", "/var/lib/kubelet", "/mnt/wsl"),
)
_PERSONAL = re.compile(r"/(media|run/media|run/user|home)/.+")
"""Sticks that somebody plugs in and mounts in a home directory: their names can be those of people."""
_ESCAPED = re.compile(r"\\([0-7]{3})")
MOST = 16
"""So many file systems are reported."""


class Mount(Struct, frozen=True):
    point: str
    """Without a slash at the end, but for the root: `/srv`, `C:`."""
    type: str
    source: str
    """The device's path, such as `/dev/sda1`; other words where there is no device."""
    options: frozenset[str]


def worth_reporting(mounts: Iterable[Mount]) -> list[Mount]:
    """The root, whatever it is made of, and each real file system once, at its shortest mount point."""
    by_point = {mount.point: mount for mount in mounts}  # the last one at a point hides the others
    once: dict[str, Mount] = {}
    for mount in sorted(by_point.values(), key=lambda mount: (mount.point != "/", len(mount.point))):
        if mount.point == "/" or _is_wanted(mount):
            once.setdefault(mount.source, mount)
    return list(once.values())[:MOST]


def named(mounts: Iterable[Mount], points: Sequence[str]) -> list[Mount]:
    """Those at the given mount points, in that order; what is not mounted is left out."""
    by_point = {mount.point: mount for mount in mounts}
    return [by_point[point] for point in points if point in by_point][:MOST]


def _is_wanted(mount: Mount) -> bool:
    if mount.type.lower() not in _REAL or mount.options & _PASSING or _PERSONAL.fullmatch(mount.point):
        return False
    return not any(mount.point == path or mount.point.startswith(path + "/") for path in _UNINTERESTING)


def parse_fstab(text: str) -> dict[str, bool]:
    """Mount point -> whether /etc/fstab wants it read-only."""
    wanted = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and not words[0].startswith("#"):
            point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), words[1])
            wanted[point] = "ro" in words[3].split(",")
    return wanted
