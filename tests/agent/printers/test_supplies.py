"""Levels that are no levels, and the other traps of supplies and trays."""

import pytest

from annexfleet_agent.printers import supplies


def markers(levels, **more):
    count = len(levels)
    return {
        "marker-names": [f"Cartridge {n}" for n in range(count)],
        "marker-types": ["toner"] * count,
        "marker-colors": ["#000000"] * count,
        "marker-levels": levels,
        **more,
    }


def one(attributes, *, trust_half=True):
    (supply,) = supplies.supplies(attributes, trust_half=trust_half)
    return supply


@pytest.mark.parametrize(
    ("told", "level"),
    [(0, 0.0), (4, 0.04), (100, 1.0), (-1, None), (-2, None), (-3, None), (101, None), (255, None), ("x", None)],
)
def test_a_level_is_a_share_or_unknown(told, level):
    assert one(markers([told])).level == level


def test_an_unexplained_half_is_unknown():
    assert one(markers([50]), trust_half=False).level is None
    assert one(markers([50]), trust_half=True).level == 0.5
    assert one(markers([51]), trust_half=False).level == 0.51


def test_a_single_marker_need_not_be_a_list_of_names():
    supply = one({"marker-levels": [7], "marker-names": ["Black"], "marker-types": ["toner"]})

    assert (supply.name, supply.kind, supply.level) == ("Black", "toner", 0.07)


def test_names_that_do_not_fit_the_levels_belong_to_none_of_them():
    found = supplies.supplies(markers([10, 20], **{"marker-names": ["Black"]}), trust_half=True)

    assert [supply.name for supply in found] == ["supply", "supply 2"]


def test_a_waste_box_s_marker_level_is_not_believed():
    assert one(markers([90], **{"marker-types": ["waste-toner"]})).level is None


def test_a_waste_box_in_the_supply_table_counts_the_room_left():
    waste = b"index=1;class=receptacleThatIsFilled;type=wasteToner;unit=percent;maxcapacity=100;level=25;"
    black = b"index=2;class=supplyThatIsConsumed;type=toner;unit=percent;maxcapacity=200;level=150;colorantname=black;"

    found = supplies.supplies(
        {"printer-supply": [waste, black], "printer-supply-description": ["Waste Tank", "Black Toner"]}, trust_half=True
    )

    assert [(s.name, s.kind, s.colour, s.level) for s in found] == [
        ("Waste Tank", "waste-toner", "", 0.25),
        ("Black Toner", "toner", "black", 0.75),
    ]


def test_markers_take_a_waste_box_s_level_from_the_supply_table():
    attributes = markers([90, 4], **{"marker-types": ["waste-toner", "toner"]})
    attributes["printer-supply"] = [
        b"type=wasteToner;maxcapacity=100;level=25;",
        b"type=toner;maxcapacity=100;level=75;",
    ]

    assert [supply.level for supply in supplies.supplies(attributes, trust_half=True)] == [0.25, 0.04]


@pytest.mark.parametrize(
    ("kind", "level", "low_level", "low"),
    [
        ("toner", 4, 10, True), ("toner", 10, 10, True), ("toner", 11, 10, False), ("ink-cartridge", 3, -1, True),
        ("toner", 6, 100, False), ("toner", -2, 10, False), ("opc", 1, 10, False), ("waste-toner", 1, 10, False),
    ],
)  # fmt: skip
def test_toner_and_ink_run_low_where_the_printer_says(kind, level, low_level, low):
    assert one(markers([level], **{"marker-types": [kind], "marker-low-levels": [low_level]})).low is low


def test_a_slash_would_end_the_printer_s_name():
    assert one(markers([1], **{"marker-names": ["Black/Cyan\n\x07 tank"]})).name == "Black-Cyan tank"


def test_trays_have_a_level_and_paper():
    attributes = {
        "printer-input-tray": [
            b"type=sheetFeedAutoRemovableTray;maxcapacity=-2;level=-2;name=auto",
            b"type=sheetFeedAutoRemovableTray;maxcapacity=250;level=50;name=main",
            b"type=sheetFeedManual;maxcapacity=1;level=-2;name=manual",
            b"rubbish",
        ],
        "media-col-ready": [{"media-source": ["main"], "media-size-name": ["iso_a4_210x297mm"]}, {}, "rubbish"],
    }

    (tray,) = supplies.trays(attributes)

    assert (tray.name, tray.level, tray.media) == ("main", 0.2, "iso_a4_210x297mm")
