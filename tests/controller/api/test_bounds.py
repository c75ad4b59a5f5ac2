"""What nobody asks in earnest is refused, and never a failure of ours; every answer bears its headers."""

import base64
import json

import pytest
from fastapi.testclient import TestClient
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.store.database import writing

DEVICE = f"/api/v1/devices/{device_id(1)}"


def cursor(*keys: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=")


@pytest.fixture
def one(site: Site) -> Site:
    with writing(site.engine) as db:
        places.device(db, 1, places.annex(db, 1, site.clock.now()), now=site.clock.now())
    return site


@pytest.mark.parametrize(
    "address",
    [
        f"{DEVICE}/series?metric=cpu_used_ratio&until=0001-01-01T00:00:00Z",
        f"{DEVICE}/series?metric=cpu_used_ratio&since=0001-01-01T00:00:00%2B14:00",
        f"{DEVICE}/series?metric=cpu_used_ratio&until=9999-12-31T23:59:59-14:00",
        f"{DEVICE}/changes?cursor={cursor('2026-01-01T00:00:00+00:00', '9' * 40)}",
        f"{DEVICE}/changes?cursor={cursor('2026-01-01T00:00:00+00:00', '9' * 5000)}"[:1990],
        f"{DEVICE}/changes?cursor={cursor('0001-01-01T00:00:00+14:00', '9')}",
        f"/api/v1/devices?cursor={cursor(chr(0xD800), 'x')}",
        f"/api/v1/annexes?cursor={cursor(chr(0xDFFF))}",
        f"/api/v1/annexes?cursor={cursor(chr(0))}",
        f"/api/v1/printers?cursor={cursor(chr(0xD800))}",
        f"/admin/set-aside?before={10**30}",
    ],
)
def test_what_is_out_of_reach_is_refused(one: Site, address: str):
    assert one.signed_in().get(address).status_code == 422


@pytest.mark.parametrize("path", ["/healthz", "/sign-in", "/api/v1/devices", "/nowhere", "/", "/api/v1/nowhere"])
def test_nothing_about_now_is_kept_by_a_browser(one: Site, path: str):
    assert one.signed_in().get(path).headers["cache-control"] == "no-store"


def test_a_failure_of_ours_bears_the_headers_too(one: Site, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("annexfleet_controller.store.annexes.listing", fail)
    client = TestClient(one.app, raise_server_exceptions=False, cookies=dict(one.signed_in().cookies))

    for path in ("/", "/api/v1/annexes"):
        answer = client.get(path)

        assert answer.status_code == 500
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"


def test_an_answer_that_no_handler_made_bears_the_headers_too(one: Site):
    answer = one.visitor().post("/sign-in", data={"name": "clerk", "password": "x" * 200_000})

    assert answer.status_code == 413
    assert answer.headers["x-frame-options"] == "DENY"


def test_text_that_no_database_takes_is_no_failure_of_ours(one: Site):
    client = one.signed_in()
    for name in ("a\0b", "\ud800"):
        body = json.dumps({"id": "berkane-9", "name_fr": name, "name_ar": name})
        answer = client.post("/api/v1/annexes", content=body, headers={"Content-Type": "application/json"})

        assert answer.status_code in (201, 422)
