"""The disruption budget: which devices of an annex may be begun now, so that no service of it stands worse for that.

A device is asked about in this order: is anybody waiting at its counter; would it be missed as things are now; and
would it be if all that fails today came back meanwhile.  It is missed where a service needs so many of some things, as
many *might* be there had no rollout touched the annex, and not so many *certainly* are once it is gone too.  What a
rollout is changing counts as gone, and so does what it left in a bad state.

While the annex is closed, what a device makes lacking by itself alone it may: an office's single kiosk is changed at
night.  Where that leaves too few to provide the service, one goes at a time; and of three counters that are all needed
for "ready" two may go together, but never the third with them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Literal, Protocol, get_args

from msgspec import Struct, structs

from annexfleet_controller.readiness.model import All, Leaf, LeafState, Need
from annexfleet_controller.things import Thing
from annexfleet_controller.views import AnnexView, QueueView
from annexfleet_controller.waves.model import Nature

Reason = Literal[
    "budget",  # a service of its annex would stand worse
    "people_waiting",
    "queue_unknown",  # the annex is open, and nobody knows whether people wait
    "window",  # its window is not open, or has no room for it
    "busy",  # it belongs to another run
    "offline",
    "most_at_once",  # so many are being changed already
    "ailing",  # a device of the same rollout is failing at this moment
    "moving",  # it was moved to another annex a moment ago, which may be taken back
]
"""Why a device is not begun now.  `window`, `offline`, `ailing` and `moving` are found out by whoever knows windows,
links, runs and places; the others come from here."""
REASONS: tuple[Reason, ...] = get_args(Reason)

AT_A_COUNTER = frozenset({"counter", "kiosk", "tablet"})
"""Roles of devices at which people are served."""
Children = tuple[Leaf | All, ...]
_OF_LEAF: dict[LeafState, int] = {"failing": 0, "unknown": 1, "ok": 2}


class Device(Protocol):
    """What is asked of a device; `model.Candidate` is one."""

    @property
    def number(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def role(self) -> str: ...


class AnnexNow(Struct, frozen=True, kw_only=True):
    """An annex at this moment, as far as beginning something there depends on it."""

    annex_id: str
    trees: Mapping[str, All]
    """What each service rests on, by code, with its things as they are now (`readiness.services.trees`)."""
    is_open: bool
    changing: frozenset[str] = frozenset()
    """Ids of devices that a rollout or a run is changing, and of those that were not heard since their run ended."""
    harmed: frozenset[str] = frozenset()
    """Ids of devices that a rollout left failed, timed out or unknown, and that have not been well since."""
    away: frozenset[str] = frozenset()
    """Ids of devices that cannot be heard, for whatever reason."""
    served_by: Mapping[str, tuple[str, ...]] = {}
    """Ids of the devices that see a printer, by the printer's id."""
    waiting: Mapping[str, float | None] = {}
    """People in each queue by service; None where that is unknown.  Empty: nobody counts here."""


def allowed(
    candidates: Iterable[Device], *, annex: AnnexNow, nature: Nature, at_most: int
) -> tuple[tuple[int, ...], tuple[tuple[int, Reason], ...]]:
    """The numbers of the devices of one annex that may all be begun now, and why the others may not.

    They are looked at in the given order, and each that is let through counts for those after it.  `at_most` bounds how
    many are.
    """
    begun: list[int] = []
    held: list[tuple[int, Reason]] = []
    loss = Loss(annex)
    queue = _queue(annex)
    for device in candidates:
        reason: Reason | None = None
        if device.id in annex.changing:
            reason = "busy"
        elif queue is not None and device.role in AT_A_COUNTER:
            reason = queue
        elif len(begun) >= at_most:
            reason = "most_at_once"
        elif nature.interrupts and loss.breaks(device.id):
            reason = "budget"
        if reason is not None:
            held.append((device.number, reason))
            continue
        begun.append(device.number)
        if nature.interrupts:
            loss.take(device.id)
    return tuple(begun), tuple(held)


def annex_now(
    view: AnnexView, trees: Mapping[str, All], *, changing: Collection[str] = (), harmed: Collection[str] = ()
) -> AnnexNow:
    """From an annex's view and the trees over its live leaves.

    A count of people is believed as readiness believes it: fresh, and from a device that can be heard.
    """
    return AnnexNow(
        annex_id=view.id, trees=trees, is_open=view.is_open, changing=frozenset(changing), harmed=frozenset(harmed),
        away=frozenset(device.id for device in view.devices if not device.is_online(view.at)),
        served_by=served_by(view),
        waiting={queue.service: _waiting(queue) for queue in view.queues},
    )  # fmt: skip


def served_by(view: AnnexView) -> dict[str, tuple[str, ...]]:
    """Ids of the devices that see each printer of an annex, sorted, by the printer's id."""
    ids = {device.number: device.id for device in view.devices}
    return {printer.id: tuple(sorted(ids[number] for number in printer.seen_by)) for printer in view.printers}


def with_all_well(trees: Mapping[str, All]) -> dict[str, All]:
    """The same trees with everything working: how an annex is made, whatever fails today.  Shared trees stay shared."""
    return _rebuilt(trees, lambda _: "ok")


class Loss:
    """What is gone from an annex because of rollouts, and whether one device more would be missed.

    What it counts once it only counts on, so that a plan for the whole country can ask for every device.
    """

    def __init__(self, annex: AnnexNow) -> None:
        self._served_by, self._away, self._is_open = annex.served_by, annex.away, annex.is_open
        self._serves: dict[str, list[str]] = {}
        for printer_id, devices in annex.served_by.items():
            for device_id in devices:
                self._serves.setdefault(device_id, []).append(printer_id)
        rolled = annex.changing | annex.harmed

        def without_rollouts(leaf: Leaf) -> LeafState:
            if leaf.thing.kind == "device" and leaf.thing.id in rolled:
                return "ok"
            # Of what nobody hears at night one knows no more than that it is off, as it should be.
            return "ok" if leaf.state == "unknown" and not annex.is_open else leaf.state

        live, well = _rebuilt(annex.trees, without_rollouts), with_all_well(annex.trees)
        watched: dict[int, tuple[_Watched, ...]] = {}
        for service in sorted(annex.trees):
            pairs = zip(live[service].needs, well[service].needs, strict=True)
            if id(live[service]) not in watched:
                watched[id(live[service])] = tuple(_Watched(*pair) for pair in pairs)
        self._needs = {service: watched[id(live[service])] for service in sorted(annex.trees)}
        self._gone: set[str] = set()
        for device_id in sorted(rolled):
            self.take(device_id)

    def take(self, device_id: str) -> None:
        """Count this one as gone from now on."""
        newly = self._newly(device_id)
        self._gone.add(device_id)
        for need in {id(need): need for needs in self._needs.values() for need in needs}.values():
            need.take(newly)

    def breaks(self, device_id: str) -> str:
        """The first service, by its code, that would miss this device if it were gone too, or empty.

        A device that is gone already cannot be missed more.
        """
        if device_id in self._gone:
            return ""
        newly = self._newly(device_id)
        for service, needs in self._needs.items():
            if any(need.misses(newly, is_open=self._is_open) for need in needs):
                return service
        return ""

    def _newly(self, device_id: str) -> "_Newly":
        """The device, and the printers for which none is left that can be heard and is not gone."""
        now, ever, alone = ([Thing("device", device_id)] for _ in range(3))
        for printer_id in self._serves.get(device_id, ()):
            printer = Thing("printer", printer_id)
            others = [of for of in self._served_by[printer_id] if of != device_id and of not in self._gone]
            if all(of in self._away for of in others):
                now.append(printer)
            if not others:
                ever.append(printer)
            if len(self._served_by[printer_id]) == 1:
                alone.append(printer)
        return _Newly(frozenset(now), frozenset(ever), frozenset(alone))


class _Newly(Struct, frozen=True):
    """What goes along with one more device: `alone` is part of `ever`, and that of `now`."""

    now: frozenset[Thing]
    """As things are: of a printer's devices only those that can be heard still serve it."""
    ever: frozenset[Thing]
    """If every device that is not gone were back."""
    alone: frozenset[Thing]
    """If nothing else were gone."""


class _Watched:
    """One need of a service, with what is gone of it."""

    def __init__(self, live: Need, well: Need) -> None:
        self._live, self._well = live.of, well.of
        self._members: dict[Thing, list[int]] = {}
        for place, child in enumerate(live.of):
            for thing in _things_of(child):
                self._members.setdefault(thing, []).append(place)
        self._gone_now: set[Thing] = set()
        self._gone_ever: set[Thing] = set()
        full = max(live.at_least, len(live.of) if live.full is None else live.full)
        self._levels = tuple(
            _Level(live.of, count, full=is_full) for count, is_full in ((live.at_least, False), (full, True))
        )

    def take(self, newly: _Newly) -> None:
        now, ever = self._places(newly.now), self._places(newly.ever)
        if not now:
            return
        for level in self._levels:
            level.surely -= self._lost(self._live, now, newly.now, self._gone_now, level)
            level.ever -= self._lost(self._well, ever, newly.ever, self._gone_ever, level)
        self._gone_now.update(newly.now)
        self._gone_ever.update(newly.ever)

    def misses(self, newly: _Newly, *, is_open: bool) -> bool:
        """Whether it might be met without any rollout, and surely is no more."""
        now = self._places(newly.now)
        if not now:
            return False
        ever, alone = self._places(newly.ever), self._places(newly.alone)
        for level in self._levels:
            surely = level.surely - self._lost(self._live, now, newly.now, self._gone_now, level)
            back = level.ever - self._lost(self._well, ever, newly.ever, self._gone_ever, level)
            if level.might >= level.count > surely or len(self._well) >= level.count > back:
                rest = len(self._well) - self._lost(self._well, alone, newly.alone, set(), level)
                # A service that nothing could spare goes without it at night, but not without two of a kind.
                by_itself = not is_open and len(self._well) >= level.count > rest
                if not by_itself or not (level.is_full or self._is_whole()):
                    return True
        return False

    def _is_whole(self) -> bool:
        return not any(thing in self._members for thing in self._gone_now | self._gone_ever)

    def _places(self, things: frozenset[Thing]) -> set[int]:
        return {place for thing in things for place in self._members.get(thing, ())}

    def _lost(
        self, children: Children, places: set[int], newly: frozenset[Thing], gone: set[Thing], level: "_Level"
    ) -> int:  # fmt: skip
        """How many children at these places stand with what is gone, and not without what newly goes."""
        lost = 0
        for place in places:
            child, full = children[place], level.is_full
            if isinstance(child, Leaf):  # what is touched goes
                lost += child.state == "ok" and child.thing not in gone
            elif _standing(child, gone, full=full) == 2:
                lost += _standing(child, gone | newly, full=full) < 2
        return lost


class _Level:
    """So many things a need asks for: to be met at all, or in full."""

    def __init__(self, live: Children, count: int, *, full: bool) -> None:
        standings = [_standing(child, _NOTHING, full=full) for child in live]
        self.count, self.is_full = count, full
        self.might = sum(standing > 0 for standing in standings)
        """That might be there, had no rollout touched the annex."""
        self.surely = standings.count(2)
        """That surely are there, now."""
        self.ever = len(live)
        """That would be there, if all else were well."""


_NOTHING: frozenset[Thing] = frozenset()


def _waiting(queue: QueueView) -> float | None:
    is_believed = queue.believed and not queue.queue.stale and not queue.queue.missing
    return queue.queue.waiting if is_believed else None


def _queue(annex: AnnexNow) -> Literal["people_waiting", "queue_unknown"] | None:
    if any(count is not None and count > 0 for count in annex.waiting.values()):
        return "people_waiting"
    if annex.is_open and (not annex.waiting or None in annex.waiting.values()):
        return "queue_unknown"
    return None


def _standing(node: Leaf | All, gone: Collection[Thing], *, full: bool) -> int:
    """0, 1 or 2: it fails, nobody knows, it works; with these things gone."""
    if isinstance(node, Leaf):
        return 0 if node.thing in gone else _OF_LEAF[node.state]
    worst = 2
    for need in node.needs:
        found = sorted((_standing(child, gone, full=full) for child in need.of), reverse=True)
        count = max(need.at_least, len(need.of) if need.full is None else need.full) if full else need.at_least
        worst = min(worst, 2 if count == 0 else found[count - 1] if count <= len(found) else 0)
    return worst


def _rebuilt(trees: Mapping[str, All], state_of: Callable[[Leaf], LeafState]) -> dict[str, All]:
    made: dict[int, All] = {}
    for of in trees.values():
        if id(of) not in made:
            made[id(of)] = _with(of, state_of)
    return {service: made[id(of)] for service, of in trees.items()}


def _with(of: All, state_of: Callable[[Leaf], LeafState]) -> All:
    return All(
        tuple(
            structs.replace(
                need,
                of=tuple(
                    structs.replace(child, state=state_of(child)) if isinstance(child, Leaf) else _with(child, state_of)
                    for child in need.of
                ),
            )
            for need in of.needs
        )
    )


def _things_of(node: Leaf | All) -> Iterator[Thing]:
    if isinstance(node, Leaf):
        yield node.thing
        return
    for need in node.needs:
        for child in need.of:
            yield from _things_of(child)
