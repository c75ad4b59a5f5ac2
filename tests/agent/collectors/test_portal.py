"""Portal checks against real servers on loopback."""

import datetime as dt
import socket
import ssl
import threading
import time

import pytest
from tests.agent.collectors.portals import Authority, Server, black_hole, drip, page, read_request, says
from tests.agent.collectors.trees import HandClock

from annexfleet_agent.clock import SystemClock
from annexfleet_agent.collectors import portal, portalcheck
from annexfleet_agent.collectors.portalcheck import Finding
from annexfleet_agent.collectors.report import Report
from annexfleet_agent.protocol.messages import Portal
from annexfleet_agent.settings import PortalCheck, Settings

HTML = "<html><h1>Bienvenue / مرحبا</h1></html>".encode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), dt.datetime.now(dt.UTC))


@pytest.fixture
def serve():
    servers = []

    def start(behaviour, context=None):
        servers.append(Server(behaviour, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def check(authority):
    """Run one check; its report for the portal `p`."""

    def run(url, **expected) -> Report:
        settings = Settings(portal=[PortalCheck(name="p", url=url, **expected)])
        return portal.collector(settings, SystemClock(), trust=authority.trust).collect()

    return run


def readings(report):
    return report.readings["portal:p"]


def stopped(report):
    """Stage, code and detail of a check that got no answer."""
    of = readings(report)
    assert of["portal_up"] == 0
    assert "portal_total_seconds" not in of
    problem = report.problems["portal:p"]["portal_total_seconds"]
    return of["portal_failed_stage"], problem.code, problem.detail


# -- answers ----------------------------------------------------------------------------------------------------------


def test_a_portal_that_is_well(serve, check, authority):
    server = serve(page(HTML), authority.serving("127.0.0.1", days=(-1, 30)))

    report = check(server.url("/accueil?x=1"), expect_text="مرحبا")

    of = readings(report)
    assert (of["portal_up"], of["portal_failed_stage"], of["portal_status_code"]) == (1, "none", 200)
    assert of["portal_certificate_days"] == 29
    steps = [of[f"portal_{step}_seconds"] for step in ("dns", "tcp", "tls", "http")]
    assert all(seconds >= 0 for seconds in steps)
    assert sum(steps) <= of["portal_total_seconds"] < 5
    assert not report.problems


def test_a_name_is_checked_as_well_as_an_address(serve, check, authority):
    server = serve(page(HTML), authority.serving("localhost"))

    assert readings(check(server.url(host="localhost")))["portal_up"] == 1


def test_plain_http_has_no_keys_to_agree_on(serve, check):
    of = readings(check(serve(page(HTML)).url()))

    assert of["portal_up"] == 1
    assert not {"portal_tls_seconds", "portal_certificate_days"} & set(of)


@pytest.mark.parametrize(("status", "headers"), [(500, ""), (404, ""), (302, "Location: /login\r\n")])
def test_another_status_than_expected_and_redirects_are_not_followed(serve, check, status, headers):
    server = serve(page(b"", status=status, headers=headers))

    of = readings(check(server.url()))

    assert (of["portal_up"], of["portal_failed_stage"], of["portal_status_code"]) == (0, "status", status)
    assert of["portal_total_seconds"] > 0
    assert server.connections == 1


def test_a_redirect_may_be_what_is_expected(serve, check):
    server = serve(page(b"", status=302, headers="Location: /login\r\n"))

    assert readings(check(server.url(), expect_status=302))["portal_up"] == 1


def test_a_page_without_the_expected_text(serve, check):
    of = readings(check(serve(page(b"<html>Maintenance</html>")).url(), expect_text="Bienvenue"))

    assert (of["portal_up"], of["portal_failed_stage"], of["portal_status_code"]) == (0, "text", 200)


def test_the_text_is_sought_in_the_pages_own_encoding(serve, check):
    body = "مرحبا".encode("windows-1256")
    server = serve(page(body, headers="Content-Type: text/html; charset=windows-1256\r\n"))

    assert readings(check(server.url(), expect_text="مرحبا"))["portal_up"] == 1


def test_a_text_across_two_chunks_is_found(serve, check):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nBien\r\n5\r\nvenue\r\n0\r\n\r\n"

    assert readings(check(serve(says(raw)).url(), expect_text="Bienvenue"))["portal_up"] == 1


def test_ten_megabytes_are_not_read_to_the_end(serve, check):
    sent = []

    def big(connection, ending):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x" * 100_000)
            sent.append(100_000)

    of = readings(check(serve(big).url(), expect_text="Bienvenue"))

    assert of["portal_failed_stage"] == "text"
    assert sum(sent) < 10_000_000


# -- no answer --------------------------------------------------------------------------------------------------------


def test_a_certificate_that_has_ended(serve, check, authority):
    report = check(serve(page(HTML), authority.serving("127.0.0.1", days=(-60, -1))).url())

    stage, code, detail = stopped(report)
    assert (stage, code) == ("tls", "failed")
    assert "expired" in detail
    assert readings(report)["portal_certificate_days"] == 0


def test_a_certificate_for_another_name(serve, check, authority):
    report = check(serve(page(HTML), authority.serving("elsewhere.example")).url())

    stage, code, detail = stopped(report)
    assert (stage, code) == ("tls", "failed")
    assert "certificate" in detail
    assert "portal_certificate_days" not in readings(report)


def test_a_certificate_of_an_authority_nobody_knows(serve, check, tmp_path):
    stranger = Authority(tmp_path, dt.datetime.now(dt.UTC))

    assert stopped(check(serve(page(HTML), stranger.serving("127.0.0.1")).url()))[0] == "tls"


def test_plain_http_where_https_is_expected(serve, check):
    stage, code, _ = stopped(
        check(serve(says(b"HTTP/1.1 400 Bad\r\n\r\n")).url().replace("http:", "https:"), timeout_s=0.3)
    )

    assert stage == "tls"
    assert code in {"failed", "timed_out"}


def test_a_port_where_nobody_listens(check):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert stopped(check(f"http://127.0.0.1:{port}/"))[:2] == ("tcp", "unreachable")


def test_a_name_that_nobody_knows(check):
    assert stopped(check("https://portal.invalid/"))[:2] == ("dns", "unreachable")


@pytest.mark.parametrize("behaviour", [black_hole, drip])
def test_a_server_that_takes_for_ever_is_timed_out_in_time(serve, check, behaviour):
    began = time.monotonic()

    assert stopped(check(serve(behaviour).url(), timeout_s=0.3))[:2] == ("http", "timed_out")
    assert time.monotonic() - began < 2


def test_a_black_hole_before_the_keys(serve, check):
    url = serve(black_hole).url().replace("http:", "https:")

    assert stopped(check(url, timeout_s=0.3))[:2] == ("tls", "timed_out")


@pytest.mark.parametrize(
    "raw", [b"\x00\xff\xfe garbage\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/1.1 200 OK\r\nCont"]
)
def test_garbage_is_malformed(serve, check, raw):
    stage, code, _ = stopped(check(serve(says(raw)).url()))

    assert (stage, code) == ("http", "malformed")


@pytest.mark.parametrize("url", ["ftp://x/", "https:///x", "http://me:secret/x@host/", "nonsense", "http://[::1/"])
def test_an_address_that_is_none_is_said_without_repeating_it(check, url):
    report = check(url)

    assert readings(report)["portal_up"] == 0
    assert "secret" not in str(report.problems)
    assert url not in str(report.problems)


# -- what is hung on a name's look-up ----------------------------------------------------------------------------------


def test_a_look_up_that_hangs_is_given_up_and_not_asked_again_meanwhile(monkeypatch, authority):
    let_go, asked = threading.Event(), []

    def getaddrinfo(host, port, **how):
        asked.append(host)
        let_go.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(portalcheck.socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(portal, "_GRACE_S", 0.0)
    clock = HandClock()
    settings = Settings(portal=[PortalCheck(name="p", url="http://portal.example/", timeout_s=0.1)])
    collector = portal.collector(settings, clock, trust=authority.trust)

    first = collector.collect()
    clock.forward(60)
    second = collector.collect()
    let_go.set()

    assert stopped(first)[:2] == stopped(second)[:2] == ("dns", "timed_out")
    assert asked == [b"portal.example"]


def test_a_check_that_outlasts_the_pass_is_told_by_the_next(serve, monkeypatch, authority):
    release = threading.Event()

    def slow(connection, ending):
        read_request(connection)
        release.wait(30)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    monkeypatch.setattr(portal, "_PATIENCE_S", 0.1)
    settings = Settings(portal=[PortalCheck(name="p", url=serve(slow).url(), timeout_s=30)])
    collector = portal.collector(settings, HandClock(), trust=authority.trust)

    first = collector.collect()
    release.set()
    monkeypatch.setattr(portal, "_PATIENCE_S", 15.0)
    second = collector.collect()

    assert not first.readings
    assert readings(second)["portal_up"] == 1


# -- when and what ----------------------------------------------------------------------------------------------------


def test_each_portal_is_asked_in_its_own_period(serve, authority):
    often, seldom = serve(page(HTML)), serve(page(HTML))
    clock = HandClock()
    settings = Settings(
        portal=[
            PortalCheck(name="often", url=often.url(), period_s=60),
            PortalCheck(name="seldom", url=seldom.url(), period_s=300),
        ]
    )
    collector = portal.collector(settings, clock, trust=authority.trust)

    for _ in range(3):
        report = collector.collect()
        clock.forward(59)  # a pass may come a little early

    assert (often.connections, seldom.connections) == (3, 1)
    assert set(report.readings) == {"portal:often", "portal:seldom"}
    assert collector.period_s == 60


def test_more_portals_than_are_asked_at_a_time_are_all_asked(serve, authority):
    server = serve(page(HTML))
    settings = Settings(portal=[PortalCheck(name=f"p{number}", url=server.url()) for number in range(10)])

    report = portal.collector(settings, HandClock(), trust=authority.trust).collect()

    assert [of["portal_up"] for of in report.readings.values()] == [1] * 10


def test_the_controller_may_wish_for_portals_and_take_them_back(serve, authority):
    server = serve(page(HTML))
    wishes = [Portal(name="wished", url=server.url(), expect_text="Bienvenue")]
    collector = portal.collector(Settings(), HandClock(), lambda: wishes, trust=authority.trust)

    first = collector.collect()
    wishes.clear()
    second = collector.collect()

    assert first.readings["portal:wished"]["portal_up"] == 1
    assert not second.readings


def test_of_two_with_one_name_that_of_agent_toml_counts(serve, authority):
    server = serve(page(HTML))
    settings = Settings(portal=[PortalCheck(name="p", url=server.url())])
    wish = Portal(name="p", url="http://127.0.0.1:1/")

    report = portal.collector(settings, HandClock(), lambda: [wish], trust=authority.trust).collect()

    assert readings(report)["portal_up"] == 1


def test_credentials_go_out_from_agent_toml_alone(serve, authority):
    heard = []

    def listen(connection, ending):
        heard.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = serve(listen)
    url = server.url().replace("://", "://agent:s%20cret@")
    settings = Settings(portal=[PortalCheck(name="p", url=url)])
    wish = Portal(name="wished", url=url)

    report = portal.collector(settings, HandClock(), lambda: [wish], trust=authority.trust).collect()

    assert len(heard) == 1
    assert b"Authorization: Basic YWdlbnQ6cyBjcmV0\r\n" in heard[0]  # agent:s cret
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in heard[0]
    assert report.codes() == {"portal:wished": {"*": "denied"}}


def test_no_portals_cost_nothing():
    report = portal.collector(Settings(), HandClock(), trust=lambda: pytest.fail("certificates were loaded")).collect()

    assert not report.readings
    assert not report.problems


def test_a_finding_that_is_well_has_no_problem():
    report = Report()

    portal.put(report, "p", Finding(status=200, seconds={"dns": 0.1, "total": 0.2}))

    assert readings(report)["portal_total_seconds"] == 0.2
    assert not report.problems


@pytest.mark.parametrize("text", ["Jan  5 09:34:43 2028 GMT", "Feb 29 23:59:59 2028 GMT", "Dec 31 00:00:00 1999 GMT"])
def test_the_end_of_a_certificate_is_read_as_ssl_reads_it(text):
    assert portalcheck.moment_of(text) == ssl.cert_time_to_seconds(text)
