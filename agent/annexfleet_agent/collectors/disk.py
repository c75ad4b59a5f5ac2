"""Space on file systems, whether one was forced read-only, and how worn an eMMC is."""

import os
import stat
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psutil

from annexfleet_agent.collectors import mounts
from annexfleet_agent.collectors.mounts import Mount
from annexfleet_agent.collectors.report import Collector, Report, code_for
from annexfleet_agent.collectors.tree import Tree

_PERIOD_S = 60.0
_PATIENCE_S = 5.0
_DEADLINE_S = mounts.MOST * _PATIENCE_S + 5
"""Never reached, not even when every mount hangs."""
_SPACE = ("disk_used_ratio", "disk_free_bytes", "disk_total_bytes")


class Space(NamedTuple):
    """Bytes as df counts them: what only root may fill is neither used nor free."""

    total: int
    used: int
    free: int
    inodes_used_ratio: float | None
    """None: FAT, btrfs and Windows have no fixed number of inodes."""


Ask = Callable[[str], Space | None]


def collector(tree: Tree, chosen: Sequence[str] = (), *, ask: Ask | None = None) -> Collector:
    """One subject `disk:<mount point>` for each file system on a drive, or for each of `chosen`.

    A mount that hangs, as that of a dead drive or server does, is given up after 5 s; it is reported as timed out and
    left alone until it has answered.

    Source: psutil.disk_partitions and disk_usage; statvfs for inodes.
    """
    asking = _Asking(ask or (lambda point: space_at(tree.path(point))))

    def collect() -> Report:
        report = Report()
        with report.trying("", *_SPACE):
            found = [
                Mount(part.mountpoint.rstrip("\\/") or "/", part.fstype, part.device, frozenset(part.opts.split(",")))
                for part in psutil.disk_partitions(all=True)
            ]
            fstab = mounts.parse_fstab(tree.text_or("/etc/fstab"))
            for mount in mounts.named(found, chosen) if chosen else mounts.worth_reporting(found):
                try:
                    answer = asking.answer(mount.point)
                except Exception as error:  # the fence: one file system spoils no other
                    report.miss(f"disk:{mount.point}", "*", code_for(error), str(error))
                    continue
                if answer is not None:
                    _space(report, mount, answer)
                    _read_only(report, mount, fstab)
                    _wear(report, tree, mount)
            for point in set(chosen) - {mount.point for mount in found}:
                report.miss(f"disk:{point}", "*", "unsupported", "not mounted")
        return report

    return Collector(
        name="disk", collect=collect, period_s=_PERIOD_S, blocking=True, deadline_s=_DEADLINE_S, kept_fresh=False
    )


def space_at(path: str) -> Space | None:
    """None for a single file that a container runtime put over another, such as /etc/hosts.  Raises OSError."""
    if not stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
        return None
    usage = psutil.disk_usage(path)
    inodes = os.statvfs(path) if hasattr(os, "statvfs") else None
    ratio = 1 - inodes.f_ffree / inodes.f_files if inodes is not None and inodes.f_files else None
    return Space(usage.total, usage.used, usage.free, ratio)


class _Asking:
    """Asks mounts for their space, each in a thread that may be given up: the call itself cannot be interrupted."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._threads: dict[str, threading.Thread] = {}

    def answer(self, point: str) -> Space | None:
        """What `ask` answers for a mount point.  Raises TimeoutError, or what asking raised."""
        before = self._threads.get(point)
        if before is not None and before.is_alive():
            raise TimeoutError("it has not answered since an earlier pass")
        box: list[Space | Exception | None] = []

        def work() -> None:
            try:
                box.append(self._ask(point))
            except Exception as error:  # it is raised again where the answer is awaited
                box.append(error)

        self._threads[point] = thread = threading.Thread(target=work, name=f"disk-{point}", daemon=True)
        thread.start()
        thread.join(_PATIENCE_S)
        if not box:
            raise TimeoutError(f"it did not answer within {_PATIENCE_S:g} s")
        if isinstance(box[0], Exception):
            raise box[0]
        return box[0]


def _space(report: Report, mount: Mount, of: Space) -> None:
    if not of.total:
        return
    subject = f"disk:{mount.point}"
    report.put(subject, "disk_used_ratio", of.used / max(1, of.used + of.free))
    report.put(subject, "disk_free_bytes", of.free)
    report.put(subject, "disk_total_bytes", of.total)
    if of.inodes_used_ratio is not None:
        report.put(subject, "disk_inodes_used_ratio", of.inodes_used_ratio)


def _read_only(report: Report, mount: Mount, fstab: dict[str, bool]) -> None:
    if "ro" not in mount.options:
        report.put(f"disk:{mount.point}", "disk_read_only", 0)
    elif fstab:  # without one (Android, images that are never written) nobody says how it should be
        report.put(f"disk:{mount.point}", "disk_read_only", int(not fstab.get(mount.point, False)))


# -- wear -------------------------------------------------------------------------------------------------------------


def _wear(report: Report, tree: Tree, mount: Mount) -> None:
    # A logical volume's path, such as /dev/mapper/home, leads to its device's.
    name = os.path.basename(os.path.realpath(tree.path(mount.source))) if mount.source.startswith("/dev/") else ""  # noqa: PTH119
    for drive in _drives_under(tree, f"/sys/class/block/{name}") if name else ():
        used = parse_life_time(tree.text_or(f"{drive}/device/life_time"))
        if used is not None:
            report.put(f"disk:{mount.point}", "disk_wear_ratio", used)


def _drives_under(tree: Tree, block: str) -> list[str]:
    """Paths in /sys of the drives that bear a block device; an encrypted or logical volume is followed down."""
    below = f"{block}/slaves"
    if tree.exists(below) and (names := tree.names(below)):
        return [drive for name in names for drive in _drives_under(tree, f"/sys/class/block/{name}")]
    if not tree.exists(block):
        return []
    real = os.path.realpath(tree.path(block)).removeprefix(os.path.realpath(tree.root) if tree.root else "")
    return [real.rpartition("/")[0] if tree.exists(f"{block}/partition") else real]


def parse_life_time(text: str) -> float | None:
    """Life used up, from the two estimates of an eMMC (types A and B), such as `0x02 0x01`: the worse of both.

    Each is a tenth of the life, counted from 1 and told as the end of that tenth; 11 is beyond the end.  None if
    the drive does not say.  Source: JESD84-B51, DEVICE_LIFE_TIME_EST_TYP_A and _B.
    """
    try:
        worst = max((int(word, 16) for word in text.split()), default=0)
    except ValueError:
        return None
    return min(worst, 10) / 10 if 1 <= worst <= 11 else None
