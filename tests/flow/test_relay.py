"""The relay between plugins and devices, on a real broker: carries, streams, refuses, and ends what nobody wants."""

import hashlib
import os
import signal
import threading
import tracemalloc
from collections.abc import Iterator

import pytest
from tests.flow.broker import Broker
from tests.flow.relaying import Bed, relay_bed
from tests.flow.runners import Work

from annexfleet_agent.protocol.envelope import FRAME, Result
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow


@pytest.fixture
def bed(broker: Broker) -> Iterator[Bed]:
    with relay_bed(broker) as made:
        yield made


def hang(work: Work) -> None:
    work.say(b"begun")
    work.cancelled.wait(60)


def test_a_command_goes_to_the_device_and_its_answer_comes_back(bed: Bed):
    runner = bed.device()
    bed.start_run(runner)

    answer = bed.plugin().run(runner.device_id, "/bin/sh", "-c", "cat", input_=b"hello")

    assert answer.verdict == {"exit_code": 3}
    assert answer.stdout == b"hello"


def test_one_session_serves_all_tasks_of_a_run_whichever_worker_asks(bed: Bed):
    runner = bed.device()
    bed.start_run(runner)

    for n in range(5):
        assert bed.plugin().run(runner.device_id, *["x"] * n).verdict == {"exit_code": n}

    assert runner.sessions == 1
    assert len(runner.heard) == 5


def test_two_devices_are_served_at_once(bed: Bed):
    one, other = bed.device(), bed.device()
    bed.start_run(one, other)
    first, second = bed.plugin(), bed.plugin()

    first.ask(one.device_id, {"op": "exec", "argv": ["cat"]})
    assert second.run(other.device_id, "cat", input_=b"second").stdout == b"second"
    first.feed(b"first")

    assert first.answer().stdout == b"first"


def test_a_big_file_is_put_and_fetched_without_being_held(bed: Bed):
    runner = bed.device()
    bed.start_run(runner)
    plugin, piece, count = bed.plugin(), os.urandom(512 * 1024), 100
    whole = hashlib.sha256(piece * count).hexdigest()
    tracemalloc.start()

    plugin.ask(runner.device_id, {"op": "put", "path": "/f", "size_bytes": len(piece) * count, "sha256": whole})
    for n in range(count):
        plugin.feed(piece, last=n == count - 1)
    put = plugin.answer()
    plugin.ask(runner.device_id, {"op": "fetch", "path": f"/{50 * 1024 * 1024}"})
    size = 0

    def heard(data: bytes) -> None:
        nonlocal size
        size += len(data)

    fetched = plugin.answer(heard)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert put.verdict == {"exit_code": 0}
    assert fetched.verdict == {"exit_code": 0}
    assert size == 50 * 1024 * 1024
    # The runner's and this test's own share of it is in there, too.
    assert most_bytes < 20 * 1024 * 1024


def test_a_plugin_that_does_not_read_slows_the_device_down(bed: Bed):
    said = []

    def endless(work: Work) -> None:
        while not work.cancelled.is_set():
            work.say(bytes(48 * 1024))
            said.append(1)

    runner = bed.device(does=endless)
    bed.start_run(runner)
    plugin = bed.plugin()
    plugin.ask(runner.device_id, {"op": "exec", "argv": ["yes"]})

    bed.wait_until(lambda: len(said) >= 32, "the window is full")
    held = bed.plugin()
    assert held.line.fileno() > 0  # the relay goes on with others
    before = len(said)
    bed.wait_until(lambda: len(said) < before + 100, "it stops by itself")

    plugin.close()
    bed.wait_until(runner.works[-1].cancelled.is_set, "closing cancels it")
    assert len(said) < 200


def test_a_plugin_that_closes_cancels_what_runs(bed: Bed):
    runner = bed.device(does=hang)
    bed.start_run(runner)
    plugin = bed.plugin()
    plugin.ask(runner.device_id, {"op": "exec", "argv": ["sleep"]})
    bed.wait_until(lambda: runner.works, "it runs")

    plugin.close()

    bed.wait_until(runner.works[-1].cancelled.is_set, "the device was told")
    runner.does = lambda work: work.end(Result(exit_code=7))
    assert bed.plugin().run(runner.device_id).verdict == {"exit_code": 7}


def test_a_cancelled_run_ends_on_the_devices_and_takes_no_more(bed: Bed):
    runner = bed.device(does=hang)
    run_id = bed.start_run(runner)
    plugin = bed.plugin()
    plugin.ask(runner.device_id, {"op": "exec", "argv": ["sleep"]})
    bed.wait_until(lambda: runner.works, "it runs")

    with writing(bed.engine) as db:
        run = db.get(RunRow, run_id)
        assert run is not None
        run.cancelled_at = run.created_at

    assert "cancelled" in str(plugin.answer().verdict)
    assert runner.works[-1].cancelled.is_set()
    assert "cancelled" in bed.plugin().run(runner.device_id).verdict["unreachable"]


def test_a_relay_that_is_stopped_leaves_nothing_running(bed: Bed):
    runner = bed.device(does=hang)
    bed.start_run(runner)
    bed.plugin().ask(runner.device_id, {"op": "exec", "argv": ["sleep"]})
    bed.wait_until(lambda: runner.works, "it runs")

    bed.stop_relay()

    assert runner.works[-1].cancelled.is_set()
    bed.wait_until(lambda: runner.byes == 1, "it said goodbye")
    assert not bed.path.exists()


def test_a_device_of_another_run_is_refused(bed: Bed):
    mine, foreign = bed.device(), bed.device()
    bed.start_run(mine)

    answer = bed.plugin().run(foreign.device_id)

    assert "does not belong to this run" in answer.verdict["unreachable"]
    assert foreign.heard == []


def test_a_device_whose_part_is_over_is_refused(bed: Bed):
    runner = bed.device()
    run_id = bed.start_run(runner)
    assert bed.plugin().run(runner.device_id).verdict == {"exit_code": 0}

    with writing(bed.engine) as db:
        host = db.get(RunHostRow, (run_id, 1))
        assert host is not None
        host.state = "ended"

    bed.wait_until(lambda: runner.byes == 1, "its session is closed")
    assert "ended on this device" in bed.plugin().run(runner.device_id).verdict["unreachable"]


def test_a_device_that_is_known_to_be_away_is_unreachable_at_once(bed: Bed):
    runner = bed.device(is_connected=False)
    bed.start_run(runner)

    answer = bed.plugin().run(runner.device_id)

    assert "offline" in answer.verdict["unreachable"]
    assert runner.sessions == 0


def test_a_runner_that_does_not_answer_is_unreachable(bed: Bed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("annexfleet_controller.rollouts.relay.opening.CHALLENGE_WITHIN_S", 0.5)
    runner = bed.device()
    runner.is_deaf = True
    bed.start_run(runner)

    assert "did not answer within" in bed.plugin().run(runner.device_id).verdict["unreachable"]


def test_a_busy_device_is_waited_for(bed: Bed):
    runner = bed.device()
    runner.busy_knocks = 1
    runner.refuses = ["busy"]
    bed.start_run(runner)

    assert bed.plugin().run(runner.device_id).verdict == {"exit_code": 0}


def test_a_refusal_is_told_in_words_and_counted(bed: Bed):
    runner = bed.device()
    runner.refuses = ["not_allowed"]
    bed.start_run(runner)

    assert "takes no such orders" in bed.plugin().run(runner.device_id).verdict["unreachable"]
    bed.stop_relay()
    assert bed.figures()["refusals"] == {"not_allowed": 1}


def test_what_the_signer_refuses_is_told_in_words(bed: Bed):
    runner = bed.device()
    run_id = bed.start_run(runner)
    with writing(bed.engine) as db:
        run = db.get(RunRow, run_id)
        assert run is not None
        run.timeout_s = 0.001

    assert "time is up" in bed.plugin().run(runner.device_id).verdict["unreachable"]


def test_a_line_that_is_cut_and_comes_back_in_mid_task_loses_nothing(bed: Bed):
    go_on = threading.Event()

    def slowly(work: Work) -> None:
        work.say(b"before")
        go_on.wait(30)
        work.say(b" after")
        work.end(Result(exit_code=4))

    runner = bed.device(does=slowly)
    bed.start_run(runner)
    plugin = bed.plugin()
    plugin.ask(runner.device_id, {"op": "exec", "argv": ["x"]})
    bed.wait_until(lambda: runner.works, "it runs")

    runner.is_deaf = True  # what it says now is lost
    go_on.set()
    runner.gone()
    bed.wait_until(lambda: not runner._channel.is_drained, "something was lost")  # type: ignore[union-attr]
    runner.is_deaf = False
    runner.hello()
    runner.resume()

    answer = plugin.answer()
    assert answer.stdout == b"before after"
    assert answer.verdict == {"exit_code": 4}
    assert runner.sessions == 1


def test_a_device_that_is_restarted_in_mid_task_is_told_at_once_and_reached_anew(bed: Bed):
    runner = bed.device(does=hang)
    bed.start_run(runner)
    plugin = bed.plugin()
    plugin.ask(runner.device_id, {"op": "exec", "argv": ["reboot"]})
    bed.wait_until(lambda: runner.works, "it runs")

    runner.restart()
    runner.hello()

    assert "restarted in mid-task" in plugin.answer().verdict["unreachable"]
    runner.does = lambda work: work.end(Result(exit_code=9))
    assert plugin.run(runner.device_id).verdict == {"exit_code": 9}
    assert runner.sessions == 2


def test_a_runner_that_was_restarted_between_tasks_is_reached_anew(bed: Bed):
    runner = bed.device()
    bed.start_run(runner)
    assert bed.plugin().run(runner.device_id).verdict == {"exit_code": 0}

    runner.restart()
    runner.hello()

    bed.wait_until(lambda: "exit_code" in bed.plugin().run(runner.device_id).verdict, "a new session")
    assert runner.sessions == 2


def test_a_broker_that_is_restarted_in_mid_task_loses_nothing(bed: Bed):
    def slowly(work: Work) -> None:
        data = work.all_input()
        work.say(data)
        work.end(Result(exit_code=1))

    runner = bed.device(does=slowly)
    bed.start_run(runner)
    plugin = bed.plugin()
    plugin.ask(runner.device_id, {"op": "exec", "argv": ["x"]})
    bed.wait_until(lambda: runner.works, "it runs")

    runner._subscribed.clear()
    bed.broker.restart()
    assert runner._subscribed.wait(20)
    runner.hello()
    runner.resume()
    plugin.feed(b"late")

    assert plugin.answer().stdout == b"late"


def test_a_garbled_plugin_is_put_out_and_others_go_on(bed: Bed):
    runner = bed.device()
    bed.start_run(runner)
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"R\1\xff\xff\xff\xff", b"R\1\0\0\0\2{}", os.urandom(64)):
        garbled = bed.plugin()
        garbled.line.sendall(nonsense)
        garbled.line.settimeout(10)
        assert garbled.line.recv(10) == b"" or nonsense[:1] not in b"RI"

    assert bed.plugin().run(runner.device_id).verdict == {"exit_code": 0}


def test_what_is_no_id_of_a_device_is_unreachable(bed: Bed):
    bed.start_run(bed.device())

    for host in ("", "localhost", "d-../../x", "+", "d-" + "a" * 26 + "\n"):
        assert "no device has this id" in bed.plugin().run(host).verdict["unreachable"]


def test_what_is_forged_in_a_devices_name_ends_the_session_and_is_counted(bed: Bed):
    runner = bed.device(does=hang)
    bed.start_run(runner)
    plugin = bed.plugin()
    plugin.ask(runner.device_id, {"op": "exec", "argv": ["x"]})
    bed.wait_until(lambda: runner.works, "it runs")

    for number in range(1, 9):  # one of them is the next
        runner.say_raw(FRAME + bytes.fromhex(runner.session) + 2 * number.to_bytes(4, "big") + os.urandom(64))

    assert "not sealed by its runner" in plugin.answer().verdict["unreachable"]
    bed.stop_relay()
    assert bed.figures()["refusals"] == {"broken": 1}


def test_junk_in_a_devices_name_is_survived(bed: Bed):
    runner = bed.device()
    bed.start_run(runner)
    assert bed.plugin().run(runner.device_id).verdict == {"exit_code": 0}

    for junk in (b"", b"C{}", b"R", b"C" + b"[" * 60_000, b"A" + bytes(16), b"F", b"X" * 60_000, os.urandom(1000)):
        runner.say_raw(junk)

    assert bed.plugin().run(runner.device_id, "a").verdict == {"exit_code": 1}


def test_a_relay_that_is_killed_leaves_the_device_to_finish_and_the_next_one_goes_on(bed: Bed):
    runner = bed.device(does=hang)
    with bed.signer_process(), bed.relay_process(runner) as process:
        plugin = bed.plugin()
        plugin.ask(runner.device_id, {"op": "exec", "argv": ["x"]})
        bed.wait_until(lambda: runner.works, "it runs")

        process.kill()
        process.wait()
        assert not runner.works[-1].cancelled.is_set()

        runner.does = lambda work: work.end(Result(exit_code=5))
        with bed.relay_process(run_id=1) as again:
            assert bed.plugin().run(runner.device_id).verdict == {"exit_code": 5}
            again.terminate()
            assert again.wait(10) == 0


def test_a_terminated_relay_process_ends_what_runs_on_devices(bed: Bed):
    runner = bed.device(does=hang)
    with bed.signer_process(), bed.relay_process(runner) as process:
        bed.plugin().ask(runner.device_id, {"op": "exec", "argv": ["x"]})
        bed.wait_until(lambda: runner.works, "it runs")

        process.terminate()

        assert process.wait(10) == 0
        assert runner.works[-1].cancelled.is_set()


AT_ONCE = 10


def test_who_comes_in_the_moment_in_which_another_goes_is_heard(bed: Bed):
    runner = bed.device()
    with bed.signer_process(), bed.relay_process(runner) as process:
        for plugin in (first := [bed.plugin() for _ in range(AT_ONCE)]):
            assert plugin.run(runner.device_id, "x", input_=b"one").stdout == b"one"

        process.send_signal(signal.SIGSTOP)
        for plugin in first:
            plugin.close()
        second = [bed.plugin() for _ in range(AT_ONCE)]  # they get the numbers of those that closed
        process.send_signal(signal.SIGCONT)

        for plugin in second:
            assert plugin.run(runner.device_id, "x", input_=b"two").stdout == b"two"
