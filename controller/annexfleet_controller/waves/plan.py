"""The waves of a rollout: a varied canary, then growing ones, with the devices of an annex apart.

Deterministic: the same devices, policy and structure give the same plan in whatever order they are told, so that what
was approved can be made again and compared.

The canary takes the devices that teach most: first one of every kind of annex, role and model there is, then as many
annexes as there is room for; those that are connected come before all others, for who is away teaches nothing.
Afterwards each annex with several devices is cut into *batches* that its services can spare at one time
(`budget.Loss`), and these are spread evenly over what is left, the first of every annex before anybody's second.  A
wave may still hold several batches of an annex where there are fewer waves than batches: the budget then has them begun
one after the other.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from heapq import heapify, heappop, heapreplace
from itertools import chain

from msgspec import Struct

from annexfleet_controller.readiness.model import All, Leaf
from annexfleet_controller.waves import natures
from annexfleet_controller.waves.budget import AnnexNow, Loss
from annexfleet_controller.waves.exposure import Exposure, Kind, kinds
from annexfleet_controller.waves.model import Candidate, Impossible, Nature, Plan, PlannedWave, Policy

CANARY_RATIO = 0.05
CANARY_LEAST = 2

Structure = Mapping[str, Mapping[str, All]]
"""By annex, then service: what it rests on, every leaf taken as ok."""
ServedBy = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By annex, then printer: ids of the devices that see it."""

_MOST_TRIED = 16
"""Batches, the newest, that a device may join: an annex of a thousand must not cost a million questions."""

_Trait = tuple[str, ...]


def plan(
    targets: Sequence[Candidate],
    policy: Policy,
    nature: Nature,
    *,
    structure: Structure,
    served_by: ServedBy | None = None,
) -> Plan:
    """The waves for these devices.

    Left out, and listed, are those that take no commands at all, and those that have what is wanted already.  Listed
    though they are in a wave are those that can be changed only while their annex is closed.
    """
    ordered = sorted(targets, key=lambda target: target.id)
    compliant = [target.number for target in ordered if natures.complies(nature, target.facts)]
    has_it = frozenset(compliant)
    unreachable = [t.number for t in ordered if not t.takes_commands and t.number not in has_it]
    left_out = has_it.union(unreachable)
    changed = [target for target in ordered if target.number not in left_out]
    placed = _placed(changed, nature, structure, served_by or {})
    exposure = Exposure((place.kinds for place in placed), policy, rank=lambda kind: _lot(kind[-1]))
    canary = _canary(placed, _canary_size(len(placed), policy), exposure)
    taken = {place.of.number for place in canary}
    rest = sorted((place for place in placed if place.of.number not in taken), key=_order)
    return Plan(
        waves=tuple(_waves(_cut(canary, rest, policy, exposure))),
        compliant=tuple(compliant),
        unreachable=tuple(unreachable),
        impossible=tuple(Impossible(place.of.number, place.breaks) for place in placed if place.breaks),
    )


class _Place(Struct, frozen=True, kw_only=True):
    """A device with what its annex says of it."""

    of: Candidate
    traits: tuple[_Trait, ...]
    """What is learnt by changing it; the most important first."""
    kinds: tuple[Kind, ...]
    """What a fault that it shows may be a fault of."""
    batch: int = 0
    batches: int = 1
    """Of its annex."""
    breaks: str = ""
    """A service that stands worse while it is changed."""
    lot: int
    """Drawn from its id, so that neighbours by name are not neighbours in the order."""


def _placed(
    changed: Sequence[Candidate], nature: Nature, structure: Structure, served_by: ServedBy
) -> list[_Place]:  # fmt: skip
    by_annex: dict[str, list[Candidate]] = {}
    for target in changed:
        by_annex.setdefault(target.annex_id, []).append(target)
    known: dict[object, list[tuple[int, str]]] = {}
    found = []
    for annex_id, devices in sorted(by_annex.items()):
        trees, served = structure.get(annex_id, {}), served_by.get(annex_id, {})
        devices.sort(key=lambda device: (device.role, device.id))
        kind = ("kind", *sorted({device.role for device in devices}), *sorted(trees))
        batches = [(0, "")] * len(devices)
        if nature.interrupts and trees:
            shape = _shape(devices, trees, served)
            if shape not in known:
                known[shape] = _batches(devices, trees, served)
            batches = known[shape]
        count = max(batch for batch, _ in batches) + 1
        for device, (batch, breaks) in zip(devices, batches, strict=True):
            traits = (kind, ("role", device.role), ("model", device.model), ("both", device.role, device.model))
            found.append(
                _Place(
                    of=device, traits=traits, kinds=kinds(device), batch=batch, batches=count, breaks=breaks,
                    lot=_lot(device.id),
                )
            )  # fmt: skip
    return found


def _batches(
    devices: Sequence[Candidate], trees: Mapping[str, All], served: Mapping[str, tuple[str, ...]]
) -> list[tuple[int, str]]:
    """For each device the batch it is in, and the service that cannot spare it even alone while people are served."""
    closed = AnnexNow(annex_id="", trees=trees, is_open=False, served_by=served)
    opened = Loss(AnnexNow(annex_id="", trees=trees, is_open=True, served_by=served))
    losses: list[Loss] = []
    found = []
    for device in devices:
        tried = range(max(0, len(losses) - _MOST_TRIED), len(losses))
        place = next((place for place in tried if not losses[place].breaks(device.id)), len(losses))
        if place == len(losses):
            losses.append(Loss(closed))
        losses[place].take(device.id)
        found.append((place, opened.breaks(device.id)))
    return found


def _shape(
    devices: Sequence[Candidate], trees: Mapping[str, All], served: Mapping[str, tuple[str, ...]]
) -> tuple[object, ...]:
    """What `_batches` depends on and nothing else: annexes that are made alike share their answer."""
    index = {device.id: place for place, device in enumerate(devices)}
    tokens: dict[str, tuple[int, ...]] = {id_: (0, place) for id_, place in index.items()}
    for printer, servers in served.items():
        ours = sorted(index[id_] for id_ in servers if id_ in index)
        tokens[printer] = (1, len(servers) - len(ours), *ours) if ours else (2,)

    def of_tree(tree: All) -> tuple[object, ...]:
        return tuple(
            (need.at_least, need.full, *sorted(map(of_child, need.of), key=repr)) for need in tree.needs
        )  # fmt: skip

    def of_child(child: Leaf | All) -> object:
        return tokens.get(child.thing.id, (2,)) if isinstance(child, Leaf) else of_tree(child)

    made: dict[int, tuple[object, ...]] = {}
    for tree in trees.values():
        if id(tree) not in made:
            made[id(tree)] = of_tree(tree)
    return (len(devices), tuple(sorted((service, made[id(tree)]) for service, tree in trees.items())))


# -- the canary


def _canary_size(count: int, policy: Policy) -> int:
    size = policy.canary_count or max(CANARY_LEAST, math.floor(CANARY_RATIO * count))
    if policy.most_in_wave:
        size = min(size, policy.most_in_wave)
    return min(size, count)


def _canary(placed: Sequence[_Place], size: int, exposure: Exposure) -> list[_Place]:
    """So many places, each the one that adds most to what was learnt by those before it.

    Fewer where more would expose too much of a kind.
    """
    connected = [place for place in placed if place.of.connected]
    chosen = _Choice(exposure)
    chosen.take(connected, size)
    if len(chosen.places) < size:
        chosen.take([place for place in placed if not place.of.connected], size)
    return chosen.places


class _Choice:
    """What was chosen so far, and what it covers."""

    def __init__(self, exposure: Exposure) -> None:
        self.places: list[_Place] = []
        self._exposure = exposure
        self._covered: set[_Trait] = set()
        self._annexes: set[str] = set()

    def take(self, places: Iterable[_Place], size: int) -> None:
        """Choose from these until there are `size`, or none is left."""
        groups: dict[tuple[_Trait, ...], deque[_Place]] = {}
        for place in sorted(places, key=lambda place: (bool(place.breaks), place.lot, place.of.id)):
            groups.setdefault(place.traits, deque()).append(place)
        self._cover(groups, size)
        # Everything was seen once: the rest goes round all groups, first through annexes that have none yet.
        again: dict[tuple[_Trait, ...], deque[_Place]] = {}
        for place in _round(groups):
            if len(self.places) >= size:
                return
            if not self._exposure.has_room(place.kinds):
                continue
            if place.of.annex_id in self._annexes:
                again.setdefault(place.traits, deque()).append(place)
            else:
                self._choose(place)
        for place in _round(again):
            if len(self.places) >= size:
                return
            if self._exposure.has_room(place.kinds):
                self._choose(place)

    def _cover(self, groups: dict[tuple[_Trait, ...], deque[_Place]], size: int) -> None:
        """From each group that still teaches something, the one that teaches most first."""
        # What a group still teaches only ever becomes less, so only the group at the top need be looked at anew.
        # Of groups that teach as much the one of the rarest device comes first: it does for its kind of annex too.
        rarity = Counter(traits[-1] for traits, group in groups.items() for _ in group)
        heap = [(self._known(traits), False, rarity[traits[-1]], traits) for traits in groups]
        heapify(heap)
        while heap and len(self.places) < size:
            told, is_again, rare, traits = heap[0]
            known, group = self._known(traits), groups[traits]
            if all(known):
                heappop(heap)
                continue
            free = (place for place in group if self._exposure.has_room(place.kinds))
            any_place = next(free, None)
            if any_place is None:
                heappop(heap)
                continue
            place = next((place for place in chain((any_place,), free) if place.of.annex_id not in self._annexes), None)
            if known != told or (place is None and not is_again):
                # An annex that has one already comes after those that teach as much and have none.
                heapreplace(heap, (known, place is None, rare, traits))
                continue
            heappop(heap)
            place = place or any_place
            group.remove(place)
            self._choose(place)

    def _known(self, traits: tuple[_Trait, ...]) -> tuple[bool, ...]:
        return tuple(trait in self._covered for trait in traits)

    def _choose(self, place: _Place) -> None:
        self.places.append(place)
        self._covered.update(place.traits)
        self._annexes.add(place.of.annex_id)
        self._exposure.begin(place.kinds)


def _round(groups: Mapping[tuple[_Trait, ...], deque[_Place]]) -> Iterator[_Place]:
    """One of each group in turn."""
    queues = [groups[traits] for traits in sorted(groups) if groups[traits]]
    while queues:
        for queue in queues:
            yield queue.popleft()
        queues = [queue for queue in queues if queue]


# -- the waves after it


def _order(place: _Place) -> tuple[float, int, str]:
    """Where in the rest of the rollout a device belongs.

    Batches of an annex follow each other evenly, all first ones at the beginning; annexes with a single batch are
    anywhere.
    """
    where = place.batch / place.batches if place.batches > 1 else _lot(place.of.annex_id) / _LOTS
    return where, place.lot, place.of.id


def _cut(
    canary: Sequence[_Place], rest: Sequence[_Place], policy: Policy, exposure: Exposure
) -> Iterator[Sequence[_Place]]:  # fmt: skip
    """The waves' devices: first of the kinds that nobody knows, then in order those that expose no such kind more."""
    if not canary:
        return
    yield canary
    of_kind: dict[Kind, list[_Place]] = {}
    for place in sorted(rest, key=lambda place: not place.of.connected):
        for kind in place.kinds:
            of_kind.setdefault(kind, []).append(place)
    taken = {place.of.number for place in canary}
    left = list(rest)
    while left:
        done = len(taken)
        exposure.soak(touched=done)
        size = max(1, math.ceil(policy.growth * done - _A_LITTLE))
        if policy.most_in_wave:
            size = min(size, policy.most_in_wave)
        first = (
            place for kind in exposure.wanting(touched=done + size) for place in _while_wanted(kind, of_kind, exposure)
        )
        chosen: list[_Place] = []
        for place in chain(first, left):
            if len(chosen) >= size:
                break
            if place.of.number not in taken and exposure.has_room(place.kinds):
                chosen.append(place)
                taken.add(place.of.number)
                exposure.begin(place.kinds)
        left = [place for place in left if place.of.number not in taken]
        yield sorted(chosen, key=_order)


def _while_wanted(kind: Kind, of_kind: Mapping[Kind, list[_Place]], exposure: Exposure) -> Iterator[_Place]:
    """Devices of a kind, those that are there first, until enough of them are in the wave."""
    for place in of_kind.get(kind, ()):
        if not exposure.wants(kind):
            return
        yield place


def _waves(cut: Iterable[Sequence[_Place]]) -> Iterator[PlannedWave]:
    cut = list(cut)
    waves_of: dict[str, set[int]] = {}
    for number, places in enumerate(cut, start=1):
        for place in places:
            waves_of.setdefault(place.of.annex_id, set()).add(number)
    for number, places in enumerate(cut, start=1):
        why = ["canary"] if number == 1 else []
        if any(place.batches > 1 and len(waves_of[place.of.annex_id]) > 1 for place in places):
            why.append("spread")
        # Who is there comes first, for a wave should not wait for one that is away before it has begun.
        inner = places if number == 1 else sorted(places, key=lambda place: not place.of.connected)
        yield PlannedWave(number=number, devices=tuple(place.of.number for place in inner), why=tuple(why))


_LOTS = 2.0**64
_A_LITTLE = 1e-9
"""1.1 times 10 is 11 and a very little."""


def _lot(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
