"""What there is: annexes, their machines and printers, and the queues where people wait.  Built from two numbers."""

from collections import deque
from datetime import UTC, datetime
from random import Random

from msgspec import Struct, field

from annexfleet_controller.zones import PROVINCE

TOWN_FR = "Berkane"
TOWN_AR = "بركان"
NUMBERS = (1, 2, 5)
"""Numbers of the first annexes; after them come those that are left, in order."""

SERVICES = ("residence", "etat-civil", "legalisation")
"""Residence certificates, records of births and marriages, certified copies and signatures."""

TABLET_SHARE = 0.2
NEWEST_BOOT_S, OLDEST_BOOT_S = 3_600, 12 * 86_400
SHEETS_IN_A_TRAY = 250


class Printer(Struct):
    """One printer; a network printer is seen by several machines, a local one by one."""

    name: str
    model: str
    address: str
    """host:port, or `usb`"""
    pages_per_minute: float
    sheets: float = SHEETS_IN_A_TRAY
    toner: float = 1.0
    pages: float = 0.0
    jobs: deque[list[float]] = field(default_factory=deque)
    """What waits: [moment it came, pages left], oldest first."""
    jammed: bool = False
    cover_open: bool = False
    on: bool = True
    """False: switched off, or its cable is out."""
    refill_at: float | None = None
    """When somebody will have put paper in."""

    @property
    def blocked(self) -> bool:
        return not self.on or self.jammed or self.cover_open or self.sheets < 1 or self.toner <= 0


class Machine(Struct):
    """One device with an agent."""

    name: str
    role: str
    annex_id: str
    serial: str
    model: str
    has_battery: bool
    booted_at: float
    disk_bytes: float
    disk_used: float
    memory_bytes: float
    charge: float = 0.9
    on_mains: bool = True
    running: bool = True
    """False while it has no power."""
    unplugged: bool = False
    charger_out: bool = False
    """Somebody carries it about: it has a battery and no mains."""
    probe_lost: bool = False
    """Its next look at the portal fails, whatever the portal does."""
    link_lost: bool = False
    """Its own link; its annex's line may be up."""
    switched_off: bool = False
    """Somebody switched it off in order: it says goodbye."""
    silent: bool = False
    """What was changed on it made it stop altogether."""
    leaked: float = 0.0
    """Share of its memory that a bad change has eaten."""
    agent_starts: int = 0
    """How often its agent was started anew by what was changed on it."""
    busy: float = 0.1
    """Share of its processors in use."""
    memory: float = 0.4
    temperature: float = 45.0
    signal_dbm: float = -52.0
    received_per_s: float = 1e3
    sent_per_s: float = 5e2
    portal_s: float = 0.4
    service: str = ""
    """What its counter is for; empty if it is no counter."""
    serves_until: float = 0.0
    """When its counter will have done with the citizen who stands there."""
    printers: list[Printer] = []
    keeps_queues: bool = False
    """The machine that hands out the numbers, so it knows who waits."""

    @property
    def key(self) -> str:
        return f"{self.annex_id}/{self.name}"


class Queue(Struct):
    """People waiting for one service in one annex."""

    service: str
    waiting: deque[float] = field(default_factory=deque)
    """The moments they came, oldest first."""
    served: deque[float] = field(default_factory=deque)
    abandoned: deque[float] = field(default_factory=deque)
    rush: float = 1.0
    """How many times more people come than usual."""
    halted: bool = False
    """Nobody is called, though counters are there."""


class Annex(Struct):
    id: str
    number: int
    name_fr: str
    name_ar: str
    machines: list[Machine]
    queues: dict[str, Queue]
    line_up: bool = True
    power: bool = True
    portal_up: bool = True
    queue_source_up: bool = True
    """Whether the system that hands out numbers answers."""

    @property
    def printers(self) -> list[Printer]:
        seen = {id(printer): printer for machine in self.machines for printer in machine.printers}
        return list(seen.values())


class Province(Struct):
    annexes: list[Annex]
    now: float
    """The world's Unix time in seconds; it may run ahead of, or apart from, the real one."""
    random: Random
    hours: dict[str, tuple[float, float]] = {}
    """Opening hours of days that are not as usual, by ISO date, in hours of the local day; the same twice is closed."""

    @property
    def machines(self) -> list[Machine]:
        return [machine for annex in self.annexes for machine in annex.machines]

    def local(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC).astimezone(PROVINCE)


def build(annexes: int, devices: int, *, now: float, seed: int = 1) -> Province:
    """A province with so many devices spread over so many annexes; the same for the same numbers and seed.

    Raises ValueError unless each annex gets at least one device.
    """
    if annexes < 1 or devices < annexes:
        raise ValueError(f"{devices} devices cannot be spread over {annexes} annexes: each needs at least one")
    random = Random(seed)  # noqa: S311  # a toy world, no secrets
    numbers = [*NUMBERS, *(n for n in range(1, annexes + len(NUMBERS) + 1) if n not in NUMBERS)][:annexes]
    shares = [devices // annexes + (index < devices % annexes) for index in range(annexes)]
    return Province(
        annexes=[_annex(number, share, now, random) for number, share in zip(numbers, shares, strict=True)],
        now=now,
        random=random,
    )


def _annex(number: int, devices: int, now: float, random: Random) -> Annex:
    annex_id = f"berkane-{number}"
    shared = [_printer(f"laser-{n}", f"10.{number}.1.{20 + n}:631", random) for n in (1, 2)]
    machines = [_machine(role, n, annex_id, now, random) for role, n in _roles(devices)]
    counters = [machine for machine in machines if machine.role == "counter"]
    for index, machine in enumerate(counters):
        machine.service = SERVICES[index % len(SERVICES)]
        own = [_printer(f"{machine.name}-usb", "usb", random)] if index % 3 == 2 else []
        machine.printers = [*own, shared[index % len(shared)]]
    next((machine for machine in machines if machine.role == "kiosk"), machines[0]).keeps_queues = True
    for machine in machines:
        if machine.role == "server":
            machine.printers = list(shared)
    return Annex(
        id=annex_id,
        number=number,
        name_fr=f"Annexe administrative {number}, {TOWN_FR}",
        name_ar=f"الملحقة الإدارية {number}، {TOWN_AR}",
        machines=machines,
        queues={service: Queue(service=service) for service in SERVICES},
    )


def _roles(devices: int) -> list[tuple[str, int]]:
    """Roles with their number within the role: a counter first, then a kiosk, a server, tablets, and counters."""
    special = ["counter", "kiosk", "server"][:devices]
    left = devices - len(special)
    tablets = round(left * TABLET_SHARE)
    roles = [*special, *["tablet"] * tablets, *["counter"] * (left - tablets)]
    return [(role, roles[: index + 1].count(role)) for index, role in enumerate(roles)]


_FRENCH = {"counter": "guichet", "kiosk": "borne", "server": "serveur", "tablet": "tablette"}
_MODELS = {
    "counter": ("HP ProDesk 400 G7", "Dell OptiPlex 3080"),
    "kiosk": ("Elo I-Series 22",),
    "server": ("Dell PowerEdge T150",),
    "tablet": ("Samsung Galaxy Tab Active3", "Lenovo Tab M10"),
}


def _machine(role: str, number: int, annex_id: str, now: float, random: Random) -> Machine:
    disk = {"counter": 256e9, "kiosk": 128e9, "server": 2e12, "tablet": 64e9}[role]
    return Machine(
        name=f"{_FRENCH[role]}-{number}",
        role=role,
        annex_id=annex_id,
        serial=f"SIM-{random.randrange(16**8):08X}",
        model=random.choice(_MODELS[role]),
        has_battery=role == "tablet",
        booted_at=now - random.uniform(NEWEST_BOOT_S, OLDEST_BOOT_S),
        disk_bytes=disk,
        disk_used=disk * random.uniform(0.25, 0.7),
        memory_bytes={"counter": 8e9, "kiosk": 8e9, "server": 32e9, "tablet": 4e9}[role],
        charge=random.uniform(0.6, 1.0),
        signal_dbm=random.uniform(-66, -45),
    )


def _printer(name: str, address: str, random: Random) -> Printer:
    network = address != "usb"
    return Printer(
        name=name,
        model=random.choice(
            ("HP LaserJet Pro M404dn", "Kyocera ECOSYS P3145dn") if network else ("Brother HL-L2310D",)
        ),
        address=address,
        pages_per_minute=38 if network else 28,
        sheets=random.uniform(60, SHEETS_IN_A_TRAY),
        toner=random.uniform(0.25, 0.95),
        pages=random.randrange(8_000, 140_000),
    )
