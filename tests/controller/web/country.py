"""Many annexes as the watch leaves them: numbers, readiness, incidents, a past; no device told any of it."""

from datetime import datetime, timedelta

from sqlalchemy import Engine
from tests.controller.web import standing, troubled

from annexfleet_controller.store import overview, readiness
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.overview import Moment, Numbers
from annexfleet_controller.store.tables.places import Annex, District

ANNEXES = 60


def country(engine: Engine, *, now: datetime, annexes: int = ANNEXES) -> None:
    """Two districts; annex-7 is blocked with a jam, annex-8 was never looked at, one in four has a silent device."""
    with writing(engine) as db:
        for name in ("oujda", "berkane"):
            db.add(District(id=name, name_fr=name.title(), name_ar=f"دائرة {name}", created_at=now))
        for n in range(annexes):
            district = ("oujda", "berkane", "")[n % 3]
            db.add(Annex(id=f"annex-{n}", name_fr=f"Annexe {n}", name_ar=f"الملحقة {n}", created_at=now,
                         district_id=district))  # fmt: skip
        db.flush()
        stands = {f"annex-{n}": standing.ready(f"annex-{n}") for n in range(annexes) if n != 8}
        stands["annex-7"] = standing.blocked("annex-7")
        readiness.write_now(db, stands, now=now)
        readiness.note(db, stands, now=now)
        numbers = {
            annex_id: Numbers(is_open=True, online=10, silent=int(n % 4 == 0), printers=2, ready=1, waiting=3.0)
            for n, annex_id in enumerate(stands)
        }
        overview.write(db, numbers, now=now)
        for hour in range(30):
            at = now - timedelta(hours=hour)
            moment = Moment(at=at, ready=9, degraded=0, blocked=1, unknown=0, waiting=float(hour), incidents=2)
            overview.remember(db, {"": moment, "annex-1": moment})
        troubled.jam(db, "annex-7", now=now)
