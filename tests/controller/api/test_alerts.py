"""Alerts and incidents as programs see them and act on them."""

from datetime import UTC, datetime

import pytest
from msgspec import structs
from msgspec.structs import replace
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.controller.site import Site
from tests.controller.web import troubled
from tests.controller.web.standing import blocked

from annexfleet_controller.store import alerts as stored
from annexfleet_controller.store import contacts, incidents, notices, readiness
from annexfleet_controller.store.contacts import NewContact, NewRoute
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.notices import Contact
from annexfleet_controller.store.tables.talk import Pulse as PulseRow
from annexfleet_controller.things import Incident

ALERTS, INCIDENTS = "/api/v1/alerts", "/api/v1/incidents"


@pytest.fixture
def trouble(site: Site) -> tuple[Incident, Incident]:
    """A jam in the first annex, a line cut in the second."""
    with writing(site.engine) as db:
        return troubled.two_annexes(db, now=site.clock.now())


def pulses(site: Site) -> list[str]:
    with reading(site.engine) as db:
        return list(db.scalars(select(PulseRow.annexes).order_by(PulseRow.id)))


def story(site: Site, incident: Incident) -> list[tuple[str, str]]:
    with reading(site.engine) as db:
        return [(line.kind, line.by) for line in incidents.story(db, incident.id)]


# -- alerts


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 5), ("?annex=berkane-1", 1), ("?rule=device.offline", 3), ("?severity=critical", 2),
        (f"?thing=printer:{troubled.PRINTER.id}", 1), ("?acknowledged=true", 0), ("?acknowledged=false", 5),
        ("?search=guichet-16", 1), ("?search=%25", 0), ("?state=cleared", 0), ("?state=pending", 0), ("?state=all", 5),
    ],
)  # fmt: skip
def test_alerts_are_found_by_what_they_are(site: Site, trouble: object, query: str, count: int):
    assert len(site.signed_in("staff").get(ALERTS + query).json()["items"]) == count


def test_an_alert_tells_in_the_callers_language_what_to_do(site: Site, trouble: object):
    client = site.signed_in("staff", annex="berkane-1")

    (english,) = client.get(ALERTS).json()["items"]
    client.post("/language", data={"code": "ar"})
    (arabic,) = client.get(ALERTS).json()["items"]

    assert english["title"] == "Paper jam (guichet-hp)"
    assert english["action"]
    assert arabic["title"] != english["title"]
    assert "guichet-hp" in arabic["title"]
    assert client.get(f"{ALERTS}/{english['id']}").json() == arabic


@pytest.mark.parametrize("state", ["open", "all"])
def test_alerts_come_in_pages_that_miss_none(site: Site, trouble: object, state: str):
    client, seen, cursor = site.signed_in(), [], ""
    with writing(site.engine) as db:
        troubled.alert(db, "cpu.high", "device", "d-1", now=site.clock.now(), state="pending", opened_at=None)
    while cursor is not None:
        page = client.get(f"{ALERTS}?state={state}&limit=2&cursor={cursor}").json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]

    assert len(seen) == len(set(seen)) == (6 if state == "all" else 5)


@pytest.mark.parametrize("query", ["cursor=x", "thing=x", "thing=moon:1", "state=x", "severity=x", "limit=0"])
def test_a_question_that_cannot_be_is_refused(site: Site, query: str):
    assert site.signed_in().get(f"{ALERTS}?{query}").status_code == 422


def test_alerts_of_other_annexes_are_not_there(site: Site, trouble: tuple[Incident, Incident]):
    with reading(site.engine) as db:
        theirs = stored.of_incident(db, trouble[1].id)[0].id
    client = site.signed_in("technician", annex="berkane-1")

    assert {alert["annex"] for alert in client.get(ALERTS).json()["items"]} == {"berkane-1"}
    assert client.get(f"{ALERTS}/{theirs}").status_code == 404
    refused = client.post(f"{ALERTS}/acknowledge", json={"ids": [theirs]})
    assert (refused.status_code, refused.json()["code"]) == (404, "alert_unknown")
    assert client.post(f"{ALERTS}/withdraw", json={"ids": [theirs]}).status_code == 404


def test_alerts_are_taken_in_charge_together_and_open_pages_hear_of_it(site: Site, trouble: tuple[Incident, Incident]):
    client = site.signed_in("technician", name="amina")
    ids = [alert["id"] for alert in client.get(f"{ALERTS}?annex=berkane-2").json()["items"]]

    answer = client.post(f"{ALERTS}/acknowledge", json={"ids": ids, "note": "On my way"})

    assert {(item["acknowledged_by"], item["note"]) for item in answer.json()["items"]} == {("amina", "On my way")}
    assert pulses(site) == ['{"berkane-2":"ai"}']
    assert story(site, trouble[1])[-1] == ("acknowledged", "amina")
    assert client.get(f"{INCIDENTS}/{trouble[1].id}").json()["acknowledged_by"] == "amina"  # its cause is in charge


def test_an_effect_in_charge_leaves_the_incident_free(site: Site, trouble: tuple[Incident, Incident]):
    client = site.signed_in("technician")
    effect = client.get(f"{ALERTS}?rule=device.offline").json()["items"][0]["id"]

    client.post(f"{ALERTS}/acknowledge", json={"ids": [effect]})

    assert client.get(f"{INCIDENTS}/{trouble[1].id}").json()["acknowledged_by"] == ""


def test_two_who_take_the_same_alert_get_a_clear_answer(site: Site, trouble: object):
    first, second = site.signed_in("technician", name="amina"), site.signed_in("technician", name="said")
    ids = [alert["id"] for alert in first.get(f"{ALERTS}?annex=berkane-1").json()["items"]]
    first.post(f"{ALERTS}/acknowledge", json={"ids": ids})

    again = first.post(f"{ALERTS}/acknowledge", json={"ids": ids})
    late = second.post(f"{ALERTS}/acknowledge", json={"ids": ids})

    assert again.status_code == 200
    assert late.status_code == 409
    assert (late.json()["code"], late.json()["other"]) == ("already_acknowledged", "amina")


def test_alerts_are_handed_back_and_free_the_incident(site: Site, trouble: tuple[Incident, Incident]):
    client = site.signed_in("technician", name="amina")
    ids = [alert["id"] for alert in client.get(f"{ALERTS}?annex=berkane-1").json()["items"]]
    client.post(f"{ALERTS}/acknowledge", json={"ids": ids})

    (alert,) = client.post(f"{ALERTS}/withdraw", json={"ids": ids}).json()["items"]

    assert (alert["acknowledged_by"], alert["acknowledged_at"]) == ("", None)
    assert client.get(f"{INCIDENTS}/{trouble[0].id}").json()["acknowledged_at"] is None
    assert [kind for kind, _ in story(site, trouble[0])] == ["opened", "acknowledged", "handed_back"]


def test_what_has_cleared_is_not_taken_in_charge(site: Site, trouble: object):
    with writing(site.engine) as db:
        old = troubled.alert(db, "cpu.high", "device", "d-1", now=site.clock.now(), state="cleared")

    refused = site.signed_in().post(f"{ALERTS}/acknowledge", json={"ids": [old.id]})

    assert (refused.status_code, refused.json()["code"]) == (409, "already_over")


def test_a_repeat_with_a_key_does_nothing(site: Site, trouble: tuple[Incident, Incident]):
    client = site.signed_in("technician")
    url, body, key = f"{INCIDENTS}/{trouble[0].id}/note", {"note": "Spare part ordered"}, {"Idempotency-Key": "k1"}

    answers = [client.post(url, json=body, headers=key) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert len(story(site, trouble[0])) == 2
    assert client.post(url, json={"note": "Other"}, headers=key).status_code == 409


# -- incidents


def test_incidents_are_ranked_and_say_why(site: Site, trouble: object):
    first, second = site.signed_in().get(INCIDENTS).json()["items"]

    assert first["rank"]["reason"] == "12 people waiting, 2 services blocked, for 14 min of opening time"
    assert second["rank"]["reason"] == "about 5 people waiting, 1 service blocked, for 14 min of opening time"
    assert first["rank"]["score"] > second["rank"]["score"]
    assert second["rank"]["people_estimated"]


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("", ["printer", "line_cut", "device"]), ("?annex=berkane-2", ["line_cut"]), ("?kind=device", ["device"]),
        ("?state=resolved", ["printer"]), ("?state=all", ["printer", "line_cut", "printer", "device"]),
    ],
)  # fmt: skip
def test_incidents_are_found_in_pages_in_their_order(site: Site, trouble: object, query: str, kinds: list[str]):
    now = site.clock.now()
    with writing(site.engine) as db:
        of = troubled.alert(db, "device.offline", "device", "d-1", now=now, cause="device_offline")
        troubled.incident(db, "device", "device_offline", [of], now=now)
        if "state" in query:
            over = {"state": "resolved", "resolved_at": now}
            of = troubled.alert(db, "printer.blocked", "printer", "old", now=now, state="cleared", cause="paper_jam")
            troubled.incident(db, "printer", "paper_jam", [of], now=now, **over)
    client, seen, cursor = site.signed_in(), [], ""

    while cursor is not None:
        page = client.get(f"{INCIDENTS}{query}{'&' if query else '?'}limit=1&cursor={cursor}").json()
        seen += [item["kind"] for item in page["items"]]
        cursor = page["next"]

    assert seen == kinds


def test_an_incident_tells_everything_that_belongs_to_it(site: Site, trouble: tuple[Incident, Incident]):
    now, jam = site.clock.now(), trouble[0]
    with writing(site.engine) as db:
        readiness.write_now(db, {"berkane-1": blocked("berkane-1")}, now=now)
        db.add(
            Contact(name="Amina", kind="email", address="a@example.ma", language="fr", created_at=now, created_by="x")
        )
        db.flush()
        item = notices.NewItem(incident_id=jam.id, what="opened", severity="critical")
        notices.queue(
            db, [notices.NewNotice(contact_id=1, kind="opened", items=(item,), due_at=now, dedupe_key="1")], now=now
        )
    client = site.signed_in()

    of_jam, of_cut = (client.get(f"{INCIDENTS}/{one.id}").json() for one in trouble)

    assert [alert["rule"] for alert in of_cut["causes"]] == ["annex.link_down"]
    assert [alert["rule"] for alert in of_cut["effects"]] == ["device.offline"] * 3
    assert [repair["title"] for remedy in of_jam["remedies"] for repair in remedy["repairs"]] == [
        "Out of paper (guichet-hp)"
    ]
    assert of_cut["remedies"] == []
    assert of_jam["remedies"][0]["restores"] == ["Civil status", "Residence certificate"]
    assert [(one["contact"], one["channel"], one["state"]) for one in of_jam["told"]] == [("Amina", "email", "queued")]
    assert [(line["kind"], line["text"]) for line in of_jam["story"]] == [("opened", "Paper jam (guichet-hp)")]
    assert of_jam["fix"]["outcome"] is None
    assert "a@example.ma" not in str(of_jam)


def test_an_incident_is_taken_in_charge_with_its_alerts(site: Site, trouble: tuple[Incident, Incident]):
    client, url = site.signed_in("technician", name="amina"), f"{INCIDENTS}/{trouble[1].id}"

    answer = client.post(f"{url}/acknowledge", json={"note": "The provider knows"})

    assert (answer.status_code, answer.json()["acknowledged_by"]) == (200, "amina")
    detail = client.get(url).json()
    assert {alert["acknowledged_by"] for alert in (*detail["causes"], *detail["effects"])} == {"amina"}
    assert [(line["kind"], line["by"], line["text"]) for line in detail["story"]][1:] == [
        ("acknowledged", "amina", "The provider knows")
    ]
    assert pulses(site) == ['{"berkane-2":"ai"}']
    assert client.post(f"{url}/acknowledge").status_code == 200  # again: nothing new
    assert len(story(site, trouble[1])) == 2


def test_only_one_of_two_people_takes_an_incident(site: Site, trouble: tuple[Incident, Incident]):
    url = f"{INCIDENTS}/{trouble[0].id}"
    site.signed_in("technician", name="amina").post(f"{url}/acknowledge")
    late = site.signed_in("technician", name="said").post(f"{url}/acknowledge")

    assert (late.status_code, late.json()["other"]) == (409, "amina")
    assert site.signed_in().get(url).json()["acknowledged_by"] == "amina"


def test_an_incident_is_handed_back_with_its_alerts(site: Site, trouble: tuple[Incident, Incident]):
    client, url = site.signed_in("technician", name="amina"), f"{INCIDENTS}/{trouble[0].id}"
    client.post(f"{url}/acknowledge")

    assert client.post(f"{url}/withdraw").json()["acknowledged_at"] is None
    assert client.post(f"{url}/withdraw").status_code == 200
    assert client.get(url).json()["causes"][0]["acknowledged_by"] == ""
    assert [kind for kind, _ in story(site, trouble[0])] == ["opened", "acknowledged", "handed_back"]


def test_what_is_over_is_noted_but_not_taken_in_charge(site: Site, trouble: tuple[Incident, Incident]):
    with writing(site.engine) as db:
        over = incidents.by_ids(db, [trouble[0].id])[0]
        incidents.save(db, [structs.replace(over, state="resolved", resolved_at=site.clock.now())])
    client, url = site.signed_in("technician"), f"{INCIDENTS}/{trouble[0].id}"

    assert [client.post(f"{url}/{act}").json()["code"] for act in ("acknowledge", "withdraw", "help")] == [
        "already_over"
    ] * 3
    assert client.post(f"{url}/note", json={"note": "It was a paper clip"}).status_code == 200


@pytest.mark.parametrize(("note", "status"), [("", 422), ("   ", 422), ("x" * 1001, 422), ("x" * 1000, 200)])
def test_a_note_says_something_and_not_too_much(site: Site, trouble: tuple[Incident, Incident], note: str, status: int):
    url = f"{INCIDENTS}/{trouble[0].id}/note"
    assert site.signed_in().post(url, json={"note": note}).status_code == status


def test_staff_ask_for_help_and_everybody_sees_it(site: Site, trouble: tuple[Incident, Incident]):
    url, staff = f"{INCIDENTS}/{trouble[0].id}", site.signed_in("staff", annex="berkane-1", name="karim")

    for _ in range(2):
        assert staff.post(f"{url}/help").json()["help_asked_by"] == "karim"

    assert [kind for kind, _ in story(site, trouble[0])] == ["opened", "help_asked"]
    assert site.signed_in().get(INCIDENTS).json()["items"][0]["help_asked_by"] == "karim"
    assert pulses(site) == ['{"berkane-1":"ai"}']
    assert [staff.post(f"{url}/{act}").status_code for act in ("acknowledge", "withdraw")] == [403, 403]
    assert staff.post(f"{url}/note", json={"note": "x"}).status_code == 403


def contact(db: Session, name: str, **changes: object) -> None:
    route = replace(
        NewRoute(audiences="technician,it", annexes=None, min_severity="critical", hours="always"), **changes
    )
    contacts.create(
        db, NewContact(name=name, kind="email", address=f"{name}@example.ma", language="fr"), [route], by="test",
        now=datetime.now(UTC),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ["Nobody can be told: no contact is set for this annex; please phone", "1 person was told",
                "2 people were told"]),
        ("fr", ["Personne ne peut être averti : aucun contact n’est défini pour cette annexe ; veuillez téléphoner",
                "1 personne a été avertie", "2 personnes ont été averties"]),
        ("ar", ["يتعذر إشعار أي شخص: لم يتم تحديد أي جهة اتصال لهذه الملحقة؛ المرجو الاتصال هاتفيا",
                "تم إشعار شخص واحد", "تم إشعار شخصين"]),
    ],
)  # fmt: skip
def test_who_asks_for_help_hears_how_many_were_told(
    site: Site, trouble: tuple[Incident, Incident], language: str, texts: list[str]
):
    url, answers = f"{INCIDENTS}/{trouble[0].id}/help", []
    for count, name in enumerate(("karim", "salma", "nadia")):
        staff = site.signed_in("staff", annex="berkane-1", name=name)
        staff.post("/language", data={"code": language})
        if count:
            with writing(site.engine) as db:
                contact(db, f"contact-{count}")
                contact(db, f"elsewhere-{count}", annexes='["berkane-2"]', annex_ids=("berkane-2",))
        answers.append(staff.post(url, json={"note": "It smells of smoke"}).json())

    assert [one["told_text"].replace("\u202f", " ").replace("\xa0", " ") for one in answers] == texts
    assert [(one["people_told_count"], one["told_outcome"]) for one in answers] == [
        (0, "nobody"), (1, "told"), (2, "told"),
    ]  # fmt: skip
    with reading(site.engine) as db:
        notes = [line.facts.get("note") for line in incidents.story(db, trouble[0].id) if line.kind == "help_asked"]
    assert notes == ["It smells of smoke"] * 3


def test_a_call_for_help_that_is_sent_twice_is_one(site: Site, trouble: tuple[Incident, Incident]):
    with writing(site.engine) as db:
        contact(db, "amina")
    staff = site.signed_in("staff", annex="berkane-1")
    url, key = f"{INCIDENTS}/{trouble[0].id}/help", {"Idempotency-Key": "once"}

    first, second = (staff.post(url, headers=key).json() for _ in range(2))

    assert first == second
    assert first["people_told_count"] == 1
    assert staff.post(url, json={"note": "x" * 1001}).status_code == 422


def test_incidents_of_other_annexes_are_not_there(site: Site, trouble: tuple[Incident, Incident]):
    client, url = site.signed_in("technician", annex="berkane-1"), f"{INCIDENTS}/{trouble[1].id}"

    assert [item["annexes"] for item in client.get(INCIDENTS).json()["items"]] == [["berkane-1"]]
    assert client.get(url).status_code == 404
    acts = [(act, {"note": "x"} if act == "note" else None) for act in ("acknowledge", "withdraw", "note", "help")]
    assert {client.post(f"{url}/{act}", json=body).json()["code"] for act, body in acts} == {"incident_unknown"}


def test_what_holds_up_several_annexes_is_for_who_sees_them_all(site: Site, trouble: object):
    now = site.clock.now()
    with writing(site.engine) as db:
        of = [
            troubled.alert(
                db, "portal.down_global", "portal", "*/watiqa", "", now=now, severity="critical",
                cause="portal_down_everywhere", facts={"portal": "watiqa", "annexes": 2.0},
            ),
            *(
                troubled.alert(
                    db, "portal.down_local", "portal", f"berkane-{n}/watiqa", f"berkane-{n}", now=now,
                    cause="portal_down", facts={"portal": f"watiqa-{n}"},
                )
                for n in (1, 2)
            ),
        ]  # fmt: skip
        both = troubled.incident(
            db, "portal_down_everywhere", "portal_down_everywhere", of, "", now=now, annexes=("berkane-1", "berkane-2")
        )
        incidents.tell(
            db,
            [
                incidents.Told(both.id, now, "told", "Amina", {"what": "opened", "channel": "email"}),
                incidents.Told(
                    both.id, now, "alert_opened", "",
                    {"rule": "portal.down_local", "cause": "portal_down", "thing": "berkane-2/watiqa",
                     "thing_kind": "portal"},
                ),
            ],
        )  # fmt: skip
    near, all_of_it = site.signed_in("technician", annex="berkane-1"), site.signed_in("technician")
    url = f"{INCIDENTS}/{both.id}"

    seen = near.get(url).json()

    assert seen["annexes"] == ["berkane-1"]
    assert [alert["thing"]["id"] for alert in seen["effects"]] == ["berkane-1/watiqa"]
    assert [alert["thing"]["id"] for alert in seen["causes"]] == ["*/watiqa"]
    assert [line["kind"] for line in seen["story"]] == ["opened"]
    assert not seen["may_acknowledge"]
    assert near.post(f"{url}/acknowledge").status_code == 403
    assert near.post(f"{url}/note", json={"note": "Here too"}).status_code == 200
    assert len(all_of_it.get(url).json()["story"]) == 4
    assert all_of_it.post(f"{url}/acknowledge").status_code == 200
