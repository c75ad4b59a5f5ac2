"""A storm on a real database: lines are cut, the portal fails for everybody, and printers jam, all within a minute."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct
from sqlalchemy import select
from tests.bench.country import Country

from annexfleet_controller.alerts.watcher import Watcher
from annexfleet_controller.notify.plan import USUAL
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import contacts
from annexfleet_controller.store.contacts import NewContact, NewRoute
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.alerts import AlertRow, IncidentRow
from annexfleet_controller.store.tables.notices import NoticeRow

CONTACTS = 5
ALLOWED_IN_TEN_MINUTES = USUAL.burst + 1
"""Of one receiver: three notices by themselves, and what is more in one digest."""
MINUTES = 6


class Storm(Struct):
    """What came of it."""

    opened_in_a_minute: int
    """The most alerts that opened within one."""
    incidents: Counter[str]
    """New ones, by kind; those that turned out to be part of another are not counted."""
    keys: list[str]
    notices: Counter[int]
    """Queued, by contact."""
    incidents_told: int
    """How many incidents those notices speak of."""
    lines_cut: int
    printers_jammed: int


def storm(path: Path, annexes: int) -> Storm:
    """A country in which two annexes of seven lose their line, and in all others every printer jams."""
    country = Country(path, annexes)
    (path / "home").mkdir()
    with writing(country.engine) as db:
        for number in range(CONTACTS):
            route = NewRoute(audiences="staff,technician,it", annexes=None, min_severity="warning", hours="always")
            new = NewContact(name=f"person {number}", kind="email", address=f"p{number}@example.ma", language="fr")
            contacts.create(db, new, [route], by="bench", now=country.clock.now())
    watcher = Watcher(country.engine, Home(path / "home", Settings()), clock=country.clock)
    for _ in range(3):
        _look(country, watcher, 61)
    before, began = _incident_keys(country), country.clock.now()

    cut = range(annexes * 2 // 7)
    rest = range(len(cut), annexes)
    country.cut_off(cut)
    _look(country, watcher, 30)
    _look(country, watcher, 30)
    country.breaks("printers", rest)
    country.breaks("portal", rest)
    for _ in range(MINUTES * 2 - 2):
        _look(country, watcher, 30)

    with reading(country.engine) as db:
        opened = sorted(at for at in db.scalars(select(AlertRow.opened_at)) if at is not None and at > began)
        rows = db.scalars(select(IncidentRow)).all()
        queued = db.scalars(select(NoticeRow).where(NoticeRow.created_at > began)).all()
    new = [row for row in rows if row.key not in before and "merged_into" not in row.facts]
    printers = {seen.id for of in watcher.judged.values() for seen in of.view.printers}
    jammed = {key.removeprefix("printer:") for key in before if key.startswith("printer:")}
    cut_ids = {country.annex_id(place) for place in cut}
    of_cut = {seen.id for annex, of in watcher.judged.items() if annex in cut_ids for seen in of.view.printers}
    return Storm(
        opened_in_a_minute=_most_within(opened, timedelta(minutes=1)), incidents=Counter(row.kind for row in new),
        keys=[row.key for row in new], notices=Counter(row.contact_id for row in queued),
        incidents_told=len(new), lines_cut=len(cut), printers_jammed=len(printers - of_cut - jammed),
    )  # fmt: skip


def _look(country: Country, watcher: Watcher, seconds: float) -> None:
    country.clock.at += seconds
    country.listens()
    country.all_beat()
    watcher.tick()


def _incident_keys(country: Country) -> set[str]:
    with reading(country.engine) as db:
        return set(db.scalars(select(IncidentRow.key)))


def _most_within(moments: Sequence[datetime], span: timedelta) -> int:
    most = first = 0
    for last, at in enumerate(moments):
        while at - moments[first] > span:
            first += 1
        most = max(most, last - first + 1)
    return most
