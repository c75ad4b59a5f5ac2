"""Links that open something without a password: an annex's board, and the codes on printers.

Of a board's link only the SHA-256 of its secret is kept.  A printer's code is kept as it is, so that a torn label can
be printed again; it opens that printer's state and nothing else.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import Invalid, LinkUnknown, TooManyLinks
from annexfleet_controller.store import annexes, closing
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.places import BoardLink, PrinterLabel

TOUCH_EVERY = timedelta(hours=1)
"""That a board was used is written at most this often."""
LONGEST_LABEL = 60
LONGEST_PLACE = 80
MOST_OF_AN_ANNEX = 50
"""Links of one annex that are good at the same time."""
CODE_LENGTH = 10
_CODE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without i, l, o, 0 and 1: people read codes from paper.  Ten of them are 49 bits."""


class Board(Struct, frozen=True):
    """Leave to see an annex's board."""

    id: int
    annex_id: str
    label: str
    created_at: datetime
    created_by: str
    used_at: datetime | None
    revoked_at: datetime | None


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
    label = _written(label, LONGEST_LABEL, field="label")
    if not label:
        raise Invalid("a board has a label", field="label")
    good = (BoardLink.annex_id == annex_id, BoardLink.revoked_at.is_(None))
    if (db.scalar(select(func.count()).select_from(BoardLink).where(*good)) or 0) >= MOST_OF_AN_ANNEX:
        raise TooManyLinks(f"annex {annex_id} has {MOST_OF_AN_ANNEX} boards")
    row = BoardLink(annex_id=annex_id, digest=digest, label=label, created_at=now, created_by=by[:80])
    db.add(row)
    db.flush()
    return _board(row)


def boards(db: Session, scope: Scope, annex_id: str = "") -> list[Board]:
    """Links in sight: those that are good first, each by annex and age; of one annex, or of all."""
    query = select(BoardLink).where(scope.limit(BoardLink.annex_id))
    if annex_id:
        query = query.where(BoardLink.annex_id == annex_id)
    order = (BoardLink.revoked_at.is_not(None), BoardLink.annex_id, BoardLink.id)
    return [_board(row) for row in db.scalars(query.order_by(*order))]


def board(db: Session, scope: Scope, board_id: int) -> Board:
    """Raises LinkUnknown where there is none, or none in sight."""
    row = db.scalar(select(BoardLink).where(BoardLink.id == board_id, scope.limit(BoardLink.annex_id)))
    if row is None:
        raise LinkUnknown(f"no board {board_id}")
    return _board(row)


def board_of(db: Session, digest: str) -> Board | None:
    """The link with this digest, revoked or not."""
    row = db.scalar(select(BoardLink).where(BoardLink.digest == digest))
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
    mine = (BoardLink.id == board_id, closing.may_be_revoked(BoardLink))
    wanted = update(BoardLink).where(*mine).values(revoked_at=now).execution_options(synchronize_session="fetch")
    done = db.execute(wanted)
    return found, bool(done.rowcount)  # type: ignore[attr-defined]


def touch_board(db: Session, board_id: int, now: datetime) -> None:
    db.execute(update(BoardLink).where(BoardLink.id == board_id).values(used_at=now))


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
            by_annex[annex_id][place] = number
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


def _board(row: BoardLink) -> Board:
    return Board(row.id, row.annex_id, row.label, row.created_at, row.created_by, row.used_at, row.revoked_at)


def _label(row: PrinterLabel) -> Label:
    return Label(row.printer_id, row.annex_id, row.code, row.place)
