"""Links that open something without a password: an annex's board, a wall screen, and the codes on printers.

Of a board's or a wall's link only the SHA-256 of its secret is kept.  A printer's code is kept as it is, so that a
torn label can be printed again; it opens that printer's state and nothing else.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import Invalid, LinkUnknown, TooManyLinks
from annexfleet_controller.store import annexes, closing, districts
from annexfleet_controller.store.errors import TooManyWalls
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.places import BoardLink, PrinterLabel

TOUCH_EVERY = timedelta(hours=1)
"""That a board or a wall was used is written at most this often."""
LONGEST_LABEL = 60
LONGEST_PLACE = 80
MOST_OF_AN_ANNEX = 50
"""Links of one annex that are good at the same time."""
MOST_WALLS = 200
"""Links to wall screens that are good at the same time."""
CODE_LENGTH = 10
_CODE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without i, l, o, 0 and 1: people read codes from paper.  Ten of them are 49 bits."""


class Link(Struct, frozen=True, kw_only=True):
    """Leave to see something; `label` says where that hangs."""

    id: int
    label: str
    created_at: datetime
    created_by: str
    used_at: datetime | None
    revoked_at: datetime | None


class Board(Link, frozen=True, kw_only=True):
    """Of one annex."""

    annex_id: str


class Wall(Link, frozen=True, kw_only=True):
    """Of a district; of the whole province where that is empty."""

    district_id: str


class Label(Struct, frozen=True):
    """What is stuck on a printer."""

    printer_id: str
    annex_id: str
    code: str
    place: str


class Counts(Struct, frozen=True):
    """Links of an annex that are good."""

    boards: int = 0
    labels: int = 0


# -- boards


def add_board(
    db: Session, scope: Scope, annex_id: str, *, digest: str, label: str, by: str, now: datetime
) -> Board:  # fmt: skip
    """Keep a new board's link.  Raises AnnexUnknown, Invalid for an empty label, or TooManyLinks."""
    annexes.get(db, scope, annex_id)
    if _good(db, BoardLink.annex_id == annex_id) >= MOST_OF_AN_ANNEX:
        raise TooManyLinks(f"annex {annex_id} has {MOST_OF_AN_ANNEX} boards")
    return _board(_add(db, annex_id=annex_id, district_id="", digest=digest, label=label, by=by, now=now))


def boards(db: Session, scope: Scope, annex_id: str = "") -> list[Board]:
    """Links in sight: those that are good first, each by annex and age; of one annex, or of all."""
    query = select(BoardLink).where(BoardLink.annex_id.is_not(None), scope.limit(BoardLink.annex_id))
    if annex_id:
        query = query.where(BoardLink.annex_id == annex_id)
    order = (BoardLink.revoked_at.is_not(None), BoardLink.annex_id, BoardLink.id)
    return [_board(row) for row in db.scalars(query.order_by(*order))]


def board(db: Session, scope: Scope, board_id: int) -> Board:
    """Raises LinkUnknown where there is none, or none in sight."""
    wanted = (BoardLink.id == board_id, BoardLink.annex_id.is_not(None), scope.limit(BoardLink.annex_id))
    row = db.scalar(select(BoardLink).where(*wanted))
    if row is None:
        raise LinkUnknown(f"no board {board_id}")
    return _board(row)


def board_of(db: Session, digest: str) -> Board | None:
    """The board's link with this digest, revoked or not."""
    row = db.scalar(select(BoardLink).where(BoardLink.digest == digest, BoardLink.annex_id.is_not(None)))
    return None if row is None else _board(row)


def still_good(db: Session, ids: Collection[int]) -> set[int]:
    """Those of these links that nobody revoked."""
    found: set[int] = set()
    wanted = sorted(ids)
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        found |= set(db.scalars(select(BoardLink.id).where(BoardLink.id.in_(some), BoardLink.revoked_at.is_(None))))
    return found


def revoke_board(db: Session, scope: Scope, board_id: int, *, now: datetime) -> tuple[Board, bool]:
    """It opens nothing from now on: the link, and whether nobody had revoked it.  Raises LinkUnknown."""
    found = board(db, scope, board_id)
    return found, _revoke(db, board_id, now)


def touch(db: Session, link_id: int, now: datetime) -> None:
    """A board or a wall was used."""
    db.execute(update(BoardLink).where(BoardLink.id == link_id).values(used_at=now))


# -- walls: of no annex, so who is confined to some sees none


def add_wall(db: Session, district_id: str, *, digest: str, label: str, by: str, now: datetime) -> Wall:
    """Keep a new wall's link.  Raises DistrictUnknown, Invalid for an empty label, or TooManyWalls."""
    if district_id:
        districts.get(db, district_id)
    if _good(db, BoardLink.annex_id.is_(None)) >= MOST_WALLS:
        raise TooManyWalls(f"there are {MOST_WALLS} walls")
    return _wall(_add(db, annex_id=None, district_id=district_id, digest=digest, label=label, by=by, now=now))


def walls(db: Session) -> list[Wall]:
    """Those that are good first, each by age."""
    query = select(BoardLink).where(BoardLink.annex_id.is_(None))
    return [_wall(row) for row in db.scalars(query.order_by(BoardLink.revoked_at.is_not(None), BoardLink.id))]


def wall_of(db: Session, digest: str) -> Wall | None:
    """The wall's link with this digest, revoked or not."""
    row = db.scalar(select(BoardLink).where(BoardLink.digest == digest, BoardLink.annex_id.is_(None)))
    return None if row is None else _wall(row)


def revoke_wall(db: Session, wall_id: int, *, now: datetime) -> tuple[Wall, bool]:
    """As `revoke_board`."""
    row = db.scalar(select(BoardLink).where(BoardLink.id == wall_id, BoardLink.annex_id.is_(None)))
    if row is None:
        raise LinkUnknown(f"no wall {wall_id}")
    found = _wall(row)
    return found, _revoke(db, wall_id, now)


def revoke_walls_of(db: Session, district_id: str, *, now: datetime) -> None:
    """Those of a district that there is no longer: another of that name shall not open them."""
    good = (BoardLink.annex_id.is_(None), BoardLink.district_id == district_id, BoardLink.revoked_at.is_(None))
    db.execute(update(BoardLink).where(*good).values(revoked_at=now).execution_options(synchronize_session=False))


# -- printers


def labels(db: Session, scope: Scope, annex_id: str) -> dict[str, Label]:
    """The labels of an annex by printer id; none of one that is out of sight."""
    query = select(PrinterLabel).where(PrinterLabel.annex_id == annex_id, scope.limit(PrinterLabel.annex_id))
    return {row.printer_id: _label(row) for row in db.scalars(query)}


def label_of(db: Session, code: str) -> Label | None:
    """The printer that bears this code; spaces, hyphens and capitals count for nothing."""
    row = db.scalar(select(PrinterLabel).where(PrinterLabel.code == plain_code(code)))
    return None if row is None else _label(row)


def plain_code(code: str) -> str:
    """A code as it is kept, from what somebody typed."""
    return code.replace("-", "").replace(" ", "").lower()[:16]


def put_label(
    db: Session, scope: Scope, annex_id: str, printer_id: str, *, place: str | None = None, renew: bool = False,
    now: datetime,
) -> tuple[Label, bool]:  # fmt: skip
    """The label of a printer, made where there is none; and whether its code is new.

    `place` says where the printer stands; None leaves that as it was.  With `renew` the code that was opens nothing any
    more; so, too, where it was of another annex.  That the printer is one of this annex is the caller's matter.  Raises
    AnnexUnknown or Invalid.
    """
    annexes.get(db, scope, annex_id)
    row = db.get(PrinterLabel, printer_id)
    is_elsewhere = row is not None and row.annex_id != annex_id
    is_new = row is None or renew or is_elsewhere
    if row is None:
        row = PrinterLabel(printer_id=printer_id, annex_id=annex_id, code=_new_code(db), place="", created_at=now)
        db.add(row)
    elif is_new:
        row.code, row.created_at = _new_code(db), now
    if is_elsewhere:
        row.annex_id, row.place = annex_id, ""
    if place is not None:
        row.place = _written(place, LONGEST_PLACE, field="place")
    db.flush()
    return _label(row), is_new


def carry_labels(
    db: Session, printer_ids: Collection[str], annex_id: str, *, places: Mapping[str, str] | None = None
) -> dict[str, str]:  # fmt: skip
    """Codes that go to this annex with their printers; where each of those stood, by printer id.

    Where they stand now is what `places` says; else nobody said yet.
    """
    query = select(PrinterLabel).where(PrinterLabel.printer_id.in_(printer_ids), PrinterLabel.annex_id != annex_id)
    stood = {}
    for row in db.scalars(query).all():
        stood[row.printer_id] = row.place
        row.annex_id, row.place = annex_id, (places or {}).get(row.printer_id, "")
    db.flush()
    return stood


def counts(db: Session, scope: Scope, annex_ids: Sequence[str]) -> dict[str, Counts]:
    """How many links that are good these annexes have."""
    by_annex: dict[str, list[int]] = {annex_id: [0, 0] for annex_id in annex_ids}
    good = (BoardLink.annex_id.in_(annex_ids), BoardLink.revoked_at.is_(None), scope.limit(BoardLink.annex_id))
    of_boards = select(BoardLink.annex_id, func.count()).where(*good).group_by(BoardLink.annex_id)
    stuck = (PrinterLabel.annex_id.in_(annex_ids), scope.limit(PrinterLabel.annex_id))
    of_labels = select(PrinterLabel.annex_id, func.count()).where(*stuck).group_by(PrinterLabel.annex_id)
    for place, query in enumerate((of_boards, of_labels)):
        for annex_id, number in db.execute(query):
            by_annex[str(annex_id)][place] = number
    return {annex_id: Counts(*numbers) for annex_id, numbers in by_annex.items()}


def _new_code(db: Session) -> str:
    while True:
        code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(CODE_LENGTH))
        if db.scalar(select(PrinterLabel.printer_id).where(PrinterLabel.code == code)) is None:
            return code


def _written(text: str, longest: int, *, field: str) -> str:
    """On one line.  Raises Invalid for what is too long."""
    text = " ".join(text.split())
    if len(text) > longest:
        raise Invalid(f"{field} is longer than {longest}", field=field)
    return text


def _add(
    db: Session, *, annex_id: str | None, district_id: str, digest: str, label: str, by: str, now: datetime
) -> BoardLink:  # fmt: skip
    label = _written(label, LONGEST_LABEL, field="label")
    if not label:
        raise Invalid("a link has a label", field="label")
    row = BoardLink(
        annex_id=annex_id, district_id=district_id, digest=digest, label=label, created_at=now, created_by=by[:80]
    )  # fmt: skip
    db.add(row)
    db.flush()
    return row


def _good(db: Session, which: ColumnElement[bool]) -> int:
    """How many of these open something."""
    return db.scalar(select(func.count()).select_from(BoardLink).where(which, BoardLink.revoked_at.is_(None))) or 0


def _revoke(db: Session, link_id: int, now: datetime) -> bool:
    """Whether nobody had revoked it."""
    mine = (BoardLink.id == link_id, closing.may_be_revoked(BoardLink))
    wanted = update(BoardLink).where(*mine).values(revoked_at=now).execution_options(synchronize_session="fetch")
    return bool(db.execute(wanted).rowcount)  # type: ignore[attr-defined]


def _board(row: BoardLink) -> Board:
    return Board(
        id=row.id, annex_id=row.annex_id or "", label=row.label, created_at=row.created_at, created_by=row.created_by,
        used_at=row.used_at, revoked_at=row.revoked_at,
    )  # fmt: skip


def _wall(row: BoardLink) -> Wall:
    return Wall(
        id=row.id, district_id=row.district_id, label=row.label, created_at=row.created_at, created_by=row.created_by,
        used_at=row.used_at, revoked_at=row.revoked_at,
    )  # fmt: skip


def _label(row: PrinterLabel) -> Label:
    return Label(row.printer_id, row.annex_id, row.code, row.place)
