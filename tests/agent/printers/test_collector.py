"""The collector over fake printers and servers: one that misbehaves spoils its own readings only."""

import msgspec
import pytest
from tests.agent.printers.serving import HANG, always, http, printer_says, serving, state
from tests.agent.printers.test_devices import Turned
from tests.agent.printers.test_spooler import cups, job

from annexfleet_agent import printers
from annexfleet_agent.clock import SystemClock
from annexfleet_agent.printers import ipp
from annexfleet_agent.printers.ipp import Attribute
from annexfleet_agent.settings import Settings

PRINTER_UNKNOWN_VERSION = http(ipp.encode((1, 1), 0x0503, 1, [(ipp.OPERATION, [])]))


def settings(printer=None, *, server="", timeout_s=2.0):
    named = [{"name": name, "uri": uri} for name, uri in (printer or {}).items()]
    return msgspec.convert({"printing": {"cups": server, "timeout_s": timeout_s}, "printer": named}, Settings)


def collect(*given, clock=None, elsewhere=frozenset(), **more):
    return printers.collector(settings(*given, **more), clock or SystemClock(), lambda: elsewhere).collect()


def queue(name, uri, number=3, *reasons):
    return [
        Attribute("printer-name", ipp.NAME, [name]),
        Attribute("device-uri", ipp.URI, [uri]),
        Attribute("printer-is-accepting-jobs", ipp.BOOLEAN, [True]),
        Attribute("printer-up-time", ipp.INTEGER, [10_000]),
        *state(number, *reasons),
    ]


def test_without_a_print_server_there_is_one_problem_and_nothing_else(tmp_path):
    report = collect(server=str(tmp_path / "cups.sock"))

    assert report.readings == {}
    assert report.codes() == {"": {"printer_state": "unsupported"}}


def test_where_no_print_server_is_wanted_there_is_no_problem():
    report = collect(server="")

    assert (report.readings, report.problems) == ({}, {})


@pytest.mark.parametrize(
    ("pieces", "state_is", "code"),
    [
        ([b"<html>Welcome</html>\n"], "unknown", "malformed"),
        ([http(b"<html>Welcome</html>")], "unknown", "malformed"),
        ([printer_says()], "unknown", "malformed"),
        ([b"HTTP/1.0 200 OK\r\n\r\n", *[b"x" * 100_000] * 100], "unknown", "too_big"),
        ([http(b"", "403 Forbidden")], "unknown", "denied"),
        ([printer_says(status=0x0400)], "unknown", "failed"),
        ([HANG], "unreachable", "timed_out"),
    ],
)
def test_a_printer_that_misbehaves_spoils_only_itself(pieces, state_is, code):
    with serving(always(*pieces)) as bad, serving(always(printer_says(*state(4, "media-low-report")))) as good:
        report = collect({"bad": bad.uri, "good": good.uri}, timeout_s=0.5)

    assert report.readings["printer:bad"]["printer_state"] == state_is
    assert report.codes() == {"printer:bad": {"printer_pages_count": code}}
    assert report.readings["printer:good"]["printer_state"] == "processing"
    assert report.readings["printer:good"]["printer_causes"] == ["paper_low"]


def test_a_printer_that_is_off_is_unreachable():
    with serving(always()) as gone:
        uri = gone.uri

    told = collect({"off": uri}).readings["printer:off"]

    assert (told["printer_state"], told["printer_causes"]) == ("unreachable", ["unreachable"])


def test_an_old_printer_is_asked_in_ipp_1_1():
    def answer(body):
        return [PRINTER_UNKNOWN_VERSION if body[:2] == b"\x02\x00" else printer_says(*state(3))]

    with serving(answer) as server:
        report = collect({"old": server.uri})

    assert report.readings["printer:old"]["printer_state"] == "idle"
    assert [body[:2] for body in server.requests] == [b"\x02\x00", b"\x01\x01"]


def test_a_page_counter_and_an_alert_table_are_read():
    answer = printer_says(
        *state(5, "other-warning"),
        Attribute("printer-alert", ipp.OCTETS, [b"code=markerTonerEmpty;severity=critical", b"code=coverOpen;index=2"]),
        Attribute("printer-impressions-completed", ipp.INTEGER, [48213]),
        Attribute("printer-uuid", ipp.URI, ["urn:uuid:12-34"]),
    )
    with serving(always(answer)) as server:
        told = collect({"front": server.uri}).readings["printer:front"]

    assert told["printer_causes"] == ["cover_open", "toner_empty", "unknown_reason"]
    assert told["printer_pages_count"] == 48213
    assert told["printer_uuid"] == "12-34"
    assert told["printer_state"] == "stopped"


def test_a_printer_probed_elsewhere_is_not_asked():
    with serving(always(printer_says(*state(3)))) as device:
        queues = [queue("front", device.uri, 3, "media-jam")]
        with serving(cups(queues, [job(1, created=9_990)])) as server:
            where = frozenset({f"127.0.0.1:{device.port}"})
            report = collect(server=f"127.0.0.1:{server.port}", elsewhere=where)

    told = report.readings["printer:front"]
    assert device.requests == []
    assert told["printer_source"] == "probed_elsewhere"
    assert (told["printer_jobs_count"], told["printer_oldest_job_age_seconds"]) == (1, 10)
    assert "printer_state" not in told


def test_two_queues_to_one_printer_ask_it_once():
    with serving(always(printer_says(*state(3)))) as device:
        queues = [queue("front", device.uri), queue("front-duplex", device.uri)]
        with serving(cups(queues)) as server:
            report = collect({"by-address": device.uri}, server=f"127.0.0.1:{server.port}")

    assert len(device.requests) == 1
    assert set(report.readings) == {"printer:front", "printer:front-duplex"}


def test_a_printer_set_by_hand_tells_where_a_queue_s_device_is():
    with (
        serving(always(printer_says(*state(3)))) as device,
        serving(cups([queue("front", "implicitclass://front/")])) as server,
    ):
        report = collect({"front": device.uri}, server=f"127.0.0.1:{server.port}")

    assert report.readings["printer:front"]["printer_source"] == "device_ipp"
    assert report.readings["printer:front"]["printer_accepting"] == 1


def test_a_usb_printer_is_known_from_the_server_s_memory():
    with serving(cups([queue("desk", "usb://HP/LaserJet?serial=1", 5, "paused", "media-empty-warning")])) as server:
        told = collect(server=f"127.0.0.1:{server.port}").readings["printer:desk"]

    assert (told["printer_address"], told["printer_source"], told["printer_state"]) == (
        "usb",
        "print_server",
        "stopped",
    )
    assert told["printer_causes"] == ["paper_empty", "queue_paused"]


def test_queues_stay_known_while_their_server_is_down():
    with serving(always(printer_says(*state(3)))) as device:
        with serving(cups([queue("front", device.uri)], [job(1, created=9_990)])) as server:
            collector = printers.collector(settings(server=f"127.0.0.1:{server.port}"), SystemClock())
            collector.collect()
        report = collector.collect()

    assert report.codes() == {"": {"printer_state": "unreachable"}}
    assert report.readings["printer:front"]["printer_state"] == "idle"
    assert "printer_jobs_count" not in report.readings["printer:front"]


def test_a_usb_printer_is_unknown_while_the_print_server_is_down():
    with serving(cups([queue("desk", "usb://HP/LaserJet", 5, "paused")])) as server:
        collector = printers.collector(settings(server=f"127.0.0.1:{server.port}"), SystemClock())
        assert collector.collect().readings["printer:desk"]["printer_paused"] == 1

    told = collector.collect().readings["printer:desk"]

    assert told["printer_state"] == "unknown"
    assert "printer_paused" not in told


def test_a_setting_that_leads_nowhere_says_so():
    report = collect({"odd": "carrier-pigeon://roof"})

    assert report.readings == {"printer:odd": {"printer_state": "unknown"}}
    assert report.codes() == {"printer:odd": {"printer_source": "unsupported"}}


def test_a_document_is_stuck_only_after_nothing_moved_for_three_minutes():
    printed = [0]

    def server_says(body):
        documents = [job(7, "desk", created=9_000, begun=9_000, job_state=5, printed=printed[0])]
        return cups([queue("desk", "usb://HP/LaserJet", 4)], documents)(body)

    clock = Turned()
    with serving(server_says) as server:
        collector = printers.collector(settings(server=f"127.0.0.1:{server.port}"), clock)

        def causes_after(seconds):
            clock.t += seconds
            return collector.collect().readings["printer:desk"]["printer_causes"]

        assert causes_after(0) == ["job_stuck"]
        printed[0] = 1
        assert causes_after(30) == []
        assert causes_after(170) == []
        assert causes_after(20) == ["job_stuck"]


def test_dead_printers_do_not_hold_up_the_living():
    with serving(always(printer_says(*state(3)))) as good, serving(always(HANG)) as dead:
        # Each name of the loopback network is another printer.
        silent = {f"dead-{n}": f"ipp://127.0.0.{n}:{dead.port}/ipp/print" for n in range(2, 8)}
        clock = SystemClock()
        began = clock.mono()
        report = collect({**silent, "dead-1": dead.uri, "good": good.uri}, timeout_s=1.0)

    assert clock.mono() - began < 4
    assert report.readings["printer:good"]["printer_state"] == "idle"
    assert report.readings["printer:dead-1"]["printer_state"] == "unreachable"


def test_a_printer_without_ipp_that_listens_is_not_called_unreachable(monkeypatch):
    monkeypatch.setattr("annexfleet_agent.printers.address.IPP_PORT", 1)  # where nobody listens
    monkeypatch.setattr("annexfleet_agent.printers.snmp.installed", lambda: False)
    with serving(always()) as raw:
        queues = [queue("on", f"socket://127.0.0.1:{raw.port}"), queue("off", "socket://127.0.0.2:1")]
        with serving(cups(queues)) as server:
            report = collect(server=f"127.0.0.1:{server.port}")

    assert report.readings["printer:on"]["printer_source"] == "print_server"
    assert report.codes()["printer:on"] == {"printer_pages_count": "unsupported"}
    assert "annexfleet-agent[snmp]" in report.problems["printer:on"]["printer_pages_count"].detail
    assert report.readings["printer:off"]["printer_state"] == "unreachable"


def test_the_collector_leaves_the_loop_alone_and_printers_in_peace():
    collector = printers.collector(settings(), SystemClock())

    assert (collector.name, collector.blocking, collector.kept_fresh) == ("printers", True, False)
    assert collector.deadline_s >= 3 * 2.0
