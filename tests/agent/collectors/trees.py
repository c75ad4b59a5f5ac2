"""Simulated machines: small /proc and /sys trees that a collector cannot tell from a real one."""

import builtins
import os
from pathlib import Path
from typing import Any

import pytest

from annexfleet_agent.collectors.tree import Tree, tree_at

WINDOWS = Tree("", foreign=True)
"""A system without /proc; hand it a psutil with `psutil_is`."""


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


def psutil_is(monkeypatch: pytest.MonkeyPatch, fake: object, *modules: Any) -> None:
    """These modules find `fake` where they ask for psutil."""
    for module in modules:
        monkeypatch.setattr(module, "ask_psutil", lambda: fake)


# -- pieces of machines -----------------------------------------------------------------------------------------------


def stat(*, busy: int, idle: int) -> dict[str, str]:
    return {
        "/proc/stat": f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 {busy} 0 0 {idle} 0 0 0 0 0 0\nintr 5 1 2\n",
        "/sys/devices/system/cpu/online": "0-3\n",
    }


def meminfo(**kilobytes: int) -> dict[str, str]:
    lines = [f"{name}:       {value} kB\n" for name, value in kilobytes.items()]
    return {"/proc/meminfo": "".join(lines) + "HugePages_Total:       0\n"}


def link(
    name: str, *, up: bool = True, megabits: int = 1000, virtual: bool = False, wifi: bool = False
) -> dict[str, str]:
    folder = f"/sys/class/net/{name}"
    files = {f"{folder}/carrier": f"{int(up)}\n", f"{folder}/speed": f"{megabits}\n"}
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


def mountinfo(*mounts: tuple[str, str, str, str], root: str = "/") -> dict[str, str]:
    """Mount point, type, device number and options of each."""
    lines = [
        f"{number} 1 {device} {root} {point} {options} shared:1 - {kind} /dev/{kind}{number} {options}\n"
        for number, (point, kind, device, options) in enumerate(mounts, start=20)
    ]
    return {"/proc/self/mountinfo": "".join(lines)}


def emmc(root: Path, device: str, life_time: str, *, below: str = "") -> None:
    """A partition with this device number on an eMMC; with `below` a logical volume of that number on top of it."""
    drive = root / "sys/devices/platform/mmc0/block/mmcblk0"
    partition = drive / "mmcblk0p2"
    write(root, {f"/{drive.relative_to(root)}/device/life_time": f"{life_time}\n"})
    write(root, {f"/{partition.relative_to(root)}/partition": "2\n"})
    numbers, names = root / "sys/dev/block", root / "sys/class/block"
    numbers.mkdir(parents=True)
    names.mkdir(parents=True)
    (numbers / device).symlink_to(os.path.relpath(partition, numbers))
    (names / "mmcblk0p2").symlink_to(os.path.relpath(partition, names))
    if below:
        write(root, {"/sys/devices/virtual/block/dm-0/slaves/mmcblk0p2": ""})
        (numbers / below).symlink_to(os.path.relpath(root / "sys/devices/virtual/block/dm-0", numbers))


def process(pid: int, name: str, *, pages: int = 100, state: str = "S") -> dict[str, str]:
    fields = ["0"] * 50
    fields[0], fields[21] = state, str(pages)
    return {f"/proc/{pid}/stat": f"{pid} ({name}) {' '.join(fields)}\n"}


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
            **mountinfo(("/", "ext4", "8:1", "rw,relatime")),
            "/proc/loadavg": "0.80 0.50 0.40 1/200 4242\n",
            "/proc/uptime": "3600.25 7000.00\n",
            "/proc/self/statm": "20000 5000 1000 1 0 2000 0\n",
            "/etc/fstab": "UUID=1 / ext4 errors=remount-ro 0 1\n",
            "/etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n',
            "/sys/class/hwmon/hwmon0/name": "coretemp\n",
            "/sys/class/hwmon/hwmon0/temp1_input": "48000\n",
            "/var/lib/dpkg/status": "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n",
            "/proc/1/stat": process(1, "systemd")["/proc/1/stat"],
        },
    )


def tablet(root: Path) -> Path:
    """A tablet with Linux: battery, Wi-Fi, eMMC."""
    counter_computer(root)
    emmc(root, "179:2", "0x02 0x01")
    return write(
        root,
        {
            **link("wlan0", megabits=-1, wifi=True),
            **net_dev(lo=(5, 5, 0), wlan0=(1000, 2000, 0)),
            **wireless(wlan0="-56."),
            **mountinfo(("/", "ext4", "179:2", "rw,relatime")),
            **supply("BAT0", "Battery", capacity=80, status="Discharging", energy_full=40, energy_full_design=50),
            **supply("AC", "Mains", online=0),
        },
    )
