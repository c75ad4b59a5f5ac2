"""When printers are asked, and for how long their answers stand."""

import threading

import pytest

from annexfleet_agent.printers.address import of_uri
from annexfleet_agent.printers.devices import Devices, with_kept_levels
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.seen import Seen, Supply

ONE, OTHER = of_uri("ipp://10.0.0.5/"), of_uri("ipp://10.0.0.6/")
IDLE = Seen(source="device_ipp", state="idle")
NOBODY = frozenset()


class Turned:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.t = 1000.0

    def now(self) -> float:
        return self.t

    def mono(self) -> float:
        return self.t


class Printers:
    """Answers what it was given, and counts."""

    def __init__(self) -> None:
        self.answers = {}
        self.asked = []

    def __call__(self, where):
        self.asked.append(where)
        answer = self.answers.get(where, IDLE)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock():
    return Turned()


@pytest.fixture
def printers():
    return Printers()


@pytest.fixture
def devices(clock, printers):
    return Devices(printers, clock, period_s=90)


def refresh(devices, *wheres, printing=NOBODY):
    devices.refresh(wheres or (ONE,), printing=printing, wait_s=5)


def test_a_printer_is_asked_once_a_period_and_its_answer_stands_meanwhile(devices, clock, printers):
    for _ in range(7):
        refresh(devices)
        assert devices.answer(ONE) is IDLE
        clock.t += 30

    assert len(printers.asked) == 3


def test_one_missed_answer_is_not_believed_and_asked_again_at_once(devices, clock, printers):
    refresh(devices)
    printers.answers[ONE] = Failed("timed_out")

    clock.t += 90
    refresh(devices)
    assert devices.answer(ONE) is IDLE

    clock.t += 30
    refresh(devices)
    assert devices.answer(ONE).code == "timed_out"

    printers.answers[ONE] = IDLE
    clock.t += 90
    refresh(devices)
    assert devices.answer(ONE) is IDLE


def test_a_printer_that_never_answered_is_believed_to_be_gone_at_once(devices, printers):
    printers.answers[ONE] = Failed("unreachable")

    refresh(devices)

    assert devices.answer(ONE).code == "unreachable"


def test_an_answer_older_than_three_periods_is_not_shown(devices, clock, printers):
    printers.answers[ONE] = Seen(source="device_ipp", state="idle", old_firmware=True)
    refresh(devices)

    clock.t += 271
    refresh(devices, printing=frozenset({ONE}))

    assert devices.answer(ONE).code == "stale"
    assert devices.known(ONE) is printers.answers[ONE]


def test_old_firmware_is_left_alone_while_it_prints(devices, clock, printers):
    printers.answers[ONE] = Seen(source="device_ipp", state="idle", old_firmware=True)
    refresh(devices)

    clock.t += 90
    refresh(devices, printing=frozenset({ONE}))
    assert len(printers.asked) == 1

    refresh(devices)
    assert len(printers.asked) == 2


def test_a_printer_that_hangs_holds_nobody_up(clock):
    released = threading.Event()

    def ask(where):
        if where == ONE:
            released.wait(10)
        return IDLE

    devices = Devices(ask, clock, period_s=90)
    try:
        devices.refresh([ONE, OTHER], printing=NOBODY, wait_s=0.2)

        assert devices.answer(OTHER) is IDLE
        assert devices.answer(ONE) is None
    finally:
        released.set()
    devices.refresh([ONE, OTHER], printing=NOBODY, wait_s=5)
    assert devices.answer(ONE) is IDLE


def test_many_dead_printers_are_asked_a_few_at_a_time(clock):
    lock, now, most = threading.Lock(), [0], [0]
    together = threading.Barrier(8, timeout=5)

    def ask(where):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait()
        with lock:
            now[0] -= 1
        raise Failed("timed_out")

    devices = Devices(ask, clock, period_s=90)
    wheres = [of_uri(f"ipp://10.0.0.{n}/") for n in range(24)]
    devices.refresh(wheres, printing=NOBODY, wait_s=10)

    assert most[0] == 8
    assert all(devices.answer(where).code == "timed_out" for where in wheres)


def test_an_unforeseen_error_spoils_one_printer(devices, printers):
    printers.answers[ONE] = ZeroDivisionError("odd")

    refresh(devices, ONE, OTHER)

    assert devices.answer(ONE).code == "failed"
    assert devices.answer(OTHER) is IDLE


def test_a_printer_taken_out_is_forgotten(devices):
    refresh(devices, ONE)

    refresh(devices, OTHER)

    assert devices.answer(ONE) is None


def test_a_sleeping_printer_keeps_its_levels():
    awake = Seen(
        source="device_ipp", state="idle", supplies=[Supply(name="Black", level=0.4), Supply(name="Cyan", level=0.2)]
    )
    black_unknown = [Supply(name="Black"), Supply(name="Cyan", level=0.1)]
    asleep = Seen(source="device_ipp", state="idle", causes=["sleep_or_warmup"], supplies=black_unknown)
    waking = Seen(source="device_ipp", state="idle", supplies=black_unknown)

    assert [s.level for s in with_kept_levels(asleep, awake).supplies] == [0.4, 0.1]
    assert [s.level for s in with_kept_levels(waking, awake).supplies] == [None, 0.1]
    assert with_kept_levels(asleep, None) is asleep
