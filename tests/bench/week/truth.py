"""What was really wrong: the script's labels, and what the world brought about by itself, seen with its own eyes.

Nothing here asks the product.  A label that is `optional` may be found and need not be: it is too short for its rule,
or an effect that may as well be listed under its cause.
"""

from datetime import UTC, datetime, timedelta

from msgspec import Struct, structs
from tests.bench.week import scene as scenes
from tests.bench.week.scene import Placed, Scene

from annexfleet_controller import state
from annexfleet_controller.simulate.day import counters
from annexfleet_controller.simulate.province import Annex, Printer, Province
from annexfleet_controller.things import Thing

PORTAL = "e-services"
SEEN = ("disk", "queue_stalled")
"""Of these the script only says when they are brought about; they begin when a disk is full or somebody waits."""
GAP_S = 600.0
"""What pauses for less is one trouble."""
STEP_GAP_S = 70.0
"""A queue that somebody was called from is no longer stalled."""


class Label(Struct, frozen=True, kw_only=True):
    """One trouble that must be found."""

    cause: str
    """Under which name it is counted."""
    kind: str
    """Of the incident."""
    thing: Thing
    annex_id: str
    began: datetime
    ended: datetime
    found_by: datetime
    """The latest moment at which an incident must have been opened."""
    optional: bool = False
    muted: bool = False
    """During maintenance."""
    source: str = "script"


FOR_S = {
    "power_cut": 60, "line_cut": 180, "portal_down": 120, "portal_down_everywhere": 60, "paper_jam": 120,
    "paper_empty": 120, "toner_empty": 120, "cover_open": 120, "unreachable": 600, "supply_low": 3600,
    "device_offline": 300, "disk": 600, "queue_stalled": 960, "queue_long": 600, "reboot_needed": 604_800,
}  # fmt: skip
"""How long each has to last by the default rules before anybody is told."""
FOUND_WITHIN_S = 600.0
TABLET_FOR_S = 900.0


class _Stretch(Struct):
    began: float
    last: float


class Observer:
    """Looks at the world in every step."""

    def __init__(self, scene: Scene, province: Province, ids: dict[str, str]) -> None:
        self._scene = scene
        self._province = province
        self._ids = ids
        self._going: dict[tuple[str, Thing], _Stretch] = {}
        self._over: list[tuple[str, Thing, str, float, float]] = []
        self._annex_of: dict[Thing, str] = {}
        self._printers = {
            (annex.id, printer.name): printer_thing(annex, printer, ids)
            for annex in province.annexes
            for printer in annex.printers
        }

    def look(self, now: float) -> None:
        for annex in self._province.annexes:
            for printer in annex.printers:
                thing = self._printers[annex.id, printer.name]
                if printer.sheets < 1:
                    self._see("paper_empty", thing, annex.id, now)
            for machine in annex.machines:
                free = machine.disk_bytes - machine.disk_used
                if machine.disk_used > 0.85 * machine.disk_bytes and free < 10e9:
                    self._see("disk", Thing("device", self._ids[machine.key]), annex.id, now)
            for service, queue in annex.queues.items():
                desks = sum(desk.running for desk in counters(annex, service))
                oldest = max((now - came for came in queue.waiting), default=0.0)
                crowd = len(queue.waiting)
                slow = crowd > 0.5 * len(queue.served) if queue.served else False
                thing = Thing("queue", f"{annex.id}/{service}")
                called_at = queue.served[-1] if queue.served else 0.0
                if crowd and now - max(called_at, queue.waiting[0]) > 60:
                    self._see("queue_stalled", thing, annex.id, now, gap_s=STEP_GAP_S)
                if crowd and (oldest > 1800 or (desks and crowd > 10 * desks) or slow):
                    self._see("queue_long", thing, annex.id, now)

    def _hours_open(self) -> float:
        local = self._province.local()
        opens, closes = self._scene.hours_of(local.date())
        hour = local.hour + local.minute / 60
        return hour - opens if opens <= hour < closes else 0.0

    def _see(self, what: str, thing: Thing, annex_id: str, now: float, *, gap_s: float = GAP_S) -> None:
        self._annex_of[thing] = annex_id
        going = self._going.get((what, thing))
        if going is not None and now - going.last <= gap_s:
            going.last = now
            return
        if going is not None:
            self._over.append((what, thing, annex_id, going.began, going.last))
        self._going[what, thing] = _Stretch(now, now)

    def stretches(self) -> list[tuple[str, Thing, str, float, float]]:
        """What, of which thing, in which annex, from when until when."""
        left = [(what, thing, self._annex_of[thing], s.began, s.last) for (what, thing), s in self._going.items()]
        return [*self._over, *left]


def printer_thing(annex: Annex, printer: Printer, ids: dict[str, str]) -> Thing:
    owner = next(machine for machine in annex.machines if printer in machine.printers)
    seen = state.Printer(
        name=printer.name, state="idle", causes=[], reasons=[], model="", address=printer.address, uuid="", source="",
        accepting=None, paused=None, jobs=None, oldest_job_age_s=None, pages=None, supplies=[], trays=[],
        at=datetime.now(UTC),
    )  # fmt: skip
    return Thing("printer", state.printer_identity(annex.id, ids[owner.key], seen))


def labels(scene: Scene, province: Province, ids: dict[str, str], observer: Observer) -> list[Label]:
    """Every label of the week."""
    found = [
        label for one in scenes.placed(scene) if one.case.label for label in [_of_script(one, province, ids)]
        if one.case.label not in SEEN
    ]  # fmt: skip
    scripted = {(label.cause, label.thing) for label in found}
    # The server wants to be restarted all week; its rule waits for seven days, which is when the week is over.
    found += [
        Label(
            cause="reboot_needed", kind="device", thing=Thing("device", ids[machine.key]), annex_id=machine.annex_id,
            began=scene.begins.astimezone(UTC), ended=scene.ends.astimezone(UTC),
            found_by=scene.ends.astimezone(UTC), optional=True,
        )
        for machine in province.machines
        if machine.name == "serveur-1"
    ]  # fmt: skip
    for what, thing, annex_id, began, last in observer.stretches():
        begins, ends = datetime.fromtimestamp(began, UTC), datetime.fromtimestamp(last, UTC)
        if what == "queue_stalled" and last - began < FOR_S[what] - 60:
            continue  # nobody would call that a standstill
        if any(_same(label, what, thing, begins, ends) for label in found) and (what, thing) in scripted:
            continue
        kind = thing.kind
        found.append(
            Label(
                cause=what, kind=kind, thing=thing, annex_id=annex_id, began=begins, ended=ends,
                found_by=begins + timedelta(seconds=FOR_S[what] + FOUND_WITHIN_S), source="seen",
                optional=last - began < FOR_S[what] + 300,
            )
        )  # fmt: skip
    return [_put_in_its_place(label, found, scene, province) for label in found]


def _same(label: Label, what: str, thing: Thing, began: datetime, ended: datetime) -> bool:
    slack = timedelta(minutes=12)
    return (
        label.cause == what and label.thing == thing and began <= label.ended + slack and ended >= label.began - slack
    )


def _of_script(one: Placed, province: Province, ids: dict[str, str]) -> Label:
    case = one.case
    annex = province.annexes[(one.annex or 1) - 1]
    kind, thing = _about(one, annex, ids)
    for_s = TABLET_FOR_S if case.where.startswith("tablette") else FOR_S[case.label]
    began, ended = one.began.astimezone(UTC), one.ended.astimezone(UTC)
    return Label(
        cause=case.label, kind=kind, thing=thing, annex_id="" if one.annex == 0 else annex.id, began=began,
        ended=ended, found_by=began + timedelta(seconds=for_s + FOUND_WITHIN_S),
    )  # fmt: skip


def _about(one: Placed, annex: Annex, ids: dict[str, str]) -> tuple[str, Thing]:
    case = one.case
    if case.label in ("power_cut", "line_cut"):
        return case.label, Thing("annex", annex.id)
    if case.label == "portal_down_everywhere":
        return case.label, Thing("portal", f"*/{PORTAL}")
    if case.label == "portal_down":
        return case.label, Thing("portal", f"{annex.id}/{PORTAL}")
    if case.label == "queue_stalled":
        return "queue", Thing("queue", f"{annex.id}/{case.where}")
    printer = next((one for one in annex.printers if one.name == case.where), None)
    if printer is not None:
        return "printer", printer_thing(annex, printer, ids)
    return "device", Thing("device", ids[f"{annex.id}/{case.where}"])


def _put_in_its_place(label: Label, among: list[Label], scene: Scene, province: Province) -> Label:
    """What is told late, what may as well be an effect, and what is muted."""
    cuts = [
        other for other in among
        if other.kind in ("power_cut", "line_cut") and other.annex_id == label.annex_id and other is not label
    ]  # fmt: skip
    for cut in cuts:
        if cut.began <= label.ended and label.began <= cut.ended:
            # Nobody can tell of it before the annex is back.
            label = structs.replace(label, found_by=cut.ended + timedelta(seconds=FOR_S[label.cause] + FOUND_WITHIN_S))
    slack = timedelta(minutes=30)
    if label.kind == "queue" and label.source == "seen" and not _is_scripted(label, scene, province) and any(
        other.annex_id in (label.annex_id, "") and other.kind != "queue"
        and other.began - slack <= label.ended and label.began <= other.ended + slack
        for other in among
    ):  # fmt: skip
        label = structs.replace(label, optional=True)
    if label.cause == "queue_long" and any(
        other.cause == "queue_stalled" and other.thing == label.thing
        and other.began - slack <= label.ended and label.began <= other.ended + slack
        for other in among
    ):  # fmt: skip
        # Where nobody is called, many wait long: that is one trouble of one queue, and has one label.
        label = structs.replace(label, optional=True)
    if scene.work is not None and label.annex_id == province.annexes[scene.work.annex - 1].id:
        work = scenes.local(scene.work.day, scene.work.at).astimezone(UTC)
        if work <= label.began <= work + timedelta(minutes=scene.work.minutes):
            label = structs.replace(label, muted=True)
    return label


def _is_scripted(label: Label, scene: Scene, province: Province) -> bool:
    """Whether the script brought about that people wait, and not another trouble."""
    return any(
        one.case.kind in ("queue_rush", "queue_stalled")
        and Thing("queue", f"{province.annexes[one.annex - 1].id}/{one.case.where}") == label.thing
        and one.began <= label.began <= one.ended
        for one in scenes.placed(scene)
    )
