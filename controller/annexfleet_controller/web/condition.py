"""How a device, a printer or a queue stands, in one sentence that comes before every figure."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from annexfleet_controller import state
from annexfleet_controller.alerts import words
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import Guidance, guidance
from annexfleet_controller.store import fleet
from annexfleet_controller.things import SEVERITIES, Alert, Thing

STATES = ("ready", "degraded", "blocked", "unknown", "maintenance")


class Condition(Struct, frozen=True, kw_only=True):
    """What is shown first."""

    state: str
    """One of STATES: how it looks."""
    title: str = ""
    """What is wrong; empty where nothing is."""
    action: str = ""
    since: datetime | None = None
    waiting: int = 0
    """People who wait meanwhile; 0 also where nobody counts them."""
    more: int = 0
    """How many other troubles there are."""
    incident_id: int | None = None
    last: str = ""
    """How it was when that was known last; where it is not empty, nobody can tell since `since`."""


def of_trouble(alerts: Sequence[Alert], say: words.Words | None, queues: Sequence[fleet.SeenQueue]) -> Condition | None:
    """The worst of what is open, the oldest of equals, with the people who wait meanwhile; None where nothing is."""
    ordered = sorted(alerts, key=lambda a: (a.is_effect, -SEVERITIES.index(a.severity), a.since))
    if not ordered or say is None:
        return None
    worst = ordered[0]
    said = say.alert(worst)
    waits = [q.queue.waiting for q in queues if q.queue.waiting is not None and not q.queue.stale]
    return Condition(
        state={"critical": "blocked", "warning": "degraded"}.get(worst.severity, "ready"),
        title=said.title, action=said.action, since=worst.since,
        waiting=round(min(sum(waits), 1e6)) if worst.severity == "critical" else 0,
        more=len(ordered) - 1, incident_id=worst.incident_id,
    )  # fmt: skip


def of_things(alerts: Sequence[Alert], say: words.Words) -> dict[Thing, Condition]:
    """The worst of what is open about each thing."""
    about: dict[Thing, list[Alert]] = {}
    for alert in alerts:
        about.setdefault(alert.thing, []).append(alert)
    return {thing: worst for thing, of in about.items() if (worst := of_trouble(of, say, ())) is not None}


def of_printer(
    seen: fleet.SeenPrinter, alerts: Sequence[Alert], say: words.Words | None, language: Language, *, now: datetime
) -> Condition:
    """What the printer itself tells comes first: it may be newer than any alert.

    Where nobody that sees it can be heard, nothing of it is known, whatever was told last.
    """
    printer = seen.printer
    causes = [cause for cause in printer.causes if cause not in state.QUIET_CAUSES]
    since = min((alert.since for alert in alerts), default=None)
    incident_id = next((alert.incident_id for alert in alerts if alert.incident_id), None)
    unknown_since = seen.unknown_since(now)
    if unknown_since is not None:
        last = last_of_printer(printer, language)
        return Condition(state="unknown", since=unknown_since, last=last, incident_id=incident_id)
    if causes:
        worst = printer.worst_cause
        said = cause_in_words(language, worst, printer)
        about = [alert for alert in alerts if alert.cause == worst]
        return Condition(
            state="blocked" if printer.blocked else "degraded", title=said.title, action=said.action,
            since=min((alert.since for alert in about), default=None), more=len(causes) - 1, incident_id=incident_id,
        )  # fmt: skip
    if alerts and say is not None:
        found = of_trouble(alerts, say, ())
        assert found is not None  # there is an alert
        return found
    if printer.missing or printer.state == "unknown":
        return Condition(state="unknown", since=since)
    if printer.in_trouble:
        return Condition(state="blocked", title=language.name("word", printer.state), since=since)
    return Condition(state="ready")


def last_of_printer(printer: state.Printer, language: Language) -> str:
    """How a printer was when it was told of last: its worst cause, else its state."""
    return language.name("cause", printer.worst_cause) if printer.worst_cause else language.name("word", printer.state)


def cause_in_words(language: Language, cause: str, printer: state.Printer) -> Guidance:
    """A cause as this printer has it: with the tray or the colour where only one can be meant."""
    facts = {"printer": printer.name}
    empty = [tray for tray in printer.trays if tray.ratio is not None and tray.ratio <= 0.02]
    low = [supply for supply in printer.supplies if supply.ratio is not None and supply.ratio <= 0.1]
    if cause.startswith(("paper", "tray")) and len(empty) == 1:
        facts |= {"tray": empty[0].name, "media": empty[0].media}
    if cause.startswith(("toner", "cartridge")) and len(low) == 1:
        facts |= {"colour": low[0].colour, "supply": low[0].kind}
    return guidance(language, cause, {name: value for name, value in facts.items() if value})
