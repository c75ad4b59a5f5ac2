"""Everything a person may see of one incident, in words: read once, shown by its page and by the API."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.alerts import answers, sight, words
from annexfleet_controller.alerts.words import RepairLine, Words
from annexfleet_controller.fixes import Claim
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import Guidance
from annexfleet_controller.notify import planning
from annexfleet_controller.notify.planning import Called
from annexfleet_controller.store import alerts, fixes, incidents, notices, readiness
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.things import Alert, Incident

MOST_ANNEXES = 5
"""Of an incident of more annexes, repairs are named for so many."""


class AlertLine(Struct, frozen=True):
    """One alert in words."""

    alert: Alert
    words: Guidance
    thing: str
    """What it is about, by its own name; empty where it has none."""
    annex: str
    """The name of the annex; empty where it belongs to none."""


class IncidentLine(Struct, frozen=True, kw_only=True):
    """One incident in words."""

    incident: Incident
    """As its reader may see it."""
    words: Guidance
    annexes: tuple[tuple[str, str], ...]
    """Id and name."""
    reason: str
    """Why it stands where it stands."""
    whole: bool
    """Whether nothing of it lies beyond its reader's annexes."""
    help_asked: Told | None = None


class StoryLine(Struct, frozen=True):
    line: Told
    text: str
    """What it says besides its kind and who wrote it; a note is as it was written."""


class Dossier(Struct, frozen=True, kw_only=True):
    """One incident with all that belongs to it."""

    of: IncidentLine
    causes: list[AlertLine]
    effects: list[AlertLine]
    story: list[StoryLine]
    """Oldest first."""
    repairs: list[RepairLine]
    said: list[notices.Said]
    """Who was told, or will be."""
    claim: Claim | None
    called: str
    """Whom the last call for help reached; empty if nobody asked."""


def read(db: Session, scope: Scope, incident_id: int, language: Language) -> Dossier:
    """Raises IncidentUnknown where there is none, or none in sight."""
    say = words.read(db, language)
    (line,) = lines(db, scope, [incidents.get(db, scope, incident_id)], say)
    found = [alert for alert in alerts.of_incident(db, incident_id) if _may_see(scope, alert)]
    about = words.facts_of(found)
    story = incidents.story(db, incident_id)
    if not line.whole:
        story = sight.near(db, scope, story, about)
    return Dossier(
        of=line,
        causes=[alert_line(alert, say) for alert in found if not alert.is_effect],
        effects=[alert_line(alert, say) for alert in found if alert.is_effect],
        story=[StoryLine(told, say.told(told, about)) for told in story],
        repairs=_repairs(db, line.incident, say) if line.incident.state == "open" else [],
        said=notices.about(db, incident_id) if line.whole else [],
        claim=fixes.of_incident(db, incident_id) if line.whole else None,
        called=say.called(reached) if line.whole and (reached := called(db, line)) else "",
    )


def called(db: Session, line: IncidentLine) -> Called | None:
    """Whom the last call for help reached, as far as is known by now; None if nobody asked."""
    return planning.called(db, line.incident, asked_at=line.help_asked.at) if line.help_asked else None


def lines(db: Session, scope: Scope, found: Sequence[Incident], say: Words) -> list[IncidentLine]:
    """Incidents in words, in their order."""
    asked = incidents.help_asked(db, [incident.id for incident in found if incident.state == "open"])
    return [_line(db, scope, incident, say, asked.get(incident.id)) for incident in found]


def alert_line(alert: Alert, say: Words) -> AlertLine:
    return AlertLine(
        alert, say.alert(alert), say.thing(alert.facts), say.place(alert.annex_id) if alert.annex_id else ""
    )


def _line(db: Session, scope: Scope, incident: Incident, say: Words, asked: Told | None) -> IncidentLine:
    whole = answers.is_whole_in_sight(scope, incident)
    shown = incident if whole else sight.narrowed(db, scope, incident)
    ids = shown.annexes or ((shown.annex_id,) if shown.annex_id else ())
    if asked is not None and not whole and not sight.near(db, scope, [asked], ()):
        asked = None
    return IncidentLine(
        incident=shown,
        words=say.incident(shown),
        annexes=tuple((annex_id, say.place(annex_id)) for annex_id in ids),
        reason=say.rank(shown.rank),
        whole=whole,
        help_asked=asked,
    )


def _may_see(scope: Scope, alert: Alert) -> bool:
    """What is wrong in the whole province may be seen by whoever it holds up; others' own trouble may not."""
    return scope.covers(alert.annex_id) or (not alert.annex_id and not alert.is_effect)


def _repairs(db: Session, incident: Incident, say: Words) -> list[RepairLine]:
    """Of the services that it blocks; those of several annexes may be the same."""
    if not incident.rank.services_blocked:
        return []
    found: list[RepairLine] = []
    for annex_id in incident.annexes[:MOST_ANNEXES]:
        of = readiness.now_of(db, annex_id).readiness
        found += [one for one in say.repairs(of, incident.rank.services_blocked) if one not in found]
    return found
