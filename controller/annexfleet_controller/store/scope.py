"""Whose rows a person may see.  Every query that reaches devices or annexes is narrowed here, and nowhere else."""

from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, true
from sqlalchemy.orm import InstrumentedAttribute


class Scope(Struct, frozen=True):
    """The annexes within somebody's sight; None is the whole province."""

    annexes: frozenset[str] | None

    def covers(self, annex_id: str) -> bool:
        return self.annexes is None or annex_id in self.annexes

    def limit(self, column: "InstrumentedAttribute[Any]") -> ColumnElement[bool]:
        """The condition on a column of annex ids."""
        return true() if self.annexes is None else column.in_(sorted(self.annexes))


WHOLE = Scope(None)
"""For the controller's own work and the command line."""
