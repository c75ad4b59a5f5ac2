"""Where log lines go: stderr, or a file each process under a directory, which never grows past some megabytes."""

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_FILE_BYTES = 5_000_000
_FILES_KEPT = 3


def begin(directory: Path | None, name: str, *, level: int = logging.INFO) -> None:
    """Send this process's log to `<directory>/<name>.log`, or to stderr if there is no directory."""
    handler: logging.Handler = _Stderr()
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            directory / f"{name}.log", maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8"
        )
    logging.basicConfig(level=level, format=_FORMAT, handlers=[handler], force=True)
    for loud in ("uvicorn.error", "alembic.runtime.migration", "httpx"):
        logging.getLogger(loud).setLevel(logging.WARNING)


class _Stderr(logging.Handler):
    """Writes to what stderr is at that moment, so that whoever redirects it gets the log too."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)
