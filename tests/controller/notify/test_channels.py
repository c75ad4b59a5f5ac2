"""Every kind of channel against a real receiver on this machine."""

import json
import logging
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from tests.controller.notify.office import MailServer, WebServer, mail_server, secure_web_server, web_server

from annexfleet_controller.notify import channels, webhook
from annexfleet_controller.notify.channels import Destination, Message, Ways, deliver, is_address, shown
from annexfleet_controller.notify.outcome import Outcome

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOOK = "3ccdd113474722377935511fc85d3dd4"
MESSAGE = Message(
    notice_id="1-abc", subject="الملحقة 1: الورق محشور", text="Ligne une.\nLigne deux error=404 < &.\n",
    html='<div lang="ar" dir="rtl"><p>الورق محشور<br>a &lt; b &amp; c</p></div>', short="Berkane 1: bourrage.",
    json=b'{"version":1}',
)  # fmt: skip


@pytest.fixture(scope="module")
def post() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def tell(to: Destination, **ways: object) -> Outcome:
    return deliver(MESSAGE, to, Ways(**ways), now=NOW)  # type: ignore[arg-type]


# -- mail


def test_mail_arrives_as_text_and_as_simple_html(post: MailServer):
    assert tell(Destination("email", "amina@example.ma"), mail_url=post.url).result == "sent"

    mail = post.mails[-1]
    assert mail["Subject"] == MESSAGE.subject
    assert mail["From"] == "fleet@example.ma"
    assert mail["X-Receiver"] == "amina@example.ma"
    assert mail["X-Annexfleet-Notice"] == "1-abc"
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert plain.get_content().splitlines()[:2] == ["الورق محشور", "a < b & c"]
    assert html is not None
    assert 'dir="rtl"' in html.get_content()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("550 5.1.1 no such user", Outcome("permanent", "refused", "SMTP 550")),
        ("451 4.7.1 greylisted, come back", Outcome("again", "not_accepted", "SMTP 451")),
        ("530 5.7.0 authentication required", Outcome("permanent", "unauthorised", "SMTP 530")),
    ],
)
def test_what_a_mail_server_refuses(post: MailServer, reply: str, expected: Outcome):
    post.replies["refused@example.ma"] = reply

    assert tell(Destination("email", "refused@example.ma"), mail_url=post.url) == expected


def test_a_mail_server_that_is_away_is_tried_again():
    url = f"mailto://127.0.0.1:{closed_port()}?from=fleet@example.ma"

    assert tell(Destination("email", "amina@example.ma"), mail_url=url) == Outcome("again", "unreachable")


def test_a_mail_server_that_knows_no_passwords(post: MailServer):
    url = post.url.replace("mailto://", "mailto://fleet:secret@")

    assert tell(Destination("email", "amina@example.ma"), mail_url=url).reason == "unauthorised"


@pytest.mark.parametrize("kind", ["email", "sms"])
def test_where_nothing_is_set_up_it_says_so(kind: channels.ContactKind):
    address = {"email": "amina@example.ma", "sms": "+212600000000"}[kind]

    assert tell(Destination(kind, address)) == Outcome("permanent", "not_configured")


# -- telephones and chat


def test_a_gateway_for_short_messages_gets_number_and_short_text(web: WebServer):
    gateway = f"form://127.0.0.1:{web.port}/send?:number={{number}}&:message=text"

    assert tell(Destination("sms", "+212600000000"), sms_url=gateway).result == "sent"
    ((path, _, body),) = web.got
    assert path == "/send"
    assert b"number=212600000000" in body
    assert b"text=Berkane+1%3A+bourrage." in body


def test_a_gateway_of_a_known_make(web: WebServer):
    gateway = f"smseagle://token@127.0.0.1:{web.port}/{{number}}"
    tell(Destination("sms", "+212600000000"), sms_url=gateway)

    ((path, _, body),) = web.got
    assert path == "/jsonrpc/sms"
    assert json.loads(body)["params"]["message"] == "Berkane 1: bourrage."
    assert json.loads(body)["params"]["to"] == "212600000000"


def test_chat_gets_subject_and_text(web: WebServer):
    chat = Destination("chat", f"mmost://127.0.0.1:{web.port}/{HOOK}")

    assert tell(chat).result == "sent"
    ((path, _, body),) = web.got
    assert path == "/hooks/3ccdd113474722377935511fc85d3dd4"
    assert "Ligne deux" in json.loads(body)["text"]
    assert MESSAGE.subject in json.loads(body)["text"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Outcome("permanent", "unauthorised", "HTTP 401")),
        (404, Outcome("permanent", "refused", "HTTP 404")),
        (429, Outcome("again", "rate_limited", "HTTP 429")),
        (500, Outcome("again", "server_error", "HTTP 500")),
        (302, Outcome("permanent", "redirected", "HTTP 302")),
    ],
)
@pytest.mark.parametrize("kind", ["chat", "webhook"])
def test_what_an_answer_means(web: WebServer, kind: channels.ContactKind, status: int, expected: Outcome):
    web.status = status
    web.headers = {"Location": f"{web.url}/elsewhere"} if status == 302 else {}
    address = f"{web.url}/x" if kind == "webhook" else f"mmost://127.0.0.1:{web.port}/{HOOK}"

    assert tell(Destination(kind, address, "s")) == expected
    assert len(web.got) == 1


@pytest.mark.parametrize("scheme", ["mmost", "http"])
def test_who_is_away_is_tried_again(scheme: str):
    kind: channels.ContactKind = "webhook" if scheme == "http" else "chat"

    assert tell(Destination(kind, f"{scheme}://127.0.0.1:{closed_port()}/{HOOK}")).result == "again"


def test_who_never_answers_does_not_hold_us(web: WebServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(channels, "TIMEOUT_S", 0.2)
    web.hold.clear()

    assert tell(Destination("webhook", f"{web.url}/x")).result == "again"
    assert tell(Destination("chat", f"mmost://127.0.0.1:{web.port}/{HOOK}")).reason == "timed_out"


# -- places where no notice goes


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/", "http://100.100.100.200/", "http://0.0.0.0/", "http://2852039166/",
        "http://[64:ff9b::169.254.169.254]/", "http://[2002:a9fe:a9fe::1]/",
    ],
)  # fmt: skip
def test_metadata_and_link_local_addresses_are_refused(address: str):
    assert tell(Destination("webhook", address)) == Outcome("permanent", "address_forbidden")


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[fe80::1]"])
def test_an_address_of_apprise_is_judged_too(host: str):
    assert tell(Destination("chat", f"mmost://{host}/{HOOK}")) == Outcome("permanent", "address_forbidden")


def test_an_address_is_judged_as_it_is_connected_to(monkeypatch: pytest.MonkeyPatch):
    def told(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("169.254.169.254", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", told)

    assert tell(Destination("webhook", "http://innocent.example.ma/")).reason == "address_forbidden"


def test_it_can_be_allowed():
    judged = webhook.post("http://[fe80::1]:9/", b"", secret="", notice_id="", now=NOW, link_local_allowed=True)

    assert judged.reason in {"unreachable", "timed_out"}


@pytest.mark.parametrize("address", ["ftp://example.ma/", "http://", "http://a:b/", "nonsense", "http://a b/"])
def test_what_is_no_address_of_a_webhook(address: str):
    assert tell(Destination("webhook", address)).result != "sent"


@pytest.mark.parametrize("address", ["dbus://", "syslog://", "windows://", "nonsense://x", "no address", ""])
def test_what_apprise_may_not_or_cannot_do(address: str):
    assert tell(Destination("apprise", address)) == Outcome("permanent", "address_wrong")


@pytest.mark.parametrize("address", [
    "json://10.0.0.1/x?method=DELETE&:Image=evil", "form://10.0.0.1/", "xml://10.0.0.1/", "mqtt://127.0.0.1/af/v1/d/x",
    "mailto://u:p@example.ma?to=a@example.ma", "rsyslog://127.0.0.1", "apprise://10.0.0.1/abcdefgh",
    "fcm://project/token?keyfile=/etc/passwd",
])  # fmt: skip
@pytest.mark.parametrize("kind", ["chat", "apprise"])
def test_what_is_no_chat_is_no_address_of_one(kind: channels.ContactKind, address: str):
    assert not is_address(Destination(kind, address), Ways())
    assert tell(Destination(kind, address)) == Outcome("permanent", "address_wrong")


@pytest.mark.parametrize("address", [
    "discord://123456789012345678/abcdefghijklmnop{}", "slack://TJHCI88AA/B1QDA9AAA/1jCAkYqfLxcSXNqyFzxxxxxx/{}",
    "workflow://example.ma:443/643a1f2e3d4c5b6a/sig-abcdef{}", "tgram://123456789:abcdefg_hijklmnop/12315544/{}",
    "https://discord.com/api/webhooks/123456789012345678/abcdefghijklmnopqrstuvwxyz{}",
])  # fmt: skip
def test_no_address_makes_us_read_a_file(address: str, tmp_path):
    file = tmp_path / "secret.json"
    file.write_text("{}")

    assert is_address(Destination("chat", address.format("")), Ways())
    for name in ("template", "TEMPLATE", "%74emplate"):
        for place in (file, f"file://{file}"):
            assert not is_address(Destination("chat", address.format(f"?{name}={place}")), Ways()), (name, place)


@pytest.mark.parametrize(
    ("kind", "address", "fits"),
    [
        ("email", "amina@example.ma", True),
        ("email", "amina@example.ma,other@example.ma", False),
        ("email", "amina", False),
        ("email", "a@example.ma&smtp=evil.example", False),
        ("sms", "+212600000000", True),
        ("sms", "0600000000", False),
        ("webhook", "https://tickets.example.ma/hook?x=1", True),
        ("webhook", "ftp://tickets.example.ma", False),
        ("webhook", "https://tickets.example.ma:99999", False),
        ("chat", "tgram://123456789:abcdefg_hijklmnop/12315544/", True),
        ("chat", "https://example.ma", False),
        ("apprise", "syslog://", False),
    ],
)
def test_what_can_be_an_address(kind: channels.ContactKind, address: str, fits: bool):
    assert is_address(Destination(kind, address), Ways()) is fits


# -- nothing of an address is seen again


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """All that reaches the handlers of our logs, in the words of its authors."""
    root, kept = logging.getLogger(), Kept()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(kept)
    yield kept.lines
    root.removeHandler(kept)
    root.setLevel(level)


def test_secrets_are_neither_shown_nor_logged(web: WebServer, logged: list[str]):
    secret = "3ccdd113474722377935511fc85d3dd4"
    web.status = 401
    chat = Destination("chat", f"mmost://127.0.0.1:{web.port}/{secret}", secret)
    hook = Destination("webhook", f"{web.url}/{secret}?key={secret}", secret)

    outcomes = [tell(chat), tell(hook)]

    shows = [shown(one.kind, one.address) for one in (chat, hook)]
    assert shows == ["mmost://…", "http://127.0.0.1/…"]
    assert len(web.got) == 2
    assert secret not in f"{outcomes} {shows} {chat!r} {hook!r} {logged}"


def test_a_message_that_quotes_an_error_is_not_taken_for_one(web: WebServer):
    # MESSAGE says error=404, and Apprise's log quotes it.
    web.status = 503

    assert tell(Destination("chat", f"mmost://127.0.0.1:{web.port}/{HOOK}")).detail == "HTTP 503"


# -- a signature that others can check


def test_the_example_in_the_readme_verifies_a_signature(web: WebServer):
    from pathlib import Path

    readme = (Path(webhook.__file__).parent / "README.md").read_text(encoding="utf-8")
    example = readme.split("```python\n")[1].split("```")[0]
    given: dict[str, object] = {}
    exec(example, given)
    is_ours = given["is_ours"]
    assert len(example.strip().splitlines()) <= 8

    assert tell(Destination("webhook", f"{web.url}/hook?x=1", "shared")).result == "sent"
    ((path, headers, body),) = web.got
    assert path == "/hook?x=1"
    assert headers["x-annexfleet-notice"] == "1-abc"
    assert headers["content-type"] == "application/json"
    at = NOW.timestamp()

    assert is_ours(headers, body, b"shared", now=at)  # type: ignore[operator]
    assert not is_ours(headers, body + b" ", b"shared", now=at)  # type: ignore[operator]
    assert not is_ours(headers, body, b"other", now=at)  # type: ignore[operator]
    assert not is_ours(headers, body, b"shared", now=at + 301)  # type: ignore[operator]
    forged = headers | {"x-annexfleet-timestamp": str(int(at) + 1)}
    assert not is_ours(forged, body, b"shared", now=at)  # type: ignore[operator]


def test_a_certificate_that_nobody_vouches_for_is_no_receiver(tmp_path):
    """And one that somebody does vouch for is."""
    with secure_web_server(tmp_path) as (web, authority):
        hook = Destination("webhook", f"https://localhost:{web.port}/x", "s")
        refused = tell(hook)
        accepted = tell_trusting(hook, authority)

    assert (refused.result, refused.reason) == ("again", "certificate_wrong")
    assert accepted.result == "sent"
    assert len(web.got) == 1
    assert web.got[0][1]["host"] == f"localhost:{web.port}"


def tell_trusting(to: Destination, authority: str) -> Outcome:
    import ssl

    usual = ssl.create_default_context
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", lambda: usual(cafile=authority))
        return tell(to)
