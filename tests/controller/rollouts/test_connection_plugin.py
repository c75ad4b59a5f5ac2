"""The connection plugin, and a relay that says what tests want."""

import importlib.util
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from ansible.errors import AnsibleError

PLUGIN = Path(__file__).resolve().parents[3] / "playbooks" / "plugins" / "connection" / "annexfleet.py"


@pytest.fixture
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("annexfleet_connection", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def endless() -> Iterator[socket.socket]:
    """The plugin's end of a line on which a device sends without end."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        piece = struct.pack(">ccI", b"O", b"\0", 65_536) + bytes(65_536)
        try:
            while True:
                theirs.sendall(piece)
        except OSError:
            theirs.close()

    sender = threading.Thread(target=send)
    sender.start()
    ours.setblocking(False)
    yield ours
    ours.close()
    sender.join(10)
    assert not sender.is_alive()


def test_output_without_end_fills_no_memory(plugin: ModuleType, endless: socket.socket) -> None:
    with pytest.raises(AnsibleError, match="more than 1000000 bytes"):
        plugin._exchange(endless, b"x", iter(()), None, most_bytes=1_000_000)


def test_a_file_without_end_fills_no_disk(plugin: ModuleType, endless: socket.socket) -> None:
    written: list[int] = []
    with pytest.raises(AnsibleError, match="more than 1000000 bytes"):
        plugin._exchange(endless, b"x", iter(()), lambda data: written.append(len(data)), most_bytes=1_000_000)

    assert sum(written) <= 1_000_000
