"""The few calls of Linux that Python 3.11 has no words for.  Standard library only, for the holder."""

import ctypes
import os
import signal

NEW_MOUNTS = 0x00020000  # sched.h: CLONE_NEWNS and its siblings
NEW_HOSTNAME = 0x04000000
NEW_IPC = 0x08000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000

READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC = 1, 2, 4, 8  # mount.h: MS_RDONLY and its siblings
REMOUNT, BIND, RECURSIVE, PRIVATE = 32, 4096, 16384, 1 << 18
_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
"""The C library has no wrapper for this one: its number by machine."""

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(what: int) -> None:
    """Leave these namespaces for new ones.  Raises OSError, as everything here."""
    _checked(_libc.unshare(what), "unshare")


def enter(namespace: int, what: int) -> None:
    """Join the namespace that this open file stands for."""
    _checked(_libc.setns(namespace, what), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    words = [word.encode() or None for word in (source, target, kind)]
    done = _libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None)
    _checked(done, f"mount {kind or 'bind'} at {target}")


def show_read_only(source: str, target: str) -> None:
    """The directory or file also at another place, where nobody writes to it."""
    mount(source, target, flags=BIND | RECURSIVE)
    mount("", target, flags=BIND | REMOUNT | READ_ONLY)


def enter_root(root: str) -> None:
    """Make this mounted tree the whole world; what was mounted before is gone."""
    os.chdir(root)
    _checked(_libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _DETACH), "umount2")  # the old root lies over the new one now
    os.chdir("/")


def set_hostname(name: str) -> None:
    _checked(_libc.sethostname(name.encode(), len(name.encode())), "sethostname")


def die_with_parent(number: int = signal.SIGKILL) -> None:
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number)), "prctl")


def name_process(name: str) -> None:
    """As `ps` and `top` show it."""
    _checked(_libc.prctl(_PR_SET_NAME, name.encode()), "prctl")
