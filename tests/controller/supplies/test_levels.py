"""What a printer says of its supplies becomes rows of a day, and parts that can be ordered."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.controller.supplies.past import TODAY, supply_day

from annexfleet_controller import views
from annexfleet_controller.state import Level, Printer
from annexfleet_controller.supplies import levels

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
BLACK = Level("Black Cartridge HP CF259A", "toner-cartridge", "black", 0.42)


def printer(supplies: list[Level], **other: object) -> Printer:
    fields: dict[str, object] = {
        "name": "guichet-hp", "state": "idle", "causes": [], "reasons": [], "model": "HP LaserJet Pro M404dn",
        "address": "192.0.2.20:631", "uuid": "u", "source": "device_ipp", "accepting": True, "paused": False, "jobs": 0,
        "oldest_job_age_s": 0, "pages": 81_234.0, "supplies": supplies, "trays": [], "at": NOW,
    }  # fmt: skip
    return Printer(**(fields | other))  # type: ignore[arg-type]


def annex(of: Printer, *, connected: bool = True) -> views.AnnexView:
    device = views.DeviceView(
        number=1, id="d-1", annex_id="berkane-1", name="guichet-1", role="counter", enrolled_at=NOW - timedelta(days=9),
        connected=connected, heard_at=NOW - timedelta(seconds=30), printers=(of,),
    )  # fmt: skip
    return views.annex("berkane-1", [device], now=NOW, is_open=True)


def test_a_row_a_supply():
    rows = levels.rows(annex(printer([BLACK, Level("Waste Toner Box", "waste-toner", "", None)])), TODAY)

    assert [(row.supply, row.kind, row.colour, row.level_ratio) for row in rows] == [
        ("Black Cartridge HP CF259A", "toner", "black", 0.42),
        ("Waste Toner Box", "waste", "", None),
    ]
    assert {(row.annex_id, row.day, row.printer_name, row.printer_model, row.pages_count) for row in rows} == {
        ("berkane-1", TODAY, "guichet-hp", "HP LaserJet Pro M404dn", 81_234.0)
    }
    assert all(len(row.printer_id) == 24 for row in rows)


def test_of_a_printer_that_nobody_can_hear_nothing_is_written_down():
    assert levels.rows(annex(printer([BLACK]), connected=False), TODAY) == []
    assert levels.rows(annex(printer([BLACK], missing="timed_out")), TODAY) == []


def test_a_printer_that_talks_nonsense_is_bounded():
    many = [Level(f"supply {n}", "toner", "black", 0.5) for n in range(500)]
    odd = [Level("black", "toner", "black", 0.3), Level("black", "toner", "black", 0.9)]
    steering = Level("\u202eKLAW\x00\n" + "x" * 500, "toner\x07", "black", 0.1)

    assert len(levels.of_printer("a", "p", printer(many), TODAY)) == levels.MOST_SUPPLIES
    assert [row.level_ratio for row in levels.of_printer("a", "p", printer(odd), TODAY)] == [0.3]
    (row,) = levels.of_printer("a", "p", printer([steering], name="\x00", model="\ud800M404"), TODAY)
    assert row.supply.startswith("KLAWxxx")
    assert len(row.supply) == 160
    assert (row.kind, row.printer_name, row.printer_model) == ("toner", "", "M404")


@pytest.mark.parametrize(
    ("told", "name", "kind"),
    [
        ("toner", "", "toner"),
        ("tonerCartridge", "", "toner"),
        ("ink-cartridge", "", "ink"),
        ("inkRibbon", "", "ribbon"),
        ("waste-toner", "", "waste"),
        ("wasteInk", "", "waste"),
        ("opc", "", "drum"),
        ("opcdrum", "", "drum"),
        ("transferUnit", "", "transfer"),
        ("fuser", "", "fuser"),
        ("developer", "", "developer"),
        ("", "Black Toner Cartridge", "toner"),
        ("", "Drum Unit", "drum"),
        ("unknown", "Tambour", "other"),
    ],
)
def test_kinds(told: str, name: str, kind: str):
    assert levels.kind_of(told, name) == kind
    assert kind in levels.KINDS


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Black Cartridge HP CF259A", "CF259A"),
        ("Black Cartridge HP CE285A SN:1234567", "CE285A"),
        ("hp q2612a", "Q2612A"),
        ("W1106A", "W1106A"),
        ("Brother TN-2410", "TN-2410"),
        ("TN2410", "TN-2410"),
        ("Drum DR 2400", "DR-2400"),
        ("TK-1170", "TK-1170"),
        ("Black Toner S-N:CRUM-17; MLT-D111S", "MLT-D111S"),
        ("CLT-K404S", "CLT-K404S"),
        ("Canon CRG-725", "CRG-725"),
        ("106R03623", "106R03623"),
        ("C13T664140", "C13T664140"),
        ("52D2H00 High Yield", "52D2H00"),
        ("black", ""),
        ("Cartouche noire", ""),
        ("ABCF259AX", ""),
        ("toner 2410", ""),
        ("", ""),
    ],
)
def test_part_numbers(name: str, number: str):
    assert levels.part_number(name) == number


def test_a_part_is_the_same_whichever_printer_takes_it():
    one = levels.part(supply_day())
    other = levels.part(supply_day(printer_id="b" * 24, printer_name="x", supply="HP CF259A", printer_model="M428"))

    assert (one.key, one.number) == ("cf259a", "CF259A")
    assert other.key == one.key


def test_without_a_number_the_model_says_what_fits():
    def key(**fields: object) -> str:
        return levels.part(supply_day(**({"supply": "black"} | fields))).key  # type: ignore[arg-type]

    assert key() == "hp-laserjet-pro-m404dn-toner-black"
    assert key(colour="cyan") == "hp-laserjet-pro-m404dn-toner-cyan"
    assert key(kind="waste", colour="") == "hp-laserjet-pro-m404dn-waste"
    assert key(kind="other", supply="Tambour") == "hp-laserjet-pro-m404dn-tambour"
    assert key(printer_model="طابعة 5") == "طابعة-5-toner-black"
    assert key(printer_model="", printer_id="abcdef" * 4) == "guichet-hp-abcdef-toner-black"
    assert len(key(printer_model="x" * 160, kind="other", supply="y" * 160)) == 200
    assert levels.part(supply_day(supply="black")).number == ""
