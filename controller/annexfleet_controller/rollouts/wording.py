"""What is to be said of rollouts, in the words of a reader: the gate's reasons, the lines of a story, why one stands.

For pages, the API and the command line alike.  Sentences stand in the catalogues under a code and the facts that they
mention (`bad_results %(bad)s %(ended)s`); names of strangers come isolated.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from annexfleet_agent.protocol import metrics
from annexfleet_controller.i18n import formats, readings
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.direction import isolated
from annexfleet_controller.store.rollout_events import Event
from annexfleet_controller.waves.conduct import TURN_REASONS
from annexfleet_controller.waves.model import GateReason, GateVerdict

_SIGNS = "signs %(hits)s %(changed)s %(other_hits)s %(others)s"
_ENDED = "ended %(bad)s %(ended)s"
GATE_DETAILS: Mapping[str, str] = {
    "bad_results": _ENDED,
    "results_unclear": _ENDED,
    "bad_of_kind": _ENDED,
    "kind_unclear": _ENDED,
    "now_worse": _SIGNS,
    "now_unclear": _SIGNS,
    "since_worse": _SIGNS,
    "since_unclear": _SIGNS,
    "reading_worse": "moved %(by)s %(changed)s",
    "reading_grows": "grows %(by)s %(changed)s",
    "reading_unclear": "moved %(by)s %(changed)s",
    "still_unclear": "waited %(hours)s",
    "rolling": "under_way %(devices)s",
    "stragglers": "under_way %(devices)s",
    "soaking": "watched_until %(until)s",
    "clearing": "watched_until %(until)s",
    "not_watched": "not_watched %(devices)s %(changed)s",
    "well": "watched %(changed)s %(others)s",
}
"""By a reason's code, the id of the sentence that has its figures (context "gate_detail"); some have none."""

EVENT_DETAILS: Mapping[str, str] = {
    "submitted": "%(devices)s %(waves)s",
    "begun": "%(devices)s %(wave)s",
    "wave": "%(wave)s",
    "soaking": "%(wave)s",
}
"""By an event's kind, the facts of its sentence (context "rollout_event_detail")."""


class GateLine(Struct, frozen=True):
    """One ground of a verdict."""

    title: str
    about: str
    """What shows it, and on which devices if not on all: a sign, a reading, a model."""
    detail: str
    """The figures; empty where there are none."""


def grounds(language: Language, verdict: GateVerdict, *, places: Mapping[str, str], now: datetime) -> list[GateLine]:
    """The reasons of a verdict, in its order.  `places`: names of annexes by id."""
    return [
        GateLine(
            language.name("gate", reason.code), _about(language, reason, places), _figures(language, reason, now)
        )
        for reason in verdict.reasons
    ]  # fmt: skip


def held(language: Language, why: Mapping[str, Sequence[int]]) -> dict[int, str]:
    """Why each device whose turn it is has not been begun yet, by number.

    That it cannot be reached is not among them: its state says so.
    """
    return {
        number: language.name("rollout_target", code)
        for code, numbers in why.items()
        if code != "offline" and language.knows("rollout_target", code)
        for number in numbers
    }


def in_one_line(line: GateLine) -> str:
    """All of a ground, for the API and the console."""
    return ". ".join(part for part in (line.title, line.about, line.detail) if part)


def story(language: Language, event: Event) -> str:
    """What a line of the story says besides its kind and who; empty where that is all."""
    facts = event.facts
    if event.kind == "gate":
        codes = facts.get("codes")
        words = [language.name("gate", str(code)) for code in codes] if isinstance(codes, list) else []
        return language.gettext(", ").join([language.name("gate_word", str(facts.get("word", ""))), *words])
    named = EVENT_DETAILS.get(event.kind)
    if named is not None and all(name in facts for name in _names(named)):
        shown = {name: str(facts[name]) for name in _names(named)}
        return language.name("rollout_event_detail", f"{event.kind} {named}") % shown
    reason = facts.get("reason")
    return because(language, reason) if isinstance(reason, str) else ""


def because(language: Language, reason: str) -> str:
    """Why it was paused, stopped or ended: a code of the conductor's in words, or what a person wrote."""
    return language.name("rollout", reason) if reason in TURN_REASONS else reason


def _names(named: str) -> list[str]:
    return [part[2:-2] for part in named.split()]


def _about(language: Language, reason: GateReason, places: Mapping[str, str]) -> str:
    facts, parts = reason.facts, []
    sign = str(facts.get("sign", ""))
    if rule := str(facts.get("rule", "")):
        parts.append(language.name("rule", rule))
    if sign and not (rule and sign == "alert"):
        parts.append(language.name("gate_sign", sign))
    if metric := str(facts.get("metric", "")):
        parts.append(language.name("metric", metric))
    kind, value = str(facts.get("kind", "")), str(facts.get("value", ""))
    if value:
        named = places.get(value, value) if kind == "annex" else value
        named = language.name("device_role", value) if kind == "role" else named
        parts.append(f"{language.name('gate_kind', kind)} {isolated(named)}")
    return language.gettext(", ").join(parts)


def _figures(language: Language, reason: GateReason, now: datetime) -> str:
    named = GATE_DETAILS.get(reason.code)
    if named is None:
        return ""
    names = _names(named.partition(" ")[2])
    if any(name not in reason.facts for name in names):
        return ""  # of a version that told other facts
    shown = {name: _shown(language, name, reason, now) for name in names}
    return language.name("gate_detail", named) % shown


def _shown(language: Language, name: str, reason: GateReason, now: datetime) -> str:
    value = reason.facts[name]
    if name == "until":
        try:
            return isolated(formats.short_moment(language, datetime.fromisoformat(str(value)), now))
        except ValueError:
            return str(value)
    if name == "by" and isinstance(value, int | float):
        metric = str(reason.facts.get("metric", ""))
        return isolated(readings.text(language, metric, value) if metric in metrics.CATALOGUE else f"{value:.3g}")
    if name == "hours" and isinstance(value, int | float):
        return isolated(formats.duration(language, 3600 * value))
    return formats.number(language, value) if isinstance(value, int | float) else isolated(value)
