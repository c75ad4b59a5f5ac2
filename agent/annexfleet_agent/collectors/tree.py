"""Where the agent itself reads a machine's files: every such path under /proc, /sys, /run, /etc and /var goes through a
`Tree`, so that a test can build a small machine.  psutil, which reads most of what is measured, does not know it: it
reads this machine, and tests point its own PROCFS_PATH elsewhere or take its place.
"""

import os
import sys
from pathlib import Path

from msgspec import Struct

_MOST_BYTES = 1024 * 1024


class Tree(Struct, frozen=True):
    """A file system root, real or simulated."""

    root: str = ""
    """Without a slash at the end; empty: this machine."""

    def path(self, name: str) -> str:
        """The path to open for a path of the machine, such as `/proc/stat`."""
        return self.root + name

    def text(self, name: str, most: int = _MOST_BYTES) -> str:
        """What a file holds, at most so many bytes, without white space around it.  Raises OSError."""
        # Three system calls: files of /proc and /sys need no buffering, and this runs dozens of times a pass.
        descriptor = os.open(self.root + name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            pieces = []
            while most > 0 and (piece := os.read(descriptor, min(most, 65536))):
                pieces.append(piece)
                most -= len(piece)
        finally:
            os.close(descriptor)
        return b"".join(pieces).decode("utf-8", "replace").strip()

    def text_or(self, name: str, otherwise: str = "") -> str:
        """As `text`; `otherwise` if the file is missing, unreadable or says that it has no value now."""
        try:
            return self.text(name)
        except OSError:
            return otherwise

    def number(self, name: str) -> float | None:
        """The number that a file holds; None if it is missing, unreadable or holds something else."""
        try:
            return float(self.text(name))
        except (OSError, ValueError):
            return None

    def names(self, name: str) -> list[str]:
        """What a directory holds, sorted.  Raises OSError."""
        return sorted(os.listdir(self.root + name))  # noqa: PTH208  # names are wanted, and pathlib costs four times as much

    def exists(self, name: str) -> bool:
        return os.path.exists(self.root + name)  # noqa: PTH110


def tree_at(root: Path) -> Tree:
    """The tree of this machine for `/`, else a simulated one."""
    return Tree("" if root == Path("/") else str(root).rstrip("/\\"))


def on_android() -> bool:
    """Whether this is Android, where some harmless system calls end the process that makes them."""
    return hasattr(sys, "getandroidapilevel") or sys.platform == "android" or "ANDROID_ROOT" in os.environ
