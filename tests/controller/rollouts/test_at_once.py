"""Two submissions, or two starts, of one person in the same moment: what is counted is counted after one another.

Two real transactions overlap: the first has written and not committed yet while the second begins to count.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text
from tests.controller.fleet import device_id
from tests.controller.rollouts.rolling import AMINA, Province

from annexfleet_controller.rollouts import proposing
from annexfleet_controller.rollouts.errors import RolloutNeedsSecond
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.waves.model import Selector

WITHIN_S = 30.0
Act = Callable[[Province, int], Detail]


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Province:
    return Province(tmp_path, engine)


def acted(act: Callable[..., Detail], province: Province, id_: int, *, before_commit: Callable[[], None]) -> Detail:
    version = province.detail(id_).version
    with writing(province.engine) as db:
        found = act(db, province.home, id_, AMINA, version=version, now=province.clock.at)
        before_commit()
    return found


@contextmanager
def second_begins(engine: Engine) -> Iterator[threading.Event]:
    """Set once another thread than this one is about to say something to the database to count."""
    here, begins = threading.get_ident(), threading.Event()

    def heard(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if threading.get_ident() != here and ("BEGIN IMMEDIATE" in statement or "advisory" in statement):
            begins.set()

    event.listen(engine, "before_cursor_execute", heard)
    yield begins
    event.remove(engine, "before_cursor_execute", heard)


def both(act: Callable[..., Detail], province: Province, first: int, second: int) -> list[Detail | Exception]:
    """What came of both, the second having begun to count while the first was not committed."""
    found: list[Detail | Exception] = []
    passed = threading.Event()

    def second_acts() -> None:
        try:
            found.append(acted(act, province, second, before_commit=passed.set))
        except Exception as error:  # the test looks at it
            found.append(error)

    thread = threading.Thread(target=second_acts)
    with second_begins(province.engine) as begins:

        def wait() -> None:
            thread.start()
            # Not to be waited for: that it passes.  Without a lock it does, and then the counts below are wrong.
            while not passed.is_set() and not (begins.is_set() and is_held_up(province.engine)):
                begins.wait(0.01)
                assert thread.is_alive(), found

        mine = acted(act, province, first, before_commit=wait)
        thread.join(WITHIN_S)
    assert not thread.is_alive()
    return [mine, *found]


def is_held_up(engine: Engine) -> bool:
    """Whether somebody waits for the lock; on SQLite whoever is about to write does while another has not ended."""
    if engine.dialect.name != "postgresql":
        return True
    with reading(engine) as db:
        return bool(db.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")))


def of(numbers: list[int]) -> Selector:
    return Selector(devices=tuple(map(device_id, numbers)))


def province_of_120(province: Province) -> list[list[int]]:
    """11 of these devices are below both limits, 22 are above."""
    return [province.annex(f"berkane-{n}", 15) for n in range(1, 9)]


def test_two_submissions_at_once_that_are_much_together(province: Province):
    annexes = province_of_120(province)
    first, second = (province.draft(selector=of(numbers[:11])) for numbers in annexes[:2])

    found = both(proposing.submit, province, first, second)

    assert [one.state if isinstance(one, Detail) else one for one in found] == ["approved", "submitted"]
    assert province.detail(second).state == "submitted"  # it waits for a second person


def test_two_submissions_at_once_that_are_little(province: Province):
    annexes = province_of_120(province)
    first, second = (province.draft(selector=of(numbers[:5])) for numbers in annexes[:2])

    found = both(proposing.submit, province, first, second)

    assert [one.state if isinstance(one, Detail) else one for one in found] == ["approved", "approved"]


def test_two_starts_at_once_of_what_was_submitted_day_by_day(province: Province):
    ids = []
    for numbers in province_of_120(province)[:2]:
        ids.append(province.draft(selector=of(numbers[:11])))
        assert province.act(proposing.submit, ids[-1], home=True).state == "approved"
        province.pass_time(25 * 3600)

    mine, other = both(proposing.start, province, *ids)

    assert isinstance(mine, Detail)
    assert mine.state == "running"
    assert isinstance(other, RolloutNeedsSecond)
    assert province.detail(ids[1]).state == "approved"
