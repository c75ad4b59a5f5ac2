import gzip

import pytest
from starlette.types import Message
from tests.controller.fleet import add_annex, add_devices
from tests.controller.site import Site

from annexfleet_controller.web.packing import accepts_gzip, packed


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("*", True),
        ("GZIP", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("identity", False),
    ],
)
def test_who_accepts_it(header: str, expected: bool):
    assert accepts_gzip(header) is expected


def test_a_page_comes_packed_and_is_the_same_page(site: Site):
    add_devices(site.engine, 30, annex_id=add_annex(site.engine))
    client = site.signed_in()

    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    whole = client.get("/", headers={"Accept-Encoding": "gzip"})

    assert "content-encoding" not in plain.headers
    assert whole.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in whole.headers["vary"]
    assert whole.text == plain.text
    assert whole.num_bytes_downloaded < len(plain.content) / 2


def test_what_is_packed_has_never_the_same_length_for_long(site: Site):
    add_annex(site.engine)
    client = site.signed_in()

    lengths = {client.get("/", headers={"Accept-Encoding": "gzip"}).num_bytes_downloaded for _ in range(20)}

    assert len(lengths) > 5


def test_sheets_and_scripts_are_packed_and_still_known_by_their_tag(site: Site):
    visitor = site.visitor()
    sheet = visitor.get("/static/annexfleet.css", headers={"Accept-Encoding": "gzip"})

    again = visitor.get(
        "/static/annexfleet.css", headers={"Accept-Encoding": "gzip", "If-None-Match": sheet.headers["etag"]}
    )

    assert sheet.headers["content-encoding"] == "gzip"
    assert sheet.headers["etag"].startswith("W/")
    assert sheet.num_bytes_downloaded < len(sheet.content)
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.anyio
async def test_a_stream_of_events_begins_at_once_and_is_never_held_up():
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": [(b"accept-encoding", b"gzip")]}
    send = packed(scope, keep)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    assert len(sent) == 1
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})

    assert sent[1]["body"] == b"data: 1\n\n"


@pytest.mark.anyio
async def test_what_comes_in_pieces_is_packed_as_one():
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": [(b"accept-encoding", b"gzip")]}
    send = packed(scope, keep)
    headers = [(b"content-type", b"text/csv; charset=utf-8"), (b"content-length", b"9000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in (b"a" * 4000, b"b" * 5000):
        await send({"type": "http.response.body", "body": piece, "more_body": piece[0] == ord("a")})

    assert b"content-length" not in dict(sent[0]["headers"])
    assert gzip.decompress(b"".join(message["body"] for message in sent[1:])) == b"a" * 4000 + b"b" * 5000
