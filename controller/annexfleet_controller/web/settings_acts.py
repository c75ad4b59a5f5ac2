"""What pages of settings share: whose hand acts, the question before an act that touches much, and the way back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from annexfleet_controller.access.person import Person
from annexfleet_controller.store.undoing import Step
from annexfleet_controller.tending import undo
from annexfleet_controller.tending.reach import Reach
from annexfleet_controller.tending.trace import Hand
from annexfleet_controller.web.render import Renders

NAMES_SHOWN = 60
"""Of what an act touches; the others are counted."""
_NOT_SENT_ON = frozenset({"csrf_token", "confirmed"})


class Wrong(Struct, frozen=True):
    """Why a form was refused: at which field, for which reason."""

    field: str = ""
    reason: str = ""


def hand(person: Person) -> Hand:
    return Hand(person.user_id, person.name, person.via, person.scope)


def newest(db: Session, person: Person, now: datetime, *about: str, annex: str | None = None) -> Step | None:
    """What this person did last and may still take back, if it was about what the page shows.

    `about`: subjects (`annex:berkane-1`), or what they begin with (`device:`); `annex`: of that one alone, empty for
    the province's.
    """
    step = undo.newest(db, hand(person), now=now)
    if step is None or annex not in {None, step.annex_id}:
        return None
    is_here = any(step.subject.startswith(one) if one.endswith(":") else step.subject == one for one in about)
    return step if is_here else None


def question(
    page: Renders, form: FormData, reach: Reach, *, act: str, action: str, back: str, subject: str = "",
    came_back: bool = False,
) -> HTMLResponse:  # fmt: skip
    """The page that says what an act touches, and sends the form again with a yes.

    `came_back`: somebody said yes to something else, which has changed since.
    """
    return page(
        "confirm.html", status=409 if came_back else 200, act=act, action=action, back=back, subject=subject,
        reach=reach, names=reach.names[:NAMES_SHOWN], more=max(0, len(reach.names) - NAMES_SHOWN),
        sent=sent(form), changed=came_back,
    )  # fmt: skip


def sent(form: FormData) -> list[tuple[str, str]]:
    """A form's fields, to be sent once more."""
    return [(name, value) for name, value in form.multi_items() if isinstance(value, str) and name not in _NOT_SENT_ON]


def confirmed(form: FormData) -> str:
    return text(form, "confirmed")


def text(form: FormData, name: str, longest: int = 4000) -> str:
    """One field as it was typed."""
    value = form.get(name, "")
    return value[:longest] if isinstance(value, str) else ""


def texts(form: FormData, name: str, most: int = 2000) -> list[str]:
    return [value for value in form.getlist(name) if isinstance(value, str)][:most]


def number(form: FormData, name: str) -> int:
    """A version; 0, which nothing has, for what is none."""
    typed = text(form, name, 10)
    return int(typed) if typed.isascii() and typed.isdecimal() else 0


class Pager(Struct, frozen=True):
    """Where one stands in a list of numbered pages."""

    page: int
    pages: int
    total: int
    query: str
    """The other fields of the address, ending with `&` where there are any."""


def pager(asked: int, total: int, *, size: int, query: str) -> Pager:
    pages = max(1, -(-total // size))
    return Pager(min(max(1, asked), pages), pages, total, f"{query}&" if query else "")


def wrong(facts: dict[str, Any] | dict[str, object]) -> Wrong:
    """From the facts of a refusal."""
    return Wrong(str(facts.get("field", "")), str(facts.get("reason", "")))


def joined(names: Sequence[str]) -> str:
    return " ".join(names)
