"""How a service stands, from the tree of what it needs; and what would break if things went away.

Three values: a thing works, fails, or nobody knows.  So many of a need's things have to work, and the kth best of them
says how the need stands; of needs that must all be met the worst says it.  For such trees that is exact: what comes
out as unknown would really go either way.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from msgspec import Struct, structs

from annexfleet_controller.readiness import fixes
from annexfleet_controller.readiness.model import (
    All,
    AnnexReadiness,
    Leaf,
    LeafState,
    Need,
    Reason,
    ServiceReadiness,
    State,
)
from annexfleet_controller.things import Thing

_Standing = Literal[0, 1, 2]
"""It fails, nobody knows, it works."""
_OF_LEAF: dict[LeafState, _Standing] = {"failing": 0, "unknown": 1, "ok": 2}
_STATE: dict[tuple[_Standing, _Standing], State] = {
    (0, 0): "blocked", (1, 0): "unknown", (1, 1): "unknown", (2, 0): "degraded", (2, 1): "degraded", (2, 2): "ready",
}  # fmt: skip
"""By how the need stands with enough, and with all that it should have."""
_WORSE: dict[State, int] = {"ready": 0, "degraded": 1, "unknown": 2, "blocked": 3}


class Broken(Struct, frozen=True):
    """What a change would do to a service."""

    service: str
    before: State
    after: State


def state(tree: All) -> State:
    """How a service stands that needs this.  What rests on nothing that is known is unknown, and never ready."""
    if not tree.needs:
        return "unknown"
    enough = _of_all(tree, full=False)
    return _STATE[enough, _of_all(tree, full=True) if enough == 2 else 0]


def evaluate(service: str, tree: All) -> ServiceReadiness:
    """How this service stands, why, and the fewest repairs that bring it back."""
    found = state(tree)
    needs = reasons(tree)
    short, met = [n for n in needs if n.state != "ready"], [n for n in needs if n.state == "ready"]
    repairs = fixes.smallest([tree]) if found == "blocked" else None
    if repairs is None:
        return ServiceReadiness(service, found, tuple(short), met=tuple(met))
    return ServiceReadiness(service, found, tuple(short), repairs.fixes, tuple(met), repairs.proven)


def assess(annex_id: str, trees: Mapping[str, All], *, is_open: bool = True) -> AnnexReadiness:
    """How an annex stands whose services, by code, need these trees.

    Services that need the same should share one tree: it is then evaluated once.
    """
    known: dict[int, ServiceReadiness] = {}
    found = []
    for service, tree in trees.items():
        of = known.get(id(tree))
        if of is None:
            of = known[id(tree)] = evaluate(service, tree)
        found.append(of if of.service == service else structs.replace(of, service=service))
    blocked = {of.service: trees[of.service] for of in found if of.state == "blocked"}
    return AnnexReadiness(annex_id, tuple(found), fixes.plan(blocked) if blocked else (), is_open)


def what_breaks(trees: Mapping[str, All], down: Collection[Thing]) -> tuple[Broken, ...]:
    """The services that would stand worse if these things went away, for whoever plans to take them away.

    Of a service that nobody knows about, nobody can promise anything either: it counts as worse only if it would be
    blocked.
    """
    gone = frozenset(down)
    found = []
    for service, tree in trees.items():
        before, after = state(tree), state(_without(tree, gone))
        if _WORSE[after] > _WORSE[before]:
            found.append(Broken(service, before, after))
    return tuple(found)


def reasons(tree: All) -> tuple[Reason, ...]:
    """How each need is met: first those that are not, then what hangs on the unknown, what is met in part, the rest."""
    return tuple(sorted(map(_reason, tree.needs), key=lambda reason: -_WORSE[reason.state]))


def _reason(need: Need) -> Reason:
    standings = [_of(child, full=False) for child in need.of]
    enough, full = _of_need(need, full=False), _of_need(need, full=True)
    short = [child for child in need.of if _of(child, full=True) < 2] if full < 2 else []
    leaves = dict.fromkeys(leaf for child in short for leaf in _leaves(child))
    return Reason(
        capability=need.capability,
        state=_STATE[enough, full if enough == 2 else 0],
        working=standings.count(2),
        unknown=standings.count(1),
        at_least=need.at_least,
        full=len(need.of) if need.full is None else need.full,
        failing=tuple(leaf for leaf in leaves if leaf.state == "failing"),
        unsure=tuple(leaf for leaf in leaves if leaf.state == "unknown"),
    )


def _of(node: Leaf | All, *, full: bool) -> _Standing:
    return _OF_LEAF[node.state] if isinstance(node, Leaf) else _of_all(node, full=full)


def _of_all(node: All, *, full: bool) -> _Standing:
    worst: _Standing = 2
    for need in node.needs:
        worst = min(worst, _of_need(need, full=full))
        if worst == 0:
            break
    return worst


def _of_need(need: Need, *, full: bool) -> _Standing:
    count = need.at_least
    if full:
        count = max(count, len(need.of) if need.full is None else need.full)
    works = known = 0
    for child in need.of:
        standing = _of(child, full=full)
        works += standing == 2
        known += standing > 0
    return 2 if works >= count else 1 if known >= count else 0


def _leaves(node: Leaf | All) -> Iterator[Leaf]:
    if isinstance(node, Leaf):
        yield node
        return
    for need in node.needs:
        for child in need.of:
            yield from _leaves(child)


def _without(tree: All, gone: frozenset[Thing]) -> All:
    return All(tuple(structs.replace(need, of=tuple(_child(child, gone) for child in need.of)) for need in tree.needs))


def _child(node: Leaf | All, gone: frozenset[Thing]) -> Leaf | All:
    if isinstance(node, All):
        return _without(node, gone)
    return structs.replace(node, state="failing", fixes=frozenset()) if node.thing in gone else node
