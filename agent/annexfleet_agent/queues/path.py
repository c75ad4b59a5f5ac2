"""Path expressions: how agent.toml says where in a document a figure stands.

    waiting                     a field of the document
    data.queues[0].waiting      fields, and an element by its index (from the end with -1)
    "en attente".total          a name with other characters than letters, digits, `_` and `-` stands in quotes
    @                           the document itself
    queues[].waiting            that field of every element: a list
    tickets[state=waiting]      only the elements whose field has this value
    len(tickets)                how many; also sum(…), max(…) and min(…) of a list of numbers

A figure that is not there is told apart from a wrong expression: nothing found is `Absent`, never 0, and a sum over a
list in which one number is missing is missing too.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

MAX_LENGTH = 300

_CALL = re.compile(r"(len|sum|max|min)\((.*)\)", re.DOTALL)
_LISTS = {"each", "where"}
_FIELD = re.compile(r'([^\W\d][\w-]*)|"((?:[^"\\]|\\["\\])*)"')
_INDEX = re.compile(r"\[(-?\d{1,9})\]")
_FILTER = re.compile(r'\[([^\[\]="]+)=(?:"((?:[^"\\]|\\["\\])*)"|([^\[\]"]*))\]')


class BadExpression(ValueError):
    """The expression itself is wrong.  The message names it and the place."""


class Absent(LookupError):
    """There is nothing at that place in the document.  The message names the expression."""


class Mismatch(TypeError):
    """What is there is of another kind than the expression needs.  The message names the expression."""


class _Step(NamedTuple):
    """One step into the document."""

    kind: str
    """`field`, `index`, `each` or `where`."""
    name: str = ""
    position: int = 0
    inner: "tuple[_Step, ...]" = ()
    """where: the way from an element to the field that is compared."""
    value: str = ""


class Path(NamedTuple):
    """An expression that was understood."""

    expression: str
    function: str
    """`len`, `sum`, `max`, `min`, or empty."""
    steps: tuple[_Step, ...]

    def read(self, document: object) -> Any:
        """The value at this place; a list if the expression has `[]` or a filter.

        Raises Absent or Mismatch.
        """
        found = _walk(self.expression, self.steps, document)
        if not self.function:
            return found
        return _apply(self.expression, self.function, found)


def compile_(expression: str) -> Path:
    """Understand an expression.  Raises BadExpression."""
    if len(expression) > MAX_LENGTH:
        raise BadExpression(f"path expression over {MAX_LENGTH} characters: {expression[:40]!r}…")
    text = expression.strip()
    call = _CALL.fullmatch(text)
    function, inner = (call[1], call[2].strip()) if call else ("", text)
    return Path(expression, function, _steps(expression, inner))


def _steps(expression: str, text: str) -> tuple[_Step, ...]:
    if text == "@":
        return ()
    steps: list[_Step] = []
    at = 1 if text.startswith("@[") else 0
    wants_field = at == 0
    while at < len(text) or wants_field:
        if wants_field:
            match = _FIELD.match(text, at)
            if match is None:
                raise BadExpression(f"path expression {expression!r}: a field's name is missing at {text[at:]!r}")
            steps.append(_Step("field", match[1] if match[1] is not None else _unescape(match[2])))
            at, wants_field = match.end(), False
        elif text[at] == ".":
            at, wants_field = at + 1, True
        else:
            step, at = _bracket(expression, text, at)
            steps.append(step)
    return tuple(steps)


def _bracket(expression: str, text: str, at: int) -> tuple[_Step, int]:
    if text.startswith("[]", at):
        return _Step("each"), at + 2
    if match := _INDEX.match(text, at):
        return _Step("index", position=int(match[1])), match.end()
    if match := _FILTER.match(text, at):
        value = _unescape(match[2]) if match[2] is not None else match[3].strip()
        return _Step("where", inner=_steps(expression, match[1].strip()), value=value), match.end()
    raise BadExpression(f"path expression {expression!r}: cannot read it from {text[at:]!r}")


def _unescape(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)


def _walk(expression: str, steps: Sequence[_Step], value: Any) -> Any:
    for number, step in enumerate(steps):
        if step.kind == "field":
            value = _field(expression, step.name, value)
        elif step.kind == "index":
            value = _element(expression, step.position, value)
        else:
            elements = _list(expression, value)
            if step.kind == "where":
                elements = [element for element in elements if _is(expression, step, element)]
            rest = steps[number + 1 :]
            found = [_walk(expression, rest, element) for element in elements]
            # A list of lists is no use to anybody: `halls[].queues[].waiting` is one flat list.
            return [one for some in found for one in some] if any(s.kind in _LISTS for s in rest) else found
    return value


def _field(expression: str, name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        raise Mismatch(f"{expression!r}: {name!r} is asked of {_kind(value)}, which has no fields")
    found = value.get(name)
    if found is None:
        raise Absent(f"{expression!r}: there is no {name!r}")
    return found


def _element(expression: str, index: int, value: Any) -> Any:
    elements = _list(expression, value)
    if not -len(elements) <= index < len(elements):
        raise Absent(f"{expression!r}: there is no element {index}")
    found = elements[index]
    if found is None:
        raise Absent(f"{expression!r}: element {index} is empty")
    return found


def _is(expression: str, step: _Step, element: Any) -> bool:
    try:
        found = _walk(expression, step.inner, element)
    except Absent:
        return False
    if isinstance(found, bool):
        return step.value == str(found).lower()
    return isinstance(found, str | int | float) and str(found) == step.value


def _list(expression: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Mismatch(f"{expression!r}: needs a list and finds {_kind(value)}")
    return value


def _apply(expression: str, function: str, found: Any) -> Any:
    if function == "len":
        if not isinstance(found, list | dict):
            raise Mismatch(f"{expression!r}: len() of {_kind(found)}")
        return len(found)
    numbers = _list(expression, found)
    for number in numbers:
        if number is None:
            raise Absent(f"{expression!r}: a number in the list is missing")
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Mismatch(f"{expression!r}: {function}() of {_kind(number)}")
    if not numbers and function != "sum":
        raise Absent(f"{expression!r}: {function}() of an empty list")
    return _FUNCTIONS[function](numbers)


_FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {"sum": sum, "max": max, "min": min}

_KINDS = {bool: "a truth value", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}


def _kind(value: object) -> str:
    return "nothing" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")
