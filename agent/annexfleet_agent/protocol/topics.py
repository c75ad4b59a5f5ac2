"""Where messages travel: one subtree a device, `up` from it and `down` to it.

The annex is in no topic: moving a device is a change in the controller's database and nowhere else.
"""

import re
from typing import Literal, NamedTuple, get_args

ROOT = "af/v1/d"

Up = Literal["hello", "beat", "change", "inventory", "receipt", "gap", "live", "gone"]
"""`gap` tells which items the outbox had to drop; `live` is a `watch` sample, which is not kept anywhere."""
Down = Literal["ack", "config", "command", "run"]

_ID = r"d-[a-z2-7]{26}"
_DEVICE_ID = re.compile(_ID)
_UP_TOPIC = re.compile(rf"{ROOT}/({_ID})/up/({'|'.join(get_args(Up))})")

_CHANNEL = re.compile(r"[a-z0-9]{1,32}")

EVERY_UP = f"{ROOT}/+/up/+"
"""The filter by which a controller hears every device."""


class Sender(NamedTuple):
    """Who sent a message, and of which kind it is."""

    device_id: str
    kind: Up


def is_device_id(text: str) -> bool:
    """Whether this is a name that the controller issues to devices: `d-` and 26 characters of base32."""
    return _DEVICE_ID.fullmatch(text) is not None


def up(device_id: str, kind: Up) -> str:
    return f"{ROOT}/{device_id}/up/{kind}"


def down(device_id: str, kind: Down) -> str:
    return f"{ROOT}/{device_id}/down/{kind}"


def every_down(device_id: str) -> str:
    """The filter by which a device hears what is meant for it."""
    return f"{ROOT}/{device_id}/down/+"


def is_channel(text: str) -> bool:
    """Whether a relay may call the last level of its topics so."""
    return _CHANNEL.fullmatch(text) is not None


def up_run(device_id: str, channel: str) -> str:
    """Where a device's runner speaks to one relay; a level deeper than `EVERY_UP`, so that only that relay hears it."""
    return f"{ROOT}/{device_id}/up/run/{channel}"


def every_up_run(channel: str) -> str:
    """The filter by which a relay hears the runners it speaks with."""
    return f"{ROOT}/+/up/run/{channel}"


def run_sender(topic: str) -> str | None:
    """Which device's runner speaks on this topic; None if it is no such topic."""
    device_id, _, rest = topic.removeprefix(f"{ROOT}/").partition("/")
    is_one = topic.startswith(f"{ROOT}/") and rest.startswith("up/run/") and is_channel(rest.removeprefix("up/run/"))
    return device_id if is_one and is_device_id(device_id) else None


def sender(topic: str) -> Sender | None:
    """Who speaks on this topic; None if it is no topic on which a device speaks."""
    match = _UP_TOPIC.fullmatch(topic)
    if match is None:
        return None
    return Sender(match[1], match[2])  # type: ignore[arg-type]  # the pattern admits only these kinds
