from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from tests.controller.alerts import pasts

from annexfleet_controller.alerts.replay import Firing, Place, metrics_of, refuse_what_cannot_be, replay
from annexfleet_controller.calendars import DEFAULT
from annexfleet_controller.errors import Invalid
from annexfleet_controller.rules.defaults import default_rules
from annexfleet_controller.store import annexes
from annexfleet_controller.store.database import writing

MORNING = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
"""A Tuesday at ten in Morocco."""
NOON = MORNING + timedelta(hours=3)


@pytest.fixture
def db(engine: Engine):
    with writing(engine) as session:
        annexes.create(session, "berkane-1", name_fr="1", name_ar="1", now=MORNING)
        for number in (1, 2, 3):
            pasts.device(session, number, "berkane-1", at=MORNING)
            pasts.came(session, number, at=MORNING - timedelta(hours=2))
        yield session


def minutes(count: float) -> datetime:
    return MORNING + timedelta(minutes=count)


def used(*ratios: float) -> list[dict[str, dict[str, float]]]:
    return [{"": {"memory_used_ratio": ratio}} for ratio in ratios]


def quiet(db: Session, *numbers: int, until: int = 36) -> None:
    """Beats as of every day, from an hour before the morning to noon."""
    for number in numbers:
        pasts.beats(db, number, used(*[0.3] * (12 + until)), first=MORNING - timedelta(hours=1))


def fired(db: Session, rule_id: str, *, device: int | None = None, **changes: object) -> list[Firing]:
    place = Place(annex_id="berkane-1", calendar=DEFAULT)
    rule = replace(default_rules()[rule_id], **changes)
    return replay(db, rule, place, since=MORNING, until=NOON, device_number=device)


def test_a_threshold_fires_once_it_has_lasted_and_ends_once_it_is_clear(db: Session):
    quiet(db, 2, 3)
    pasts.beats(db, 1, used(*[0.3] * 12, *[0.95] * 6, *[0.5] * 6), first=MORNING - timedelta(hours=1))

    (firing,) = fired(db, "mem.high")

    assert firing.numbers == (1,)
    assert firing.since == minutes(0)
    assert firing.opened_at == minutes(10)
    assert firing.cleared_at is not None
    assert minutes(40) <= firing.cleared_at <= minutes(41)
    assert firing.facts["value"] == 0.95


def test_with_another_threshold_it_fires_otherwise(db: Session):
    quiet(db, 2, 3)
    pasts.beats(db, 1, used(*[0.3] * 12, *[0.95] * 6, *[0.5] * 6), first=MORNING - timedelta(hours=1))

    assert fired(db, "mem.high", levels={"used": 0.96, "used_clear": 0.8}) == []
    (firing,) = fired(db, "mem.high", for_s=1200.0)
    assert firing.opened_at == minutes(20)


def test_what_passes_sooner_does_not_fire(db: Session):
    quiet(db, 2, 3)
    pasts.beats(db, 1, used(*[0.3] * 12, 0.95, 0.95, *[0.5] * 9), first=MORNING - timedelta(hours=1))

    assert fired(db, "mem.high") == []


def test_a_device_that_was_lost_in_opening_hours(db: Session):
    quiet(db, 2, 3)
    quiet(db, 1, until=6)
    pasts.went(db, 1, at=minutes(30))
    pasts.came(db, 1, at=minutes(50))
    pasts.beats(db, 1, used(*[0.3] * 26), first=minutes(52))

    (firing,) = fired(db, "device.offline")

    assert firing.thing.id.endswith("1")
    assert firing.since == minutes(30)
    assert firing.opened_at == minutes(35)
    assert firing.cleared_at is not None
    assert minutes(51) <= firing.cleared_at <= minutes(53)


def test_a_line_cut_is_no_offline_device(db: Session):
    quiet(db, 1, 2, 3, until=6)
    for number in (1, 2, 3):
        pasts.went(db, number, at=minutes(30) + timedelta(seconds=number))

    assert fired(db, "device.offline") == []
    (firing,) = fired(db, "annex.link_down")
    assert minutes(30) < firing.opened_at <= minutes(35)
    assert firing.cleared_at is None


def test_a_jam(db: Session):
    quiet(db, 1, 2, 3)
    for at, causes in ((-30, []), (10, ["paper_jam"]), (25, [])):
        readings = {
            "printer:laser": {
                "printer_state": "stopped" if causes else "idle", "printer_causes": causes, "printer_address": "usb",
            }
        }  # fmt: skip
        pasts.told(db, 1, "printers", readings, at=minutes(at))

    (firing,) = fired(db, "printer.blocked")

    assert (firing.cause, firing.severity) == ("paper_jam", "critical")
    assert firing.opened_at == minutes(12)
    assert firing.cleared_at == minutes(26)
    assert fired(db, "printer.offline") == []


def test_what_stood_before_the_time_asked_for_is_known(db: Session):
    quiet(db, 1, 2, 3)
    pasts.told(db, 1, "disk", {"disk:/": {"disk_read_only": 1}}, at=MORNING - timedelta(days=3))

    (firing,) = fired(db, "disk.readonly_or_smart")

    assert (firing.part, firing.cleared_at) == ("/", None)
    assert firing.opened_at <= MORNING


def test_only_by_the_word_of_one_device(db: Session):
    quiet(db, 3)
    for number in (1, 2):
        pasts.beats(db, number, used(*[0.3] * 12, *[0.95] * 6), first=MORNING - timedelta(hours=1))

    assert len(fired(db, "mem.high")) == 2
    assert [firing.numbers for firing in fired(db, "mem.high", device=2)] == [(2,)]


def test_a_rule_that_is_switched_off_is_tried_all_the_same(db: Session):
    quiet(db, 2, 3)
    pasts.beats(db, 1, used(*[0.3] * 12, *[0.95] * 6), first=MORNING - timedelta(hours=1))

    assert len(fired(db, "mem.high", enabled=False)) == 1


def test_an_annex_without_devices(db: Session):
    rule = default_rules()["mem.high"]
    place = Place(annex_id="nowhere", calendar=DEFAULT)

    assert replay(db, rule, place, since=MORNING, until=NOON) == []


@pytest.mark.parametrize(
    "rule_id", ["portal.down_global", "broker.down", "deadman", "config.drift", "agent.version_drift"]
)
def test_what_is_not_kept_cannot_be_tried(rule_id: str):
    with pytest.raises(Invalid, match=f"{rule_id} cannot be tried on the past"):
        refuse_what_cannot_be(default_rules()[rule_id])


def test_every_other_rule_can(db: Session):
    quiet(db, 1, 2, 3)
    refused = {
        "portal.down_global",
        "broker.down",
        "controller.db_lag",
        "deadman",
        "config.drift",
        "agent.version_drift",
    }
    for rule_id in default_rules().keys() - refused:
        assert isinstance(fired(db, rule_id), list)


def test_which_values_a_condition_asks_for():
    assert metrics_of(default_rules()["print.queue_paused"].raise_when) == {"printer_paused", "printer_causes"}
