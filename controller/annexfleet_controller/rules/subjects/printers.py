"""A printer and its supplies, as rules are asked about them."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from annexfleet_controller import state
from annexfleet_controller.rules.model import Subject, Values
from annexfleet_controller.rules.tracks import PrinterTrack
from annexfleet_controller.things import Facts, Thing
from annexfleet_controller.views import PrinterView

_PAGES_STILL_S = 300.0
_EMPTY_TRAY = 0.01
_RECEPTACLES = frozenset({"waste", "waste_toner", "waste_ink", "receptacle"})


class PrinterContext(Struct, frozen=True):
    """What a printer does not tell by itself."""

    track: PrinterTrack
    other_works: bool
    """Whether another printer of the annex can do the job."""
    jams_24h: int = 0
    jams_7d: int = 0
    empty_in_days: Mapping[str, float] = {}
    """Opening days left, by supply, where a trend tells."""


def of_printer(view: PrinterView, context: PrinterContext, *, annex_id: str, now: datetime) -> list[Subject]:
    """The printer, and each of its supplies."""
    printer, thing = view.printer, Thing("printer", view.id)
    cause = main_cause(printer)
    facts: Facts = {"printer": printer.name, "model": printer.model}
    if (tray := _empty_tray(printer)) is not None:
        facts["tray"] = tray
    if cause in {"toner_empty", "toner_low", "cartridge_missing"} and (colour := _lowest_colour(printer)):
        facts["colour"] = colour
    values: Values = {"other_printer_works": context.other_works, "cause": cause}
    if view.believed:
        still_s = context.track.still_s(now)
        processing = printer.state == "processing"
        values |= {
            "printer_state": printer.state,
            "printer_causes": list(printer.causes),
            "printer_blocked": None if printer.state == "unknown" and not printer.causes else printer.blocked,
            "blocking_cause": cause if printer.blocked else "",
            "printer_unreachable": printer.state == "unreachable" or "unreachable" in printer.causes,
            "asleep": "sleep_or_warmup" in printer.causes,
            "printer_jobs_count": printer.jobs,
            # Where nothing waits there is no oldest document: devices then tell none, or the one of before.
            "printer_oldest_job_age_seconds": 0.0 if printer.jobs == 0 else printer.oldest_job_age_s,
            "printer_processing": processing,
            "printer_accepting": printer.accepting,
            "printer_paused": printer.paused,
            "jobs_growing_10m": context.track.jobs_grow(),
            "pages_still_5m": None if still_s is None else processing and still_s >= _PAGES_STILL_S,
            "heal_outcome": printer.heal_outcome or None,
            "jams_24h_count": float(context.jams_24h),
            "jams_7d_count": float(context.jams_7d),
        }
    subjects = [
        Subject(
            # A change is told at once, so its state stands for as long as a device that sees it can be heard.
            kind="printer", thing=thing, annex_id=annex_id, values=values, facts=facts, numbers=view.seen_by,
            at=now if view.believed else printer.at,
        )
    ]  # fmt: skip
    if view.believed:
        subjects += [_supply(view, level, context, annex_id) for level in printer.supplies]
    return subjects


def main_cause(printer: state.Printer) -> str:
    """The cause that a person must hear first: what blocks, in the order of the table of causes."""
    blocking = blocking_causes(printer)
    if blocking:
        return blocking[0]
    return next((cause for cause in printer.causes if cause not in state.QUIET_CAUSES), "")


def blocking_causes(printer: state.Printer) -> list[str]:
    """The causes that keep it from printing, as canonical ids; empty if it prints."""
    if not printer.blocked:
        return []
    hard = [cause for cause in printer.causes if state.blocks(cause)]
    if hard:
        return hard
    soft = [cause for cause in printer.causes if cause not in state.QUIET_CAUSES]
    return soft[:1] or ["unreachable" if printer.state == "unreachable" else "unknown_reason"]


def _supply(view: PrinterView, level: state.Level, context: PrinterContext, annex_id: str) -> Subject:
    printer = view.printer
    causes = set(printer.causes)
    receptacle = level.kind in _RECEPTACLES or "waste" in level.kind
    values: Values = {
        "supply_level_ratio": level.ratio,
        "supply_kind": level.kind,
        "supply_is_receptacle": receptacle,
        "supply_reason_low": not receptacle and "toner_low" in causes and _is_lowest(printer, level),
        "supply_reason_empty": not receptacle and "toner_empty" in causes and _is_lowest(printer, level),
        "supply_reason_almost_full": receptacle and "waste_almost_full" in causes,
        "supply_reason_full": receptacle and "waste_full" in causes,
        "supply_empty_in_opening_days": None if receptacle else context.empty_in_days.get(level.name),
        "printer_blocked": printer.blocked,
    }
    facts: Facts = {"printer": printer.name, "model": printer.model, "part": level.name}
    if level.colour:
        facts["colour"] = level.colour
    if level.ratio is not None:
        facts["ratio"] = level.ratio
    if (days := context.empty_in_days.get(level.name)) is not None:
        facts["days"] = days
    return Subject(
        kind="supply", thing=Thing("printer", view.id), part=level.name, annex_id=annex_id, values=values,
        at=printer.at, facts=facts, numbers=view.seen_by,
    )  # fmt: skip


def _is_lowest(printer: state.Printer, level: state.Level) -> bool:
    """A printer says that a supply is low, not which: the lowest of those that are no receptacle."""
    known = [other.ratio for other in printer.supplies if other.ratio is not None and "waste" not in other.kind]
    if not known or level.ratio is None:
        return len(printer.supplies) == 1
    return level.ratio <= min(known)


def _empty_tray(printer: state.Printer) -> str | None:
    empty = [tray.name for tray in printer.trays if tray.ratio is not None and tray.ratio <= _EMPTY_TRAY]
    return empty[0] if len(empty) == 1 else None


def _lowest_colour(printer: state.Printer) -> str:
    known = [(s.ratio, s.colour) for s in printer.supplies if s.ratio is not None and s.colour]
    return min(known)[1] if known else ""
