"""Keeps a Python warm for Ansible's modules: each runs unchanged, in a child of its own.

A script for the *system's* Python (3.9 and later; the standard library alone), started by `warmth` with one end of a
socket pair, over which nobody else can speak.  Starting Python costs 15 ms, importing and compiling what every module
needs 150 ms more; forking off a process that has done so costs 2.

    runner -> here    one byte, with four descriptors: the order (JSON), stdout, stderr, and the module's own socket
    here -> runner    JSON: first {"watch": …}, then {"base": …}, perhaps {"tired": true}
    the module's      child -> runner  P pid        it leads its own session, and starts now
    own socket        here -> runner   X exit code  it ended; below 0: by that signal
                      runner -> here   the end      cancel: its session is killed whole

One process serves one set of `ansible.module_utils`: it imports those of its first module, and `warmth` sends it only
modules whose files are the same.  Every module's archive lies under one path, which this process was told, so paths
that were noted while importing hold good for all.  When the runner closes its socket, this ends after its children;
when the runner died, they are killed.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # Python put this file's folder there; no module of Ansible's may find anything in it.
    del sys.path[0]

import array
import atexit
import builtins
import contextlib
import gc
import hashlib
import importlib
import importlib.util
import io
import json
import marshal
import os
import resource
import selectors
import signal
import site
import socket
import stat
import struct
import threading
import time
import traceback
import types
import zipfile
import zipimport
from typing import Any, NoReturn

IMPORTED_FIRST = """
    __future__ argparse ast base64 bz2 codecs collections concurrent.futures.thread configparser contextlib copy
    ctypes.util dataclasses datetime difflib email.mime.application email.mime.multipart email.policy email.utils
    enum errno fcntl filecmp fileinput fnmatch functools getpass glob grp gzip hmac html http.client http.cookiejar
    inspect itertools locale logging lzma math mimetypes netrc operator pathlib pickle platform pwd queue random re
    runpy secrets select shlex shutil ssl stat string subprocess syslog tarfile tempfile textwrap typing unicodedata
    urllib.error urllib.parse urllib.request uuid warnings
"""
"""What the modules of ansible-core import of the standard library, and what `ansible.module_utils` does."""

_STARTED = struct.Struct(">ci")
_CODE_BYTES = 24 * 1024 * 1024
"""Of source whose compiled form is kept: thirty times what ansible-core's modules need."""
_MOST_KEPT_CODES = 4000
"""Five times what ansible-core has; 8 kB each."""
_MAGIC = importlib.util.MAGIC_NUMBER + sys.flags.optimize.to_bytes(1, "big")
_MOST_DIRECTORIES = 500
_ROUNDS = 8
_GRACE_S = 5
_HANDED = 4
_MOST_HANDED = 16


# -- compiled once


class _Compiled:
    """What zipimport compiles, by the content of the source and its place; on disk for the next warm Python, too."""

    def __init__(self, directory: str) -> None:
        """`directory`: where compiled code is kept; empty for nowhere.  It must be ours alone, for it is executed."""
        self._compile = zipimport._compile_source  # type: ignore[attr-defined]
        self._directory = directory if _is_ours_alone(directory) else ""
        self._codes: dict[bytes, Any] = {}
        self._source_bytes = 0
        self._seen: set[Any] = set()

    def __call__(self, path: str, source: bytes) -> Any:
        code = self._codes.get(_code_key(path, source))
        return self._compile(path, source) if code is None else code

    def prepare(self, archive: str, name: str) -> None:
        """Compile all that lies in an archive, so that its modules' children need not."""
        if name in self._seen:
            return
        if self._source_bytes > _CODE_BYTES:
            self._codes.clear()
            self._seen.clear()
            self._source_bytes = 0
        self._seen.add(name)
        try:
            with zipfile.ZipFile(archive) as contents:
                for entry in contents.infolist():
                    # Most of an archive's files lay in the one before.  Whoever makes one that only seems to has it
                    # compiled by its child.
                    seen = (entry.filename, entry.CRC, entry.file_size)
                    if entry.filename.endswith(".py") and seen not in self._seen:
                        self._seen.add(seen)
                        source = zipimport._normalize_line_endings(contents.read(entry))  # type: ignore[attr-defined]
                        self._have(archive + os.sep + entry.filename.replace("/", os.sep), source)
        except (OSError, zipfile.BadZipFile):
            return  # so is whoever runs it

    def _have(self, path: str, source: bytes) -> None:
        key = _code_key(path, source)
        if key in self._codes:
            return
        file = os.path.join(self._directory, key.hex()) if self._directory else ""
        code = _kept_code(file) if file else None
        if code is None:
            try:
                code = self._compile(path, source)
            except (SyntaxError, ValueError, RecursionError):
                return  # whoever imports it is told
            if file:
                _keep_code(file, code)
        self._codes[key] = code
        self._source_bytes += len(source)


def _code_key(path: str, source: bytes) -> bytes:
    return hashlib.sha256(b"\0".join((_MAGIC, path.encode(), source))).digest()


def _kept_code(file: str) -> Any:
    """None if there is none, or none that is whole."""
    try:
        with open(file, "rb") as kept:
            digest, text = kept.read(hashlib.sha256().digest_size), kept.read()
    except OSError:
        return None
    return marshal.loads(text) if hashlib.sha256(text).digest() == digest else None  # noqa: S302  # of ours


def _keep_code(file: str, code: Any) -> None:
    text = marshal.dumps(code)
    draft = f"{file}.{os.getpid()}"
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as kept:
            kept.write(hashlib.sha256(text).digest() + text)
        os.replace(draft, file)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)


def _is_ours_alone(directory: str) -> bool:
    """Also makes room: what is kept of older versions of ansible-core is not looked for any more."""
    try:
        found = os.lstat(directory)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return False
        names = os.listdir(directory)
        if len(names) > _MOST_KEPT_CODES:
            for name in names:
                os.unlink(os.path.join(directory, name))
    except OSError:
        return False
    return True


# -- sessions


def session_of(leader: int) -> set[int]:
    """All living processes of a session, and all that descend from them."""
    parents: dict[int, int] = {}
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/" + name + "/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if fields[0] != b"Z":
            parents[int(name)] = int(fields[1])
            if int(fields[3]) == leader:
                found.add(int(name))
    grows = True
    while grows:
        more = {pid for pid, parent in parents.items() if parent in found and pid not in found}
        found |= more
        grows = bool(more)
    found.discard(os.getpid())
    return found


def kill_session(leader: int) -> None:
    """End a session and all that descends from it."""
    stopped: set[int] = set()
    for _ in range(_ROUNDS):
        living = session_of(leader) - stopped
        if not living:
            break
        # Who is stopped cannot start others, and does not leave its children to somebody else, meanwhile.
        _signal(living, signal.SIGSTOP)
        stopped |= living
    _signal(stopped, signal.SIGKILL)


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


# -- a module, in its child


def run_as_ansible_does(archive: str, order: dict[str, Any]) -> None:
    """What AnsiballZ's wrapper of ansible-core does, but for unpacking its archive.  `warmth.plain` sends this text."""
    import os
    import resource
    import sys

    try:
        os.getcwd()
    except OSError:
        try:
            os.chdir(os.path.expanduser("~"))
        except OSError:
            os.chdir("/")
    if order["rlimit_nofile"]:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(hard, order["rlimit_nofile"])
        if wanted != soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    sys.path = [path for path in sys.path if path not in ("", ".")]
    sys.path.insert(0, archive)
    from ansible.module_utils._internal._ansiballz import _loader  # type: ignore[import-untyped]

    _loader.run_module(
        json_params=order["params"].encode(),
        profile=order["profile"],
        module_fqn=order["fqn"],
        modlib_path=archive,
        extensions=order["extensions"],
    )


def _child(order: dict[str, Any], archive: str, control: socket.socket, stdout: int, stderr: int) -> NoReturn:
    """Runs the module, and ends as Python would."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        control.send(_STARTED.pack(b"P", os.getpid()))
        _take_streams(stdout, stderr)
        _surround(order)
        code = _outcome(order, archive)
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def _take_streams(stdout: int, stderr: int) -> None:
    """As Python makes them when it starts; nothing else stays open."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (stdout, 1), (stderr, 2)):
        os.dup2(here, there)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                continue  # the listing's own
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, f"__{name}__")
        raw = io.FileIO(descriptor, "rb" if descriptor == 0 else "wb", closefd=False)
        raw.name = f"<{name}>"
        buffered = io.BufferedReader(raw) if descriptor == 0 else io.BufferedWriter(raw)
        # Standard error has been line-buffered, whatever it is, since 3.9.
        stream = io.TextIOWrapper(
            buffered, encoding=before.encoding, errors=before.errors, newline="\n", line_buffering=descriptor == 2
        )
        stream.__dict__["mode"] = "r" if descriptor == 0 else "w"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _surround(order: dict[str, Any]) -> None:
    """Everything about the process that a fresh Python would have otherwise."""
    if order["entrance"]:
        with open(order["entrance"], "w") as file:
            file.write("0")
    os.nice(order["nicer_by"])
    for what, most in order["limits"]:
        # Processor time: the signal that says so comes before the one that only kills.
        grace = _GRACE_S if what == resource.RLIMIT_CPU else 0
        hard = resource.getrlimit(what)[1]
        ceiling = hard if hard != resource.RLIM_INFINITY else most + grace
        resource.setrlimit(what, (min(most, ceiling), min(most + grace, ceiling)))
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()  # the zone may have been set since this process began
    try:
        os.chdir(order["home"])
    except OSError:
        os.chdir("/")
    sys.argv = [""]
    if hasattr(sys, "orig_argv"):  # since 3.10
        sys.orig_argv = [sys.executable]
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main


def _outcome(order: dict[str, Any], archive: str) -> int:
    """The exit code: that which Python's own end would have."""
    code = 0
    try:
        run_as_ansible_does(archive, order)
    except SystemExit as end:
        code = _code_of(end)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    # What only a cycle still holds: a file that the module's own globals name is written out when it goes.
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError):
            code = 120  # as Python says that its output went nowhere
    return code & 0xFF


def _code_of(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code
    print(end.code, file=sys.stderr)  # noqa: T201  # where Python says it
    return 1


# -- the process that stays


class Warm:
    """One interpreter with one set of `ansible.module_utils`."""

    def __init__(self, runner: socket.socket, archive: str, codes: str, *, most_modules: int, most_bytes: int) -> None:
        self._runner = runner
        self._archive = archive
        self._most_modules, self._most_bytes = most_modules, most_bytes
        self._compiled = _Compiled(codes)
        self._running: dict[int, socket.socket] = {}
        self._events = selectors.DefaultSelector()
        self._directories: dict[str, Any] = {}
        self._has_base = False
        self._count = 0
        zipimport._compile_source = self._compiled  # type: ignore[attr-defined]

    def serve(self) -> None:
        """Until the runner closes its end, and the last module has ended."""
        woken, wakes = os.pipe()
        for descriptor in (woken, wakes):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        self._events.register(woken, selectors.EVENT_READ, lambda: self._children_ended(woken))
        self._events.register(self._runner, selectors.EVENT_READ, self._ordered)
        is_wanted = True
        while is_wanted or self._running:
            for key, _ in self._events.select():
                if key.data() is False:
                    is_wanted = False
                    self._events.unregister(self._runner)

    def _ordered(self) -> bool:
        try:
            message, handed = _received(self._runner)
        except ConnectionError:  # it went without having read all that was said
            return False
        if not message:
            return False
        if len(handed) != _HANDED:
            for descriptor in handed:
                os.close(descriptor)
            return True
        order, stdout, stderr, own = handed
        control = socket.socket(fileno=own)
        with open(order, "rb") as file:
            said = json.load(file)
        self._turn_to(said["name"])
        self._import_base(said["profile"])
        pid = os.fork()
        if pid == 0:
            _child(said, self._archive, control, stdout, stderr)
        os.close(stdout)
        os.close(stderr)
        self._running[pid] = control
        self._events.register(control, selectors.EVENT_READ, lambda: self._cancelled(pid))
        return True

    def _turn_to(self, name: str) -> None:
        """Another archive lies where the last one lay; what is imported of it is the same, but lies elsewhere in it."""
        try:
            files = self._directories.get(name) or zipimport._read_directory(self._archive)  # type: ignore[attr-defined]
        except zipimport.ZipImportError:
            return  # its child will say so
        if len(self._directories) > _MOST_DIRECTORIES:
            self._directories.clear()
        self._directories[name] = zipimport._zip_directory_cache[self._archive] = files  # type: ignore[attr-defined]
        for finder in sys.path_importer_cache.values():
            # Up to 3.12 they hold it themselves; later ones look in the cache.
            if isinstance(finder, zipimport.zipimporter) and hasattr(finder, "_files"):
                finder._files = files
        self._compiled.prepare(self._archive, name)

    def _import_base(self, profile: str) -> None:
        """Once, of the first module's archive; if that fails, it fails for each module, and in its child."""
        if self._has_base:
            return
        self._has_base = True
        sys.path.insert(0, self._archive)
        try:
            importlib.import_module("ansible.module_utils._internal._ansiballz._loader")
            for direction in ("c2m", "m2c"):
                importlib.import_module(f"ansible.module_utils._internal._json._profiles._module_{profile}_{direction}")
        except Exception:
            for name in [name for name in sys.modules if name == "ansible" or name.startswith("ansible.")]:
                del sys.modules[name]
        finally:
            sys.path.remove(self._archive)
        prefix = self._archive + os.sep
        files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
        base = sorted(file[len(prefix) :].replace(os.sep, "/") for file in files if file.startswith(prefix))
        gc.collect()
        gc.freeze()  # children share these pages, and should not touch them to look for garbage
        self._say({"base": base})

    def _children_ended(self, woken: int) -> bool:
        try:
            os.read(woken, 4096)
        except BlockingIOError:
            return True
        while self._running:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            control = self._running.pop(pid, None)
            if control is not None:
                self._forget(control)
                with contextlib.suppress(OSError):  # the runner has gone
                    control.send(_STARTED.pack(b"X", os.waitstatus_to_exitcode(status)))
                control.close()
                self._count += 1
        if self._count >= self._most_modules or _resident_bytes() > self._most_bytes:
            self._say({"tired": True})
        return True

    def _cancelled(self, pid: int) -> bool:
        control = self._running.get(pid)
        if control is not None:
            self._forget(control)
            kill_session(pid)
            _signal({pid}, signal.SIGKILL)  # it may not have led a session yet
            kill_session(pid)
        return True

    def _forget(self, control: socket.socket) -> None:
        with contextlib.suppress(KeyError):  # it was cancelled
            self._events.unregister(control)

    def _say(self, what: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it has gone, or does not read; both are its own affair
            self._runner.send(json.dumps(what).encode(), socket.MSG_DONTWAIT)


def _received(runner: socket.socket) -> tuple[bytes, list[int]]:
    handed = array.array("i")
    message, ancillary, _, _ = runner.recvmsg(16, socket.CMSG_SPACE(_MOST_HANDED * handed.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            handed.frombytes(data[: len(data) - len(data) % handed.itemsize])
    for descriptor in handed:
        os.set_inheritable(descriptor, False)
    return message, list(handed)


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _watched() -> dict[str, int | None]:
    """Where a change means that a fresh Python would be another one: itself, its library, what is installed for it.
    Each with the date of its last change in ns, or None if it is not there."""
    paths = {os.path.realpath(sys.executable), os.path.dirname(os.__file__), *site.getsitepackages()}
    paths.add(site.getusersitepackages())
    paths.update(path for path in sys.path if path)
    return {path: changed_ns(path) for path in sorted(paths)}


def changed_ns(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def main(descriptor: int, archive: str, codes: str, most_modules: int, most_bytes: int) -> None:
    """Serve the runner at the other end of a socket that was inherited."""
    runner = socket.socket(fileno=descriptor)
    runner.set_inheritable(False)
    watched = _watched()
    for name in IMPORTED_FIRST.split():
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # a Python without it
    warm = Warm(runner, archive, codes, most_modules=most_modules, most_bytes=most_bytes)
    runner.send(json.dumps({"watch": watched}).encode())
    warm.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    os._exit(0)
