"""How an uplink comes back, and what it says of what is in its way."""

import socket
import ssl
from pathlib import Path

import pytest
from tests.agent.uplinks import Device, change

from annexfleet_agent import trouble
from annexfleet_agent.identity import IdentityBroken
from annexfleet_agent.loop import TimedOut


@pytest.fixture
def device(tmp_path, monkeypatch):
    device = Device(tmp_path, monkeypatch)
    device.uplink.start()
    yield device
    device.uplink.stop()
    device.outbox.close()
    device.loop.close()


def ssl_error(text, code=0):
    error = ssl.SSLCertVerificationError(1, text) if code else ssl.SSLError(1, text)
    if code:
        error.verify_code = code
        error.verify_message = text
    return error


def test_attempts_are_spread_over_the_whole_of_a_growing_window(tmp_path, monkeypatch):
    waits = {1: [], 2: [], 3: [], 4: []}
    device = Device(tmp_path, monkeypatch)
    device.dial_errors = [ConnectionRefusedError()] * 4000
    for _ in range(40):
        device.uplink.start()
        device.uplink.status.attempts = 0
        began = device.attempts()
        device.until(lambda began=began: device.attempts() > began)
        for waited in waits.values():
            since, count = device.clock.mono(), device.attempts()
            device.until(lambda count=count: device.attempts() > count)
            waited.append(device.clock.mono() - since)
        device.uplink.stop()
        device.loop.step()

    for number, window in ((1, 60), (2, 120), (3, 180), (4, 180)):
        assert max(waits[number]) <= window + 5
        assert max(waits[number]) > 0.8 * window
        assert min(waits[number]) < 0.2 * window
    device.outbox.close()
    device.loop.close()


def test_a_certificate_of_the_future_is_tried_again_without_dates_and_says_check_the_clock(device, caplog):
    device.dial_errors = [ssl_error("certificate is not yet valid", 9)]

    device.connect()

    assert device.contexts == [(Path("new.pem"), True), (Path("new.pem"), False)]
    assert "check the clock" in device.uplink.status.problem
    assert "2026-11-23" in caplog.text, "what the device takes for today is named"


def test_a_foreign_authority_is_not_trusted_without_dates_either(device):
    device.dial_errors = [ssl_error("expired", 10), ssl_error("self-signed certificate", 18)]

    device.until(lambda: device.attempts() == 2)
    device.until(lambda: device.uplink.status.state == "offline")

    assert "not of our authority" in device.uplink.status.problem
    assert device.sessions == []


def test_a_device_that_is_refused_tries_its_previous_certificate_and_gets_slower(device):
    first = device.connect()
    first.ears.on_closed("[SSL: TLSV1_ALERT_CERTIFICATE_REVOKED]", refused=True)

    device.connect()

    assert [certificate for certificate, _ in device.contexts] == [Path("new.pem"), Path("old.pem")]
    assert "revoked" in device.uplink.status.problem


def test_a_broker_that_stops_answering_is_given_up(device):
    now = device.connect_and_greet()
    device.put(change())

    device.turn(80)

    assert not now.is_open
    assert "does not answer" in device.uplink.status.problem
    device.connect()


def test_a_broker_that_takes_the_call_and_says_nothing_is_given_up(device):
    device.until(lambda: bool(device.sessions))

    device.turn(31)

    assert not device.sessions[0].is_open
    assert device.uplink.status.state in ("offline", "connecting")


def test_an_end_in_order_says_goodbye(device):
    now = device.connect_and_greet()

    device.uplink.stop()

    assert now.kinds()[-1] == "gone"
    assert now.said[-1][1].reason == "stopped"
    assert not now.is_open
    device.turn(400)
    assert len(device.sessions) == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "name cannot be found"),
        (ConnectionRefusedError(111, "refused"), "is the controller up"),
        (TimeoutError("timed out"), "does not answer"),
        (TimedOut("not done after 40 s"), "does not answer"),
        (ssl_error("hostname mismatch", 62), "not accepted: hostname mismatch"),
        (ssl_error("self-signed certificate in chain", 19), "not of our authority"),
        (ssl_error("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED]"), "annexfleet-agent renew"),
        (ssl_error("[SSL: TLSV1_ALERT_UNKNOWN_CA]"), "enrol it again"),
        (IdentityBroken("device.key: Permission denied"), "Permission denied"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_what_a_person_reads_when_it_does_not_connect(error, words):
    assert words in trouble.explain(error)
