"""What happened to a device, in few words."""

from datetime import UTC, datetime, timedelta

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Change, Readings
from annexfleet_controller.i18n.catalogues import language
from annexfleet_controller.store.fleet import Happened
from annexfleet_controller.web.pages.device import past

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
ENGLISH = language("en")


def change(collector: str, seconds_ago: float, readings: Readings, *because: str) -> Happened:
    at = NOW - timedelta(seconds=seconds_ago)
    payload = wire.encode(
        Change(seq=1, at=at.timestamp(), collector=collector, readings=readings, because=list(because))
    )
    return Happened(1, at, at, "change", collector, payload)


def test_a_change_says_what_moved_and_to_what():
    happened = change(
        "disk", 5, {"disk:/": {"disk_used_ratio": 0.95}, "disk:/var": {"disk_used_ratio": 0.2}},
        "disk:/ disk_used_ratio", "disk:/gone disk_used_ratio",
    )  # fmt: skip

    (event,) = past([happened], ENGLISH)

    assert [(m.about, m.value) for m in event.moved] == [("/", "95%"), ("/gone", "")]
    assert event.collector == "disk"


def test_all_first_reports_after_a_start_are_one_line():
    happened = [
        change("cpu", 5, {"": {"cpu_count": 8}}, " cpu_count"),
        *(change(f"collector-{n}", 20 + n, {}) for n in range(17)),
        change("cpu", 60, {"": {"cpu_count": 4}}, " cpu_count"),
        change("memory", 90, {}),
        *(change(f"collector-{n}", 90_000 + n, {}) for n in range(17)),
    ]

    assert [event.kind for event in past(happened, ENGLISH)] == ["change", "start", "change", "start"]


def test_long_words_are_cut_and_few_readings_are_named():
    names = [f"name_{n}" for n in range(9)]
    happened = change("x", 5, {"": dict.fromkeys(names, "word" * 100)}, *(f" {name}" for name in names))

    (event,) = past([happened], ENGLISH)

    assert len(event.moved) == 4
    assert all(len(moved.value) == 60 for moved in event.moved)


def test_what_cannot_be_read_is_told_without_its_words():
    broken = Happened(1, NOW, NOW, "change", "cpu", b"\xff")

    assert [(event.kind, event.moved) for event in past([broken], ENGLISH)] == [("change", [])]
