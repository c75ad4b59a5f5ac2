"""Pages of alerts and incidents, as people in annexes and in the province meet them."""

import re
from datetime import timedelta

import pytest
from msgspec import structs
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, troubled
from tests.controller.web.standing import blocked
from tests.controller.web.test_pages import LANGUAGES, POLYGLOTS, Parsed

from annexfleet_controller.calendars.document import CalendarDocument
from annexfleet_controller.i18n.direction import plain
from annexfleet_controller.store import alerts, calendars, contacts, fixes, incidents, readiness
from annexfleet_controller.store.contacts import NewContact, NewRoute
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.things import Incident, Rank, Thing


@pytest.fixture
def trouble(site: Site) -> tuple[Incident, Incident]:
    """A jam in the first annex, a line cut in the second; somebody looked just now."""
    with writing(site.engine) as db:
        readiness.note(db, {}, now=site.clock.now())
        return troubled.two_annexes(db, now=site.clock.now())


def text_of(site: Site, path: str, role: str = "admin", annex: str = "") -> str:
    """What a page says, without the marks that keep strangers' words apart."""
    return plain(" ".join(Parsed(site.signed_in(role, annex=annex).get(path).text).text.split()))


# -- the list


def test_the_list_says_what_is_wrong_where_and_why_it_comes_first(site: Site, trouble: object):
    page = text_of(site, "/alerts")

    assert page.index("Paper jam (guichet-hp)") < page.index("No internet connection")
    for told in (
        "Critical", "Annexe administrative 1", "12 people waiting, 2 services blocked, for 14 min of opening time",
        "about 5 people waiting, 1 service blocked", "3 consequences", "(guichet-16)", "Nobody takes care of it yet",
        "Alerts 2 open incidents",
    ):  # fmt: skip
        assert told in page


def test_where_nothing_is_wrong_it_says_so_and_when_somebody_looked(site: Site):
    assert "Nobody has looked yet" in text_of(site, "/alerts")
    with writing(site.engine) as db:
        readiness.note(db, {}, now=site.clock.now())

    page = text_of(site, "/alerts")
    site.clock.turn(hours=2)
    later = text_of(site, "/alerts")

    assert "Nothing is wrong. Last look at" in page
    assert "Nobody has looked since" in later
    assert "Nothing is wrong" not in later


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", {"printer", "line_cut"}), ("?annex=berkane-2", {"line_cut"}), ("?kind=printer", {"printer"}),
        ("?severity=warning", set()), ("?free=true", {"printer"}), ("?limit=1", {"printer"}),
    ],
)  # fmt: skip
def test_the_list_is_narrowed(site: Site, trouble: tuple[Incident, Incident], query: str, shown: set[str]):
    with writing(site.engine) as db:
        incidents.acknowledge(db, trouble[1].id, by="said", now=site.clock.now())
    kinds = {incident.id: incident.kind for incident in trouble}

    page = site.signed_in().get(f"/alerts{query}").text

    assert {kinds[int(found)] for found in re.findall(r'id="incident-(\d+)"', page)} == shown
    assert ("No open incident is like that" in page) == (not shown)
    assert ("Next page" in page) == (query == "?limit=1")


def test_what_is_quiet_ended_helped_or_over_is_said_in_words(site: Site, trouble: tuple[Incident, Incident]):
    now, (jam, cut) = site.clock.now(), trouble
    with writing(site.engine) as db:
        incidents.save(db, [structs.replace(jam, muted=True), structs.replace(cut, ended_at=now)])
        incidents.tell(db, [Told(jam.id, now, "help_asked", "karim")])
        incidents.acknowledge(db, cut.id, by="amina", now=now)
        old = troubled.alert(db, "portal.slow", "portal", "berkane-1/x", now=now, state="cleared", cause="portal_slow")
        troubled.incident(db, "portal", "portal_slow", [old], now=now, state="resolved", resolved_at=now, ended_at=now)
        troubled.alert(db, "clock.skew", "device", "d-9", now=now, cause="clock_wrong", facts={"device": "guichet-9"})

    page = text_of(site, "/alerts")

    for told in (
        "Kept quiet by maintenance", "Help asked for (karim, ", "amina takes care of it since",
        "The cause has ended, what followed from it has not yet", "Alerts outside of incidents 1", "guichet-9",
        "Alerts 1 open incident",
    ):  # fmt: skip
        assert told in page
    assert "lasted 14 min" in text_of(site, "/alerts?state=over")


def test_all_that_is_ticked_is_taken_in_charge_without_a_script(site: Site, trouble: tuple[Incident, Incident]):
    client = site.signed_in("technician", name="amina")
    token = client.headers.pop("X-CSRF-Token")
    ids = [incident.id for incident in trouble]
    with writing(site.engine) as db:
        alone = troubled.alert(db, "cpu.high", "device", "d-9", now=site.clock.now(), cause="cpu_high")
        incidents.acknowledge(db, ids[1], by="said", now=site.clock.now())
    form = {"incident": ids, "alert": alone.id, "note": "On my way"}

    assert client.post("/alerts/acknowledge", data=form).status_code == 403  # not from our own page
    answer = client.post("/alerts/acknowledge", data={**form, "csrf_token": token})

    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts")
    with reading(site.engine) as db:
        assert [one.acknowledged_by for one in incidents.by_ids(db, ids)] == ["amina", "said"]
        assert alerts.by_ids(db, [alone.id])[0].note == "On my way"
        assert incidents.story(db, ids[0])[-1].facts == {"note": "On my way"}


def test_staff_see_alerts_and_no_button_to_take_them(site: Site, trouble: tuple[Incident, Incident]):
    client = site.signed_in("staff", annex="berkane-1")

    page = client.get("/alerts").text

    assert "Paper jam" in page
    assert "No internet connection" not in page
    assert "I take care of it" not in page
    assert client.post(f"/incidents/{trouble[0].id}/acknowledge").status_code == 403


def test_asked_by_htmx_only_the_list_or_the_number_comes(site: Site, trouble: object):
    client = site.signed_in()
    for target, begins in (("div#list", '<div id="list"'), ("span#alerts-count", '<span id="alerts-count"')):
        answer = client.get("/alerts", headers={"HX-Request": "true", "HX-Target": target})

        assert answer.text.strip().startswith(begins)
        assert "<html" not in answer.text


def test_where_notices_lead_is_the_list(site: Site):
    assert site.signed_in().get("/incidents").headers["location"] == "/alerts"


# -- one incident


def test_an_incident_says_what_it_is_what_to_do_and_what_was_done(site: Site, trouble: tuple[Incident, Incident]):
    now, jam = site.clock.now(), trouble[0]
    about = {"rule": "queue.long", "cause": "queue_long", "thing": "berkane-1/residence", "thing_kind": "queue"}
    with writing(site.engine) as db:
        readiness.write_now(db, {"berkane-1": blocked("berkane-1")}, now=now)
        incidents.tell(
            db,
            [
                Told(jam.id, now, "alert_opened", "", about),
                Told(jam.id, now, "noted", "amina", {"note": "Part ordered"}),
                Told(jam.id, now, "told", "Saïd", {"what": "opened", "channel": "sms"}),
                Told(jam.id, now, "cause_corrected", "", {"from": "line_cut", "to": "power_cut"}),
                Told(jam.id, now, "times_corrected", "", {"began_at": now.timestamp(), "ended_at": 1e300}),
                Told(jam.id, now, "acknowledged", "amina", {"alerts": 2.0}),
            ],
        )

    page = text_of(site, f"/incidents/{jam.id}")

    for told in (
        "Paper jam (guichet-hp)", "12 people waiting", "Annexe administrative 1", "What brings the services back",
        "Out of paper (guichet-hp)", "Civil status", "Many people are waiting", "Part ordered", "New, Text message",
        "Power cut, not Line cut", "Times corrected", "2 alerts", "Nobody was told.", "I take care of it",
    ):  # fmt: skip
        assert told in page


def test_an_incident_is_taken_handed_back_and_noted_by_forms(site: Site, trouble: tuple[Incident, Incident]):
    client, url = site.signed_in("technician", name="amina"), f"/incidents/{trouble[0].id}"

    for act, then in (("acknowledge", "amina takes care of it"), ("withdraw", "Nobody takes care of it yet")):
        assert client.post(f"{url}/{act}").headers["location"] == url
        assert then in text_of(site, url)
    client.post(f"{url}/note", data={"note": "Second drawer"})

    assert "Second drawer" in text_of(site, url)
    assert client.post(f"{url}/note", data={"note": " "}).status_code == 422
    assert client.get("/incidents/99").status_code == 404


def test_who_comes_second_reads_who_was_first(site: Site, trouble: tuple[Incident, Incident]):
    url = f"/incidents/{trouble[0].id}/acknowledge"
    site.signed_in("technician", name="amina").post(url)

    answer = site.signed_in("technician", name="said").post(url)

    assert answer.status_code == 409
    assert "Somebody was quicker: amina takes care of it." in Parsed(answer.text).text


def test_staff_say_that_it_is_fixed_or_ask_for_help(site: Site, trouble: tuple[Incident, Incident]):
    client, url = site.signed_in("staff", annex="berkane-1", name="karim"), f"/incidents/{trouble[0].id}"
    page = client.get(url).text
    assert f'action="{url}/fixed"' in page
    assert f'action="{url}/help"' in page
    assert "Add a note" not in page

    client.post(f"{url}/help")
    client.post(f"{url}/fixed")

    after = client.get(url).text
    assert "Help asked for (" in after
    assert f'action="{url}/help"' not in after
    with reading(site.engine) as db:
        assert fixes.of_incident(db, trouble[0].id) is not None


@pytest.mark.parametrize("hours", ["none", "always", "opening"])
def test_the_page_says_how_many_were_told_that_help_is_asked_for(
    site: Site, trouble: tuple[Incident, Incident], hours: str
):
    client, url = site.signed_in("staff", annex="berkane-1", name="karim"), f"/incidents/{trouble[0].id}"
    if hours != "none":
        closed, now = CalendarDocument(week=((),) * 7), site.clock.now()
        with writing(site.engine) as db:
            calendars.put(db, "berkane-1", closed, version=0, by="test", now=now)
            contacts.create(
                db, NewContact(name="amina", kind="email", address="amina@example.ma", language="fr"),
                [NewRoute(audiences="it", annexes=None, min_severity="critical", hours=hours,
                          critical_always=False)], by="test", now=now,
            )  # fmt: skip

    assert client.post(f"{url}/help", data={"note": "It smells of <b>smoke</b>"}).status_code == 303

    page = Parsed(client.get(url).text).text
    assert "It smells of <b>smoke</b>" in page
    assert {
        "none": "Nobody can be told: no contact is set for this annex; please phone",
        "always": "1 person was told",
        "opening": "Nobody can be told at this moment; if it cannot wait, please phone",
    }[hours] in page
    assert f'action="{url}/help"' not in client.get(url).text
    site.clock.turn(minutes=31)
    assert f'action="{url}/help"' in site.signed_in("staff", annex="berkane-1", name="nadia").get(url).text


def test_what_is_over_has_no_buttons_and_keeps_its_story(site: Site, trouble: tuple[Incident, Incident]):
    end = site.clock.now() - timedelta(minutes=4)
    with writing(site.engine) as db:
        incidents.save(db, [structs.replace(trouble[0], state="resolved", resolved_at=end, ended_at=end)])

    page = text_of(site, f"/incidents/{trouble[0].id}")

    assert "Resolved" in page
    assert "lasted 10 min" in page
    assert "Noticed" in page
    assert "I take care of it" not in page


def test_of_what_reaches_beyond_ones_annexes_the_rest_is_not_shown(site: Site, trouble: tuple[Incident, Incident]):
    with writing(site.engine) as db:
        incidents.save(db, [structs.replace(trouble[1], annex_id="", annexes=("berkane-1", "berkane-2"))])
    url = f"/incidents/{trouble[1].id}"

    page = text_of(site, url, "technician", "berkane-1")

    assert "It reaches beyond your annexes" in page
    assert "Annexe administrative 2" not in page
    assert "guichet-16" not in page
    assert "I take care of it" not in page


# -- above other pages


def test_what_is_open_stands_above_the_board_an_annex_and_a_device(site: Site, trouble: object):
    now = site.clock.now()
    with writing(site.engine) as db:
        places.device(db, 15, "berkane-2", now=now)
        places.device(db, 1, "berkane-1", now=now)

    board, annex, device = (text_of(site, path) for path in ("/", "/annexes/berkane-2", f"/devices/{device_id(15)}"))

    assert "Paper jam (guichet-hp)" in board
    assert "No internet connection" in board
    assert "No internet connection" in annex
    assert "Paper jam" not in annex
    assert "explained by: Line of an annex cut" in device
    assert "(guichet-15)" in device


# -- every state, every language, every name


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_state_in_every_language(site: Site, trouble: tuple[Incident, Incident], code: str):
    now = site.clock.now()
    with writing(site.engine) as db:
        for number, state in enumerate(("pending", "open", "cleared")):
            troubled.alert(
                db, "annex.cannot_serve", "annex", f"x-{number}", now=now, state=state, cause="annex_cannot_serve",
                facts={"services": "residence,etat-civil"}, flaps=3, muted_by=1, suppressed_by="annex.power_cut",
            )  # fmt: skip
        for people in (0, 1, 2, 5, 11, 100):
            of = troubled.alert(db, "disk.low", "device", f"d-{people}", now=now, cause="", severity="info")
            rank = Rank(people_waiting=people, services_blocked=("x",) * people, minutes=people)
            troubled.incident(db, "device", "", [of], now=now, rank=rank, muted=people == 5)
    client = site.signed_in()
    client.post("/language", data={"code": code})

    for path in ("/alerts", "/", "/annexes/berkane-1", *(f"/incidents/{number}" for number in range(1, 9))):
        answer = client.get(path)

        assert answer.status_code == 200
        assert f'<html lang="{code}"' in answer.text
        assert "%(" not in answer.text


@pytest.mark.parametrize("evil", POLYGLOTS)
def test_whatever_things_and_people_are_called_stays_text(site: Site, evil: str):
    now = site.clock.now()
    with writing(site.engine) as db:
        places.annex(db, 1, now)
        jam = troubled.jam(db, now=now, name=evil)
        of = alerts.of_incident(db, jam.id)
        alerts.save(
            db,
            [
                structs.replace(
                    of[0], id=0, is_effect=True, thing=Thing("queue", "berkane-1/x"), cause="queue_long",
                    facts={"service": evil, "device": evil}, incident_id=jam.id,
                )
            ],
        )  # fmt: skip
        incidents.tell(db, [Told(jam.id, now, "noted", evil, {"note": evil}), Told(jam.id, now, "help_asked", evil)])
        incidents.acknowledge(db, jam.id, by=evil, now=now)
    client = site.signed_in()

    for path in ("/alerts", f"/incidents/{jam.id}", "/", "/annexes/berkane-1"):
        page = client.get(path).text
        parsed = Parsed(page)

        assert "\u202e" not in page
        assert not [of for _, of in parsed.tags if any(name.lower().startswith("on") for name in of)]
        assert not [tag for tag, _ in parsed.tags if tag == "img"]
        assert [
            of for tag, of in parsed.tags if tag == "script" and not (of.get("src") or "").startswith("/static")
        ] == []
