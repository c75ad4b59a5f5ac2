"""For which device a fault counts that is no device's own: of a printer, a portal, a queue, or of a service.

A fault is seen through devices.  Of the changed ones it counts for a single one, the last whose change had begun before
it: however many share a printer, and however many printers hang on one switch, what is wrong in an annex by one rule is
one sign.  Of the untouched ones it counts for each that sees it, so that what changed and untouched devices share is
held against the untouched at least as often, and never the changed ones worse than chance would have it.

A service that is no longer ready is a fault of its annex, seen through all of its devices, and is compared with that of
annexes in which nothing was changed.

Not counted is what was wrong with the same thing before the first change; what was over again with the run; and what
began while the annex was cut off from its line or mains, or soon after.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

READINESS = "readiness"
"""Stands for a rule: a service of the annex was ready and is not."""
_BEFORE_A_CUT = timedelta(minutes=10)
"""So much earlier than its line is found to be cut an annex may have lost it."""
_AFTER_A_CUT = timedelta(minutes=30)
"""Printers warm up, and people switch things on again."""


class Fault(Struct, frozen=True, kw_only=True):
    """Something that is wrong, or was for a time."""

    annex_id: str
    rule: str
    thing: str
    """What it is of, to know it again."""
    severity: str
    since: datetime
    over_at: datetime | None = None
    seen_by: frozenset[int] = frozenset()
    """Numbers of the devices of its annex that see the thing.  Empty: none does (any more), so it may be any's."""


class Standing(Struct, frozen=True, kw_only=True):
    """A device for which faults may count."""

    annex_id: str
    since: datetime
    """Since when: a changed one's change began then."""
    settled_at: datetime
    """What is over by then belongs to the change itself.  Of an untouched one the same as `since`."""
    is_changed: bool


class Cut(Struct, frozen=True):
    """A time in which an annex was without its line or its mains."""

    since: datetime
    over_at: datetime | None


def counted(
    faults: Iterable[Fault],
    devices: Mapping[int, Standing],
    *,
    cuts: Mapping[str, Sequence[Cut]],
    touched_annexes: Collection[str] = (),
) -> dict[int, list[Fault]]:
    """The faults that count for each of these devices, by number, as signs of it.

    `touched_annexes`: those in which others changed something lately; how their services stand tells nothing about
    untouched ones.  Deterministic.
    """
    here: dict[str, list[int]] = {}
    for number in sorted(devices):
        here.setdefault(devices[number].annex_id, []).append(number)
    groups: dict[tuple[str, str], list[Fault]] = {}
    for fault in sorted(faults, key=lambda one: (one.since, one.thing)):
        groups.setdefault((fault.annex_id, fault.rule), []).append(fault)
    found: dict[int, list[Fault]] = {}
    for (annex_id, rule), of in groups.items():
        sound = [fault for fault in of if not _is_of_a_cut(fault, cuts.get(annex_id, ()))]
        members = here.get(annex_id, [])
        changed = [number for number in members if devices[number].is_changed]
        blamed: int | None = None
        for fault in sound:
            last = _last_before(fault, changed, devices, of)
            if last is not None:
                blamed = last if blamed is None else blamed
                found.setdefault(blamed, []).append(fault)
        first = min((devices[number].since for number in changed), default=None)
        if rule == READINESS:
            untouched = annex_id not in touched_annexes
            sound = [fault for fault in sound if untouched and (first is None or fault.since <= first)]
        for number in members:
            if not devices[number].is_changed:
                seen = [fault for fault in sound if _is_new(fault, number, devices[number].since, of)]
                if seen:
                    found.setdefault(number, []).extend(seen)
    return found


def _last_before(
    fault: Fault, changed: Sequence[int], devices: Mapping[int, Standing], of: Sequence[Fault]
) -> int | None:
    """The device changed last before it, of those that see it; None if there is none, or it is nothing new."""
    before = [number for number in changed if _sees(number, fault) and devices[number].since < fault.since]
    if not before:
        return None
    first = min(devices[number].since for number in before)
    last = max(before, key=lambda number: (devices[number].since, number))
    if fault.over_at is not None and fault.over_at <= devices[last].settled_at:
        return None
    return last if _is_new(fault, last, first, of) else None


def _is_new(fault: Fault, number: int, since: datetime, of: Sequence[Fault]) -> bool:
    """Whether the device sees it, it began after that moment, and nothing like it was wrong with the thing then."""
    return (
        _sees(number, fault)
        and fault.since > since
        and not any(
            one.thing == fault.thing and one.since <= since and (one.over_at is None or one.over_at > since)
            for one in of
        )
    )


def _sees(number: int, fault: Fault) -> bool:
    return not fault.seen_by or number in fault.seen_by


def _is_of_a_cut(fault: Fault, cuts: Sequence[Cut]) -> bool:
    return any(
        cut.since - _BEFORE_A_CUT <= fault.since and (cut.over_at is None or fault.since <= cut.over_at + _AFTER_A_CUT)
        for cut in cuts
    )
