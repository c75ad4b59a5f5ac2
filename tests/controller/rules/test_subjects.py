"""What rules are told of devices, printers, portals, queues and annexes."""

from datetime import timedelta

import pytest
from tests.controller.rules.things_told import NOW, annex, device, printer, probe, queue, silent

from annexfleet_controller import views
from annexfleet_controller.calendars import DEFAULT
from annexfleet_controller.rules.subjects import devices, places, printers
from annexfleet_controller.rules.tracks import PrinterTrack, QueueTrack
from annexfleet_controller.state import Level
from annexfleet_controller.things import Thing

SURROUNDINGS = devices.DeviceContext(calendar=DEFAULT, link_up=True, usual_version="0.1.0")


def of_device(view, **more):
    context = devices.DeviceContext(calendar=DEFAULT, link_up=True, usual_version="0.1.0", **more)
    return devices.of_device(view, context, now=NOW)[0]


def test_of_a_device_that_can_be_heard_its_readings_count():
    subject = of_device(device(values={"cpu_used_ratio": 0.97}))

    assert subject.values["cpu_used_ratio"] == 0.97
    assert subject.values["silent"] is False
    assert subject.values["online"] is True
    assert subject.thing == Thing("device", "d-1")


def test_of_a_silent_device_nothing_is_known_but_its_silence():
    subject = of_device(silent(minutes=10, values={"cpu_used_ratio": 0.97}))

    assert subject.values.get("cpu_used_ratio") is None
    assert subject.values["silent"] is True
    assert subject.values["silent_seconds"] == 600
    assert subject.since["silent"] == NOW - timedelta(minutes=10)


def test_a_connection_that_claims_to_be_up_is_not_believed_after_three_beats():
    assert of_device(device(heard_at=NOW - timedelta(minutes=14))).values["silent"] is False
    assert of_device(device(heard_at=NOW - timedelta(minutes=16))).values["silent"] is True


def test_a_device_that_was_never_heard_is_neither_silent_nor_not():
    subject = of_device(device(connected=False, heard_at=None))

    assert subject.values["silent"] is None
    assert subject.values["silent_seconds"] is None


@pytest.mark.parametrize(("days", "expected"), [(0.2, 0.0), (1, 1.0), (5, 3.0), (7, 4.4)])
def test_days_of_silence_count_by_opening_time(days: float, expected: float):
    """Wednesday 10:00: five days back is Friday, with a weekend between; seven days back is a holiday."""
    subject = of_device(silent(minutes=days * 24 * 60))

    assert subject.values["unseen_opening_days"] == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(
    ("boots", "goodbyes", "expected"),
    [
        ([NOW - timedelta(minutes=20)], [], True),
        ([NOW - timedelta(minutes=20)], [NOW - timedelta(minutes=25)], False),
        ([NOW - timedelta(hours=1, minutes=25)], [], False),
        ([NOW - timedelta(hours=8)], [], False),
    ],
    ids=["out of the blue", "after a goodbye", "in the morning", "at night"],
)
def test_which_starts_are_unexpected(boots, goodbyes, expected):
    subject = of_device(device(boots=tuple(boots), goodbyes=tuple(goodbyes)))

    assert subject.values["unexpected_boot"] is expected


def test_each_file_system_is_a_subject_of_its_own():
    view = device(disks={"/": {"disk_used_ratio": 0.9, "disk_free_bytes": 5e9}, "/data": {"disk_used_ratio": 0.1}})

    found = devices.of_device(view, SURROUNDINGS, now=NOW)

    assert [(s.kind, s.part) for s in found] == [("device", ""), ("disk", "/"), ("disk", "/data")]
    assert found[1].facts["disk_free_bytes"] == 5e9
    assert len(devices.of_device(silent(disks=view.disks), SURROUNDINGS, now=NOW)) == 1


# -- printers


def of_printer(view, **more):
    context = printers.PrinterContext(track=PrinterTrack(), other_works=True, **more)
    return printers.of_printer(annex(view).printers[0], context, annex_id="berkane-1", now=NOW)


def test_the_cause_that_blocks_comes_before_what_only_runs_low():
    [subject] = of_printer(device(printers=(printer(causes=["toner_low", "paper_jam"], state="stopped"),)))

    assert subject.values["printer_blocked"] is True
    assert subject.values["cause"] == "paper_jam"
    assert subject.values["blocking_cause"] == "paper_jam"


def test_a_state_stands_while_its_device_can_be_heard():
    [subject] = of_printer(device(printers=(printer(at=NOW - timedelta(hours=3)),)))

    assert subject.at == NOW


def test_a_printer_that_only_silent_devices_saw_is_unknown():
    [subject] = of_printer(silent(printers=(printer(causes=["paper_jam"], state="stopped"),)))

    assert subject.values.get("printer_blocked") is None
    assert subject.facts["printer"] == "laser-1"


def test_a_printer_whose_state_nobody_could_tell_is_unknown_too():
    [subject] = of_printer(device(printers=(printer(state="unknown"),)))

    assert subject.values["printer_blocked"] is None


def test_the_empty_tray_and_the_empty_cartridge_are_named():
    told = printer(
        causes=["paper_empty"], state="stopped", trays=[Level("tray-1", "", "", 0.0), Level("tray-2", "", "", 0.5)],
    )  # fmt: skip
    assert of_printer(device(printers=(told,)))[0].facts["tray"] == "tray-1"

    told = printer(
        causes=["toner_low"], supplies=[Level("k", "toner", "black", 0.4), Level("c", "toner", "cyan", 0.05)]
    )
    found = of_printer(device(printers=(told,)), empty_in_days={"c": 3.0})
    assert found[0].facts["colour"] == "cyan"
    assert [(s.part, s.values["supply_reason_low"], s.values["supply_empty_in_opening_days"]) for s in found[1:]] == [
        ("k", False, None),
        ("c", True, 3.0),
    ]


def test_the_box_for_used_toner_is_judged_by_reasons_only():
    told = printer(causes=["waste_almost_full"], supplies=[Level("waste", "waste_toner", "", 0.02)])

    supply = of_printer(device(printers=(told,)))[1]

    assert supply.values["supply_is_receptacle"] is True
    assert supply.values["supply_reason_almost_full"] is True
    assert supply.values["supply_reason_low"] is False


# -- portals, queues, the annex


def test_a_portal_is_judged_by_the_devices_that_can_be_heard():
    view = annex(
        device(1, portals=(probe(up=False),)), device(2, portals=(probe(up=True, certificate_days=5.0),)),
        silent(3, portals=(probe(up=False),)), device(4, portals=(probe(up=None),)),
    )  # fmt: skip

    [subject] = places.of_portals(view, link_up=True)

    assert subject.thing == Thing("portal", "berkane-1/portal")
    assert subject.values["probes_failing_ratio"] == 0.5
    assert subject.values["portal_certificate_days"] == 5.0
    assert subject.values["portal_total_seconds"] == 0.5


def test_a_portal_everywhere_counts_annexes():
    down = places.of_portals(annex(device(1, portals=(probe(up=False),))), link_up=True)
    up = places.of_portals(annex(device(1, portals=(probe(up=True),))), link_up=True)
    nobody = places.of_portals(annex(device(1, portals=(probe(up=None),))), link_up=True)

    [subject] = places.of_portals_everywhere([*down, *up, *down, *nobody], now=NOW)

    assert subject.values == {"annexes_count": 3.0, "annexes_failing_count": 2.0, "annexes_failing_ratio": 2 / 3}


def test_old_figures_of_a_queue_are_no_figures():
    [view] = annex(device(queues=(queue(stale=True, observed_at=NOW - timedelta(minutes=40)),))).queues

    subject = places.of_queue(view, QueueTrack(), annex_id="berkane-1", counters_down=0, now=NOW)

    assert subject.values.get("queue_waiting_count") is None
    assert subject.values["queue_silent_seconds"] == 2400


def test_a_wait_is_estimated_by_the_pace_of_the_last_hour():
    assert places.estimated_wait_s(queue(waiting=12.0, served_last_hour=12.0)) == 3600
    assert places.estimated_wait_s(queue(waiting=2.0, served_last_hour=12.0, longest_wait_s=900.0)) == 900
    assert places.estimated_wait_s(queue(waiting=0.0)) == 0
    assert places.estimated_wait_s(queue(served_last_hour=0.0, longest_wait_s=None)) is None


def test_nobody_is_called_while_people_wait():
    track = QueueTrack()
    for minute in range(0, 21, 5):
        at = NOW - timedelta(minutes=20 - minute)
        track.see(at, waiting=5.0 + minute // 5, longest_wait_s=60.0 * (minute + 1), served=7.0)

    assert track.no_call_s(NOW) == 20 * 60
    track.see(NOW + timedelta(minutes=1), waiting=9.0, longest_wait_s=100.0, served=8.0)
    assert track.no_call_s(NOW + timedelta(minutes=1)) == 0
    assert QueueTrack().no_call_s(NOW) is None


def test_growth_needs_half_an_hour():
    track = QueueTrack()
    for minute in range(0, 31, 5):
        track.see(NOW + timedelta(minutes=minute), waiting=5.0 + minute / 5, longest_wait_s=None, served=None)
        assert track.grows() is (None if minute < 25 else True)


def test_pages_that_stand_still():
    track = PrinterTrack()
    track.see(NOW - timedelta(minutes=8), jobs=3.0, pages=100.0)
    track.see(NOW, jobs=6.0, pages=100.0)

    assert track.still_s(NOW) == 8 * 60
    assert track.jobs_grow() is True
    assert PrinterTrack().still_s(NOW) is None


def test_a_start_after_a_silence_that_was_told_is_no_news():
    boot = NOW - timedelta(minutes=20)
    lost = boot - timedelta(minutes=8)

    told = of_device(device(boots=(boot,), losses=(lost,), moves=(lost, boot)))
    blip = of_device(device(boots=(boot,), losses=(boot - timedelta(minutes=1),)))
    back_between = of_device(device(boots=(boot,), losses=(lost,), moves=(lost, boot - timedelta(minutes=4))))

    assert told.values["unexpected_boot"] is False
    assert blip.values["unexpected_boot"] is True
    assert back_between.values["unexpected_boot"] is True
    assert blip.since["unexpected_boot"] == boot


def test_a_printer_without_documents_has_no_old_one():
    seen = views.PrinterView("p", printer(jobs=0.0, oldest_job_age_s=540.0), (1,), believed=True)

    (subject, *_) = printers.of_printer(
        seen, printers.PrinterContext(PrinterTrack(), other_works=True), annex_id="a", now=NOW
    )

    assert subject.values["printer_oldest_job_age_seconds"] == 0


def test_a_wait_is_not_estimated_from_the_first_minutes_after_opening():
    told = queue(waiting=4.0, served_last_hour=2.0, longest_wait_s=60.0)

    assert places.estimated_wait_s(told, 600.0) == 60
    assert places.estimated_wait_s(told, 1800.0) == 3600
    assert places.estimated_wait_s(told, 36_000.0) == 7200


def test_a_devices_subjects_are_kept_while_nothing_is_heard_and_time_changes_nothing():
    context = devices.DeviceContext(calendar=DEFAULT, link_up=True)
    view = device(moves=(NOW - timedelta(minutes=29),))

    first = devices.kept(None, view, context, now=NOW)

    assert devices.kept(first, view, context, now=NOW + timedelta(seconds=30)) is first
    assert devices.kept(first, device(moves=view.moves), context, now=NOW + timedelta(seconds=30)) is not first
    other = devices.DeviceContext(calendar=DEFAULT, link_up=False)
    assert devices.kept(first, view, other, now=NOW + timedelta(seconds=30)) is not first
    later = NOW + timedelta(minutes=2)
    assert devices.kept(first, view, context, now=later).subjects == devices.of_device(view, context, now=later)
    assert devices.kept(first, view, context, now=later) is not first
