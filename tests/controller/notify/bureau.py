"""A province's trouble and contacts in a real database, and a sender whose channel is a list."""

from datetime import datetime
from pathlib import Path
from random import Random

import msgspec
from sqlalchemy import Engine, select
from tests.controller.notify.planning import MONDAY, incident
from tests.controller.site import TurnedClock

from annexfleet_controller.notify import planning
from annexfleet_controller.notify.channels import Destination, Message, Ways
from annexfleet_controller.notify.outcome import Outcome, sent
from annexfleet_controller.notify.send import Sender
from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import alerts, annexes, contacts, incidents, notices
from annexfleet_controller.store.contacts import NewContact, NewRoute
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.notices import NoticeRow
from annexfleet_controller.things import Alert, Incident, Thing

EVERYTHING = NewRoute(audiences="staff,technician,it", annexes=None, min_severity="info", hours="always")


class Bureau:
    """Where notices are planned and sent from."""

    def __init__(self, engine: Engine, *, annex_count: int = 1, **settings: object) -> None:
        self.engine = engine
        self.clock = TurnedClock()
        self.clock.at = MONDAY
        self.home = Home(Path("nowhere"), Settings(**settings))  # type: ignore[arg-type]
        self.delivered: list[tuple[Destination, Message]] = []
        self.answers: list[Outcome] = []
        self.sender = self.new_sender()
        with writing(engine) as db:
            for number in range(1, annex_count + 1):
                annexes.create(
                    db, f"berkane-{number}", name_fr=f"Annexe {number}", name_ar=f"الملحقة {number}", now=MONDAY
                )

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def new_sender(self) -> Sender:
        return Sender(self.engine, self.home.settings, clock=self.clock, deliver=self._deliver, chance=Random(1))

    def _deliver(self, message: Message, to: Destination, ways: Ways, *, now: datetime) -> Outcome:
        outcome = self.answers.pop(0) if self.answers else sent()
        if outcome.result == "sent":
            self.delivered.append((to, message))
        return outcome

    def contact(self, name: str = "amina", *routes: NewRoute, **changes: object) -> int:
        new = NewContact(name=name, kind="email", address=f"{name}@example.ma", language="fr")
        with writing(self.engine) as db:
            new = msgspec.structs.replace(new, **changes)
            return contacts.create(db, new, routes or (EVERYTHING,), by="test", now=self.now).id

    def trouble(self, number: int = 1, *, rule_id: str = "printer.blocked", **changes: object) -> Incident:
        """An incident with one open alert, stored."""
        with writing(self.engine) as db:
            new = msgspec.structs.replace(incident(number, at=self.now, **changes), id=0)
            (stored,) = incidents.save(db, [new])
            alert = Alert(
                rule_id=rule_id, thing=Thing(stored.thing.kind, stored.thing.id), annex_id=stored.annex_id,
                state="open", since=self.now, evidence_at=self.now, opened_at=self.now, incident_id=stored.id,
            )  # fmt: skip
            alerts.save(db, [alert])
            return stored

    def change(self, of: Incident, **changes: object) -> Incident:
        """Store another state of an incident; its alerts clear with its end."""
        changed = msgspec.structs.replace(of, **changes)
        with writing(self.engine) as db:
            incidents.save(db, [changed])
            if changed.state == "resolved":
                cleared = [msgspec.structs.replace(one, state="cleared", cleared_at=self.now)
                           for one in alerts.of_incident(db, of.id)]  # fmt: skip
                alerts.save(db, cleared)
        return changed

    def resolve(self, of: Incident) -> Incident:
        return self.change(of, state="resolved", resolved_at=self.now, ended_at=self.now)

    def plan(self) -> int:
        return planning.plan_notices(self.engine, Ruleset(), {}, now=self.now)

    def send(self) -> list[str]:
        """Plan and send what is due; the subjects that went out."""
        self.plan()
        before = len(self.delivered)
        while self.sender.step():
            pass
        return [message.subject for _, message in self.delivered[before:]]

    def rows(self) -> list[NoticeRow]:
        with reading(self.engine) as db:
            return list(db.scalars(select(NoticeRow).order_by(NoticeRow.id)))

    def states(self) -> list[str]:
        return [row.state for row in self.rows()]

    def queue_test(self, contact_id: int) -> int:
        with writing(self.engine) as db:
            new = notices.NewNotice(contact_id=contact_id, kind="test", due_at=self.now, dedupe_key=f"{contact_id}/t")
            return notices.queue(db, [new], now=self.now)[0]
