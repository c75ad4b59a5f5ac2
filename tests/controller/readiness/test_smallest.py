"""The fix set is the smallest: against every subset, on trees with shared repairs, nested needs, k of n."""

import random
import time
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drawing import examples

from annexfleet_controller.readiness import fixes
from annexfleet_controller.readiness.model import All, Fix, Leaf, Need
from annexfleet_controller.things import Thing

FIXES = [
    Fix("paper_empty", Thing("printer", "a"), "tray-1"),
    Fix("paper_jam", Thing("printer", "a")),
    Fix("fuser_fault", Thing("printer", "a")),
    Fix("waste_full", Thing("printer", "b")),
    Fix("paper_empty", Thing("printer", "b")),
    Fix("device_offline", Thing("device", "a")),
    Fix("device_offline", Thing("device", "b")),
    Fix("power_cut", Thing("annex", "a")),
]
"""Staff can end five of them; two printers and the annex are touched by several."""
LEAVES = st.one_of(
    st.builds(
        Leaf,
        st.builds(Thing, st.just("device"), st.sampled_from("abcdef")),
        st.just("a thing"),
        st.just("failing"),
        st.frozensets(st.sampled_from(FIXES), max_size=3),
    ),
    st.builds(Leaf, st.just(Thing("device", "g")), st.just("g"), st.sampled_from(("ok", "unknown"))),
)


def needs(children):
    return st.builds(
        lambda at_least, of: Need("counter", min(at_least, len(of)), tuple(of)),
        st.integers(0, 4),
        st.lists(children, max_size=4),
    )


def trees(children):
    return st.lists(needs(children), min_size=1, max_size=3).map(lambda of: All(tuple(of)))


TREES = trees(st.one_of(LEAVES, trees(st.one_of(LEAVES, trees(LEAVES)))))


def serves(node, done):
    """Whether a service could be provided when these are done; written without regard to how the search does it."""
    if isinstance(node, All):
        return all(sum(serves(child, done) for child in need.of) >= need.at_least for need in node.needs)
    return node.state != "failing" or (bool(node.fixes) and node.fixes <= done)


def every_fix(node):
    if isinstance(node, Leaf):
        return node.fixes
    return frozenset().union(*(every_fix(child) for need in node.needs for child in need.of), frozenset())


def cost(chosen):
    return (
        len(chosen),
        sum(fix.cause not in fixes.STAFF_CAN for fix in chosen),
        len({fix.thing for fix in chosen}),
        tuple(sorted(chosen)),
    )


def brute_force(goals):
    """The best of all subsets of all repairs, or None if not even all of them help."""
    every = sorted(frozenset().union(*map(every_fix, goals)))
    for size in range(len(every) + 1):
        helping = [
            chosen for chosen in combinations(every, size) if all(serves(goal, frozenset(chosen)) for goal in goals)
        ]
        if helping:
            return min(helping, key=cost)
    return None


@settings(max_examples=examples(250), deadline=None)
@given(TREES)
def test_no_subset_is_better_for_one_service(goal):
    found = fixes.smallest([goal])

    best = brute_force([goal])
    assert (None if found is None else found.fixes) == best
    assert found is None or found.proven


@settings(max_examples=examples(120), deadline=None)
@given(st.lists(TREES, min_size=2, max_size=3))
def test_no_subset_is_better_for_several_services_together(goals):
    found = fixes.smallest(goals)

    assert (None if found is None else found.fixes) == brute_force(goals)


@settings(max_examples=examples(120), deadline=None)
@given(st.lists(TREES, min_size=1, max_size=3))
def test_a_plan_is_the_smallest_set_cut_so_that_each_remedy_restores_something(goals):
    blocked = {f"service-{place}": goal for place, goal in enumerate(goals) if not serves(goal, frozenset())}

    remedies = fixes.plan(blocked)

    curable = {name: goal for name, goal in blocked.items() if fixes.smallest([goal]) is not None}
    every = [fix for remedy in remedies for fix in remedy.fixes]
    assert tuple(sorted(every)) == brute_force(list(curable.values()))
    assert len(set(every)) == len(every)
    restored: set[str] = set()
    for place, remedy in enumerate(remedies):
        done = frozenset(fix for earlier in remedies[: place + 1] for fix in earlier.fixes)
        back = {name for name, goal in curable.items() if serves(goal, done)}
        assert set(remedy.restores) == back - restored
        assert remedy.restores
        restored = back
    assert restored == set(curable)


@settings(max_examples=examples(80), deadline=None)
@given(TREES, st.integers(1, 3))
def test_a_search_that_is_given_up_still_helps_and_has_nothing_needless(goal, work):
    found = fixes.smallest([goal], work=work)

    if found is None:
        return
    done = frozenset(found.fixes)
    assert serves(goal, done)
    if not found.proven:
        assert all(not serves(goal, done - {fix}) for fix in done)


def failing(name, *causes):
    return Leaf(Thing("device", name), name, "failing", frozenset(causes))


def test_twenty_counters_that_are_all_off_do_not_explode():
    counters = tuple(failing(f"c{n:02}", Fix("device_offline", Thing("device", f"c{n:02}"))) for n in range(20))
    goal = All((Need("counter", 10, counters),))

    before = time.perf_counter()
    found = fixes.smallest([goal])

    assert time.perf_counter() - before < 0.5
    assert found is not None
    assert found.proven
    assert [fix.thing.id for fix in found.fixes] == [f"c{n:02}" for n in range(10)]


def test_twenty_places_that_lack_a_counter_and_a_printer_and_the_mains_do_not_explode():
    cut = Fix("power_cut", Thing("annex", "a"))
    places = tuple(
        All((
            Need("counter", 1, (failing(f"c{n:02}", Fix("device_offline", Thing("device", f"c{n:02}")), cut),)),
            Need("print", 1, (failing(f"p{n:02}", Fix("paper_empty", Thing("printer", f"p{n:02}")), cut),)),
        ))
        for n in range(20)
    )  # fmt: skip

    before = time.perf_counter()
    found = fixes.smallest([All((Need("counter", 7, places),))])

    assert time.perf_counter() - before < 0.5
    assert found is not None
    assert found.proven
    assert len(found.fixes) == 15
    assert cut in found.fixes


def test_an_annex_too_entangled_to_be_sure_is_given_up_in_time_with_a_set_that_helps():
    chance = random.Random(1)
    every = [Fix("paper_empty", Thing("printer", f"p{n}")) for n in range(40)]
    goal = All(tuple(
        Need("print", 4, tuple(failing(f"{n}-{m}", *chance.sample(every, chance.randint(1, 3))) for m in range(8)))
        for n in range(40)
    ))  # fmt: skip

    before = time.process_time()
    found = fixes.smallest([goal])

    assert time.process_time() - before < 2
    assert found is not None
    assert not found.proven
    done = frozenset(found.fixes)
    assert serves(goal, done)
    assert all(not serves(goal, done - {fix}) for fix in done)


def test_a_shared_cause_is_one_repair():
    cut = Fix("power_cut", Thing("annex", "a"))
    goal = All((Need("counter", 1, (failing("c1", cut), failing("c2", cut))), Need("print", 1, (failing("p", cut),))))

    assert fixes.smallest([goal]) == fixes.Repairs((cut,))


def test_of_two_ways_as_short_the_one_is_taken_that_staff_can_go_alone():
    heat, paper = Fix("fuser_fault", Thing("printer", "a")), Fix("paper_empty", Thing("printer", "z"))

    found = fixes.smallest([All((Need("print", 1, (failing("a", heat), failing("z", paper))),))])

    assert found == fixes.Repairs((paper,))
