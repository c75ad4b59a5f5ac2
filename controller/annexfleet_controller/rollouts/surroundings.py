"""Annexes as rollouts need to know them: their devices' views, what their services rest on, when they are open."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from annexfleet_controller import views
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.readiness import services
from annexfleet_controller.readiness.leaves import leaves
from annexfleet_controller.readiness.model import All
from annexfleet_controller.store import calendars, figures, gather, readiness, rollout_evidence
from annexfleet_controller.views import AnnexView, DeviceView
from annexfleet_controller.waves import budget
from annexfleet_controller.waves.plan import ServedBy, Structure

Trees = Mapping[str, All]


class Definitions:
    """What people say of services; read once and used for many annexes."""

    def __init__(self, db: Session) -> None:
        self.version = readiness.services_version(db)
        self._known = services.catalogue(readiness.own_services(db))
        self._own = readiness.all_overrides(db)

    def trees(self, view: AnnexView) -> Trees:
        """What each service of an annex rests on, with its things as they are now."""
        return services.trees(
            leaves(view), annex_id=view.id, queues=[queue.service for queue in view.queues],
            known=self._known, overrides=self._own.get(view.id, {}),
        )  # fmt: skip


def calendars_of(db: Session, annexes: Collection[str]) -> dict[str, Calendar]:
    """The opening hours of these annexes."""
    every = calendars.of_all(db)
    return {annex_id: every[annex_id] for annex_id in annexes if annex_id in every}


def listening_since(db: Session) -> datetime:
    """Since when ingest listens: before that nobody could be heard."""
    told = figures.read(db)
    return datetime.fromtimestamp(told.get("ingest_connected_at_seconds", (0.0, None))[0], UTC)


def structure(db: Session, annexes: Collection[str], *, now: datetime) -> tuple[Structure, ServedBy]:
    """By annex, what each service rests on with everything working, and who sees its printers: for a plan's spread."""
    defined, hours = Definitions(db), calendars_of(db, annexes)
    trees, served_by = {}, {}
    for annex_id, of in _views(db, annexes, now=now):
        calendar = hours.get(annex_id)
        view = views.annex(annex_id, of, now=now, is_open=calendar is not None and calendar.is_open(now))
        trees[annex_id] = budget.with_all_well(defined.trees(view))
        served_by[annex_id] = budget.served_by(view)
    return trees, served_by


def _views(db: Session, annexes: Collection[str], *, now: datetime) -> Iterable[tuple[str, list[DeviceView]]]:
    members = rollout_evidence.members(db, annexes)
    since = listening_since(db)
    seen = gather.views(
        db, [number for of in members.values() for number in of], now=now, listening_since=since
    )  # fmt: skip
    for annex_id, numbers in members.items():
        yield annex_id, [seen[number] for number in numbers if number in seen]
