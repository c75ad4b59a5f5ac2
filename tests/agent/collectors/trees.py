"""Simulated machines: small /proc and /sys trees that a collector cannot tell from a real one, and answers of psutil
where it reads something else."""

import builtins
import os
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from annexfleet_agent.collectors.tree import Tree, tree_at

PAGE_BYTES = resource.getpagesize()


class HandClock:
    """A clock that stands still until it is turned."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.unix = now
        self.since_start = 1000.0

    def now(self) -> float:
        return self.unix

    def mono(self) -> float:
        return self.since_start

    def forward(self, seconds: float) -> None:
        self.unix += seconds
        self.since_start += seconds


def write(root: Path, files: dict[str, str]) -> Path:
    """Put files, given by their path on the machine, into the tree; the tree."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def tree(root: Path, files: dict[str, str]) -> Tree:
    return tree_at(write(root, files))


def deny(monkeypatch: pytest.MonkeyPatch, root: Path, *names: str) -> None:
    """Reading these paths, and all below them, is not allowed.  (Tests may run as root, whom chmod does not stop.)"""
    refused = [str(root / name.lstrip("/")) for name in names]

    def guarded(real: Any) -> Any:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(path, str) and any(path == at or path.startswith(at + "/") for at in refused):
                raise PermissionError(13, "Permission denied", path)
            return real(path, *args, **kwargs)

        return call

    for name in ("open", "listdir", "stat"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))
    monkeypatch.setattr(builtins, "open", guarded(builtins.open))


def psutil_says(monkeypatch: pytest.MonkeyPatch, **answers: object) -> None:
    """psutil's functions of these names give these answers, or raise them."""
    for name, answer in answers.items():

        def say(*_: object, answer: object = answer, **__: object) -> object:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(psutil, name, say)


def carriers(**megabits: int | None) -> dict[str, SimpleNamespace]:
    """What psutil.net_if_stats answers for links of these speeds: None has no carrier, 0 no fixed speed."""
    return {name: SimpleNamespace(isup=speed is not None, speed=speed or 0) for name, speed in megabits.items()}


def heat(**celsius: float) -> dict[str, list[SimpleNamespace]]:
    """What psutil.sensors_temperatures answers: one sensor of each chip."""
    return {name: [SimpleNamespace(current=value)] for name, value in celsius.items()}


# -- pieces of machines -----------------------------------------------------------------------------------------------


def stat(*, busy: int, idle: int, waiting: int = 0, booted_at: int = 1_799_996_400) -> dict[str, str]:
    """Ticks of 10 ms."""
    ticks = f"{busy} 0 0 {idle} {waiting} 0 0 0 0 0"
    return {"/proc/stat": f"cpu  {ticks}\ncpu0 {ticks}\nintr 5 1 2\nbtime {booted_at}\n"}


def meminfo(**kilobytes: int) -> dict[str, str]:
    every = {**dict.fromkeys(("Buffers", "Cached", "Shmem", "Active", "Inactive", "Slab"), 0), **kilobytes}
    lines = [f"{name}:       {value} kB\n" for name, value in every.items()]
    return {"/proc/meminfo": "".join(lines) + "HugePages_Total:       0\n", "/proc/vmstat": "pswpin 0\npswpout 0\n"}


def link(name: str, *, virtual: bool = False, wifi: bool = False) -> dict[str, str]:
    folder = f"/sys/class/net/{name}"
    files = {f"{folder}/mtu": "1500\n"}
    if not virtual:
        files[f"{folder}/device/uevent"] = ""
    if wifi:
        files[f"{folder}/phy80211/name"] = "phy0\n"
    return files


def net_dev(**links: tuple[int, int, int]) -> dict[str, str]:
    """Received bytes, sent bytes and broken packets by link."""
    head = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes ...\n"
    rows = [f"{name}: {rx} 9 {errors} 77 0 0 0 0 {tx} 9 0 0 0 0 0 0\n" for name, (rx, tx, errors) in links.items()]
    return {"/proc/net/dev": head + "".join(rows)}


def wireless(**dbm: str) -> dict[str, str]:
    head = "Inter-| sta-|   Quality        |   Discarded packets\n face | tus | link level noise |  nwid ...\n"
    return {
        "/proc/net/wireless": head + "".join(f" {name}: 0000   54.  {level}  -256  0\n" for name, level in dbm.items())
    }


def supply(name: str, kind: str, **files: object) -> dict[str, str]:
    folder = f"/sys/class/power_supply/{name}"
    return {f"{folder}/type": f"{kind}\n", **{f"{folder}/{key}": f"{value}\n" for key, value in files.items()}}


def mounts(*of: tuple[str, str, str, str]) -> dict[str, str]:
    """Mount point, type, device and options of each."""
    return {"/proc/self/mounts": "".join(f"{device} {point} {kind} {opts} 0 0\n" for point, kind, device, opts in of)}


def emmc(root: Path, life_time: str, *, below: str = "") -> None:
    """The partition /dev/mmcblk0p2 of an eMMC; with `below` the path of a logical volume on top of it."""
    drive = "/sys/devices/platform/mmc0/block/mmcblk0"
    write(root, {f"{drive}/device/life_time": f"{life_time}\n", f"{drive}/mmcblk0p2/partition": "2\n"})
    names = root / "sys/class/block"
    names.mkdir(parents=True)
    (names / "mmcblk0p2").symlink_to("../../devices/platform/mmc0/block/mmcblk0/mmcblk0p2")
    if below:
        write(root, {"/sys/devices/virtual/block/dm-0/slaves/mmcblk0p2": "", "/dev/dm-0": ""})
        (names / "dm-0").symlink_to("../../devices/virtual/block/dm-0")
        volume = root / below.lstrip("/")
        volume.parent.mkdir(parents=True)
        volume.symlink_to("../dm-0")


def process(pid: int, name: str, *, pages: int = 100, state: str = "S", command: str = "") -> dict[str, str]:
    fields = ["0"] * 50
    fields[0] = state
    return {
        f"/proc/{pid}/stat": f"{pid} ({name}) {' '.join(fields)}\n",
        f"/proc/{pid}/statm": f"9 {pages} 0 0 0 0 0\n",
        f"/proc/{pid}/cmdline": command or name,
    }


PSUTIL = {
    "cpu_count": 4,
    "getloadavg": (0.8, 0.5, 0.4),
    "net_if_stats": carriers(eth0=1000, wlan0=0),
    "sensors_temperatures": heat(coretemp=48.0),
}
"""What psutil answers on the machines below where it does not read /proc."""


# -- whole machines ---------------------------------------------------------------------------------------------------


def counter_computer(root: Path) -> Path:
    """A desktop at a counter: cable, one drive, no battery, Debian."""
    return write(
        root,
        {
            **stat(busy=1000, idle=9000),
            **meminfo(MemTotal=8_000_000, MemFree=500_000, MemAvailable=6_000_000, SwapTotal=1000, SwapFree=900),
            **link("eth0"),
            **net_dev(lo=(5, 5, 0), eth0=(1000, 2000, 0)),
            **mounts(("/", "ext4", "/dev/sda1", "rw,relatime")),
            **process(1, "systemd"),
            **process(os.getpid(), "annexfleet-agen", pages=5000),
            "/etc/fstab": "UUID=1 / ext4 errors=remount-ro 0 1\n",
            "/etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n',
            "/var/lib/dpkg/status": "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n",
        },
    )


def tablet(root: Path) -> Path:
    """A tablet with Linux: battery, Wi-Fi, eMMC."""
    counter_computer(root)
    emmc(root, "0x02 0x01")
    return write(
        root,
        {
            **link("wlan0", wifi=True),
            **net_dev(lo=(5, 5, 0), wlan0=(1000, 2000, 0)),
            **wireless(wlan0="-56."),
            **mounts(("/", "ext4", "/dev/mmcblk0p2", "rw,relatime")),
            **supply("BAT0", "Battery", capacity=80, status="Discharging", energy_full=40, energy_full_design=50),
            **supply("AC", "Mains", online=0),
        },
    )
