"""What a board shows, thought out for people who look at it while somebody stands before them.

At most three things that they can do themselves, then what others do about the rest, then who waits and what comes
tonight.  What is not known is said to be not known: a calm board stands only on readiness that was looked at just now.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller import fixes
from annexfleet_controller.access.links import Visitor
from annexfleet_controller.alerts import answers, dossier
from annexfleet_controller.alerts.words import Words
from annexfleet_controller.fixes import Claim
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import Guidance, guidance, who
from annexfleet_controller.i18n.steps import Picture, picture, steps
from annexfleet_controller.notify import planning
from annexfleet_controller.readiness.services import ServiceDefinition, catalogue
from annexfleet_controller.store import fixes as claims
from annexfleet_controller.store import fleet, incidents, links, readiness
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.things import Incident
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.standing import ServiceLine, standing

MOST_TASKS = 3
MOST_OTHERS = 5
_MOST_INCIDENTS = 40
SHOWN_AFTERWARDS = timedelta(minutes=10)
"""How long it is shown that something was fixed."""

CLAIM_AGAIN_AFTER = timedelta(minutes=2)
"""Only so long after an answer is the same said to be fixed by a link again: each claim has devices watched."""

Mood = Literal["tasks", "others", "well", "weak", "unknown"]
"""What the board says first: there is something to do; others are at it; all works; less works than should, and
nothing is known to be wrong; nobody can tell."""


class Task(Struct, frozen=True, kw_only=True):
    """Something that is wrong, with what whoever reads it can do."""

    incident: Incident
    words: Guidance
    steps: tuple[str, ...]
    picture: Picture
    place: str
    """Where the thing stands; empty where nobody said."""
    claim: Claim | None
    """What became of "it is fixed", if somebody said so."""
    still: Guidance | None
    """What is said of a claim that was not confirmed."""
    may_claim: bool
    helped: Told | None
    """Who asked for help last."""
    may_ask: bool
    called: str
    """Whom that reached; empty if nobody asked."""

    @property
    def checking(self) -> bool:
        return self.claim is not None and self.claim.outcome == "checking"

    @property
    def is_done(self) -> bool:
        return self.claim is not None and self.claim.outcome == "confirmed"


class Other(Struct, frozen=True):
    """Something that is wrong and that nobody at the annex can end."""

    words: Guidance
    picture: Picture
    since: datetime
    taken: bool
    """Whether somebody takes care of it."""


class Done(Struct, frozen=True):
    """Something that somebody fixed a moment ago."""

    title: str
    at: datetime


class Waiting(Struct, frozen=True):
    """One queue of people."""

    service: str
    people: int | None
    """None: not known now."""
    longest_s: float | None
    since: datetime | None = None
    """Since when it is not known, where that is because nothing fresh comes."""
    last: int | None = None
    """How many waited then."""


class Shown(Struct, frozen=True, kw_only=True):
    """The upper part of a board."""

    mood: Mood
    tasks: list[Task]
    more: int
    """Things to do besides those."""
    others: list[Other]
    more_others: int
    done: list[Done]
    services: tuple[ServiceLine, ...]
    waiting: list[Waiting]
    is_open: bool

    @property
    def checking(self) -> bool:
        return any(task.checking for task in self.tasks)

    @property
    def to_do(self) -> int:
        """How many of the tasks still wait for somebody's hand."""
        return sum(not task.checking and not task.is_done for task in self.tasks)


def shown(db: Session, visitor: Visitor, place: Annex, language: Language, *, now: datetime) -> Shown:
    """What a board shows now."""
    say = words_of(db, place, language)
    found = incidents.listing(db, visitor.scope, annex_id=place.id, limit=_MOST_INCIDENTS)
    lines = dossier.lines(db, visitor.scope, [one for one in found if not one.muted], say)
    mine = [line for line in lines if who(line.incident.cause) == "staff"]
    others = [line for line in lines if who(line.incident.cause) != "staff"]
    tasks = tasks_of(db, visitor, mine[:MOST_TASKS], language, say, now=now)
    stands = standing(
        readiness.now_of(db, place.id), services=say.services, language=language,
        annex_name=name_of(place, language.code), now=now, watched_until=readiness.watched_until(db),
    )  # fmt: skip
    mood: Mood = "unknown"
    if tasks:
        mood = "tasks"
    elif others:
        mood = "others"
    elif not stands.is_old and stands.state != "unknown":
        mood = "well" if stands.state == "ready" else "weak"
    known = {line.incident.id for line in lines}
    return Shown(
        mood=mood, tasks=tasks, more=len(mine) - len(tasks), others=[_other(line) for line in others[:MOST_OTHERS]],
        more_others=max(0, len(others) - MOST_OTHERS), done=_done(db, place, say, known, now=now),
        services=() if stands.is_old else stands.services, waiting=_waiting(db, visitor, say, now=now),
        is_open=stands.is_open,
    )  # fmt: skip


def tasks_of(
    db: Session, visitor: Visitor, lines: Sequence[dossier.IncidentLine], language: Language, say: Words, *,
    now: datetime,
) -> list[Task]:  # fmt: skip
    """These incidents as things to do, in their order."""
    ids = [line.incident.id for line in lines]
    of_claims, asked = claims.of_incidents(db, ids), incidents.help_asked(db, ids)
    places = {id_: label.place for id_, label in links.labels(db, visitor.scope, visitor.annex_id).items()}
    made = []
    for line in lines:
        incident = line.incident
        facts = say.facts(incident.facts)
        claim = of_claims.get(incident.id) if line.whole else None
        helped = asked.get(incident.id)
        if helped is not None and not line.whole and helped.by != visitor.name:
            helped = None  # said by somebody elsewhere
        made.append(
            Task(
                incident=incident, words=line.words, steps=steps(language, incident.cause, facts),
                picture=picture(incident.cause), place=places.get(incident.thing.id, ""), claim=claim,
                still=_still(language, claim, facts),
                may_claim=line.whole and may_claim(incident, claim, now=now) and not _is_over(claim),
                helped=helped, may_ask=helped is None or answers.may_ask_again(helped, now=now),
                called=_called(db, line.incident, helped, say) if line.whole else "",
            )
        )  # fmt: skip
    return made


def may_claim(incident: Incident, newest: Claim | None, *, now: datetime) -> bool:
    """Whether who came by a link may say that this is fixed: it is staff's to end, and was not just answered."""
    settled_at = newest.settled_at if newest is not None else None
    is_answered = settled_at is not None and now - settled_at < CLAIM_AGAIN_AFTER
    return incident.state == "open" and not incident.muted and who(incident.cause) == "staff" and not is_answered


def words_of(db: Session, place: Annex, language: Language) -> "BoardWords":
    """Words for one annex; those of all the others are not read."""
    return BoardWords(language, catalogue(readiness.own_services(db)), place)


class BoardWords(Words):
    """`alerts.words.Words` of one annex."""

    def __init__(self, language: Language, services: Mapping[str, ServiceDefinition], place: Annex) -> None:
        super().__init__(language, services, {place.id: name_of(place, language.code)})
        self.services = services


def _is_over(claim: Claim | None) -> bool:
    return claim is not None and claim.outcome in {"checking", "confirmed"}


def _still(language: Language, claim: Claim | None, facts: Mapping[str, str]) -> Guidance | None:
    if claim is None or claim.outcome not in fixes.OUTCOMES[2:]:
        return None
    return guidance(language, f"fix_{claim.outcome}", {**facts, "cause": claim.still})


def _called(db: Session, incident: Incident, helped: Told | None, say: Words) -> str:
    reached = planning.called(db, incident, asked_at=helped.at) if helped else None
    return say.called(reached) if reached else ""


def _other(line: dossier.IncidentLine) -> Other:
    of = line.incident
    return Other(line.words, picture(of.cause), of.began_at, of.acknowledged_at is not None)


def _done(db: Session, place: Annex, say: Words, still_shown: Iterable[int], *, now: datetime) -> list[Done]:
    """What was fixed of late and is no longer among what is wrong."""
    found = claims.confirmed_lately(db, place.id, since=now - SHOWN_AFTERWARDS)
    over = {claim.incident_id: claim for claim in reversed(found) if claim.incident_id not in still_shown}
    of = {one.id: one for one in incidents.by_ids(db, over)} if over else {}
    return [
        Done(say.incident(of[id_]).title, claim.settled_at)
        for id_, claim in over.items()
        if id_ in of and claim.settled_at is not None
    ]


def _waiting(db: Session, visitor: Visitor, say: Words, *, now: datetime) -> list[Waiting]:
    """Each service once: of a device that can be heard and has fresh figures, the newest."""
    rows = fleet.devices(db, visitor.scope, now=now, annex_id=visitor.annex_id)
    made = []
    for seen in fleet.believed_queues(fleet.queues(rows, fleet.known(db, rows, collectors=["queues"])), now):
        since, told = seen.unknown_since(now), seen.queue
        people = told.waiting if since is None and not told.missing else None
        longest = told.longest_wait_s if people else None
        last = None if since is None or told.waiting is None else round(told.waiting)
        made.append(Waiting(say.service(told.service), None if people is None else round(people), longest, since, last))
    return sorted(made, key=lambda one: (one.people is None, -(one.people or 0), one.service))
