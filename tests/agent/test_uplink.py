import random
import socket
import ssl
from pathlib import Path

import pytest
from tests.agent.clocks import TurnedClock, TurnedLoop
from tests.agent.sessions import DEVICE, FakeSession

from annexfleet_agent import session, trouble
from annexfleet_agent.identity import Identity, IdentityBroken, Pair
from annexfleet_agent.loop import TimedOut
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages, topics
from annexfleet_agent.uplink import Uplink


class Device:
    """An uplink between a real outbox and sessions of the test."""

    def __init__(self, tmp_path, monkeypatch, windows=(60.0, 120.0, 180.0)):
        self.clock = TurnedClock()
        self.loop = TurnedLoop(self.clock)
        self.outbox = Outbox(tmp_path / "outbox.db", max_bytes=2_000_000, boot_id="boot")
        self.sessions: list[FakeSession] = []
        self.contexts: list[tuple[Path, bool]] = []
        self.dial_errors: list[BaseException] = []
        self.configs, self.commands, self.ready = [], [], 0
        self.pair = Pair(Path("new.key"), Path("new.pem"), Path("authority.pem"))
        self.previous = Pair(Path("old.key"), Path("old.pem"), Path("authority.pem"))
        monkeypatch.setattr(session, "tls_context", self._context)
        monkeypatch.setattr(session, "dial", self._dial)
        monkeypatch.setattr(session, "Session", self._session)
        self.uplink = Uplink(
            self.loop,
            self.outbox,
            self._identity,
            device_id=DEVICE,
            hello=lambda session_id: messages.Hello(
                clock=self.clock.now(),
                session_id=session_id,
                boot_id="boot",
                install_id=self.outbox.install_id,
                next_seq=self.outbox.next_seq,
                oldest_seq=self.outbox.oldest_seq(),
                agent_version="0",
            ),
            on_config=self.configs.append,
            on_command=self.commands.append,
            on_ready=self._on_ready,
            retry_windows_s=windows,
            rng=random.Random(1),
        )

    def _identity(self):
        return Identity(
            device_id=DEVICE, broker_host="broker", broker_port=1, enrol_url="", pair=self.pair,
            previous=self.previous, expires_at=2e9, renew_at=2e9,
        )  # fmt: skip

    def _context(self, authority, certificate, key, *, heed_dates):
        self.contexts.append((certificate, heed_dates))

    def _dial(self, *_args, **_kwargs):
        if self.dial_errors:
            raise self.dial_errors.pop(0)

    def _session(self, loop, client, ears, **_kwargs):
        self.sessions.append(FakeSession(ears))
        return self.sessions[-1]

    def _on_ready(self):
        self.ready += 1

    def put(self, *items):
        seqs = self.outbox.put(*items)
        self.uplink.pump(*seqs)
        return seqs

    def attempts(self):
        return len(self.contexts)

    def turn(self, seconds, step=1.0):
        for _ in range(round(seconds / step)):
            self.clock.turn(step)
            self.loop.step()

    def until(self, happened):
        """Let time pass, at most a day, until this is so."""
        for _ in range(2 * 86_400):
            if happened():
                return
            self.clock.turn(0.5)
            self.loop.step()
        pytest.fail("it did not happen")

    def connect(self):
        """Up to a session that the broker opened."""
        count = len(self.sessions)
        self.until(lambda: len(self.sessions) > count)
        now = self.sessions[-1]
        now.ears.on_open()
        return now

    def connect_and_greet(self):
        now = self.connect()
        now.answer()
        return now


@pytest.fixture
def device(tmp_path, monkeypatch):
    device = Device(tmp_path, monkeypatch)
    device.uplink.start()
    yield device
    device.uplink.stop()
    device.outbox.close()
    device.loop.close()


def beat():
    return messages.Beat(seq=UNNUMBERED, at=1, seconds=300, numbers={})


def change():
    return messages.Change(seq=UNNUMBERED, at=1, collector="cpu", readings={})


def ssl_error(text, code=0):
    error = ssl.SSLCertVerificationError(1, text) if code else ssl.SSLError(1, text)
    if code:
        error.verify_code = code
        error.verify_message = text
    return error


# -- greeting


def test_a_hello_goes_first_and_items_only_when_somebody_heard_it(device):
    device.outbox.put(beat(), beat())

    now = device.connect()
    assert now.kinds() == ["hello"]
    assert now.said[0][1].install_id == device.outbox.install_id

    now.answer()
    assert device.ready == 1
    assert now.kinds() == ["hello", "beat", "beat"]
    assert [qos for _, _, qos in now.said] == [1, 1, 1]


def test_nothing_goes_before_the_controller_acknowledged_the_hello(device):
    """Somebody else may have taken it; and only the answer tells whether our numbers are new to the controller."""
    device.outbox.put(beat())
    now = device.connect()
    now.acknowledges = False

    now.answer()
    device.put(change())
    device.uplink.live(messages.Live(at=1, readings={}))
    assert (now.kinds(), device.ready) == (["hello"], 0)

    now.hear(messages.Ack(upto=0, install_id=device.outbox.install_id))
    assert now.kinds() == ["hello", "beat", "change"]
    assert device.ready == 1


def test_a_hello_that_is_not_acknowledged_is_said_again(device):
    device.outbox.put(beat())
    now = device.connect()
    now.acknowledges = False
    now.answer()

    device.turn(59)
    assert now.kinds() == ["hello"]
    device.turn(20)
    assert now.kinds() == ["hello", "hello"]

    now.acknowledges = True
    now.answer()
    assert now.kinds() == ["hello", "hello", "beat"]


def test_a_hello_that_the_broker_refuses_is_said_again(device):
    device.outbox.put(beat())
    now = device.connect()

    now.answer(0x97)
    assert device.uplink.status.state == "nobody_listens"
    assert "0x97" in device.uplink.status.problem
    device.turn(61)

    assert now.kinds() == ["hello", "hello"]
    now.delivered(2)
    assert now.kinds() == ["hello", "hello", "beat"]


def test_while_no_controller_is_there_only_hellos_are_sent(device):
    device.outbox.put(beat())
    now = device.connect()

    now.answer(session.NO_SUBSCRIBER)
    device.put(change())
    assert device.uplink.status.state == "nobody_listens"
    device.turn(61)
    assert set(now.kinds()) == {"hello"}
    assert len(now.kinds()) == 2

    now.delivered(2, 0)
    assert now.kinds()[2:] == ["beat", "change"]
    assert device.uplink.status.state == "connected"


def test_a_controller_that_goes_away_is_asked_for_before_anything_is_sent_again(device):
    device.outbox.put(beat())
    now = device.connect_and_greet()

    now.delivered(2, session.NO_SUBSCRIBER)
    device.put(change())
    assert now.kinds() == ["hello", "beat"]

    device.turn(61)
    now.delivered(3, 0)
    assert now.kinds() == ["hello", "beat", "hello", "beat", "change"]


def test_each_session_has_an_id_of_its_own(device):
    first = device.connect()
    first.ears.on_closed("lost", refused=False)

    second = device.connect()

    assert first.said[0][1].session_id != second.said[0][1].session_id


# -- draining


def test_an_acknowledgement_empties_the_outbox(device):
    now = device.connect_and_greet()
    device.put(beat(), change())

    now.hear(messages.Ack(upto=2, install_id=device.outbox.install_id))

    assert device.outbox.count == 0
    assert device.uplink.status.acked_upto == 2
    assert device.uplink.status.last_ack_at == device.clock.now()


def test_what_the_broker_took_stays_until_the_controller_has_it(device):
    now = device.connect_and_greet()
    device.put(beat(), change())

    now.answer()

    assert device.outbox.count == 2


def test_no_more_publications_are_under_way_than_the_broker_takes(device):
    device.outbox.put(*[beat()] * 50)
    now = device.connect_and_greet()
    assert len(now.seqs()) == 16

    now.delivered(2, 0)
    assert len(now.seqs()) == 17


def test_what_is_not_acknowledged_is_asked_about_and_then_sent_again(device):
    now = device.connect_and_greet()
    device.put(change())
    now.answer()

    device.turn(80)
    assert now.kinds() == ["hello", "change", "hello"]
    now.answer()
    device.turn(16)

    assert now.kinds() == ["hello", "change", "hello", "change"]


def test_if_the_answer_to_the_question_covers_it_nothing_is_sent_again(device):
    now = device.connect_and_greet()
    device.put(change())
    now.answer()
    device.turn(80)

    now.answer()
    now.hear(messages.Ack(upto=1))
    device.turn(1500, step=5)

    assert now.kinds() == ["hello", "change", "hello"]


def test_after_a_new_connection_everything_unacknowledged_goes_again(device):
    first = device.connect_and_greet()
    device.put(beat(), beat())
    first.hear(messages.Ack(upto=1))
    first.ears.on_closed("lost", refused=False)

    second = device.connect_and_greet()

    assert second.seqs() == [2]


def test_an_item_too_big_for_the_wire_becomes_a_gap(device):
    rng = random.Random(1)
    now = device.connect_and_greet()
    huge = {f"{rng.random()}": f"{rng.randbytes(200).hex()}" for _ in range(300)}

    device.put(messages.Inventory(seq=UNNUMBERED, at=1, digest="d", packages=huge), beat())

    assert now.kinds() == ["hello", "gap", "beat"]
    assert now.said[1][1].ranges == [(1, 1)]


def test_when_the_outbox_begins_anew_the_controller_hears_of_it_first(device):
    now = device.connect_and_greet()
    device.put(beat())
    before = device.outbox.install_id

    now.hear(messages.Ack(upto=77, install_id=before))
    assert now.kinds() == ["hello", "beat", "hello"]
    assert now.said[-1][1].install_id not in ("", before)

    now.answer()
    assert now.kinds()[-1] == "beat"


def test_a_copy_put_back_loses_nothing_that_was_put_in_before_it_connected(tmp_path, monkeypatch):
    """The controller had 60 items; the copy ends at 50, and 15 new ones would bear numbers it knows."""
    copied = Outbox(tmp_path / "outbox.db", max_bytes=2_000_000, boot_id="boot")
    copied.put(*[beat()] * 50)
    copied.close()
    device = Device(tmp_path, monkeypatch)
    device.outbox.put(*[change() for _ in range(15)])
    before = device.outbox.install_id
    device.uplink.start()

    now = device.connect()
    now.mark = 60
    now.answer()

    assert now.kinds() == ["hello", "hello"]
    assert now.said[1][1].install_id != before
    now.mark = 0
    now.answer()
    assert device.outbox.count == 65
    assert now.seqs()[:1] == [1]
    device.uplink.stop()
    device.outbox.close()
    device.loop.close()


def test_when_the_outbox_began_anew_by_itself_a_hello_goes_first(device):
    now = device.connect_and_greet()
    device.put(beat())

    device.outbox.begin_anew()
    device.put(change())
    assert now.kinds() == ["hello", "beat", "hello"]

    now.answer()
    assert now.kinds()[3:] == ["beat", "change"]


def test_a_line_that_is_lost_takes_nothing_more(device):
    """The session knows it already, and its end is still to be told."""
    device.outbox.put(*[beat()] * 50)
    now = device.connect()
    asked = []
    publish = now.publish

    def lost(kind, payload, *, qos):
        asked.append(kind)

    now.publish = lost
    now.answer()
    assert asked == ["beat"]

    now.publish = publish
    device.uplink.pump()
    assert now.seqs()[0] == 1


def test_live_samples_are_sent_only_while_somebody_hears_us_and_lightly(device):
    sample = messages.Live(at=1, readings={"": {"cpu_used_ratio": 0.5}})
    device.uplink.live(sample)
    now = device.connect()
    device.uplink.live(sample)
    assert now.kinds() == ["hello"]

    now.answer()
    device.uplink.live(sample)

    assert now.said[-1] == ("live", sample, 0)


# -- hearing


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (topics.down(DEVICE, "ack"), b"{"),
        (topics.down(DEVICE, "ack"), b'{"upto":-1}'),
        (topics.down(DEVICE, "ack"), b'{"upto":"all"}'),
        (topics.down(DEVICE, "config"), b'{"version":1,"settings":{"sample_period_s":0}}'),
        (topics.down(DEVICE, "command"), b"\x01\xff"),
        (topics.down("d-" + "b" * 26, "ack"), b'{"upto":9}'),
        (f"af/v1/d/{DEVICE}/up/ack", b'{"upto":9}'),
        (f"af/v1/d/{DEVICE}/down/reboot", b"{}"),
        ("$SYS/broker", b""),
    ],
)
def test_what_makes_no_sense_from_above_changes_nothing(device, topic, payload, caplog):
    now = device.connect_and_greet()
    device.put(beat())

    now.ears.on_message(topic, payload)

    assert device.outbox.count == 1
    assert (device.configs, device.commands) == ([], [])
    assert "ignored" in caplog.text


def test_settings_and_commands_are_handed_on(device):
    now = device.connect_and_greet()
    config = messages.Config(version=2, settings=messages.DesiredSettings(sample_period_s=10))
    command = messages.Command(id="1", action="watch", seconds=60)

    now.hear(config)
    now.hear(command)

    assert (device.configs, device.commands) == ([config], [command])


def test_an_acknowledgement_of_another_installation_changes_nothing(device):
    now = device.connect_and_greet()
    device.put(beat())
    heard_at = device.uplink.status.last_ack_at
    device.clock.turn(5)

    now.hear(messages.Ack(upto=1, install_id="another"))

    assert device.outbox.count == 1
    assert device.uplink.status.last_ack_at == heard_at


# -- connecting again


def test_attempts_are_spread_over_the_whole_of_a_growing_window(tmp_path, monkeypatch):
    waits = {1: [], 2: [], 3: [], 4: []}
    device = Device(tmp_path, monkeypatch)
    device.dial_errors = [ConnectionRefusedError()] * 4000
    for _ in range(40):
        device.uplink.start()
        device.uplink.status.attempts = 0
        began = device.attempts()
        device.until(lambda began=began: device.attempts() > began)
        for waited in waits.values():
            since, count = device.clock.mono(), device.attempts()
            device.until(lambda count=count: device.attempts() > count)
            waited.append(device.clock.mono() - since)
        device.uplink.stop()
        device.loop.step()

    for number, window in ((1, 60), (2, 120), (3, 180), (4, 180)):
        assert max(waits[number]) <= window + 5
        assert max(waits[number]) > 0.8 * window
        assert min(waits[number]) < 0.2 * window
    device.outbox.close()
    device.loop.close()


def test_a_certificate_of_the_future_is_tried_again_without_dates_and_says_check_the_clock(device, caplog):
    device.dial_errors = [ssl_error("certificate is not yet valid", 9)]

    device.connect()

    assert device.contexts == [(Path("new.pem"), True), (Path("new.pem"), False)]
    assert "check the clock" in device.uplink.status.problem
    assert "2026-11-23" in caplog.text, "what the device takes for today is named"


def test_a_foreign_authority_is_not_trusted_without_dates_either(device):
    device.dial_errors = [ssl_error("expired", 10), ssl_error("self-signed certificate", 18)]

    device.until(lambda: device.attempts() == 2)
    device.until(lambda: device.uplink.status.state == "offline")

    assert "not of our authority" in device.uplink.status.problem
    assert device.sessions == []


def test_a_device_that_is_refused_tries_its_previous_certificate_and_gets_slower(device):
    first = device.connect()
    first.ears.on_closed("[SSL: TLSV1_ALERT_CERTIFICATE_REVOKED]", refused=True)

    device.connect()

    assert [certificate for certificate, _ in device.contexts] == [Path("new.pem"), Path("old.pem")]
    assert "revoked" in device.uplink.status.problem


def test_a_broker_that_stops_answering_is_given_up(device):
    now = device.connect_and_greet()
    device.put(change())

    device.turn(80)

    assert not now.is_open
    assert "does not answer" in device.uplink.status.problem
    device.connect()


def test_a_broker_that_takes_the_call_and_says_nothing_is_given_up(device):
    device.until(lambda: bool(device.sessions))

    device.turn(31)

    assert not device.sessions[0].is_open
    assert device.uplink.status.state in ("offline", "connecting")


def test_an_end_in_order_says_goodbye(device):
    now = device.connect_and_greet()

    device.uplink.stop()

    assert now.kinds()[-1] == "gone"
    assert now.said[-1][1].reason == "stopped"
    assert not now.is_open
    device.turn(400)
    assert len(device.sessions) == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "name cannot be found"),
        (ConnectionRefusedError(111, "refused"), "is the controller up"),
        (TimeoutError("timed out"), "does not answer"),
        (TimedOut("not done after 40 s"), "does not answer"),
        (ssl_error("hostname mismatch", 62), "not accepted: hostname mismatch"),
        (ssl_error("self-signed certificate in chain", 19), "not of our authority"),
        (ssl_error("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED]"), "annexfleet-agent renew"),
        (ssl_error("[SSL: TLSV1_ALERT_UNKNOWN_CA]"), "enrol it again"),
        (IdentityBroken("device.key: Permission denied"), "Permission denied"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_what_a_person_reads_when_it_does_not_connect(error, words):
    assert words in trouble.explain(error)
