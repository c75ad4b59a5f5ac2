"""Queue figures from a program that prints JSON.

No shell, no input, a small environment, a session of its own that is killed whole when the time is over or the output
too long, and after the program's end too, so that nothing it started stays behind.  POSIX only.
"""

import contextlib
import os
import selectors
import signal
from typing import IO, TYPE_CHECKING

from annexfleet_agent.http1 import Deadline
from annexfleet_agent.queues.source import Fetched, SourceFailed, parse_json
from annexfleet_agent.settings import QueueSource

if TYPE_CHECKING:
    import subprocess

MAX_OUTPUT_BYTES = 64 * 1024
_MAX_COMPLAINT_BYTES = 4096
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def fetch(source: QueueSource) -> Fetched:
    """What the program printed.  Raises SourceFailed, Timeout, PermissionError; NotImplementedError on Windows."""
    if os.name != "posix":
        raise NotImplementedError("queue sources of kind `command` need POSIX sessions")
    return Fetched(parse_json(_run(source.argv, source.timeout_s), "the output"))


def _run(argv: list[str], timeout_s: float) -> bytes:
    import subprocess  # noqa: PLC0415  # 2 MiB, only for who uses it

    deadline = Deadline(timeout_s)
    try:
        process = subprocess.Popen(  # noqa: S603  # what agent.toml says, and nothing that came over the wire
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise SourceFailed("unsupported", f"there is no program {argv[0]}") from None
    try:
        output, complaint = _listen(process, deadline)
    finally:
        _end(process)
    if process.returncode != 0:
        said = complaint.decode("utf-8", "replace").strip().partition("\n")[0]
        raise SourceFailed("failed", f"exit code {process.returncode}: {said}")
    return output


def _listen(process: "subprocess.Popen[bytes]", deadline: Deadline) -> tuple[bytes, bytes]:
    """What comes on both of its outputs until the program has ended and nothing more is there to read."""
    assert process.stdout is not None
    assert process.stderr is not None
    gathered: dict[int, bytearray] = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() or not _has_ended(process):
            ready = selector.select(min(deadline.left(), 0.1 if selector.get_map() else 0.005))
            for key, _ in ready:
                if not _gather(key.fileobj, gathered[key.fd]):  # type: ignore[arg-type]  # only streams were registered
                    selector.unregister(key.fileobj)
            if len(gathered[process.stdout.fileno()]) > MAX_OUTPUT_BYTES:
                raise SourceFailed("too_big", f"it printed over {MAX_OUTPUT_BYTES} bytes")
            if not ready and _has_ended(process):
                break  # a child of it may hold an output open for ever
    output, complaint = gathered.values()
    return bytes(output), bytes(complaint[:_MAX_COMPLAINT_BYTES])


def _gather(stream: IO[bytes], into: bytearray) -> bool:
    """Take what is there; False at the end."""
    try:
        piece = os.read(stream.fileno(), 16 * 1024)
    except BlockingIOError:
        return True
    if len(into) <= MAX_OUTPUT_BYTES:  # a program that only complains must not fill our memory either
        into += piece
    return bool(piece)


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    # WNOWAIT leaves the exit uncollected, so that the id of its session cannot become another's before we kill it.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill what is left of the session, and collect the program's exit."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
