"""Space on file systems, whether one was forced read-only, and how worn an eMMC is."""

import os
import stat
import threading
from collections.abc import Callable, Sequence

from annexfleet_agent.collectors import mounts
from annexfleet_agent.collectors.mounts import Mount
from annexfleet_agent.collectors.report import Collector, Report, code_for
from annexfleet_agent.collectors.tree import Tree, ask_psutil

_PERIOD_S = 60.0
_PATIENCE_S = 5.0
_DEADLINE_S = mounts.MOST * _PATIENCE_S + 5
"""Never reached, not even when every mount hangs."""
_SPACE = ("disk_used_ratio", "disk_free_bytes", "disk_total_bytes")

Ask = Callable[[str], os.statvfs_result]


def collector(tree: Tree, chosen: Sequence[str] = (), *, ask: Ask | None = None) -> Collector:
    """One subject `disk:<mount point>` for each file system on a drive, or for each of `chosen`.

    A mount that hangs, as that of a dead drive or server does, is given up after 5 s; it is reported as timed out and
    left alone until it has answered.

    Source: /proc/self/mountinfo and statvfs; elsewhere psutil.disk_partitions and disk_usage.
    """
    asking = _Asking(tree, ask or (lambda point: os.statvfs(tree.path(point))))

    def collect() -> Report:
        report = Report()
        with report.trying("", *_SPACE):
            if tree.foreign:
                _foreign(report, chosen)
                return report
            found = mounts.parse(tree.text("/proc/self/mountinfo"))
            fstab = mounts.parse_fstab(tree.text_or("/etc/fstab"))
            for mount in mounts.named(found, chosen) if chosen else mounts.worth_reporting(found):
                try:
                    answer = asking.answer(mount)
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


class _Asking:
    """Asks mounts for their space, each in a thread that may be given up: the call itself cannot be interrupted."""

    def __init__(self, tree: Tree, ask: Ask) -> None:
        self._tree = tree
        self._ask = ask
        self._threads: dict[str, threading.Thread] = {}

    def answer(self, mount: Mount) -> os.statvfs_result | None:
        """None for a single file that a container runtime put over another, such as /etc/hosts.

        Raises TimeoutError, or what asking raised.
        """
        before = self._threads.get(mount.point)
        if before is not None and before.is_alive():
            raise TimeoutError("it has not answered since an earlier pass")
        box: list[os.statvfs_result | Exception | None] = []

        def work() -> None:
            try:
                box.append(None if self._is_file(mount) else self._ask(mount.point))
            except Exception as error:  # it is raised again where the answer is awaited
                box.append(error)

        self._threads[mount.point] = thread = threading.Thread(target=work, name=f"disk-{mount.point}", daemon=True)
        thread.start()
        thread.join(_PATIENCE_S)
        if not box:
            raise TimeoutError(f"it did not answer within {_PATIENCE_S:g} s")
        if isinstance(box[0], Exception):
            raise box[0]
        return box[0]

    def _is_file(self, mount: Mount) -> bool:
        path = self._tree.path(mount.point)
        return mount.is_bound and not stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116


def _space(report: Report, mount: Mount, of: os.statvfs_result) -> None:
    if not of.f_blocks:
        return
    subject = f"disk:{mount.point}"
    # As df counts: what only root may fill is neither used nor free.
    used = of.f_blocks - of.f_bfree
    report.put(subject, "disk_used_ratio", used / max(1, used + of.f_bavail))
    report.put(subject, "disk_free_bytes", of.f_bavail * of.f_frsize)
    report.put(subject, "disk_total_bytes", of.f_blocks * of.f_frsize)
    if of.f_files:  # FAT and btrfs have no fixed number of inodes
        report.put(subject, "disk_inodes_used_ratio", 1 - of.f_ffree / of.f_files)


def _read_only(report: Report, mount: Mount, fstab: dict[str, bool]) -> None:
    if not mount.read_only:
        report.put(f"disk:{mount.point}", "disk_read_only", 0)
    elif fstab:  # without one (Android, images that are never written) nobody says how it should be
        report.put(f"disk:{mount.point}", "disk_read_only", int(not fstab.get(mount.point, False)))


# -- wear -------------------------------------------------------------------------------------------------------------


def _wear(report: Report, tree: Tree, mount: Mount) -> None:
    for drive in _drives_under(tree, f"/sys/dev/block/{mount.device}"):
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


# -- systems without /proc --------------------------------------------------------------------------------------------


def _foreign(report: Report, chosen: Sequence[str]) -> None:
    psutil = ask_psutil()
    for part in psutil.disk_partitions(all=False):
        point = part.mountpoint.rstrip("\\/") or "/"
        fixed = "fixed" in part.opts.split(",") or "/" in part.mountpoint  # Windows says it of drives inside the case
        if point not in chosen if chosen else not (part.fstype and fixed):
            continue
        with report.trying(f"disk:{point}", *_SPACE):
            usage = psutil.disk_usage(part.mountpoint)
            report.put(f"disk:{point}", "disk_used_ratio", usage.percent / 100)
            report.put(f"disk:{point}", "disk_free_bytes", usage.free)
            report.put(f"disk:{point}", "disk_total_bytes", usage.total)
