"""The files of Ansible's modules, kept by their content, so that each crosses the line once.

    files/<sha256>           one file of a payload
    archives/<digest>.zip    a payload put together again, as Python imports from it; <digest> is that of its manifest

A relay that names only the manifest means an archive; what is in it, the archive itself tells.
All of it can be had again, so nothing is synced: what a power cut left damaged does not fit its digest, and is asked
for again.  Both kinds together stay below a bound; an archive goes first, for it costs no line to make another.
"""

import hashlib
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from annexfleet_agent.protocol.envelope import Module, ModuleFile
from annexfleet_agent.protocol.requests import manifest_of

MAX_BYTES = 64 * 1024 * 1024
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_MODULE_FILES = 2000
MAX_UNPACKED_BYTES = 32 * 1024 * 1024
"""Of all files of one module; those of ansible-core have a twentieth of it."""
_KEPT_ARCHIVES = 4
"""As many as were used last are never taken away: a module may still import from them."""
_LENGTH = struct.Struct(">I")


class ModuleWrong(ValueError):
    """A module whose names or contents cannot be what they claim; the message is for the log."""


class ModuleIncomplete(Exception):
    """Not all of a module's files are here; `missing` tells which, by digest."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__(f"{len(missing)} files of the module are missing")
        self.missing = missing


class ManifestUnknown(Exception):
    """No whole archive here has this manifest; the controller must tell which files the module has."""


class _Stamp(NamedTuple):
    """Tells whether a file is still the one that was looked at."""

    inode: int
    size_bytes: int
    changed_ns: int


def judge(module: Module) -> None:
    """Raises ModuleWrong if a name in the archive leads out of it, stands there twice, or is none, or if the files are
    not those of the manifest."""
    if not module.files or len(module.files) > MAX_MODULE_FILES:
        raise ModuleWrong(f"{len(module.files)} files")
    seen = set()
    for file in module.files:
        parts = file.name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in file.name or not file.name.isprintable():
            raise ModuleWrong(f"a file named {file.name[:100]!r}")
        if file.name in seen:
            raise ModuleWrong(f"two files named {file.name[:100]!r}")
        seen.add(file.name)
    if module.manifest and manifest_of(module.files) != module.manifest:
        raise ModuleWrong("files that do not fit their manifest")


def unpacked(packed: bytes, digests: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """What the controller answers to `missing`: the files in the order they were asked for, with their digests.

    It is zlib of, for each, its length (u32, big endian) and its content.  Raises ModuleWrong if it is not, or if it
    does not hold exactly what was asked for.  The contents are not compared with their digests here: `add` does that.
    """
    inflating = zlib.decompressobj()
    try:
        plain = inflating.decompress(packed, MAX_UNPACKED_BYTES + 1)
    except zlib.error:
        raise ModuleWrong("the files cannot be unpacked") from None
    if len(plain) > MAX_UNPACKED_BYTES or not inflating.eof or inflating.unused_data:
        raise ModuleWrong("the files are cut off, or too many")
    start = 0
    for digest in digests:
        if len(plain) < start + _LENGTH.size:
            raise ModuleWrong("fewer files than were asked for")
        end = start + _LENGTH.size + _LENGTH.unpack_from(plain, start)[0]
        if len(plain) < end:
            raise ModuleWrong("a file is cut off")
        yield digest, plain[start + _LENGTH.size : end]
        start = end
    if start != len(plain):
        raise ModuleWrong("more than the files that were asked for")


class ModuleCache:
    """What is kept in one directory.  Belongs to one thread of one process."""

    def __init__(self, directory: Path, *, max_bytes: int = MAX_BYTES) -> None:
        """Raises OSError if the directory cannot be used."""
        self._files = directory / "files"
        self._archives = directory / "archives"
        self._max_bytes = max_bytes
        self._whole: dict[Path, _Stamp] = {}
        """What this process has compared with its digest, or written itself."""
        self._lists: dict[Path, list[ModuleFile]] = {}
        """What is in these archives."""
        self._kept: dict[Path, int] = {}
        """Everything here, longest unused first, with its size."""
        for place in (self._files, self._archives):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._look()

    @property
    def size_bytes(self) -> int:
        return sum(self._kept.values())

    def listed(self, module: Module) -> Module:
        """The module with the list of its files, whether it came with it or not.  Raises ManifestUnknown."""
        if module.files:
            return module
        files = self._list_of(self._archive_of(module))
        if files is None:
            raise ManifestUnknown(module.manifest)
        return msgspec.structs.replace(module, files=files)

    def missing(self, module: Module) -> list[str]:
        """The digests of the files that must be had from the controller first, each once.  Raises ModuleWrong."""
        judge(module)
        if self._list_of(self._archive_of(module)) is not None:
            return []
        return [digest for digest in dict.fromkeys(file.sha256 for file in module.files) if not self._has(digest)]

    def add(self, sha256: str, content: bytes) -> None:
        """Keep a file.  Raises ModuleWrong if it does not fit its digest, OSError if it cannot be written."""
        if len(content) > MAX_FILE_BYTES or hashlib.sha256(content).hexdigest() != sha256:
            raise ModuleWrong(f"a file of {len(content)} bytes is not {sha256[:16]}")
        self._put(self._files / sha256, content)
        self._make_room()

    def archive(self, module: Module) -> Path:
        """The module's payload as a zip from which Python can import.

        Raises ModuleIncomplete if files are not there (any more): ask for them, add them, and try again.
        Raises ModuleWrong as `missing` does, OSError if it cannot be written.
        """
        judge(module)
        path = self._archive_of(module)
        if self._list_of(path) is None:
            self._make(path, module)
        self._used(path)
        with suppress(OSError):
            os.utime(path)  # the order of use is known after a restart, too
            self._whole[path] = _stamp(path) or _Stamp(0, 0, 0)
        self._make_room()
        return path

    # -- archives

    def _archive_of(self, module: Module) -> Path:
        return self._archives / f"{module.manifest or manifest_of(module.files)}.zip"

    def _list_of(self, path: Path) -> list[ModuleFile] | None:
        """What is in an archive; None if it is not there, or is damaged; then it is away.

        Compared file by file the first time, then only by its date: the module runs between two looks.
        """
        stamp = _stamp(path)
        if stamp is None:
            return None
        if self._whole.get(path) == stamp and path in self._lists:
            return self._lists[path]
        files = _read_list(path)
        if not files or manifest_of(files) != path.stem:
            self._remove(path)
            return None
        self._whole[path], self._lists[path] = stamp, files
        return files

    def _make(self, path: Path, module: Module) -> None:
        contents: dict[str, bytes] = {}
        lacking = []
        for digest in dict.fromkeys(file.sha256 for file in module.files):
            content = self._content(digest)
            if content is None:
                lacking.append(digest)
            else:
                contents[digest] = content
        if lacking:
            raise ModuleIncomplete(lacking)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for entry in sorted(module.files, key=lambda entry: entry.name):
                    archive.writestr(zipfile.ZipInfo(entry.name), contents[entry.sha256])
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._note(path)
        self._lists[path] = module.files

    # -- files

    def _has(self, digest: str) -> bool:
        path = self._files / digest
        stamp = _stamp(path)
        if stamp is None:
            return False
        if self._whole.get(path) != stamp and self._content(digest) is None:
            return False
        self._used(path)
        return True

    def _content(self, digest: str) -> bytes | None:
        """None if it is not there, or is damaged; then it is away."""
        path = self._files / digest
        stamp = _stamp(path)
        try:
            content = path.read_bytes() if stamp is not None and stamp.size_bytes <= MAX_FILE_BYTES else b""
        except OSError:
            content = b""
        if stamp is None or hashlib.sha256(content).hexdigest() != digest:
            self._remove(path)
            return None
        self._whole[path] = stamp
        self._used(path)
        return content

    def _put(self, path: Path, content: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._note(path)

    # -- what is kept

    def _look(self) -> None:
        """What an earlier process left; its half-written files go."""
        found = []
        for place in (self._files, self._archives):
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        Path(entry.path).unlink(missing_ok=True)
                    elif entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        found.append((status.st_mtime_ns, Path(entry.path), status.st_size))
        self._kept = {path: size for _, path, size in sorted(found)}

    def _note(self, path: Path) -> None:
        """It was just written by this process."""
        stamp = _stamp(path)
        if stamp is not None:
            self._whole[path] = stamp
            self._kept.pop(path, None)
            self._kept[path] = stamp.size_bytes

    def _used(self, path: Path) -> None:
        size = self._kept.pop(path, None)
        if size is not None:
            self._kept[path] = size

    def _make_room(self) -> None:
        over = self.size_bytes - self._max_bytes
        if over <= 0:
            return
        archives = [path for path in self._kept if path.parent == self._archives]
        files = [path for path in self._kept if path.parent == self._files]
        for path in archives[:-_KEPT_ARCHIVES] + files[:-1]:
            if over <= 0:
                return
            over -= self._kept[path]
            self._remove(path)

    def _remove(self, path: Path) -> None:
        self._kept.pop(path, None)
        self._whole.pop(path, None)
        self._lists.pop(path, None)
        with suppress(OSError):
            path.unlink()


def _read_list(path: Path) -> list[ModuleFile]:
    """Of an archive, with the digests of what it really holds; empty if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                return []  # none of ours, and it might unfold to anything
            return [ModuleFile(entry.filename, hashlib.sha256(archive.read(entry)).hexdigest()) for entry in entries]
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError):
        return []


def _stamp(path: Path) -> _Stamp | None:
    """None if it is not a plain file."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return _Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
