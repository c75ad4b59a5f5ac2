"""What every act upon a rollout shares: the version that was read, doing it once, a refusal that says how to go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Response
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import EngineOf, HomeOf, Now
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import rollout_making, versions
from annexfleet_controller.api.rollout_shapes import Acting, Edited, RolloutOut
from annexfleet_controller.errors import Conflict, RolloutChanged, RolloutUnknown, WrongState
from annexfleet_controller.rollouts import permitted
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.store import rollout_events, rollouts
from annexfleet_controller.store.database import reading


class Desk:
    """Of one request."""

    def __init__(
        self,
        *,
        response: Response,
        engine: EngineOf,
        home: HomeOf,
        once: OnceOf,
        now: Now,
        if_match: versions.IfMatch = "",
    ) -> None:
        self.home = home
        self.now = now
        self._engine = engine
        self._once = once
        self._response = response
        self._if_match = if_match

    def act(
        self,
        person: Person,
        rollout_id: int,
        what: str,
        asked: Acting | Edited,
        do: Callable[[Session, Asker, int], object],
    ) -> RolloutOut:
        """Carry out `do` with the version that the caller read; the rollout as it is then.

        With an `Idempotency-Key` a repeat within a day does nothing and answers the same.
        """
        version = versions.demanded(self._if_match, asked.version)

        def work(db: Session) -> RolloutOut:
            found = rollouts.find(db, person.scope, rollout_id)
            permitted.demand(found, what, rollout_making.hand(db, person, rollout_id))
            do(db, asker(person), version)
            return rollout_making.out(db, person, rollouts.find(db, person.scope, rollout_id))

        with self._explained(person, rollout_id):
            return self.once(person, {**rollout_making.without_secrets(asked), "version": version}, work)

    def once(self, person: Person, asked: dict[str, Any], work: Callable[[Session], RolloutOut]) -> RolloutOut:
        """Do it at most once, and tell the version by `ETag`."""
        answer = self._once.do(person, asked, lambda db: work(db).model_dump(mode="json"), now=self.now)
        made = RolloutOut.model_validate(answer)
        self._response.headers["ETag"] = versions.etag(made.version)
        return made

    def answers(
        self, person: Person, asked: dict[str, Any], work: Callable[[Session], dict[str, Any]]
    ) -> dict[str, Any]:
        """Do it at most once, where what is answered is no rollout."""
        return self._once.do(person, asked, work, now=self.now)

    @contextmanager
    def _explained(self, person: Person, rollout_id: int) -> Iterator[None]:
        """Two people at once: who comes second is told who was first, how it stands now and what they may ask."""
        try:
            yield
        except (RolloutChanged, WrongState) as late:
            facts = dict(late.facts) | self._as_it_is(person, rollout_id)
            raise _same(late, facts) from late

    def _as_it_is(self, person: Person, rollout_id: int) -> dict[str, Any]:
        with reading(self._engine) as db:
            try:
                found = rollouts.find(db, person.scope, rollout_id)
            except RolloutUnknown:  # forgotten meanwhile
                return {}
            last = rollout_events.of(db, rollout_id, limit=1)
            return {
                "version": found.version, "state": found.state, "other": last[0].actor if last else "",
                "may": list(permitted.may(found, rollout_making.hand(db, person, rollout_id))),
            }  # fmt: skip


DeskOf = Annotated[Desk, Depends()]


def asker(person: Person) -> Asker:
    return Asker(name=person.name, via=person.via, scope=person.scope)


def _same(error: Conflict, facts: dict[str, Any]) -> Conflict:
    return type(error)(str(error), **facts)
