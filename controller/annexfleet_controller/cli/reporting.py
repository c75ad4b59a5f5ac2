"""`annexfleet report`: a month in figures, as text, as tables for a spreadsheet, or as PDF."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from annexfleet_controller.cli import exits
from annexfleet_controller.cli.opened import opened
from annexfleet_controller.i18n.catalogues import CODES
from annexfleet_controller.settings import Home


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    report = commands.add_parser("report", help="a month in figures: availability, incidents, printing, queues")
    report.add_argument("month", help="such as 2026-11")
    report.add_argument("--annex", default="", help="only this annex")
    report.add_argument("--district", default="", help="only this district")
    form = report.add_mutually_exclusive_group()
    form.add_argument("--csv", type=Path, metavar="DIR", help="write the tables into this directory, one file each")
    form.add_argument("--pdf", type=Path, metavar="FILE", help="write a PDF")
    report.add_argument("--language", choices=CODES, default=CODES[0], help="(now %(default)s)")
    report.set_defaults(run=_report)


def _report(home: Home, args: argparse.Namespace) -> int:
    from annexfleet_controller import paper
    from annexfleet_controller.api import report_tables, reports, spreadsheet
    from annexfleet_controller.i18n.catalogues import language
    from annexfleet_controller.store import reporting
    from annexfleet_controller.store.scope import WHOLE
    from annexfleet_controller.web import monthly
    from annexfleet_controller.web.pages.reports import sheet
    from annexfleet_controller.web.render import STATIC

    words = language(args.language)
    now = datetime.now(UTC)
    with opened(home) as db:
        report = reporting.read(
            db, WHOLE, args.month, annex_id=args.annex, district_id=args.district or None, now=now
        )  # fmt: skip
        figures = reporting.figures_of(report)
        asked = reports.asked(db, WHOLE, report, words)
        html = sheet(report, monthly.context(db, WHOLE, report, words), words) if args.pdf else ""
    if args.pdf:
        args.pdf.write_bytes(paper.make(html, STATIC))
        print(args.pdf)
    elif args.csv:
        args.csv.mkdir(parents=True, exist_ok=True)
        for name, table in report_tables.TABLES.items():
            file = args.csv / f"{args.month}-{name}.csv"
            file.write_bytes(spreadsheet.written(*table(asked), habits=spreadsheet.habits(words.code)))
            print(file)
    else:
        print(f"{args.month}: {figures.annexes} annexes, as of {figures.as_of:%Y-%m-%d %H:%M} UTC")
        for one in report.compared:
            value = "not known" if one.value is None else f"{one.value:.4g}"
            print(f"{one.measure:14} {value:>12}  {one.kind:8} {one.judgement}")
    return exits.DONE
