"""The plan of supplies for whoever asks: forecasts, orders and visits of what is in their sight.

A forecast takes a millisecond or so, and a country has tens of thousands of supplies, whose levels are written down
once a day.  So forecasts of very many are kept for some minutes; the shelf and the troubles are always those of now.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.store import calendars, supplies
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.supplies import forecast, plan
from annexfleet_controller.supplies.forecast import SupplyForecast
from annexfleet_controller.supplies.plan import Plan
from annexfleet_controller.things import Incident

KEPT_FOR = timedelta(minutes=10)
MANY = 1_000
"""Of fewer supplies the forecast is made anew each time."""
_SIGHTS_KEPT = 8

_Key = tuple[frozenset[str] | None, str, float]
"""Annexes in sight, the one asked for, and the lead time in opening days."""


class _Kept(Struct, frozen=True):
    at: datetime
    found: list[SupplyForecast]


_kept: "WeakKeyDictionary[Engine, dict[_Key, _Kept]]" = WeakKeyDictionary()


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
    """Of all in sight, or of one annex.  `goes` says to which incidents a technician goes; days are opening days."""
    found = _forecasts(db, scope, now=now, lead_days=lead_days, annex_id=annex_id)
    incidents = supplies.open_incidents(db, scope, kinds=plan.VISITED_KINDS, annex_id=annex_id)
    # Nobody can say what of the province's shelf belongs to some of its annexes.
    shelf = {key: of.quantity for key, of in supplies.stock(db).items()} if scope.annexes is None else {}
    return plan.made(found, stock=shelf, incidents=incidents, goes=goes, horizon_days=horizon_days)


def _forecasts(db: Session, scope: Scope, *, now: datetime, lead_days: float, annex_id: str) -> list[SupplyForecast]:
    bind = db.get_bind()
    of_engine = _kept.setdefault(bind.engine, {})
    key = (None if scope.annexes is None else frozenset(scope.annexes), annex_id, lead_days)
    kept = of_engine.get(key)
    if kept is not None and timedelta(0) <= now - kept.at < KEPT_FOR:
        return kept.found
    since = (now - timedelta(days=forecast.LOOK_BACK_DAYS)).date()
    rows = supplies.series(db, scope, since=since, annex_id=annex_id)
    found = forecast.forecasts(rows, calendars.of_all(db), now, lead_days=lead_days)
    of_engine.pop(key, None)
    if len(found) >= MANY:
        of_engine[key] = _Kept(now, found)
        for old in [*of_engine][:-_SIGHTS_KEPT]:
            of_engine.pop(old, None)
    return found
