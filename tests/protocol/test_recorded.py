"""Messages recorded from a released version must decode for ever, to the same values.

Never change or delete a recorded file; a new version gets a directory of its own.
"""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from annexfleet_agent.protocol import topics, wire

_RECORDED = sorted((Path(__file__).parent / "recorded").glob("*/*.bin"))


def _kind(path: Path) -> str:
    return path.stem.partition("-")[0]


def test_there_is_a_recording_of_every_kind():
    assert {_kind(path) for path in _RECORDED} == {*get_args(topics.Up), *get_args(topics.Down)} - {
        "run"
    }  # sealed packets


@pytest.mark.parametrize("path", _RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_message_still_says_the_same(path):
    payload, expected = path.read_bytes(), msgspec.json.decode(path.with_suffix(".json").read_bytes())
    kind = _kind(path)

    message = wire.decode_up(kind, payload) if kind in get_args(topics.Up) else wire.decode_down(kind, payload)

    assert msgspec.json.decode(wire.unpack(payload)) == expected
    decoded = msgspec.json.decode(msgspec.json.encode(message))
    assert {key: decoded[key] for key in expected} == expected
