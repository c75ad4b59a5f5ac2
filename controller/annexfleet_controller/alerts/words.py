"""Alerts and incidents in the words of their reader, for pages, the API and the command line alike."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.i18n import formats
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import Guidance, guidance, has_guidance
from annexfleet_controller.notify.planning import Called
from annexfleet_controller.notify.texts import shown_facts
from annexfleet_controller.readiness.model import AnnexReadiness, Fix, Remedy
from annexfleet_controller.readiness.services import ServiceDefinition, catalogue
from annexfleet_controller.store import annexes, readiness
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.things import Alert, Facts, Incident, Rank, Thing

_CALLED = ("device", "printer", "portal", "service")
"""Facts that name a thing."""


class RepairLine(Struct, frozen=True):
    """Repairs that belong together."""

    repairs: tuple[Guidance, ...]
    restores: tuple[str, ...]
    """Names of services that come back with them."""


class Words:
    """What to say of alerts and incidents in one language.  Names of strangers come isolated within sentences."""

    def __init__(
        self, language: Language, services: Mapping[str, ServiceDefinition], places: Mapping[str, str]
    ) -> None:
        self.language = language
        self._services = services
        self._places = places

    def alert(self, alert: Alert) -> Guidance:
        """What is wrong, and what its reader can do; a rule without a cause goes by its own name."""
        cause = alert.cause if has_guidance(alert.cause) else ""
        words = guidance(self.language, cause, self.facts(alert.facts))
        return words if cause else Guidance(self.language.name("rule", alert.rule_id), words.action)

    def incident(self, incident: Incident) -> Guidance:
        """The same of an incident.  Where it is, is not said: that stands beside it."""
        return guidance(self.language, incident.cause, self.facts(incident.facts))

    def facts(self, facts: Facts) -> dict[str, str]:
        """Facts as guidance wants them: amounts written out, services by their names."""
        found = shown_facts(self.language, facts)
        if "services" in found:
            found["services"] = self.listed(self.service(code) for code in found["services"].split(",") if code)
        if "service" in found:
            found["queue"] = self.service(found["service"])
        if "part" in found and "colour" not in found:
            found["supply"] = found["part"]
        return found

    def thing(self, facts: Facts) -> str:
        """What trouble is about, by its own name; empty where it has none."""
        for name in _CALLED:
            if isinstance(called := facts.get(name), str) and called:
                return self.service(called) if name == "service" else called
        return ""

    def service(self, code: str) -> str:
        return self._services[code].name(self.language.code) if code in self._services else code

    def place(self, annex_id: str) -> str:
        """An annex's name; its id where it is gone."""
        return self._places.get(annex_id, annex_id)

    def listed(self, names: Iterable[str]) -> str:
        return self.language.gettext(", ").join(names)

    def rank(self, rank: Rank) -> str:
        """Why an incident stands where it stands: who waits, for what, since when."""
        ngettext, parts = self.language.ngettext, []
        people = min(round(rank.people_waiting), 10**9)
        if people and rank.people_estimated:
            words = ngettext("about %(num)s person waiting", "about %(num)s people waiting", people)
            parts.append(self._counted(words, people))
        elif people:
            parts.append(self._counted(ngettext("%(num)s person waiting", "%(num)s people waiting", people), people))
        if blocked := len(rank.services_blocked):
            words = ngettext("%(num)s service blocked", "%(num)s services blocked", blocked)
            parts.append(self._counted(words, blocked))
        elif degraded := len(rank.services_degraded):
            words = ngettext("%(num)s service with reduced means", "%(num)s services with reduced means", degraded)
            parts.append(self._counted(words, degraded))
        else:
            parts.append(self.language.gettext("no service is blocked"))
        if rank.minutes >= 1:
            lasted = formats.duration(self.language, round(rank.minutes) * 60)
            parts.append(self.language.gettext("for %(time)s of opening time") % {"time": lasted})
        return self.listed(parts)

    def called(self, called: Called) -> str:
        """Whom a call for help reached."""
        gettext, count = self.language.gettext, called.people_count
        if called.outcome == "told":
            return self._counted(
                self.language.ngettext("%(num)s person was told", "%(num)s people were told", count), count
            )
        if called.outcome == "later":
            return gettext("Nobody can be told at this moment; if it cannot wait, please phone")
        return gettext("Nobody can be told: no contact is set for this annex; please phone")

    def repairs(self, found: AnnexReadiness, services: Iterable[str] | None = None) -> list[RepairLine]:
        """The smallest repairs that bring services back, those that bring back most first; of all, or of some."""
        wanted = None if services is None else set(services)
        return [self._repair(found, remedy) for remedy in found.plan if wanted is None or wanted & set(remedy.restores)]

    def told(self, line: Told, about: Mapping[Thing, Facts]) -> str:
        """What one line of a story says besides its kind and who wrote it; `about` are the facts of things in sight."""
        facts, words = line.facts, self.language
        if "note" in facts:
            return str(facts["note"])
        if line.kind in _OWN_SENTENCES:
            return _OWN_SENTENCES[line.kind](words, facts)
        if isinstance(alerts := facts.get("alerts"), float):
            return self._counted(words.ngettext("%(num)s alert", "%(num)s alerts", round(alerts)), round(alerts))
        cause = str(facts.get("cause", ""))
        if not has_guidance(cause):
            return words.name("rule", str(facts["rule"])) if "rule" in facts else ""
        return guidance(words, cause, self.facts(about.get(_thing(facts), {}))).title

    def _repair(self, found: AnnexReadiness, remedy: Remedy) -> RepairLine:
        names = {
            leaf.thing: leaf.name
            for service in found.services for reason in service.reasons for leaf in (*reason.failing, *reason.unsure)
        }  # fmt: skip
        return RepairLine(
            tuple(guidance(self.language, fix.cause, self._facts_of(fix, names)) for fix in remedy.fixes),
            tuple(self.service(code) for code in remedy.restores),
        )

    def _facts_of(self, fix: Fix, names: Mapping[Thing, str]) -> dict[str, str]:
        name = self.place(fix.thing.id) if fix.thing.kind == "annex" else names.get(fix.thing, "")
        facts: dict[str, str] = {fix.thing.kind: name or fix.thing.id.split("/", 1)[-1]}
        if fix.part:
            facts["tray" if fix.cause.startswith(("paper", "tray")) else "colour"] = fix.part
        return facts

    def _counted(self, words: str, count: int) -> str:
        """With the number, where the plural form has a place for it: Arabic says "two services" without one."""
        return words % {"num": formats.number(self.language, count)}


def read(db: Session, language: Language) -> Words:
    """Words with the names of the services and annexes as they are now."""
    of = 1 if language.code == "ar" else 0
    named = {annex_id: names[of] for annex_id, names in annexes.names(db).items()}
    return Words(language, catalogue(readiness.own_services(db)), named)


def facts_of(alerts: Sequence[Alert]) -> dict[Thing, Facts]:
    """What is known of the things of these alerts."""
    return {alert.thing: alert.facts for alert in alerts}


def _of_notice(words: Language, facts: Facts) -> str:
    codes = {"notice_kind": facts.get("what"), "contact_kind": facts.get("channel")}
    return words.gettext(", ").join(words.name(kind, str(code)) for kind, code in codes.items() if code)


def _of_correction(words: Language, facts: Facts) -> str:
    kinds = {name: words.name("incident_kind", str(facts.get(name, ""))) for name in ("from", "to")}
    return words.gettext("%(to)s, not %(from)s") % kinds


def _of_times(words: Language, facts: Facts) -> str:
    began, ended = (_moment(words, facts.get(name)) for name in ("began_at", "ended_at"))
    if began and ended:
        return words.gettext("from %(start)s to %(end)s") % {"start": began, "end": ended}
    return words.gettext("Since %(moment)s.") % {"moment": began} if began else ""


def _of_end(words: Language, facts: Facts) -> str:
    return words.gettext("It belongs to another incident.") if facts.get("merged_into") else ""


_OWN_SENTENCES: dict[str, Callable[[Language, Facts], str]] = {
    "told": _of_notice,
    "escalated": _of_notice,
    "cause_corrected": _of_correction,
    "times_corrected": _of_times,
    "resolved": _of_end,
}
"""Kinds of lines that are not about one alert's cause."""


def _moment(words: Language, seconds: object) -> str:
    """Seconds since 1970 in words; empty for what is no moment."""
    if not isinstance(seconds, int | float) or not 0 < seconds < 2**33:
        return ""
    return formats.moment(words, datetime.fromtimestamp(seconds, UTC))


def _thing(facts: Facts) -> Thing:
    return Thing(str(facts.get("thing_kind", "")), str(facts.get("thing", "")))  # type: ignore[arg-type]
