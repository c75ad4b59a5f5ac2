"""Ansible's payloads, taken apart into files by their content: a device has most of them already.

Ansible packs anew in each run, with the time of day in the archive, so the archives differ where their files do not.
"""

import base64
import hashlib
import io
import struct
import threading
import zipfile
import zlib
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from annexfleet_agent.protocol.envelope import ModuleFile
from annexfleet_agent.protocol.requests import manifest_of

MAX_BYTES = 64 * 1024 * 1024
"""Of contents that are kept; each is kept once.  All modules of ansible-core have 6 MB."""
MAX_FILES = 2000
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_PAYLOAD_BYTES = 32 * 1024 * 1024
"""Of one payload's files: as much as a device unpacks."""
_LENGTH = struct.Struct(">I")


class PayloadWrong(ValueError):
    """This is no payload that a device would take; the task can be executed as Ansible wrote it."""


class Split(Struct, frozen=True):
    """A payload's files."""

    files: list[ModuleFile]
    """Sorted by name."""
    contents: Mapping[str, bytes]
    """By SHA-256, hexadecimal."""
    manifest: str
    """`requests.manifest_of` the files."""


class Payloads:
    """Payloads that were taken apart, those used last.  May be used by several threads."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._splits: OrderedDict[bytes, Split] = OrderedDict()
        self._contents: dict[str, bytes] = {}
        self._uses: Counter[str] = Counter()
        self._size_bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Of all contents that are kept."""
        return self._size_bytes

    def split(self, zip_data: str) -> Split:
        """The files of a payload: `zip_data` is base64, as Ansible has it.  Raises PayloadWrong."""
        key = hashlib.sha256(zip_data.encode("utf-8", "surrogateescape")).digest()
        with self._lock:
            known = self._splits.get(key)
            if known is not None:
                self._splits.move_to_end(key)
                return known
        fresh = split(zip_data)
        with self._lock:
            return self._splits.get(key) or self._keep(key, fresh)

    def _keep(self, key: bytes, fresh: Split) -> Split:
        for digest, content in fresh.contents.items():
            if digest not in self._contents:
                self._contents[digest] = content
                self._size_bytes += len(content)
            self._uses[digest] += 1
        kept = Split(fresh.files, {digest: self._contents[digest] for digest in fresh.contents}, fresh.manifest)
        self._splits[key] = kept
        while self._size_bytes > self._max_bytes and len(self._splits) > 1:
            _, oldest = self._splits.popitem(last=False)
            self._let_go(oldest)
        return kept

    def _let_go(self, split: Split) -> None:
        for digest in split.contents:
            self._uses[digest] -= 1
            if not self._uses[digest]:
                del self._uses[digest]
                self._size_bytes -= len(self._contents.pop(digest))


def split(zip_data: str) -> Split:
    """As `Payloads.split`, and nothing is kept.  Raises PayloadWrong."""
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(zip_data, validate=True))) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.filename)
            _judge(entries)
            read = {entry.filename: archive.read(entry) for entry in entries}
    except PayloadWrong:
        raise
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise PayloadWrong(f"no archive: {error}") from None
    files = [ModuleFile(name, hashlib.sha256(content).hexdigest()) for name, content in read.items()]
    return Split(files, {file.sha256: read[file.name] for file in files}, manifest_of(files))


def pack(contents: Mapping[str, bytes], missing: Sequence[str]) -> bytes:
    """What a device that lacks these files is sent: zlib of, for each, its length (u32, big endian) and its content,
    in the order in which it asked.  Raises KeyError if it asked for one that the payload does not have."""
    pieces = []
    for digest in missing:
        content = contents[digest]
        pieces += [_LENGTH.pack(len(content)), content]
    return zlib.compress(b"".join(pieces), level=9)


def _judge(entries: Sequence[zipfile.ZipInfo]) -> None:
    """By what the archive's directory says; nothing more than that is ever unpacked."""
    names = {entry.filename for entry in entries}
    if not entries or len(entries) > MAX_FILES or len(names) < len(entries):
        raise PayloadWrong(f"{len(entries)} files")
    for name in names:
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable() or len(name) > 300:
            raise PayloadWrong(f"a file named {name[:100]!r}")
    sizes = [entry.file_size for entry in entries]
    if max(sizes) > MAX_FILE_BYTES or sum(sizes) > MAX_PAYLOAD_BYTES:
        raise PayloadWrong(f"{sum(sizes)} bytes")
