"""Troubles begin, last, and are put right."""

from pathlib import Path

import pytest

from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.simulate import troubles
from annexfleet_controller.simulate.province import Province
from annexfleet_controller.simulate.world import World


def jam(**fields: object) -> troubles.Trouble:
    return troubles.Trouble(kind="jam", minutes=10, printer="laser-1", **fields)  # type: ignore[arg-type]


def test_the_default_day_has_every_kind_of_trouble():
    kinds = {trouble.kind for trouble in troubles.load()}

    assert {"jam", "toner_low", "toner_empty", "power_cut", "line_cut", "disk_filling", "queue_rush"} <= kinds


def test_a_trouble_begins_lasts_and_ends(province: Province):
    world = World(province, [jam(after_minutes=5)])
    printer = next(printer for printer in province.annexes[0].printers if printer.name == "laser-1")
    seen = []
    for _ in range(20):
        world.advance(60)
        seen.append(printer.jammed)

    assert seen == [False] * 5 + [True] * 10 + [False] * 5


@pytest.mark.parametrize(("at", "active"), [("11:51", True), ("12:00", True), ("11:50", False), ("12:01", False)])
def test_a_daily_trouble_keeps_the_local_hour(province: Province, at: str, active: bool):
    # it is noon
    assert (troubles.progress(jam(at=at), province, province.now) is not None) is active


def test_no_daily_trouble_on_a_sunday(province: Province):
    province.now -= 86_400

    assert troubles.progress(jam(at="12:00"), province, province.now) is None


@pytest.mark.parametrize(
    ("kind", "disturbed"),
    [
        ("jam", lambda a: a.printers[0].jammed),
        ("paper", lambda a: a.printers[0].sheets < 1),
        ("toner_low", lambda a: 0 < a.printers[0].toner < 0.1),
        ("toner_empty", lambda a: a.printers[0].toner == 0),
        ("power_cut", lambda a: not a.power),
        ("line_cut", lambda a: not a.line_up),
        ("portal_down", lambda a: not a.portal_up),
        ("device_off", lambda a: not a.machines[0].running),
        ("queue_rush", lambda a: any(queue.rush > 1 for queue in a.queues.values())),
        ("printer_off", lambda a: not a.printers[0].on),
        ("cover_open", lambda a: a.printers[0].cover_open),
        ("link", lambda a: a.machines[0].link_lost and a.line_up),
        ("power", lambda a: not a.power),
        ("off", lambda a: a.machines[0].switched_off and not a.machines[0].running),
        ("charger_out", lambda a: not a.machines[0].on_mains),
        ("probe_lost", lambda a: a.machines[0].probe_lost),
        ("queue_stalled", lambda a: any(queue.halted for queue in a.queues.values())),
        ("queue_source_down", lambda a: not a.queue_source_up),
        ("disk_filling", lambda a: a.machines[0].disk_used / a.machines[0].disk_bytes > 0.95),
    ],
)
def test_each_kind_disturbs_and_is_put_right(province: Province, kind: str, disturbed):
    trouble = troubles.Trouble(kind=kind, minutes=30, after_minutes=0)  # type: ignore[arg-type]
    world = World(province, [trouble])
    annex = province.annexes[0]

    world.advance(29 * 60)
    during = disturbed(annex)
    world.advance(5 * 60)

    assert during
    assert not disturbed(annex)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[trouble]]\nkind = "flood"\nminutes = 5\nat = "10:00"\n', "kind"),
        ('[[trouble]]\nkind = "jam"\nminutes = 0\nat = "10:00"\n', "minutes"),
        ('[[trouble]]\nkind = "jam"\nminutes = 5\nat = "25:00"\n', "at"),
        ('[[trouble]]\nkind = "jam"\nminutes = 5\n', "at"),
        ('[[trouble]]\nkind = "jam"\nminutes = 5\nat = "10:00"\nwhere = "here"\n', "where"),
        ("[[trouble", "script.toml"),
    ],
)
def test_a_wrong_script_names_what_is_wrong(tmp_path: Path, text: str, key: str):
    file = tmp_path / "script.toml"
    file.write_text(text)

    with pytest.raises(SettingsWrong, match=key):
        troubles.load(file)
