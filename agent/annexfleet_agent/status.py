"""A small file in which the running agent says how it is, for `annexfleet-agent status`."""

import logging
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
