"""An annex with a jammed printer, its alert and its incident, and somebody who says that it is mended."""

from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.web import places
from tests.controller.web.places import Printed

from annexfleet_controller.alerts import claims
from annexfleet_controller.fixes import Claim
from annexfleet_controller.store import alerts, fleet, incidents, watches
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.readings import DeviceState
from annexfleet_controller.things import Alert, Incident, Thing

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Annex:
    """One annex with two counters that share a jammed printer, and a third that sees none; its alert and incident."""

    def __init__(self, engine: Engine, *, now: datetime = NOW) -> None:
        self.engine = engine
        self.now = now
        self.began_at = began_at = now - timedelta(seconds=300)
        with writing(engine) as db:
            places.annex(db, 1, now)
            for number in (1, 2, 3):
                places.device(db, number, "berkane-1", now=now, connected=number != 1)
            for number in (1, 2):
                places.printers(
                    db, number, [Printed("p", "stopped", ("paper_jam",), address="10.0.0.9:631")], at=began_at
                )
            rows = fleet.devices(db, WHOLE, now=now)
            known = fleet.known(db, rows, collectors=["printers"])
            self.printer = Thing("printer", fleet.printers(rows, known)[0].id)
            self.incident = incidents.save(db, [self.an_incident("printer", self.printer)])[0]
            self.alert = alerts.save(db, [self.an_alert(self.printer)])[0]
            self.effect = alerts.save(db, [self.an_alert(self.printer, rule_id="annex.degraded", is_effect=True)])[0]

    def an_incident(self, kind: str, thing: Thing) -> Incident:
        return Incident(
            key=f"{kind}:{thing.id}", kind=kind, cause="paper_jam", annex_id="berkane-1", thing=thing,  # type: ignore[arg-type]
            began_at=self.began_at, opened_at=self.now, facts={"printer": "p"},
        )  # fmt: skip

    def an_alert(self, thing: Thing, **more: object) -> Alert:
        whole = Alert(
            rule_id="printer.blocked", thing=thing, annex_id="berkane-1", state="open", cause="paper_jam",
            since=self.began_at, evidence_at=self.began_at, opened_at=self.now, incident_id=self.incident.id,
        )  # fmt: skip
        return msgspec.structs.replace(whole, **more)

    def resolve(self, *, at: datetime, now: datetime) -> None:
        """The devices tell that it is over, and the loop looks."""
        with writing(self.engine) as db:
            cleared = {"state": "cleared", "cleared_at": now, "evidence_at": at}
            alerts.save(db, [msgspec.structs.replace(one, **cleared) for one in (self.alert, self.effect)])
            incidents.save(db, [msgspec.structs.replace(self.incident, state="resolved", resolved_at=now)])
            claims.step(db, [], now=now)

    def claim(self, *, at: datetime = NOW, by: str = "amina") -> Claim:
        with writing(self.engine) as db:
            of = alerts.of_incident(db, self.incident.id)
            return claims.claim_fix(db, self.incident, of, by=by, now=at)

    def hear(self, number: int, at: datetime) -> None:
        with writing(self.engine) as db:
            row = db.get(DeviceState, number)
            assert row is not None
            row.heard_at = at

    def step(self, now: datetime, **alert: object) -> list[Claim]:
        live = [msgspec.structs.replace(self.alert, **alert)] if alert else self.live()
        with writing(self.engine) as db:
            return claims.step(db, live, now=now)

    def story(self) -> list[tuple[str, str, dict[str, object]]]:
        with reading(self.engine) as db:
            return [(told.kind, told.by, dict(told.facts)) for told in incidents.story(db, self.incident.id)]

    def watched(self, now: datetime) -> list[int]:
        with reading(self.engine) as db:
            return watches.watched(db, [device_id(n) for n in (1, 2, 3)], now=now)

    def live(self) -> list[Alert]:
        with reading(self.engine) as db:
            return alerts.live(db)
