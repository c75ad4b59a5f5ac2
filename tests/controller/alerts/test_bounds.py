"""What a device that makes things up can cost: little memory, and few rows a day."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import Engine

from annexfleet_controller import state
from annexfleet_controller.alerts import fleet as fleets
from annexfleet_controller.alerts import ledger as ledgers
from annexfleet_controller.alerts.fleet import Fleet
from annexfleet_controller.alerts.ledger import Ledger, _is_news
from annexfleet_controller.calendars import ALWAYS_OPEN
from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.store import incidents
from annexfleet_controller.store.database import writing
from annexfleet_controller.things import Incident, Rank, Thing, Verdict
from annexfleet_controller.views import AnnexView, DeviceView, PrinterView

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def printer(name: str, causes: list[str], at: datetime) -> state.Printer:
    return state.Printer(
        name=name, state="stopped", causes=causes, reasons=[], model="", address="", uuid="", source="",
        accepting=True, paused=None, jobs=1, oldest_job_age_s=None, pages=1, supplies=[], trays=[], at=at,
    )  # fmt: skip


def device(printers: list[state.Printer], *, version: str = "") -> DeviceView:
    return DeviceView(
        number=1, id="d-1", annex_id="berkane-1", name="pc", role="counter", enrolled_at=NOW, agent_version=version,
        printers=tuple(printers),
    )  # fmt: skip


def test_onsets_of_a_device_are_counted_up_to_a_limit_each_day(caplog: pytest.LogCaptureFixture):
    fleet, told = Fleet(), 0
    for round_ in range(60):
        at = NOW + timedelta(minutes=round_)
        names = [f"p{n}" for n in range(40)]
        fleet.take_in([1], {1: device([printer(name, [], at) for name in names])})
        _, onsets = fleet.take_in([1], {1: device([printer(name, ["paper_jam"], at) for name in names])})
        told += len(onsets)

    assert told == fleets.MOST_ONSETS
    assert caplog.text.count("too many troubles") == 1
    fleet.forget_old(NOW + timedelta(days=1), is_new_day=True)
    later = NOW + timedelta(days=1)
    fleet.take_in([1], {1: device([printer("p1", [], later)])})
    assert len(fleet.take_in([1], {1: device([printer("p1", ["paper_jam"], later)])})[1]) == 1


def test_what_is_no_longer_seen_is_forgotten():
    fleet = Fleet()
    for n in range(50):
        at = NOW + timedelta(minutes=n)
        seen = (PrinterView(f"id{n}", printer(f"p{n}", [], at), (1,), True),)
        fleet.follow(AnnexView(id="berkane-1", at=at, devices=(), printers=seen, queues=(), is_open=True))
        fleet.take_in([1], {1: device([printer(f"p{n}", [], at)], version=f"0.{n}")})
        fleet.take_in([1], {1: device([printer(f"p{n}", ["paper_jam"], at)], version=f"0.{n}")})
    assert len(fleet._printer_tracks) == len(fleet._began) == 50
    assert len(fleet._versions) == 1

    fleet.forget_old(NOW + timedelta(days=8), is_new_day=True)

    assert not fleet._printer_tracks
    assert not fleet._began
    assert not fleet._jams


def test_alerts_about_made_up_things_stop_opening_and_those_of_the_annex_do_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(ledgers, "MOST_OPENED", 10)
    ledger = Ledger([], [], [])

    def verdict(rule_id: str, thing: Thing) -> Verdict:
        return Verdict(
            rule_id=rule_id, thing=thing, annex_id="berkane-1", level="raise", evidence_at=NOW,
            since=NOW - timedelta(hours=5),
        )  # fmt: skip

    def opened(at: datetime, verdicts: list[Verdict]) -> int:
        stepped = ledger.step(
            verdicts, {}, rules=Ruleset(), calendars={}, province=ALWAYS_OPEN, roles={}, now=at
        )  # fmt: skip
        return sum(alert is not None and alert.state == "open" for alert in stepped.after.values())

    printers = [verdict("printer.blocked", Thing("printer", f"p{n}")) for n in range(50)]
    assert opened(NOW, printers) == 10
    assert opened(NOW, [verdict("annex.link_down", Thing("annex", "berkane-1"))]) == 1
    assert caplog.text.count("too many alerts") == 1
    assert opened(NOW + timedelta(days=1), printers) == 10


def test_an_incident_that_only_grew_older_by_seconds_is_not_written_again():
    before = Incident(
        id=1, key="printer:p", kind="printer", cause="paper_jam", annex_id="berkane-1", thing=Thing("printer", "p"),
        began_at=NOW, opened_at=NOW, rank=Rank(score=10.0, people_waiting=5.0, services_blocked=("cnie",), minutes=2.0),
    )  # fmt: skip

    def ranked(**of: float) -> Incident:
        return msgspec.structs.replace(before, rank=msgspec.structs.replace(before.rank, **of))

    assert not _is_news(before, before)
    assert not _is_news(before, ranked(minutes=2.5, score=12.5))
    assert _is_news(before, ranked(minutes=3.0, score=15.0))
    assert _is_news(before, ranked(people_waiting=6.0, score=12.0))
    assert _is_news(before, msgspec.structs.replace(before, severity="critical"))
    assert _is_news(None, before)


def test_a_device_that_makes_up_names_is_not_believed_for_long(caplog: pytest.LogCaptureFixture):
    fleet, seen = Fleet(), set()
    for n in range(0, 2000, 20):
        fleet.take_in([1], {1: device([printer("real", [], NOW), *(printer(f"p{n + k}", [], NOW) for k in range(20))])})
        seen |= {one.name for one in fleet.views[1].printers}

    assert len(seen) <= fleets.MOST_NEW_NAMES + 21
    assert [one.name for one in fleet.views[1].printers] == ["real"]
    assert caplog.text.count("makes up names") == 1
    fleet.forget_old(NOW + timedelta(days=1), is_new_day=True)
    fleet.take_in([1], {1: device([printer("real", [], NOW), printer("new", [], NOW)])})
    assert len(fleet.views[1].printers) == 2


def test_of_a_very_long_story_the_end_is_told(sqlite_engine: Engine):
    incident = Incident(
        key="printer:p", kind="printer", cause="paper_jam", annex_id="", thing=Thing("printer", "p"), began_at=NOW,
        opened_at=NOW,
    )  # fmt: skip
    with writing(sqlite_engine) as db:
        [saved] = incidents.save(db, [incident])
        lines = [incidents.Told(saved.id, NOW + timedelta(minutes=n), "alert_reopened") for n in range(9)]
        incidents.tell(db, [*lines, incidents.Told(saved.id, NOW + timedelta(minutes=9), "resolved")])
        story = incidents.story(db, saved.id, limit=3)

    assert [line.at.minute for line in story] == [37, 38, 39]
    assert story[-1].kind == "resolved"
