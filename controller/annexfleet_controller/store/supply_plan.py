"""The plan of supplies for whoever asks: forecasts, orders and visits of what is in their sight.

A forecast takes a millisecond or so, and a country has tens of thousands of supplies, whose levels are written down
once a day.  So those of a province with very many are kept, and everybody is shown of them what is in their sight; the
web process has them made anew beside it (`web.beside`), so that nobody waits.  The shelf and the troubles are always
those of now.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.store import calendars, incidents, supplies
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.supplies import forecast, plan
from annexfleet_controller.supplies.forecast import SupplyForecast
from annexfleet_controller.supplies.plan import Plan
from annexfleet_controller.things import Incident

KEPT_FOR = timedelta(hours=1)
"""After that somebody has to wait: whoever made them anew does not any more."""
MANY = 150
"""Of a province with fewer supplies forecasts are made anew each time."""
FEW_ANNEXES = 5
"""And those of so few annexes, always."""


class _Kept(Struct, frozen=True):
    at: datetime
    found: list[SupplyForecast]


_kept: "WeakKeyDictionary[Engine, dict[float, _Kept]]" = WeakKeyDictionary()
"""By lead time in opening days; each of the whole province."""


def made(
    db: Session,
    scope: Scope,
    *,
    now: datetime,
    goes: Callable[[Incident], bool],
    lead_days: float,
    horizon_days: float,
    annex_id: str = "",
) -> Plan:
    """Of all in sight, or of one annex.  Days are opening days.

    `goes` says to which incidents of printers and devices a technician goes; where people asked for help somebody
    comes whatever it is.
    """
    found = _forecasts(db, scope, now=now, lead_days=lead_days, annex_id=annex_id)
    standing = supplies.open_incidents(db, scope, kinds=None, annex_id=annex_id)
    asked = incidents.help_asked(db, [incident.id for incident in standing])
    # Nobody can say what of the province's shelf belongs to some of its annexes.
    shelf = {key: of.quantity for key, of in supplies.stock(db).items()} if scope.annexes is None else {}

    def comes(incident: Incident) -> bool:
        return incident.id in asked or (incident.kind in plan.VISITED_KINDS and goes(incident))

    return plan.made(found, stock=shelf, incidents=standing, goes=comes, horizon_days=horizon_days)


def are_many(db: Session, *, now: datetime) -> bool:
    """Whether forecasts are kept: a province with fewer supplies needs none made beforehand."""
    return supplies.count(db, since=(now - forecast.GONE_AFTER).date(), at_most=MANY) >= MANY


def of_all(db: Session, *, now: datetime, lead_days: float) -> list[SupplyForecast]:
    """Forecasts of every supply of the province, made anew."""
    return _made(db, WHOLE, now=now, lead_days=lead_days, annex_id="")


def keep(engine: Engine, found: list[SupplyForecast], *, now: datetime, lead_days: float) -> None:
    """What somebody made of the whole province is shown from now on."""
    # One lead time a controller: what was made for another before the settings changed goes.
    _kept[engine] = {lead_days: _Kept(now, found)}


def _forecasts(db: Session, scope: Scope, *, now: datetime, lead_days: float, annex_id: str) -> list[SupplyForecast]:
    if annex_id or (scope.annexes is not None and len(scope.annexes) <= FEW_ANNEXES):
        return _made(db, scope, now=now, lead_days=lead_days, annex_id=annex_id)
    engine = db.get_bind().engine
    kept = _kept.get(engine, {}).get(lead_days)
    if kept is not None and timedelta(0) <= now - kept.at < KEPT_FOR:
        return [of for of in kept.found if scope.covers(of.newest.annex_id)]
    found = _made(db, scope, now=now, lead_days=lead_days, annex_id="")
    if scope.annexes is None and len(found) >= MANY:
        keep(engine, found, now=now, lead_days=lead_days)
    return found


def _made(db: Session, scope: Scope, *, now: datetime, lead_days: float, annex_id: str) -> list[SupplyForecast]:
    since = (now - timedelta(days=forecast.LOOK_BACK_DAYS)).date()
    rows = supplies.series(db, scope, since=since, annex_id=annex_id)
    return forecast.forecasts(rows, calendars.of_all(db), now, lead_days=lead_days)
