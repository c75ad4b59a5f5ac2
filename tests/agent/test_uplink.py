import random

import pytest
from tests.agent.sessions import DEVICE
from tests.agent.uplinks import Device, beat, change

from annexfleet_agent import session
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages, topics


@pytest.fixture
def device(tmp_path, monkeypatch):
    device = Device(tmp_path, monkeypatch)
    device.uplink.start()
    yield device
    device.uplink.stop()
    device.outbox.close()
    device.loop.close()


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


def test_an_item_that_inflates_too_far_becomes_a_gap(device):
    now = device.connect_and_greet()
    many = {f"printer:p{number}": {"printer_state": "i" * 500} for number in range(300)}  # small when it is deflated

    device.put(messages.Change(seq=UNNUMBERED, at=1, collector="printers", readings=many), beat())

    assert now.kinds() == ["hello", "gap", "beat"]


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
