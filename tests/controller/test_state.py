from datetime import UTC, datetime, timedelta

import pytest

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Change, Live, Problems, Readings, Summary
from annexfleet_controller import state
from annexfleet_controller.state import Part, Printer

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


def at(minutes_ago: float) -> datetime:
    return NOW - timedelta(minutes=minutes_ago)


def part(collector: str, readings: Readings, minutes_ago: float = 0, problems: Problems | None = None) -> Part:
    change = Change(seq=1, at=0, collector=collector, readings=readings, problems=problems or {})
    return Part(collector, at(minutes_ago), wire.encode(change))


def beat(numbers: dict[str, dict[str, float | Summary]]) -> bytes:
    return wire.encode(Beat(seq=1, at=0, seconds=300, numbers=numbers))


@pytest.mark.parametrize(
    ("connected", "heard_minutes_ago", "revoked", "expected"),
    [
        (True, 0, False, "online"),
        (True, 11, False, "online"),
        (True, 13, False, "silent"),
        (False, 0, False, "silent"),
        (False, None, False, "never"),
        (True, 0, True, "revoked"),
    ],
)
def test_presence(connected: bool, heard_minutes_ago: float | None, revoked: bool, expected: str):
    heard_at = None if heard_minutes_ago is None else at(heard_minutes_ago)

    assert (
        state.presence(connected=connected, heard_at=heard_at, revoked_at=at(9) if revoked else None, now=NOW)
        == expected
    )


@pytest.mark.parametrize(("part_ago", "beat_ago", "expected"), [(5, 1, 0.4), (1, 5, 0.2), (3, 3, 0.4)])
def test_of_two_values_the_newer_one_counts(part_ago: float, beat_ago: float, expected: float):
    known = state.merge(
        [part("cpu", {"": {"cpu_used_ratio": 0.2}}, part_ago)],
        beat_at=at(beat_ago),
        beat=beat({"": {"cpu_used_ratio": Summary(0.4, 0.1, 0.3, 0.6)}}),
    )

    assert known.number("", "cpu_used_ratio") == expected


def test_what_a_collector_tells_no_more_does_not_come_back_with_an_older_beat():
    known = state.merge(
        [part("disk", {"disk:/": {"disk_used_ratio": 0.5}}, 1)],
        beat_at=at(4),
        beat=beat({"disk:/": {"disk_used_ratio": 0.4}, "disk:/media/key": {"disk_used_ratio": 0.9}}),
    )

    assert known.subjects("disk:") == ["disk:/"]


def test_a_live_sample_goes_over_the_beat_until_the_next_beat():
    sample = wire.encode(Live(at=0, readings={"": {"cpu_used_ratio": 0.9}}))
    older = beat({"": {"cpu_used_ratio": 0.3}})

    while_watched = state.merge([], beat_at=at(2), beat=older, live_at=at(0), live=sample)
    afterwards = state.merge([], beat_at=at(2), beat=older, live_at=at(30), live=sample)

    assert while_watched.number("", "cpu_used_ratio") == 0.9
    assert afterwards.number("", "cpu_used_ratio") == 0.3


def test_a_state_that_cannot_be_read_costs_only_its_own_readings():
    known = state.merge([Part("cpu", NOW, b"\xff"), part("memory", {"": {"memory_used_ratio": 0.5}})])

    assert known.unreadable == ["cpu"]
    assert known.number("", "memory_used_ratio") == 0.5


def test_a_missing_reading_keeps_its_reason_and_its_collector():
    known = state.merge([part("battery", {}, problems={"": {"*": "unsupported"}})])

    assert [(m.collector, m.metric, m.code) for m in known.missing] == [("battery", "*", "unsupported")]


def test_a_printer_with_its_supplies_and_trays():
    known = state.merge(
        [
            part(
                "printers",
                {
                    "printer:hp": {"printer_state": "stopped", "printer_causes": ["paper_jam"], "printer_accepting": 1},
                    "supply:hp/black": {"supply_level_ratio": 0.4, "supply_kind": "toner"},
                    "tray:hp/1": {"tray_level_ratio": 0.7, "tray_media": "A4"},
                    "supply:hp2/black": {"supply_level_ratio": 0.1},
                },
            )
        ]
    )

    (printer,) = state.printers(known)
    assert (printer.name, printer.state, printer.causes, printer.accepting) == ("hp", "stopped", ["paper_jam"], True)
    assert [(s.name, s.kind, s.ratio) for s in printer.supplies] == [("black", "toner", 0.4)]
    assert [(t.name, t.media, t.ratio) for t in printer.trays] == [("1", "A4", 0.7)]


@pytest.mark.parametrize(
    ("printer_state", "causes", "in_trouble", "blocked"),
    [
        ("idle", [], False, False),
        ("idle", ["sleep_or_warmup"], False, False),
        ("idle", ["toner_low"], True, False),
        ("processing", ["paper_jam"], True, True),
        ("stopped", [], True, True),
        ("unreachable", [], True, True),
        ("idle", ["a_cause_of_a_newer_agent"], True, False),
    ],
)
def test_what_is_trouble_and_what_stops_printing(
    printer_state: str, causes: list[str], in_trouble: bool, blocked: bool
):
    readings: Readings = {"printer:hp": {"printer_state": printer_state, "printer_causes": causes}}

    (printer,) = state.printers(state.merge([part("printers", readings)]))

    assert (printer.in_trouble, printer.blocked) == (in_trouble, blocked)


def test_a_queue_that_does_not_say_how_many_wait_is_unknown_and_not_empty():
    known = state.merge(
        [
            part(
                "queues",
                {"queue:residence": {"queue_counters_open_count": 2}},
                problems={"queue:birth": {"*": "failed"}},
            )
        ]
    )

    birth, residence = state.queues(known)
    assert (residence.waiting, residence.counters_open) == (None, 2)
    assert (birth.service, birth.waiting, birth.missing) == ("birth", None, "failed")


def seen(
    name: str, address: str = "usb", uuid: str = "", source: str = "print_server", minutes_ago: float = 0
) -> Printer:
    readings: Readings = {
        f"printer:{name}": {"printer_address": address, "printer_uuid": uuid, "printer_source": source}
    }
    (printer,) = state.printers(state.merge([part("printers", readings, minutes_ago)]))
    return printer


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (seen("hp", uuid="u1"), seen("front", "192.0.2.1:631", uuid="u1"), True),
        (seen("hp", "192.0.2.1:631"), seen("front", "192.0.2.1:631"), True),
        (seen("hp", "192.0.2.1:631"), seen("hp", "192.0.2.2:631"), False),
        (seen("hp"), seen("hp"), False),
    ],
)
def test_when_two_devices_see_the_same_printer(first: Printer, second: Printer, same: bool):
    identities = {state.printer_identity("berkane-1", "d-1", first), state.printer_identity("berkane-1", "d-2", second)}

    assert (len(identities) == 1) is same


def test_the_device_itself_is_believed_before_the_print_server_and_then_the_newer():
    assert state.better_seen(seen("a", source="device_ipp", minutes_ago=9), seen("b"))
    assert state.better_seen(seen("a"), seen("b", source="probed_elsewhere"))
    assert state.better_seen(seen("a", minutes_ago=1), seen("b", minutes_ago=2))
