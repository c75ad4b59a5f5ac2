from datetime import date, time, timedelta

import pytest
from tests.controller.maintenance.planned import NOW, at, once, weekly

from annexfleet_controller.errors import MaintenanceWrong
from annexfleet_controller.maintenance import Area, Draft, Maintenance, Weekly, moved_end, parse, stopped
from annexfleet_controller.things import Thing

DEVICE = Thing("device", "d-1")
ZONES = {"berkane-1": "Africa/Casablanca", "berkane-2": "Africa/Casablanca", "paris": "Europe/Paris"}
HOUR = timedelta(hours=1)


def parsed(**of: object) -> Maintenance:
    whole: dict[str, object] = {"reason": "New switch"}
    if "weekdays" not in of:
        whole["ends_at"] = NOW + HOUR
    if not {"province", "annexes", "things"} & set(of):
        whole["annexes"] = ("berkane-1",)
    draft = Draft(**(whole | of))  # type: ignore[arg-type]
    return parse(draft, zones_of=ZONES, annex_of={DEVICE: "berkane-1"}, author="tech", now=NOW)


def test_an_hour_from_now_on():
    made = parsed(reason="  New\n switch ")

    assert made == Maintenance(
        area=Area(annexes=("berkane-1",)), touches=("berkane-1",), starts_at=NOW, ends_at=NOW + HOUR,
        reason="New switch", author="tech", created_at=NOW,
    )  # fmt: skip


def test_a_start_that_is_past_is_now():
    assert parsed(starts_at=NOW - HOUR).starts_at == NOW


def test_every_week():
    made = parsed(weekdays=("tuesday", "monday", "tuesday"), at="22:30", minutes=90, until=date(2027, 3, 1))

    assert made.weekly == Weekly(weekdays=(0, 1), at=time(22, 30), minutes=90, until=date(2027, 3, 1))
    assert made.ends_at is None


def test_a_device_touches_its_annex():
    made = parsed(things=(DEVICE,))

    assert made.area.things == (DEVICE,)
    assert made.touches == ("berkane-1",)


WEEKLY = {"weekdays": ("monday",), "at": "22:00", "minutes": 60, "until": date(2026, 12, 31)}


@pytest.mark.parametrize(
    ("of", "field", "reason"),
    [
        ({"annexes": ()}, "annexes", "empty_scope"),
        ({"province": True, "annexes": ("berkane-1",)}, "annexes", "mixed_scope"),
        ({"annexes": ("berkane-1",), "things": (DEVICE,)}, "things", "mixed_scope"),
        ({"annexes": ("berkane-9",)}, "annexes", "unknown_annex"),
        ({"annexes": ("berkane-1", "paris")}, "annexes", "zones_differ"),
        ({"things": (Thing("device", "d-2"),)}, "things", "unknown_thing"),
        ({"things": (Thing("annex", "berkane-1"),)}, "things", "unknown_thing"),
        ({"things": (DEVICE,), "roles": ("tablet",)}, "roles", "roles_of_things"),
        ({"roles": ("toaster",)}, "roles", "unknown_role"),
        ({"reason": "  "}, "reason", "no_reason"),
        ({"reason": "x" * 201}, "reason", "reason_too_long"),
        ({"ends_at": None}, "ends_at", "no_end"),
        ({"ends_at": NOW - HOUR}, "ends_at", "end_before_start"),
        ({"starts_at": NOW + HOUR, "ends_at": NOW + HOUR}, "ends_at", "end_before_start"),
        ({"ends_at": NOW + timedelta(days=31, minutes=1)}, "ends_at", "too_long"),
        ({"starts_at": NOW + timedelta(days=400), "ends_at": NOW + timedelta(days=401)}, "starts_at", "too_far"),
        ({**WEEKLY, "ends_at": NOW + HOUR}, "ends_at", "end_and_week"),
        ({**WEEKLY, "weekdays": ("mondy",)}, "weekdays", "unknown_weekday"),
        ({"at": "22:00", "until": date(2026, 12, 31), "weekdays": ()}, "weekdays", "no_weekdays"),
        ({**WEEKLY, "until": None}, "until", "until_missing"),
        ({**WEEKLY, "until": date(2028, 1, 1)}, "until", "until_too_far"),
        ({**WEEKLY, "until": date(2026, 11, 23)}, "until", "end_before_start"),
        ({**WEEKLY, "until": date(2026, 11, 25)}, "weekdays", "never"),
        ({**WEEKLY, "at": "24:00"}, "at", "time_wrong"),
        ({**WEEKLY, "at": "9:00"}, "at", "time_wrong"),
        ({**WEEKLY, "at": "٠٩:٠٠"}, "at", "time_wrong"),
        ({**WEEKLY, "minutes": 0}, "minutes", "minutes_wrong"),
        ({**WEEKLY, "minutes": 1441}, "minutes", "minutes_wrong"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field_and_the_reason(of: dict[str, object], field: str, reason: str):
    with pytest.raises(MaintenanceWrong) as refused:
        parsed(**of)

    assert refused.value.facts == {"field": field, "reason": reason}


def test_the_end_can_be_moved_both_ways():
    m = once(at(24, 10), at(24, 14))

    assert moved_end(m, ends_at=at(24, 18), now=NOW).ends_at == at(24, 18)
    assert moved_end(m, ends_at=at(24, 12, 30), now=NOW).ends_at == at(24, 12, 30)
    longer = moved_end(weekly(0, begins=time(9), minutes=60), until=date(2027, 9, 1), now=NOW)
    assert longer.weekly is not None
    assert longer.weekly.until == date(2027, 9, 1)


@pytest.mark.parametrize(
    ("m", "of", "field", "reason"),
    [
        (once(at(24, 10), at(24, 14)), {"ends_at": at(24, 11)}, "ends_at", "in_the_past"),
        (once(at(24, 10), at(24, 14)), {"ends_at": at(24, 9)}, "ends_at", "end_before_start"),
        (once(at(24, 10), at(24, 14)), {"ends_at": NOW + timedelta(days=32)}, "ends_at", "too_long"),
        (once(at(24, 10), at(24, 14)), {"until": date(2027, 1, 1)}, "ends_at", "no_end"),
        (once(at(24, 10), at(24, 11)), {"ends_at": at(24, 18)}, "ends_at", "is_over"),
        (stopped(once(at(24, 10), at(24, 18)), by="x", now=NOW), {"ends_at": at(24, 19)}, "ends_at", "is_over"),
        (weekly(0, begins=time(9), minutes=60), {"ends_at": at(24, 18)}, "until", "until_missing"),
        (weekly(0, begins=time(9), minutes=60), {"until": date(2028, 9, 1)}, "until", "until_too_far"),
    ],
)
def test_an_end_that_cannot_be_is_refused(m: Maintenance, of: dict[str, object], field: str, reason: str):
    with pytest.raises(MaintenanceWrong) as refused:
        moved_end(m, now=NOW, **of)  # type: ignore[arg-type]

    assert refused.value.facts == {"field": field, "reason": reason}
