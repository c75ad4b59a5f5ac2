"""The disruption budget: which devices of an annex may be begun now, so that no service of it stands worse for that.

Three questions for each device, in order: is anybody waiting at its counter; would a service stand worse while it is
of no use, as things are now; and would one if all that fails today came back meanwhile.  What a rollout is changing, or
left in a bad state, counts as gone, and is measured against how the annex would stand had no rollout touched it.

While the annex is closed, a service may stand as its own devices make it stand one at a time, and no worse: an office's
single kiosk can be changed at night, and of three counters that are all needed for "ready" two may, but never the third
with them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Literal, Protocol, get_args

from msgspec import Struct, structs

from annexfleet_controller.readiness import tree
from annexfleet_controller.readiness.model import STATES, All, Leaf, LeafState, State
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
]
"""Why a device is not begun now.  `window` and `offline` are found out by whoever knows windows and links; the others
come from here."""
REASONS: tuple[Reason, ...] = get_args(Reason)

AT_A_COUNTER = frozenset({"counter", "kiosk", "tablet"})
"""Roles of devices at which people are served."""
_RANK: dict[State, int] = {"ready": 0, "degraded": 1, "unknown": 2, "blocked": 3}
assert set(_RANK) == set(STATES)


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
    """What is gone from an annex because of rollouts, and whether one device more would be too much."""

    def __init__(self, annex: AnnexNow) -> None:
        self._served_by, self._away, self._is_open = annex.served_by, annex.away, annex.is_open
        self._gone = annex.changing | annex.harmed
        untouched = self._things(self._gone, self._away)

        def without_rollouts(leaf: Leaf) -> LeafState:
            if leaf.thing in untouched and (leaf.thing.kind == "device" or leaf.state == "unknown"):
                return "ok"
            # Of what nobody hears at night one knows no more than that it is off, as it should be.
            return "ok" if leaf.state == "unknown" and not annex.is_open else leaf.state

        self._live = _rebuilt(annex.trees, without_rollouts)
        self._well = with_all_well(annex.trees)
        self._rests_on = {service: frozenset(_things_of(of)) for service, of in annex.trees.items()}

    def take(self, device_id: str) -> None:
        """Count this one as gone from now on."""
        self._gone |= {device_id}

    def breaks(self, device_id: str) -> str:
        """The first service, by its code, that would stand worse than it may if this device were gone too, or empty.

        A device that is gone already can be lost no further.
        """
        if device_id in self._gone:
            return ""
        gone = self._gone | {device_id}
        now, ever = self._things(gone, self._away), self._things(gone, frozenset())
        alone = self._things({device_id}, frozenset())
        newly = alone | (now - self._things(self._gone, self._away)) | (ever - self._things(self._gone, frozenset()))
        judged: dict[int, bool] = {}
        for service in sorted(self._live):
            live, well = self._live[service], self._well[service]
            if newly.isdisjoint(self._rests_on[service]):
                continue
            key = id(live)
            if key not in judged:
                floor = 0 if self._is_open else _rank(well, alone)
                judged[key] = _is_worse(live, now, floor) or _is_worse(well, ever, floor)
            if judged[key]:
                return service
        return ""

    def _things(self, gone: Collection[str], away: frozenset[str]) -> frozenset[Thing]:
        """These devices, and the printers for which none is left that can be heard and is not gone."""
        found = {Thing("device", device_id) for device_id in gone}
        for printer_id, devices in self._served_by.items():
            if any(of in gone for of in devices) and all(of in gone or of in away for of in devices):
                found.add(Thing("printer", printer_id))
        return frozenset(found)


def _waiting(queue: QueueView) -> float | None:
    is_believed = queue.believed and not queue.queue.stale and not queue.queue.missing
    return queue.queue.waiting if is_believed else None


def _queue(annex: AnnexNow) -> Literal["people_waiting", "queue_unknown"] | None:
    if any(count is not None and count > 0 for count in annex.waiting.values()):
        return "people_waiting"
    if annex.is_open and (not annex.waiting or None in annex.waiting.values()):
        return "queue_unknown"
    return None


def _is_worse(of: All, gone: frozenset[Thing], floor: int) -> bool:
    return _rank(of, gone) > max(_rank(of, frozenset()), floor)


def _rank(of: All, gone: frozenset[Thing]) -> int:
    return _RANK[tree.state(_with(of, lambda leaf: "failing" if leaf.thing in gone else leaf.state))]


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


def _things_of(of: All) -> Iterator[Thing]:
    for need in of.needs:
        for child in need.of:
            if isinstance(child, Leaf):
                yield child.thing
            else:
                yield from _things_of(child)
