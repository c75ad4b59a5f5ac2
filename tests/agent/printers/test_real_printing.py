"""The collector over a real print server and real (if paperless) printers: cupsd and ippeveprinter."""

import msgspec
import pytest
from tests.agent.printing import eventually, place

from annexfleet_agent import printers
from annexfleet_agent.clock import SystemClock
from annexfleet_agent.settings import Settings

_COUNT = iter(range(1000))


@pytest.fixture(scope="module")
def office():
    with place() as made:
        yield made


@pytest.fixture
def printer(office):
    """A printer with a queue of the same name, different for each test."""
    made = office.printer(f"printer{next(_COUNT)}")
    office.queue(made.name, made.uri)
    yield made
    made.finish()
    office.run("cancel", "-a", made.name)
    office.run("lpadmin", "-x", made.name)
    made.switch_off()


def collect(office, *more, elsewhere=frozenset()):
    """One pass of a new agent, as `annexfleet-agent check` makes it."""
    settings = msgspec.convert({"printing": {"cups": office.socket}, "printer": list(more)}, Settings)
    return printers.collector(settings, SystemClock(), lambda: elsewhere).collect()


def told(office, printer, **wanted):
    """The printer's readings, as soon as they are as wanted."""

    def ask():
        readings = collect(office).readings.get(f"printer:{printer.name}", {})
        return readings if {name: readings.get(name) for name in wanted} == wanted else None

    return eventually(ask)


def test_an_idle_printer_has_no_trouble(office, printer):
    report = collect(office)

    readings = report.readings[f"printer:{printer.name}"]
    assert report.problems == {}
    assert (readings["printer_state"], readings["printer_source"]) == ("idle", "device_ipp")
    assert (readings["printer_causes"], readings["printer_reasons"]) == ([], [])
    assert (readings["printer_accepting"], readings["printer_paused"], readings["printer_jobs_count"]) == (1, 0, 0)
    assert len(readings["printer_uuid"]) == 36
    assert report.readings[f"supply:{printer.name}/Black Toner"]["supply_level_ratio"] == 0.75
    assert report.readings[f"tray:{printer.name}/main"]["tray_level_ratio"] == 0.4


def test_a_jam_and_an_open_cover_while_a_document_prints(office, printer):
    printer.while_printing("STATE: +media-jam-error,cover-open-error")

    office.print(printer.name)

    readings = told(office, printer, printer_causes=["paper_jam", "cover_open"])
    assert readings["printer_state"] == "processing"
    # The printer rewrites the severity, which is why it is no part of a keyword's identity.
    assert readings["printer_reasons"] == ["cover-open-warning", "media-jam-warning"]


def test_documents_are_counted_and_their_age_grows(office, printer):
    printer.while_printing()
    for _ in range(3):
        office.print(printer.name)

    first = told(office, printer, printer_jobs_count=3)
    assert 0 <= first["printer_oldest_job_age_seconds"] < 60

    older = eventually(
        lambda: [
            age
            for of in [collect(office).readings[f"printer:{printer.name}"]]
            if (age := of["printer_oldest_job_age_seconds"]) > first["printer_oldest_job_age_seconds"] + 1
        ]
    )
    assert older
    printer.finish()
    assert told(office, printer, printer_jobs_count=0)["printer_oldest_job_age_seconds"] == 0


def test_low_toner_is_told_and_ends_when_it_is_replaced_whatever_the_server_remembers(office, printer):
    levels = "marker-names=Black marker-types=toner marker-colors=#000000 marker-low-levels=10 marker-high-levels=100"
    printer.after_printing("STATE: +toner-low-warning", f"ATTR: {levels} marker-levels=4")
    office.print(printer.name)
    told(office, printer, printer_causes=["toner_low"], printer_jobs_count=0)
    supply = collect(office).readings[f"supply:{printer.name}/Black"]
    assert supply == {"supply_kind": "toner", "supply_colour": "#000000", "supply_level_ratio": 0.04}
    remembered = told_by_server_alone(office, printer)
    assert remembered["printer_causes"] == ["toner_low"]

    # Off and on again with a new cartridge: no document tells the print server.
    printer.switch_off()
    printer.switch_on()

    assert told(office, printer, printer_causes=[])["printer_source"] == "device_ipp"
    assert told_by_server_alone(office, printer)["printer_causes"] == ["toner_low"]


def told_by_server_alone(office, printer):
    """What one would believe who asks the print server only."""
    nowhere = {"name": printer.name, "uri": "usb://nowhere"}
    readings = collect(office, nowhere).readings[f"printer:{printer.name}"]
    assert readings["printer_source"] == "print_server"
    return readings


def test_an_empty_tray_that_the_print_server_never_hears_of(office, printer):
    printer.browse("/media?size1=na_letter_8.5x11in&type1=stationery&level1=0")

    readings = told(office, printer, printer_causes=["paper_empty"])

    assert readings["printer_reasons"] == ["media-empty-report"]
    assert told_by_server_alone(office, printer)["printer_causes"] == []
    assert collect(office).readings[f"tray:{printer.name}/main"]["tray_level_ratio"] == 0


def test_a_supply_level_is_told_without_a_document(office, printer):
    printer.browse("/supplies?supply0=30&supply1=3")

    told(office, printer, printer_causes=["toner_low"])

    assert collect(office).readings[f"supply:{printer.name}/Black Toner"]["supply_level_ratio"] == 0.03


def test_a_paused_queue_before_a_healthy_printer(office, printer):
    office.run("cupsdisable", "-r", "paper change", printer.name)

    readings = told(office, printer, printer_paused=1)

    assert (readings["printer_causes"], readings["printer_reasons"]) == (["queue_paused"], ["paused"])
    assert (readings["printer_state"], readings["printer_source"]) == ("idle", "device_ipp")

    office.run("cupsenable", printer.name)
    assert told(office, printer, printer_paused=0)["printer_causes"] == []


def test_a_queue_that_rejects(office, printer):
    office.run("cupsreject", printer.name)

    assert told(office, printer, printer_accepting=0)["printer_causes"] == ["queue_rejecting"]


def test_a_printer_that_is_off_while_a_document_waits(office, printer):
    printer.switch_off()
    office.print(printer.name)

    readings = told(office, printer, printer_jobs_count=1)

    assert (readings["printer_state"], readings["printer_causes"]) == ("unreachable", ["unreachable"])
    # The print server knows no better than this:
    assert told_by_server_alone(office, printer)["printer_state"] in {"processing", "idle"}


def test_a_printer_is_asked_over_tls_though_its_certificate_is_its_own_work(office, printer):
    over_tls = {"name": "over-tls", "uri": f"ipps://127.0.0.1:{printer.port}/ipp/print"}

    readings = collect(office, over_tls).readings["printer:over-tls"]

    assert (readings["printer_state"], readings["printer_source"]) == ("idle", "device_ipp")


def test_a_printer_probed_elsewhere_has_its_queue_told_only(office, printer):
    office.run("cupsdisable", printer.name)

    report = collect(office, elsewhere=frozenset({f"localhost:{printer.port}"}))

    readings = report.readings[f"printer:{printer.name}"]
    assert (readings["printer_source"], readings["printer_paused"]) == ("probed_elsewhere", 1)
    assert readings["printer_causes"] == ["queue_paused"]
    assert "printer_state" not in readings


def test_no_name_of_a_document_gets_into_a_report(office, printer):
    printer.while_printing()
    office.print(printer.name, title="Certificat de residence")

    told(office, printer, printer_jobs_count=1)
    report = collect(office)

    assert "residence" not in repr(report).lower()
