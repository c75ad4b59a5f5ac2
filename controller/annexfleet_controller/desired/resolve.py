"""What the layers come to for one device: each entry with its value and the layer that decided it."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from annexfleet_agent.protocol.messages import DesiredSettings, Portal
from annexfleet_controller.desired.document import (
    ABSENT,
    MOST_PORTALS,
    PRESENT,
    Document,
    Key,
    PortalWish,
    QueueWish,
    Value,
)
from annexfleet_controller.errors import Invalid

LayerKind = Literal["province", "role", "annex", "device"]
LAYER_KINDS: tuple[LayerKind, ...] = get_args(LayerKind)
"""The later decides over the earlier."""
ROLES = ("counter", "kiosk", "tablet", "server")


class Layer(Struct, frozen=True, order=True):
    """Where somebody decides."""

    kind: LayerKind
    of: str = ""
    """A role, or the id of an annex or of a device; empty for the province."""


PROVINCE = Layer("province")


class Place(Struct, frozen=True, kw_only=True):
    """A device, as far as layers are concerned."""

    device_id: str
    annex_id: str
    role: str

    @property
    def layers(self) -> tuple[Layer, ...]:
        """From the widest to the nearest."""
        return PROVINCE, Layer("role", self.role), Layer("annex", self.annex_id), Layer("device", self.device_id)


class Wanted(Struct, frozen=True):
    """One entry."""

    value: Value
    layer: Layer


class Resolved(Struct, frozen=True):
    """What is wanted of one device."""

    entries: Mapping[Key, Wanted] = {}
    taken_away: Mapping[Key, Layer] = {}
    """Entries that a layer above decided and this one took away: nobody decides them."""

    def section(self, section: str) -> dict[str, Value]:
        return {key.name: wanted.value for key, wanted in self.entries.items() if key.section == section}


NOTHING = Resolved()


def resolve(layers: Mapping[Layer, Document], place: Place) -> Resolved:
    """What these layers come to for one device; pure, and quick enough for a whole fleet."""
    entries: dict[Key, Wanted] = {}
    taken: dict[Key, Layer] = {}
    for layer in place.layers:
        document = layers.get(layer)
        if document is None:
            continue
        for key, value in document.entries.items():
            if value is not None:
                entries[key] = Wanted(value, layer)
                taken.pop(key, None)
            elif entries.pop(key, None) is not None:
                taken[key] = layer
    return Resolved(dict(sorted(entries.items())), dict(sorted(taken.items())))


def demand_whole(resolved: Resolved) -> None:
    """See that layers which are right each for itself fit together.

    Raises Invalid, where `field` is an entry: too many portals for one device, or a default queue that shall be absent.
    """
    if len(resolved.section("portals")) > MOST_PORTALS:
        raise Invalid("more portals than a device takes", field="portals", reason="too_many")
    default = resolved.section("printing").get("default_queue")
    if default is not None and resolved.section("print_queues").get(str(default)) == ABSENT:
        raise Invalid("the default queue is wished absent", field="printing.default_queue", reason="default_is_absent")


def settings(resolved: Resolved) -> DesiredSettings:
    """What is sent to the agent over MQTT; None where nothing is decided, so that `agent.toml` counts."""
    of_agent = resolved.section("agent")
    portals = [
        Portal(name=name, url=wish.url, expect_status=wish.expect_status, expect_text=wish.expect_text)
        for name, wish in resolved.section("portals").items()
        if isinstance(wish, PortalWish)
    ]
    return DesiredSettings(
        sample_period_s=_number(of_agent.get("sample_period_s")),
        beat_period_s=_number(of_agent.get("beat_period_s")),
        portals=portals[:MOST_PORTALS] or None,
    )


def playable(resolved: Resolved) -> dict[str, Any]:
    """What a playbook is told as `annexfleet_desired`: the variables of the roles `printers` and `packages`.

    Keys are always all there; the agent's part is for people to read, as it travels another way.
    """
    queues = resolved.section("print_queues")
    packages = resolved.section("packages")
    return {
        "agent": resolved.section("agent"),
        "portals": [{"name": name, **msgspec.to_builtins(wish)} for name, wish in resolved.section("portals").items()],
        "print_queues": [
            {"name": name, **msgspec.to_builtins(wish)} for name, wish in queues.items() if isinstance(wish, QueueWish)
        ],
        "print_queues_absent": [name for name, wish in queues.items() if wish == ABSENT],
        "default_queue": str(resolved.section("printing").get("default_queue", "")),
        "packages_present": [
            name if wish == PRESENT else f"{name}={wish}" for name, wish in packages.items() if wish != ABSENT
        ],
        "packages_absent": [name for name, wish in packages.items() if wish == ABSENT],
    }


def _number(value: Value | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None
