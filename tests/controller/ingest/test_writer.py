import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, select, text
from tests.controller.fleet import add_annex, add_devices, device_id

from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.messages import (
    Beat,
    Change,
    Gap,
    Gone,
    Hello,
    Inventory,
    Live,
    Receipt,
    Summary,
    UpMessage,
)
from annexfleet_controller.ingest import writer
from annexfleet_controller.ingest.decode import Received, decode
from annexfleet_controller.ingest.settle import Settled
from annexfleet_controller.ingest.writer import DatabaseFailing, write
from annexfleet_controller.store import configs, marks, states
from annexfleet_controller.store.database import open_database, reading, writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import (
    ChangeRow,
    DeviceInventory,
    DevicePart,
    DeviceState,
    History,
    LiveSample,
    Mark,
    SetAside,
)
from annexfleet_controller.store.tables.talk import Pulse

NOW = 1_700_000_000.0
D1, D2 = device_id(1), device_id(2)


@pytest.fixture
def fleet(engine: Engine) -> Engine:
    add_annex(engine)
    add_devices(engine, 3)
    return engine


def hello(*, session: str = "s1", install: str = "i1", clock: float = NOW, config: int = 0) -> Hello:
    return Hello(
        clock=clock,
        session_id=session,
        boot_id="b1",
        install_id=install,
        next_seq=1,
        agent_version="1",
        config_version=config,
    )


def beat(seq: int, *, at: float = NOW, cpu: float = 0.5) -> Beat:
    return Beat(seq=seq, at=at, seconds=300, samples=10, numbers={"": {"cpu_used_ratio": Summary(cpu, 0, cpu, 1)}})


def change(seq: int, *, at: float = NOW, collector: str = "disk", value: float = 0.9) -> Change:
    return Change(seq=seq, at=at, collector=collector, readings={"disk:/": {"disk_used_ratio": value}})


def hear(engine: Engine, *said: tuple[str, UpMessage], at: float = NOW) -> Settled:
    batch = [decode(Received(topics.up(id_, wire.kind_of(m)), wire.encode(m), at)) for id_, m in said]
    return write(engine, batch, datetime.fromtimestamp(at, UTC))


def state(engine: Engine, number: int = 1) -> DeviceState:
    with reading(engine) as db:
        found = db.get(DeviceState, number)
        assert found is not None
        return found


def rows(engine: Engine, table: type) -> list:
    with reading(engine) as db:
        return list(db.scalars(select(table)))


def mark(engine: Engine, number: int = 1, install: str = "i1") -> tuple[int, str]:
    with reading(engine) as db:
        found = db.get(Mark, (number, install))
        assert found is not None
        return found.upto, found.ahead


def test_a_batch_leaves_history_state_changes_marks_and_one_pulse(fleet: Engine):
    settled = hear(fleet, (D1, hello()), (D1, beat(1)), (D1, change(2)), (D2, hello()), (D2, beat(1)))

    assert [row.device_number for row in rows(fleet, History)] == [1, 2]
    assert state(fleet).beat == wire.encode(beat(1))
    assert state(fleet).beat_at == datetime.fromtimestamp(NOW, UTC)
    assert [(p.device_number, p.collector) for p in rows(fleet, DevicePart)] == [(1, "disk")]
    assert [(c.device_number, c.kind) for c in rows(fleet, ChangeRow)] == [
        (1, "connected"),
        (1, "change"),
        (2, "connected"),
    ]
    assert mark(fleet) == (2, "[]")
    assert [p.devices for p in rows(fleet, Pulse)] == ['{"1":"hbc","2":"hb"}']
    assert {(d.device_id, d.upto, d.urgent) for d in settled.due} == {(D1, 2, True), (D2, 1, True)}


def test_an_item_that_comes_twice_counts_once(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, beat(1)), (D1, beat(1)))

    settled = hear(fleet, (D1, beat(1)), (D1, beat(2)))

    assert len(rows(fleet, History)) == 2
    assert settled.counts["repeated"] == 1
    assert settled.due[0].urgent, "the device did not hear the first acknowledgement"


def test_an_acknowledgement_never_passes_a_hole(fleet: Engine):
    settled = hear(fleet, (D1, hello()), (D1, beat(1)), (D1, beat(3)), (D1, beat(4)))
    assert settled.due[0].upto == 1
    assert mark(fleet) == (1, "[[3, 4]]")

    settled = hear(fleet, (D1, beat(2)))

    assert settled.due[0].upto == 4
    assert len(rows(fleet, History)) == 4


def test_a_gap_closes_the_hole_that_the_device_speaks_of(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, beat(1)))

    settled = hear(fleet, (D1, Gap(seq=9, at=NOW, ranges=[(2, 8)], lost={"beat": 7})))

    assert settled.due[0].upto == 9
    assert [c.kind for c in rows(fleet, ChangeRow)] == ["connected", "gap"]


def test_a_new_installation_numbers_from_one_again(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, beat(1)), (D1, beat(2)))

    settled = hear(fleet, (D1, hello(session="s2", install="i2")), (D1, beat(1, at=NOW + 1)), at=NOW + 1)

    assert len(rows(fleet, History)) == 3
    assert [(d.install_id, d.upto) for d in settled.due] == [("i2", 1)]
    assert mark(fleet) == (2, "[]")


def test_a_database_that_was_restored_from_a_copy_does_not_wait_for_what_it_acknowledged_before(fleet: Engine):
    hear(fleet, (D1, hello()), *((D1, beat(n)) for n in range(1, 41)))
    greeting = msgspec.structs.replace(hello(session="s2"), oldest_seq=101, next_seq=102)

    settled = hear(fleet, (D1, greeting), (D1, beat(101)))

    assert [d.upto for d in settled.due] == [101]
    assert mark(fleet) == (101, "[]")


@pytest.mark.parametrize(("oldest", "upto"), [(0, 2), (1, 2), (2, 2), (99, 2)])
def test_an_agent_that_has_everything_still_moves_no_mark(fleet: Engine, oldest: int, upto: int):
    hear(fleet, (D1, hello()), (D1, beat(1)), (D1, beat(2)))

    hear(fleet, (D1, msgspec.structs.replace(hello(), oldest_seq=oldest, next_seq=3)))

    assert mark(fleet) == (upto, "[]")


def test_a_device_with_a_new_installation_at_every_hello_leaves_a_few_marks(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, beat(1)))
    for n in range(30):
        hear(fleet, *((D1, hello(session=f"s{n}-{k}", install=f"i{n}-{k}")) for k in range(3)), at=NOW + n)

    kept = {row.install_id for row in rows(fleet, Mark)}
    assert len(kept) == marks.KEPT
    assert {"i29-0", "i29-1", "i29-2", "i28-0"} <= kept


def test_an_installation_that_comes_back_is_remembered(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, beat(1)), (D1, beat(2)))
    hear(fleet, (D1, hello(session="s2", install="i2")), (D1, beat(1)), at=NOW + 1)

    settled = hear(fleet, (D1, hello(session="s3", install="i1")), (D1, beat(2)), at=NOW + 2)

    assert settled.counts["repeated"] == 1
    assert [(d.install_id, d.upto) for d in settled.due] == [("i1", 2)]


def test_an_item_before_any_hello_is_not_stored_and_not_acknowledged(fleet: Engine):
    settled = hear(fleet, (D1, beat(1)))

    assert rows(fleet, History) == []
    assert settled.due == []
    assert settled.counts["dropped_before_hello"] == 1


def inventory(seq: int, digest: str, *, at: float = NOW) -> Inventory:
    return Inventory(seq=seq, at=at, digest=digest)


def test_an_older_report_never_replaces_a_newer_one_whatever_their_clocks_say(fleet: Engine):
    newer = [beat(7, at=NOW - 999, cpu=0.7), change(8, at=NOW - 999), inventory(9, "new", at=NOW - 999)]
    older = [beat(1, cpu=0.1), change(2, value=0.1), inventory(3, "old")]
    hear(fleet, (D1, hello()), *((D1, message) for message in newer))

    hear(fleet, *((D1, message) for message in older))

    assert state(fleet).beat == wire.encode(newer[0])
    assert rows(fleet, DevicePart)[0].payload == wire.encode(newer[1])
    assert state(fleet).inventory_digest == "new"
    assert rows(fleet, DeviceInventory)[0].payload == wire.encode(newer[2])
    assert len(rows(fleet, History)) == 2


@pytest.mark.parametrize("at_once", [True, False])
def test_another_installation_is_newer_whatever_its_numbers_are(fleet: Engine, at_once: bool):
    before = [(D1, hello()), (D1, beat(70)), (D1, change(80)), (D1, inventory(90, "old"))]
    new = [beat(1, at=NOW - 999, cpu=0.1), change(2, at=NOW - 999, value=0.1), inventory(3, "new", at=NOW - 999)]
    after = [(D1, hello(session="s2", install="i2")), *((D1, message) for message in new)]

    for batch in [[*before, *after]] if at_once else [before, after[:1], after[1:]]:
        hear(fleet, *batch)

    assert state(fleet).beat == wire.encode(new[0])
    assert rows(fleet, DevicePart)[0].payload == wire.encode(new[1])
    assert state(fleet).inventory_digest == "new"


def test_a_new_installation_that_says_hello_right_after_a_beat_of_the_old_one_is_heard_as_newer(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, beat(70)), (D1, hello(session="s2", install="i2")))

    hear(fleet, (D1, beat(1, cpu=0.1)))

    assert state(fleet).beat == wire.encode(beat(1, cpu=0.1))


def test_within_a_batch_too_the_newest_report_wins(fleet: Engine):
    hear(
        fleet,
        (D1, hello()),
        (D1, change(2, at=NOW)),
        (D1, change(1, at=NOW - 9, value=0.1)),
        (D1, beat(4)),
        (D1, beat(3, at=NOW - 9)),
    )

    assert rows(fleet, DevicePart)[0].payload == wire.encode(change(2))
    assert state(fleet).beat == wire.encode(beat(4))


@pytest.mark.parametrize(
    ("device_clock", "item_at", "expected"),
    [
        (NOW, NOW - 60, NOW - 60),
        (NOW - 3, NOW - 60, NOW - 60),  # a small offset is the way the message took
        (NOW - 86_400 * 365, NOW - 86_400 * 365 - 60, NOW - 60),
        (NOW + 7200, NOW + 7140, NOW - 60),
        (NOW, NOW + 1000, NOW),  # the future is not believed
    ],
)
def test_moments_are_told_by_our_clock(fleet: Engine, device_clock: float, item_at: float, expected: float):
    hear(fleet, (D1, hello(clock=device_clock)), (D1, beat(1, at=item_at)))

    assert rows(fleet, History)[0].at.timestamp() == pytest.approx(expected, abs=0.01)


def test_what_was_measured_before_the_last_start_is_not_corrected_by_the_present_clock(fleet: Engine):
    hear(fleet, (D1, hello(clock=NOW - 86_400)))
    old = msgspec.structs.replace(beat(1, at=NOW - 5000), earlier_boot=True)

    hear(fleet, (D1, old), (D1, beat(2, at=NOW - 86_400)))

    assert [h.at.timestamp() for h in rows(fleet, History)] == [NOW - 5000, NOW]


def test_a_hello_that_waited_on_its_way_does_not_make_the_clock_wrong_for_long(fleet: Engine):
    hear(fleet, (D1, hello(clock=NOW)), at=NOW + 40)
    assert state(fleet).clock_offset_s == 40

    hear(fleet, (D1, beat(1, at=NOW + 300)), at=NOW + 300.5)

    assert state(fleet).clock_offset_s == 0.5
    assert rows(fleet, History)[0].at.timestamp() == NOW + 300
    hear(fleet, (D1, beat(2, at=NOW + 200)), at=NOW + 600)
    assert state(fleet).clock_offset_s == 0.5


def test_unknown_and_revoked_devices_are_dropped_and_counted(fleet: Engine):
    with writing(fleet) as db:
        db.get_one(Device, 2).revoked_at = datetime.now(UTC)

    settled = hear(fleet, (device_id(99), hello()), (D2, hello()), (D2, beat(1)), (D1, hello()))

    assert settled.counts["dropped_unknown_device"] == 3
    assert [d.device_id for d in settled.due] == [D1]
    assert rows(fleet, History) == []


def test_a_goodbye_disconnects_and_a_late_one_of_an_older_session_does_not(fleet: Engine):
    hear(fleet, (D1, hello(session="s1")))
    hear(fleet, (D1, hello(session="s2")), (D1, Gone(session_id="s1")), at=NOW + 5)
    assert state(fleet).connected

    hear(fleet, (D1, Gone(session_id="s2", reason="stopped")), at=NOW + 9)

    assert not state(fleet).connected
    assert state(fleet).gone_at == datetime.fromtimestamp(NOW + 9, UTC)
    assert [c.kind for c in rows(fleet, ChangeRow)] == ["connected", "connected", "gone"]


def test_a_repeated_hello_of_the_same_session_is_no_second_arrival(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, hello(clock=NOW - 100)))

    assert [c.kind for c in rows(fleet, ChangeRow)] == ["connected"]
    assert state(fleet).clock_offset_s == 100


def test_a_device_that_was_given_up_counts_as_connected_when_it_is_heard_again(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, Gone(session_id="s1")))

    hear(fleet, (D1, beat(1, at=NOW + 300)), at=NOW + 300)

    assert state(fleet).connected


def test_inventory_receipt_and_live_samples_find_their_places(fleet: Engine):
    inventory = Inventory(seq=1, at=NOW, digest="abc", hardware={"model": "X"})
    live = Live(at=NOW, readings={"": {"cpu_used_ratio": 0.7}})

    settled = hear(
        fleet,
        (D1, hello()),
        (D1, inventory),
        (D1, Receipt(seq=2, at=NOW, command_id="c", outcome="refused")),
        (D1, live),
    )

    assert state(fleet).inventory_digest == "abc"
    assert rows(fleet, DeviceInventory)[0].payload == wire.encode(inventory)
    assert rows(fleet, LiveSample)[0].payload == wire.encode(live)
    assert [c.kind for c in rows(fleet, ChangeRow)] == ["connected", "inventory", "receipt"]
    assert settled.due[0].upto == 2
    assert rows(fleet, History) == []


def test_a_change_of_an_unknown_collector_is_kept_among_the_changes_only(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, change(1, collector="of-tomorrow")))

    assert [c.collector for c in rows(fleet, ChangeRow)] == ["", "of-tomorrow"]
    assert rows(fleet, DevicePart) == []


def test_the_version_of_settings_in_force_follows_the_agents_own_report(fleet: Engine):
    told = Change(seq=1, at=NOW, collector="agent", readings={"": {"agent_config_version": 7}})

    hear(fleet, (D1, hello(config=3)), (D1, told))

    assert state(fleet).config_version == 7


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
