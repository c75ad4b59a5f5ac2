"""What was said before, by whom and of what: the plan asks it.  Thinks only."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from annexfleet_controller.notify.model import Item, NoticeState, Told


class Line(Struct, frozen=True):
    """One item of a notice, with what became of it."""

    item: Item
    state: NoticeState
    created_at: datetime
    ended_at: datetime | None


class Past:
    """Notices of before, by whom and what they were about."""

    def __init__(self, told: Iterable[Told]) -> None:
        self._lines: dict[tuple[int, int], list[Line]] = defaultdict(list)
        self._rows: dict[int, list[Told]] = defaultdict(list)
        self._contacts: dict[int, set[int]] = defaultdict(set)
        self._first: dict[tuple[int, int], datetime | None] = {}
        for row in sorted(told, key=lambda one: (one.created_at, one.ended_at or one.created_at)):
            self._rows[row.contact_id].append(row)
            for item in row.items:
                key = row.contact_id, item.incident_id
                self._lines[key].append(Line(item, row.state, row.created_at, row.ended_at))
                self._contacts[item.incident_id].add(row.contact_id)

    def count(self, contact_id: int, incident_id: int) -> int:
        return len(self._lines.get((contact_id, incident_id), ()))

    def lines(self, contact_id: int, incident_id: int) -> list[Line]:
        """Without those that never went out because they had come to nothing."""
        return [line for line in self._lines.get((contact_id, incident_id), ()) if line.state != "dropped"]

    def chapter(self, contact_id: int, incident_id: int) -> list[Line]:
        """What was said since the incident was last said to be over: an incident may come back."""
        lines = self.lines(contact_id, incident_id)
        for place in range(len(lines) - 1, -1, -1):
            if lines[place].item.what == "resolved" and lines[place].state == "sent":
                return lines[place + 1 :]
        return lines

    def everybodys_lines(self, incident_id: int) -> list[Line]:
        """What anybody was told of it, without those that never went out because they had come to nothing."""
        return [line for contact_id in self._contacts[incident_id] for line in self.lines(contact_id, incident_id)]

    def first_told_below(self, incident_id: int, level: int) -> datetime | None:
        """When the first notice of a lower level was made, whoever it is for."""
        key = incident_id, level
        if key not in self._first:
            self._first[key] = self._find_first(incident_id, level)
        return self._first[key]

    def _find_first(self, incident_id: int, level: int) -> datetime | None:
        moments = [
            line.created_at
            for contact_id in self._contacts[incident_id]
            for line in self.chapter(contact_id, incident_id)
            if line.item.level < level and line.item.what != "resolved"
        ]
        return min(moments, default=None)

    def notices(self, contact_id: int) -> list[Told]:
        """Those that count against the limits: delivered, or still to be."""
        return [row for row in self._rows[contact_id] if row.state in {"queued", "sent"} and row.kind != "test"]
