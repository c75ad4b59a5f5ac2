"""A device whose clock is a year off still reaches its controller, and nobody else."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
from tests.flow.broker import broker_home, new_device_id

from annexfleet_agent.session import tls_context
from annexfleet_controller.identity import authority as authorities
from annexfleet_controller.identity import certificates


class OffClock:
    """A clock that is this far from the device's."""

    def __init__(self, off: timedelta):
        self._off = off

    def now(self) -> datetime:
        return datetime.now(UTC) + self._off


@pytest.fixture(params=[timedelta(days=365), timedelta(days=-4000)], ids=["in the past", "far in the future"])
def server(request, tmp_path):
    """A listener with a certificate that this machine's clock finds not yet, or no more, valid."""
    clock = OffClock(request.param)
    with broker_home() as home:
        authority = authorities.ensure(home, clock=clock)
        key = certificates.new_key()
        issued = authority.issue_device(key.public_key(), new_device_id(), clock.now())
        files = {"authority": authority.root_pem, "certificate": issued.chain, "key": certificates.key_pem(key)}
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authorities.service_files(home))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=_serve, args=(listener, context))
            thread.start()
            yield listener.getsockname()[1], {name: tmp_path / name for name in files}
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener, context):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                continue


def shake_hands(port, files, *, heed_dates, name="127.0.0.1"):
    context = tls_context(**files, heed_dates=heed_dates)
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        context.wrap_socket(connection, server_hostname=name).close()


def test_dates_are_heeded_first_and_the_error_says_that_it_is_about_them(server):
    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        shake_hands(*server, heed_dates=True)

    assert refused.value.verify_code in (9, 10)


def test_without_dates_the_name_and_the_authority_are_still_verified(server, tmp_path):
    port, files = server

    shake_hands(port, files, heed_dates=False)

    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname|IP address"):
        shake_hands(port, files, heed_dates=False, name="elsewhere.example")
    with broker_home() as home:
        (tmp_path / "foreign").write_bytes(authorities.ensure(home).root_pem)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get"):
        shake_hands(port, {**files, "authority": tmp_path / "foreign"}, heed_dates=False)
