import re
from html import unescape
from pathlib import Path

import pytest
from tests.controller.comparing import compare
from tests.controller.fleet import add_devices, device_id
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.desired.document import parse, written
from annexfleet_controller.desired.resolve import PROVINCE, Layer
from annexfleet_controller.rollouts import bundle
from annexfleet_controller.store import configs, desired
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.web.pages import desired_form

ROOT = Path(__file__).parents[3]
HERE = Layer("annex", "berkane-1")
LAYER = "/desired/layer?kind=annex&of=berkane-1"
WHOLE = {
    "agent": {"beat_period_s": None, "sample_period_s": 30.0},
    "portals": {
        "cnie": {"url": "https://www.cnie.ma/", "expect_text": "CNIE"}, "old": None,
    },
    "print_queues": {
        "guichet-1": {
            "uri": "ipp://10.20.1.31/ipp/print", "location": "Hall", "shared": True, "options": {"media": "A4"},
        },
        "hp-old": "absent", "hp-older": None,
    },
    "printing": {"default_queue": "guichet-1"},
    "packages": {"cups": "2.4.2", "htop": "present", "nano": None, "telnet": "absent"},
}  # fmt: skip


@pytest.fixture
def wishing(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(bundle, "library", lambda _home: ROOT / "playbooks")
    with writing(site.engine) as db:
        places.annex(db, 1, site.clock.now())
        places.annex(db, 2, site.clock.now())
    add_devices(site.engine, 2)
    add_devices(site.engine, 1, annex_id="berkane-2", first=3)
    return site


def decide(site: Site, document: dict, layer: Layer = PROVINCE) -> int:
    with writing(site.engine) as db:
        version = desired.get(db, layer).version
        return desired.put(db, layer, parse(document), version=version, by="amina", now=site.clock.now()).version


def fields(html: str) -> dict[str, str]:
    """What a browser would send of the page's big form if nothing is touched."""
    form = html[html.index('class="desired"') : html.index("</form>", html.index('class="desired"'))]
    found = {
        unescape(name): unescape(value) for name, value in re.findall(r'<input name="([^"]+)" value="([^"]*)"', form)
    }
    for name, options in re.findall(r'<select name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', options) or re.search(
            r'<option value="([^"]*)"', options
        )
        assert chosen is not None
        found[name] = chosen[1]
    found |= dict.fromkeys(re.findall(r'<input type="checkbox" name="([^"]+)" value="yes" checked', form), "yes")
    return found


@pytest.mark.parametrize("document", [{}, WHOLE])
def test_the_form_of_a_document_that_nobody_touches_is_that_document(wishing: Site, document: dict):
    decide(wishing, document, HERE)
    client = wishing.signed_in("operator")

    typed = fields(client.get(LAYER).text)

    assert written(parse(desired_form.document(typed))) == document


@pytest.mark.parametrize("code", ["en", "fr", "ar"])
def test_every_page_speaks_every_language(wishing: Site, code: str):
    decide(wishing, WHOLE)
    decide(wishing, {"packages": {"htop": "absent"}}, HERE)
    client = wishing.signed_in("operator")
    client.post("/language", data={"code": code})

    pages = [
        client.get(path).text
        for path in (
            "/desired", "/desired?annex=berkane-1&unknown=yes", LAYER, "/desired/layer",
            f"{LAYER.replace('layer', 'version')}&version=1", f"{LAYER.replace('layer', 'version')}&version=0",
            f"/desired/devices/{device_id(1)}",
        )
    ]  # fmt: skip
    pages.append(client.post(LAYER, data={"package.0.name": "nano", "package.0.how": "present"}).text)

    assert all("%(" not in page for page in pages)
    assert all(f'lang="{code}"' in page for page in pages)


def test_a_decision_is_previewed_before_it_counts_and_sends_nothing(wishing: Site):
    client = wishing.signed_in("operator")
    typed = fields(client.get(LAYER).text) | {"package.0.name": "htop", "package.0.how": "absent", "reason": "Unused"}

    preview = client.post(LAYER, data=typed | {"do": "preview"})
    with reading(wishing.engine) as db:
        assert desired.get(db, HERE).version == 0
    document = re.search(r'name="document" value="([^"]*)"', preview.text)
    assert document is not None
    saved = client.post(
        LAYER, data={"do": "save", "version": "0", "document": unescape(document[1]), "reason": "Unused"}
    )

    assert (preview.status_code, saved.status_code) == (200, 303)
    assert "Of 2 devices something else would be wanted." in preview.text
    with reading(wishing.engine) as db:
        kept = desired.get(db, HERE)
        assert (written(kept.document), kept.reason) == ({"packages": {"htop": "absent"}}, "Unused")
        assert configs.of_all(db) == {}


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"agent.sample_period_s.how": "wanted", "agent.sample_period_s": "many"}, "agent.sample_period_s", "a number"),
        ({"agent.sample_period_s.how": "wanted", "agent.sample_period_s": "1"}, "agent.sample_period_s", "too small"),
        ({"portal.0.name": "CNIE", "portal.0.url": "https://x"}, "portals.CNIE", "not allowed"),
        ({"portal.0.name": "cnie", "portal.0.url": "https://a:b@x"}, "portals.cnie.url", "could read"),
        ({"queue.0.name": "q"}, "print_queues.q.uri", "fill this in"),
        ({"package.0.name": "htop", "package.0.how": "version"}, "packages.htop", "no version"),
        ({"package.0.name": "htop", "package.0.how": "king"}, "packages.htop", "no version"),
        ({"document": "<b>"}, "document", "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_typed(wishing: Site, typed: dict[str, str], field: str, words: str):
    client = wishing.signed_in("operator")

    answer = client.post(LAYER, data=typed)

    assert answer.status_code == 422
    alert = re.search(r'role="alert">(.*?)</p>', answer.text, re.DOTALL)
    assert alert is not None
    assert f"{field}</code>" in alert[1]
    assert words in alert[1]
    if "agent.sample_period_s" in typed:
        assert fields(answer.text)["agent.sample_period_s"] == typed["agent.sample_period_s"]
    assert "<b>" not in answer.text.replace("<b>0</b>", "")


def test_who_read_an_older_version_is_told(wishing: Site):
    decide(wishing, {"packages": {"htop": "present"}}, HERE)

    answer = wishing.signed_in("operator").post(
        LAYER, data={"do": "save", "version": "0", "document": '{"packages": {"htop": "absent"}}'}
    )

    assert answer.status_code == 409
    assert "Somebody else decided here meanwhile" in answer.text
    # What they had entered still stands in the form.
    (row,) = re.findall(
        r'<select name="(package[^"]*how)"[^>]*>(?:(?!</select>).)*"absent" selected', answer.text, re.DOTALL
    )
    assert row


def test_who_may_only_look_sees_no_form(wishing: Site):
    decide(wishing, {"packages": {"htop": "present"}}, HERE)
    decide(wishing, {"agent": {"sample_period_s": 30}})

    for client, path in (
        (wishing.signed_in("technician"), LAYER),
        (wishing.signed_in("operator", annex="berkane-1"), "/desired/layer?kind=province"),
    ):
        html = client.get(path).text
        assert 'class="desired"' not in html
        assert "Wanted" in html
    assert "/desired/repair" not in wishing.signed_in("technician").get("/desired").text
    assert "berkane-1" not in wishing.signed_in("staff", annex="berkane-2").get("/desired").text


def test_a_version_is_taken_back(wishing: Site):
    decide(wishing, {"packages": {"htop": "present"}}, HERE)
    decide(wishing, {"packages": {"htop": "absent"}}, HERE)
    client = wishing.signed_in("operator")

    html = client.get(f"{LAYER.replace('layer', 'version')}&version=1").text
    assert "What taking back to it would change" in html
    answer = client.post(LAYER.replace("layer", "take-back"), data={"to": "1", "version": "2", "reason": "It broke"})

    assert answer.status_code == 303
    with reading(wishing.engine) as db:
        kept = desired.get(db, HERE)
    assert (kept.version, kept.takes_back_to, written(kept.document)) == (3, 1, {"packages": {"htop": "present"}})
    assert "as version 1" in client.get(LAYER).text


def test_drift_leads_to_the_draft_of_a_rollout(wishing: Site):
    decide(wishing, {"agent": {"sample_period_s": 30}}, HERE)
    client = wishing.signed_in("operator")

    before = client.get("/desired").text
    assert "No device has been compared yet" in before
    assert "of 3 nobody knows" in before
    compare(wishing)
    html = client.get("/desired").text
    assert "Repair 2 devices by a rollout" in html
    assert "As of " in html
    assert "It was not sent yet" in html
    answer = client.post("/desired/repair", data={"name": "Repair", "annex": ""})

    assert answer.status_code == 303
    assert re.fullmatch(r"/rollouts/\d+", answer.headers["location"])
    assert client.post("/desired/repair", data={"name": ""}).status_code == 422
    assert client.post("/desired/repair", data={"name": "x", "annex": "berkane-2"}).status_code == 409


def test_an_open_page_asks_only_for_who_differs(wishing: Site):
    decide(wishing, {"agent": {"sample_period_s": 30}})
    compare(wishing)
    client = wishing.signed_in("technician")
    whole = client.get("/desired?unknown=yes").text
    place = re.search(r'<div id="(\w+)" data-desired data-hx-get="([^"]+)"[^>]* data-hx-target="#(\w+)"', whole)
    assert place is not None

    part = client.get(unescape(place[2]), headers={"HX-Request": "true", "HX-Target": place[3]}).text

    assert (place[1], place[2]) == (place[3], "/desired?unknown=yes")
    assert part.lstrip().startswith(f'<div id="{place[1]}"')
    assert "It was not sent yet" in part
    assert "<h1>" not in part


def test_annexes_that_differ_come_some_at_a_time(wishing: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("annexfleet_controller.web.pages.desired.ANNEXES_SHOWN", 1)
    decide(wishing, {"agent": {"sample_period_s": 30}})
    compare(wishing)
    client = wishing.signed_in("technician")

    first = client.get("/desired").text
    more = re.search(r'href="(/desired\?after=[^"#]+)#drift"', first)
    assert more is not None
    second = client.get(unescape(more[1])).text

    assert (device_id(1) in first, device_id(3) in first) == (True, False)
    assert (device_id(1) in second, device_id(3) in second) == (False, True)
    assert client.get("/desired?after=z").text.count("Nothing more.") == 1


def test_a_device_shows_which_layer_decides(wishing: Site):
    decide(wishing, {"packages": {"htop": "present", "telnet": "absent"}})
    decide(wishing, {"packages": {"telnet": None}}, HERE)

    html = wishing.signed_in("staff").get(f"/desired/devices/{device_id(1)}").text

    assert "htop" in html
    assert "Taken away" in html
    assert "The device does not report this" in html
    assert wishing.signed_in("staff", annex="berkane-2").get(f"/desired/devices/{device_id(1)}").status_code == 404
