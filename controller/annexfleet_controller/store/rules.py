"""The rules in force: the defaults, with what the province and its annexes changed."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AnnexUnknown, RuleChanged
from annexfleet_controller.rules.ruleset import PROVINCE, Override, Ruleset, StoredOverride, encode, parse_override
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.rules import RuleOverride


class Kept(Struct, frozen=True):
    """Who changed a rule last; version 0 if nobody did."""

    version: int = 0
    updated_at: datetime | None = None
    updated_by: str = ""


def ruleset(db: Session) -> Ruleset:
    """All rules with all overrides.  One that cannot be counts as if it were not there, and is in `problems`."""
    columns = (RuleOverride.scope, RuleOverride.rule_id, RuleOverride.document)
    rows = db.execute(select(*columns).order_by(RuleOverride.scope, RuleOverride.rule_id))
    return Ruleset(StoredOverride(*row) for row in rows)


def stamp(db: Session) -> tuple[int, datetime | None]:
    """Another one whenever an override was put or removed: so that a loop need not read all of them each time."""
    count, newest = db.execute(select(func.count(), func.max(RuleOverride.updated_at))).one()
    return count, newest


def kept(db: Session, scope: str) -> dict[str, Kept]:
    """What one scope changed, by rule."""
    rows = db.scalars(select(RuleOverride).where(RuleOverride.scope == scope))
    return {row.rule_id: Kept(row.version, row.updated_at, row.updated_by) for row in rows}


def document(db: Session, scope: str, rule_id: str) -> str | None:
    """What one scope changed of a rule, as it is written; None if it changed nothing."""
    return db.scalar(select(RuleOverride.document).where(*_place(scope, rule_id)))


def put(
    db: Session, scope: str, rule_id: str, document: object, *, version: int | None, by: str, now: datetime
) -> Override:
    """Let this override count, instead of that of `version` (0: there was none; None: whatever there was).

    An override that changes nothing is not kept.  Raises RuleUnknown, RuleWrong, AnnexUnknown, and RuleChanged if
    somebody else changed it meanwhile.
    """
    _check_scope(db, scope)
    override = parse_override(document, ruleset(db).base(rule_id, scope))
    if override == Override():
        remove(db, scope, rule_id, version=version)
        return override
    values = {"document": encode(override), "updated_at": now, "updated_by": by}
    if version is None:
        version = db.scalar(select(RuleOverride.version).where(*_place(scope, rule_id))) or 0
    if version == 0:
        _insert(db, RuleOverride(scope=scope, rule_id=rule_id, version=1, **values))
        return override
    changed = db.execute(
        update(RuleOverride)
        .where(*_place(scope, rule_id), RuleOverride.version == version)
        .values(values | {"version": version + 1})
        .execution_options(synchronize_session="fetch")
    )
    if not changed.rowcount:  # type: ignore[attr-defined]
        raise _changed(scope, rule_id)
    return override


def remove(db: Session, scope: str, rule_id: str, *, version: int | None = None) -> bool:
    """Back to what it was without this scope's override; gives whether there was one.

    Raises RuleChanged if it is not that of `version` any more.
    """
    there = db.scalar(select(RuleOverride.version).where(*_place(scope, rule_id)))
    if version is not None and version != (there or 0):
        raise _changed(scope, rule_id)
    db.execute(delete(RuleOverride).where(*_place(scope, rule_id)))
    return there is not None


def _place(scope: str, rule_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return RuleOverride.scope == scope, RuleOverride.rule_id == rule_id


def _check_scope(db: Session, scope: str) -> None:
    if scope != PROVINCE and db.scalar(select(Annex.id).where(Annex.id == scope)) is None:
        raise AnnexUnknown(f"no annex {scope!r}")


def _insert(db: Session, row: RuleOverride) -> None:
    try:
        with db.begin_nested():
            db.add(row)
    except IntegrityError as error:
        raise _changed(row.scope, row.rule_id) from error


def _changed(scope: str, rule_id: str) -> RuleChanged:
    where = scope or "the province"
    return RuleChanged(f"somebody changed the rule {rule_id} of {where} meanwhile")
