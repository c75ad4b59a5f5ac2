import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from tests.controller.fleet import add_annex, add_devices, device_id
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_agent.protocol import enrolment
from annexfleet_controller.store.database import writing

LANGUAGES = ("fr", "ar", "en")
PAGES = ("/", "/annexes/berkane-1", f"/devices/{device_id(1)}", f"/devices/{device_id(29)}", "/password",
         "/admin/tokens", "/admin/annexes", "/admin/set-aside", "/nowhere")  # fmt: skip

POLYGLOTS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</title><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}{% raw %}",
    "%(num)s%s{0}",
    "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert() )//%0D%0A//</stYle/</titLe/</teXtarEa/</scRipt/--!>"
    "\\x3csVg/<sVg/oNloAd=alert()//>\\x3e",
    "ملحقة\u202eexe.fdp\u2066x\u2069\u2069",
)


class Parsed(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def seeded(site: Site) -> Site:
    places.province(site.engine, now=site.clock.now(), past_days=0.1)
    return site


@pytest.mark.parametrize("path", PAGES)
def test_every_page_in_every_language(seeded: Site, path: str):
    client = seeded.signed_in()
    for code in LANGUAGES:
        client.post("/language", data={"code": code})

        answer = client.get(path)

        assert answer.status_code == (404 if path == "/nowhere" else 200)
        assert f'<html lang="{code}" dir="{"rtl" if code == "ar" else "ltr"}">' in answer.text


def test_the_board_says_what_is_wrong_where(seeded: Site):
    page = Parsed(seeded.signed_in().get("/").text).text

    assert "12 devices online" in page
    assert "2 silent" in page
    assert "1 never heard" in page
    assert "Paper jam" in page
    assert re.search(r"12\s+people waiting", page)
    assert "Nobody tells how many people wait" in page  # unknown is not 0


def test_an_empty_province_says_what_to_do_next(site: Site):
    assert "/admin/annexes" in site.signed_in().get("/").text

    add_annex(site.engine)
    assert "/admin/tokens?annex=berkane-1" in site.signed_in().get("/").text
    assert "Create a token" in site.signed_in().get("/annexes/berkane-1").text
    assert "/admin/tokens" not in site.signed_in("staff").get("/").text


def test_a_device_says_what_it_knows_and_why_it_does_not_know_the_rest(seeded: Site):
    page = Parsed(seeded.signed_in().get(f"/devices/{device_id(1)}").text).text

    for expected in ("Processor in use", "91%", "unusual", "This device cannot tell", "Paper jam", "enp1s0",
                     "Intel Core i5-10500T", "2 packages", "residence", "1,000 Mbit/s"):  # fmt: skip
        assert expected in page
    assert "uptime" not in page.lower()


def test_what_is_unusual_is_marked_and_the_page_can_judge_what_comes_later(seeded: Site):
    tags = Parsed(seeded.signed_in().get(f"/devices/{device_id(1)}").text).tags

    usual = {of["data-reading"]: of["data-usual"] for tag, of in tags if tag == "span" and "data-usual" in of}
    marks = ["hidden" in of for tag, of in tags if "unusual-mark" in (of.get("class") or "")]

    assert usual[" cpu_used_ratio"] == "0 0.7"
    assert True in marks
    assert False in marks


def test_asked_by_htmx_a_page_gives_only_its_fragment(seeded: Site):
    client = seeded.signed_in()
    for path, block in (("/", "annexes"), ("/annexes/berkane-1", "state"), (f"/devices/{device_id(1)}", "state")):
        answer = client.get(path, headers={"HX-Request": "true", "HX-Target": f"div#{block}"})

        assert answer.text.strip().startswith(f'<div id="{block}"')
        assert "<html" not in answer.text


@pytest.mark.parametrize("path", ["/", "/annexes/berkane-1", f"/devices/{device_id(1)}", "/admin/set-aside"])
def test_whatever_a_device_calls_itself_stays_text(site: Site, path: str):
    now = site.clock.now()
    with writing(site.engine) as db:
        places.annex(db, 1, now)
        for number, evil in enumerate(POLYGLOTS, 1):
            places.device(
                db, number, "berkane-1", now=now, name=evil[:120], model=evil, role=evil[:16], agent_version=evil[:64]
            )
        evil = "".join(POLYGLOTS)[:500]
        places.printers(db, 1, [places.Printed(e, e, (e,), model=e, address=e) for e in POLYGLOTS], at=now)
        places.queue(db, 1, evil[:100], waiting=2, at=now)
        readings = {e[:150]: {e[:150]: e} for e in POLYGLOTS}
        problems = {f"{e[:99]}": {e[:150]: e[:60], "*": e[:60]} for e in POLYGLOTS}
        places.part(db, 1, evil[:60], readings, at=now, problems=problems)
        places.part(db, 1, "units", {"": {"units_failed": list(POLYGLOTS)}}, at=now)
        places.inventory(db, 1, at=now, vendor=evil, **{e[:100]: e for e in POLYGLOTS})
        places.refused(db, device=1, topic=evil[:200], reason=evil[:60], detail=evil[:200], at=now)

    html = site.signed_in().get(path).text

    page = Parsed(html)
    assert "alert" in page.text
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "link", "script", "body", "a", "header", "svg", "path", "rect", "use", "span",
        "nav", "div", "form", "input", "button", "details", "summary", "p", "main", "h1", "h2", "h3", "section",
        "article", "dl", "dt", "dd", "ul", "ol", "li", "b", "small", "bdi", "time", "code", "table", "thead", "tbody",
        "tr", "th", "td", "label", "select", "option", "fieldset", "legend", "figure", "figcaption", "noscript", "pre",
        "datalist", "i",
    }  # fmt: skip
    assert [attrs for _, attrs in page.tags if any(name.startswith("on") or name == "style" for name in attrs)] == []
    assert all((attrs.get("src") or "/static/").startswith("/static/") for tag, attrs in page.tags if tag == "script")
    assert all(not (attrs.get("href") or "").startswith("java") for _, attrs in page.tags)
    shown = re.sub(r'<option value="[^"]*"', "<option", html)  # what the form sends back, as the device named it
    assert re.findall(".{0,80}[\u202a-\u202e\u200e\u200f].{0,40}", shown) == []


def test_nothing_inline_and_nothing_from_elsewhere(seeded: Site):
    for path in PAGES:
        answer = seeded.signed_in().get(path)

        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        page = Parsed(answer.text)
        assert not [attrs for _, attrs in page.tags if "style" in attrs]
        addresses = [v for _, attrs in page.tags for k, v in attrs.items() if k in {"src", "href", "action"} and v]
        assert all(address.startswith(("/", "#")) for address in addresses)


def test_the_token_is_shown_once_with_the_command_to_type(site: Site):
    add_annex(site.engine)
    client = site.with_authority().signed_in("operator")

    made = client.post("/admin/tokens", data={"annex": "berkane-1", "devices": "3"})

    assert "annexfleet-agent enrol -</code>" in made.text  # not an argument, which others on the machine could read
    text = re.search(r"<code>(aft1\S+?)</code>", made.text)
    assert text is not None
    assert enrolment.decode_token(text[1]).enrol_url == site.home.enrol_url
    later = client.get("/admin/tokens").text
    assert "0 of 3" in later
    assert text[1] not in later


def test_a_revoked_token_is_shown_as_such(site: Site):
    add_annex(site.engine)
    client = site.with_authority().signed_in("operator")
    client.post("/admin/tokens", data={"annex": "berkane-1"})
    address = re.search(r'action="(/admin/tokens/\w+/revoke)"', client.get("/admin/tokens").text)
    assert address is not None

    assert client.post(address[1]).status_code == 303

    assert "revoked" in client.get("/admin/tokens").text


def test_an_annex_is_created_once(site: Site):
    client = site.signed_in()
    form = {"id": "berkane-3", "name_fr": "Annexe 3", "name_ar": "الملحقة 3"}

    assert client.post("/admin/annexes", data=form).headers["location"] == "/admin/tokens?annex=berkane-3"
    again = client.post("/admin/annexes", data=form)

    assert again.status_code == 422
    assert "It is taken already." in again.text
    assert client.post("/admin/annexes", data={**form, "id": "Berkane 3"}).status_code == 422


def test_the_language_follows_the_person_to_another_browser(site: Site):
    site.signed_in(name="clerk").post("/language", data={"code": "ar"})

    assert 'lang="ar"' in site.signed_in(name="clerk").get("/").text
    assert 'lang="fr"' in site.visitor().get("/sign-in", headers={"Accept-Language": "fr-MA"}).text


def test_a_device_that_fell_silent_is_not_shown_as_online(site: Site):
    now = site.clock.now()
    add_annex(site.engine)
    with writing(site.engine) as db:
        places.device(db, 1, "berkane-1", now=now, heard=timedelta(0))
    assert "Last heard" in site.signed_in().get(f"/devices/{device_id(1)}").text

    site.clock.turn(minutes=13)

    assert "Nothing has been heard" in site.signed_in().get(f"/devices/{device_id(1)}").text


def test_a_device_page_before_anything_was_told(site: Site):
    add_annex(site.engine)
    add_devices(site.engine, 1)

    page = site.signed_in().get(f"/devices/{device_id(1)}").text

    assert "it has not reported yet" in page
    assert "has not reported any number yet" in page


def test_a_database_that_cannot_be_used_is_told_so(site: Site):
    client = site.signed_in()
    with site.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE annex")

    assert client.get("/").status_code == 503
    assert client.get("/api/v1/annexes").json()["code"] == "store_unavailable"
