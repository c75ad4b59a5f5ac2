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
]
"""Why a device is not begun now.  `window` and `offline` are found out by whoever knows windows and links; the others
come from here."""
REASONS: tuple[Reason, ...] = get_args(Reason)

AT_A_COUNTER = frozenset({"counter", "kiosk", "tablet"})
"""Roles of devices at which people are served."""
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
    """What is gone from an annex because of rollouts, and whether one device more would be missed."""

    def __init__(self, annex: AnnexNow) -> None:
        self._served_by, self._away, self._is_open = annex.served_by, annex.away, annex.is_open
        self._gone = annex.changing | annex.harmed
        rolled = self._gone

        def without_rollouts(leaf: Leaf) -> LeafState:
            if leaf.thing.kind == "device" and leaf.thing.id in rolled:
                return "ok"
            # Of what nobody hears at night one knows no more than that it is off, as it should be.
            return "ok" if leaf.state == "unknown" and not annex.is_open else leaf.state

        self._live = _rebuilt(annex.trees, without_rollouts)
        self._well = with_all_well(annex.trees)

    def take(self, device_id: str) -> None:
        """Count this one as gone from now on."""
        self._gone |= {device_id}

    def breaks(self, device_id: str) -> str:
        """The first service, by its code, that would miss this device if it were gone too, or empty.

        A device that is gone already cannot be missed more.
        """
        if device_id in self._gone:
            return ""
        loss = self._loss(device_id)
        judged: dict[int, bool] = {}
        for service in sorted(self._live):
            live, well = self._live[service], self._well[service]
            if id(live) not in judged:
                judged[id(live)] = any(
                    self._is_missed(*needs, loss) for needs in zip(live.needs, well.needs, strict=True)
                )
            if judged[id(live)]:
                return service
        return ""

    def _loss(self, device_id: str) -> "_OneMore":
        gone, nobody = self._gone | {device_id}, frozenset[str]()
        before, before_ever = self._things(self._gone, self._away), self._things(self._gone, nobody)
        now, ever, alone = self._things(gone, self._away), self._things(gone, nobody), self._things({device_id}, nobody)
        return _OneMore(
            before=before | before_ever, now=now, ever=ever, alone=alone,
            newly=alone | (now - before) | (ever - before_ever),
        )  # fmt: skip

    def _is_missed(self, live: Need, well: Need, loss: "_OneMore") -> bool:
        things = frozenset(_things_of(live))
        if loss.newly.isdisjoint(things):
            return False
        for full in (False, True):
            count = _count(live, full=full)
            might = sum(_standing(child, _NOTHING, full=full) > 0 for child in live.of) >= count
            surely = sum(_standing(child, loss.now, full=full) == 2 for child in live.of) >= count
            if (might and not surely) or _lacks(well, loss.ever, full=full):
                by_itself = not self._is_open and _lacks(well, loss.alone, full=full)
                # A service that nothing could spare goes without it, but not without two of a kind.
                if not by_itself or (not full and not loss.before.isdisjoint(things)):
                    return True
        return False

    def _things(self, gone: Collection[str], away: frozenset[str]) -> frozenset[Thing]:
        """These devices, and the printers for which none is left that can be heard and is not gone."""
        found = {Thing("device", device_id) for device_id in gone}
        for printer_id, devices in self._served_by.items():
            if any(of in gone for of in devices) and all(of in gone or of in away for of in devices):
                found.add(Thing("printer", printer_id))
        return frozenset(found)


class _OneMore(Struct, frozen=True, kw_only=True):
    """What is gone before and after one more device is, with the printers that go along."""

    before: frozenset[Thing]
    now: frozenset[Thing]
    """As things are: of a printer's devices only those that can be heard still serve it."""
    ever: frozenset[Thing]
    """If every device that is not gone were back."""
    alone: frozenset[Thing]
    """If nothing else were gone."""
    newly: frozenset[Thing]


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


def _lacks(need: Need, gone: frozenset[Thing], *, full: bool) -> bool:
    """Whether a need that could be met is not, once these are gone."""
    count = _count(need, full=full)
    return sum(_standing(child, gone, full=full) == 2 for child in need.of) < count <= len(need.of)


def _count(need: Need, *, full: bool) -> int:
    """How many it needs: to be provided, or to be ready."""
    return max(need.at_least, len(need.of) if need.full is None else need.full) if full else need.at_least


def _standing(node: Leaf | All, gone: frozenset[Thing], *, full: bool) -> int:
    """0, 1 or 2: it fails, nobody knows, it works; with these things gone."""
    if isinstance(node, Leaf):
        return 0 if node.thing in gone else _OF_LEAF[node.state]
    worst = 2
    for need in node.needs:
        found = sorted((_standing(child, gone, full=full) for child in need.of), reverse=True)
        count = _count(need, full=full)
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


def _things_of(need: Need) -> Iterator[Thing]:
    for child in need.of:
        if isinstance(child, Leaf):
            yield child.thing
        else:
            for inner in child.needs:
                yield from _things_of(inner)
