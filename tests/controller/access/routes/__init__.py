"""What every route asks of who calls it: a file an area, read by `tests/controller/access/test_every_route.py`.

An area is a module here with any of the names of `Tables`; what it does not name is empty.
"""

import importlib
import pkgutil
from typing import Any

from msgspec import Struct, field

Route = tuple[str, str]
"""Method, and path as the application has it."""


class Tables(Struct):
    OPEN: set[Route] = field(default_factory=set)
    """Reached without a session."""
    LOWEST: dict[Route, str] = field(default_factory=dict)
    """The lowest role that may."""
    WHOLE_PROVINCE_ONLY: set[Route] = field(default_factory=set)
    """Refused (403) to a person confined to some annexes."""
    OF_AN_ANNEX: set[Route] = field(default_factory=set)
    """They name an annex, or something in one, in their body or query: 404 where it is not among one's own.  Those
    with `{annex_id}` or `{device_id}` in their path are among them anyway."""
    BODIES: dict[Route, dict[str, Any]] = field(default_factory=dict)
    QUERIES: dict[Route, str] = field(default_factory=dict)
    NOTHING_THERE: set[Route] = field(default_factory=set)
    """Asked, with a right that would show it, about something that is not there: 404."""
    NAMES: dict[str, str] = field(default_factory=dict)
    """What stands in the place of the names in a route's path."""
    ANSWERS: dict[Route, set[int]] = field(default_factory=dict)
    """Where who may is answered otherwise than with success."""


def gathered() -> Tables:
    """The tables of all areas as one.  Two areas that say something of the same route are a mistake."""
    whole = Tables()
    for found in pkgutil.iter_modules(__path__):
        area = importlib.import_module(f"{__name__}.{found.name}")
        for name in Tables.__struct_fields__:
            ours, theirs = getattr(whole, name), getattr(area, name, ())
            twice = set(ours) & set(theirs)
            assert not twice, f"{name}: {twice} stand in {found.name} and in another area"
            ours.update(theirs)
    whole.OF_AN_ANNEX |= {r for r in whole.LOWEST if "{annex_id}" in r[1] or "{device_id}" in r[1]}
    return whole
