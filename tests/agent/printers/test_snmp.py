"""Printers over SNMP: a real conversation with a small agent, and the tables' traps."""

import subprocess
import sys

import msgspec
import pytest
from tests.agent.printers.snmp_agent import Counter, snmp_agent

from annexfleet_agent import printers
from annexfleet_agent.clock import SystemClock
from annexfleet_agent.printers import snmp
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.settings import Settings

HR, PRT = "1.3.6.1.2.1.25.3", "1.3.6.1.2.1.43"

PRINTER = {
    "1.3.6.1.2.1.1.1.0": b"Some printer",
    f"{HR}.2.1.3.1": b"LaserJet 400 M401dn",
    f"{HR}.2.1.5.1": 3,
    f"{HR}.5.1.1.1": 4,
    f"{HR}.5.1.2.1": b"\x24\x00",  # lowToner, jammed
    f"{PRT}.10.2.1.4.1.1": Counter(48213),
    **{f"{PRT}.11.1.1.{column}.1.{row}": value for row, values in {
        1: {3: 1, 4: 3, 5: 3, 6: b"Black Cartridge HP CF280X\0", 7: 19, 8: 100, 9: 12},
        2: {3: 0, 4: 4, 5: 4, 6: b"Waste box", 7: 19, 8: 100, 9: 70},
        3: {3: 0, 4: 3, 5: 15, 6: b"Fuser", 7: 19, 8: 100, 9: -3},
    }.items() for column, value in values.items()},
    f"{PRT}.12.1.1.4.1.1": b"black",
    **{f"{PRT}.8.2.1.{column}.1.{row}": value for row, values in {
        1: {9: 1, 10: -3, 12: b"", 13: b"Tray 1", 18: b""},
        2: {9: 250, 10: 50, 12: b"iso-a4-white", 13: b"Tray 2", 18: b""},
    }.items() for column, value in values.items()},
    f"{PRT}.18.1.1.2.1.1": 3,
    f"{PRT}.18.1.1.7.1.1": 8,
    f"{PRT}.18.1.1.7.1.2": 1104,
}  # fmt: skip


needs_the_extra = pytest.mark.skipif(not snmp.installed(), reason=snmp.HOW_TO_INSTALL)


def collect(uri, timeout_s=5.0):
    settings = msgspec.convert(
        {"printing": {"cups": "", "timeout_s": timeout_s}, "printer": [{"name": "laser", "uri": uri}]}, Settings
    )
    return printers.collector(settings, SystemClock()).collect()


@needs_the_extra
def test_a_printer_is_read_over_snmp():
    with snmp_agent(PRINTER) as port:
        report = collect(f"snmp://127.0.0.1:{port}")

    assert report.problems == {}
    assert report.readings == {
        "printer:laser": {
            "printer_address": "local", "printer_source": "device_snmp", "printer_state": "processing",
            "printer_causes": ["paper_jam", "toner_low"], "printer_pages_count": 48213,
            "printer_reasons": ["jam", "markerTonerAlmostEmpty", "lowToner", "jammed"],
            "printer_model": "LaserJet 400 M401dn",
        },
        "supply:laser/Black Cartridge HP CF280X": {
            "supply_kind": "toner", "supply_colour": "black", "supply_level_ratio": 0.12,
        },
        "supply:laser/Waste box": {"supply_kind": "waste-toner", "supply_level_ratio": 0.7},
        "supply:laser/Fuser": {"supply_kind": "fuser"},
        "tray:laser/Tray 2": {"tray_level_ratio": 0.2, "tray_media": "iso-a4-white"},
    }  # fmt: skip


@needs_the_extra
def test_a_wrong_community_is_met_with_silence():
    with snmp_agent(PRINTER, community=b"annex") as port:
        told = collect(f"snmp://annex@127.0.0.1:{port}").readings["printer:laser"]
        assert told["printer_state"] == "processing"

        report = collect(f"snmp://127.0.0.1:{port}", timeout_s=1.0)

    assert report.codes() == {"printer:laser": {"printer_pages_count": "timed_out"}}


@needs_the_extra
def test_something_that_is_no_printer_is_unsupported():
    with snmp_agent({"1.3.6.1.2.1.1.1.0": b"A switch", "1.3.6.1.4.1.9.1.0": 1}) as port:
        report = collect(f"snmp://127.0.0.1:{port}")

    assert report.codes() == {"printer:laser": {"printer_pages_count": "unsupported"}}
    assert report.readings["printer:laser"]["printer_state"] == "unknown"


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(snmp, "installed", lambda: False)

    report = collect("snmp://127.0.0.1:9")

    problem = report.problems["printer:laser"]["printer_pages_count"]
    assert problem.code == "unsupported"
    assert "pip install 'annexfleet-agent[snmp]'" in problem.detail


def tables(values):
    made = snmp.Tables()
    for oid, value in {**PRINTER, **values}.items():
        if value is not None:
            made.put(oid, value)
    return made


NO_ALERTS = {f"{PRT}.18.1.1.7.1.1": None, f"{PRT}.18.1.1.7.1.2": None}
NO_SUPPLIES = {f"{PRT}.11.1.1.9.1.{row}": None for row in (1, 2, 3)}


@pytest.mark.parametrize(
    ("printer_status", "device_status", "state"),
    [(3, 2, "idle"), (4, 2, "processing"), (5, 2, "idle"), (1, 5, "stopped"), (1, 3, "idle"), (2, 1, "unknown")],
)
def test_a_state_comes_from_printer_and_device(printer_status, device_status, state):
    assert snmp.seen(tables({f"{HR}.5.1.1.1": printer_status, f"{HR}.2.1.5.1": device_status})).state == state


def test_careless_bits_count_only_where_nothing_better_is_said():
    empty = {f"{HR}.5.1.2.1": b"\x10\x00"}  # noToner

    assert snmp.seen(tables(empty)).causes == []
    assert snmp.seen(tables({**empty, **NO_ALERTS, **NO_SUPPLIES})).causes == ["toner_empty"]


def test_a_printer_that_warms_up_is_no_trouble():
    assert snmp.seen(tables({f"{HR}.5.1.1.1": 5, f"{HR}.5.1.2.1": b""})).causes == ["sleep_or_warmup"]


@pytest.mark.parametrize(
    ("level", "capacity", "expected"),
    [
        (-1, 100, None),
        (-2, 100, None),
        (-3, 100, None),
        (30, -2, None),
        (130, 100, None),
        (b"x", 9, None),
        (450, 900, 0.5),
    ],
)
def test_a_level_is_a_share_or_unknown(level, capacity, expected):
    found = snmp.seen(tables({f"{PRT}.11.1.1.9.1.1": level, f"{PRT}.11.1.1.8.1.1": capacity}))

    assert found.supplies[0].level == expected


def test_nothing_at_all_is_no_printer():
    with pytest.raises(Failed) as failed:
        snmp.seen(snmp.Tables())

    assert failed.value.code == "unsupported"


def test_asyncio_and_puresnmp_come_only_with_an_snmp_printer():
    code = (
        "import sys, msgspec\n"
        "from annexfleet_agent import printers\n"
        "from annexfleet_agent.clock import SystemClock\n"
        "from annexfleet_agent.settings import Settings\n"
        "s = msgspec.convert({'printing': {'cups': '/nowhere'}, "
        "'printer': [{'name': 'p', 'uri': 'ipp://127.0.0.1:9/'}]}, Settings)\n"
        "printers.collector(s, SystemClock()).collect()\n"
        "heavy = {'asyncio', 'puresnmp', 'x690', 'http.client', 'email', 'urllib.request', 'dataclasses',"
        " 'cryptography'}\n"  # not subprocess: psutil brings it
        "print(sorted(heavy & set(sys.modules)))\n"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert out.stdout.strip() == "[]"
