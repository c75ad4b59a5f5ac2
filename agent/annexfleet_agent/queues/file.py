"""Queue figures from a JSON file that the queue system, or a script of it, writes.

The file's own time counts as the moment of observation unless the document tells one, so a file that nobody renews
becomes stale.  Writers should write a new file and rename it over the old one.
"""

import os
import stat

from annexfleet_agent.queues.source import MAX_ANSWER_BYTES, Fetched, SourceFailed, parse_json
from annexfleet_agent.settings import QueueSource


def fetch(source: QueueSource) -> Fetched:
    """The document in the file, and the file's time.  Raises SourceFailed, PermissionError and other OSError."""
    # O_NONBLOCK: opening a named pipe must not wait for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(source.path, flags)
    except FileNotFoundError:
        raise SourceFailed("unreachable", f"there is no file {source.path}") from None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise SourceFailed("malformed", f"{source.path} is no regular file")
        data = file.read(MAX_ANSWER_BYTES + 1)
    if len(data) > MAX_ANSWER_BYTES:
        raise SourceFailed("too_big", f"{source.path} has over {MAX_ANSWER_BYTES} bytes")
    return Fetched(parse_json(data, source.path), about.st_mtime)
