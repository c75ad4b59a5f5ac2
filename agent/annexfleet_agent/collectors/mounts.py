"""Which file systems are worth reporting: reads /proc/self/mountinfo and /etc/fstab; thinks only."""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

_REAL = {
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "jfs", "reiserfs", "ubifs"),
    *("vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "hfsplus"),
}
"""Types that live on a drive and can fill up.  tmpfs, squashfs (a snap is always full), overlay and what comes over
the network are not among them."""
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
    type: str
    device: str
    """Major and minor number, such as `8:1`."""
    source: str
    read_only: bool
    is_bound: bool
    """It shows a part of its file system, not the root of it."""


def parse(mountinfo: str) -> list[Mount]:
    """Mounts in the order in which they were made, from the text of /proc/self/mountinfo.  What hides another comes
    later.  Lines of another shape are left out."""
    mounts = []
    for line in mountinfo.splitlines():
        # id parent major:minor root point options [optional ...] - type source super-options
        words = line.split(" ")
        if "-" not in words[6:] or len(words) < 10:
            continue
        after = words.index("-", 6)
        if after + 3 >= len(words):
            continue
        options = {*words[5].split(","), *words[after + 3].split(",")}
        mounts.append(
            Mount(
                point=_unescaped(words[4]),
                type=words[after + 1],
                device=words[2],
                source=_unescaped(words[after + 2]),
                read_only="ro" in options,
                is_bound=words[3] != "/",
            )
        )
    return mounts


def worth_reporting(mounts: Iterable[Mount]) -> list[Mount]:
    """The root, whatever it is made of, and each real file system once, at its shortest mount point."""
    by_point = {mount.point: mount for mount in mounts}  # the last one at a point hides the others
    once: dict[str, Mount] = {}
    for mount in sorted(by_point.values(), key=lambda mount: (mount.point != "/", mount.is_bound, len(mount.point))):
        if mount.point == "/" or _is_wanted(mount):
            # btrfs numbers its subvolumes as devices of their own, all from one source
            key = mount.source if mount.type == "btrfs" else mount.device
            once.setdefault(key, mount)
    return list(once.values())[:MOST]


def named(mounts: Iterable[Mount], points: Sequence[str]) -> list[Mount]:
    """Those at the given mount points, in that order; what is not mounted is left out."""
    by_point = {mount.point: mount for mount in mounts}
    return [by_point[point] for point in points if point in by_point][:MOST]


def _is_wanted(mount: Mount) -> bool:
    if mount.type not in _REAL or _PERSONAL.fullmatch(mount.point):
        return False
    return not any(mount.point == path or mount.point.startswith(path + "/") for path in _UNINTERESTING)


def parse_fstab(text: str) -> dict[str, bool]:
    """Mount point -> whether /etc/fstab wants it read-only."""
    wanted = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and not words[0].startswith("#"):
            wanted[_unescaped(words[1])] = "ro" in words[3].split(",")
    return wanted


def _unescaped(word: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), word)
