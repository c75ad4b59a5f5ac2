"""Whom a device trusts while it enrols."""

import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest
from cryptography import x509

from annexfleet_agent import enrolment, identity
from annexfleet_agent.pinned_https import EXIT_WRONG_AUTHORITY, EnrolmentFailed, PinnedController
from annexfleet_agent.protocol import enrolment as wire
from annexfleet_controller.identity import certificates

NOW = datetime.now(UTC)


class Site:
    """An authority with a service's certificate."""

    def __init__(self, name, place):
        key = certificates.new_key()
        self.root = certificates.root(key, f"root of {name}", NOW)
        self.pin = bytes.fromhex(certificates.key_digest(certificates.public_key(self.root)))
        branch_key, leaf_key = certificates.new_key(), certificates.new_key()
        branch = certificates.branch(branch_key, name, NOW, of=self.root, signed_with=key, devices=False)
        names = certificates.general_names(["127.0.0.1"])
        leaf = certificates.service(leaf_key, names, NOW, of=branch, signed_with=branch_key)
        self.key_file, self.certificate_file = place / f"{name}.key", place / f"{name}.pem"
        self.key_file.write_bytes(certificates.key_pem(leaf_key))
        self.certificate_file.write_bytes(certificates.pem(leaf, branch))


@contextmanager
def answering(site, authority):
    """An enrolment listener with this site's certificate that calls this text its authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.certificate_file, site.key_file)
    body = json.dumps({"nonce": "00", "time": NOW.timestamp(), "authority": authority}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(9999)
                tls.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def ours(tmp_path):
    return Site("ours", tmp_path)


@pytest.fixture
def impostor(tmp_path):
    return Site("impostor", tmp_path)


def test_the_authority_that_the_token_names_is_trusted(ours):
    with answering(ours, certificates.pem(ours.root).decode()) as url:
        assert PinnedController.pinned(url, ours.pin).nonce() == "00"


def test_another_authority_is_not_believed(ours, impostor):
    with answering(impostor, certificates.pem(impostor.root).decode()) as url, pytest.raises(EnrolmentFailed) as failed:
        PinnedController.pinned(url, ours.pin)

    assert failed.value.exit_code == EXIT_WRONG_AUTHORITY


def test_an_authority_that_stands_behind_ours_in_the_answer_is_not_trusted(ours, impostor):
    """Somebody in between shows the true authority, which anybody may have, and puts his own behind it."""
    with answering(impostor, certificates.pem(ours.root, impostor.root).decode()) as url:
        controller = PinnedController.pinned(url, ours.pin)

        assert controller.authority == certificates.pem(ours.root).decode()
        with pytest.raises(EnrolmentFailed) as failed:
            controller.nonce()

    assert failed.value.exit_code == EXIT_WRONG_AUTHORITY


def test_the_authority_that_is_kept_is_the_pinned_one_whatever_the_answer_says(tmp_path, ours, monkeypatch):
    class Enrolling:
        authority = "the pinned one"

        def nonce(self):
            return "00"

        def ask(self, _path, request, _kind):
            csr = x509.load_pem_x509_csr(json.loads(request.body)["csr"].encode())
            key = certificates.new_key()
            of = certificates.root(key, "branch", NOW)
            leaf = certificates.device(
                csr.public_key(), "d-" + "a" * 26, NOW, serial=certificates.new_serial(), of=of, signed_with=key
            )
            return wire.Enrolled(
                device_id="d-" + "a" * 26, chain=certificates.pem(leaf).decode(), authority="another",
                broker_host="broker", broker_port=1, expires_at=2e9, renew_at=2e9,
            )  # fmt: skip

    monkeypatch.setattr(enrolment.PinnedController, "pinned", lambda *_: Enrolling())
    token = wire.TokenText(id="t", seed=b"s" * 32, enrol_url="https://controller", authority_pin=ours.pin)

    enrolment.enrol(wire.encode_token(token), tmp_path / "identity")

    found = identity.load(tmp_path / "identity")
    assert found is not None
    assert found.pair.authority.read_text("ascii") == "the pinned one"
