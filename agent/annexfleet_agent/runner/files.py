"""Files put and fetched, a piece at a time.

What is put is written to a draft beside its place and checked whole before it takes that place in one step: nobody
ever sees half a file, and what does not fit its digest leaves no trace.
"""

import errno
import hashlib
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from annexfleet_agent.protocol.channel import DATA_BYTES

_ERRORS = {
    errno.ENOENT: "not_found", errno.ENOTDIR: "not_found",
    errno.EACCES: "denied", errno.EPERM: "denied", errno.EROFS: "denied",
    errno.ENOSPC: "no_space", errno.EDQUOT: "no_space", errno.EFBIG: "no_space",
}  # fmt: skip
_SLACK_BYTES = 1_000_000
"""Of a file system, not to be filled to the last byte: the agent's outbox lives there too."""


class FileFailed(Exception):
    """`error` as in `protocol.envelope.Result`; `detail` is for a person and names no content."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(f"{error}: {detail}")
        self.error = error
        self.detail = detail

    @classmethod
    def of(cls, error: OSError, path: str) -> "FileFailed":
        return cls(_ERRORS.get(error.errno or 0, "failed"), f"{path[:300]}: {error.strerror or error}")


class Put:
    """A file on its way in."""

    def __init__(self, path: str, *, size_bytes: int, sha256: str) -> None:
        """Open the draft.  Raises FileFailed."""
        self._path = _absolute(path)
        self._size_bytes, self._sha256 = size_bytes, sha256
        self._got_bytes = 0
        self._digest = hashlib.sha256()
        if self._path.is_dir():
            raise FileFailed("failed", f"{path[:300]}: is a directory")
        self._draft = self._path.with_name(f".{self._path.name[:200]}.{secrets.token_hex(6)}.part")
        try:
            room = os.statvfs(self._path.parent)
            if room.f_bavail * room.f_frsize < size_bytes + min(size_bytes, _SLACK_BYTES):
                raise FileFailed("no_space", f"{path[:300]}: {size_bytes} bytes do not fit")
            self._file = os.open(
                self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise FileFailed.of(error, path) from error

    def write(self, data: bytes) -> None:
        """Raises FileFailed; the draft is gone then."""
        self._got_bytes += len(data)
        if self._got_bytes > self._size_bytes:
            self.abandon()
            raise FileFailed("digest_differs", f"more than {self._size_bytes} bytes came")
        self._digest.update(data)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            self.abandon()
            raise FileFailed.of(error, str(self._path)) from error

    def finish(self) -> str:
        """Put it in place; its digest.  Raises FileFailed; the draft is gone then."""
        found = self._digest.hexdigest()
        if self._got_bytes != self._size_bytes or found != self._sha256:
            self.abandon()
            raise FileFailed("digest_differs", f"{self._got_bytes} of {self._size_bytes} bytes came")
        try:
            os.fchmod(self._file, 0o600)  # whatever the umask is
            os.close(self._file)
            self._file = -1
            self._draft.replace(self._path)
        except OSError as error:
            self.abandon()
            raise FileFailed.of(error, str(self._path)) from error
        return found

    def abandon(self) -> None:
        """Leave no trace; harmless after `finish`."""
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)


class Fetch:
    """A file on its way out."""

    def __init__(self, path: str) -> None:
        """Raises FileFailed."""
        self._path = path
        place = _absolute(path)
        try:
            # Without O_NONBLOCK the open of a named pipe would wait for a writer, for ever.
            self._file = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise FileFailed.of(error, path) from error
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            self.close()
            raise FileFailed("failed", f"{path[:300]}: is no regular file")
        self._digest = hashlib.sha256()

    def read(self) -> bytes:
        """The next piece, empty at the end.  Raises FileFailed."""
        try:
            data = os.read(self._file, DATA_BYTES)
        except OSError as error:
            self.close()
            raise FileFailed.of(error, self._path) from error
        self._digest.update(data)
        return data

    @property
    def sha256(self) -> str:
        """Of what was read."""
        return self._digest.hexdigest()

    def close(self) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1


def _absolute(path: str) -> Path:
    if not path.startswith("/") or "\0" in path or path.endswith("/"):
        raise FileFailed("malformed", f"{path[:300]!r} is no absolute path of a file")
    return Path(path)
