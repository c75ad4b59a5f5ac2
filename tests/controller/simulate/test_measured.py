"""The simulated readings are those of the catalogue."""

import pytest

from annexfleet_agent.protocol.causes import CAUSES
from annexfleet_agent.protocol.metrics import CATALOGUE
from annexfleet_controller.simulate import day
from annexfleet_controller.simulate.measured import View, collectors_of
from annexfleet_controller.simulate.province import Annex, Machine, Province


def everything(province: Province) -> list[tuple[str, str, str, object]]:
    """Collector, subject, metric and value of all machines."""
    found = []
    for annex in province.annexes:
        for machine in annex.machines:
            view = View(province, annex, machine)
            for name in collectors_of(machine):
                for subject, of in getattr(view, name)().readings.items():
                    found += [(name, subject, metric, value) for metric, value in of.items()]
    return found


def test_every_reading_stands_in_the_catalogue_under_its_collector(province: Province):
    day.advance(province, 1800)

    for collector, _, metric, value in everything(province):
        assert CATALOGUE[metric].collector == collector
        if CATALOGUE[metric].words:
            assert value in CATALOGUE[metric].words
        if CATALOGUE[metric].unit == "ratio":
            assert 0 <= value <= 1 or metric == "load_per_cpu_ratio"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("trouble", "state", "cause"),
    [
        ({"jammed": True}, "stopped", "paper_jam"),
        ({"sheets": 0.0}, "stopped", "paper_empty"),
        ({"sheets": 10.0}, "idle", "paper_low"),
        ({"toner": 0.0}, "stopped", "toner_empty"),
        ({"toner": 0.05}, "idle", "toner_low"),
    ],
)
def test_a_printer_in_trouble_says_so(province: Province, trouble: dict[str, object], state: str, cause: str):
    annex, machine = _with_printer(province)
    for name, value in trouble.items():
        setattr(machine.printers[0], name, value)

    readings = View(province, annex, machine).printers().readings[f"printer:{machine.printers[0].name}"]

    assert readings["printer_state"] == state
    assert readings["printer_causes"] == [cause]
    assert cause in CAUSES


def test_a_printer_probed_elsewhere_tells_only_what_the_queue_knows(province: Province):
    annex, machine = _with_printer(province)
    address = frozenset({machine.printers[0].address})

    readings = View(province, annex, machine, probed_elsewhere=lambda: address).printers().readings
    of = readings[f"printer:{machine.printers[0].name}"]

    assert of["printer_source"] == "probed_elsewhere"
    assert "printer_state" not in of


def test_a_device_without_battery_says_that_it_has_none(province: Province):
    report = View(province, province.annexes[0], province.annexes[0].machines[0]).battery()

    assert not report.readings
    assert report.codes() == {"": {"*": "unsupported"}}


def test_waiting_people_are_counted_and_nobody_is_named(province: Province):
    annex = province.annexes[0]
    queue = annex.queues["residence"]
    queue.waiting.extend([province.now - 600, province.now - 60])
    keeper = next(machine for machine in annex.machines if machine.keeps_queues)

    of = View(province, annex, keeper).queues().readings["queue:residence"]

    assert of["queue_waiting_count"] == 2
    assert of["queue_longest_wait_seconds"] == 600
    assert of["queue_average_wait_seconds"] == 330


def test_moments_are_told_in_the_devices_own_time(province: Province):
    annex, machine = _with_printer(province)

    of = View(province, annex, machine, offset_s=lambda: 1000.0).uptime().readings[""]

    assert of["booted_at_seconds"] == machine.booted_at + 1000


def _with_printer(province: Province) -> tuple[Annex, Machine]:
    annex = province.annexes[0]
    return annex, next(machine for machine in annex.machines if machine.printers)


def test_a_cut_line_shows_in_the_look_at_the_portal(province: Province):
    annex, machine = _with_printer(province)
    annex.line_up = False

    readings = View(province, annex, machine).portal().readings["portal:e-services"]

    assert (readings["portal_up"], readings["portal_failed_stage"]) == (0, "dns")


def test_a_printer_that_is_off_cannot_be_reached(province: Province):
    annex, machine = _with_printer(province)
    machine.printers[0].on = False

    readings = View(province, annex, machine).printers().readings[f"printer:{machine.printers[0].name}"]

    assert readings["printer_causes"] == ["unreachable"]


def test_a_queue_system_that_does_not_answer_is_told_as_a_problem(province: Province):
    annex = province.annexes[0]
    annex.queue_source_up = False

    report = View(province, annex, annex.machines[0]).queues()

    assert report.readings == {}
    assert report.codes()["queue:residence"] == {"*": "unreachable"}
