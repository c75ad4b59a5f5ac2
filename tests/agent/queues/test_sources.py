"""Every kind of source, against the real thing: sockets, files, programs, databases."""

import json
import os
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests import postgres
from tests.agent.queues.servers import Talk, hang, ok, serving, ten_megabytes_in_chunks

from annexfleet_agent.collectors.report import code_for
from annexfleet_agent.queues import command, file, http, sql
from annexfleet_agent.queues.source import MAX_ANSWER_BYTES, SourceFailed, parse_json
from annexfleet_agent.settings import QueueSource


def source(kind: str, **settings: Any) -> QueueSource:
    return msgspec.convert({"source": kind, "timeout_s": 2.0, **settings}, QueueSource)


def code(fetch: Callable[[QueueSource], object], from_: QueueSource) -> str:
    """The problem code with which asking ends."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # its code is what matters
        fetch(from_)
    return code_for(caught.value)


# -- JSON


def test_deep_nesting_is_refused_on_the_workers_small_stack():
    refused: list[str] = []

    def decode() -> None:
        for data in (b"[" * 100_000, b'{"a":' * 990 + b"1" + b"}" * 990):
            try:
                parse_json(data, "it")
            except SourceFailed as error:
                refused.append(error.problem_code)

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=decode)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)

    assert refused == ["malformed", "malformed"]


def test_brackets_in_texts_are_no_nesting():
    assert parse_json(b'{"a": "' + b"[" * 100 + b'\\"[", "b": [[1]]}', "it")["b"] == [[1]]


@pytest.mark.parametrize("data", [b"", b"NaN", b"{", b"\xff\xfe", b"<!DOCTYPE html><p>", b"  <html>"])
def test_what_is_no_json_is_malformed(data: bytes):
    with pytest.raises(SourceFailed) as caught:
        parse_json(data, "it")

    assert caught.value.problem_code == "malformed"


# -- http


def test_json_over_http_with_headers_credentials_and_a_query():
    with serving(ok(b'{"waiting": 4}')) as server:
        url = f"http://anna:s%40fe@127.0.0.1:{server.port}/a b?q=1&r=x y"
        fetched = http.fetch(source("http", url=url, headers={"X-Key": "k"}))

    assert fetched.document == {"waiting": 4}
    assert fetched.observed_at is None
    head = server.heard[0].decode()
    assert head.startswith("GET /a%20b?q=1&r=x%20y HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{server.port}\r\n" in head
    assert "\r\nX-Key: k\r\n" in head
    assert "\r\nAuthorization: Basic YW5uYTpzQGZl\r\n" in head


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (ok(b"<!doctype html><title>Sign in", content_type="text/html"), "malformed"),
        (ok(b'{"waiting": '), "malformed"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://sso/login?s=secret\r\n\r\n", "malformed"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "denied"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "unsupported"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "failed"),
        (b"220 ftp ready\r\n", "malformed"),
        (b"", "malformed"),
        (ok(b" " * 10_000_000), "too_big"),
        (ten_megabytes_in_chunks, "too_big"),
        (hang, "timed_out"),
    ],
    ids=["html", "half", "redirect", "401", "404", "500", "ftp", "silence", "10MB", "10MB-chunked", "hang"],
)
def test_what_a_web_address_should_not_say(said: Talk | bytes, expected: str):
    with serving(said) as server:
        assert code(http.fetch, source("http", url=server.url, timeout_s=0.6)) == expected


def test_a_redirects_secret_is_not_repeated():
    redirect = b"HTTP/1.1 302 Found\r\nLocation: https://sso/login?session=geheim\r\n\r\n"

    with serving(redirect) as server, pytest.raises(SourceFailed) as caught:
        http.fetch(source("http", url=server.url))

    assert "/login" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_port_where_nobody_listens_and_a_name_nobody_knows_are_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert code(http.fetch, source("http", url=f"http://127.0.0.1:{port}/")) == "unreachable"
    assert code(http.fetch, source("http", url="http://no-such-host.invalid/")) == "unreachable"


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A JSON source behind TLS with a certificate of its own making: port and certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            client, _ = listener.accept()
            if over.is_set():
                client.close()
                return
            with suppress(OSError), context.wrap_socket(client, server_side=True) as talk:
                talk.recv(65536)
                talk.sendall(ok(b'{"waiting": 8}'))

    over = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1], pem
    over.set()
    socket.create_connection(listener.getsockname()).close()
    thread.join()
    listener.close()


def test_a_server_without_a_trusted_certificate_is_not_believed(tls_server: tuple[int, Path]):
    with pytest.raises(ssl.SSLCertVerificationError):
        http.fetch(source("http", url=f"https://localhost:{tls_server[0]}/"))


def test_a_trusted_server_is_asked_over_tls(tls_server: tuple[int, Path], monkeypatch: pytest.MonkeyPatch):
    port, certificate = tls_server
    trusted = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(http, "system_trust", lambda: trusted)

    assert http.fetch(source("http", url=f"https://localhost:{port}/")).document == {"waiting": 8}
    with pytest.raises(ssl.SSLCertVerificationError):  # its name is not in the certificate
        http.fetch(source("http", url=f"https://127.0.0.1:{port}/"))


@pytest.mark.parametrize("url", ["", "ftp://h/", "http://", "file:///etc/passwd", "http://h:notaport/"])
def test_an_address_that_is_none(url: str):
    with pytest.raises(ValueError, match=r"http|[Pp]ort"):
        http.address(url)


def test_the_address_of_a_host_with_colons():
    where = http.address("http://[::1]:8080/q")

    assert (where.host, where.port, where.host_header, where.target) == ("::1", 8080, "[::1]:8080", "/q")


# -- file


def test_a_json_file_and_its_time(tmp_path: Path):
    path = tmp_path / "queue.json"
    path.write_text('\ufeff{"waiting": 2}')
    os.utime(path, (1000.0, 1000.0))

    fetched = file.fetch(source("file", path=str(path)))

    assert fetched.document == {"waiting": 2}
    assert fetched.observed_at == 1000.0


def test_files_that_are_none(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(b" " * (MAX_ANSWER_BYTES + 1))
    (tmp_path / "half").write_text('{"waiting": ')

    found = {
        name: code(file.fetch, source("file", path=str(tmp_path / name))) for name in ("pipe", "big", "half", "none")
    }

    assert found == {"pipe": "malformed", "big": "too_big", "half": "malformed", "none": "unreachable"}


# -- command


def shell(script: str, **settings: Any) -> QueueSource:
    return source("command", argv=["/bin/sh", "-c", script], **settings)


def test_a_program_that_prints_json_sees_a_small_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("A_SECRET", "geheim")

    fetched = command.fetch(
        shell("""printf '{"secret": "%s", "lang": "%s", "pwd": "%s"}' "$A_SECRET" "$LANG" "$PWD" """)
    )

    assert fetched.document == {"secret": "", "lang": "C.UTF-8", "pwd": "/"}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo no json", "malformed"),
        ("echo '{}'; echo broken >&2; exit 3", "failed"),
        ("head -c 100000 /dev/zero", "too_big"),
        ("yes", "too_big"),
        ("sleep 60", "timed_out"),
        ("exec >&- 2>&-; sleep 60", "timed_out"),
        ("trap '' TERM HUP INT; sleep 60", "timed_out"),
        ("yes >&2", "timed_out"),
    ],
)
def test_what_a_program_should_not_do(script: str, expected: str):
    assert code(command.fetch, shell(script, timeout_s=0.5)) == expected


def test_a_program_that_is_not_there_or_may_not_run(tmp_path: Path):
    (tmp_path / "plain").write_text("#!/bin/sh\n")

    assert code(command.fetch, source("command", argv=[str(tmp_path / "none")])) == "unsupported"
    assert code(command.fetch, source("command", argv=[str(tmp_path / "plain")])) == "denied"


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("after", ["wait", "echo '{}'; exit 0"], ids=["timed out", "ended well"])
def test_nothing_of_the_session_stays_behind(tmp_path: Path, after: str):
    child = tmp_path / "child"

    try:
        command.fetch(shell(f"sleep 300 & echo $! > {child}; {after}", timeout_s=0.5))
    except TimeoutError:
        assert after == "wait"

    pid = int(child.read_text())
    give_up_at = time.monotonic() + 5
    while _lives(pid):
        assert time.monotonic() < give_up_at, "the child outlived its session"


# -- sql


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A ticket system's SQLite file: two services, WAL mode, held open by its owner."""
    path = tmp_path / "tickets.db"
    with sqlite3.connect(path) as owner:
        owner.execute("create table serials (id integer primary key, office text, called integer, at text)")
        owner.executemany(
            "insert into serials (office, called, at) values (?, ?, ?)",
            [("acts", 0, "2023-11-14 22:00:00"), ("acts", 0, "2023-11-14 22:05:00"), ("acts", 1, "2023-11-14 21:00:00"),
             ("legal", 1, "2023-11-14 21:00:00")],
        )  # fmt: skip
    owner.close()
    return path


BY_OFFICE = """
    select office as service, count(*) filter (where not called) as waiting,
           min(at) filter (where not called) as oldest_at
    from serials group by office order by office
"""


def test_rows_of_a_sqlite_file(database: Path):
    fetched = sql.fetch(source("sql", path=str(database), query=BY_OFFICE))

    assert fetched.document == [
        {"service": "acts", "waiting": 2, "oldest_at": "2023-11-14 22:00:00"},
        {"service": "legal", "waiting": 0, "oldest_at": None},
    ]


ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) as waiting from n"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("delete from serials", "denied"),
        ("update serials set called = 1", "denied"),
        ("attach database '/tmp/other.db' as other", "denied"),
        ("pragma journal_mode = delete", "denied"),
        ("select load_extension('x')", "failed"),
        ("select nothing from nowhere", "failed"),
        ("select 1; select 2", "failed"),
        ("selec", "failed"),
        (ENDLESS, "timed_out"),
        ("select * from serials where 0", "malformed"),
        ("select a.id from serials a, serials b, serials c, serials d", "too_big"),
        ("select hex(zeroblob(3000000)) as waiting", "too_big"),
    ],
)
def test_a_query_only_reads_and_ends(database: Path, query: str, expected: str):
    before = database.read_bytes()

    assert code(sql.fetch, source("sql", path=str(database), query=query, timeout_s=0.3)) == expected
    assert database.read_bytes() == before


def test_a_locked_database_a_missing_one_and_a_file_that_is_none(database: Path, tmp_path: Path):
    (tmp_path / "text").write_text("no database, but long enough to be looked at as if it were one" * 20)
    with sqlite3.connect(database, isolation_level=None) as owner:
        owner.execute("begin exclusive")
        locked = code(sql.fetch, source("sql", path=str(database), query=BY_OFFICE, timeout_s=0.2))
    owner.close()

    assert locked == "timed_out"
    assert code(sql.fetch, source("sql", path=str(tmp_path / "none"), query="select 1")) == "unreachable"
    assert not (tmp_path / "none").exists()
    assert code(sql.fetch, source("sql", path=str(tmp_path / "text"), query=BY_OFFICE)) == "malformed"


@pytest.fixture(scope="module")
def tickets() -> Any:
    """The address of a PostgreSQL database with a ticket table."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres.running() as server:
        server.command("create database tickets", "create role reader login password 'geheim'")
        with psycopg.connect(f"host=127.0.0.1 port={server.port} user=postgres dbname=tickets") as owner:
            owner.execute(
                "create table atendimentos (servico int, dt_cheg timestamptz, dt_ini timestamptz, wait numeric)"
            )
            owner.execute(
                "insert into atendimentos values (1, '2023-11-14 22:00:00+00', null, 12.5), (1, now(), now(), 3)"
            )
        yield f"postgresql://reader:geheim@127.0.0.1:{server.port}/tickets", server


def test_rows_of_postgresql(tickets: Any):
    _, server = tickets
    owner = f"postgresql://postgres@127.0.0.1:{server.port}/tickets"
    query = """
        select servico as service, count(*) filter (where dt_ini is null) as waiting,
               min(dt_cheg) filter (where dt_ini is null) as oldest_at, sum(wait) as average_wait_s
        from atendimentos group by servico
    """

    (row,) = sql.fetch(source("sql", url=owner, query=query)).document

    assert (row["service"], row["waiting"], row["average_wait_s"]) == (1, 1, 15.5)
    assert type(row["average_wait_s"]) is float
    assert row["oldest_at"].timestamp() == 1_700_000_000 - 800


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("delete from atendimentos", "denied"),
        ("create table x (y int)", "denied"),
        ("select * from nowhere", "failed"),
        ("select pg_sleep(30)", "timed_out"),
        ("select 1 where false", "malformed"),
        ("select generate_series(1, 1000)", "too_big"),
    ],
)
def test_a_postgresql_query_only_reads_and_ends(tickets: Any, query: str, expected: str):
    owner = f"postgresql://postgres@127.0.0.1:{tickets[1].port}/tickets"

    assert code(sql.fetch, source("sql", url=owner, query=query, timeout_s=0.5)) == expected


def test_postgresql_troubles_never_repeat_the_password(tickets: Any):
    url, _ = tickets
    with pytest.raises(SourceFailed) as denied:
        sql.fetch(source("sql", url=url, query="select * from atendimentos"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SourceFailed) as unreachable:
        sql.fetch(source("sql", url=f"postgresql://a:geheim@127.0.0.1:{port}/x", query="select 1"))

    assert denied.value.problem_code == "denied"
    assert unreachable.value.problem_code == "unreachable"
    assert "geheim" not in f"{denied.value} {unreachable.value}"


def test_a_postgresql_server_that_hangs_is_given_up():
    with serving(hang) as server:
        url = f"postgresql://a@127.0.0.1:{server.port}/x"

        assert code(sql.fetch, source("sql", url=url, query="select 1", timeout_s=0.5)) == "timed_out"


def test_the_document_of_a_database_can_be_sent_on_as_json(database: Path):
    fetched = sql.fetch(source("sql", path=str(database), query=BY_OFFICE))

    assert json.loads(json.dumps(fetched.document)) == fetched.document
