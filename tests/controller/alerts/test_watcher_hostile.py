"""The watch loop and what devices say that no honest agent would: it costs at most their own alerts."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.alerts.test_watcher import Place, begun
from tests.controller.fleet import add_annex, add_devices

from annexfleet_controller import state
from annexfleet_controller.alerts.watch import Holder
from annexfleet_controller.store import alerts, bounds, gather
from annexfleet_controller.store.database import reading
from annexfleet_controller.views import Probe

STRANGE = "a\x00b\u202ec" + "x" * 130
"""A name with a zero character and a mark that turns text around, as long as the protocol lets it be."""


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> Place:
    return begun(engine, tmp_path)


def still_watches(place: Place, *, beats: Iterable[int] = range(1, 7)) -> None:
    """A jam at another device opens an alert, and a successor can read all that was written."""
    place.printer(1, causes=["paper_jam"], state="stopped")
    place.pass_time(180, beats=beats)
    assert "printer.blocked" in place.open_alerts()
    place.holder.let_go()
    place.holder = Holder(place.engine, place.home, clock=place.clock)
    place.holder.turn()
    assert place.holder.watcher is not None


def test_names_that_no_database_takes(place: Place):
    place.change(2, "portal", {f"portal:{STRANGE}": {"portal_up": 0, "portal_failed_stage": STRANGE}})
    place.change(
        2, "disk", {f"disk:/{STRANGE}": {"disk_used_ratio": 0.99, "disk_free_bytes": 1e6, "disk_read_only": 1}}
    )
    place.change(2, "queues", {f"queue:{STRANGE}": {"queue_waiting_count": 90, "queue_longest_wait_seconds": 9e4}})
    place.change(2, "printers", {
        f"printer:{STRANGE}": {"printer_state": "stopped", "printer_causes": ["paper_jam", STRANGE],
                               "printer_model": STRANGE, "printer_uuid": STRANGE},
        f"supply:{STRANGE}/b\x00k": {"supply_level_ratio": 0.0, "supply_kind": "toner", "supply_colour": STRANGE},
    })  # fmt: skip
    place.pass_time(60, beats=range(1, 7))
    place.change(2, "printers", {
        f"printer:{STRANGE}": {"printer_state": "stopped", "printer_causes": [STRANGE, "cover_open", "w" * 400]},
    })  # fmt: skip
    place.pass_time(240, beats=range(1, 7))

    still_watches(place)


def test_a_portal_with_the_longest_name_in_an_annex_with_the_longest_name(engine: Engine, tmp_path: Path):
    place = begun(engine, tmp_path)
    add_annex(engine, "a" * 63)
    place.ids += add_devices(engine, 2, annex_id="a" * 63, first=7)
    place._seq |= dict.fromkeys(place.ids[6:], 0)
    place.hello(7, 8)
    for n in (7, 8):
        place.change(n, "portal", {"portal:" + "p" * 153: {"portal_up": 0, "portal_failed_stage": "connect"}})
        place.change(
            n, "queues", {"queue:" + "q" * 154: {"queue_waiting_count": 90, "queue_longest_wait_seconds": 9e4}}
        )
    place.pass_time(900, beats=range(1, 9))

    still_watches(place, beats=range(1, 9))


def test_numbers_that_are_as_good_as_infinite(place: Place):
    place.change(2, "queues", {"queue:counter": {
        "queue_waiting_count": 1e15, "queue_served_last_hour_count": 5e-324, "queue_longest_wait_seconds": 1e15,
        "queue_counters_open_count": 5e-324, "queue_counters_total_count": 1e15, "queue_average_wait_seconds": 1e15,
        "queue_observed_at_seconds": 1e15,
    }})  # fmt: skip
    place.change(2, "uptime", {"": {"uptime_seconds": 1e15}})
    place.change(2, "battery", {"": {"battery_on_mains": 1e15, "battery_charge_ratio": -1e15}})
    place.change(2, "agent", {"": {"agent_config_version": 1e15}})
    place.change(2, "disk", {"disk:/": {"disk_used_ratio": 1e15, "disk_free_bytes": -1e15, "disk_size_bytes": 0}})
    place.pass_time(2400, beats=range(1, 7))

    with reading(place.engine) as db:
        assert any(alert.thing.kind == "queue" for alert in alerts.live(db))
    still_watches(place)


def test_a_device_whose_view_cannot_be_made_costs_only_its_own(place: Place, monkeypatch: pytest.MonkeyPatch):
    probes = gather._probes

    def failing(known: state.Known) -> Iterable[Probe]:
        if known.subjects("portal:bad"):
            raise ValueError("a device said something that nobody thought of")
        return probes(known)

    monkeypatch.setattr(gather, "_probes", failing)
    place.change(2, "portal", {"portal:bad": {"portal_up": 0}})

    still_watches(place)
    assert len(place.watcher.fleet.of_annex("berkane-1")) == 4


def test_hundreds_of_printers_and_disks_of_one_device_are_cut_short(sqlite_engine: Engine, tmp_path: Path):
    place = begun(sqlite_engine, tmp_path)
    place.change(2, "disk", {f"disk:/{n}": {"disk_used_ratio": 0.99, "disk_read_only": 1} for n in range(500)})
    place.change(2, "printers", {
        f"printer:{n}": {"printer_state": "stopped", "printer_causes": ["paper_jam"]} for n in range(500)
    })  # fmt: skip
    place.pass_time(30, beats=range(1, 7))

    view = place.watcher.fleet.views[2]
    assert len(view.printers) == len(view.disks) == bounds.MOST_OF_A_KIND
    still_watches(place)
