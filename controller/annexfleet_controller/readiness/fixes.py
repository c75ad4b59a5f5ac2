"""The fewest repairs after which services can be provided again.

The tree is first made small: what works counts as met, what cannot be repaired is dropped, needs that must all be met
become one, repairs that only ever help together are one bundle.  What is left is searched by branch and bound: take a
bundle or leave it, give up where even the cheapest way on costs more than what is found.  Each repair's cost is spread
over the places it helps in, so that the bound is never too high.  Things that could stand for each other (twenty
counters that are all off) are only tried in order of name, so they never multiply.

That is exact, as a test against brute force shows.  Choosing the fewest of shared repairs is set cover, so some tree
will always be too much: after MOST_WORK the best set found so far is given, in which no repair is needless, and
`proven` is False.  Of several smallest sets the one is given that needs least help from outside, then the one that
touches the fewest things, then the first by name; that last comparison has a limit of its own.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import reduce
from math import ceil, inf

from msgspec import Struct

from annexfleet_agent.protocol.causes import CAUSES
from annexfleet_controller.readiness.model import All, Fix, Leaf, Need, Remedy

MOST_WORK = 80_000
"""Things looked at in one search; about a fifth of a second."""

STAFF_CAN = frozenset({"device_offline"}) | {c.id for c in CAUSES.values() if c.who in ("staff", "auto")}
"""Causes that people in the annex end by themselves, or that end by themselves."""

_WHOLE = 10_000
"""What a repair costs; outside help adds 1, so it only decides between sets of equal number."""

_MET = 0
_HOPELESS = -1
_Tree = int | tuple[int, tuple["_Tree", ...]]
"""_MET, _HOPELESS, the repairs of one thing as bits, or how many of the following are needed."""
_Sites = tuple[tuple[int, ...], ...]


class Repairs(Struct, frozen=True):
    """A set of repairs, in order of name."""

    fixes: tuple[Fix, ...]
    proven: bool = True
    """That there is no smaller one."""


def smallest(goals: Sequence[All], *, among: Collection[Fix] | None = None, work: int = MOST_WORK) -> Repairs | None:
    """The fewest repairs, of all or of those `among` which to choose, after which none of these is blocked.

    Things of which nobody knows count as working.  None if no repair can do it; no fixes if none is needed.
    """
    named = sorted({fix for goal in goals for fix in _fixes(goal)}, key=lambda fix: (fix.cause not in STAFF_CAN, fix))
    if among is not None:
        chosen = frozenset(among)
        named = [fix for fix in named if fix in chosen]
    bits = {fix: 1 << place for place, fix in enumerate(named)}
    parts = dict.fromkeys(_compiled(goal, bits) for goal in goals)
    tree = _needs(len(parts), tuple(parts))
    if tree == _HOPELESS:
        return None
    if tree == _MET:
        return Repairs(())
    bundles = _bundles(tree, len(named))
    items = [_Item(tuple(sorted(named[bit] for bit in _bits(bundle)))) for bundle in bundles]
    found, proven = _Search(_rewritten(tree, bundles), items, work).run()
    return Repairs(tuple(sorted(fix for place in _bits(found) for fix in items[place].fixes)), proven)


def plan(blocked: Mapping[str, All]) -> tuple[Remedy, ...]:
    """The fewest repairs that bring back every one of these services, those first that bring back most.

    Services that no repair can bring back are left out.
    """
    trees = {service: tree for service, tree in blocked.items() if smallest([tree]) is not None}
    whole = smallest(list(trees.values()))
    if whole is None or not whole.fixes:
        return ()
    left, done, remedies = dict(trees), frozenset[Fix](), []
    while left:
        best: tuple[tuple[int, int, tuple[Fix, ...]], frozenset[Fix], tuple[str, ...]] | None = None
        for way in dict.fromkeys(_still_needed(tree, done, whole.fixes) for tree in left.values()):
            back = tuple(name for name, tree in left.items() if not _still_needed(tree, done | way, whole.fixes))
            key = (-len(back), len(way), tuple(sorted(way)))
            if best is None or key < best[0]:
                best = (key, way, back)
        assert best is not None
        remedies.append(Remedy(best[0][2], best[2]))
        done |= best[1]
        left = {name: tree for name, tree in left.items() if name not in best[2]}
    return tuple(remedies)


def _still_needed(tree: All, done: frozenset[Fix], among: Sequence[Fix]) -> frozenset[Fix]:
    """What of these is to be repaired for it, when that is done."""
    found = smallest([_repaired(tree, done)], among=[fix for fix in among if fix not in done])
    assert found is not None, "the whole set brings back every service"
    return frozenset(found.fixes)


def _repaired(tree: All, done: frozenset[Fix]) -> All:
    return All(tuple(Need(n.capability, n.at_least, tuple(_mended(c, done) for c in n.of), n.full) for n in tree.needs))


def _mended(node: Leaf | All, done: frozenset[Fix]) -> Leaf | All:
    if isinstance(node, All):
        return _repaired(node, done)
    if node.state != "failing" or not node.fixes & done:
        return node
    left = node.fixes - done
    return Leaf(node.thing, node.name, "failing" if left else "ok", left, node.since)


# -- making the tree small


def _fixes(tree: All) -> Iterator[Fix]:
    for need in tree.needs:
        for child in need.of:
            if isinstance(child, All):
                yield from _fixes(child)
            elif child.state == "failing":
                yield from child.fixes


def _compiled(tree: All, bits: Mapping[Fix, int]) -> _Tree:
    needs = [_needs(need.at_least, tuple(_child(child, bits) for child in need.of)) for need in tree.needs]
    return _needs(len(needs), tuple(needs))


def _child(node: Leaf | All, bits: Mapping[Fix, int]) -> _Tree:
    if isinstance(node, All):
        return _compiled(node, bits)
    if node.state != "failing":
        return _MET
    if not node.fixes or any(fix not in bits for fix in node.fixes):
        return _HOPELESS
    return reduce(int.__or__, (bits[fix] for fix in node.fixes))


def _needs(count: int, children: tuple[_Tree, ...]) -> _Tree:
    """At least so many of these, in its simplest form."""
    rest = [child for child in children if child not in (_MET, _HOPELESS)]
    count -= sum(1 for child in children if child == _MET)
    if count <= 0:
        return _MET
    if count > len(rest):
        return _HOPELESS
    if count < len(rest):
        return count, tuple(rest)
    together = reduce(int.__or__, (child for child in rest if isinstance(child, int)), 0)
    others = [child for child in rest if not isinstance(child, int)]
    kept: list[_Tree] = [together, *others] if together else [*others]
    return kept[0] if len(kept) == 1 else (len(kept), tuple(kept))


def _leaves(tree: _Tree) -> Iterator[int]:
    if isinstance(tree, int):
        yield tree
        return
    for child in tree[1]:
        yield from _leaves(child)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _bundles(tree: _Tree, count: int) -> list[int]:
    """Repairs that every thing needs all of or none of, put together; those that nothing needs are left out."""
    leaves = sorted(set(_leaves(tree)))
    together: dict[tuple[int, ...], int] = {}
    for bit in range(count):
        places = tuple(place for place, leaf in enumerate(leaves) if leaf >> bit & 1)
        if places:
            together[places] = together.get(places, 0) | 1 << bit
    return list(together.values())


def _rewritten(tree: _Tree, bundles: Sequence[int]) -> _Tree:
    """The same tree with bundles for bits."""
    if isinstance(tree, int):
        return sum(1 << place for place, bundle in enumerate(bundles) if bundle & tree)
    return tree[0], tuple(_rewritten(child, bundles) for child in tree[1])


class _Item:
    """A bundle: what it costs and what it touches."""

    def __init__(self, fixes: tuple[Fix, ...]) -> None:
        self.fixes = fixes
        self.outside = sum(fix.cause not in STAFF_CAN for fix in fixes)
        self.cost = _WHOLE * len(fixes) + self.outside
        self.things = frozenset(fix.thing for fix in fixes)


# -- the search


class _Search:
    """Branch and bound over bundles, which are numbers of `items` and bits of masks."""

    def __init__(self, tree: _Tree, items: Sequence[_Item], work: int) -> None:
        self._tree, self._items, self._work = tree, items, work
        self._later = self._interchangeable()
        self._best: int | None = None
        self._best_key: tuple[int, int, tuple[Fix, ...]] = (0, 0, ())

    def run(self) -> tuple[int, bool]:
        """The best set, and whether it is proven to be."""
        proven = self._descend(ties=False)
        if proven:
            self._descend(ties=True)
        assert self._best is not None, "a tree that is not hopeless has a solution"
        return (self._best if proven else self._without_needless(self._best)), proven

    def _descend(self, *, ties: bool) -> bool:
        """Search all that may be better, or with `ties` also what may be as small; False if that took too long."""
        left = self._work
        stack = [(0, 0)]
        while stack:
            taken, refused = stack.pop()
            tree = self._left_of(self._tree, taken, refused)
            if tree == _MET:
                self._offer(taken)
                continue
            if tree == _HOPELESS:
                continue
            places = Counter(bit for leaf in _leaves(tree) for bit in _bits(leaf))
            least = self._cost(taken) + ceil(self._bound(tree, places) - 1e-6)
            if self._best is not None:
                left -= places.total()
                if left <= 0:
                    return False
                if least > self._best_key[0] or (least == self._best_key[0] and not ties):
                    continue
            bit = min(places, key=lambda bit: (-places[bit], self._items[bit].cost, self._items[bit].fixes))
            stack.append((taken, refused | 1 << bit | self._later.get(bit, 0)))
            stack.append((taken | 1 << bit, refused))
        return True

    def _offer(self, taken: int) -> None:
        items = [self._items[bit] for bit in _bits(taken)]
        things = frozenset[object]().union(*(item.things for item in items))
        key = (self._cost(taken), len(things), tuple(sorted(fix for item in items for fix in item.fixes)))
        if self._best is None or key < self._best_key:
            self._best, self._best_key = taken, key

    def _cost(self, taken: int) -> int:
        return sum(self._items[bit].cost for bit in _bits(taken))

    def _left_of(self, tree: _Tree, taken: int, refused: int) -> _Tree:
        if isinstance(tree, int):
            return _HOPELESS if tree & refused else tree & ~taken
        return _needs(tree[0], tuple(self._left_of(child, taken, refused) for child in tree[1]))

    def _bound(self, tree: _Tree, places: Mapping[int, int]) -> float:
        """What it costs at least: a bundle that helps in three places costs a third in each."""
        if isinstance(tree, int):
            return sum(self._items[bit].cost / places[bit] for bit in _bits(tree))
        cheapest = sorted(self._bound(child, places) for child in tree[1])[: tree[0]]
        return sum(cheapest) if len(cheapest) == tree[0] else inf

    def _interchangeable(self) -> dict[int, int]:
        """For each bundle those later by name that help at the same places at the same cost, and nowhere else.

        Who refuses a bundle need not try those: each would only be a worse name for the same set.
        """
        sites: dict[int, list[tuple[int, ...]]] = {}
        for leaf, path in _paths(self._tree, ()):
            sites.setdefault(leaf, []).append(path)
        leaves_of = Counter(bit for leaf in sites for bit in _bits(leaf))
        touched = Counter(thing for item in self._items for thing in item.things)
        alike: dict[tuple[_Sites, int, int, int], list[int]] = {}
        for leaf, paths in sites.items():
            for bit in _bits(leaf):
                item = self._items[bit]
                if leaves_of[bit] == 1 and all(touched[thing] == 1 for thing in item.things):
                    sign = (tuple(sorted(paths)), leaf & ~(1 << bit), item.cost, len(item.things))
                    alike.setdefault(sign, []).append(bit)
        later: dict[int, int] = {}
        for bits in alike.values():
            bits.sort(key=lambda bit: self._items[bit].fixes)
            for place, bit in enumerate(bits):
                later[bit] = sum(1 << other for other in bits[place + 1 :])
        return later

    def _without_needless(self, taken: int) -> int:
        for bit in sorted(_bits(taken), key=lambda bit: -self._items[bit].cost):
            if self._left_of(self._tree, taken & ~(1 << bit), 0) == _MET:
                taken &= ~(1 << bit)
        return taken


def _paths(tree: _Tree, path: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Each leaf with the way to the need that it stands in."""
    if isinstance(tree, int):
        yield tree, path
        return
    for place, child in enumerate(tree[1]):
        if isinstance(child, int):
            yield child, path
        else:
            yield from _paths(child, (*path, place))
