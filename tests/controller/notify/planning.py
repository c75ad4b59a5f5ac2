"""A small world for tests of the plan: trouble, receivers, and a post office that may fail."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from annexfleet_controller.notify import model, plan
from annexfleet_controller.notify.model import Audible, Item, Limits, Notice, Receiver, Route, Told
from annexfleet_controller.things import Audience, Incident, Severity, Thing

MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
"""A working day; annexes are open from 8:30 to 16:30, and Morocco keeps UTC."""
ALL: tuple[Audience, ...] = ("staff", "technician", "it")


def incident(number: int = 1, *, at: datetime = MONDAY, annex_id: str = "berkane-1", **changes: object) -> Incident:
    made = Incident(
        id=number, key=f"printer:{number}", kind="printer", cause="paper_jam", annex_id=annex_id,
        annexes=(annex_id,) if annex_id else (), thing=Thing("printer", f"{number:024x}"), began_at=at, opened_at=at,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def receiver(contact_id: int = 1, *routes: Route) -> Receiver:
    return Receiver(contact_id=contact_id, kind="email", routes=routes or (Route(audiences=ALL),))


class World:
    """Keeps the incidents and what was told, as the database would."""

    def __init__(self, *receivers: Receiver, limits: Limits = model.USUAL) -> None:
        self.receivers: Sequence[Receiver] = receivers or (receiver(),)
        self.limits = limits
        self.now = MONDAY
        self.incidents: dict[int, Incident] = {}
        self.asked: dict[int, datetime] = {}
        self.told: list[Told] = []
        self.keys: set[str] = set()

    def later(self, **by: float) -> "World":
        self.now += timedelta(**by)
        return self

    def opens(self, number: int = 1, *, severity: Severity = "warning", **changes: object) -> None:
        self.incidents[number] = incident(number, at=self.now, severity=severity, **changes)

    def becomes(self, number: int = 1, **changes: object) -> None:
        self.incidents[number] = msgspec.structs.replace(self.incidents[number], **changes)

    def resolves(self, number: int = 1) -> None:
        self.becomes(number, state="resolved", resolved_at=self.now)

    def asks(self, number: int = 1) -> None:
        """Somebody in the annex asks for help."""
        self.asked[number] = self.now

    def planned(self) -> list[Notice]:
        audibles = [Audible(one, frozenset(ALL) if one.state == "open" else frozenset(), self.asked.get(one.id))
                    for one in self.incidents.values()]  # fmt: skip
        return plan.plan(audibles, self.told, self.receivers, {}, now=self.now, limits=self.limits)

    def queue(self) -> list[Notice]:
        """Plan, and store what was planned."""
        new = [notice for notice in self.planned() if notice.dedupe_key not in self.keys]
        for notice in new:
            self.keys.add(notice.dedupe_key)
            self.told.append(Told(contact_id=notice.contact_id, kind=notice.kind, items=notice.items, state="queued",
                                  created_at=self.now))  # fmt: skip
        return new

    def deliver(self, *, state: model.NoticeState = "sent") -> list[Told]:
        """What became of everything queued; what holds no more is left out, as the sender does."""
        done = []
        for place, row in enumerate(self.told):
            if row.state != "queued":
                continue
            self.told[place] = self.ended(row, state)
            done.append(self.told[place])
        return [row for row in done if row.state == "sent"]

    def ended(self, row: Told, state: model.NoticeState) -> Told:
        """What became of a notice; what it says no more counts as dropped, as in the database."""
        still = tuple(one for one in row.items if not plan.stands_no_more(one, self.incidents[one.incident_id]))
        gone = tuple(one for one in row.items if one not in still)
        if still and gone:
            self.told.append(msgspec.structs.replace(row, items=gone, state="dropped", ended_at=self.now))
        return msgspec.structs.replace(
            row, state=state if still else "dropped", items=still or row.items, ended_at=self.now
        )

    def tell(self) -> list[str]:
        """Plan and deliver; what went out, as `contact kind incidents`."""
        self.queue()
        return [told(row) for row in self.deliver()]


def told(row: Told | Notice) -> str:
    return f"{row.contact_id} {row.kind} {' '.join(str(one.incident_id) for one in row.items)}"


__all__ = ["ALL", "MONDAY", "Item", "World", "incident", "receiver", "told"]
