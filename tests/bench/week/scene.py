"""What happens in the week: opening hours, people's habits, troubles with their labels, and what only looks like one.

To add a case, add a line to a day's timeline; see README.md.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from annexfleet_controller.simulate.troubles import Kind, Trouble

ZONE = ZoneInfo("Africa/Casablanca")

Hours = tuple[float, float]
USUAL, SHORT, CLOSED = (8.5, 16.5), (9.0, 15.0), (0.0, 0.0)


class Case(NamedTuple):
    """One trouble, or something that only looks like one."""

    after_opening: float
    """Minutes after the annex opens."""
    kind: Kind
    minutes: float
    where: str = ""
    """A printer, a device or a service, by its name."""
    label: str = ""
    """The cause it has to be found as; empty: it must not become an incident."""
    with_line: bool = False
    """Of a power cut: the router has no battery either."""


POWER = [
    Case(50, "jam", 12, "laser-1", "paper_jam"),
    Case(75, "power_cut", 15, label="power_cut"),
    Case(125, "paper", 10, "laser-2", "paper_empty"),
    Case(160, "device_off", 25, "guichet-2", "device_offline"),
    Case(205, "portal_down", 12, label="portal_down"),
    Case(235, "queue_stalled", 50, "residence", "queue_stalled"),
    Case(300, "charger_out", 20, "tablette-1"),
    Case(325, "probe_lost", 1, "guichet-3"),
]
LINE = [
    Case(45, "line_cut", 12, label="line_cut"),
    Case(85, "toner_empty", 25, "laser-2", "toner_empty"),
    Case(125, "printer_off", 30, "laser-1", "unreachable"),
    Case(180, "power_cut", 20, label="power_cut", with_line=True),
    Case(232, "charger_out", 30, "tablette-1"),
    Case(238, "charger_out", 30, "tablette-2"),
    Case(275, "jam", 15, "guichet-3-usb", "paper_jam"),
    Case(310, "cover_open", 1, "laser-1"),
]
SLOW = [
    Case(50, "jam", 8, "laser-2", "paper_jam"),
    Case(60, "disk_filling", 150, "borne-1", "disk"),
    Case(110, "line_cut", 25, label="line_cut"),
    Case(114, "jam", 12, "laser-1", "paper_jam"),
    Case(165, "queue_rush", 80, "etat-civil"),
    Case(300, "probe_lost", 1, "guichet-1"),
    Case(312, "device_off", 20, "serveur-1", "device_offline"),
]
MANY = [
    Case(40, "portal_down", 10, label="portal_down"),
    Case(60, "toner_low", 180, "laser-1", "supply_low"),
    Case(85, "power_cut", 6, label="power_cut"),
    Case(120, "printer_off", 25, "laser-2", "unreachable"),
    Case(150, "queue_source_down", 3),
    Case(165, "cover_open", 7, "laser-2", "cover_open"),
    Case(200, "line_cut", 8, label="line_cut"),
    Case(240, "paper", 10, "guichet-6-usb", "paper_empty"),
    Case(270, "jam", 14, "laser-1", "paper_jam"),
    Case(300, "device_off", 35, "tablette-1", "device_offline"),
]
TIMELINES = (POWER, LINE, SLOW, MANY)
EVERYWHERE = Case(18, "portal_down", 12, label="portal_down_everywhere")
"""In all annexes at once, on every working day."""


class Special(NamedTuple):
    """A trouble with a moment of its own."""

    day: date
    at: str
    annex: int
    """1 is the first."""
    case: Case


class Work(NamedTuple):
    """A planned maintenance of one annex, whose troubles are muted."""

    day: date
    at: str
    minutes: float
    annex: int


class Scene(NamedTuple):
    first_day: date
    days: int
    annexes: int
    devices: int
    timelines: tuple[list[Case], ...]
    hours: dict[date, Hours]
    """Of the days that differ from the usual."""
    ramadan: tuple[date, date] | None
    holiday: date | None
    specials: tuple[Special, ...]
    work: Work | None
    from_hour: float = 0.0
    """Of the first day: when it begins."""
    to_hour: float = 24.0
    """Of the last day: when it ends."""

    def hours_of(self, day: date) -> Hours:
        return self.hours.get(day) or (USUAL if day.weekday() < 5 else CLOSED)

    @property
    def all_days(self) -> list[date]:
        return [self.first_day + timedelta(days=n) for n in range(self.days)]

    @property
    def begins(self) -> datetime:
        return _local(self.first_day, self.from_hour)

    @property
    def ends(self) -> datetime:
        return _local(self.first_day + timedelta(days=self.days - 1), self.to_hour)


SATURDAY = date(2026, 2, 14)


def _on(day: int, at: str, annex: int, *case: object) -> Special:
    return Special(SATURDAY + timedelta(days=day), at, annex, Case(0, *case))  # type: ignore[arg-type]


WEEK = Scene(
    first_day=SATURDAY, days=7, annexes=3, devices=39, timelines=TIMELINES,
    # The clock goes back on Sunday the 15th, Tuesday is a holiday, Ramadan begins on Thursday.
    hours={date(2026, 2, 17): CLOSED, date(2026, 2, 19): SHORT, date(2026, 2, 20): SHORT},
    ramadan=(date(2026, 2, 19), date(2026, 3, 19)), holiday=date(2026, 2, 17),
    specials=(
        _on(0, "12:00", 1, "jam", 60, "laser-1"),  # a printer jams while nobody is there
        _on(1, "04:00", 2, "line_cut", 20, "", "line_cut"),
        _on(3, "11:00", 3, "line_cut", 30, "", "line_cut"),  # on the holiday
        _on(3, "12:00", 1, "paper", 60, "laser-2"),
        _on(2, "17:00", 2, "printer_off", 900, "laser-2"),  # overnight, and on again on the holiday
        _on(5, "16:00", 2, "printer_off", 1020, "laser-1"),  # until 09:00, when the annex opens
        _on(4, "14:40", 2, "jam", 20, "laser-2"),  # while there is work
        _on(4, "14:45", 2, "device_off", 20, "guichet-5"),
    ),
    work=Work(date(2026, 2, 18), "14:30", 50, 2),
)  # fmt: skip

DAY = Scene(
    first_day=date(2026, 2, 16), days=1, annexes=2, devices=22, timelines=(
        [*POWER[:2], POWER[3], Case(210, "charger_out", 20, "tablette-1"), Case(215, "probe_lost", 1, "guichet-3")],
        [
            LINE[0], Case(85, "printer_off", 30, "laser-1", "unreachable"), LINE[3],
            Case(220, "cover_open", 1, "laser-2"),
        ],
    ),
    hours={}, ramadan=None, holiday=None, specials=(), work=None, from_hour=8.0, to_hour=12.4,
)  # fmt: skip


class Placed(NamedTuple):
    """A case with its moments."""

    case: Case
    annex: int
    """1 is the first; 0: all."""
    began: datetime
    ended: datetime


def placed(scene: Scene) -> list[Placed]:
    """Every case of a scene."""
    found = []
    working = [day for day in scene.all_days if scene.hours_of(day) != CLOSED]
    for turn, day in enumerate(working):
        opens = _local(day, scene.hours_of(day)[0])
        for annex in range(1, scene.annexes + 1):
            timeline = scene.timelines[(annex - 1 + turn) % len(scene.timelines)]
            found += [_placed(case, annex, opens) for case in timeline]
        if scene.annexes > 2:
            found.append(_placed(EVERYWHERE, 0, opens))
    for special in scene.specials:
        found.append(_placed(special.case, special.annex, local(special.day, special.at)))
    return sorted(found, key=lambda one: one.began)


def script(scene: Scene) -> list[Trouble]:
    """The same as the simulator takes it."""
    found = []
    for one in placed(scene):
        case = one.case
        after = (one.began.timestamp() - scene.begins.timestamp()) / 60  # by UTC: the clock may shift between
        device, printer, service = _where(case)
        for annex in range(1, scene.annexes + 1) if one.annex == 0 else [one.annex]:
            trouble = Trouble(
                kind=case.kind, minutes=case.minutes, after_minutes=after, annex=annex, device=device, printer=printer,
                service=service,
            )  # fmt: skip
            found.append(trouble)
            if case.with_line:
                found.append(Trouble(kind="line_cut", minutes=case.minutes + 2, after_minutes=after, annex=annex))
    return found


def _where(case: Case) -> tuple[str, str, str]:
    is_printer = case.kind in ("jam", "paper", "toner_low", "toner_empty", "printer_off", "cover_open")
    is_queue = case.kind in ("queue_rush", "queue_stalled")
    name = case.where
    return ("" if is_printer or is_queue else name, name if is_printer else "", name if is_queue else "")


def _placed(case: Case, annex: int, since: datetime) -> Placed:
    began = (since.astimezone(ZoneInfo("UTC")) + timedelta(minutes=case.after_opening)).astimezone(ZONE)
    return Placed(case, annex, began, (began.astimezone(ZoneInfo("UTC")) + timedelta(minutes=case.minutes)))


def local(day: date, at: str) -> datetime:
    """A moment on the annexes' walls, such as 14:30."""
    return _local(day, int(at[:2]) + int(at[3:]) / 60)


def _local(day: date, hour: float) -> datetime:
    return datetime.combine(day, datetime.min.time(), ZONE) + timedelta(hours=hour)


# -- what people do with their machines


class Switch(NamedTuple):
    """Somebody switches a machine."""

    at: datetime
    annex: int
    device: str
    on: bool
    in_order: bool = True
    """Shut down, and not cut off by a power strip."""


def habits(scene: Scene, machines: dict[int, list[tuple[str, str]]], random: Random) -> list[Switch]:
    """Mornings and evenings, and reboots by day; `machines` are names and roles by annex."""
    return sorted(_habits(scene, machines, random), key=lambda switch: switch.at)


def _habits(scene: Scene, machines: dict[int, list[tuple[str, str]]], random: Random) -> Iterator[Switch]:
    for turn, day in enumerate(scene.all_days):
        opens, closes = scene.hours_of(day)
        if opens == closes:
            continue
        for annex, of in machines.items():
            opening, closing = _local(day, opens), _local(day, closes)
            by_strip = (annex + turn) % 2 == 0
            # The strip is switched off somewhat before closing, or after.
            strip_at = closing + timedelta(minutes=random.choice((-4, 3, 12)))
            late = (annex + turn) % 4 == 1  # everybody is late, but within the grace
            for name, role in of:
                if role not in ("counter", "tablet"):
                    continue
                minutes = random.uniform(13, 17) if late else random.uniform(-10, 15)
                yield Switch(opening + timedelta(minutes=minutes), annex, name, on=True)
                if by_strip and role == "counter":
                    yield Switch(strip_at, annex, name, on=False, in_order=False)
                else:
                    off_at = closing + timedelta(minutes=random.uniform(-3, 20))
                    yield Switch(off_at, annex, name, on=False)
            reboot_at = opening + timedelta(minutes=100 + 3 * annex)
            yield Switch(reboot_at, annex, "guichet-4", on=False)
            yield Switch(reboot_at + timedelta(minutes=2), annex, "guichet-4", on=True)
