"""Single services as people edit them: when each was written, so that nobody writes over what they did not read."""

import hashlib
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.readiness.document import written_override, written_service
from annexfleet_controller.readiness.services import Override, ServiceDefinition
from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.readiness import AnnexServiceRow, ReadinessSpan, ServiceRow


def stamp(db: Session, annex_id: str, code: str) -> str:
    """When this was written, in microseconds since 1970; of an annex, or of the province where that is empty.

    Empty where nobody wrote anything.  It stands for a version.
    """
    at = _row(db, annex_id, code)
    return "" if at is None else str(bulk.micros(at.updated_at.timestamp()))


def catalogue_stamp(db: Session) -> int:
    """What differs when any of the province's own services was written or taken away; 0 where there is none."""
    rows = db.execute(select(ServiceRow.code, ServiceRow.updated_at).order_by(ServiceRow.code)).all()
    if not rows:
        return 0
    told = "\n".join(f"{code} {bulk.micros(at.timestamp())}" for code, at in rows)
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:6])


def stamps(db: Session, annex_id: str) -> dict[str, int]:
    """`stamp` of everything that an annex says, by code."""
    rows = select(AnnexServiceRow.service, AnnexServiceRow.updated_at).where(AnnexServiceRow.annex_id == annex_id)
    return {code: bulk.micros(at.timestamp()) for code, at in db.execute(rows)}


def document(db: Session, annex_id: str, code: str) -> str | None:
    """What is written, as JSON; None where nothing is."""
    row = _row(db, annex_id, code)
    return None if row is None else row.document


def put_override(db: Session, annex_id: str, code: str, override: Override, *, by: str, now: datetime) -> None:
    """What an annex says of a service; one that says nothing is taken away."""
    said = None if override == Override() else msgspec.json.encode(written_override(override)).decode()
    put_document(db, annex_id, code, said, by=by, now=now)


def put_service(db: Session, service: ServiceDefinition, *, by: str, now: datetime) -> None:
    put_document(db, "", service.code, msgspec.json.encode(written_service(service)).decode(), by=by, now=now)


def put_document(db: Session, annex_id: str, code: str, text: str | None, *, by: str, now: datetime) -> None:
    """None takes it away.  Whether it can be read is the caller's matter."""
    row = _row(db, annex_id, code)
    if text is None:
        if row is not None:
            db.delete(row)
    elif row is not None:
        row.document, row.updated_at, row.updated_by = text, now, by
    elif annex_id:
        db.add(AnnexServiceRow(annex_id=annex_id, service=code, document=text, updated_at=now, updated_by=by))
    else:
        db.add(ServiceRow(code=code, document=text, updated_at=now, updated_by=by))
    db.flush()


def users(db: Session) -> dict[str, int]:
    """How many open annexes speak of a service, or offer it now, by code; what nobody uses is missing."""
    found: dict[str, set[str]] = {}
    open_ones = select(Annex.id).where(Annex.retired_at.is_(None))
    for code, annex_id in db.execute(
        select(AnnexServiceRow.service, AnnexServiceRow.annex_id).where(AnnexServiceRow.annex_id.in_(open_ones))
    ):
        found.setdefault(code, set()).add(annex_id)
    for code, annex_id in db.execute(
        select(ReadinessSpan.service, ReadinessSpan.annex_id)
        .where(ReadinessSpan.until.is_(None), ReadinessSpan.annex_id.in_(open_ones))
    ):  # fmt: skip
        found.setdefault(code, set()).add(annex_id)
    return {code: len(of) for code, of in found.items()}


def _row(db: Session, annex_id: str, code: str) -> AnnexServiceRow | ServiceRow | None:
    if annex_id:
        return db.get(AnnexServiceRow, (annex_id, code))
    return db.get(ServiceRow, code)
