"""A batch becomes rows."""

from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.ingest.saying import D1, D2, NOW, beat, change, hear, hello, mark, rows, state

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import (
    Change,
    Gap,
    Gone,
    Inventory,
    Live,
    Receipt,
)
from annexfleet_controller.store import marks
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import (
    ChangeRow,
    DeviceInventory,
    DevicePart,
    History,
    LiveSample,
    Mark,
    SetAside,
)
from annexfleet_controller.store.tables.talk import Pulse


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


@pytest.mark.parametrize("receipt", [{"command_id": "c\0"}, {"command_id": "c", "detail": "a\0"}])
def test_a_receipt_with_a_zero_character_keeps_nobody_elses_messages_back(fleet: Engine, receipt: dict[str, str]):
    spoiled = Receipt(seq=1, at=NOW, outcome="done", **receipt)  # type: ignore[arg-type]
    hear(fleet, (D1, hello()), (D1, spoiled), (D1, beat(2)))

    assert [row.reason for row in rows(fleet, SetAside)] == ["not_storable"]
    assert len(rows(fleet, History)) == 1


def test_a_change_of_an_unknown_collector_is_kept_among_the_changes_only(fleet: Engine):
    hear(fleet, (D1, hello()), (D1, change(1, collector="of-tomorrow")))

    assert [c.collector for c in rows(fleet, ChangeRow)] == ["", "of-tomorrow"]
    assert rows(fleet, DevicePart) == []


def test_the_version_of_settings_in_force_follows_the_agents_own_report(fleet: Engine):
    told = Change(seq=1, at=NOW, collector="agent", readings={"": {"agent_config_version": 7}})

    hear(fleet, (D1, hello(config=3)), (D1, told))

    assert state(fleet).config_version == 7
