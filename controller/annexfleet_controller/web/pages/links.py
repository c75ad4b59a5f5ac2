"""/admin/links: boards and walls that open without a password, and codes on printers; /admin/labels: those on paper."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access import links as making
from annexfleet_controller.access.address import Address, address_of
from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import SendingOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import NotFound
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.catalogues import language as words_of
from annexfleet_controller.store import annexes, audit, districts, fleet, links
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.qr import qr
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/admin", include_in_schema=False)

Managing = Annotated[Person, Depends(Needs("manage_links"))]
ManagingWalls = Annotated[Person, Depends(Needs("manage_walls"))]
AnnexId = Annotated[str, Form(alias="annex", max_length=63)]
AskedAnnex = Annotated[str, Query(alias="annex", max_length=63)]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
_PAGE = 60


class PrinterLine(Struct, frozen=True):
    """A printer with its label, if it has one."""

    id: str
    name: str
    model: str
    label: links.Label | None
    is_seen: bool
    """Whether any device tells of it now."""


class Sticker(Struct, frozen=True):
    """What is printed for one printer."""

    name: str
    place: str
    code: str
    """In two halves, to be typed."""
    qr: Markup


@router.get("/links")
def show(
    *, request: Request, person: Managing, db: Db, now: Now, language: LanguageOf, page: Page, annex: AskedAnnex = "",
    q: Annotated[str, Query(max_length=80)] = "", after: Annotated[str, Query(max_length=63)] = "",
) -> HTMLResponse:  # fmt: skip
    """Of one annex its boards and printers; without one, the walls, and the annexes with how many they have."""
    if annex:
        return _of_annex(db, person, annex, request=request, language=language, page=page, now=now)
    return _of_all(db, person, request=request, language=language, page=page, q=q, after=after)


def _of_all(
    db: Session, person: Person, *, request: Request, language: Language, page: Page, q: str = "", after: str = "",
    made: tuple[links.Wall, str, Markup] | None = None,
) -> HTMLResponse:  # fmt: skip
    places = annexes.listing(db, person.scope, search=q, after=after, limit=_PAGE + 1)
    shown = places[:_PAGE]
    counted = links.counts(db, person.scope, [place.id for place in shown])
    return page(
        "links.html",
        lines=[(place.id, name_of(place, language.code), counted[place.id]) for place in shown],
        q=q,
        more=shown[-1].id if len(places) > _PAGE else "",
        address=address_of(request),
        status=201 if made else 200,
        made=made,
        walls=None if q or after or not person.may("manage_walls") else links.walls(db),
        districts={of.id: of.name_ar if language.code == "ar" else of.name_fr for of in districts.listing(db)},
        longest_label=links.LONGEST_LABEL,
    )


@router.post("/links/walls")
def create_wall(
    *, request: Request, person: ManagingWalls, db: WritingDb, now: Now, language: LanguageOf, page: Page,
    sending: SendingOf, label: Annotated[str, Form(max_length=links.LONGEST_LABEL)],
    district: Annotated[str, Form(max_length=63)] = "",
) -> HTMLResponse:  # fmt: skip
    """As `create_board`; an empty district is the province."""
    sending.claim(db, person, now=now)
    wall, secret = making.new_wall(db, person, district, label=label, now=now)
    url = address_of(request).of(f"/wall/{secret}")
    return _of_all(db, person, request=request, language=language, page=page, made=(wall, url, qr(url)))


@router.post("/links/walls/{wall_id}/revoke")
def revoke_wall(wall_id: Id, person: ManagingWalls, db: WritingDb, now: Now) -> Response:
    making.revoke_wall(db, wall_id, by=person.name, via=person.via, now=now)
    return RedirectResponse("/admin/links", 303)


@router.post("/links/boards")
def create_board(
    *, request: Request, person: Managing, db: WritingDb, now: Now, language: LanguageOf, page: Page,
    sending: SendingOf, annex: AnnexId, label: Annotated[str, Form(max_length=links.LONGEST_LABEL)],
) -> HTMLResponse:  # fmt: skip
    """Shows the link, to be copied or printed; it is in this answer and nowhere else, so there is no redirect."""
    sending.claim(db, person, now=now)
    board, secret = making.new_board(db, person, annex, label=label, now=now)
    url = address_of(request).of(f"/board/{secret}")
    return _of_annex(
        db, person, annex, request=request, language=language, page=page, now=now, made=(board, url, qr(url))
    )


@router.post("/links/boards/{board_id}/revoke")
def revoke_board(board_id: Id, person: Managing, db: WritingDb, now: Now) -> Response:
    board = making.revoke_board(db, person.scope, board_id, by=person.name, via=person.via, now=now)
    return RedirectResponse(f"/admin/links?annex={board.annex_id}", 303)


@router.post("/links/labels")
def put_label(
    *, person: Managing, db: WritingDb, now: Now, annex: AnnexId, printer: Annotated[str, Form(max_length=24)],
    do: Annotated[Literal["make", "place", "renew"], Form()] = "make",
    place: Annotated[str | None, Form(max_length=links.LONGEST_PLACE)] = None,
) -> Response:  # fmt: skip
    """Make a printer's code, write down where it stands, or replace a code that got into wrong hands."""
    annexes.get(db, person.scope, annex)
    known = {line.id: line for line in _printers(db, person, annex, now=now)}
    if printer not in known:
        raise NotFound(f"no printer {printer!r} in {annex}")
    _put(db, person, annex, known[printer], place=place, renew=do == "renew", now=now)
    return RedirectResponse(f"/admin/links?annex={annex}#printers", 303)


@router.post("/links/labels/all")
def make_all(person: Managing, db: WritingDb, now: Now, annex: AnnexId) -> Response:
    """A code for each printer that has none; then the page to print."""
    annexes.get(db, person.scope, annex)
    for line in _printers(db, person, annex, now=now):
        if line.label is None:
            _put(db, person, annex, line, place=None, renew=False, now=now)
    return RedirectResponse(f"/admin/labels?annex={annex}", 303)


@router.get("/labels")
def labels(
    *, request: Request, person: Managing, db: Db, now: Now, language: LanguageOf, page: Page, annex: AskedAnnex,
    printer: Annotated[str, Query(max_length=24)] = "",
) -> HTMLResponse:  # fmt: skip
    """An A4 sheet of labels to cut out, of all printers of an annex that have one, or of one printer."""
    place = annexes.get(db, person.scope, annex)
    address = address_of(request)
    lines = [line for line in _printers(db, person, annex, now=now) if printer in {"", line.id}]
    return page(
        "labels.html",
        annex=annex,
        place=name_of(place, language.code),
        stickers=[_sticker(line, line.label, address) for line in lines if line.label is not None],
        without=sum(line.label is None for line in lines),
        on_paper=_on_paper("scan_printer"),
        address=address,
    )


def _of_annex(
    db: Session, person: Person, annex_id: str, *, request: Request, language: Language, page: Page, now: datetime,
    made: tuple[links.Board, str, Markup] | None = None,
) -> HTMLResponse:  # fmt: skip
    place = annexes.get(db, person.scope, annex_id)
    return page(
        "links_annex.html",
        status=201 if made else 200,
        annex=annex_id,
        place=name_of(place, language.code),
        boards=links.boards(db, person.scope, annex_id),
        printers=_printers(db, person, annex_id, now=now),
        made=made,
        address=address_of(request),
        on_paper=_on_paper("scan_board"),
        longest_label=links.LONGEST_LABEL,
        longest_place=links.LONGEST_PLACE,
    )


def _printers(db: Session, person: Person, annex_id: str, *, now: datetime) -> list[PrinterLine]:
    """The printers that devices see, and those with a label that none sees any more."""
    rows = fleet.devices(db, person.scope, now=now, annex_id=annex_id)
    seen = fleet.printers(rows, fleet.known(db, rows, collectors=["printers"]))
    of = links.labels(db, person.scope, annex_id)
    lines = [PrinterLine(p.id, p.printer.name, p.printer.model, of.get(p.id), is_seen=True) for p in seen]
    gone = [PrinterLine(id_, "", "", label, is_seen=False) for id_, label in of.items()]
    known = {line.id for line in lines}
    return [*sorted(lines, key=lambda line: (line.name, line.id)), *(line for line in gone if line.id not in known)]


def _put(
    db: Session, person: Person, annex_id: str, line: PrinterLine, *, place: str | None, renew: bool, now: datetime
) -> None:
    label, is_new = links.put_label(db, person.scope, annex_id, line.id, place=place, renew=renew, now=now)
    facts: dict[str, audit.Fact] = {"printer": line.name, "place": label.place}
    if is_new:
        audit.add(
            db, now=now, actor=person.name, via=person.via, act="label.make", subject=f"printer:{line.id}",
            annex_id=annex_id, facts=facts,
        )  # fmt: skip
    elif line.label is not None and line.label.place != label.place:
        audit.add(
            db, now=now, actor=person.name, via=person.via, act="label.place", subject=f"printer:{line.id}",
            annex_id=annex_id, facts=facts,
        )  # fmt: skip


def _on_paper(code: str) -> dict[str, str]:
    """A sentence for paper, which everybody reads whatever language its printer works in."""
    return {one: words_of(one).name("on_paper", code) for one in ("ar", "fr")}


def _sticker(line: PrinterLine, label: links.Label, address: Address) -> Sticker:
    half = links.CODE_LENGTH // 2
    return Sticker(
        line.name, label.place, f"{label.code[:half]}-{label.code[half:]}", qr(address.of(f"/p/{label.code}"))
    )  # fmt: skip
