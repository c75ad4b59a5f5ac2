import itertools

import pytest
from tests.agent.clocks import TurnedClock

from annexfleet_agent import drain as drain_
from annexfleet_agent.drain import CREDIT, Drain
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages, wire


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


class Controller:
    """Counts as received what it is sent and what Gaps tell."""

    def __init__(self):
        self.had, self.stored = set(), set()

    def take(self, item):
        self.had.add(item.seq)
        self.stored.add(item.seq)
        if item.kind == "gap":
            for first, last in wire.decode_up("gap", item.payload()).ranges:
                self.had.update(range(first, last + 1))

    @property
    def mark(self):
        return next(seq for seq in itertools.count(1) if seq not in self.had) - 1


def test_a_gap_behind_more_than_the_credit_does_not_stop_the_drain(tmp_path, clock):
    outbox = Outbox(tmp_path / "full.db", max_bytes=400_000, boot_id="boot")
    while not outbox.gaps or outbox.next_seq < 12_000:
        outbox.put(*[*beats(1), change()] * 50)
    assert outbox.first(1)[0].seq > 1
    assert outbox.gaps[0] > outbox.first(CREDIT + 1)[-1].seq
    waiting = {item.seq for item in outbox.first(100_000)}
    drain, controller = Drain(outbox, clock), Controller()

    for _ in range(len(waiting) // CREDIT + 2):
        while (item := drain.next()) is not None:
            drain.sent(item)
            controller.take(item)
        drain.acked(ack(outbox, controller.mark))

    assert outbox.count == 0
    assert controller.stored == waiting
    outbox.close()


def test_a_gap_goes_before_everything_at_the_begin_and_when_it_is_made(outbox, drain):
    outbox.put(*beats(CREDIT + 50))
    outbox.give_up(3, at=1)
    drain.prefer(*outbox.put(change()))
    gap = outbox.gaps[0]
    assert send_all(drain)[:4] == [gap, gap + 1, 1, 2]

    outbox.give_up(7, at=1)

    assert send_all(drain) == [*outbox.gaps]


def test_nothing_is_given_up_while_a_gap_was_not_heard(outbox, drain, clock):
    outbox.put(*beats(3))
    outbox.give_up(2, at=1)
    for _ in range(2 * drain_.STUCK_SENDS):
        drain.begin()
        drain.sent(outbox.get(1))
        clock.turn(150)
        drain.acked(ack(outbox, 0))

    assert [item.seq for item in outbox.first(9)] == [1, 3, 4]


def test_what_could_not_be_sent_is_next_again(outbox, drain):
    drain.prefer(*outbox.put(*beats(2)))

    assert [drain.next().seq, drain.next().seq] == [1, 1]
    drain.begin()
    assert [drain.next().seq, drain.next().seq] == [1, 1]


# -- an outbox that was put back from an older copy


def test_an_acknowledgement_of_what_was_never_sent_proves_an_older_copy(outbox, clock):
    """The controller had 60 of this installation; the copy ends at 50, and 15 items were put in before it connected."""
    outbox.put(*beats(50))
    drain = Drain(outbox, clock)
    outbox.put(*[change() for _ in range(15)])
    before = outbox.install_id

    assert drain.acked(ack(outbox, 60)) == "began_anew"

    assert outbox.install_id != before
    assert outbox.count == 65
    assert send_all(drain) == list(range(1, 66))


@pytest.mark.parametrize("upto", [0, 50, 52])
def test_an_acknowledgement_of_what_may_have_been_sent_proves_nothing(outbox, clock, upto):
    outbox.put(*beats(50))
    drain = Drain(outbox, clock)
    outbox.put(*beats(15))
    drain.sent(outbox.get(52))
    drain.begin()

    assert drain.acked(ack(outbox, upto)) == "taken"
    assert outbox.count == 65 - upto


def test_a_controller_that_counts_what_does_not_wait_as_had_proves_nothing(outbox, clock):
    """What was let go before the first connection is below the oldest item of the hello."""
    drain = Drain(outbox, clock)
    outbox.put(*beats(5))
    outbox.give_up(1, at=1)
    outbox.give_up(2, at=1)
    drain.told(
        messages.Hello(
            clock=1, session_id="s", boot_id="b", install_id="i", next_seq=outbox.next_seq, agent_version="0",
            oldest_seq=outbox.oldest_seq(),
        )
    )  # fmt: skip

    assert drain.acked(ack(outbox, 2)) == "taken"


def test_an_outbox_that_began_anew_by_itself_is_noticed_once(outbox, drain):
    outbox.put(*beats(2))
    assert send_all(drain) == [1, 2]
    assert not drain.began_anew()

    outbox.begin_anew()

    assert drain.began_anew()
    assert not drain.began_anew()
    assert send_all(drain) == [1, 2]
