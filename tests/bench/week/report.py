"""What the watch made of the week, beside what there was: read, printed, and held against the bars."""

from datetime import UTC, datetime
from statistics import mean

from msgspec import Struct
from sqlalchemy import Engine, select
from tests.bench.week import matching, truth
from tests.bench.week.matching import Outcome
from tests.bench.week.run import Passed
from tests.bench.week.scene import ZONE, Scene

from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.store import incidents as incidents_store
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.tables.alerts import AlertRow, IncidentEvent, IncidentRow
from annexfleet_controller.things import Incident

AT_LEAST = 0.95


class Report(Struct):
    outcome: Outcome
    outside_hours: list[str]
    """Alerts of rules that may open only while the annex is open, which opened while it was not."""
    muted: list[Incident]
    corrected: int
    """Line cuts that what devices told afterwards made power cuts."""
    names: dict[str, str]


def of(passed: Passed, engine: Engine) -> Report:
    """Labels and incidents of a scene that is over."""
    scene = passed.scene
    with reading(engine) as db:
        every = incidents_store.by_ids(db, db.scalars(select(IncidentRow.id)).all())
        alerts = db.scalars(select(AlertRow).where(AlertRow.opened_at.is_not(None))).all()
        corrected = len(db.scalars(select(IncidentEvent.id).where(IncidentEvent.kind == "cause_corrected")).all())
        outside = _outside(scene, alerts)
    # What turned out to be part of another incident, or nothing, is no longer told as one.
    told = [one for one in every if "merged_into" not in one.facts and "retracted" not in one.facts]
    muted = [one for one in told if one.muted]
    labels = truth.labels(scene, passed.province, passed.ids, passed.observer)
    heard = [one for one in told if not one.muted]
    wanted = [label for label in labels if not label.muted]
    return Report(
        matching.compare(wanted, heard, scene.ends.astimezone(UTC)), outside, muted, corrected, _names(passed)
    )


def show(report: Report, passed: Passed) -> None:
    """Print it, in words that stand alone."""
    print(f"\n{'cause':24} labelled found  told right precision recall  mean delay")
    for cause, score in report.outcome.scores.items():
        delay = f"{mean(score.delays_s):6.0f} s" if score.delays_s else "     -"
        print(
            f"{cause:24} {score.labelled:8} {score.found:5} {score.told:5} {score.right:5}"
            f" {score.precision:9.2f} {score.recall:6.2f}  {delay}"
        )
    scores = report.outcome.scores.values()
    labelled, found = sum(s.labelled for s in scores), sum(s.found for s in scores)
    told, right = sum(s.told for s in scores), sum(s.right for s in scores)
    print(f"{'all':24} {labelled:8} {found:5} {told:5} {right:5} {right / told:9.2f} {found / labelled:6.2f}")
    for label in report.outcome.missed:
        print(f"missed: {label.cause} {_name(report, label.thing.id)} {_at(label.began)} to {_at(label.ended)}")
    for one in report.outcome.wrong:
        where = _name(report, one.thing.id)
        print(f"nothing labelled: {one.kind} {one.cause} {where} {_at(one.began_at)} to {_at(one.ended_at)}")
    for label, one in report.outcome.late_ends:
        where = _name(report, label.thing.id)
        print(f"end is off: {label.cause} {where} {_at(label.ended)}, told {_at(one.ended_at)}")
    print(f"muted by maintenance: {len(report.muted)}; corrected by late evidence: {report.corrected}")
    print(f"alerts outside opening hours that may not: {len(report.outside_hours)} {report.outside_hours[:5]}")
    spent = ", ".join(f"{what} {seconds:.0f} s" for what, seconds in passed.seconds.items())
    print(f"{passed.steps:,} looks, {passed.messages:,} messages; processor time: {spent}")


def assert_bars(report: Report) -> None:
    for cause, score in report.outcome.scores.items():
        assert score.precision >= AT_LEAST, f"precision of {cause} is {score.precision:.2f}"
        assert score.recall >= AT_LEAST, f"recall of {cause} is {score.recall:.2f}"
    assert report.outside_hours == []


def _outside(scene: Scene, alerts: object) -> list[str]:
    """By the scene's own table of hours, not the product's calendar."""
    only_open = {rule.id for rule in Ruleset().rules() if rule.only_open}
    found = []
    for alert in alerts:  # type: ignore[attr-defined]
        local = alert.opened_at.astimezone(ZONE)
        opens, closes = scene.hours_of(local.date())
        if alert.rule_id in only_open and not opens <= local.hour + local.minute / 60 + local.second / 3600 < closes:
            found.append(f"{alert.rule_id} {alert.thing_id} {_at(alert.opened_at)}")
    return found


def _names(passed: Passed) -> dict[str, str]:
    names = {device: key for key, device in passed.ids.items()}
    for annex in passed.province.annexes:
        for printer in annex.printers:
            names[truth.printer_thing(annex, printer, passed.ids).id] = f"{annex.id}/{printer.name}"
    return names


def _name(report: Report, thing_id: str) -> str:
    return report.names.get(thing_id, thing_id)


def _at(moment: datetime | None) -> str:
    return moment.astimezone(ZONE).strftime("%a %H:%M:%S") if moment else "now"
