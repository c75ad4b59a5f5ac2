"""Services, as the province and its annexes describe them.  Every function works in the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from annexfleet_controller.errors import SettingChanged, SettingWrong
from annexfleet_controller.readiness.services import CATALOGUE, Override, ServiceDefinition
from annexfleet_controller.store import annexes, pulses, readiness, service_words
from annexfleet_controller.store.audit import Fact
from annexfleet_controller.tending import effects
from annexfleet_controller.tending.reach import Reach, digest
from annexfleet_controller.tending.trace import Hand, note

BUILT_IN = frozenset(service.code for service in CATALOGUE)


def stands(db: Session, annex_id: str, code: str) -> str:
    """What stands for the version of what an annex says, or the province where that is empty."""
    return service_words.stamp(db, annex_id, code)


def change_of_annex(
    db: Session, hand: Hand, annex_id: str, code: str, override: Override, *, read: str | None, now: datetime
) -> int:
    """What an annex says of a service from now on; the step by which it can be taken back.

    `read` is what `stands` gave when it was read; None: whatever stands.  Raises AnnexUnknown or SettingChanged.
    """
    annexes.get(db, hand.scope, annex_id)
    was = _read(db, annex_id, code, read)
    service_words.put_override(db, annex_id, code, override, by=hand.name, now=now)
    facts: dict[str, Fact] = {"offered": override.offered, "own_needs": override.needs is not None}
    return _done(db, hand, annex_id, code, was, now=now, facts=facts)


def changing(db: Session, service: ServiceDefinition) -> Reach:
    """What it touches when the province describes a service anew: every annex that offers it or speaks of it."""
    return _reach(db, service.code, [f"{service}"])


def change(
    db: Session, hand: Hand, service: ServiceDefinition, *, read: str, confirmed: str, now: datetime
) -> int:  # fmt: skip
    """The province describes a service; the step by which it can be taken back.

    Raises SettingChanged, and Unconfirmed where several annexes use it and `confirmed` is not the digest of that.
    """
    was = _read(db, "", service.code, read)
    effects.demand(changing(db, service), confirmed)
    service_words.put_service(db, service, by=hand.name, now=now)
    return _done(db, hand, "", service.code, was, now=now, facts={"name": service.name("fr")})


def replace(
    db: Session, hand: Hand, services: Sequence[ServiceDefinition], *, read: int, now: datetime
) -> None:  # fmt: skip
    """These and no others are the province's own.  Raises SettingChanged unless `catalogue_stamp` is what was read."""
    if read != service_words.catalogue_stamp(db):
        raise SettingChanged("somebody described a service meanwhile", version=service_words.catalogue_stamp(db))
    readiness.replace_services(db, services, by=hand.name, now=now)
    pulses.add(db, {}, now=now, origin="settings", annexes={"": "m"})
    note(db, hand, "service.replace", "service:*", now=now, facts={"count": len(services)})


def remove(db: Session, hand: Hand, code: str, *, read: str, now: datetime) -> int:
    """The province describes it no more: one of the usual services is as it comes, one of its own is gone.

    Raises SettingChanged, or SettingWrong where annexes use one that would be gone.
    """
    was = _read(db, "", code, read)
    if was is None:
        raise SettingChanged("nobody described it")
    if code not in BUILT_IN and service_words.users(db).get(code):
        raise SettingWrong(field="code", reason="in_use")
    service_words.put_document(db, "", code, None, by=hand.name, now=now)
    return _done(db, hand, "", code, was, now=now, facts={"removed": True})


def write_back(db: Session, annex_id: str, code: str, was: str | None, *, by: str, now: datetime) -> None:
    """What was written before an act."""
    service_words.put_document(db, annex_id, code, was, by=by, now=now)
    pulses.add(db, {}, now=now, origin="settings", annexes={annex_id: "m"})


def _read(db: Session, annex_id: str, code: str, read: str | None) -> str | None:
    if read is not None and read != stands(db, annex_id, code):
        raise SettingChanged("somebody described the service meanwhile")
    return service_words.document(db, annex_id, code)


def _reach(db: Session, code: str, parts: list[str]) -> Reach:
    count = service_words.users(db).get(code, 0)
    return Reach(
        annexes=count, effects=("every_annex", "undo"),
        digest=digest("service.change", [code, str(count), *parts]),
    )  # fmt: skip


def _done(
    db: Session, hand: Hand, annex_id: str, code: str, was: str | None, *, now: datetime, facts: Mapping[str, Fact]
) -> int:
    pulses.add(db, {}, now=now, origin="settings", annexes={annex_id: "m"})
    return note(
        db, hand, "service.change", f"service:{annex_id}/{code}" if annex_id else f"service:{code}", now=now,
        annex_id=annex_id, facts=facts, before={"was": was, "left": stands(db, annex_id, code)},
    )  # fmt: skip
