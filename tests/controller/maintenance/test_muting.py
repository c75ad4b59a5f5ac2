import msgspec
import pytest
from tests.controller.maintenance.planned import NOW, at, once

from annexfleet_controller.maintenance import About, Area, active, mute
from annexfleet_controller.things import Alert, Thing

DEVICE, OTHER = Thing("device", "d-1"), Thing("device", "d-2")
PRINTER = Thing("printer", "abc")
ANNEX = Thing("annex", "berkane-1")
ROLES = {"d-1": "tablet", "d-2": "counter"}


def alert(thing: Thing, annex_id: str = "berkane-1", **more: object) -> Alert:
    return msgspec.structs.replace(
        Alert(rule_id="r", thing=thing, annex_id=annex_id, state="open", since=NOW, evidence_at=NOW), **more
    )


@pytest.mark.parametrize(
    ("area", "thing", "annex_id", "muted"),
    [
        (Area(annexes=("berkane-1",)), DEVICE, "berkane-1", True),
        (Area(annexes=("berkane-1",)), PRINTER, "berkane-1", True),
        (Area(annexes=("berkane-1",)), ANNEX, "berkane-1", True),
        (Area(annexes=("berkane-1",)), DEVICE, "berkane-2", False),
        (Area(annexes=("berkane-1",)), Thing("controller", "broker"), "", False),
        (Area(province=True), Thing("controller", "broker"), "", True),
        (Area(province=True), Thing("portal", "*/watiqa"), "", True),
        (Area(things=(DEVICE,)), DEVICE, "berkane-1", True),
        (Area(things=(DEVICE,)), OTHER, "berkane-1", False),
        (Area(things=(DEVICE,)), ANNEX, "berkane-1", False),
        (Area(things=(PRINTER,)), PRINTER, "berkane-1", True),
        (Area(annexes=("berkane-1",), roles=("tablet",)), DEVICE, "berkane-1", True),
        (Area(annexes=("berkane-1",), roles=("tablet",)), OTHER, "berkane-1", False),
        (Area(annexes=("berkane-1",), roles=("tablet",)), PRINTER, "berkane-1", False),
        (Area(province=True, roles=("counter",)), OTHER, "berkane-7", True),
    ],
)
def test_what_is_quiet(area: Area, thing: Thing, annex_id: str, muted: bool):
    m = once(at(24, 10), at(24, 14), area=area, id_=7)

    after = mute([alert(thing, annex_id)], [m], now=NOW, roles=ROLES)

    assert [one.muted_by for one in after] == [7 if muted else None]


def test_a_printer_is_quiet_where_every_device_that_sees_it_is_worked_on():
    m = once(at(24, 10), at(24, 14), area=Area(things=(DEVICE,)), id_=7)

    assert mute([alert(PRINTER)], [m], now=NOW, devices={PRINTER: ["d-1"]})[0].muted_by == 7
    assert mute([alert(PRINTER)], [m], now=NOW, devices={PRINTER: ["d-1", "d-2"]})[0].muted_by is None
    assert mute([alert(PRINTER)], [m], now=NOW, devices={PRINTER: []})[0].muted_by is None
    assert mute([alert(ANNEX)], [m], now=NOW, devices={ANNEX: ["d-1"]})[0].muted_by is None


def test_on_leaving_what_is_still_open_is_no_longer_muted():
    m = once(at(24, 10), at(24, 14), id_=7)
    muted = mute([alert(DEVICE)], [m], now=at(24, 13, 59))

    after = mute(muted, [m], now=at(24, 14))

    assert muted[0].muted_by == 7
    assert after[0].muted_by is None


def test_what_cleared_meanwhile_keeps_that_it_was_muted():
    m = once(at(24, 10), at(24, 14), id_=7)
    cleared = alert(DEVICE, state="cleared", cleared_at=at(24, 13), muted_by=7)

    assert mute([cleared], [m], now=at(24, 15)) == [cleared]


def test_an_alert_is_handed_on_as_it_is_where_nothing_changes():
    quiet, loud = alert(DEVICE, muted_by=7), alert(OTHER, "berkane-2")

    after = mute([quiet, loud], [once(at(24, 10), at(24, 14), id_=7)], now=NOW)

    assert after[0] is quiet
    assert after[1] is loud


def test_of_several_the_one_that_lasts_longest_counts():
    ms = [
        once(at(24, 10), at(24, 13), id_=1),
        once(at(24, 11), at(24, 18), id_=2, area=Area(province=True)),
        once(at(24, 11), at(24, 18), id_=3),
        once(at(24, 20), at(24, 23), id_=4),
    ]

    found = active(ms, About(thing=DEVICE, annex_id="berkane-1"), now=NOW)

    assert found is not None
    assert found.id == 2
    assert mute([alert(DEVICE)], ms, now=NOW)[0].muted_by == 2
    assert active(ms, About(thing=DEVICE, annex_id="berkane-1"), now=at(24, 19)) is None
