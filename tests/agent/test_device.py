import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.agent.clocks import TurnedClock, TurnedLoop
from tests.agent.sessions import DEVICE, FakeSession

from annexfleet_agent import session, status
from annexfleet_agent.collectors.inventory import Taken
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.device import AgentCore
from annexfleet_agent.identity import Identity, Pair
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.protocol import messages
from annexfleet_agent.settings import Settings


class Machine:
    """A device whose readings, time and broker are in the test's hands."""

    def __init__(self, tmp_path: Path, monkeypatch, **more):
        self.clock = TurnedClock()
        self.loop = TurnedLoop(self.clock)
        self.state_dir = tmp_path
        self.outbox = Outbox(tmp_path / "outbox.db", max_bytes=2_000_000, boot_id="boot", owner=DEVICE)
        self.readings = {"cpu": {"cpu_count": 4, "cpu_used_ratio": 0.25}, "reboot": {"reboot_required": 0}}
        self.sessions: list[FakeSession] = []
        self.renew_at = 4e9
        monkeypatch.setattr(session, "tls_context", lambda *_args, **_kwargs: None)
        monkeypatch.setattr(session, "dial", lambda *_args, **_kwargs: None)
        monkeypatch.setattr(session, "Session", self._session)
        self.core = AgentCore(
            self.loop,
            Settings(),
            device_id=DEVICE,
            identity=lambda: Identity(
                device_id=DEVICE, broker_host="b", broker_port=1, enrol_url="",
                pair=Pair(Path("k"), Path("c"), Path("a")), previous=None, expires_at=4e9, renew_at=self.renew_at,
            ),
            outbox=self.outbox,
            collectors=lambda _core: [
                Collector(name=name, collect=lambda name=name: self._report(name)) for name in self.readings
            ],
            state_dir=tmp_path,
            boot_id="boot",
            rng=random.Random(1),
            **more,
        )  # fmt: skip

    def _session(self, _loop, _client, ears, **_kwargs):
        self.sessions.append(FakeSession(ears))
        return self.sessions[-1]

    def _report(self, name):
        report = Report()
        for metric, value in self.readings[name].items():
            report.put("", metric, value)
        return report

    def turn(self, seconds, step=1.0):
        """Time passes, and the broker answers."""
        for _ in range(round(seconds / step)):
            self.clock.turn(step)
            self.loop.step()
            if self.sessions and self.sessions[-1].is_open:
                self.sessions[-1].answer()

    def connect(self):
        count = len(self.sessions)
        while len(self.sessions) == count:
            self.clock.turn(0.5)
            self.loop.step()
        now = self.sessions[-1]
        now.ears.on_open()
        now.answer()
        return now

    def waiting(self):
        return [(item.kind, item.subject) for item in self.outbox.first(1000)]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = Machine(tmp_path, monkeypatch)
    machine.core.start()
    yield machine
    machine.core.stop()
    machine.loop.close()


def sent(now, kind):
    return [message for of, message, _ in now.said if of == kind]


def test_what_is_measured_reaches_the_controller(machine):
    now = machine.connect()
    machine.turn(700)

    assert {change.collector for change in sent(now, "change")} == {"cpu", "reboot"}
    beat = sent(now, "beat")[-1]
    assert beat.numbers == {"": {"cpu_used_ratio": 0.25}}
    assert beat.samples == 10
    assert 270 <= beat.seconds <= 330


def test_a_change_goes_at_once(machine):
    now = machine.connect()
    machine.turn(5)
    before = len(now.said)

    machine.readings["reboot"] = {"reboot_required": 1}
    machine.turn(31)

    [change] = [message for kind, message, _ in now.said[before:] if kind == "change"]
    assert change.because == [" reboot_required"]


def test_after_an_outage_the_newest_state_goes_first(machine):
    machine.turn(1000)
    assert [kind for kind, _ in machine.waiting()].count("beat") == 3

    now = machine.connect()

    assert now.kinds()[:3] == ["hello", "change", "change"]
    assert [change.at >= machine.clock.now() - 40 for change in sent(now, "change")[:2]] == [True, True]
    assert sent(now, "change")[0].because == []
    assert sent(now, "change")[0].readings == {"": {"cpu_count": 4, "cpu_used_ratio": 0.25}}


def test_a_flapping_line_does_not_pile_up_states(machine):
    machine.connect().ears.on_closed("lost", refused=False)
    machine.turn(3)
    before = len(machine.waiting())

    for _ in range(3):
        machine.sessions[-1].ears.on_open()

    assert len(machine.waiting()) <= before + 2


def test_watching_sends_samples_that_nobody_keeps(machine):
    now = machine.connect()
    machine.turn(5)
    waiting = machine.waiting()

    now.hear(messages.Command(id="1", action="watch", seconds=10))
    machine.turn(20)

    assert len(sent(now, "live")) in (5, 6)
    assert sent(now, "live")[0].readings == {"": {"cpu_count": 4, "cpu_used_ratio": 0.25, "reboot_required": 0}}
    assert machine.waiting() == waiting


def test_nobody_can_make_a_device_watch_for_ever(machine):
    machine.connect()

    machine.core.obey(messages.Command(id="1", action="watch", seconds=900))
    machine.turn(2000, step=2)
    before = len(sent(machine.sessions[-1], "live"))
    machine.turn(100)

    assert len(sent(machine.sessions[-1], "live")) == before


@pytest.mark.parametrize("action", ["run", "reboot", "", "Watch", "watch "])
def test_any_other_command_is_refused_with_a_receipt(machine, action):
    now = machine.connect()

    now.hear(messages.Command(id="c-1", action=action, seconds=5))

    [receipt] = sent(now, "receipt")
    assert (receipt.command_id, receipt.outcome, receipt.detail) == ("c-1", "refused", "unsigned")


def test_a_flood_of_commands_does_not_fill_the_outbox(machine):
    now = machine.connect()

    for number in range(1000):
        now.hear(messages.Command(id=str(number), action="run"))
    assert len([kind for kind, _ in machine.waiting() if kind == "receipt"]) == 10

    machine.turn(61)
    now.hear(messages.Command(id="later", action="run"))
    assert len([kind for kind, _ in machine.waiting() if kind == "receipt"]) == 11


def test_wishes_of_the_controller_are_in_force_at_once_and_after_a_restart(tmp_path, monkeypatch):
    machine = Machine(tmp_path, monkeypatch)
    machine.core.start()
    now = machine.connect()
    portal = messages.Portal(name="watiqa", url="https://portal.example/")
    wish = messages.DesiredSettings(
        sample_period_s=10, beat_period_s=60, portals=[portal], printers_probed_elsewhere=["p:631"]
    )

    now.hear(messages.Config(version=7, settings=wish))
    machine.turn(125)

    assert len({beat.seq for beat in sent(now, "beat")}) == 2
    assert sent(now, "beat")[-1].samples in (6, 7)
    assert machine.core.config_version() == 7
    assert machine.core.desired_portals() == [portal]
    assert machine.core.probed_elsewhere() == frozenset({"p:631"})
    machine.core.stop()
    machine.loop.close()

    again = Machine(tmp_path, monkeypatch)
    assert (again.core.config_version(), again.core.sample_period_s) == (7, 10)
    again.core.stop()
    again.loop.close()


def test_wishes_that_are_refused_change_nothing(machine, caplog):
    now = machine.connect()
    bad = messages.DesiredSettings(sample_period_s=10, portals=[messages.Portal(name="a", url="http://user:secret@x/")])

    now.hear(messages.Config(version=7, settings=bad))

    assert machine.core.config_version() == 0
    assert machine.core.sample_period_s == 30
    assert "refused" in caplog.text
    assert "secret" not in caplog.text


def test_when_the_clock_is_set_what_waits_is_corrected_and_the_controller_told(machine):
    machine.turn(40)
    before = [item.at for item in machine.outbox.first(10)]
    now = machine.connect()

    machine.clock.set_wall(86_400.0)
    machine.turn(31)

    assert [item.at for item in machine.outbox.first(len(before))] == [at + 86_400 for at in before]
    assert sent(now, "hello")[-1].clock == pytest.approx(machine.clock.now(), abs=31)
    assert len(sent(now, "hello")) == 2


def test_a_clock_that_was_set_just_before_the_connection_is_heeded_before_the_hello(machine):
    machine.turn(40)
    before = [item.at for item in machine.outbox.first(10)]

    machine.clock.set_wall(86_400.0)
    now = machine.connect()

    assert [item.at for item in machine.outbox.first(len(before))] == [at + 86_400 for at in before]
    assert [hello.clock for hello in sent(now, "hello")] == [machine.clock.now()]


def test_a_hello_tells_the_oldest_item_that_waits(machine):
    machine.turn(40)
    machine.outbox.ack(1)
    assert machine.outbox.count > 0

    hello = sent(machine.connect(), "hello")[0]

    assert hello.oldest_seq == 2 < hello.next_seq


def test_a_device_that_slept_did_not_have_its_clock_set(machine):
    machine.turn(40)
    before = [item.at for item in machine.outbox.first(10)]

    machine.clock.turn(8 * 3600)
    machine.turn(31)

    assert [item.at for item in machine.outbox.first(len(before))] == before


def test_an_orderly_end_sums_up_and_says_goodbye(tmp_path, monkeypatch):
    machine = Machine(tmp_path, monkeypatch)
    machine.core.start()
    now = machine.connect()
    machine.turn(40)

    machine.core.stop()

    assert now.kinds()[-2:] == ["beat", "gone"]
    assert status.read(tmp_path).link == "offline"
    machine.loop.close()


def test_the_status_file_follows(machine):
    assert status.read(machine.state_dir).link in ("offline", "connecting")

    now = machine.connect()
    now.hear(messages.Ack(upto=1, install_id=machine.outbox.install_id))

    found = status.read(machine.state_dir)
    assert (found.link, found.device_id) == ("connected", DEVICE)
    assert found.last_ack_at == machine.clock.now()


def test_the_age_of_what_waits_is_nothing_while_it_is_ordinary(machine):
    machine.turn(900)
    assert machine.core.outbox_oldest_age_seconds() == 0

    machine.turn(600)
    assert machine.core.outbox_oldest_age_seconds() == pytest.approx(1500, abs=10)


# -- now and then


def taken(digest, printers=()):
    return Taken(
        digest=digest, hardware={}, os={"name": "Debian"}, packages_digest="", packages={}, printers=list(printers)
    )


def test_an_inventory_is_sent_when_it_changed(tmp_path, monkeypatch):
    said = SimpleNamespace(digest="one", printers=None)

    def take(printers):
        said.printers = printers
        return taken(said.digest, printers)

    machine = Machine(tmp_path, monkeypatch, inventory=take)
    machine.readings["printers"] = {}
    machine.core.start()

    machine.turn(3600, step=10)
    assert machine.waiting().count(("inventory", "")) == 1
    machine.turn(3 * 86_400, step=600)
    assert machine.waiting().count(("inventory", "")) == 1

    said.digest = "two"
    machine.turn(100_000, step=600)
    assert machine.waiting().count(("inventory", "")) == 2
    machine.core.stop()
    machine.loop.close()


def test_after_a_run_the_inventory_is_told_anew_once_it_is_quiet(tmp_path, monkeypatch):
    """Also an unchanged one: a rollout waits to hear how the device is now."""
    machine = Machine(tmp_path, monkeypatch, inventory=lambda printers: taken("one", printers))
    machine.readings["printers"] = {}
    machine.core.start()
    machine.turn(3600, step=10)
    assert machine.waiting().count(("inventory", "")) == 1

    for _ in range(30):  # five minutes of work
        machine.core.worked()
        machine.turn(10, step=5)
    assert machine.waiting().count(("inventory", "")) == 1
    machine.turn(60, step=5)
    assert machine.waiting().count(("inventory", "")) == 2

    machine.turn(3600, step=10)
    assert machine.waiting().count(("inventory", "")) == 2
    machine.core.stop()
    machine.loop.close()


def test_a_certificate_is_renewed_when_it_is_due_and_not_every_hour(tmp_path, monkeypatch):
    renewed = []
    machine = Machine(tmp_path, monkeypatch, renew=lambda: renewed.append(machine.clock.now()))
    machine.core.start()

    machine.turn(5 * 3600, step=60)
    assert renewed == []

    machine.renew_at = machine.clock.now()
    machine.turn(16 * 3600, step=60)
    assert len(renewed) == 1
    machine.core.stop()
    machine.loop.close()


def test_a_renewal_that_fails_is_tried_again_within_hours(tmp_path, monkeypatch, caplog):
    tried = []

    def renew():
        tried.append(1)
        raise OSError("the controller is away")

    machine = Machine(tmp_path, monkeypatch, renew=renew)
    machine.renew_at = 0
    machine.core.start()

    machine.turn(4 * 3600, step=60)
    assert len(tried) in (4, 5)
    assert "could not be renewed" in caplog.text
    machine.core.stop()
    machine.loop.close()
