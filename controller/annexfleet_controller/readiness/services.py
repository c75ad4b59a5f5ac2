"""What citizens come for, and what each service needs: data, for the province, with an annex's own word over it.

A need without a list of things is about what the annex has: "one printer" is one of those that its counters see.  Of
what an annex has none at all, nothing is needed, unless the need is `required`: an office without a printer is none
that is for ever blocked.  An office that has no counters is served by its kiosks, or its tablets.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from annexfleet_controller.readiness.leaves import Leaves, missing
from annexfleet_controller.readiness.model import All, CapabilityName, Leaf, Need
from annexfleet_controller.things import Thing


class NeedDefinition(Struct, frozen=True, kw_only=True):
    """What a service needs, before one knows what an annex has."""

    capability: CapabilityName
    at_least: int | None = 1
    """With fewer it cannot be provided; None is all of them."""
    full: int | None = None
    """With fewer it is degraded; None is all of them."""
    of: tuple[str, ...] = ()
    """These things and no others: ids of devices and printers, names of portals, codes of queues."""
    required: bool = False
    """Whether an annex that has nothing of the kind is unknown, instead of not needing it."""
    instead: tuple[CapabilityName, ...] = ()
    """In an annex that has nothing of the kind, the first of these that it has."""


class ServiceDefinition(Struct, frozen=True, kw_only=True):
    """A service as the province knows it."""

    code: str
    name_fr: str = ""
    name_ar: str = ""
    name_en: str = ""
    needs: tuple[NeedDefinition, ...] | None = None
    """None: what every service needs, DEFAULT_NEEDS."""

    def name(self, language: str) -> str:
        """In this language, or else in French, or else its code."""
        own = {"fr": self.name_fr, "ar": self.name_ar, "en": self.name_en}.get(language, "")
        return own or self.name_fr or self.code


class Override(Struct, frozen=True, kw_only=True):
    """What one annex says of one service."""

    offered: bool | None = None
    """None: as its queues tell."""
    needs: tuple[NeedDefinition, ...] | None = None
    """None: as in the province."""


DEFAULT_NEEDS: tuple[NeedDefinition, ...] = (
    NeedDefinition(capability="counter", instead=("kiosk", "tablet")),
    NeedDefinition(capability="print"),
    NeedDefinition(capability="portal", at_least=None),
)

RECEPTION = "reception"
"""What an annex offers that counts nobody and has no list of its own."""

CATALOGUE: tuple[ServiceDefinition, ...] = (
    ServiceDefinition(
        code="residence", name_fr="Attestation de résidence", name_ar="شهادة السكنى", name_en="Residence certificate"
    ),
    ServiceDefinition(code="etat-civil", name_fr="État civil", name_ar="الحالة المدنية", name_en="Civil status"),
    ServiceDefinition(
        code="legalisation",
        name_fr="Légalisation de signature",
        name_ar="تصحيح الإمضاء",
        name_en="Legalisation of signatures",
    ),
    ServiceDefinition(
        code="copie-conforme",
        name_fr="Copie certifiée conforme",
        name_ar="مطابقة النسخ لأصولها",
        name_en="Certified copies",
    ),
    ServiceDefinition(
        code="cnie", name_fr="Carte nationale", name_ar="البطاقة الوطنية", name_en="National identity card"
    ),
    ServiceDefinition(code="passeport", name_fr="Passeport", name_ar="جواز السفر", name_en="Passport"),
    ServiceDefinition(code=RECEPTION, name_fr="Accueil du public", name_ar="استقبال المرتفقين", name_en="Reception"),
)


def catalogue(own: Iterable[ServiceDefinition]) -> dict[str, ServiceDefinition]:
    """The services of a province by code: those that it edited, and the others as they come."""
    found = {service.code: service for service in CATALOGUE}
    found.update((service.code, service) for service in own)
    return found


def offered(queues: Iterable[str], overrides: Mapping[str, Override]) -> tuple[str, ...]:
    """The codes of the services that an annex offers, whose queues are for these services.

    A queue of which the catalogue knows nothing is a service all the same.  Reception, if that leaves none at all.
    """
    codes = dict.fromkeys(sorted(queues))
    codes.update(dict.fromkeys(sorted(code for code, override in overrides.items() if override.offered)))
    found = tuple(code for code in codes if code not in overrides or overrides[code].offered is not False)
    if found or any(override.offered is not None for override in overrides.values()):
        return found
    return (RECEPTION,)


def trees(
    leaves: Leaves,
    *,
    annex_id: str,
    queues: Iterable[str],
    known: Mapping[str, ServiceDefinition],
    overrides: Mapping[str, Override],
) -> dict[str, All]:
    """What each service that the annex offers rests on, by code; services with the same needs share one tree."""
    built: dict[tuple[NeedDefinition, ...], All] = {}
    found = {}
    for code in offered(queues, overrides):
        needs = needs_of(code, known, overrides)
        if needs not in built:
            built[needs] = _tree(needs, leaves, annex_id)
        found[code] = built[needs]
    return found


def needs_of(
    code: str, known: Mapping[str, ServiceDefinition], overrides: Mapping[str, Override]
) -> tuple[NeedDefinition, ...]:
    """By the annex's own word, else the province's, else what every service needs."""
    own = overrides.get(code)
    if own is not None and own.needs is not None:
        return own.needs
    service = known.get(code)
    return DEFAULT_NEEDS if service is None or service.needs is None else service.needs


def _tree(needs: Iterable[NeedDefinition], leaves: Leaves, annex_id: str) -> All:
    return All(tuple(need for of in needs if (need := _need(of, leaves, annex_id)) is not None))


def _need(need: NeedDefinition, leaves: Leaves, annex_id: str) -> Need | None:
    capability, of = need.capability, _things(need, leaves)
    if not of and not need.of:
        for other in need.instead:
            if other in leaves.by_capability:
                capability, of = other, leaves.by_capability[other]
                break
    if not of:
        if not need.required:
            return None
        of = (Leaf(Thing("annex", annex_id), "", "unknown"),)
    return Need(capability, len(of) if need.at_least is None else need.at_least, of, need.full)


def _things(need: NeedDefinition, leaves: Leaves) -> tuple[Leaf, ...]:
    if not need.of:
        return leaves.by_capability.get(need.capability, ())
    return tuple(leaves.by_id.get(thing) or missing(thing) for thing in need.of)
