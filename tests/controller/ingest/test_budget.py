import pytest

from annexfleet_controller.ingest.budget import LONG, SHORT, Budgets

D = "d-1"


def heard(budgets: Budgets, count: int, *, at: float, size: int = 100, device: str = D) -> int:
    """How many of so many messages are heard."""
    admitted = 0
    for _ in range(count):
        if budgets.admits(device, at):
            budgets.spend(device, size)
            admitted += 1
    return admitted


def test_a_backlog_passes_at_once_and_more_at_a_bounded_pace():
    budgets = Budgets()

    assert heard(budgets, 20_000, at=0) == SHORT.messages
    assert heard(budgets, 20_000, at=1) == SHORT.messages_per_second
    assert heard(budgets, 20_000, at=61) == SHORT.messages


def test_one_device_that_says_too_much_does_not_cost_another_its_place():
    budgets = Budgets()
    heard(budgets, 20_000, at=0)

    assert heard(budgets, 10, at=0, device="d-2") == 10


@pytest.mark.parametrize(("size", "expected"), [(512 * 1024, 16), (64 * 1024, 123)])
def test_big_messages_are_fewer(size: int, expected: int):
    budgets = Budgets()

    assert heard(budgets, 1000, at=0, size=size) == expected
    assert heard(budgets, 1000, at=4, size=size) == pytest.approx(4 * SHORT.bytes_per_second / size, abs=2)


def test_over_a_day_a_device_stores_no_more_than_the_long_allowance():
    budgets = Budgets()
    day = 86_400

    total = sum(heard(budgets, 500, at=at, size=1000) for at in range(0, day, 10))

    assert total * 1000 == pytest.approx(LONG.bytes + day * LONG.bytes_per_second, rel=0.01)


def test_a_usual_device_is_always_heard():
    budgets = Budgets()

    assert all(heard(budgets, 3, at=at, size=2000) == 3 for at in range(0, 30 * 86_400, 300))


def test_what_was_dropped_is_said_once_a_minute():
    budgets = Budgets()
    heard(budgets, 5010, at=0)
    assert budgets.to_say(D, 0) == 10
    heard(budgets, 5, at=0)

    assert budgets.to_say(D, 59) == 0
    assert budgets.to_say(D, 60) == 5
