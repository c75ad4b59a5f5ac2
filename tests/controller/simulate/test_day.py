"""How time passes in a province."""

from datetime import UTC, datetime

import pytest
from tests.controller.simulate.conftest import MONDAY_NOON

from annexfleet_controller.simulate import day
from annexfleet_controller.simulate.province import Province
from annexfleet_controller.zones import PROVINCE

NIGHT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        (datetime(2026, 11, 23, 8, 29, tzinfo=PROVINCE), False),
        (datetime(2026, 11, 23, 8, 30, tzinfo=PROVINCE), True),
        (datetime(2026, 11, 23, 16, 29, tzinfo=PROVINCE), True),
        (datetime(2026, 11, 23, 16, 30, tzinfo=PROVINCE), False),
        (datetime(2026, 11, 22, 11, 0, tzinfo=PROVINCE), False),  # a Sunday
    ],
)
def test_opening_hours(moment: datetime, is_open: bool):
    assert day.is_open(moment) is is_open
    assert (day.arrivals_per_hour(moment) > 0) is is_open


def test_people_come_and_are_served(province: Province):
    day.advance(province, 3600)

    served = sum(len(queue.served) for annex in province.annexes for queue in annex.queues.values())
    assert served > 10


def test_nobody_waits_at_night(province: Province):
    province.now = NIGHT
    day.advance(province, 3600)

    assert all(not queue.waiting for annex in province.annexes for queue in annex.queues.values())


def test_a_blocked_printer_makes_people_wait(province: Province):
    annex = province.annexes[0]
    for printer in annex.printers:
        printer.jammed = True

    day.advance(province, 2 * 3600)

    assert sum(len(queue.waiting) for queue in annex.queues.values()) > 10
    assert any(printer.jobs for printer in annex.printers)


def test_what_is_printed_uses_paper_and_toner_and_counts(province: Province):
    printers = [printer for annex in province.annexes for printer in annex.printers]
    pages = sum(printer.pages for printer in printers)
    toner = sum(printer.toner for printer in printers)

    day.advance(province, 3600)

    assert sum(printer.pages for printer in printers) > pages
    assert sum(printer.toner for printer in printers) < toner


def test_an_empty_tray_is_filled_within_minutes(province: Province):
    printer = province.annexes[0].printers[0]
    printer.sheets = 0

    day.advance(province, 60)
    assert printer.blocked
    day.advance(province, 660)

    assert not printer.blocked


def test_without_mains_a_counter_stops_and_a_tablet_lives_on_its_battery(province: Province):
    annex = province.annexes[0]
    tablet = annex.machines[-1]
    tablet.has_battery = True
    charge = tablet.charge
    annex.power = False

    day.advance(province, 600)

    assert tablet.running
    assert not tablet.on_mains
    assert tablet.charge < charge
    assert not annex.machines[0].running


def test_a_machine_boots_when_the_mains_return(province: Province):
    annex = province.annexes[0]
    annex.power = False
    day.advance(province, 600)
    annex.power = True

    day.advance(province, 60)

    assert annex.machines[0].running
    assert annex.machines[0].booted_at > MONDAY_NOON + 599


def test_nothing_leaves_its_range_within_a_day(province: Province):
    day.advance(province, 86_400)

    for machine in province.machines:
        assert 0 <= machine.busy <= 1
        assert 0 <= machine.charge <= 1
        assert 0 < machine.disk_used <= machine.disk_bytes
    for annex in province.annexes:
        for printer in annex.printers:
            assert 0 <= printer.toner <= 1
            assert printer.sheets >= 0


def test_a_day_with_hours_of_its_own():
    hours = {"2026-11-23": (9.0, 15.0), "2026-11-24": (0.0, 0.0)}

    assert day.is_open(datetime(2026, 11, 23, 14, 59, tzinfo=PROVINCE), hours)
    assert not day.is_open(datetime(2026, 11, 23, 15, 0, tzinfo=PROVINCE), hours)
    assert not day.is_open(datetime(2026, 11, 24, 11, 0, tzinfo=PROVINCE), hours)
    assert day.arrivals_per_hour(datetime(2026, 11, 23, 9, 5, tzinfo=PROVINCE), hours) > 0
