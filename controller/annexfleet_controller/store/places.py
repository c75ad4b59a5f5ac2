"""What somebody on the road wants to know of annexes: name, district, note, and whom to telephone."""

import json
import re
from collections.abc import Collection

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.notices import Contact, ContactRoute
from annexfleet_controller.store.tables.places import Annex, District

_NUMBER = re.compile(r"(?<![\w+])(?:\+|00)?\d(?:[ .-]?\d){8,13}(?!\w)")
"""A telephone number within a note: nine digits and more, with the separators that people write."""


class About(Struct, frozen=True):
    """One annex."""

    id: str
    name_fr: str
    name_ar: str
    district_id: str
    district_fr: str
    district_ar: str
    note: str
    telephones: tuple[tuple[str, str], ...]
    """Name and number; those that stand in the note have no name."""

    def name(self, language_code: str) -> str:
        return self.name_ar if language_code == "ar" else self.name_fr

    def district(self, language_code: str) -> str:
        return self.district_ar if language_code == "ar" else self.district_fr


def about(db: Session, scope: Scope, annex_ids: Collection[str]) -> dict[str, About]:
    """Those of these annexes that are in sight, by id."""
    query = (
        select(Annex, District)
        .join(District, District.id == Annex.district_id, isouter=True)
        .where(Annex.id.in_(sorted(annex_ids)), scope.limit(Annex.id))
    )
    rows = db.execute(query).all()
    numbers = _telephones(db, {annex.id for annex, _ in rows})
    return {
        annex.id: About(
            annex.id, annex.name_fr, annex.name_ar, annex.district_id, district.name_fr if district else "",
            district.name_ar if district else "", annex.note,
            (*numbers.get(annex.id, ()), *(("", number) for number in in_note(annex.note))),
        )
        for annex, district in rows
    }  # fmt: skip


def in_note(note: str) -> list[str]:
    """The telephone numbers that somebody wrote into a note, as they stand there."""
    return [found[0] for found in _NUMBER.finditer(note)]


def _telephones(db: Session, annex_ids: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """Contacts by telephone that are told of these very annexes; who hears of the whole province is no neighbour."""
    query = (
        select(Contact.name, Contact.address, ContactRoute.annexes)
        .join(ContactRoute, ContactRoute.contact_id == Contact.id)
        .where(Contact.kind == "sms", Contact.enabled, ContactRoute.annexes.is_not(None))
        .order_by(Contact.name, Contact.id)
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for name, address, annexes in db.execute(query):
        for annex_id in set(json.loads(annexes or "[]")) & set(annex_ids):
            if (name, address) not in found.setdefault(annex_id, []):
                found[annex_id].append((name, address))
    return found
