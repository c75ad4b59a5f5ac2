"""Many annexes at once, as the province's page and the wall show them: tiles by district, a list, sums, trends.

Reads a row an annex that the watch has written, and no device.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import urlencode

from markupsafe import Markup, escape
from msgspec import Struct, structs
from sqlalchemy.orm import Session

from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.maintenance import span_at
from annexfleet_controller.readiness.model import State
from annexfleet_controller.store import maintenance, overview, readiness
from annexfleet_controller.store.overview import AnnexLine, Moment, Numbers, Pressing
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.things import SEVERITIES
from annexfleet_controller.web.sparklines import Curve, curve, nice_top
from annexfleet_controller.web.standing import is_old

ORDER: tuple[State, ...] = ("blocked", "degraded", "unknown", "ready")
"""Of the sums: what needs somebody comes first."""
PAGE = 50
MOST_TILES = 2000
"""Past that a district is its sums alone."""


class Asked(Struct, frozen=True, kw_only=True):
    """What somebody wants to see, as the page's address has it."""

    q: str = ""
    state: str = ""
    """A readiness, or `maintenance`."""
    district: str = ""
    service: str = ""
    days: int = 1
    page: int = 1

    def address(self, **changed: str | int) -> str:
        """The query of the same with something changed; from the first page again unless that is what changes."""
        values = {**structs.asdict(self), "page": 1, **changed}
        usual = {"days": 1, "page": 1}
        return urlencode({name: value for name, value in values.items() if value and value != usual.get(name)})

    @property
    def is_narrowed(self) -> bool:
        return bool(self.q or self.state or self.district or self.service)


class Spot(Struct, frozen=True):
    """An annex among all."""

    id: str
    name: str
    district_id: str
    state: State
    is_maintained: bool
    numbers: Numbers
    pressing: Pressing | None

    @property
    def look(self) -> str:
        """The class of its tile; a plain one is ready."""
        known: str = "" if self.state == "ready" else self.state
        if self.is_maintained:
            known = f"{known} worked".strip()
        return f' class="{known}"' if known else ""


class Group(Struct, frozen=True):
    """The annexes of a district; those of none have an empty id and name."""

    id: str
    name: str
    counts: dict[State, int]
    spots: list[Spot]
    """In an order that stays: a tile is found again where it was."""

    def tiles(self, *, linked: bool) -> Markup:
        """A tile an annex, leading to it or not.  Written here, since a template takes ten times as long for 2,000."""
        return Markup(  # noqa: S704  # an id has letters, digits and hyphens; what people wrote is escaped
            "".join(
                f'<a tabindex="-1"{spot.look} href="/annexes/{spot.id}" title="{escape(spot.name)}"></a>'
                if linked
                else f'<i{spot.look} title="{escape(spot.name)}"></i>'
                for spot in self.spots
            )
        )


class Sums(Struct, frozen=True, kw_only=True):
    states: dict[State, int]
    maintained: int
    annexes: int
    opened: int
    """Annexes that are open now."""
    online: int
    silent: int
    never: int
    printers: int
    troubled: int
    unseen: int
    """Printers of which nobody can tell."""
    waiting: float | None
    untold: int
    """Annexes in which somebody counted who waits, and in which not all of it is known now."""


class Picture(Struct, frozen=True, kw_only=True):
    total: int
    """Annexes in sight, before anything narrows them."""
    sums: Sums
    """Of what is left by everything but the state."""
    groups: list[Group]
    spots: list[Spot]
    """All that match, the most pressing first."""
    names: dict[str, str]
    """Of every annex in sight."""
    districts: list[tuple[str, str]]
    services: list[tuple[str, str]]
    watched_until: datetime | None
    is_old: bool

    def page(self, number: int) -> list[Spot]:
        return self.spots[(number - 1) * PAGE : number * PAGE]

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.spots) // PAGE))


class Trend(Struct, frozen=True):
    """One number over the last days."""

    kind: str
    """waiting, incidents or ready"""
    curve: Curve


def picture(
    db: Session, scope: Scope, asked: Asked, *, services: Sequence[tuple[str, str]], language: Language, now: datetime
) -> Picture:
    """What stands how; `services` are codes and names that may be asked for."""
    watched_until = readiness.watched_until(db)
    old = is_old(now, watched_until)
    found = overview.lines(db, scope)
    districts = {of.id: of.name_ar if language.code == "ar" else of.name_fr for of in overview.districts(db)}
    states: Mapping[str, State] = {of.id: "unknown" if old else of.state for of in found}
    if asked.service:
        told = overview.states_of_service(db, scope, asked.service)
        states = {annex_id: "unknown" if old else state for annex_id, state in told.items()}
    everywhere, maintained = _under_maintenance(db, now)
    pressing = overview.pressing(db, scope)
    spots = [
        Spot(of.id, _name(of, language), of.district_id if of.district_id in districts else "", states[of.id],
             everywhere or of.id in maintained, of.numbers, pressing.get(of.id))
        for of in found
        if of.id in states and _is_wanted(of, asked)
    ]  # fmt: skip
    shown = [spot for spot in spots if _is_like(spot, asked.state)]
    return Picture(
        total=len(found), sums=_sums(spots), groups=_groups(shown, districts), spots=sorted(shown, key=urgency),
        names={of.id: _name(of, language) for of in found},
        districts=sorted(
            ((id_, districts[id_]) for id_ in {of.district_id for of in found} if id_ in districts),
            key=lambda pair: pair[1],
        ),
        services=sorted(services, key=lambda pair: pair[1]), watched_until=watched_until, is_old=old,
    )  # fmt: skip


def trends(db: Session, scope: Scope, *, days: int, now: datetime, annexes: Iterable[str] | None = None) -> list[Trend]:
    """How many waited, how many incidents were open, which part of the services could be provided."""
    since = now - timedelta(days=days)
    found = overview.past(db, scope, since=since, annexes=annexes)
    if days > 1 and len(found) > 300:
        found = found[:: len(found) // 300 + 1] + found[-1:]
    gap_s = 2.5 * _usual_step(found)
    wanted: list[tuple[str, list[tuple[float, float | None]], float | None]] = [
        ("waiting", [(m.at.timestamp(), m.waiting) for m in found], None),
        ("incidents", [(m.at.timestamp(), float(m.incidents)) for m in found], None),
        ("ready", [(m.at.timestamp(), m.serving_ratio) for m in found], 1.0),
    ]
    drawn = []
    for kind, points, top in wanted:
        highest = max((value for _, value in points if value is not None), default=0.0)
        made = curve(
            points, since=since.timestamp(), until=now.timestamp(), top=top or nice_top(highest), gap_s=gap_s
        )  # fmt: skip
        if made is not None:
            drawn.append(Trend(kind, made))
    return drawn


def urgency(spot: Spot) -> tuple[bool, float, int, int, str]:
    """A key that puts that annex first whose incidents keep most people waiting; those under maintenance come last."""
    of = spot.pressing
    score, severity = (of.score, SEVERITIES.index(of.severity)) if of else (0.0, -1)
    return spot.is_maintained, -score, ORDER.index(spot.state), -severity, spot.id


def _usual_step(found: Sequence[Moment]) -> float:
    steps = sorted((b.at - a.at).total_seconds() for a, b in pairwise(found))
    return steps[len(steps) // 2] if steps else 0.0


def _name(of: AnnexLine, language: Language) -> str:
    return of.name_ar if language.code == "ar" else of.name_fr


def _is_wanted(of: AnnexLine, asked: Asked) -> bool:
    if asked.district and of.district_id != asked.district:
        return False
    if not asked.q:
        return True
    words = asked.q.casefold().split()
    text = f"{of.id} {of.name_fr} {of.name_ar}".casefold()
    return all(word in text for word in words)


def _is_like(spot: Spot, state: str) -> bool:
    if state == "maintenance":
        return spot.is_maintained
    return not state or spot.state == state


def _under_maintenance(db: Session, now: datetime) -> tuple[bool, frozenset[str]]:
    """Whether all of the province is worked on now, and which whole annexes are."""
    lasting = [m.area for m in maintenance.current(db, since=now, now=now) if span_at(m, now) is not None]
    return any(area.province for area in lasting), frozenset(annex for area in lasting for annex in area.annexes)


def _counts(spots: Iterable[Spot]) -> dict[State, int]:
    counts: dict[State, int] = dict.fromkeys(ORDER, 0)
    for spot in spots:
        counts[spot.state] += 1
    return counts


def _groups(spots: Sequence[Spot], districts: Mapping[str, str]) -> list[Group]:
    of: dict[str, list[Spot]] = {}
    for spot in spots:
        of.setdefault(spot.district_id, []).append(spot)
    order = sorted(of, key=lambda id_: (not id_, districts.get(id_, "")))
    return [
        Group(id_, districts.get(id_, ""), _counts(of[id_]), of[id_] if len(spots) <= MOST_TILES else [])
        for id_ in order
    ]  # fmt: skip


def _sums(spots: Sequence[Spot]) -> Sums:
    numbers = [spot.numbers for spot in spots]
    waiting = [of.waiting for of in numbers if of.waiting is not None]
    return Sums(
        states=_counts(spots), maintained=sum(spot.is_maintained for spot in spots), annexes=len(spots),
        opened=sum(of.is_open for of in numbers), online=sum(of.online for of in numbers),
        silent=sum(of.silent for of in numbers), never=sum(of.never for of in numbers),
        printers=sum(of.printers for of in numbers), troubled=sum(of.troubled for of in numbers),
        unseen=sum(of.unseen for of in numbers), waiting=sum(waiting) if waiting else None,
        untold=sum(of.is_stale for of in numbers),
    )  # fmt: skip
