"""Choosing annexes in a form: the whole of one's sight, or some; ticked where there are few, typed where many."""

from collections.abc import Collection

from msgspec import Struct
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from annexfleet_controller.access.errors import AccountWrong
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import annexes
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.web.pages.province import name_of

MOST_TICKED = 150
"""More boxes than that make a page long and heavy; then their short names are typed."""
_MOST = 2000


class Choice(Struct, frozen=True):
    """An annex that can be ticked."""

    id: str
    name: str
    closed: bool
    """For good: listed only for who has it already."""


def choices(db: Session, scope: Scope, language: Language, *, held: Collection[str] = ()) -> list[Choice] | None:
    """The annexes in sight, by id, and of the closed ones those `held` already; None where they are too many."""
    found = annexes.listing(db, scope, limit=MOST_TICKED + 1)
    if len(found) > MOST_TICKED:
        return None
    if set(held) - {place.id for place in found}:
        found = [
            place
            for place in annexes.listing(db, scope, with_retired=True)
            if place.retired_at is None or place.id in held
        ]
    return [Choice(place.id, name_of(place, language.code), place.retired_at is not None) for place in found]


def names(db: Session, scope: Scope, language: Language) -> list[str] | None:
    """Of whoever is confined to some; None for the whole province."""
    if scope.annexes is None:
        return None
    return [name_of(place, language.code) for place in annexes.listing(db, scope)]


def chosen(form: FormData) -> tuple[str, ...]:
    """Ids as they were ticked, or typed with spaces or commas between them."""
    words = (
        word
        for text in form.getlist("annexes")
        if isinstance(text, str)
        for word in text.replace(",", " ").replace("،", " ").split()
    )
    return tuple(dict.fromkeys(word[:63] for word in words))[:_MOST]


def reach(db: Session, scope: Scope, form: FormData, *, held: Collection[str] = ()) -> tuple[str, ...]:
    """The annexes that are meant; none for all in sight.  One that is `held` already may be closed.

    Raises AccountWrong: nothing ticked must not mean all.
    """
    if form.get("reach") == "province":
        return ()
    ids = chosen(form)
    if not ids:
        raise AccountWrong("no annex is chosen", field="annexes", reason="annexes_missing")
    known = {place.id for place in annexes.listing(db, scope)} | set(held)
    if unknown := [one for one in ids if one not in known]:
        raise AccountWrong(f"no annex {unknown[0]!r}", field="annexes", reason="annex_unknown", annex=unknown[0])
    return ids
