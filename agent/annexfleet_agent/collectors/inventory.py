"""What the device is made of: hardware, operating system, packages.  Taken at the start, once a day and after runs.

No serial numbers, host names or addresses: nothing here tells who uses the device or where it stands.
"""

import hashlib
import os
import platform
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import msgspec
import psutil
from msgspec import Struct

from annexfleet_agent.collectors import cpu
from annexfleet_agent.collectors.programs import find, output_of
from annexfleet_agent.collectors.tree import Tree, on_android, tree_at
from annexfleet_agent.protocol.messages import Value
from annexfleet_agent.protocol.wire import MAX_INFLATED_BYTES, MAX_PAYLOAD_BYTES, pack

_DPKG = "/var/lib/dpkg/status"
_DPKG_FIELDS = ("Package:", "Status:", "Version:", "Architecture:")
_MOST_VERSION_CHARACTERS = 128
_ROOM_BYTES = 8 * 1024
"""Kept free in the payload for the message's other fields."""
_CHASSIS = {
    code: word
    for word, codes in {
        "desktop": (3, 4, 5, 6, 7, 15, 16, 35, 36),
        "laptop": (8, 9, 10, 14),
        "tablet": (11, 30),
        "all_in_one": (13,),
        "server": (17, 23),
        "convertible": (31, 32),
    }.items()
    for code in codes
}
"""Codes of the SMBIOS specification, table 17."""
_FILLERS = {
    *("to be filled by o.e.m.", "default string", "system product name", "system manufacturer"),
    *("not specified", "none", "o.e.m.", "unknown"),
}


class Taken(Struct, frozen=True, kw_only=True):
    """The body of an `Inventory` message; its fields have the same names."""

    digest: str
    """Of all that follows, the list of packages included even where it was too big to send."""
    hardware: dict[str, Value]
    os: dict[str, Value]
    packages_digest: str
    packages: dict[str, str]
    printers: list[dict[str, Value]]


def take(root: Path = Path("/"), *, printers: Sequence[dict[str, Value]] = ()) -> Taken:
    """The inventory of a machine; what cannot be read is left out.  Takes about 30 ms, and 1 s on Android: blocking.

    `printers` come from the printers' room and are passed through.
    """
    tree = tree_at(root)
    hardware = _hardware(tree)
    system = _system(tree)
    packages = _packages(tree)
    body = [hardware, system, packages, list(printers)]
    return Taken(
        digest=_digest(body),
        hardware=hardware,
        os=system,
        packages_digest=_digest(packages) if packages else "",
        packages=packages if fits(packages) else {},
        printers=list(printers),
    )


def _digest(of: object) -> str:
    return hashlib.sha256(msgspec.json.encode(of, order="sorted")).hexdigest()[:32]


def fits(packages: dict[str, str]) -> bool:
    """Whether a message with these packages stays within the limits of the wire."""
    text = msgspec.json.encode(packages)
    return len(text) + _ROOM_BYTES <= MAX_INFLATED_BYTES and len(pack(text)) + _ROOM_BYTES <= MAX_PAYLOAD_BYTES


# -- hardware ---------------------------------------------------------------------------------------------------------


def _hardware(tree: Tree) -> dict[str, Value]:
    found: dict[str, Value] = {"cpu_count": cpu.count(), "architecture": platform.machine()}
    dmi = "/sys/class/dmi/id"
    found["vendor"] = tree.text_or(f"{dmi}/sys_vendor")
    found["model"] = tree.text_or(f"{dmi}/product_name") or tree.text_or("/proc/device-tree/model").rstrip("\0")
    found["board"] = tree.text_or(f"{dmi}/board_name")
    found["firmware"] = tree.text_or(f"{dmi}/bios_version")
    found["chassis"] = _CHASSIS.get(int(tree.number(f"{dmi}/chassis_type") or 0), "")
    found["cpu_model"] = cpu_model(tree.text_or("/proc/cpuinfo")) or platform.processor()
    with suppress(OSError, LookupError, ValueError):
        found["memory_bytes"] = psutil.virtual_memory().total
    found["drives"] = _drives(tree)
    if not tree.root and on_android():
        found["vendor"], found["model"] = _android("ro.product.manufacturer"), _android("ro.product.model")
    return _told(found)


def _told(found: dict[str, Value]) -> dict[str, Value]:
    """Without what is empty, or what a maker left as it came."""
    return {
        name: value[:160] if isinstance(value, str) else value
        for name, value in found.items()
        if value and not (isinstance(value, str) and value.lower() in _FILLERS)
    }


def cpu_model(cpuinfo: str) -> str:
    """The processor's name from the text of /proc/cpuinfo; ARM kernels have other names for it."""
    of: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        of.setdefault(name.strip(), value.strip())
    return " ".join((of.get("model name") or of.get("Model") or of.get("Hardware") or "").split())


def _drives(tree: Tree) -> list[str]:
    """`name bytes model` of each drive; not of memory disks, loops, sticks and card readers."""
    try:
        names = tree.names("/sys/block")
    except OSError:
        return []
    drives = []
    for name in names:
        folder = f"/sys/block/{name}"
        if not tree.exists(f"{folder}/device") or tree.text_or(f"{folder}/removable") == "1":
            continue
        blocks = tree.number(f"{folder}/size")  # of 512 bytes, whatever the drive's own are
        model = tree.text_or(f"{folder}/device/model") or tree.text_or(f"{folder}/device/name")
        if blocks:
            drives.append(f"{name} {int(blocks * 512)} {model}".strip())
    return drives[:16]


def _android(key: str) -> str:
    getprop = find("getprop")
    try:
        return output_of([getprop, key], timeout_s=5).strip() if getprop else ""
    except (OSError, TimeoutError):
        return ""


# -- operating system -------------------------------------------------------------------------------------------------


def _system(tree: Tree) -> dict[str, Value]:
    release = parse_os_release(tree.text_or("/etc/os-release") or tree.text_or("/usr/lib/os-release"))
    found: dict[str, Value] = {
        "id": release.get("ID") or platform.system().lower(),
        "version": release.get("VERSION_ID") or ("" if psutil.LINUX else platform.version()),
        "name": release.get("PRETTY_NAME", ""),
        "kernel": platform.release(),
        "time_zone": tree.text_or("/etc/timezone"),
        "python": platform.python_version(),
    }
    if not tree.root and on_android():
        found["id"], found["version"] = "android", _android("ro.build.version.release")
    return _told(found)


def parse_os_release(text: str) -> dict[str, str]:
    """Values by key of an os-release file, without their quotes."""
    of = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.startswith("#"):
            of[key.strip()] = value.strip().strip("\"'")
    return of


# -- packages ---------------------------------------------------------------------------------------------------------


def _packages(tree: Tree) -> dict[str, str]:
    """Name to version of each package that dpkg has installed; empty on other systems."""
    # Termux lives in a folder of its own.
    prefix = os.environ.get("PREFIX", "") if not tree.root and on_android() else ""
    try:
        # Line by line: on a desktop the file has several megabytes.
        with open(tree.path(prefix + _DPKG), encoding="utf-8", errors="replace") as status:  # noqa: PTH123
            return parse_dpkg(status)
    except OSError:
        return {}


def parse_dpkg(status: Iterable[str]) -> dict[str, str]:
    """Name to version of each installed package, from the lines of dpkg's status file.

    A package that is there in two architectures has the second one's in its name, such as `libc6:i386`.
    """
    packages: dict[str, str] = {}
    of: dict[str, str] = {}
    for line in chain(status, [""]):
        if not line.strip():
            if of.get("Status", "").endswith(" installed") and "Package" in of and "Version" in of:
                name = of["Package"]
                if name in packages:
                    name = f"{name}:{of.get('Architecture', '')}"
                packages[name[:160]] = of["Version"][:_MOST_VERSION_CHARACTERS]
            of = {}
        elif line.startswith(_DPKG_FIELDS):
            key, _, value = line.partition(":")
            of[key] = value.strip()
    return packages
