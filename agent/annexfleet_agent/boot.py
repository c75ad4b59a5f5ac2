"""Which start of this machine this is."""

from pathlib import Path

from annexfleet_agent.chance import new_id

_KERNEL = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """The same until the machine starts again; where the system has none, until this process does."""
    try:
        return _KERNEL.read_text("ascii").strip().replace("-", "")[:12]
    except OSError:
        return new_id(6)
