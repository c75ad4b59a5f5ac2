"""What is known of an annex becomes what its services rest on."""

from datetime import timedelta

import pytest
from tests.controller.readiness.annexes import ANNEX, NOW, annex, device, identity, level, printer, probe, queue

from annexfleet_controller.readiness.leaves import Circumstances, leaves
from annexfleet_controller.readiness.model import Fix
from annexfleet_controller.things import Thing

CUT = Fix("power_cut", Thing("annex", ANNEX))
LINE = Fix("line_cut", Thing("annex", ANNEX))
OFFLINE = Fix("device_offline", Thing("device", "d-1"))
LINK_CUT = Circumstances(link_cut=True)
POWER_CUT = Circumstances(power_cut=True)


def one(capability, *devices, told=Circumstances(), is_open=True):  # noqa: B008  # frozen
    (leaf,) = leaves(annex(*devices, is_open=is_open), told).by_capability[capability]
    return leaf


@pytest.mark.parametrize(
    ("of", "told", "is_open", "state", "fixes"),
    [
        ({"online": True}, Circumstances(), True, "ok", set()),
        ({"online": False}, Circumstances(), True, "failing", {OFFLINE}),
        ({"online": False}, Circumstances(), False, "unknown", set()),  # off for the night
        ({"online": False}, LINK_CUT, True, "unknown", set()),
        ({"online": False, "heard_at": None}, Circumstances(), True, "unknown", set()),
        ({"online": False, "heard_at": None}, POWER_CUT, True, "unknown", set()),
        ({"online": False}, POWER_CUT, True, "failing", {CUT}),
        ({"online": False, "on_mains": True}, POWER_CUT, True, "unknown", set()),
        ({"online": True, "on_mains": False}, POWER_CUT, True, "ok", set()),
        ({"online": True}, POWER_CUT, True, "failing", {CUT}),  # its connection has not timed out yet
    ],
)
def test_a_device(of, told, is_open, state, fixes):
    leaf = one("counter", device(1, **of), told=told, is_open=is_open)

    assert (leaf.state, leaf.fixes) == (state, fixes)


def test_a_device_that_is_heard_well_after_the_mains_went_has_power_from_elsewhere():
    tablet = device(2, "tablet", on_mains=False, mains_at=NOW - timedelta(minutes=10))

    assert one("counter", device(1), tablet, told=POWER_CUT).state == "ok"


def test_a_battery_that_falls_silent_while_others_are_heard_is_off():
    silent, heard = device(1, online=False, on_mains=False), device(2, "tablet", on_mains=False)

    assert one("counter", silent, heard, told=POWER_CUT).fixes == {OFFLINE}


@pytest.mark.parametrize(
    ("of", "state", "fixes"),
    [
        ({}, "ok", []),
        ({"causes": ["paper_low"]}, "ok", []),
        ({"state": "unknown"}, "unknown", []),
        ({"missing": "timeout"}, "unknown", []),
        ({"causes": ["paper_empty"], "trays": [level("tray-1", 0.0), level("tray-2", 0.8)]}, "failing",
         [("paper_empty", "tray-1")]),
        ({"causes": ["paper_empty"], "trays": [level("tray-1", 0.0), level("tray-2", 0.0)]}, "failing",
         [("paper_empty", "")]),
        ({"causes": ["paper_jam", "toner_empty"], "supplies": [level("k", 0.0, "toner"), level("w", 0.0, "waste")]},
         "failing", [("paper_jam", ""), ("toner_empty", "k")]),
        ({"state": "stopped"}, "failing", [("unknown_reason", "")]),
        ({"state": "stopped", "causes": ["tray_missing", "paper_low"]}, "failing", [("tray_missing", "")]),
        ({"state": "stopped", "causes": ["paper_empty", "queue_paused"]}, "failing", [("paper_empty", "")]),
        ({"state": "stopped", "causes": ["queue_paused"]}, "failing", [("queue_paused", "")]),
        ({"state": "unreachable"}, "failing", [("unreachable", "")]),
        ({"state": "unreachable", "causes": ["unreachable", "powered_off"]}, "failing", [("powered_off", "")]),
    ],
)  # fmt: skip
def test_a_printer(of, state, fixes):
    seen = printer(**of)

    leaf = one("print", device(1, printers=(seen,)))

    assert leaf.state == state
    assert sorted((fix.cause, fix.part) for fix in leaf.fixes) == fixes
    assert {fix.thing for fix in leaf.fixes} <= {Thing("printer", identity(seen))}


def test_nobody_knows_of_a_printer_that_only_a_silent_device_sees():
    assert one("print", device(1, online=False, printers=(printer(causes=["paper_jam"]),))).state == "unknown"


def test_with_the_mains_cut_a_printer_lacks_power_and_not_a_cable():
    tablet = device(2, "tablet", on_mains=False, printers=(printer(state="unreachable", causes=["unreachable"]),))

    leaf = one("print", device(1, online=False, printers=(printer(),)), tablet, told=POWER_CUT)

    assert leaf.fixes == {CUT}


def test_a_queue_that_leads_to_a_file_is_no_printer_and_one_that_no_counter_sees_neither():
    view = annex(
        device(1, printers=(printer("pdf", address="local"),)), device(2, "server", printers=(printer("archive"),))
    )

    found = leaves(view)

    assert "print" not in found.by_capability
    assert len([leaf for leaf in found.by_id.values() if leaf.thing.kind == "printer"]) == 2


@pytest.mark.parametrize(
    ("ups", "told", "state", "fix"),
    [
        ([True, True, False], Circumstances(), "ok", None),
        ([True, False], Circumstances(), "ok", None),  # one of two: the other device's own trouble
        ([False, False, True], Circumstances(), "failing", Fix("portal_down", Thing("portal", f"{ANNEX}/portail"))),
        ([False], Circumstances(portals_down_everywhere=frozenset({"portail"})), "failing",
         Fix("portal_down_everywhere", Thing("portal", "*/portail"))),
        ([False], LINK_CUT, "failing", LINE),
        ([None], Circumstances(), "unknown", None),
        ([None], LINK_CUT, "failing", LINE),
        ([None], Circumstances(link_cut=True, power_cut=True), "failing", CUT),
    ],
)  # fmt: skip
def test_a_portal(ups, told, state, fix):
    leaf = one("portal", *(device(n, portals=(probe(up),)) for n, up in enumerate(ups)), told=told)

    assert (leaf.state, leaf.fixes) == (state, {fix} if fix else set())


def test_a_silent_device_says_nothing_of_a_portal():
    assert one("portal", device(1, online=False, portals=(probe(False),))).state == "unknown"


@pytest.mark.parametrize("of", [{"stale": True}, {"missing": "timeout"}])
def test_a_queue_that_nobody_counts_is_unknown_and_never_failing(of):
    assert one("queue", device(1, queues=(queue(**of),))).state == "unknown"
    assert one("queue", device(1, online=False, queues=(queue(),))).state == "unknown"
    assert one("queue", device(1, queues=(queue(),))).state == "ok"


def test_the_link():
    assert one("link", device(1)).state == "ok"
    assert one("link", device(1, online=False)).state == "unknown"
    assert one("link", device(1, online=False), told=LINK_CUT).fixes == {LINE}
