import pytest
from tests.agent.clocks import TurnedClock

from annexfleet_agent import drain as drain_
from annexfleet_agent.drain import CREDIT, Drain
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages


@pytest.fixture
def clock():
    return TurnedClock()


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=5_000_000, boot_id="boot")
    yield outbox
    outbox.close()


@pytest.fixture
def drain(outbox, clock):
    return Drain(outbox, clock)


def beats(count):
    return [messages.Beat(seq=UNNUMBERED, at=1, seconds=300, numbers={})] * count


def change(collector="cpu"):
    return messages.Change(seq=UNNUMBERED, at=1, collector=collector, readings={})


def send_all(drain):
    seqs = []
    while (item := drain.next()) is not None:
        drain.sent(item)
        seqs.append(item.seq)
    return seqs


def ack(outbox, upto):
    return messages.Ack(upto=upto, install_id=outbox.install_id)


def test_what_is_new_goes_before_the_backlog(outbox, drain):
    outbox.put(*beats(3))
    drain.prefer(*outbox.put(change(), change("disk")))

    assert send_all(drain) == [4, 5, 1, 2, 3]


def test_nothing_goes_twice_in_a_connection_and_everything_again_in_the_next(outbox, drain):
    outbox.put(*beats(3))
    assert send_all(drain) == [1, 2, 3]
    drain.prefer(2)
    assert send_all(drain) == []

    drain.begin()

    assert send_all(drain) == [1, 2, 3]


def test_the_backlog_stops_when_the_credit_is_used_up_and_what_is_new_does_not(outbox, drain):
    outbox.put(*beats(CREDIT + 50))
    assert len(send_all(drain)) == CREDIT

    drain.prefer(*outbox.put(change()))
    assert send_all(drain) == [CREDIT + 51]

    drain.acked(ack(outbox, 30))
    assert send_all(drain) == list(range(CREDIT + 1, CREDIT + 31))


def test_an_acknowledgement_of_another_installation_is_foreign(outbox, drain):
    outbox.put(*beats(2))
    send_all(drain)

    assert drain.acked(messages.Ack(upto=2, install_id="another")) == "foreign"
    assert outbox.count == 2


def test_when_the_outbox_begins_anew_nothing_counts_as_sent(outbox, drain):
    outbox.put(*beats(2))
    send_all(drain)

    assert drain.acked(ack(outbox, 900)) == "began_anew"
    assert send_all(drain) == [1, 2]


@pytest.mark.parametrize(
    ("items", "seconds", "overdue"),
    [
        ([change()], 50, False),
        ([change()], 70, True),
        (beats(1), 1100, False),
        (beats(1), 1300, True),
        (beats(CREDIT), 70, True),
    ],
)
def test_when_an_acknowledgement_is_missed(outbox, drain, clock, items, seconds, overdue):  # noqa: PLR0917
    outbox.put(*items)
    send_all(drain)

    clock.turn(seconds)

    assert drain.is_overdue() is overdue


def test_patience_doubles_with_each_sending_and_is_short_again_after_an_acknowledgement(outbox, drain, clock):
    outbox.put(change(), change())
    waits = []
    for _ in range(7):
        send_all(drain)
        waited = 0
        while not drain.is_overdue():
            clock.turn(10)
            waited += 10
        waits.append(waited)
        drain.again()
    assert waits == [70, 130, 250, 490, 970, 1210, 1210]

    drain.acked(ack(outbox, 1))
    send_all(drain)
    clock.turn(70)
    assert drain.is_overdue()


def answered_again_and_again(outbox, drain, clock, *, times, apart_s=150):
    """The first item is sent so many times, and each time the controller answers without covering it."""
    for _ in range(times):
        drain.begin()
        send_all(drain)
        clock.turn(apart_s)
        drain.acked(ack(outbox, 0))


def test_an_item_that_the_controller_never_takes_becomes_a_gap(outbox, drain, clock):
    outbox.put(*beats(3))

    answered_again_and_again(outbox, drain, clock, times=drain_.STUCK_SENDS)

    assert [(item.seq, item.kind) for item in outbox.first(9)] == [(2, "beat"), (3, "beat"), (4, "gap")]
    assert send_all(drain) == [4]


def test_an_item_is_not_given_up_within_ten_minutes(outbox, drain, clock):
    outbox.put(*beats(3))

    answered_again_and_again(outbox, drain, clock, times=20, apart_s=20)

    assert outbox.count == 3


def test_an_item_is_not_given_up_while_nobody_answers(outbox, drain, clock):
    """A controller that cannot write does not acknowledge; then everything waits for it, however long."""
    outbox.put(*beats(3))
    for _ in range(20):
        drain.begin()
        send_all(drain)
        clock.turn(3600)
    drain.acked(ack(outbox, 0))

    assert outbox.count == 3


def test_an_item_let_go_meanwhile_is_skipped(outbox, drain):
    outbox.put(*beats(2))
    drain.prefer(1, 2)
    outbox.ack(1)

    assert send_all(drain) == [2]
