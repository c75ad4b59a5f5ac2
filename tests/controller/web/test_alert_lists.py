"""The list of incidents as people narrow it, page through it and keep it; and the story of one as a line of time."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec import structs
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, ran, troubled
from tests.controller.web.test_alerts import text_of
from tests.controller.web.test_pages import POLYGLOTS, Parsed

from annexfleet_controller.store import contacts, incidents, notices, readiness, saved_filters
from annexfleet_controller.store.contacts import NewContact
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.store.notices import NewItem, NewNotice
from annexfleet_controller.things import Incident, Rank


@pytest.fixture
def trouble(site: Site) -> tuple[Incident, Incident]:
    with writing(site.engine) as db:
        readiness.note(db, {}, now=site.clock.now())
        return troubled.two_annexes(db, now=site.clock.now())


def kinds(site: Site, query: str, role: str = "admin", annex: str = "", name: str = "") -> set[str]:
    page = site.signed_in(role, annex=annex, name=name).get(f"/alerts?{query}").text
    with reading(site.engine) as db:
        of = {one.id: one.kind for one in incidents.open_ones(db)}
    return {of[int(found)] for found in re.findall(r'id="incident-(\d+)"', page)}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=guichet-hp", {"printer"}), ("q=PAPER+jam", {"printer"}), ("q=administrative+2", {"line_cut"}),
        ("q=said", {"line_cut"}), ("q=%25", set()), ("who=taken", {"line_cut"}), ("who=free", {"printer"}),
        ("who=mine", {"line_cut"}), ("annex=Annexe+administrative+1", {"printer"}), ("annex=nowhere", set()),
        ("severity=critical&kind=printer&q=hp", {"printer"}),
    ],
)  # fmt: skip
def test_the_list_is_narrowed_by_words_by_place_and_by_who_takes_care(
    site: Site, trouble: tuple[Incident, Incident], query: str, found: set[str]
):
    with writing(site.engine) as db:
        incidents.acknowledge(db, trouble[1].id, by="said", now=site.clock.now())

    assert kinds(site, query, "technician", name="said") == found


def test_what_is_said_in_the_readers_language_is_found_in_it(site: Site, trouble: object):
    client = site.signed_in()
    client.post("/language", data={"code": "fr"})

    assert "Bourrage papier" in client.get("/alerts?q=bourrage").text
    assert "Bourrage papier (" not in client.get("/alerts?q=coupure").text


def test_words_find_nothing_that_is_known_of_others_annexes(site: Site, trouble: tuple[Incident, Incident]):
    with writing(site.engine) as db:
        wide = structs.replace(trouble[0], annex_id="", annexes=("berkane-1", "berkane-2"))
        incidents.save(db, [wide])

    assert kinds(site, "q=guichet-hp") == {"printer"}
    assert kinds(site, "q=guichet-hp", "technician", "berkane-2") == set()
    assert kinds(site, "", "technician", "berkane-2") == {"printer", "line_cut"}


def test_one_pages_through_all_of_them_and_sees_each_once(site: Site):
    now = site.clock.now()
    with writing(site.engine) as db:
        readiness.note(db, {}, now=now)
        places.annex(db, 1, now)
        for number in range(7):
            of = troubled.alert(db, "disk.low", "device", f"d-{number}", now=now, cause="disk_low")
            troubled.incident(db, "device", "disk_low", [of], now=now, rank=Rank(score=float(number % 2)))
    client, seen, address = site.signed_in(), [], "/alerts?limit=3"
    while address:
        page = client.get(address).text
        seen.append(re.findall(r'id="incident-(\d+)"', page))
        further = re.search(r'rel="next" href="([^"]+)"', page)
        address = further[1].replace("&amp;", "&") if further else ""

    assert [len(some) for some in seen] == [3, 3, 1]
    assert len({one for some in seen for one in some}) == 7
    for nonsense in ("x", "1~2", "nan~1~1", "1~9e99~1", "1~99999999999999999999~1"):
        assert client.get("/alerts", params={"after": nonsense}).status_code == 200


def test_what_is_over_has_a_tab_with_a_period(site: Site, trouble: object):
    now = site.clock.now()
    with writing(site.engine) as db:
        for days, name in ((0.5, "new"), (3, "older"), (100, "oldest")):
            at = now - timedelta(days=days)
            of = troubled.alert(
                db, "cpu.high", "device", name, now=at, state="cleared", cause="cpu_high", facts={"device": name}
            )
            troubled.incident(db, "device", "cpu_high", [of], now=at, state="resolved", resolved_at=at, ended_at=at)
    client = site.signed_in()

    def shown(query: str) -> set[str]:
        return set(re.findall(r"\((?:<bdi>|\W)?(new|older|oldest)\b", plain_of(client.get(f"/alerts?{query}").text)))

    assert shown("state=over") == {"new"}
    assert shown("state=over&period=7d") == {"new", "older"}
    assert shown("state=over&period=7d&q=older") == {"older"}
    assert shown("") == set()
    first = client.get("/alerts?state=over&period=7d&limit=1").text
    further = re.search(r'rel="next" href="([^"]+)"', first)
    assert further is not None
    assert "older" in client.get(further[1].replace("&amp;", "&")).text


def plain_of(html: str) -> str:
    return " ".join(Parsed(html).text.split()).replace("\u2068", "").replace("\u2069", "")


# -- filters that are kept


def test_a_filter_is_kept_under_a_name_and_is_only_ones_own(site: Site, trouble: object):
    client = site.signed_in("technician", name="amina")
    answer = client.post(
        "/alerts/filters", data={"name": " My  printers ", "query": "kind=printer&who=free&after=1~1~1&evil=1"}
    )

    assert answer.headers["location"] == "/alerts?kind=printer&who=free"
    page = client.get("/alerts").text
    assert 'href="/alerts?kind=printer&amp;who=free"' in page
    assert "My printers" in page
    assert 'aria-current="true">My printers' in client.get("/alerts?kind=printer&who=free").text.replace("<bdi>", "")
    assert "My printers" not in site.signed_in("technician", name="said").get("/alerts").text

    client.post("/alerts/filters", data={"name": "My printers", "query": "kind=portal"})
    assert "kind=printer&amp;who=free" not in client.get("/alerts").text
    client.post("/alerts/filters/remove", data={"name": "My printers", "back": "severity=critical"})
    assert "My printers" not in client.get("/alerts").text


def test_twenty_filters_are_enough_and_a_name_is_needed(site: Site):
    client = site.signed_in()
    for number in range(saved_filters.AT_MOST):
        assert client.post("/alerts/filters", data={"name": str(number), "query": "who=mine"}).status_code == 303

    assert client.post("/alerts/filters", data={"name": "one more", "query": "who=mine"}).status_code == 409
    assert client.post("/alerts/filters", data={"name": "1", "query": "who=free"}).status_code == 303  # it is replaced
    assert client.post("/alerts/filters", data={"name": "  "}).status_code == 422
    assert client.post("/alerts/filters", data={"name": "x" * 61}).status_code == 422
    assert "Please remove one first" in client.get("/alerts?who=mine").text


@pytest.mark.parametrize("evil", POLYGLOTS)
def test_a_filters_name_and_query_stay_text(site: Site, evil: str):
    client = site.signed_in()
    client.post("/alerts/filters", data={"name": evil[:60], "query": f"q={evil}"})

    page = Parsed(client.get("/alerts", params={"q": evil[:80], "annex": evil[:80]}).text)

    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not [of for _, of in page.tags if any(name.startswith("on") for name in of)]


# -- all at once


def test_all_are_ticked_without_a_script_and_one_comes_back_to_the_same_list(
    site: Site, trouble: tuple[Incident, Incident]
):
    client = site.signed_in("technician", name="amina")
    plain = client.get("/alerts?severity=critical")
    link = re.search(r'href="(/alerts\?[^"]*tick=all)"', plain.text)
    assert link is not None
    assert "Choose all 2 that nobody takes care of" in plain.text

    tags = Parsed(client.get(link[1].replace("&amp;", "&")).text).tags

    boxes = [of for _, of in tags if of.get("name") == "incident"]
    assert len(boxes) == 2
    assert all("checked" in of for of in boxes)
    form = {"incident": [of["value"] for of in boxes], "back": "severity=critical&evil=//elsewhere"}
    answer = client.post("/alerts/acknowledge", data=form)
    assert answer.headers["location"] == "/alerts?severity=critical"
    assert parse_qs(urlsplit(answer.headers["location"]).query) == {"severity": ["critical"]}
    assert "tick=all" not in client.get("/alerts").text


# -- the story of one


def test_a_story_tells_by_day_what_preceded_it_who_was_told_and_what_followed(site: Site):
    now = site.clock.now()
    with writing(site.engine) as db:
        places.annex(db, 1, now)
        for number in (1, 2):
            places.device(db, number, "berkane-1", now=now)
        of = [troubled.alert(db, "cpu.high", "device", device_id(1), now=now, cause="cpu_high")]
        of += [
            troubled.alert(db, "device.offline", "device", f"d-{n}", now=now, cause="device_offline") for n in range(5)
        ]
        incident = troubled.incident(db, "device", "cpu_high", of, now=now)
        incidents.tell(db, [Told(incident.id, now - timedelta(days=1), "noted", "amina", {"note": "Seen before"})])
        ran.past(db, 1, now - timedelta(minutes=40), device=1)
        ran.past(db, 2, now - timedelta(hours=3), device=1)
        ran.past(db, 3, now - timedelta(minutes=40), device=2)
        ran.past(db, 4, now - timedelta(minutes=40), device=1, check=True)
        contact = contacts.create(
            db, NewContact(name="karim", kind="sms", address="+212600000000", language="fr"), [], by="test", now=now
        )
        item = NewItem(incident_id=incident.id, what="opened", severity="critical")
        notices.queue(
            db, [NewNotice(contact_id=contact.id, kind="single", items=(item,), due_at=now, dedupe_key="k")], now=now
        )
    url = f"/incidents/{incident.id}"

    html = site.signed_in("technician").get(url).text

    assert re.findall(r'href="/runs/(\d+)"', html) == ["1"]  # on that device, in the hour before, and not a dry run
    assert html.count('class="day-head"') == 2
    page = text_of(site, url)
    assert page.index("Seen before") < page.index("under way within the hour before") < page.rindex("Noticed")
    assert page.count("karim") == 2  # in the story, as one who waits for it, and among those who are told
    assert "Device no longer answers 5" in page
    assert 'href="/runs/1"' not in site.signed_in("staff", annex="berkane-1").get(url).text
