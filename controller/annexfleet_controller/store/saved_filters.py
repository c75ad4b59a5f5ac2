"""Lists as people want to see them again: the query of an address under a name, each person's own."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from annexfleet_controller.store.errors import FilterUnknown, FilterWrong, TooManyFilters
from annexfleet_controller.store.tables.people import SavedFilter

AT_MOST = 20
"""Of one person and page: more of them are no help to find one."""
LONGEST_NAME = 60
LONGEST_QUERY = 500
LONGEST_VALUE = 80
_LONGEST_ADDRESS = 1000

KEPT: Mapping[str, tuple[str, ...]] = {
    "/alerts": ("state", "period", "annex", "kind", "severity", "who", "q"),
}
"""By the path of a list: what of its address is kept.  Where one has paged to is not."""


class Saved(Struct, frozen=True):
    name: str
    query: str
    """As it stands in an address, without the question mark; empty: everything."""

    @property
    def narrowed(self) -> dict[str, str]:
        """What the query says, by the names of its page's form."""
        return dict(parse_qsl(self.query))


def of(db: Session, user_id: int, page: str) -> list[Saved]:
    """A person's filters for a page (its path, such as `/alerts`), by name."""
    query = select(SavedFilter.name, SavedFilter.query).where(SavedFilter.user_id == user_id, SavedFilter.page == page)
    return [Saved(name, text) for name, text in db.execute(query.order_by(SavedFilter.name))]


def save(db: Session, user_id: int, page: str, name: str, query: str, *, now: datetime) -> Saved:
    """Keep a query under a name, as far as its page knows it; one that is there under this name is replaced.

    Raises FilterWrong for an empty name or what is too long, TooManyFilters where a person has enough of them.
    """
    name, query = " ".join(name.split()), tidy(page, query)
    if not name or len(name) > LONGEST_NAME or len(query) > LONGEST_QUERY:
        raise FilterWrong("a filter needs a short name", field="name")
    row = db.get(SavedFilter, (user_id, page, name))
    if row is not None:
        row.query = query
    else:
        theirs = (SavedFilter.user_id == user_id, SavedFilter.page == page)
        if (db.scalar(select(func.count()).select_from(SavedFilter).where(*theirs)) or 0) >= AT_MOST:
            raise TooManyFilters(f"user {user_id} has {AT_MOST} filters for {page}", most=AT_MOST)
        db.add(SavedFilter(user_id=user_id, page=page, name=name, query=query, created_at=now))
    db.flush()
    return Saved(name, query)


def remove(db: Session, user_id: int, page: str, name: str) -> None:
    """Forget one.  Raises FilterUnknown where this person has none of this name."""
    removed = db.execute(
        delete(SavedFilter).where(SavedFilter.user_id == user_id, SavedFilter.page == page, SavedFilter.name == name)
    )
    if not removed.rowcount:  # type: ignore[attr-defined]
        raise FilterUnknown(f"user {user_id} has no filter {name!r} for {page}")


def tidy(page: str, query: str) -> str:
    """Of a query only what its page keeps, each once: it will stand in a link."""
    told = dict(parse_qsl(query[:_LONGEST_ADDRESS]))
    return urlencode({name: told[name][:LONGEST_VALUE] for name in KEPT[page] if told.get(name)})
