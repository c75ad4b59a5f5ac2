import logging
import os
import signal
import socket
import threading

import pytest
from tests.agent.clocks import TurnedClock

from annexfleet_agent.loop import Loop, Outcome, TimedOut, TurnedAway


@pytest.fixture
def clock():
    return TurnedClock()


@pytest.fixture
def loop(clock):
    loop = Loop(clock)
    yield loop
    loop.close()


@pytest.fixture
def real_loop():
    loop = Loop()
    yield loop
    loop.close()


def test_timers_are_called_in_the_order_in_which_they_are_due(loop, clock):
    called = []
    loop.after(3, lambda: called.append("third"))
    loop.after(1, lambda: called.append("first"))
    loop.after(2, lambda: called.append("second"))

    clock.turn(2)
    loop.step()
    assert called == ["first", "second"]

    clock.turn(1)
    loop.step()
    assert called == ["first", "second", "third"]


def test_a_cancelled_timer_is_never_called(loop, clock):
    called = []
    timer = loop.after(1, lambda: called.append("no"))
    loop.after(1, timer.cancel)
    cancelled_meanwhile = loop.after(1, lambda: called.append("no"))
    loop.after(0.5, cancelled_meanwhile.cancel)

    timer.cancel()
    clock.turn(1)
    loop.step()

    assert called == []


def test_a_timer_set_by_a_callback_waits_for_the_next_turn(loop):
    called = []

    def again():
        called.append(1)
        loop.after(0, again)

    loop.after(0, again)
    loop.step()

    assert called == [1]


def test_what_fails_spoils_nothing_else(loop, clock, caplog):
    called = []
    loop.after(1, lambda: 1 / 0)
    loop.after(1, lambda: called.append("timer"))
    loop.soon(lambda: 1 / 0)
    loop.soon(lambda: called.append("soon"))

    clock.turn(1)
    with caplog.at_level(logging.ERROR):
        loop.step()

    assert called == ["soon", "timer"]
    assert caplog.text.count("ZeroDivisionError") == 2


def test_a_socket_is_read_and_written_until_it_is_unwatched(loop):
    one, other = socket.socketpair()
    heard = []
    with one, other:
        loop.watch(one, read=lambda: heard.append(one.recv(10)), write=lambda: heard.append("writable"))
        other.send(b"hello")
        loop.step()
        assert heard == [b"hello", "writable"]

        loop.watch(one, read=lambda: heard.append(one.recv(10)))
        other.send(b"again")
        loop.step()
        assert heard[2:] == [b"again"]

        loop.unwatch(one)
        loop.unwatch(one)
        other.send(b"nobody listens")
        loop.step()
        assert heard[3:] == []


def test_a_socket_closed_in_its_read_callback_is_not_written(loop):
    one, other = socket.socketpair()
    called = []

    def close():
        loop.unwatch(one)
        one.close()

    with other:
        loop.watch(one, read=close, write=lambda: called.append("written"))
        other.send(b"x")
        loop.step()

    assert called == []


def test_a_socket_closed_before_it_was_unwatched_is_forgotten(loop):
    one, other = socket.socketpair()
    loop.watch(one, read=lambda: None)

    one.close()
    other.close()
    loop.unwatch(one)

    loop.step()


def test_a_job_is_done_elsewhere_and_heard_of_here(real_loop):
    here, outcomes = threading.get_ident(), []

    real_loop.in_worker(
        threading.get_ident, lambda outcome: outcomes.append((outcome.value, threading.get_ident())), deadline_s=5
    )

    assert real_loop.run_until(lambda: bool(outcomes))
    assert outcomes[0][0] != here
    assert outcomes[0][1] == here


def test_an_exception_of_a_job_is_handed_over(real_loop):
    outcomes: list[Outcome] = []

    real_loop.in_worker(lambda: 1 / 0, outcomes.append, deadline_s=5)

    assert real_loop.run_until(lambda: bool(outcomes))
    assert isinstance(outcomes[0].error, ZeroDivisionError)


def test_a_job_past_its_deadline_is_given_up_and_the_next_one_runs(real_loop):
    release = threading.Event()
    outcomes: list[Outcome] = []
    late: list[Outcome] = []

    real_loop.in_worker(lambda: release.wait(10), outcomes.append, deadline_s=0.05, late=late.append)
    real_loop.in_worker(lambda: "next", outcomes.append, deadline_s=5)

    assert real_loop.run_until(lambda: len(outcomes) == 2)
    assert isinstance(outcomes[0].error, TimedOut)
    assert outcomes[1].value == "next"

    release.set()
    assert real_loop.run_until(lambda: bool(late))
    assert late[0].value is True
    assert len(outcomes) == 2


def test_when_too_many_jobs_hang_the_next_is_turned_away_until_one_ends():
    loop, release = Loop(max_stuck_workers=2), threading.Event()
    outcomes: list[Outcome] = []
    late: list[Outcome] = []
    for _ in range(2):
        loop.in_worker(lambda: release.wait(10), outcomes.append, deadline_s=0.02, late=late.append)
    assert loop.run_until(lambda: len(outcomes) == 2)

    loop.in_worker(lambda: "not begun", outcomes.append, deadline_s=5)
    assert loop.run_until(lambda: len(outcomes) == 3)
    assert isinstance(outcomes[2].error, TurnedAway)

    release.set()
    assert loop.run_until(lambda: len(late) == 2)
    loop.in_worker(lambda: "begun", outcomes.append, deadline_s=5)
    assert loop.run_until(lambda: len(outcomes) == 4)
    assert outcomes[3].value == "begun"
    loop.close()


def test_jobs_run_one_after_the_other(real_loop):
    running, most, outcomes = [], [], []

    def work():
        running.append(1)
        most.append(len(running))
        running.pop()

    for _ in range(50):
        real_loop.in_worker(work, outcomes.append, deadline_s=5)

    assert real_loop.run_until(lambda: len(outcomes) == 50)
    assert max(most) == 1


def test_a_signal_ends_it_while_it_waits(real_loop):
    before = signal.signal(signal.SIGUSR1, lambda *_: real_loop.stop())
    try:
        real_loop.after(0.01, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        guard = real_loop.after(10, lambda: pytest.fail("the signal did not wake the loop"))
        real_loop.run()
        guard.cancel()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_another_thread_can_wake_it(real_loop):
    heard = []

    thread = threading.Thread(target=lambda: real_loop.soon(lambda: heard.append(threading.get_ident())))
    thread.start()

    assert real_loop.run_until(lambda: bool(heard))
    thread.join()
    assert heard == [threading.get_ident()]


def test_no_worker_is_started_while_nobody_needs_one():
    before = threading.active_count()

    loop = Loop()
    loop.step()

    assert threading.active_count() == before
    loop.close()
