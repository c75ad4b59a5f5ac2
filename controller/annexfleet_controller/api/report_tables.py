"""The tables of a report for a spreadsheet: one file each, in the reader's language.

Times are whole minutes or seconds and ratios percentages, as their headers say; what is not known is an empty cell.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from annexfleet_controller.api.spreadsheet import Cell
from annexfleet_controller.i18n import formats, guidance
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.reports.figures import Figures, Opening
from annexfleet_controller.store.reports import Line

Rows = list[Sequence[Cell]]
Table = tuple[list[str], Rows]


class Asked(Struct, frozen=True, kw_only=True):
    """What tables are made from."""

    figures: Figures
    annexes: Sequence[Line]
    """All annexes of the report."""
    services: Mapping[str, str]
    """Names of services in the reader's language, by code."""
    language: Language

    def annex_name(self, annex_id: str) -> str:
        return self.names.get(annex_id, annex_id)

    @property
    def names(self) -> dict[str, str]:
        return {line.id: name_of(line, self.language) for line in self.annexes}


def name_of(line: Line, language: Language) -> str:
    """Of an annex or a district; French stands in for English."""
    return line.name_ar if language.code == "ar" else line.name_fr


def title(cause: str, language: Language) -> str:
    """What is wrong, in plain words; a cause of which nobody wrote any stands as it is."""
    return guidance.guidance(language, cause).title if guidance.has_guidance(cause) else cause


def _services(asked: Asked) -> Table:
    _ = asked.language.gettext
    rows: Rows = [[asked.services.get(code, code), code, *_opening(of)] for code, of in asked.figures.services.items()]
    return [_("Service"), _("Code"), *_opening_header(asked.language)], rows


def _annexes(asked: Asked) -> Table:
    _ = asked.language.gettext
    header = [
        _("Annex"), _("Code"), *_opening_header(asked.language)[:1], _("Could serve (minutes)"),
        *_opening_header(asked.language)[3:], _("Incidents"), _("Minutes in incidents"), _("Pages printed"),
        _("Paper jams"),
    ]  # fmt: skip
    rows: Rows = [
        [
            name_of(line, asked.language), line.id, _minutes(line.open_s), _minutes(line.serving_s),
            _minutes(line.blocked_s), _minutes(line.unknown_s), _minutes(line.maintenance_s),
            _percent(line.served_ratio), _percent(line.known_ratio), line.incidents, _minutes(line.incidents_s),
            line.pages, line.jams,
        ]
        for line in asked.annexes
    ]  # fmt: skip
    return header, rows


def _incidents(asked: Asked) -> Table:
    _ = asked.language.gettext
    header = [
        _("Cause"), _("Code"), _("Incidents"), _("Minutes in incidents"), _("Citizens affected"), _("Estimated"),
    ]  # fmt: skip
    rows: Rows = [
        [
            title(cause, asked.language), cause, of.count, _minutes(of.open_s), round(of.people),
            _("yes") if of.people_estimated else _("no"),
        ]
        for cause, of in asked.figures.incidents.by_cause().items()
    ]  # fmt: skip
    return header, rows


def _repeaters(asked: Asked) -> Table:
    _ = asked.language.gettext
    header = [_("Thing"), _("Kind"), _("Code"), _("Annex"), _("Incidents"), _("Minutes in incidents")]
    rows: Rows = [
        [
            one.name, asked.language.name("thing_kind", one.kind), one.id, asked.annex_name(one.annex_id), one.count,
            _minutes(one.open_s),
        ]
        for one in asked.figures.incidents.repeaters
    ]  # fmt: skip
    return header, rows


def _printers(asked: Asked) -> Table:
    _ = asked.language.gettext
    header = [
        _("Printer"), _("Model"), _("Code"), _("Annex"), _("Pages printed"), _("Days known"), _("Paper jams"),
        _("Minutes blocked"),
    ]  # fmt: skip
    rows: Rows = [
        [
            one.name, one.model, one.id, asked.annex_name(one.annex_id), one.pages, one.days, one.jams,
            _minutes(one.blocked_s),
        ]
        for one in asked.figures.printing.listed
    ]  # fmt: skip
    return header, rows


def _pages(asked: Asked) -> Table:
    _ = asked.language.gettext
    return [_("Day"), _("Pages printed")], [[day, pages] for day, pages in asked.figures.printing.by_day.items()]


def _queues(asked: Asked) -> Table:
    _ = asked.language.gettext
    header = [_("Day of the week"), _("Hour"), _("People waiting, on average"), _("Minutes counted")]
    rows: Rows = []
    cells = asked.figures.queues.cells
    for place in sorted(cells, key=lambda place: [int(part) for part in place.split("-")]):
        weekday, hour = (int(part) for part in place.split("-"))
        cell = cells[place]
        mean = None if cell.mean is None else round(cell.mean, 1)
        rows.append([formats.weekday(asked.language, weekday), f"{hour:02}:00", mean, _minutes(cell.seconds)])
    return header, rows


def _changes(asked: Asked) -> Table:
    _ = asked.language.gettext
    header = [_("Kind"), _("Number"), _("Name"), _("Began"), _("State"), _("Devices"), _("Failed")]
    of = asked.figures.changes
    rows: Rows = [
        [
            _("Rollout"), number, one.name, one.started_at.isoformat() if one.started_at else None,
            asked.language.name("rollout", one.state), one.devices, one.failed,
        ]
        for number, one in of.rollouts.items()
    ]  # fmt: skip
    rows += [
        [
            _("Run"), number, run.playbook, run.at.isoformat(), asked.language.name("run_standing", run.outcome),
            run.devices, run.failed,
        ]
        for number, run in of.runs.items()
    ]  # fmt: skip
    rows += [
        [_("Maintenance"), number, work.reason, work.first_at.isoformat(), None, None, None]
        for number, work in of.maintenance.items()
    ]
    return header, rows


TABLES: Mapping[str, Callable[[Asked], Table]] = {
    "annexes": _annexes,
    "services": _services,
    "incidents": _incidents,
    "repeated": _repeaters,
    "printers": _printers,
    "pages": _pages,
    "queues": _queues,
    "changes": _changes,
}


def _opening_header(language: Language) -> list[str]:
    _ = language.gettext
    return [
        _("Open (minutes)"), _("Ready (minutes)"), _("Degraded (minutes)"), _("Blocked (minutes)"),
        _("Unknown (minutes)"), _("Maintenance (minutes)"), _("Could serve (% of what is known)"), _("Known (%)"),
    ]  # fmt: skip


def _opening(of: Opening) -> list[Cell]:
    seconds = (of.open_s, of.ready_s, of.degraded_s, of.blocked_s, of.unknown_s, of.maintenance_s)
    return [*(_minutes(value) for value in seconds), _percent(of.served_ratio), _percent(of.known_ratio)]


def _minutes(seconds: float) -> int:
    return round(seconds / 60)


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio * 100, 2)
