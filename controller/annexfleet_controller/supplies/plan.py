"""What to order for the province, and whom to visit with which parts."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from annexfleet_controller.supplies.forecast import STATES, SupplyForecast
from annexfleet_controller.supplies.levels import Part
from annexfleet_controller.things import SEVERITIES, Incident, Severity

HORIZON_OPENING_DAYS = 30.0
VISITED_KINDS: frozenset[str] = frozenset({"printer", "device"})
"""Kinds of incidents that somebody has to go to; a line, a portal or the mains is not mended by a visit."""
_MOST_OF_ONE = 20
"""Cartridges that one printer is believed to need within the horizon."""


class Place(Struct, frozen=True, order=True):
    """A printer that needs a part, and how many."""

    annex_id: str
    printer_name: str
    count: int


class Order(Struct, frozen=True, kw_only=True):
    """One line of the order list."""

    part: Part
    models: tuple[str, ...]
    """Of the printers that take it."""
    needed: int
    stock: int
    quantity: int
    """`needed` without what is on the shelf; 0 where that is enough."""
    first_in: float
    """Opening days until the first printer may be without; 0: now."""
    places: tuple[Place, ...]


class Trouble(Struct, frozen=True, kw_only=True):
    """Something that is wrong now and needs a technician."""

    annex_id: str
    thing: str
    """The name people know it by."""
    cause: str
    severity: Severity
    since: datetime
    incident_id: int = 0


class Carry(Struct, frozen=True, kw_only=True):
    """A part to take along."""

    part: Part
    count: int
    printers: tuple[str, ...]


class Visit(Struct, frozen=True, kw_only=True):
    """One annex of the technician's list."""

    annex_id: str
    troubles: tuple[Trouble, ...]
    """The worst first."""
    parts: tuple[Carry, ...]
    supplies: tuple[SupplyForecast, ...]
    """Those that the parts are for, the most pressing first."""


class Plan(Struct, frozen=True, kw_only=True):
    """All of it, at one moment."""

    supplies: list[SupplyForecast]
    """The most pressing first."""
    orders: list[Order]
    visits: list[Visit]


def made(
    found: list[SupplyForecast],
    *,
    stock: Mapping[str, int],
    incidents: Iterable[Incident],
    goes: Callable[[Incident], bool],
    horizon_days: float,
) -> Plan:
    """The plan, from the forecasts, the shelf by order key and the open incidents.

    `goes` says to which of them a technician goes.
    """
    return Plan(
        supplies=found,
        orders=orders(found, stock, horizon_days=horizon_days),
        visits=visits(found, troubles(filter(goes, incidents)), horizon_days=horizon_days),
    )


def troubles(incidents: Iterable[Incident]) -> list[Trouble]:
    """Incidents of one annex, as lines of a visit."""
    return [
        Trouble(
            annex_id=incident.annex_id,
            thing=_name(incident),
            cause=incident.cause,
            severity=incident.severity,
            since=incident.began_at,
            incident_id=incident.id,
        )
        for incident in incidents
        if incident.annex_id
    ]


def needed(of: SupplyForecast, *, horizon_days: float = HORIZON_OPENING_DAYS) -> int:
    """How many of its part a supply needs within the horizon, by the early end of its interval.

    Ordering too early costs a place on the shelf; too late costs a counter.
    """
    if of.days_left is None:
        return int(of.state in {"empty", "urgent", "soon"})
    first = 0.0 if of.state == "empty" else of.days_left.earliest
    if first > horizon_days:
        return 0
    lasts = 1 / abs(of.days_left.slope)
    return min(_MOST_OF_ONE, 1 + math.floor((horizon_days - first) / lasts))


def orders(
    found: Iterable[SupplyForecast],
    stock: Mapping[str, int],
    *,
    horizon_days: float = HORIZON_OPENING_DAYS,
) -> list[Order]:
    """One line a part: what must be bought first, then what is on the shelf; within each the most pressing first."""
    wanted: dict[str, list[tuple[SupplyForecast, int]]] = {}
    for of in found:
        if count := needed(of, horizon_days=horizon_days):
            wanted.setdefault(of.part.key, []).append((of, count))
    made = [_order(lines, stock) for lines in wanted.values()]
    return sorted(made, key=lambda order: (order.quantity == 0, order.first_in, order.part.key))


def visits(
    found: Sequence[SupplyForecast],
    troubles: Iterable[Trouble],
    *,
    horizon_days: float = HORIZON_OPENING_DAYS,
) -> list[Visit]:
    """The annexes that need a technician or a part within the horizon, the one that needs it most first.

    First by the worst trouble and how many there are, then by the most pressing supply.
    """
    of_annex: dict[str, list[Trouble]] = {}
    for trouble in troubles:
        of_annex.setdefault(trouble.annex_id, []).append(trouble)
    due: dict[str, list[tuple[SupplyForecast, int]]] = {}
    for of in found:
        if count := needed(of, horizon_days=horizon_days):
            due.setdefault(of.newest.annex_id, []).append((of, count))
    made = [_visit(annex_id, of_annex.get(annex_id, []), due.get(annex_id, [])) for annex_id in {*of_annex, *due}]
    return sorted(made, key=_by_need)


def _order(lines: Sequence[tuple[SupplyForecast, int]], stock: Mapping[str, int]) -> Order:
    part = lines[0][0].part
    count = sum(some for _, some in lines)
    on_shelf = stock.get(part.key, 0)
    return Order(
        part=part,
        models=tuple(sorted({of.newest.printer_model for of, _ in lines} - {""})),
        needed=count,
        stock=on_shelf,
        quantity=max(0, count - on_shelf),
        first_in=min(_first_in(of) for of, _ in lines),
        places=tuple(sorted(Place(of.newest.annex_id, of.newest.printer_name, some) for of, some in lines)),
    )


def _visit(annex_id: str, troubles: Sequence[Trouble], due: Sequence[tuple[SupplyForecast, int]]) -> Visit:
    parts: dict[str, list[tuple[SupplyForecast, int]]] = {}
    for of, count in due:
        parts.setdefault(of.part.key, []).append((of, count))
    return Visit(
        annex_id=annex_id,
        troubles=tuple(sorted(troubles, key=lambda t: (-SEVERITIES.index(t.severity), t.since, t.thing))),
        parts=tuple(
            Carry(
                part=lines[0][0].part,
                count=sum(count for _, count in lines),
                printers=tuple(sorted({of.newest.printer_name for of, _ in lines})),
            )
            for _, lines in sorted(parts.items())
        ),
        supplies=tuple(of for of, _ in sorted(due, key=lambda pair: (STATES.index(pair[0].state), _first_in(pair[0])))),
    )


def _name(incident: Incident) -> str:
    """As people know it; by its id where the facts hold no name."""
    for fact in ("printer", "device"):
        if name := incident.facts.get(fact):
            return str(name)
    return incident.thing.id


def _by_need(visit: Visit) -> tuple[int, int, int, float, str]:
    worst = max((SEVERITIES.index(trouble.severity) for trouble in visit.troubles), default=-1)
    state = min((STATES.index(of.state) for of in visit.supplies), default=len(STATES))
    # An empty cartridge stops a counter as surely as a critical trouble does.
    empty = sum(of.state == "empty" for of in visit.supplies)
    if empty:
        worst = max(worst, SEVERITIES.index("critical"))
    first = min((_first_in(of) for of in visit.supplies), default=math.inf)
    return -worst, -len(visit.troubles) - empty, state, first, visit.annex_id


def _first_in(of: SupplyForecast) -> float:
    if of.state == "empty" or of.days_left is None:
        return 0.0
    return of.days_left.earliest
