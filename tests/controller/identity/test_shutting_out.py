"""Connections of devices that are shut out are ended one by one, and those that stand are tried again."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from annexfleet_controller import work
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.identity import revocation
from annexfleet_controller.identity.revocation import NotHeeded, NotKicked
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.work.devices import shut_out_retired
from annexfleet_controller.work.worker import Worker


class Broker:
    """A local broker with these devices connected; it ends no connection of those that hold on."""

    def __init__(self, connected: set[str], holds: set[str]) -> None:
        self.connected, self.holds, self.heeds = connected, holds, True

    def kick(self, _home: Home, device_id: str) -> None:
        if device_id in self.holds:
            raise NotKicked(f"no answer for {device_id}")
        self.connected.discard(device_id)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker({"d-1", "d-2", "d-3"}, {"d-1"})
    behind = [["d-1", "d-2", "d-3"]]  # once published, the list says what the database says
    monkeypatch.setattr(revocation, "kick", made.kick)
    monkeypatch.setattr(revocation, "is_heeded", lambda _home: made.heeds)
    monkeypatch.setattr(revocation, "_hand_over", lambda *_: True)
    monkeypatch.setattr(revocation, "_HANDSHAKE_S", 0)
    monkeypatch.setattr(revocation.revoked, "publish", lambda *_: None)
    monkeypatch.setattr(revocation.revoked, "behind", lambda *_: behind.pop() if behind else None)
    return made


def worker(engine: Engine, path: Path) -> Worker:
    home = Home(path, Settings())
    home.authority_dir.mkdir(parents=True)
    (home.authority_dir / "device-ca.key").touch()
    return Worker(engine, home, work.JOBS, clock=SYSTEM)


def test_one_connection_that_stands_holds_no_other_up(broker: Broker, sqlite_engine: Engine, tmp_path: Path):
    with pytest.raises(NotKicked, match="d-1"):
        revocation.shut_out(Home(tmp_path, Settings()), ["d-1", "d-2", "d-3"], engine=sqlite_engine)

    assert broker.connected == {"d-1"}


def test_the_next_turn_ends_what_the_last_one_could_not(broker: Broker, sqlite_engine: Engine, tmp_path: Path):
    of = worker(sqlite_engine, tmp_path)
    shut_out_retired(of)
    assert broker.connected == {"d-1"}
    shut_out_retired(of)
    assert of.unkicked == {"d-1"}

    broker.holds.clear()
    shut_out_retired(of)

    assert (broker.connected, of.unkicked) == (set(), set())


def test_also_where_the_broker_did_not_heed_the_list(broker: Broker, sqlite_engine: Engine, tmp_path: Path):
    of = worker(sqlite_engine, tmp_path)
    broker.heeds = False

    with pytest.raises(NotHeeded):
        shut_out_retired(of)

    assert of.unkicked == {"d-1"}
