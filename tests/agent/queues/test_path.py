"""Path expressions say where a figure stands, and tell what is not there from what is wrong."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.queues.path import Absent, BadExpression, Mismatch, compile_

HALL: dict[str, Any] = {
    "waiting": 7,
    "data": {"queues": [{"n": 1, "open": True}, {"n": 2, "open": False}, {"n": 3, "open": True}]},
    "en attente": {"état": 4},
    "halls": [{"queues": [{"n": 1}]}, {"queues": [{"n": 2}, {"n": 5}]}],
    "nothing": None,
    "empty": [],
    "holes": [{"n": 1}, {}],
    "tickets": [{"s": {"name": "Waiting"}}, {"s": {"name": "Served"}}, {"s": {"name": "Waiting"}}, {}],
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("waiting", 7),
        ("data.queues[0].n", 1),
        ("data.queues[-1].n", 3),
        ('"en attente".état', 4),
        (" waiting ", 7),
        ("@", HALL),
        ("data.queues[].n", [1, 2, 3]),
        ("halls[].queues[].n", [1, 2, 5]),
        ("len(data.queues)", 3),
        ("len(@)", len(HALL)),
        ("sum(data.queues[].n)", 6),
        ("sum(halls[].queues[].n)", 8),
        ("max(data.queues[].n)", 3),
        ("min( data.queues[].n )", 1),
        ("len(data.queues[open=true])", 2),
        ("len(tickets[s.name=Waiting])", 2),
        ('len(tickets[s.name="Not here"])', 0),
        ("data.queues[n=2].open", [False]),
        ("sum(empty)", 0),
        ("len(empty)", 0),
    ],
)
def test_what_an_expression_finds(expression: str, expected: object):
    assert compile_(expression).read(HALL) == expected


def test_a_document_that_is_a_list_is_reached_by_the_at_sign():
    assert compile_("@[1].n").read([{"n": 1}, {"n": 2}]) == 2
    assert compile_("sum(@[].n)").read([{"n": 1}, {"n": 2}]) == 3


@pytest.mark.parametrize(
    "expression", ["served", "data.served", "data.queues[3]", "nothing", "max(empty)", "sum(holes[].n)", "holes[].n"]
)
def test_what_is_not_there_is_absent_and_never_zero(expression: str):
    with pytest.raises(Absent, match="'"):
        compile_(expression).read(HALL)


@pytest.mark.parametrize(
    "expression",
    ["waiting.x", "waiting[0]", "waiting[]", "len(waiting)", "sum(waiting)", "sum(data.queues)", "data[].x"],
)
def test_what_is_of_another_kind_is_a_mismatch_that_names_the_expression(expression: str):
    with pytest.raises(Mismatch) as caught:
        compile_(expression).read(HALL)

    assert expression in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    ["", ".", "a.", "a..b", ".a", "a[", "a[x]", "a[1", "a b", "avg(a)", "len(len(a))", "len(a", "9", '"a', "@a"],
)
def test_a_wrong_expression_is_named(expression: str):
    with pytest.raises(BadExpression) as caught:
        compile_(expression)

    assert repr(expression) in str(caught.value)


def test_an_endless_expression_is_refused():
    with pytest.raises(BadExpression, match="300 characters"):
        compile_("a." * 200 + "a")


@given(st.text(alphabet='ab.[]()@"=0-1\\ lensum', max_size=40))
def test_any_text_is_an_expression_or_is_refused(text: str):
    try:
        path = compile_(text)
    except BadExpression:
        return

    with suppress(Absent, Mismatch):
        path.read(HALL)


names = st.text(min_size=1, max_size=8)
documents = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=4) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def _places(document: Any, expression: str = "@") -> list[tuple[str, Any]]:
    """Every value in a document that can be addressed, with its expression."""
    found = [(expression, document)]
    if isinstance(document, dict):
        for name, value in document.items():
            quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
            found += _places(value, quoted if expression == "@" else f"{expression}.{quoted}")
    if isinstance(document, list):
        for number, value in enumerate(document):
            found += _places(value, f"{expression}[{number}]")
    return found


@given(documents)
def test_every_place_of_a_document_can_be_reached(document: Any):
    for expression, value in _places(document):
        assert compile_(expression).read(document) is value


@given(st.lists(st.integers(min_value=0, max_value=10**6), min_size=1))
def test_the_functions_agree_with_pythons(numbers: list[int]):
    document = {"q": [{"n": n} for n in numbers]}

    assert compile_("sum(q[].n)").read(document) == sum(numbers)
    assert compile_("max(q[].n)").read(document) == max(numbers)
    assert compile_("min(q[].n)").read(document) == min(numbers)
    assert compile_("len(q)").read(document) == len(numbers)
