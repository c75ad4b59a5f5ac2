# Copyright: the annexfleet maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gets ready, once, what every worker of Ansible would otherwise get for itself: one is forked for each host and task.

It only prepares.  Whatever of it does not succeed, because something is missing or has moved in Ansible, is done by the
workers as it always was, and told at -vvv alone; so what is not public in Ansible is imported where it is used.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import shutil
import sys
import typing as t
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: annexfleet_ready
type: aggregate
author: the annexfleet maintainers
short_description: prepares what all workers need before they are forked
description:
  - Loads what workers would each load anew, and keeps the garbage collector off what they inherit.
  - Where E(ANNEXFLEET_PAYLOADS) names a directory in which nobody but the user may write, what Ansible builds of its
    own modules to send them to devices is kept there from one run to the next.
options: {}
"""

_CORE = "ansible.modules."
"""How the names of payloads begin that hold nothing but files of ansible-core: only they are kept."""
_PLAIN = "-none"
"""How the names of payloads end in which nothing is built for debuggers."""
_DIGEST_BYTES = 32
_MOST_BYTES = 64 * 1024 * 1024
"""Of a store; all modules of ansible-core together are a quarter of it."""
_MOST_VERSIONS = 3


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "annexfleet_ready"

    _is_ready = False
    _payloads: _Payloads | None = None

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        if not self._is_ready:  # the first play's; no worker has been forked
            self._is_ready = True
            for prepare in (self._take_payloads, _load_what_all_need, _spare_the_collector):
                self._attempt(prepare)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        if self._payloads is not None:
            self._attempt(self._payloads.keep)

    def _take_payloads(self) -> None:
        if root := os.environ.get("ANNEXFLEET_PAYLOADS"):
            payloads = _Payloads(Path(root))
            payloads.take()
            self._payloads = payloads

    def _attempt(self, prepare: t.Callable[[], object]) -> None:
        try:
            prepare()
        except Exception as error:  # the fence: whatever it is, workers do without
            self._display.vvv(f"annexfleet_ready: {type(error).__name__}: {error}")


def _load_what_all_need() -> None:
    """What Ansible's main process has no use for itself: what was imported in the workers of ten ordinary tasks."""
    from ansible.module_utils.common.json import Direction, get_module_decoder, get_module_encoder
    from ansible.plugins.loader import action_loader

    action_loader.get("ansible.legacy.normal", class_only=True)
    get_module_encoder("legacy", Direction.CONTROLLER_TO_MODULE)
    get_module_decoder("legacy", Direction.MODULE_TO_CONTROLLER)


def _spare_the_collector() -> None:
    """Keep what is there by now, the whole inventory say, out of every later search for garbage."""
    gc.freeze()
    os.register_at_fork(after_in_child=gc.freeze)


class _Payloads:
    """Payloads of ansible-core's own modules, from run to run: `<root>/<version>/<name>`, a digest and what it is of.

    They are pickles, so a directory in which anybody else may write is not used.  A run works with copies of its own,
    each checked: what a power cut left of a file is removed, and built anew.  Runs at the same time do not see each
    other's, but for the names in the store, and those are whole files.
    """

    def __init__(self, root: Path) -> None:
        from ansible import constants

        self._root = root
        self._cache = Path(constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache"
        self._version = _version()

    def take(self) -> None:
        """Put what is kept where Ansible looks for what it built before."""
        self._cache.mkdir(mode=0o700, exist_ok=True)
        with self._opened() as (_, store, cache):
            os.utime(store)
            for name in os.listdir(store):
                payload = _whole(_read(store, name)) if _is_kept(name) else None
                if payload is None:
                    with contextlib.suppress(FileNotFoundError):  # somebody else saw it, too
                        os.unlink(name, dir_fd=store)
                else:
                    _write(cache, name, payload)

    def keep(self) -> None:
        """Keep what this run had to build."""
        with self._opened() as (root, store, cache):
            kept = set(os.listdir(store))
            room_bytes = _MOST_BYTES - sum(os.stat(name, dir_fd=store).st_size for name in kept)
            for name in filter(_is_kept, set(os.listdir(cache)) - kept):
                payload = _read(cache, name)
                room_bytes -= _DIGEST_BYTES + len(payload)
                if room_bytes >= 0:
                    _write(store, name, hashlib.sha256(payload).digest() + payload)
            versions = sorted(os.listdir(root), key=lambda name: os.stat(name, dir_fd=root).st_mtime, reverse=True)
            for name in versions[_MOST_VERSIONS:]:
                shutil.rmtree(name, ignore_errors=True, dir_fd=root)

    @contextlib.contextmanager
    def _opened(self) -> t.Iterator[tuple[int, int, int]]:
        """The root, the store in it, and Ansible's own cache of this run.  Raises OSError."""
        _see_that_only_core_is_sent()
        with (
            _private(self._root) as root,
            _private(self._version, within=root) as store,
            _directory(self._cache) as cache,
        ):
            yield root, store, cache


def _version() -> str:
    """Changes with everything that goes into a payload, and with what reads it."""
    import ansible
    from ansible.release import __version__

    package = os.path.dirname(ansible.__file__)
    found = hashlib.sha256(f"{__version__}\0{sys.version}\n".encode())
    for part in ("modules", "module_utils", "executor", "_internal"):
        for place, directories, names in os.walk(os.path.join(package, part)):
            directories.sort()
            for name in sorted(names):
                if name.endswith(".py"):
                    status = os.stat(file := os.path.join(place, name))
                    found.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return found.hexdigest()[:32]


def _see_that_only_core_is_sent() -> None:
    """Raises PermissionError if somebody brings module_utils that may take the place of those in Ansible's modules."""
    import ansible
    from ansible.plugins.loader import module_utils_loader

    own = os.path.join(os.path.dirname(ansible.__file__), "module_utils")
    for path in module_utils_loader._get_paths(subdirs=False):
        if os.path.isdir(path) and os.path.realpath(path) != os.path.realpath(own):
            raise PermissionError(f"payloads are not shared with others' {path}")


def _is_kept(name: str) -> bool:
    return name.startswith(_CORE) and name.endswith(_PLAIN)


def _whole(file: bytes) -> bytes | None:
    """A payload, if all of it is there."""
    digest, payload = file[:_DIGEST_BYTES], file[_DIGEST_BYTES:]
    return payload if hashlib.sha256(payload).digest() == digest else None


@contextlib.contextmanager
def _directory(path: Path | str, *, within: int | None = None) -> t.Iterator[int]:
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    try:
        yield number
    finally:
        os.close(number)


@contextlib.contextmanager
def _private(path: Path | str, *, within: int | None = None) -> t.Iterator[int]:
    """A directory, made when missing.  Raises PermissionError if it is another's, or others may write in it."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700, dir_fd=within)
    with _directory(path, within=within) as number:
        status = os.fstat(number)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError(f"{path} is not this user's alone")
        yield number


def _read(directory: int, name: str) -> bytes:
    number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    with open(number, "rb") as file:
        return file.read(_MOST_BYTES)


def _write(directory: int, name: str, content: bytes) -> None:
    """Whole or not at all, for whoever looks meanwhile."""
    draft = f".{name}.{os.getpid()}"
    try:
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory)
        with open(number, "wb") as file:
            file.write(content)
        os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=directory)
        raise
