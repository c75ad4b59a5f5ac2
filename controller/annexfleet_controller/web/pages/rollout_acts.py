"""What is done with the buttons of a rollout's page: each act as a form of its own, with the version that was shown."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import HomeOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import Conflict, Invalid, VariableWrong
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts import permitted, proposing
from annexfleet_controller.rollouts.errors import LibraryWrong
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.settings import Home
from annexfleet_controller.store import rollout_targets, rollouts
from annexfleet_controller.web.pages.rollouts import Id, Planning, hand, whole
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/rollouts", include_in_schema=False)

Approving = Annotated[Person, Depends(Needs("approve_rollouts"))]
Act = Literal[
    "submit", "withdraw", "start", "pause", "resume", "abort", "dry-run", "retry", "clone", "rollback"
]  # fmt: skip
_ON = "/rollouts/"


class Sent:
    """The form of an act."""

    def __init__(
        self,
        *,
        version: Annotated[int, Form(ge=1, le=2**31 - 1)],
        story: Annotated[int, Form(ge=0, le=2**63 - 1)] = 0,
        reason: Annotated[str, Form(max_length=2000)] = "",
        count: Annotated[str, Form(max_length=20)] = "",
    ) -> None:
        self.version, self.story, self.reason, self.count = version, story, reason, count


SentOf = Annotated[Sent, Depends(Sent)]


class _Doing(Struct, frozen=True):
    """All that an act needs."""

    db: Session
    home: Home
    person: Person
    rollout_id: int
    sent: Sent
    now: datetime

    @property
    def asker(self) -> Asker:
        return Asker(name=self.person.name, via=self.person.via, scope=self.person.scope)


@router.post("/{rollout_id}/approve")
def approve(
    *, rollout_id: Id, person: Approving, db: WritingDb, home: HomeOf, now: Now, language: LanguageOf, page: Page,
    sent: SentOf,
) -> Response:  # fmt: skip
    """Say yes as the second person."""
    return _answer(_Doing(db, home, person, rollout_id, sent, now), _approve, language, page)


@router.post("/{rollout_id}/reject")
def reject(
    *, rollout_id: Id, person: Approving, db: WritingDb, home: HomeOf, now: Now, language: LanguageOf, page: Page,
    sent: SentOf,
) -> Response:  # fmt: skip
    """Say no, and why."""
    return _answer(_Doing(db, home, person, rollout_id, sent, now), _reject, language, page)


@router.post("/{rollout_id}/{act}")
def do(
    *, rollout_id: Id, act: Act, person: Planning, db: WritingDb, home: HomeOf, now: Now, language: LanguageOf,
    page: Page, sent: SentOf,
) -> Response:  # fmt: skip
    """Any other act; back to its page, or on to that of the rollout that was made."""
    permitted.demand(
        rollouts.find(db, person.scope, rollout_id), act.replace("-", "_"), hand(db, person, rollout_id)
    )  # fmt: skip
    return _answer(_Doing(db, home, person, rollout_id, sent, now), _ACTS[act], language, page)


def _answer(of: _Doing, act: Callable[[_Doing], str], language: Language, page: Page) -> Response:
    try:
        with of.db.begin_nested():  # what is refused half-way leaves nothing behind
            address = act(of)
    except VariableWrong as wrong:
        if act in _WITH_SECRETS and wrong.facts.get("reason") == "missing":  # nobody kept it: it has to be typed again
            return RedirectResponse(f"/rollouts/new?like={of.rollout_id}{_WITH_SECRETS[act]}", 303)
        return _refused(of, wrong, language, page)
    except (Conflict, Invalid, LibraryWrong) as refused:
        return _refused(of, refused, language, page)
    return RedirectResponse(address, 303)


def _refused(of: _Doing, refused: Conflict | Invalid | LibraryWrong, language: Language, page: Page) -> Response:
    """Its page as it is now, with why not, and with what others did meanwhile."""
    return whole(
        of.db, of.person, of.rollout_id, language, page, home=of.home, now=of.now,
        status=422 if isinstance(refused, Invalid) else 409, problem=(refused.code, refused.facts),
        after_story=of.sent.story if isinstance(refused, Conflict) else None,
    )  # fmt: skip


# -- the acts: each answers where to go then


def _approve(of: _Doing) -> str:
    proposing.approve(of.db, of.home, of.rollout_id, of.asker, version=of.sent.version, now=of.now)
    return f"{_ON}{of.rollout_id}"


def _reject(of: _Doing) -> str:
    proposing.reject(of.db, of.rollout_id, of.asker, version=of.sent.version, now=of.now, reason=of.sent.reason)
    return f"{_ON}{of.rollout_id}"


def _submit(of: _Doing) -> str:
    proposing.submit(of.db, of.home, of.rollout_id, of.asker, version=of.sent.version, now=of.now)
    return f"{_ON}{of.rollout_id}"


def _withdraw(of: _Doing) -> str:
    proposing.withdraw(of.db, of.rollout_id, of.asker, version=of.sent.version, now=of.now)
    return f"{_ON}{of.rollout_id}"


def _start(of: _Doing) -> str:
    """Where very many devices are meant, their number has to be typed: nobody starts that by a slip."""
    found = rollouts.find(of.db, of.person.scope, of.rollout_id)
    if found.version == of.sent.version and found.needs_approval:
        count = len(rollout_targets.frozen(of.db, of.rollout_id))
        if of.sent.count.strip() != str(count):
            raise Invalid("the number of devices was not typed", field="count", reason="count_wrong")
    proposing.start(of.db, of.home, of.rollout_id, of.asker, version=of.sent.version, now=of.now)
    return f"{_ON}{of.rollout_id}"


def _pause(of: _Doing) -> str:
    proposing.pause(of.db, of.rollout_id, of.asker, version=of.sent.version, now=of.now, reason=of.sent.reason)
    return f"{_ON}{of.rollout_id}"


def _resume(of: _Doing) -> str:
    proposing.resume(of.db, of.rollout_id, of.asker, version=of.sent.version, now=of.now, reason=of.sent.reason)
    return f"{_ON}{of.rollout_id}"


def _abort(of: _Doing) -> str:
    proposing.abort(of.db, of.rollout_id, of.asker, version=of.sent.version, now=of.now, reason=of.sent.reason)
    return f"{_ON}{of.rollout_id}"


def _dry_run(of: _Doing) -> str:
    proposing.dry_run(of.db, of.home, of.rollout_id, of.asker, version=of.sent.version, now=of.now)
    return f"{_ON}{of.rollout_id}"


def _retry(of: _Doing) -> str:
    return f"{_ON}{proposing.retry_failed(of.db, of.home, of.rollout_id, of.asker, now=of.now)}"


def _clone(of: _Doing) -> str:
    return f"{_ON}{proposing.clone(of.db, of.home, of.rollout_id, of.asker, now=of.now)}"


def _roll_back(of: _Doing) -> str:
    """To the draft that was made; to the list of drafts where devices go back to different states."""
    made = proposing.roll_back(of.db, of.home, of.rollout_id, of.asker, now=of.now)
    if len(made.drafts) == 1:
        return f"{_ON}{made.drafts[0]}" + (f"?lost={len(made.lost)}" if made.lost else "")
    return "/rollouts?state=draft"


_ACTS: Mapping[str, Callable[[_Doing], str]] = {
    "submit": _submit, "withdraw": _withdraw, "start": _start, "pause": _pause, "resume": _resume, "abort": _abort,
    "dry-run": _dry_run, "retry": _retry, "clone": _clone, "rollback": _roll_back,
}  # fmt: skip
_WITH_SECRETS: Mapping[Callable[[_Doing], str], str] = {_clone: "", _retry: "&failed=true"}
"""Acts that go on in the form, with what its address says, where a secret has to be typed again."""
