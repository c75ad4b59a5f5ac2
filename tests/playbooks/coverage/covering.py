"""Running `cover.yml`: its small files, made anew each time, and what is expected of it."""

import io
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.playbooks.playing import Played, play

COVER = Path(__file__).parent / "cover.yml"
CLOSED = "127.0.0.1:9"
"""discard: nobody listens there on a device"""
BIG_BYTES = 20_000_000


def cover(inventory: Path, directory: Path, *, environment: Mapping[str, str] | None = None) -> Played:
    """Play it on every host of the inventory; what was fetched lies in `directory`, see `fetched`."""
    local = directory / "local"
    local.mkdir()
    (local / "big.bin").write_bytes(random.Random(1).randbytes(BIG_BYTES))
    with tarfile.open(local / "small.tgz", "w:gz") as archive:
        content = "من الأرشيف\n".encode()
        member = tarfile.TarInfo("unpacked.txt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    variables = {
        "cover_local": str(local),
        "cover_fetched": str(directory / "fetched"),
        "cover_closed": CLOSED,
    }
    return play(COVER, inventory, directory, variables=variables, environment=environment)


def came_back_whole(directory: Path, host: str) -> bool:
    """Whether the large file that went to this host and back is the same, byte by byte."""
    back = directory / "fetched" / host / "var/lib/cover/big.bin"
    return back.read_bytes() == (directory / "local" / "big.bin").read_bytes()
