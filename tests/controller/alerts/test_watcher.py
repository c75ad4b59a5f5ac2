"""The watch loop on a real database: what devices told becomes alerts, incidents and readiness, and is not lost."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import add_annex, add_devices

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Change, Gone, Hello, Item
from annexfleet_controller.alerts.watch import Holder
from annexfleet_controller.alerts.watcher import Watcher
from annexfleet_controller.clock import Clock
from annexfleet_controller.ingest import writer
from annexfleet_controller.ingest.decode import Heard, Received, decode
from annexfleet_controller.maintenance import Area, Maintenance
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.store import alerts, figures, incidents, maintenance, pulses, readiness
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE

OPEN_AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
"""A Tuesday; annexes opened an hour ago."""


class TurnedClock(Clock):
    def __init__(self) -> None:
        self.at = OPEN_AT

    def now(self) -> datetime:
        return self.at

    def mono(self) -> float:
        return self.at.timestamp()


class Place:
    """A province with devices that say what a test lets them say."""

    def __init__(self, engine: Engine, path: Path, devices: int = 4) -> None:
        self.engine = engine
        self.clock = TurnedClock()
        self.home = Home(path, Settings())
        add_annex(engine, "berkane-1")
        add_annex(engine, "berkane-2")
        self.ids = add_devices(engine, devices) + add_devices(engine, 2, annex_id="berkane-2", first=devices + 1)
        self._seq = dict.fromkeys(self.ids, 0)
        self.holder = Holder(engine, self.home, clock=self.clock)
        self.listens(since=OPEN_AT - timedelta(days=1))

    @property
    def watcher(self) -> Watcher:
        assert self.holder.watcher is not None
        return self.holder.watcher

    def listens(self, *, since: datetime | None = None) -> None:
        values = {"ingest_alive_at_seconds": self.clock.at.timestamp()}
        if since is not None:
            values["ingest_connected_at_seconds"] = since.timestamp()
        with writing(self.engine) as db:
            figures.put(db, values, now=self.clock.at)

    def hello(self, *numbers: int) -> None:
        for n in numbers:
            self._write(n, "hello", Hello(
                clock=self.clock.at.timestamp(), session_id=f"s{n}-{self.clock.at.timestamp():.0f}", boot_id="b",
                install_id="i", next_seq=self._seq[self.ids[n - 1]] + 1, agent_version="0.1.0",
            ))  # fmt: skip
            self.sessions = {**getattr(self, "sessions", {}), n: f"s{n}-{self.clock.at.timestamp():.0f}"}

    def gone(self, *numbers: int, reason: str = "lost") -> None:
        for n in numbers:
            self._write(n, "gone", Gone(session_id=self.sessions[n], reason=reason))  # type: ignore[arg-type]

    def change(
        self, n: int, collector: str, readings: dict, *, at: datetime | None = None, because: Iterable = ()
    ) -> None:
        self._item(n, "change", lambda seq, moment: Change(
            seq=seq, at=moment, collector=collector, readings=readings, because=list(because)), at)  # fmt: skip

    def beat(self, *numbers: int) -> None:
        for n in numbers:
            self._item(
                n,
                "beat",
                lambda seq, moment: Beat(seq=seq, at=moment, seconds=300, numbers={"": {"cpu_used_ratio": 0.2}}),
                None,
            )

    def printer(self, n: int, *, causes: Iterable[str] = (), state: str = "idle", at: datetime | None = None) -> None:
        self.change(n, "printers", {"printer:laser-1": {
            "printer_state": state, "printer_causes": list(causes), "printer_reasons": [], "printer_accepting": 1,
            "printer_address": "10.1.1.21:631", "printer_source": "device_ipp", "printer_model": "HP",
        }}, at=at)  # fmt: skip

    def _item(self, n: int, kind: str, make, at: datetime | None) -> None:
        self._seq[self.ids[n - 1]] += 1
        message: Item = make(self._seq[self.ids[n - 1]], (at or self.clock.at).timestamp())
        self._write(n, kind, message)

    def _write(self, n: int, kind: str, message) -> None:
        topic = f"af/v1/d/{self.ids[n - 1]}/up/{kind}"
        heard = decode(Received(topic, wire.encode(message), self.clock.at.timestamp()))
        assert isinstance(heard, Heard), heard
        writer.write(self.engine, [heard], self.clock.at)

    def pass_time(self, seconds: float, *, step: float = 30.0, beats: Iterable[int] = ()) -> None:
        """Let time pass with a look every half minute; these devices go on telling."""
        until = self.clock.at + timedelta(seconds=seconds)
        told = self.clock.at
        while self.clock.at < until:
            self.clock.at = min(until, self.clock.at + timedelta(seconds=step))
            if self.clock.at - told >= timedelta(seconds=120):
                told = self.clock.at
                self.beat(*beats)
            self.listens()
            assert self.holder.turn()

    def open_alerts(self) -> dict[str, str]:
        with reading(self.engine) as db:
            return {alert.rule_id: alert.thing.id for alert in alerts.live(db) if alert.state == "open"}

    def open_incidents(self) -> list[tuple[str, str]]:
        with reading(self.engine) as db:
            return [(incident.kind, incident.annex_id) for incident in incidents.open_ones(db)]


@pytest.fixture
def place(sqlite_engine: Engine, tmp_path: Path) -> Place:
    return begun(sqlite_engine, tmp_path)


@pytest.fixture
def place_on_both(engine: Engine, tmp_path: Path) -> Place:
    return begun(engine, tmp_path)


def begun(engine: Engine, path: Path) -> Place:
    made = Place(engine, path)
    made.hello(1, 2, 3, 4, 5, 6)
    made.holder.turn()
    return made


def test_when_all_is_well_nothing_is_wrong(place: Place):
    place.printer(1)
    place.pass_time(1200, beats=range(1, 7))

    assert place.open_alerts() == {}
    with reading(place.engine) as db:
        assert {found.readiness.annex_id: found.readiness.state for found in readiness.now(db)} == {
            "berkane-1": "ready",
            "berkane-2": "ready",
        }


def test_a_jam_opens_an_alert_and_an_incident_and_both_end_with_it(place_on_both: Place):
    place_on_both.printer(1)
    place_on_both.pass_time(60, beats=range(1, 7))
    place_on_both.printer(1, causes=["paper_jam"], state="stopped")
    place_on_both.pass_time(90, beats=range(1, 7))
    assert "printer.blocked" not in place_on_both.open_alerts()
    place_on_both.pass_time(90, beats=range(1, 7))

    assert "printer.blocked" in place_on_both.open_alerts()
    assert ("printer", "berkane-1") in place_on_both.open_incidents()

    place_on_both.printer(1)
    place_on_both.pass_time(600, beats=range(1, 7))
    assert place_on_both.open_alerts() == {}
    assert place_on_both.open_incidents() == []


def test_a_line_cut_is_one_incident_and_its_silent_devices_are_its_effects(place: Place):
    place.pass_time(60, beats=range(1, 7))
    place.gone(1, 2, 3, 4)
    place.pass_time(900, beats=[5, 6])

    assert place.open_incidents() == [("line_cut", "berkane-1")]
    place.hello(1, 2, 3, 4)
    place.pass_time(600, beats=range(1, 7))
    assert place.open_incidents() == []


def test_what_devices_tell_after_a_cut_makes_it_a_power_cut(place_on_both: Place):
    for n in (1, 2):
        place_on_both.change(n, "battery", {"": {"battery_on_mains": 1, "battery_charge_ratio": 0.9}})
    place_on_both.pass_time(60, beats=range(1, 7))
    began_at = place_on_both.clock.at
    place_on_both.gone(1, 2, 3, 4)
    place_on_both.pass_time(900, beats=[5, 6])
    back_at = place_on_both.clock.at

    place_on_both.hello(1, 2, 3, 4)
    for n in (1, 2):
        told = {"": {"battery_on_mains": 0, "battery_charge_ratio": 0.8}}
        place_on_both.change(n, "battery", told, at=began_at, because=[" battery_on_mains"])
        told = {"": {"battery_on_mains": 1, "battery_charge_ratio": 0.7}}
        place_on_both.change(n, "battery", told, at=back_at - timedelta(seconds=30), because=[" battery_on_mains"])
    place_on_both.pass_time(600, beats=range(1, 7))

    with reading(place_on_both.engine) as db:
        [incident] = incidents.resolved_since(db, OPEN_AT)
        story = [line.kind for line in incidents.story(db, incident.id)]
    assert incident.kind == "power_cut"
    assert abs(incident.began_at - began_at) < timedelta(seconds=2)
    assert incident.ended_at is not None
    assert abs(incident.ended_at - (back_at - timedelta(seconds=30))) < timedelta(seconds=2)
    assert "cause_corrected" in story


def test_while_nobody_listens_nothing_is_concluded_of_devices(place: Place):
    place.pass_time(60, beats=range(1, 7))
    for _ in range(120):
        place.clock.at += timedelta(seconds=30)
        place.holder.turn()

    assert set(place.open_alerts()) <= {"broker.down"}


def test_another_worker_takes_over_and_knows_all(place: Place):
    place.printer(1, causes=["paper_jam"], state="stopped")
    place.pass_time(70, beats=range(1, 7))
    place.holder.let_go()
    successor = Holder(place.engine, place.home, clock=place.clock)
    assert successor.turn()
    assert not place.holder.turn()
    place.holder = successor
    place.pass_time(110, beats=range(1, 7))

    assert "printer.blocked" in place.open_alerts()


def test_maintenance_mutes_and_says_so(place: Place):
    with writing(place.engine) as db:
        maintenance.create(db, Maintenance(
            area=Area(annexes=("berkane-1",)), touches=("berkane-1",), starts_at=OPEN_AT,
            ends_at=OPEN_AT + timedelta(minutes=30), reason="cabling", author="tech", created_at=OPEN_AT,
        ))  # fmt: skip
    place.pass_time(20, beats=range(1, 7))
    place.printer(1, causes=["paper_jam"], state="stopped")
    place.pass_time(300, beats=range(1, 7))

    with reading(place.engine) as db:
        [alert] = [alert for alert in alerts.live(db) if alert.rule_id == "printer.blocked"]
        assert alert.state == "open"
        assert alert.muted_by is not None
        assert all(incident.muted for incident in incidents.open_ones(db))
    place.pass_time(1800, beats=range(1, 7))
    with reading(place.engine) as db:
        [alert] = [alert for alert in alerts.live(db) if alert.rule_id == "printer.blocked"]
        assert alert.muted_by is None


def test_open_pages_hear_of_it(place: Place):
    follower = pulses.Follower()
    with reading(place.engine) as db:
        follower.poll(db)
    place.printer(1, causes=["paper_jam"], state="stopped")
    place.pass_time(180, beats=range(1, 7))

    with reading(place.engine) as db:
        told = "".join(pulse.annexes.get("berkane-1", "") for pulse in follower.poll(db))
    assert set(told) >= {"a", "i", "r"}


def test_what_one_annex_cannot_be_judged_by_does_not_hide_another(place: Place, monkeypatch: pytest.MonkeyPatch):
    judge = Watcher._judge_annex

    def failing(self: Watcher, annex_id: str, *more: object) -> object:
        if annex_id == "berkane-2":
            raise ValueError("a device said something that nobody thought of")
        return judge(self, annex_id, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Watcher, "_judge_annex", failing)
    place.printer(1, causes=["paper_jam"], state="stopped")
    place.pass_time(180, beats=range(1, 7))

    assert "printer.blocked" in place.open_alerts()


def test_people_acknowledge_while_the_watch_goes_on(place_on_both: Place):
    place_on_both.printer(1, causes=["paper_jam"], state="stopped")
    place_on_both.pass_time(180, beats=range(1, 7))
    with writing(place_on_both.engine) as db:
        ids = [alert.id for alert in alerts.live(db)]
        alerts.acknowledge(db, WHOLE, ids, by="fatima", now=place_on_both.clock.at)
        [incident] = [one for one in incidents.open_ones(db) if one.kind == "printer"]
        assert incidents.acknowledge(db, incident.id, by="fatima", now=place_on_both.clock.at)
    place_on_both.pass_time(300, beats=range(1, 7))

    with reading(place_on_both.engine) as db:
        assert {alert.acknowledged_by for alert in alerts.live(db) if alert.rule_id == "printer.blocked"} == {"fatima"}
        assert incidents.get(db, WHOLE, incident.id).acknowledged_by == "fatima"
