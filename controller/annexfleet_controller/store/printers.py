"""Printers by their identity, which says nothing of where they stand."""

import re
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AnnexUnknown, PrinterUnknown
from annexfleet_controller.store import annexes, fleet, sightings
from annexfleet_controller.store.fleet import SeenPrinter
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.alerts import AlertRow
from annexfleet_controller.store.tables.places import PrinterLabel
from annexfleet_controller.store.tables.printers import PrinterEvent
from annexfleet_controller.store.tables.supplies import SupplyDayRow

_IDENTITY = re.compile(r"[0-9a-f]{24}")


def find(db: Session, scope: Scope, printer_id: str, *, annex_id: str = "", now: datetime) -> SeenPrinter:
    """The printer of this identity (`state.printer_identity`), by what its annex's devices tell now.

    A link names the annex; without it, labels, supplies, troubles and alerts tell where such a printer stood, and where
    none of them knows, whatever devices named (`sightings`).

    Raises PrinterUnknown where there is none, or none in sight.
    """
    if _IDENTITY.fullmatch(printer_id):
        for place in _places(db, printer_id, annex_id):
            if scope.covers(place) and (seen := _in_annex(db, scope, printer_id, place, now)):
                return seen
        sighted = [] if annex_id else sightings.found(db, scope, "printers", now=now)
        for place in (one.annex_id for one in sighted if one.id == printer_id):
            if seen := _in_annex(db, scope, printer_id, place, now):
                return seen
    raise PrinterUnknown(f"no printer {printer_id!r}")


def place(db: Session, printer_id: str) -> str:
    """Room or counter, where somebody who labelled it said so; else empty."""
    return db.scalar(select(PrinterLabel.place).where(PrinterLabel.printer_id == printer_id)) or ""


def _places(db: Session, printer_id: str, annex_id: str) -> list[str]:
    if annex_id:
        return [annex_id]
    asked = (
        select(PrinterLabel.annex_id).where(PrinterLabel.printer_id == printer_id),
        select(SupplyDayRow.annex_id).where(SupplyDayRow.printer_id == printer_id).limit(1),
        select(PrinterEvent.annex_id).where(PrinterEvent.printer_id == printer_id).limit(1),
        select(AlertRow.annex_id).where(
            AlertRow.state != "cleared", AlertRow.thing_kind == "printer", AlertRow.thing_id == printer_id
        ).limit(1),
    )  # fmt: skip
    found = (db.scalar(query) for query in asked)
    return list(dict.fromkeys(place for place in found if place))


def _in_annex(db: Session, scope: Scope, printer_id: str, annex_id: str, now: datetime) -> SeenPrinter | None:
    try:
        annexes.get(db, scope, annex_id)
    except AnnexUnknown:
        return None
    rows = fleet.devices(db, scope, now=now, annex_id=annex_id)
    found = fleet.printers(rows, fleet.known(db, rows, collectors=["printers"]), now=now)
    return next((seen for seen in found if seen.id == printer_id), None)
