"""What happens inside a device: process 1 puts its world together, starts sshd and reaps.

It is forked by the holder, so twenty devices share its memory.  Standard library only.
"""

import os
import shutil
import stat
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tests.playbooks.devices import kernel

HOME = "/root"
EMPTY_AT_FIRST = (
    "root", "home", "etc/ssh", "etc/apt", "etc/annexfleet", "var/lib/annexfleet-agent", "var/lib/apt/lists",
    "var/lib/apt/periodic", "var/cache/apt",
)  # fmt: skip
"""Directories in which a device sees nothing of the host's: profiles that slow every shell down, keys, sources of
packages and their fresh lists (which would make `cache_valid_time` skip an update)."""

_APT = """\
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
"""
_SSHD = """\
Include /etc/ssh/sshd_config.d/*.conf
Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
"""
_POWER = """\
#!/bin/sh
# The host's own would ask systemd.  Here the kernel is asked: it ends process 1 and tells the holder why.
command=$(basename "$0") after=0
case $command in reboot) how=0x1234567 ;; *) how=0x4321fedc ;; esac
for word in "$@"; do
    case $word in
    -r | --reboot) how=0x1234567 ;;
    -c) exit 0 ;;
    now) after=0 ;;
    *[0-9]:[0-9]*) echo "a device of the tests knows no times of day" >&2; exit 1 ;;
    [0-9]* | +[0-9]*) after=$((${word#+} * 60)) ;;
    esac
done
[ "$command" = shutdown ] && [ "$after" = 0 ] && after=1  # so that whoever asked gets an answer
setsid -f sh -c "sleep $after; sync; exec /usr/bin/python3 -I -S -c 'import ctypes; ctypes.CDLL(None).reboot($how)'"
"""


def prepare_disk(disk: str) -> None:
    """The upper layer of a device that was never switched on."""
    for name in ("upper", "work", "whole"):
        Path(disk, name).mkdir()
    for name in EMPTY_AT_FIRST:
        path = Path(disk, "upper", name)
        path.mkdir(parents=True)
        os.setxattr(path, "trusted.overlay.opaque", b"y")


def live(spec: dict[str, Any], disk: str, *, wired: Callable[[], None], up: Callable[[], None]) -> NoReturn:
    """Be process 1 of a device until it is killed.

    `wired` returns as soon as `eth0` is there; `up` is called when sshd was started.
    """
    first = not Path(disk, "upper/etc/machine-id").exists()
    _mount(spec, disk)
    kernel.set_hostname(spec["name"])
    _each_boot()
    if first:
        _first_boot(spec)
    wired()
    _join_network(spec)
    subprocess.Popen(["/usr/sbin/sshd", "-D", "-e"], env=_ENVIRONMENT)
    if os.access("/etc/rc.local", os.X_OK):
        with Path("/var/log/rc.local.log").open("ab") as log:
            subprocess.Popen(["/etc/rc.local"], env=_ENVIRONMENT, stdout=log, stderr=log)
    up()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(0.5)  # sshd was killed; whoever comes in from outside may yet leave orphans


_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": HOME,
    "LANG": "C.UTF-8",
}


def _mount(spec: dict[str, Any], disk: str) -> None:
    root = f"{disk}/whole"
    layers = f"lowerdir=/,upperdir={disk}/upper,workdir={disk}/work"
    kernel.mount("overlay", root, "overlay", 0, layers)
    kernel.mount("proc", f"{root}/proc", "proc", kernel.NO_SUID | kernel.NO_DEVICES | kernel.NO_EXEC)
    kernel.mount("sysfs", f"{root}/sys", "sysfs", kernel.NO_SUID | kernel.NO_DEVICES | kernel.NO_EXEC)
    for place, mode in (("run", "755"), ("tmp", "1777"), ("dev", "755")):
        kernel.mount("tmpfs", f"{root}/{place}", "tmpfs", kernel.NO_SUID, f"mode={mode}")
    _make_dev(Path(root, "dev"))
    for source, target in spec["seen"].items():
        Path(root + target).mkdir(parents=True, exist_ok=True)
        kernel.show_read_only(source, root + target)
    kernel.enter_root(root)


def _make_dev(dev: Path) -> None:
    memory = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
    for name, number in {
        **{name: os.makedev(1, minor) for name, minor in memory.items()},
        "tty": os.makedev(5, 0),
    }.items():
        os.mknod(dev / name, stat.S_IFCHR, number)
        (dev / name).chmod(0o666)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    terminals = "newinstance,ptmxmode=0666,mode=620"
    kernel.mount("devpts", f"{dev}/pts", "devpts", kernel.NO_SUID | kernel.NO_EXEC, terminals)
    kernel.mount("tmpfs", f"{dev}/shm", "tmpfs", kernel.NO_SUID | kernel.NO_DEVICES, "mode=1777")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, to in links.items():
        (dev / name).symlink_to(to)


def _each_boot() -> None:
    _write("/run/boot-id", f"{uuid.uuid4()}\n", 0o444)
    kernel.show_read_only("/run/boot-id", "/proc/sys/kernel/random/boot_id")
    _directory("/run/sshd")
    _directory("/run/lock", 0o1777)


def _first_boot(spec: dict[str, Any]) -> None:
    name = spec["name"]
    _write("/etc/machine-id", spec["machine_id"] + "\n", 0o444)
    if Path("/var/lib/dbus/machine-id").is_file():
        _write("/var/lib/dbus/machine-id", spec["machine_id"] + "\n", 0o444)
    _write("/etc/hostname", name + "\n")
    _write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name}\n{spec['gateway']} controller\n")
    _write("/etc/resolv.conf", "")  # nobody answers here, so nobody is asked
    _write("/etc/rc.local", spec["at_boot"], 0o755)
    _write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)  # packages start no daemons
    for power in ("reboot", "poweroff", "halt", "shutdown"):
        _write(f"/usr/sbin/{power}", _POWER, 0o755)
    # Others than root find the program's Python, which may lie in root's home.
    Path(HOME).chmod(0o711)
    _write(f"{HOME}/.ssh/authorized_keys", spec["authorized_key"] + "\n", 0o600)
    Path(HOME, ".ssh").chmod(0o700)
    _write("/etc/ssh/ssh_host_ed25519_key", spec["host_key"], 0o600)
    _write("/etc/ssh/sshd_config", _SSHD)
    _directory("/etc/ssh/sshd_config.d")
    for directory in ("apt.conf.d", "preferences.d", "sources.list.d", "trusted.gpg.d", "auth.conf.d", "keyrings"):
        _directory(f"/etc/apt/{directory}")
    _write("/etc/apt/apt.conf.d/10device", _APT)
    _write("/etc/apt/sources.list.d/demo.list", f"deb [trusted=yes] file:{spec['packages']} ./\n")
    for directory in ("/var/lib/apt/lists/partial", "/var/cache/apt/archives/partial"):
        _directory(directory)
    # Ansible's `cache_valid_time` goes by this date; these lists were never updated.
    os.utime("/var/lib/apt/lists", (0, 0))
    _unlock_root()


def _unlock_root() -> None:
    """Without PAM, sshd lets nobody in whose password is locked with `!`."""
    shadow = Path("/etc/shadow")
    lines = [line.split(":") for line in shadow.read_text("utf-8").splitlines()]
    for fields in lines:
        if fields[0] == "root":
            fields[1] = "*"
    shadow.write_text("".join(":".join(fields) + "\n" for fields in lines), "utf-8")


def _write(path: str, text: str, mode: int = 0o644) -> None:
    file = Path(path)
    file.unlink(missing_ok=True)  # the host's may be a link to somewhere else
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    file.chmod(mode)


def _directory(path: str, mode: int = 0o755) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)
    Path(path).chmod(mode)


def _join_network(spec: dict[str, Any]) -> None:
    ip = shutil.which("ip", path=_ENVIRONMENT["PATH"]) or "ip"
    steps = [
        "link set lo up",
        f"addr add {spec['address']}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {spec['gateway']}",
    ]
    subprocess.run([ip, "-batch", "-"], input="\n".join(steps) + "\n", text=True, check=True, env=_ENVIRONMENT)
