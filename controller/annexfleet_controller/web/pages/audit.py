"""/admin/audit: who did what, and when."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, LanguageOf
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import audit, fleet
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/admin/audit", include_in_schema=False)

_SHOWN = 100
_KINDS = {"playbook": ("playbook",), "command": ("command",), "role": ("role", "device_role"), "role_before": ("role",)}
"""Of which kind of words a fact's value is."""
_DIGESTS = frozenset({"bundle", "targets"})
"""SHA-256, of which the beginning is shown; the API has all of it."""
Text = Annotated[str, Query(max_length=120)]


class Line(Struct, frozen=True):
    """One act, ready to be shown."""

    id: int
    at: datetime
    actor: str
    via: str
    act: str
    kind: str
    """Of the subject: device, run, token, user …"""
    subject: str
    """The name of a device, else the rest of the subject."""
    address: str
    """Of the page about it; empty where there is none."""
    annex: str
    facts: list[tuple[str, str]]
    digest: str


@router.get("")
def show(
    *,
    person: Annotated[Person, Depends(Needs("see_audit"))],
    db: Db,
    language: LanguageOf,
    page: Page,
    actor: Text = "",
    act: Text = "",
    subject: Text = "",
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> HTMLResponse:
    """`before` is the number of an entry: those before it are shown."""
    asked = {"actor": actor.strip(), "act": act.strip(), "subject": subject.strip()}
    found = audit.entries(db, person.scope, **asked, before=before, limit=_SHOWN + 1)
    shown = found[:_SHOWN]
    narrowed = {name: value for name, value in asked.items() if value}
    older = urlencode(narrowed | {"before": str(shown[-1].id)}) if len(found) > _SHOWN else ""
    places = names_of(db, person.scope, language.code, with_retired=True)
    return page(
        "audit.html",
        lines=_lines(db, person, shown, places, language),
        acts=sorted(audit.acts(db, person.scope), key=lambda one: language.name("act", one)),
        asked=asked,
        is_narrowed=bool(narrowed) or before is not None,
        older=older,
    )


def _lines(
    db: Session, person: Person, shown: Sequence[audit.Entry], places: dict[str, str], language: Language
) -> list[Line]:
    ids = {entry.subject.partition(":")[2] for entry in shown if entry.subject.startswith("device:")}
    devices = fleet.device_names(db, person.scope, ids)
    return [_line(entry, devices, places, language) for entry in shown]


def _line(entry: audit.Entry, devices: dict[str, str], places: dict[str, str], language: Language) -> Line:
    kind, _, rest = entry.subject.partition(":")
    address = ""
    if kind == "run" and rest.isascii() and rest.isdecimal():
        address = f"/runs/{rest}"
    elif kind == "device" and rest in devices:
        address = f"/devices/{rest}"
    return Line(
        id=entry.id, at=entry.at, actor=entry.actor, via=entry.via, act=entry.act, kind=kind,
        subject=devices.get(rest, rest) if kind == "device" else rest, address=address,
        annex=places.get(entry.annex_id, entry.annex_id),
        facts=[(key, _text(key, value, language)) for key, value in entry.facts.items() if value not in ("", [])],
        digest=entry.digest,
    )  # fmt: skip


def _text(key: str, fact: audit.Fact, language: Language) -> str:
    """A fact in its reader's words, where it is a code."""
    if isinstance(fact, list):
        return ", ".join(fact)
    if isinstance(fact, bool):
        return language.name("variable_choice", str(fact).lower())
    text = "" if fact is None else str(fact)
    if key in _DIGESTS:
        return text[:12]
    for kind in _KINDS.get(key, ()):
        if language.knows(kind, text):
            return language.name(kind, text)
    return text
