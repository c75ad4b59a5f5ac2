"""Levels of supplies of the days before anybody wrote them down, from what devices told of their printers.

Changes are kept for months, so a province that begins to plan its supplies need not wait for its first forecast.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from annexfleet_controller import state, zones
from annexfleet_controller.store import changes, fleet, supplies
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.supplies import levels
from annexfleet_controller.things import SupplyDay

LOOK_BACK = timedelta(days=90)


def wanting(db: Session, annex_ids: Sequence[str]) -> list[str]:
    """Those of these annexes of which no level at all is kept before today's first."""
    return [annex_id for annex_id in annex_ids if supplies.days_kept(db, annex_id) < 2]


def supply_days(db: Session, annex_id: str, *, now: datetime) -> list[SupplyDay]:
    """The last level of each supply on each day but this, as the annex's devices told."""
    rows = fleet.devices(db, WHOLE, now=now, annex_id=annex_id)
    ids = {row.number: row.id for row in rows}
    found: dict[tuple[str, str, str], SupplyDay] = {}
    today = now.astimezone(zones.PROVINCE).date()
    told = changes.happenings(
        db, since=now - LOOK_BACK, kinds=("change",), collectors=("printers",), numbers=list(ids)
    )  # fmt: skip
    for row in told:
        day = row.at.astimezone(zones.PROVINCE).date()
        if day >= today:
            continue
        for printer in state.printers(state.merge([state.Part("printers", row.at, row.payload)])):
            identity = state.printer_identity(annex_id, ids[row.device_number], printer)
            for level in levels.of_printer(annex_id, identity, printer, day):
                if level.level_ratio is not None:
                    found[identity, level.supply, day.isoformat()] = level
    return list(found.values())
