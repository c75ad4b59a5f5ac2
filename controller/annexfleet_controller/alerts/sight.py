"""What is told of an incident that reaches beyond its reader's annexes: what is wrong there, and nothing of the others.

That it is wider than what one sees is said; where else, whom it holds up there and what people there wrote is not.
"""

from collections.abc import Collection, Sequence

from msgspec import structs
from sqlalchemy.orm import Session

from annexfleet_controller.store import people, readiness
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.things import Facts, Incident, Rank, Thing

_OF_CONTACTS = frozenset({"told", "escalated"})
_OF_AN_ANNEX = frozenset({"annex", "portal", "queue"})
"""Things whose id begins with their annex."""


def narrowed(db: Session, scope: Scope, incident: Incident) -> Incident:
    """The incident as these annexes know it.

    Its rank counts services that are blocked or degraded there now, and no people: nobody counted those apart.
    """
    seen = tuple(annex_id for annex_id in incident.annexes if scope.covers(annex_id))
    states: dict[str, set[str]] = {"blocked": set(), "degraded": set()}
    for annex_id in seen:
        for service in readiness.now_of(db, annex_id).readiness.services:
            states.setdefault(service.state, set()).add(service.service)
    rank = Rank(
        services_blocked=tuple(one for one in incident.rank.services_blocked if one in states["blocked"]),
        services_degraded=tuple(one for one in incident.rank.services_degraded if one in states["degraded"]),
        minutes=incident.rank.minutes,
    )
    here = structs.replace(
        incident, annexes=seen, annex_id=incident.annex_id if scope.covers(incident.annex_id) else "", rank=rank
    )
    if _is_elsewhere(scope, incident):
        facts: Facts = {"portal": incident.facts["portal"]} if "portal" in incident.facts else {}
        here = structs.replace(here, thing=_nowhere(incident.thing), facts=facts)
    return here


def near(db: Session, scope: Scope, story: Sequence[Told], things: Collection[Thing]) -> list[Told]:
    """The lines of a story that speak of nothing beyond these annexes: of `things`, or by people who see no others."""
    known = {(str(thing.kind), thing.id) for thing in things}
    scopes = people.scopes(db, {told.by for told in story if told.by})
    return [
        told
        for told in story
        if told.kind not in _OF_CONTACTS
        and _is_of(known, told)
        and (not told.by or (told.by in scopes and _is_within(scopes[told.by], scope)))
    ]


def _is_of(known: Collection[tuple[str, str]], told: Told) -> bool:
    return "thing" not in told.facts or (str(told.facts.get("thing_kind")), str(told.facts["thing"])) in known


def _is_within(author: Scope, reader: Scope) -> bool:
    """Whether an author knows no more than the reader; who sees the whole province writes for all of it."""
    return author.annexes is None or reader.annexes is None or author.annexes <= reader.annexes


def _is_elsewhere(scope: Scope, incident: Incident) -> bool:
    """Whether what it is named after lies in another annex."""
    place = incident.annex_id
    if incident.thing.kind in _OF_AN_ANNEX:
        place = incident.thing.id.partition("/")[0]
    return place not in {"", "*"} and not scope.covers(place)


def _nowhere(thing: Thing) -> Thing:
    return Thing(thing.kind, f"*/{thing.id.partition('/')[2]}" if thing.kind in {"portal", "queue"} else "")
