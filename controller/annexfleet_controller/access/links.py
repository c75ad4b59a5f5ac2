"""Coming in by a link instead of a password: an annex's board, a wall screen, and the code on a printer.

A board's or a wall's secret has 256 bits, so that nobody guesses one; a printer's code has 49 and opens little.
Unknown ones are counted by address, apart from failed sign-ins: who tries many has to wait, and where an annex comes
through one address its people can sign in meanwhile.  A link that is good is never kept waiting, for it is no guess.
"""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.access import guessing, sessions
from annexfleet_controller.access.errors import TooManyAttempts
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import LinkUnknown
from annexfleet_controller.store import annexes, audit, links, people
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope

SECRET_BYTES = 32
_Opens = TypeVar("_Opens", bound=links.Link)
_GUESSED = "link guessed"
"""Under this name failures are counted; no person can bear it, as it has a space."""


class Visitor(Struct, frozen=True):
    """Who came by a link: nobody that is known, confined to one annex; by that of a wall, to what it shows."""

    via: Literal["board", "label", "wall"]
    annex_id: str
    """Empty by a wall's link, which has nothing to press."""
    name: str
    """As it stands in stories and in the audit: `board:hall`; `label:` and where the printer stands."""
    link_id: int = 0
    """Of a board or a wall."""
    printer_id: str = ""
    """Of a label: the only thing that it opens."""
    district_id: str = ""
    """Of a wall; empty: the province."""
    annexes: frozenset[str] | None = None
    """Of a wall: those of its district, None for all."""

    @property
    def scope(self) -> Scope:
        return Scope(self.annexes if self.via == "wall" else frozenset({self.annex_id}))


def new_board(
    db: Session, person: Person, annex_id: str, *, label: str, now: datetime
) -> tuple[links.Board, str]:  # fmt: skip
    """A board's link: it and its secret, which nobody can find out again.  Raises as `store.links.add_board`."""
    return _new_board(db, person.scope, annex_id, label=label, by=person.name, via=person.via, now=now)


def new_board_at_console(
    db: Session, annex_id: str, *, label: str, by: str, now: datetime
) -> tuple[links.Board, str]:  # fmt: skip
    """The same for the command line."""
    return _new_board(db, Scope(None), annex_id, label=label, by=by, via="console", now=now)


def revoke_board(db: Session, scope: Scope, board_id: int, *, by: str, via: str, now: datetime) -> links.Board:
    """It opens nothing from the next request on; again changes nothing.  Raises LinkUnknown."""
    board, done = links.revoke_board(db, scope, board_id, now=now)
    if done:
        audit.add(
            db, now=now, actor=by, via=via, act="board.revoke", subject=f"board:{board_id}", annex_id=board.annex_id,
            facts={"label": board.label},
        )  # fmt: skip
    return board


def board_visitor(engine: Engine, secret: str, *, address: str, now: datetime) -> Visitor:
    """Who comes by this link.  Raises LinkUnknown, or TooManyAttempts where many unknown ones were tried."""
    found = _opened(engine, secret, links.board_of, address=address, now=now)
    return Visitor("board", found.annex_id, f"board:{found.label}", link_id=found.id)


def new_wall(db: Session, person: Person, district_id: str, *, label: str, now: datetime) -> tuple[links.Wall, str]:
    """A wall's link: it and its secret, which nobody can find out again.  Raises as `store.links.add_wall`."""
    return _new_wall(db, district_id, label=label, by=person.name, via=person.via, now=now)


def new_wall_at_console(
    db: Session, district_id: str, *, label: str, by: str, now: datetime
) -> tuple[links.Wall, str]:  # fmt: skip
    """The same for the command line."""
    return _new_wall(db, district_id, label=label, by=by, via="console", now=now)


def revoke_wall(db: Session, wall_id: int, *, by: str, via: str, now: datetime) -> links.Wall:
    """As `revoke_board`."""
    wall, done = links.revoke_wall(db, wall_id, now=now)
    if done:
        audit.add(
            db, now=now, actor=by, via=via, act="wall.revoke", subject=f"wall:{wall_id}", facts={"label": wall.label}
        )  # fmt: skip
    return wall


def wall_visitor(engine: Engine, secret: str, *, address: str, now: datetime) -> Visitor:
    """Who comes by this link.  Raises as `board_visitor` does."""
    found = _opened(engine, secret, links.wall_of, address=address, now=now)
    here = None
    if found.district_id:
        with reading(engine) as db:
            here = annexes.of_district(db, found.district_id)
    return Visitor("wall", "", f"wall:{found.label}", link_id=found.id, district_id=found.district_id, annexes=here)


def label_visitor(engine: Engine, code: str, *, address: str, now: datetime) -> tuple[Visitor, links.Label]:
    """Who scanned this code.  Raises as `board_visitor` does; who has guessed much waits before any code opens."""
    with reading(engine) as db:
        _demand_patience(db, address, now)
        found = links.label_of(db, code)
        is_closed = found is not None and annexes.get(db, WHOLE, found.annex_id).retired_at is not None
    if found is None:
        _count_guess(engine, address, now)
        raise LinkUnknown("no such code")
    if is_closed:
        raise LinkUnknown(f"annex {found.annex_id} is closed")
    return Visitor("label", found.annex_id, f"label:{found.place}"[:80], printer_id=found.printer_id), found


def _new_board(
    db: Session, scope: Scope, annex_id: str, *, label: str, by: str, via: str, now: datetime
) -> tuple[links.Board, str]:
    secret, digest = _new_secret()
    board = links.add_board(db, scope, annex_id, digest=digest, label=label, by=by, now=now)
    audit.add(
        db, now=now, actor=by, via=via, act="board.create", subject=f"board:{board.id}", annex_id=annex_id,
        facts={"label": board.label},
    )  # fmt: skip
    return board, secret


def _new_wall(
    db: Session, district_id: str, *, label: str, by: str, via: str, now: datetime
) -> tuple[links.Wall, str]:  # fmt: skip
    secret, digest = _new_secret()
    wall = links.add_wall(db, district_id, digest=digest, label=label, by=by, now=now)
    audit.add(
        db, now=now, actor=by, via=via, act="wall.create", subject=f"wall:{wall.id}",
        facts={"label": wall.label, "district": wall.district_id},
    )  # fmt: skip
    return wall, secret


def _new_secret() -> tuple[str, str]:
    """It, and what is kept of it."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return secret, sessions.digest(secret)


def _opened(
    engine: Engine, secret: str, of: Callable[[Session, str], _Opens | None], *, address: str, now: datetime
) -> _Opens:
    """The link that has this secret, and that it was used."""
    with reading(engine) as db:
        found = of(db, sessions.digest(secret)) if len(secret) <= 2 * SECRET_BYTES else None
    if found is None:
        _count_guess(engine, address, now)
        raise LinkUnknown("no such link")
    if found.revoked_at is not None:  # it was good once, so it is no guess: a screen that nobody told
        raise LinkUnknown(f"link {found.id} is revoked")
    if found.used_at is None or now - found.used_at >= links.TOUCH_EVERY:
        with writing(engine) as db:
            links.touch(db, found.id, now)
    return found


def _count_guess(engine: Engine, address: str, now: datetime) -> None:
    """Raises TooManyAttempts instead where it counts no more: a storm of guesses costs no writes."""
    with reading(engine) as db:
        _demand_patience(db, address, now)
    with writing(engine) as db:
        people.add_failure(db, name=_GUESSED, address=_counted(address), now=now)


def _demand_patience(db: Session, address: str, now: datetime) -> None:
    since = now - guessing.WINDOW
    tried = guessing.Failed(*people.failures(db, name=_GUESSED, address=_counted(address), since=since))
    pause = guessing.wait(by_both=guessing.Failed(), by_name=guessing.Failed(), by_address=tried, now=now)
    if pause > timedelta(0):
        raise TooManyAttempts("too many unknown links", wait_s=max(1, round(pause.total_seconds())))


def _counted(address: str) -> str:
    """Under which address it counts; not that of sign-ins, whose bound holds for all names together."""
    return f"link {guessing.asker(address)}"[:64]
