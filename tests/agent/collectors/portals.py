"""Real little servers for portal checks: each runs in a thread and does one thing to everyone who connects."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Behaviour = Callable[[socket.socket, threading.Event], None]
"""What a server does with a connection; the event is set when the test ends."""


def page(body: bytes, *, status: int = 200, headers: str = "") -> Behaviour:
    head = f"HTTP/1.1 {status} Word\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()

    def answer(connection: socket.socket, ending: threading.Event) -> None:
        read_request(connection)
        connection.sendall(head + body)

    return answer


def says(raw: bytes) -> Behaviour:
    def answer(connection: socket.socket, ending: threading.Event) -> None:
        read_request(connection)
        connection.sendall(raw)

    return answer


def black_hole(connection: socket.socket, ending: threading.Event) -> None:
    """Takes what comes and never answers."""
    ending.wait(30)


def drip(connection: socket.socket, ending: threading.Event) -> None:
    """Always a byte before the patience of a single read ends."""
    read_request(connection)
    while not ending.wait(0.02):
        connection.sendall(b"H")


def read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request and (piece := connection.recv(4096)):
        request += piece
    return request


class Server:
    """A listener on loopback; `close` ends it and all that hang on it."""

    def __init__(self, behaviour: Behaviour, context: ssl.SSLContext | None = None) -> None:
        self._behaviour = behaviour
        self._context = context
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._context else 'http'}://{host}:{self.port}{path}"

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._behaviour(connection, self._ending)
        except OSError:
            pass  # the other side went, as many of these tests want it to
        finally:
            connection.close()

    def close(self) -> None:
        self._ending.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


class Authority:
    """Issues certificates for servers, and is what a check may trust."""

    def __init__(self, folder: Path, now: dt.datetime) -> None:
        self._folder = folder
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        usage = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = self._signed(self._name, self._key.public_key(), [], days=(-400, 400), usage=usage)
        (folder / "authority.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._folder / "authority.pem"))

    def serving(self, *names: str, days: tuple[int, int] = (-30, 30)) -> ssl.SSLContext:
        """A server's side, with a certificate for these names, valid from and to so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        usage = x509.BasicConstraints(ca=False, path_length=None)
        certificate = self._signed(subject, key.public_key(), list(names), days=days, usage=usage)
        path = self._folder / f"{certificate.serial_number}.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        names: list[str],
        *,
        days: tuple[int, int],
        usage: x509.BasicConstraints,
    ) -> x509.Certificate:
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now + dt.timedelta(days=days[0]))
            .not_valid_after(self._now + dt.timedelta(days=days[1]))
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )
        if usage.ca:
            signing = {"key_cert_sign": True, "crl_sign": True}
            other = (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
            )
            off = dict.fromkeys((*other, "encipher_only", "decipher_only"), False)
            builder = builder.add_extension(x509.KeyUsage(**signing, **off), critical=True)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
