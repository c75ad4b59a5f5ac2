import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_controller.ingest import marks
from annexfleet_controller.ingest.marks import Mark, advance, advance_with_gap, fill, fill_all


@pytest.mark.parametrize(
    ("mark", "seq", "expected", "fresh"),
    [
        (Mark(), 1, Mark(1), True),
        (Mark(4), 5, Mark(5), True),
        (Mark(4), 4, Mark(4), False),
        (Mark(4), 7, Mark(4, ((7, 7),)), True),
        (Mark(4, ((7, 7),)), 7, Mark(4, ((7, 7),)), False),
        (Mark(4, ((7, 7),)), 6, Mark(4, ((6, 7),)), True),
        (Mark(4, ((6, 7),)), 5, Mark(7), True),
        (Mark(4, ((6, 7), (9, 9))), 8, Mark(4, ((6, 9),)), True),
        (Mark(4, ((6, 7), (9, 9))), 5, Mark(7, ((9, 9),)), True),
    ],
)
def test_a_mark_rises_only_without_a_hole(mark: Mark, seq: int, expected: Mark, fresh: bool):
    assert advance(mark, seq) == (expected, fresh)


def _as_set(mark: Mark) -> set[int]:
    return set(range(1, mark.upto + 1)) | {n for first, last in mark.ahead for n in range(first, last + 1)}


_steps = st.lists(st.tuples(st.integers(1, 60), st.integers(-2, 12)), max_size=60)


@given(_steps)
def test_a_mark_says_what_a_set_of_all_numbers_would_say(steps: list[tuple[int, int]]):
    mark, had = Mark(), set[int]()
    for first, length in steps:
        if length == 0:
            mark, fresh = advance(mark, first)
            assert fresh is (first not in had)
            had.add(first)
        else:
            mark = fill(mark, first, first + length)
            had.update(range(first, first + length + 1))

        assert _as_set(mark) == had
        assert all(marks.covers(mark, n) is (n in had) for n in range(1, 80))
        assert mark.upto + 1 not in had
        edges = [mark.upto, *(edge for of in mark.ahead for edge in of)]
        assert all(nxt - end > 1 for end, nxt in zip(edges[::2], edges[1::2], strict=False))


def test_a_device_that_leaves_holes_everywhere_cannot_make_the_mark_grow_for_ever():
    mark = Mark()
    for seq in range(3, 3 * marks.MAX_RANGES, 2):
        mark, fresh = advance(mark, seq)

    assert len(mark.ahead) == marks.MAX_RANGES
    assert not fresh


def test_an_item_that_was_refused_for_too_many_holes_is_fresh_once_they_closed():
    mark = Mark(0, tuple((n, n) for n in range(3, 3 + 2 * marks.MAX_RANGES, 2)))
    far = 10 * marks.MAX_RANGES
    assert advance(mark, far) == (mark, False)

    closed = fill(mark, 1, 5 * marks.MAX_RANGES)

    assert advance(closed, far)[1]


def holes(count: int) -> Mark:
    """A mark with this many ranges ahead: 3, 5, 7 ..."""
    return Mark(0, tuple((n, n) for n in range(3, 3 + 2 * count, 2)))


@pytest.mark.parametrize(
    ("seq", "upto"),
    [(1, 1), (2, 0), (4, 0)],
    ids=["closes the first hole", "touches a range", "joins two ranges"],
)
def test_an_item_that_opens_no_hole_is_fresh_however_many_there_are(seq: int, upto: int):
    moved, fresh = advance(holes(marks.MAX_RANGES + 500), seq)

    assert fresh
    assert moved.upto == upto


def test_a_gap_of_the_most_ranges_is_taken_and_what_waits_between_them_too():
    ranges = [(n, n) for n in range(3, 3 + 2 * 1000, 2)]

    mark, fresh = advance_with_gap(Mark(), 10_000, ranges)
    assert fresh
    for seq in (1, *range(2, 2002, 2)):
        mark, fresh = advance(mark, seq)
        assert fresh

    assert mark == Mark(2001, ((10_000, 10_000),))


def test_a_gap_that_makes_the_mark_too_long_is_refused_as_a_whole():
    mark = holes(marks.MAX_RANGES_WITH_GAP)

    assert advance_with_gap(mark, 10**6, [(1, 1)]) == (mark, False)
    assert advance_with_gap(mark, 10**6, [(1, 4)])[1]


def test_a_gap_that_was_told_before_is_not_fresh():
    mark, _ = advance_with_gap(Mark(), 5, [(1, 2)])

    assert mark == Mark(2, ((5, 5),))
    assert advance_with_gap(mark, 5, [(1, 2)]) == (mark, False)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60))),
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60))),
)
def test_ranges_at_once_are_the_same_as_one_after_the_other(
    before: list[tuple[int, int]], ranges: list[tuple[int, int]]
):
    one = many = fill_all(Mark(), before)
    for first, last in ranges:
        one = fill(one, first, last)

    assert fill_all(many, ranges) == one
