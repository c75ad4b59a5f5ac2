"""What is open now, as several pages show it above everything else."""

from sqlalchemy.orm import Session

from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import dossier, rank, words
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import alerts, incidents
from annexfleet_controller.things import Thing

_MOST_INCIDENTS = 500
_MOST_ALERTS = 20


def of_annexes(
    db: Session, person: Person, language: Language, *, annex_id: str = ""
) -> dict[str, list[dossier.IncidentLine]]:
    """The open incidents of each annex in sight, or of one, the highest ranked first."""
    found = sorted(incidents.listing(db, person.scope, annex_id=annex_id, limit=_MOST_INCIDENTS), key=rank.order)
    of: dict[str, list[dossier.IncidentLine]] = {}
    for line in dossier.lines(db, person.scope, found, words.read(db, language)):
        for place in line.incident.annexes:
            of.setdefault(place, []).append(line)
    return of


def of_device(db: Session, person: Person, device_id: str, language: Language) -> list[dossier.AlertLine]:
    """What is wrong with a device, the newest first."""
    found = alerts.listing(db, person.scope, thing=Thing("device", device_id), limit=_MOST_ALERTS)
    say = words.read(db, language) if found else None
    return [dossier.alert_line(one, say) for one in found] if say else []
