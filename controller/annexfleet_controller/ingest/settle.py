"""What a batch of messages comes to: which rows are new, what each device's state is now.  Thinks only.

The writer reads what is known, asks here, and writes the answer, all in one transaction.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct, field

from annexfleet_agent.protocol.messages import Beat, Change, Gap, Gone, Hello, Inventory, Item, Live, Receipt
from annexfleet_agent.protocol.metrics import COLLECTORS
from annexfleet_controller.ingest import marks
from annexfleet_controller.ingest.decode import CONFIG_VERSION, Aside, Heard
from annexfleet_controller.ingest.marks import Mark
from annexfleet_controller.store.configs import MOST_VERSION
from annexfleet_controller.store.states import Known

CLOCK_SLACK_S = 5.0
"""A device's clock that is off by less is believed; more is corrected."""
BACKLOG_S = 900.0
"""An item older than this waited in the outbox, so the device wants to hear soon that it may forget it."""
REVIVED_AFTER_S = 10.0
"""A message that comes this long after a device was given up shows that it is there."""
OFFSET_MOVES_BY_S = 1.0
"""A clock's offset that is less wrong is left as it is, for each correction writes a row."""

_KNOWN_COLLECTORS = frozenset(COLLECTORS)
_LETTERS = {
    "beat": "b",
    "change": "c",
    "inventory": "c",
    "receipt": "c",
    "gap": "c",
    "live": "l",
    "hello": "h",
    "gone": "g",
}

Change_ = tuple[int, float, float, str, str, bytes]


class Due(NamedTuple):
    """An acknowledgement that a device is owed."""

    device_id: str
    install_id: str
    upto: int
    urgent: bool
    """Whether the device waits for it now."""
    items: int
    """How many items of this batch it covers."""


class Settled(Struct):
    """Rows to write, and what to say afterwards.  Devices by number; moments in Unix seconds by our clock."""

    history: list[tuple[int, float, bytes]] = field(default_factory=list)
    changes: list[Change_] = field(default_factory=list)
    parts: dict[tuple[int, str], tuple[str, int, float, bytes]] = field(default_factory=dict)
    """Installation, number of the item, moment, payload; by device and collector."""
    beats: dict[int, tuple[int, float, bytes]] = field(default_factory=dict)
    """The newest beat with its number, where it is newer than what was known."""
    inventories: dict[int, tuple[int, float, str, bytes]] = field(default_factory=dict)
    live: dict[int, tuple[float, bytes]] = field(default_factory=dict)
    heard: dict[int, float] = field(default_factory=dict)
    connections: dict[int, Known] = field(default_factory=dict)
    """Devices of whose connection more than `heard_at` changed."""
    marks: dict[tuple[int, str], Mark] = field(default_factory=dict)
    new_installs: dict[int, str] = field(default_factory=dict)
    """Devices that said hello from an installation that was not known."""
    receipts: list[tuple[str, Receipt]] = field(default_factory=list)
    """By device: what became of commands."""
    pulses: dict[int, str] = field(default_factory=dict)
    set_aside: list[Aside] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    hellos: list[str] = field(default_factory=list)
    """Ids of devices that said hello, and may have to be told settings."""
    counts: dict[str, int] = field(default_factory=dict)
    """Figures to raise."""


class _Told(Struct):
    """What one batch did to one installation."""

    items: int = 0
    urgent: bool = False


def settle(batch: Sequence[Heard | Aside], known: Mapping[str, Known], had: Mapping[tuple[int, str], Mark]) -> Settled:
    """Judge messages, in the order in which they came.  A device that is not in `known` is not admitted."""
    return _Settling(known, had).all_of(batch)


class _Settling:
    def __init__(self, known: Mapping[str, Known], had: Mapping[tuple[int, str], Mark]) -> None:
        self._known = dict(known)
        self._marks = dict(had)
        self._told: dict[tuple[str, str], _Told] = {}
        self._out = Settled()

    def all_of(self, batch: Sequence[Heard | Aside]) -> Settled:
        out = self._out
        for message in batch:
            device = self._known.get(message.device_id)
            if device is None:
                self._count("dropped_unknown_device" if message.device_id else "set_aside")
                if not message.device_id and isinstance(message, Aside):
                    out.set_aside.append(message)
            elif isinstance(message, Aside):
                self._aside(device, message)
            else:
                self._heard(device, message)
        for (device_id, install_id), told in self._told.items():
            mark = self._marks.get((self._known[device_id].number, install_id), Mark())
            out.due.append(Due(device_id, install_id, mark.upto, told.urgent, told.items))
        return out

    def _heard(self, device: Known, heard: Heard) -> None:
        message = heard.message
        self._count("messages")
        if isinstance(message, Hello):
            self._hello(device, heard, message)
        elif isinstance(message, Gone):
            self._gone(device, heard, message)
        else:
            if not device.connected and heard.at - device.gone_at > REVIVED_AFTER_S:
                device = self._connection(device._replace(connected=True, heard_at=heard.at), heard.kind)
            self._out.heard[device.number] = heard.at
            if isinstance(message, Live) or not message.earlier_boot:
                device = self._look_at_clock(device, heard, message.at)
            if isinstance(message, Live):
                self._live(device, heard, message)
            elif self._is_fresh(device, heard.at, message.seq, message):
                self._item(device, heard, message)
            else:
                return
        self._pulse(device.number, heard.kind)

    # -- items: each counts once --------------------------------------------------------------------------------------

    def _is_fresh(self, device: Known, at: float, seq: int, message: Item | None) -> bool:
        """Whether an item is new; its number counts as had from now on.  None for one that was set aside."""
        if not device.install_id:
            # Its hello is still to come: without an installation, nobody can tell a repeat.
            self._count("dropped_before_hello")
            return False
        key = (device.number, device.install_id)
        told = self._told.setdefault((device.id, device.install_id), _Told())
        mark = self._marks.get(key, Mark())
        if isinstance(message, Gap):
            mark, fresh = marks.advance_with_gap(mark, seq, message.ranges)
        else:
            mark, fresh = marks.advance(mark, seq)
        if not fresh:
            self._count("repeated")
            told.urgent = True  # evidently our acknowledgement did not arrive
            return False
        self._marks[key] = self._out.marks[key] = mark
        told.items += 1
        late = isinstance(message, Beat) and at - self._moment(device, message, at) > BACKLOG_S
        told.urgent = told.urgent or late or not isinstance(message, Beat)
        return True

    def _item(self, device: Known, heard: Heard, message: Item) -> None:
        out, number = self._out, device.number
        at = self._moment(device, message, heard.at)
        if isinstance(message, Beat):
            out.history.append((number, at, heard.payload))
            newest = out.beats.get(number)
            if message.seq > (newest[0] if newest else device.beat_seq):
                out.beats[number] = (message.seq, at, heard.payload)
            return
        collector = message.collector if isinstance(message, Change) else ""
        out.changes.append((number, at, heard.at, heard.kind, collector, heard.payload))
        if isinstance(message, Change):
            self._part(device, at, message, heard.payload)
        elif isinstance(message, Receipt):
            out.receipts.append((device.id, message))
        elif isinstance(message, Inventory):
            before = out.inventories.get(number)
            if message.seq > (before[0] if before else device.inventory_seq):
                out.inventories[number] = (message.seq, at, message.digest, heard.payload)

    def _part(self, device: Known, at: float, change: Change, payload: bytes) -> None:
        if change.collector not in _KNOWN_COLLECTORS:
            return  # a newer agent's; it stays among the changes, and cannot make parts without end
        key = (device.number, change.collector)
        before = self._out.parts.get(key)
        if before is not None and before[0] == device.install_id and before[1] > change.seq:
            return
        self._out.parts[key] = (device.install_id, change.seq, at, payload)
        version = change.readings.get("", {}).get(CONFIG_VERSION)
        if change.collector == "agent" and isinstance(version, int | float) and version != device.config_version:
            self._connection(device._replace(config_version=_config_version(version)), "change")

    def _aside(self, device: Known, aside: Aside) -> None:
        if aside.seq and not self._is_fresh(device, aside.at, aside.seq, None):
            return  # set aside before
        self._count("set_aside")
        self._out.heard[device.number] = aside.at
        self._out.set_aside.append(aside)

    # -- what is about now --------------------------------------------------------------------------------------------

    def _hello(self, before: Known, heard: Heard, hello: Hello) -> None:
        device = before
        if hello.session_id != device.session_id or not device.connected:
            self._out.changes.append((device.number, heard.at, heard.at, "connected", "", heard.payload))
            device = device._replace(connected_at=heard.at)
        device = device._replace(
            connected=True,
            session_id=hello.session_id,
            boot_id=hello.boot_id,
            install_id=hello.install_id,
            agent_version=hello.agent_version,
            config_version=_config_version(hello.config_version),
            clock_offset_s=round(heard.at - hello.clock, 3),
            heard_at=heard.at,
        )
        if device.install_id != before.install_id:
            device = self._begin_anew(device)
        self._connection(device, "hello")
        if device.install_id:
            key = (device.number, device.install_id)
            if key not in self._marks:
                self._marks[key] = self._out.marks[key] = Mark()
                self._out.new_installs[device.number] = device.install_id
            # What the device has no more will never come: our database may be younger than what it was told.
            settled = marks.fill(self._marks[key], 1, min(hello.oldest_seq, hello.next_seq) - 1)
            if settled != self._marks[key]:
                self._marks[key] = self._out.marks[key] = settled
            self._told.setdefault((device.id, device.install_id), _Told()).urgent = True
        self._out.hellos.append(device.id)

    def _begin_anew(self, device: Known) -> Known:
        """Another installation numbers from one again, and whatever it says is newer than all before."""
        out, number = self._out, device.number
        if number in out.beats:
            out.beats[number] = (0, *out.beats[number][1:])
        if number in out.inventories:
            out.inventories[number] = (0, *out.inventories[number][1:])
        return device._replace(beat_seq=0, inventory_seq=0)

    def _gone(self, device: Known, heard: Heard, gone: Gone) -> None:
        if gone.session_id != device.session_id:
            self._count("stale_goodbyes")
            return
        if device.connected:
            self._out.changes.append((device.number, heard.at, heard.at, "gone", "", heard.payload))
        self._connection(device._replace(connected=False, gone_at=heard.at), "gone")

    def _live(self, device: Known, heard: Heard, live: Live) -> None:
        at = self._moment(device, live, heard.at)
        before = self._out.live.get(device.number)
        if before is None or at >= before[0]:
            self._out.live[device.number] = (at, heard.payload)

    # -- small steps --------------------------------------------------------------------------------------------------

    def _connection(self, device: Known, kind: str) -> Known:
        self._known[device.id] = self._out.connections[device.number] = device
        self._pulse(device.number, kind)
        return device

    def _look_at_clock(self, device: Known, heard: Heard, at: float) -> Known:
        """A hello that waited on its way makes the clock look slower than it is; what comes quicker shows it.

        Nothing is heard before it was measured, so the offset is never more than from measuring to hearing.
        """
        most = heard.at - at
        if device.clock_offset_s - most <= OFFSET_MOVES_BY_S:
            return device
        return self._connection(device._replace(clock_offset_s=round(most, 3)), heard.kind)

    def _moment(self, device: Known, message: Item | Live, received_at: float) -> float:
        """A device's moment by our clock; never in the future."""
        at = message.at
        if abs(device.clock_offset_s) > CLOCK_SLACK_S and (isinstance(message, Live) or not message.earlier_boot):
            at += device.clock_offset_s
        return min(max(at, 0.0), received_at)

    def _pulse(self, number: int, kind: str) -> None:
        letters = self._out.pulses.get(number, "")
        if (letter := _LETTERS[kind]) not in letters:
            self._out.pulses[number] = letters + letter

    def _count(self, name: str) -> None:
        self._out.counts[name] = self._out.counts.get(name, 0) + 1


def _config_version(told: float) -> int:
    return int(min(max(told, 0), MOST_VERSION))
