"""Hostile input, and a database that fails."""

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, text
from tests.controller.fleet import add_annex, add_devices
from tests.controller.ingest.saying import D1, D2, NOW, beat, change, hear, hello, mark, rows, state

from annexfleet_agent.protocol import topics
from annexfleet_agent.protocol.messages import (
    Change,
    Hello,
    Inventory,
    UpMessage,
)
from annexfleet_controller.ingest import writer
from annexfleet_controller.ingest.decode import Received, decode
from annexfleet_controller.ingest.settle import Settled
from annexfleet_controller.ingest.writer import DatabaseFailing, write
from annexfleet_controller.store import configs, states
from annexfleet_controller.store.database import open_database, writing
from annexfleet_controller.store.tables.readings import (
    History,
    SetAside,
)

# -- hostile input


def garbage(engine: Engine, topic: str, payload: bytes) -> Settled:
    return write(engine, [decode(Received(topic, payload, NOW))], datetime.fromtimestamp(NOW, UTC))


@pytest.mark.parametrize(
    ("payload", "reason", "upto"),
    [
        (b"\x01\xff\xff\xff", "not_deflate", 0),
        (b"<html>", "not_json", 0),
        (b"", "not_json", 0),
        (b'{"seq":1,"at":1e99,"seconds":300,"numbers":{}}', "not_a_message", 1),
        (b'{"seq":1,"at":5,"numbers":{"seq":2}}', "not_a_message", 0),  # which number is the item's?
        (b'{"seq":99999999999999999999}', "not_a_message", 0),
        (b"[" * 100 + b"]" * 100, "too_deep", 0),
        (b"x" * 70_000, "too_big", 0),
    ],
)
def test_what_cannot_be_decoded_is_set_aside_and_acknowledged_where_its_number_can_be_read(
    fleet, payload, reason, upto
):
    hear(fleet, (D1, hello()))

    settled = garbage(fleet, topics.up(D1, "beat"), payload)

    (kept,) = rows(fleet, SetAside)
    assert (kept.device_id, kept.reason, kept.size_bytes) == (D1, reason, len(payload))
    assert kept.head == payload[:512]
    assert [d.upto for d in settled.due] == ([upto] if upto else [])
    assert settled.counts["set_aside"] == 1


def test_what_was_set_aside_is_not_set_aside_again_when_it_is_repeated(fleet: Engine):
    hear(fleet, (D1, hello()))
    for _ in range(3):
        garbage(fleet, topics.up(D1, "beat"), b'{"seq":1}')

    assert len(rows(fleet, SetAside)) == 1


def test_a_topic_that_is_none_of_ours_is_set_aside(fleet: Engine):
    garbage(fleet, "af/v1/d/nobody/up/beat", b"{}")

    assert [(s.device_id, s.reason) for s in rows(fleet, SetAside)] == [("", "unknown_topic")]


def test_a_device_cannot_fill_the_store_with_garbage(fleet: Engine):
    hear(fleet, (D1, hello()))
    for day, batches in ((0, 3), (1, 1)):
        for _ in range(batches):
            at = NOW + day * 86_400
            batch = [decode(Received(topics.up(D1, "beat"), b"junk", at))] * 500
            settled = write(fleet, batch, datetime.fromtimestamp(at, UTC))

        assert len(rows(fleet, SetAside)) == (day + 1) * writer.ASIDE_KEPT_PER_DEVICE
        assert settled.counts["set_aside"] == 500


@pytest.mark.parametrize(
    "said",
    [
        Hello(clock=NOW, session_id="a\x00b", boot_id="b", install_id="i", next_seq=1, agent_version="1"),
        Change(seq=1, at=NOW, collector="a\x00b", readings={}),
    ],
)
def test_a_zero_character_cannot_stop_a_batch(fleet: Engine, said: UpMessage):
    hear(fleet, (D1, hello()), (D1, said), (D2, hello()), (D2, beat(1)))

    assert [s.reason for s in rows(fleet, SetAside)] == ["not_storable"]
    assert len(rows(fleet, History)) == 1


def test_numbers_out_of_all_proportion_do_no_harm(fleet: Engine):
    sane = msgspec.json.encode(hello(config=12345))

    garbage(fleet, topics.up(D1, "hello"), sane.replace(b"12345", b"9" * 40))

    assert state(fleet).config_version == configs.MOST_VERSION


def test_a_message_that_the_database_refuses_does_not_hold_up_the_others(
    fleet: Engine, monkeypatch: pytest.MonkeyPatch
):
    hear(fleet, (D1, hello()), (D2, hello()))
    add = writer.history.add

    def refusing(db, beats):
        if any(number == 1 for number, _, _ in beats):
            raise ValueError("the database does not like device 1")
        add(db, beats)

    monkeypatch.setattr(writer.history, "add", refusing)

    settled = hear(fleet, *((D2, beat(n)) for n in range(1, 8)), (D1, beat(1)), (D2, beat(8)))

    assert len(rows(fleet, History)) == 8
    assert [(s.device_id, s.reason) for s in rows(fleet, SetAside)] == [(D1, "not_storable")]
    assert max(d.upto for d in settled.due if d.device_id == D2) == 8
    assert mark(fleet, 1) == (1, "[]")


# -- a database that fails


def test_when_the_commit_fails_nothing_of_the_batch_is_there(fleet: Engine, monkeypatch: pytest.MonkeyPatch):
    hear(fleet, (D1, hello()))

    with monkeypatch.context() as patched:
        patched.setattr(writer.pulses, "add", lambda db, *_a, **_k: db.execute(text("SELECT * FROM nowhere")))
        with pytest.raises(DatabaseFailing):
            hear(fleet, (D1, beat(1)), (D1, change(2)))
    assert rows(fleet, History) == []
    assert mark(fleet) == (0, "[]")

    hear(fleet, (D1, beat(1)), (D1, change(2)))
    assert mark(fleet) == (2, "[]")


@pytest.fixture
def small(sqlite_engine: Engine) -> Engine:
    add_annex(sqlite_engine)
    add_devices(sqlite_engine, 1)
    hear(sqlite_engine, (D1, hello()))
    return sqlite_engine


def test_a_full_database_fails_clearly_and_goes_on_when_there_is_room(small: Engine):
    bulky = Inventory(seq=1, at=NOW, digest="x", packages={f"package-{n * 7919}": str(n**5) for n in range(3000)})
    with small.connect() as connection:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    small.dispose()
    full = open_database(str(small.url))
    with full.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {used + 2}")
    with pytest.raises(DatabaseFailing, match="full"):
        hear(full, (D1, bulky))
    full.dispose()

    settled = hear(small, (D1, bulky))

    assert settled.due[0].upto == 1


def test_a_read_only_database_fails_clearly(small: Engine):
    path = Path(small.url.database or "")
    readonly = open_database(f"sqlite:///file:{path}?mode=ro&uri=true")

    with pytest.raises(DatabaseFailing, match="readonly"):
        hear(readonly, (D1, beat(1)))
    readonly.dispose()


@pytest.fixture
def holder(small: Engine) -> Iterator[sqlite3.Connection]:
    """Somebody else who writes and does not come to an end."""
    other = sqlite3.connect(small.url.database or "", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


def test_a_locked_database_fails_clearly_and_loses_nothing(small: Engine, holder: sqlite3.Connection):
    with small.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    with pytest.raises(DatabaseFailing, match="locked"):
        hear(small, (D1, beat(1)))

    holder.execute("ROLLBACK")

    assert hear(small, (D1, beat(1))).due[0].upto == 1


def test_two_ingest_processes_at_once_count_each_item_once(fleet: Engine, database_url: str):
    hear(fleet, (D1, hello()), (D2, hello()))
    failed: list[BaseException] = []

    def run(order: int) -> None:
        engine = open_database(database_url)
        try:
            for n in range(1, 40):
                said = [(D1, beat(n)), (D2, beat(n))]
                hear(engine, *said[::order])
        except BaseException as error:
            failed.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=run, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert len(rows(fleet, History)) == 2 * 39
    assert mark(fleet, 1) == mark(fleet, 2) == (39, "[]")


def test_a_device_without_a_row_of_state_gets_one(fleet: Engine):
    with writing(fleet) as db:
        known = states.lock(db, [D1, D2])

    assert {k.install_id for k in known.values()} == {""}
    assert not state(fleet, 2).connected
    assert state(fleet).heard_at is None
    assert timedelta(0) == timedelta(seconds=known[D1].heard_at)
