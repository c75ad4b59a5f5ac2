"""Planning maintenance: what pages and the API ask for, looked up, checked and kept."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from msgspec import structs
from sqlalchemy.orm import Session

from annexfleet_controller.errors import Forbidden
from annexfleet_controller.maintenance import Draft, Maintenance, moved_end, parse, stopped
from annexfleet_controller.store import annexes, audit, fleet
from annexfleet_controller.store import maintenance as kept
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.things import Thing


def plan(db: Session, scope: Scope, draft: Draft, *, author: str, via: str, now: datetime) -> Maintenance:
    """Keep a new maintenance of this person.

    Raises MaintenanceWrong; Forbidden for the whole province of who does not see all of it; AnnexUnknown or
    DeviceUnknown for what is out of sight.
    """
    if draft.province and scope.annexes is not None:
        raise Forbidden("the whole province is for who sees all of it")
    for annex_id in draft.annexes:
        annexes.get(db, scope, annex_id)
    zones_of = {place.id: place.time_zone for place in annexes.listing(db, scope, with_retired=True)}
    annex_of = _annexes_of(db, scope, draft.things, now=now)
    made = kept.create(db, parse(draft, zones_of=zones_of, annex_of=annex_of, author=author, now=now))
    _note(db, made, "maintenance.plan", by=author, via=via, now=now, facts={"reason": made.reason[:200]} | _until(made))
    return made


def end(
    db: Session,
    scope: Scope,
    maintenance_id: int,
    *,
    by: str,
    via: str,
    now: datetime,
    wholly: bool = False,
    version: int | None = None,
) -> Maintenance:
    """End one now; of a weekly one the occurrence that lasts, unless `wholly`.  One that is over stays as it is.

    Raises MaintenanceUnknown, Forbidden, or MaintenanceChanged if it is no longer that version.
    """
    m = kept.get_to_change(db, scope, maintenance_id)
    after = stopped(m, by=by, now=now, wholly=wholly)
    if after is m:
        return m
    saved = kept.save(db, _of_version(after, version))
    _note(db, saved, "maintenance.end", by=by, via=via, now=now, facts={"wholly": wholly} if m.weekly else {})
    return saved


def move_end(
    db: Session,
    scope: Scope,
    maintenance_id: int,
    *,
    ends_at: datetime | None = None,
    until: date | None = None,
    by: str,
    via: str,
    now: datetime,
    version: int | None = None,
) -> Maintenance:
    """Let one last longer, or less long.  Raises as `end` does, and MaintenanceWrong."""
    m = kept.get_to_change(db, scope, maintenance_id)
    saved = kept.save(db, _of_version(moved_end(m, ends_at=ends_at, until=until, now=now), version))
    _note(db, saved, "maintenance.move_end", by=by, via=via, now=now, facts=_until(saved))
    return saved


def in_sight(db: Session, scope: Scope, found: Sequence[Maintenance], *, now: datetime) -> list[Maintenance]:
    """These maintenances with what of them stands in somebody's annexes, and nothing of others'."""
    hidden = {m.id for m in found if not m.area.province and not kept.may_change(scope, m)}
    if not hidden:
        return list(found)
    rows = fleet.devices(db, scope, now=now)
    seen = {Thing("device", row.id) for row in rows}
    if any(thing.kind == "printer" for m in found if m.id in hidden for thing in m.area.things):
        known = fleet.known(db, rows, collectors=["printers"])
        seen |= {Thing("printer", printer.id) for printer in fleet.printers(rows, known)}
    return [_narrowed(m, scope, seen) if m.id in hidden else m for m in found]


def _narrowed(m: Maintenance, scope: Scope, seen: Collection[Thing]) -> Maintenance:
    area = structs.replace(
        m.area, annexes=tuple(annex for annex in m.area.annexes if scope.covers(annex)),
        things=tuple(thing for thing in m.area.things if thing in seen),
    )  # fmt: skip
    # What it touches stays: by that one knows that it is not all theirs.
    return structs.replace(m, area=area)


def _note(
    db: Session, m: Maintenance, act: str, *, by: str, via: str, now: datetime, facts: Mapping[str, audit.Fact]
) -> None:
    """In the audit: under its annex where it touches one alone, else as the province's, with the annexes named."""
    alone = m.touches[0] if len(m.touches) == 1 else ""
    several: dict[str, audit.Fact] = {} if alone else {"annexes": list(m.touches)}
    audit.add(
        db, now=now, actor=by, via=via, act=act, subject=f"maintenance:{m.id}", annex_id=alone,
        facts={**several, **facts},
    )  # fmt: skip


def _until(m: Maintenance) -> dict[str, audit.Fact]:
    if m.weekly is not None:
        return {"until": m.weekly.until.isoformat()}
    return {"until": m.ends_at.isoformat(timespec="minutes") if m.ends_at else None}


def _of_version(m: Maintenance, version: int | None) -> Maintenance:
    return m if version is None else structs.replace(m, version=version)


def _annexes_of(db: Session, scope: Scope, things: tuple[Thing, ...], *, now: datetime) -> dict[Thing, str]:
    """The annex of each of these things that is in sight; printers are those that devices see now."""
    found = {
        thing: fleet.device(db, scope, thing.id).annex_id for thing in things if thing.kind == "device"
    }  # DeviceUnknown is as good an answer as any
    if any(thing.kind == "printer" for thing in things):
        rows = fleet.devices(db, scope, now=now)
        known = fleet.known(db, rows, collectors=["printers"])
        found |= {Thing("printer", seen.id): seen.annex_id for seen in fleet.printers(rows, known)}
    return found
