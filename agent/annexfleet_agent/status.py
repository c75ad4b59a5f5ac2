"""A small file in which the running agent says how it is, for `annexfleet-agent status`."""

import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from annexfleet_agent.desired import replace_file

log = logging.getLogger(__name__)

_FILE = "status.json"


class Status(Struct, frozen=True, kw_only=True):
    """How a running agent was at `written_at`.  Moments are Unix time in seconds."""

    written_at: float
    pid: int
    agent_version: str
    device_id: str
    started_at: float
    link: str
    """`offline`, `connecting`, `connected` or `nobody_listens`: the broker is there, the controller is not."""
    connected_since: float | None
    last_ack_at: float | None
    outbox_items: int
    outbox_used_ratio: float
    outbox_trouble: str
    """Empty, `began_anew` after a damaged file, or `disk_full`."""
    config_version: int
    problem: str
    """The last thing that went wrong with the connection; it may be over."""
    problem_at: float | None


def write(state_dir: Path, status: Status) -> None:
    try:
        replace_file(state_dir / _FILE, msgspec.json.encode(status), durable=False)
    except OSError as error:
        log.debug("the status could not be written reason=%s", error)


def read(state_dir: Path) -> Status | None:
    """None if no agent ever ran here.  Raises OSError."""
    try:
        return msgspec.json.decode((state_dir / _FILE).read_bytes(), type=Status)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def is_running(status: Status) -> bool:
    """Whether the process that wrote this is still there."""
    if not hasattr(os, "posix_spawn"):  # on Windows, os.kill would end the process
        return True
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and somebody else's
        return True
    return True


def to_json(status: Status, *, running: bool) -> str:
    said = {"running": running, **msgspec.to_builtins(status)}
    return msgspec.json.format(msgspec.json.encode(said), indent=2).decode()


def render(status: Status, *, running: bool, now: float) -> str:
    """For a person."""
    lines = [
        ("agent", f"running (process {status.pid})" if running else "not running"),
        ("version", status.agent_version),
        ("device", status.device_id),
        ("connection", _LINKS.get(status.link, status.link) if running else "none"),
    ]
    if running and status.connected_since is not None:
        lines.append(("connected for", _span(now - status.connected_since)))
    if status.last_ack_at is not None:
        lines.append(("last receipt", _span(now - status.last_ack_at) + " ago"))
    full = f", {status.outbox_used_ratio:.0%} full" if status.outbox_used_ratio >= 0.01 else ""
    lines.append(("waiting", f"{status.outbox_items} items{full}"))
    if status.outbox_trouble:
        lines.append(("outbox", _TROUBLES.get(status.outbox_trouble, status.outbox_trouble)))
    lines.append(("settings", f"version {status.config_version}" if status.config_version else "agent.toml alone"))
    if status.problem and status.problem_at is not None:
        lines.append(("last problem", f"{_span(now - status.problem_at)} ago: {status.problem}"))
    return "\n".join(f"{name:<14} {what}" for name, what in lines)


_LINKS = {
    "offline": "none",
    "connecting": "none yet, trying",
    "connected": "connected",
    "nobody_listens": "to the broker; the controller is away",
}
_TROUBLES = {
    "began_anew": "its file was damaged; it was moved aside, and what waited in it is lost",
    "disk_full": "the disk is full: nothing more can be kept",
}


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
