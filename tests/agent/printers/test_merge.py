"""Who is believed when the sources disagree, and what is concluded from queues."""

import pytest

from annexfleet_agent.collectors.report import Report
from annexfleet_agent.printers import merge
from annexfleet_agent.printers.address import of_uri
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.seen import Seen, Supply, Tray
from annexfleet_agent.printers.spooler import Jobs, Queue
from annexfleet_agent.protocol import causes, metrics

WHERE = of_uri("ipp://10.0.0.5/ipp/print")
NEVER = float("inf")


def device(state="idle", *reasons, **more):
    return Seen(source="device_ipp", state=state, reasons=list(reasons), causes=causes.from_ipp(reasons), **more)


def memory(state="idle", *reasons, **more):
    return Seen(source="print_server", state=state, reasons=list(reasons), causes=causes.from_ipp(reasons), **more)


def queue(*, remembers=None, jobs=None, **more):
    return Queue(name="front", memory=remembers or memory(), jobs=jobs or Jobs(), **more)


def readings(**printer):
    report = Report()
    merge.put(report, merge.Printer(name="front", where=WHERE, **printer))
    assert {m for of in report.readings.values() for m in of} <= set(metrics.CATALOGUE)
    return report.readings["printer:front"], report


def test_the_device_s_word_stands_before_the_server_s_memory():
    told, _ = readings(queue=queue(remembers=memory("processing", "toner-low-report")), answer=device("idle"))

    assert (told["printer_state"], told["printer_source"], told["printer_causes"]) == ("idle", "device_ipp", [])


def test_the_server_s_memory_stands_in_for_a_printer_that_cannot_be_asked():
    told, _ = readings(queue=queue(remembers=memory("idle", "toner-low-report")))

    assert (told["printer_source"], told["printer_causes"]) == ("print_server", ["toner_low"])
    assert told["printer_reasons"] == ["toner-low-report"]


def test_a_pause_is_the_server_s_to_tell_whatever_the_device_says():
    told, _ = readings(queue=queue(remembers=memory("stopped", "paused"), paused=True), answer=device("idle"))

    assert told["printer_state"] == "idle"
    assert (told["printer_paused"], told["printer_causes"], told["printer_reasons"]) == (
        1,
        ["queue_paused"],
        ["paused"],
    )


def test_a_queue_that_rejects_is_a_cause():
    told, _ = readings(queue=queue(accepting=False), answer=device("idle"))

    assert (told["printer_accepting"], told["printer_causes"]) == (0, ["queue_rejecting"])


@pytest.mark.parametrize("code", ["unreachable", "timed_out"])
def test_a_silent_printer_is_unreachable_whatever_the_server_remembers(code):
    told, report = readings(queue=queue(remembers=memory("idle", "media-jam")), answer=Failed(code))

    assert (told["printer_state"], told["printer_causes"]) == ("unreachable", ["unreachable"])
    assert report.codes() == {"printer:front": {"printer_pages_count": code}}


def test_a_printer_that_answers_garbage_leaves_the_server_s_memory():
    told, report = readings(queue=queue(remembers=memory("processing")), answer=Failed("malformed"))

    assert (told["printer_state"], told["printer_source"]) == ("processing", "print_server")
    assert report.codes() == {"printer:front": {"printer_pages_count": "malformed"}}


def test_a_printer_that_answers_garbage_and_has_no_queue_is_unknown():
    told, _ = readings(answer=Failed("too_big"))

    assert told["printer_state"] == "unknown"
    assert "printer_causes" not in told


def test_of_a_printer_probed_elsewhere_only_the_queue_is_told():
    told, report = readings(
        queue=queue(remembers=memory("idle", "media-jam", "paused"), paused=True, jobs=Jobs(count=2, oldest_age_s=20)),
        elsewhere=True,
    )

    assert told["printer_source"] == "probed_elsewhere"
    assert "printer_state" not in told
    assert told["printer_causes"] == ["queue_paused"]
    assert told["printer_jobs_count"] == 2
    assert told["printer_address"] == "10.0.0.5:631"
    assert report.problems == {}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([["toner_low"], ["toner_empty"], []], ["toner_low"]),
        ([[], ["toner_empty"], ["toner_low"]], ["toner_empty"]),
        ([["paper_jam"], ["toner_low"], []], ["paper_jam", "toner_low"]),
        ([["toner_empty", "toner_low"], [], []], ["toner_empty", "toner_low"]),
        ([["waste_almost_full"], ["waste_full"]], ["waste_almost_full"]),
    ],
)
def test_of_the_degrees_of_one_thing_the_best_source_decides(sources, expected):
    assert merge.combined(*sources) == expected


def test_a_low_level_counts_where_nothing_better_is_said():
    low = Supply(name="Black", kind="toner", level=0.03, low=True)

    told, report = readings(answer=device("idle", supplies=[low]))
    assert told["printer_causes"] == ["toner_low"]
    assert report.readings["supply:front/Black"] == {"supply_kind": "toner", "supply_level_ratio": 0.03}

    told, _ = readings(answer=device("idle", "toner-empty", supplies=[low]))
    assert told["printer_causes"] == ["toner_empty"]


@pytest.mark.parametrize(
    ("age", "quiet", "unmoved", "stuck"),
    [
        (200, 200, NEVER, True), (200, 200, 190, True), (170, 170, NEVER, False), (200, 20, NEVER, False),
        (200, 200, 20, False),
    ],
)  # fmt: skip
def test_a_document_is_stuck_when_it_is_old_and_nothing_moves(age, quiet, unmoved, stuck):
    jobs = Jobs(count=1, oldest_age_s=age, quiet_s=quiet)

    told, _ = readings(queue=queue(jobs=jobs), answer=device("processing"), unmoved_s=unmoved)

    assert told["printer_causes"] == (["job_stuck"] if stuck else [])


def test_a_document_that_waits_for_paper_is_not_stuck():
    jobs = Jobs(count=1, oldest_age_s=900, quiet_s=900)

    told, _ = readings(queue=queue(jobs=jobs), answer=device("stopped", "media-empty-error"), unmoved_s=NEVER)

    assert told["printer_causes"] == ["paper_empty"]


def test_a_printer_that_prints_for_others_is_stuck_when_its_page_counter_stands_still():
    still, _ = readings(answer=device("processing", pages=900), unmoved_s=200)
    no_counter, _ = readings(answer=device("processing"), unmoved_s=200)

    assert still["printer_causes"] == ["job_stuck"]
    assert no_counter["printer_causes"] == []


def test_a_document_in_an_unknown_format_is_a_driver_s_problem():
    told, _ = readings(queue=queue(jobs=Jobs(count=1, reasons=["document-format-error"])), answer=device())

    assert told["printer_causes"] == ["driver_problem"]


def test_a_printer_s_whole_report_has_only_known_names():
    answer = device(
        "processing", "media-low", pages=48213, uuid="1-2", model="Maker 1",
        supplies=[Supply(name="Black", kind="toner", colour="black", level=0.5)],
        trays=[Tray(name="main", level=0.25, media="iso_a4_210x297mm")],
    )  # fmt: skip

    told, report = readings(queue=queue(jobs=Jobs(count=1, oldest_age_s=4.04)), answer=answer, known=answer)

    assert told == {
        "printer_address": "10.0.0.5:631", "printer_accepting": 1, "printer_paused": 0, "printer_jobs_count": 1,
        "printer_oldest_job_age_seconds": 4.0, "printer_causes": ["paper_low"], "printer_reasons": ["media-low"],
        "printer_model": "Maker 1", "printer_uuid": "1-2", "printer_state": "processing",
        "printer_source": "device_ipp", "printer_pages_count": 48213,
    }  # fmt: skip
    assert report.readings["tray:front/main"] == {"tray_level_ratio": 0.25, "tray_media": "iso_a4_210x297mm"}
    assert set(report.readings) == {"printer:front", "supply:front/Black", "tray:front/main"}


def test_who_a_printer_is_survives_its_being_off():
    told, _ = readings(answer=Failed("unreachable"), known=device(uuid="1-2", model="Maker 1"))

    assert (told["printer_uuid"], told["printer_model"]) == ("1-2", "Maker 1")
