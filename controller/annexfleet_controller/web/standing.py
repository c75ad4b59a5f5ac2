"""How an annex stands, in the words of its reader: what `readiness_parts.html` shows."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from urllib.parse import quote

from msgspec import Struct

from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import Guidance, guidance
from annexfleet_controller.readiness.availability import Span
from annexfleet_controller.readiness.model import CapabilityName, Fix, Leaf, Reason, Remedy, ServiceReadiness, State
from annexfleet_controller.readiness.services import ServiceDefinition
from annexfleet_controller.store.readiness import LONGEST_GAP, Found
from annexfleet_controller.things import Thing

_ORDER: tuple[State, ...] = ("blocked", "unknown", "degraded", "ready")
_FACT = {"device": "device", "printer": "printer", "portal": "portal", "queue": "queue", "annex": "annex"}
_MOST_THINGS = 6


class ThingLine(Struct, frozen=True):
    """A thing that fails, or of which nobody knows."""

    name: str
    causes: tuple[str, ...]
    """In words; empty where nobody knows."""
    href: str
    """Its page; empty if it has none."""


class ReasonLine(Struct, frozen=True):
    """A need that is not met, or not in full."""

    capability: CapabilityName
    state: State
    working: int
    unknown: int
    at_least: int
    full: int
    things: tuple[ThingLine, ...]
    more: int
    """Things besides those."""


class ServiceLine(Struct, frozen=True):
    code: str
    name: str
    state: State
    since: datetime | None
    reasons: tuple[ReasonLine, ...]
    repairs: tuple[Guidance, ...]
    """The smallest fix set."""
    proven: bool


class RemedyLine(Struct, frozen=True):
    repairs: tuple[Guidance, ...]
    restores: tuple[str, ...]
    """Names of services."""


class Standing(Struct, frozen=True):
    """An annex."""

    annex_id: str
    state: State
    is_open: bool
    at: datetime | None
    """None: nobody ever looked."""
    is_old: bool
    """Whether nobody has looked for so long that nothing of this can be believed."""
    services: tuple[ServiceLine, ...]
    plan: tuple[RemedyLine, ...]

    @property
    def counts(self) -> list[tuple[State, int]]:
        """How many services stand how, the worst first."""
        states = [service.state for service in self.services]
        return [(state, states.count(state)) for state in _ORDER if state in states]


def standing(
    found: Found,
    *,
    services: Mapping[str, ServiceDefinition],
    language: Language,
    annex_name: str,
    now: datetime,
    watched_until: datetime | None,
    spans: Mapping[str, Span] | None = None,
    portals: Mapping[str, str] | None = None,
) -> Standing:
    """What to show of an annex; `spans` are the open ones, which tell since when, and `portals` the id of a device that
    tells of each portal, by its name."""
    of, names = found.readiness, _Names(found, services, language, annex_name, portals or {})
    since = {code: span.since for code, span in (spans or {}).items() if code in {s.service for s in of.services}}
    lines = [names.service(service, since.get(service.service)) for service in of.services]
    return Standing(
        annex_id=of.annex_id,
        state=of.state,
        is_open=of.is_open,
        at=found.at,
        is_old=is_old(now, watched_until),
        services=tuple(sorted(lines, key=lambda line: _ORDER.index(line.state))),
        plan=tuple(names.remedy(remedy) for remedy in of.plan),
    )


def is_old(now: datetime, watched_until: datetime | None) -> bool:
    return watched_until is None or now - watched_until > max(LONGEST_GAP, timedelta(minutes=1))


class _Names:
    """Words for the codes and ids of one annex."""

    def __init__(
        self,
        found: Found,
        services: Mapping[str, ServiceDefinition],
        language: Language,
        annex_name: str,
        portals: Mapping[str, str],
    ) -> None:
        self._services, self._language, self._annex_name = services, language, annex_name
        self._annex_id, self._portals = found.readiness.annex_id, portals
        self._things = {
            leaf.thing: leaf.name
            for service in found.readiness.services
            for reason in service.reasons
            for leaf in (*reason.failing, *reason.unsure)
        }

    def service(self, of: ServiceReadiness, since: datetime | None) -> ServiceLine:
        return ServiceLine(
            code=of.service,
            name=self.service_name(of.service),
            state=of.state,
            since=since,
            reasons=tuple(self._reason(reason) for reason in of.reasons),
            repairs=self._repairs(of.fix_set),
            proven=of.fix_set_proven,
        )

    def service_name(self, code: str) -> str:
        return self._services[code].name(self._language.code) if code in self._services else code

    def remedy(self, of: Remedy) -> RemedyLine:
        return RemedyLine(self._repairs(of.fixes), tuple(self.service_name(code) for code in of.restores))

    def _reason(self, of: Reason) -> ReasonLine:
        leaves = [*of.failing, *of.unsure]
        return ReasonLine(
            capability=of.capability, state=of.state, working=of.working, unknown=of.unknown, at_least=of.at_least,
            full=of.full, things=tuple(self._thing(leaf) for leaf in leaves[:_MOST_THINGS]),
            more=max(0, len(leaves) - _MOST_THINGS),
        )  # fmt: skip

    def _thing(self, leaf: Leaf) -> ThingLine:
        causes = [guidance(self._language, fix.cause, _part(fix)).title for fix in sorted(leaf.fixes)]
        name = self._annex_name if leaf.thing.kind == "annex" else leaf.name
        return ThingLine(name, tuple(causes), self._href(leaf.thing))

    def _href(self, thing: Thing) -> str:
        """The page that tells of it; of a portal that of a device that looks at it."""
        name = thing.id.removeprefix(f"{self._annex_id}/")
        match thing.kind:
            case "device":
                return f"/devices/{thing.id}"
            case "printer":
                return f"/printers/{thing.id}?annex={self._annex_id}"
            case "queue":
                return f"/annexes/{self._annex_id}/queues/{quote(name)}"
            case "portal" if name in self._portals:
                return f"/devices/{self._portals[name]}"
            case _:
                return ""

    def _repairs(self, fixes: Iterable[Fix]) -> tuple[Guidance, ...]:
        return tuple(guidance(self._language, fix.cause, self._facts(fix)) for fix in fixes)

    def _facts(self, fix: Fix) -> dict[str, str]:
        return {_FACT.get(fix.thing.kind, "annex"): self._name(fix.thing), **_part(fix)}

    def _name(self, thing: Thing) -> str:
        if thing.kind == "annex":
            return self._annex_name
        return self._things.get(thing) or thing.id.split("/", 1)[-1]


def _part(fix: Fix) -> dict[str, str]:
    """The tray or the cartridge, as guidance has it."""
    if not fix.part:
        return {}
    return {"tray": fix.part} if fix.cause.startswith(("paper", "tray")) else {"colour": fix.part}
