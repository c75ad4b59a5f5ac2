"""Contacts and notices as programs see them."""

import re

import pytest
from tests.controller.notify.bureau import EVERYTHING
from tests.controller.site import Site

from annexfleet_controller.notify.outcome import permanent, sent
from annexfleet_controller.notify.send import Sender
from annexfleet_controller.store import annexes, audit, contacts
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE

NEW = {
    "name": "Amina", "kind": "email", "address": "amina@example.ma", "language": "ar",
    "routes": [
        {"audiences": ["it", "staff"], "annexes": ["berkane-1"], "hours": "opening"},
        {"audiences": ["it"], "level": 1, "after_minutes": 30, "hours": "custom",
         "week": {"monday": [["08:30", "12:00"]]}, "critical_always": False, "min_severity": "critical"},
    ],
}  # fmt: skip
KEY = "3ccdd113474722377935511fc85d3dd4"


@pytest.fixture
def site(site: Site) -> Site:
    with writing(site.engine) as db:
        annexes.create(db, "berkane-1", name_fr="Annexe 1", name_ar="الملحقة 1", now=site.clock.now())
    return site


def test_a_contact_comes_back_as_it_was_given(site: Site):
    client = site.signed_in("operator")

    made = client.post("/api/v1/contacts", json=NEW)

    assert made.status_code == 201
    (first, second) = made.json()["routes"]
    assert (first["audiences"], first["annexes"], first["hours"]) == (["staff", "it"], ["berkane-1"], "opening")
    assert (second["level"], second["after_minutes"], second["critical_always"]) == (1, 30.0, False)
    assert second["week"] == {"monday": [["08:30", "12:00"]]}
    assert second["annexes"] is None
    assert made.json()["created_by"] == "operator-province"
    assert client.get("/api/v1/contacts").json()["items"] == [made.json()]
    assert client.get(f"/api/v1/contacts/{made.json()['id']}").json() == made.json()


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"name": " "}, "name", "missing"),
        ({"name": "x" * 121}, "name", "too_long"),
        ({"name": "a\0b"}, "name", "not_understood"),
        ({"name": "Amina \u202egnp"}, "name", "not_understood"),
        ({"kind": "pigeon"}, "kind", "unknown"),
        ({"address": ""}, "address", "missing"),
        ({"address": "amina"}, "address", "not_understood"),
        ({"address": "a@example.ma\n"}, None, None),
        ({"address": "a@exa\nmple.ma"}, "address", "not_understood"),
        ({"kind": "chat", "address": "dbus://"}, "address", "not_understood"),
        ({"kind": "webhook", "address": "https://example.ma/", "secret": "short"}, "secret", "too_short"),
        ({"language": "de"}, "language", "unknown"),
        ({"routes": [{"audiences": []}]}, "routes.0.audiences", "missing"),
        ({"routes": [{"audiences": ["mayor"]}]}, "routes.0.audiences", "unknown"),
        ({"routes": [{"audiences": ["it"], "annexes": []}]}, "routes.0.annexes", "missing"),
        ({"routes": [{"audiences": ["it"], "hours": "custom"}]}, "routes.0.week", "missing"),
        ({"routes": [{"audiences": ["it"], "hours": "custom", "week": {"monday": [["9", "x"]]}}]}, "routes.0.week",
         "not_understood"),
        ({"routes": [{"audiences": ["it"], "level": 1}]}, "routes.0.after_minutes", "missing"),
        ({"routes": [{"audiences": ["it"], "level": 99, "after_minutes": 1}]}, "routes.0.level", "not_understood"),
        ({"routes": [{"audiences": ["it"], "min_severity": "bad"}]}, "routes.0.min_severity", "unknown"),
        ({"routes": [{"audiences": ["it"]}] * 21}, "routes", "too_many"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_contact_is_refused_with_the_field(site: Site, change, field, reason):
    answer = site.signed_in("operator").post("/api/v1/contacts", json=NEW | change)

    if field is None:
        assert answer.status_code == 201
        return
    assert (answer.status_code, answer.json()["code"]) == (422, "contact_wrong")
    assert (answer.json()["field"], answer.json()["reason"]) == (field, reason)


def test_a_route_to_an_annex_that_does_not_exist_is_refused(site: Site):
    client = site.signed_in("operator")
    wrong = NEW | {"routes": [{"audiences": ["it"], "annexes": ["nowhere"]}]}

    assert client.post("/api/v1/contacts", json=wrong).status_code == 404
    assert client.get("/api/v1/contacts").json()["items"] == []


def test_an_address_with_a_key_is_never_shown_again(site: Site):
    client = site.signed_in("operator")
    chat = {"name": "team", "kind": "chat", "address": f"mmost://chat.example.ma/{KEY}", "routes": []}
    made = client.post("/api/v1/contacts", json=chat).json()

    changed = client.put(
        f"/api/v1/contacts/{made['id']}", json=chat | {"name": "Team", "address": "", "version": 1}
    ).json()

    assert made["address"] == changed["address"] == "mmost://…"
    assert changed["name"] == "Team"
    shown = client.get("/api/v1/contacts").text + client.get(f"/admin/contacts/{made['id']}").text
    assert KEY not in shown + client.get("/admin/contacts").text
    with reading(site.engine) as db:
        assert contacts.get(db, made["id"]).address == chat["address"]


def test_a_webhooks_secret_is_shown_once_and_kept(site: Site):
    client = site.signed_in("operator")
    hook = {"name": "tickets", "kind": "webhook", "address": "https://tickets.example.ma/x"}
    made = client.post("/api/v1/contacts", json=hook).json()
    assert len(made["secret"]) >= 40

    assert client.get(f"/api/v1/contacts/{made['id']}").json()["secret"] is None
    client.put(f"/api/v1/contacts/{made['id']}", json=hook | {"version": 1})
    with reading(site.engine) as db:
        assert contacts.get(db, made["id"]).secret == made["secret"]


def test_another_kind_does_not_inherit_address_or_secret(site: Site):
    client = site.signed_in("operator")
    made = client.post("/api/v1/contacts", json=NEW).json()

    answer = client.put(f"/api/v1/contacts/{made['id']}", json=NEW | {"kind": "sms", "address": "", "version": 1})

    assert answer.json()["field"] == "address"


def test_a_test_message_goes_the_way_of_every_notice(site: Site):
    client = site.signed_in("operator")
    contact_id = client.post("/api/v1/contacts", json=NEW).json()["id"]

    queued = client.post(f"/api/v1/contacts/{contact_id}/test")
    assert (queued.status_code, queued.json()["state"], queued.json()["kind"]) == (202, "queued", "test")
    Sender(site.engine, site.home.settings, clock=site.clock, deliver=lambda *_, **__: sent()).step()

    assert client.get(f"/api/v1/notices/{queued.json()['id']}").json()["state"] == "sent"
    assert client.get(f"/api/v1/contacts/{contact_id}").json()["verified_at"] is not None
    changed = client.put(f"/api/v1/contacts/{contact_id}", json=NEW | {"address": "other@example.ma", "version": 1})
    assert changed.json()["verified_at"] is None


def test_failures_are_shown_and_can_be_tried_again(site: Site):
    client = site.signed_in("operator")
    contact_id = client.post("/api/v1/contacts", json=NEW).json()["id"]
    notice_id = client.post(f"/api/v1/contacts/{contact_id}/test").json()["id"]
    refuses = Sender(site.engine, site.home.settings, clock=site.clock,
                     deliver=lambda *_, **__: permanent("unauthorised", "SMTP 535"))  # fmt: skip
    refuses.step()

    failed = client.get("/api/v1/notices?state=failed").json()["items"]
    assert [(one["id"], one["reason"], one["detail"]) for one in failed] == [(notice_id, "unauthorised", "SMTP 535")]
    assert client.get(f"/api/v1/contacts/{contact_id}").json()["failing"]["reason"] == "unauthorised"
    page = client.get("/admin/contacts").text
    assert "Refused the name, password or key" in page
    assert f'action="/admin/notices/{notice_id}/retry"' in page

    assert client.post(f"/api/v1/notices/{notice_id}/retry").json()["state"] == "queued"
    Sender(site.engine, site.home.settings, clock=site.clock, deliver=lambda *_, **__: sent()).step()
    assert client.get("/api/v1/notices?state=failed").json()["items"] == []
    assert client.post(f"/api/v1/notices/{notice_id}/retry").json()["code"] == "notice_overtaken"


def test_notices_come_in_pages(site: Site):
    client = site.signed_in("operator")
    contact_id = client.post("/api/v1/contacts", json=NEW).json()["id"]
    made = [client.post(f"/api/v1/contacts/{contact_id}/test").json()["id"] for _ in range(3)]

    first = client.get("/api/v1/notices?limit=2").json()
    second = client.get(f"/api/v1/notices?limit=2&contact={contact_id}&cursor={first['next']}").json()

    assert [one["id"] for one in first["items"] + second["items"]] == made[::-1]
    assert second["next"] is None
    assert client.get("/api/v1/notices?cursor=nonsense").status_code == 422


def test_who_may_no_longer_come_in_hears_nothing_more(site: Site):
    from annexfleet_controller.access import users
    from annexfleet_controller.notify import book

    client = site.signed_in("operator")
    site.signed_in("technician", name="youssef")
    client.post("/api/v1/contacts", json=NEW | {"user": "youssef"})
    assert client.post("/api/v1/contacts", json=NEW | {"user": "nobody"}).status_code == 404
    with reading(site.engine) as db:
        assert len(book.receivers(db)) == 1

    users.disable(site.engine, "youssef", now=site.clock.now())

    with reading(site.engine) as db:
        assert book.receivers(db) == []


def test_nobody_writes_over_what_they_did_not_read(site: Site):
    client = site.signed_in("operator")
    made = client.post("/api/v1/contacts", json=NEW).json()
    address = f"/api/v1/contacts/{made['id']}"

    assert client.get(address).headers["ETag"] == '"1"'
    assert client.put(address, json=NEW).status_code == 428
    changed = client.put(address, json=NEW | {"name": "Amina B."}, headers={"If-Match": '"1"'})
    assert (changed.json()["version"], changed.headers["ETag"]) == (2, '"2"')
    late = client.put(address, json=NEW | {"version": 1})
    assert (late.status_code, late.json()["code"], late.json()["version"]) == (409, "setting_changed", 2)
    assert client.delete(address, headers={"If-Match": '"1"'}).status_code == 409
    assert client.delete(address, headers={"If-Match": '"2"'}).status_code == 204

    with reading(site.engine) as db:
        told = [(entry.act, entry.facts) for entry in audit.entries(db, WHOLE)]
    assert told == [("contact.remove", {}), ("contact.change", {}), ("contact.create", {})]


# -- pages


def test_a_contact_is_made_and_changed_by_forms_alone(site: Site):
    client = site.signed_in("operator")
    form = {
        "name": "Amina", "kind": "email", "address": "amina@example.ma", "language": "ar", "enabled": "1",
        "route0_audiences": ["it", "staff"], "route0_min_severity": "warning", "route0_hours": "custom",
        "route0_monday": "08:30-12:00 14:00-18:30", "route0_annexes": ["berkane-1"], "route0_level": "0",
        "route3_audiences": ["it"], "route3_min_severity": "critical", "route3_hours": "always", "route3_level": "1",
        "route3_after_minutes": "45", "route3_critical_always": "1",
    }  # fmt: skip

    made = client.post("/admin/contacts", data=form)
    assert made.status_code == 303
    shown = client.get(made.headers["location"]).text
    assert 'value="08:30-12:00 14:00-18:30"' in shown
    assert 'value="45"' in shown
    (contact,) = client.get("/api/v1/contacts").json()["items"]
    assert [route["level"] for route in contact["routes"]] == [0, 1]
    assert contact["routes"][0]["critical_always"] is False

    form |= {"address": "", "name": "Amina B."}
    assert client.post(f"/admin/contacts/{contact['id']}", data=form).status_code == 409, "it says no version"
    form["version"] = "1"
    del form["route3_audiences"], form["enabled"]
    assert client.post(f"/admin/contacts/{contact['id']}", data=form).status_code == 303
    changed = client.get(f"/api/v1/contacts/{contact['id']}").json()
    assert (changed["name"], changed["enabled"], len(changed["routes"])) == ("Amina B.", False, 1)
    assert "Switched off" in client.get("/admin/contacts").text

    assert client.post(f"/admin/contacts/{contact['id']}/test").status_code == 303
    assert "Waiting" in client.get(f"/admin/contacts/{contact['id']}").text
    assert client.post(f"/admin/contacts/{contact['id']}/remove").status_code == 303
    assert client.get("/api/v1/contacts").json()["items"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"address": "amina"}, {"route0_level": "x"}, {"route0_monday": "soon", "route0_hours": "custom"},
        {"route0_annexes": ["nowhere"]}, {"kind": "pigeon"},
    ],
)  # fmt: skip
def test_a_form_that_is_wrong_comes_back_with_what_was_typed_and_stores_nothing(site: Site, change):
    client = site.signed_in("operator")
    form = {"name": "Amina <b>", "kind": "email", "address": "amina@example.ma", "language": "ar",
            "route0_audiences": ["it"], "route0_min_severity": "warning", "route0_hours": "always"}  # fmt: skip

    answer = client.post("/admin/contacts", data=form | change)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "Amina &lt;b&gt;" in answer.text
    assert client.get("/api/v1/contacts").json()["items"] == []


def test_a_contact_is_given_to_an_account_by_its_name(site: Site):
    client = site.signed_in("operator")
    site.signed_in("technician", name="youssef")
    form = {"name": "Youssef", "kind": "email", "address": "y@example.ma", "language": "ar", "user": " youssef "}

    wrong = client.post("/admin/contacts", data=form | {"user": "nobody"})
    page = client.post("/admin/contacts", data=form).headers["location"]

    assert (wrong.status_code, 'value="nobody"' in wrong.text) == (422, True)
    assert 'name="user" value="youssef"' in client.get(page).text
    assert "Youssef" in site.signed_in("technician", name="youssef").get("/account/notices").text
    form |= {"address": "", "version": "1"}
    del form["user"]
    client.post(page, data=form)
    assert 'value="youssef"' in client.get(page).text, "a form that says nothing of it changes nothing of it"
    client.post(page, data=form | {"user": "", "version": "2"})
    assert 'value="youssef"' not in client.get(page).text


def test_a_contact_is_taken_back_by_a_button(site: Site):
    client = site.signed_in("operator")
    form = {"name": "Amina", "kind": "email", "address": "amina@example.ma", "language": "ar"}
    page = client.post("/admin/contacts", data=form).headers["location"]

    client.post(f"{page}/remove")
    undo = re.search(r'action="(/admin/undo/\d+)"', client.get("/admin/contacts").text)
    assert undo is not None
    assert client.post(undo[1]).headers["location"] == page
    assert "Amina" in client.get(page).text
    made = re.search(r'action="(/admin/undo/\d+)"', client.get(page).text)
    assert made is None, "the last act was taken back already"


def test_the_secret_of_a_webhook_is_shown_on_the_page_that_made_it(site: Site):
    client = site.signed_in("operator")
    form = {"name": "tickets", "kind": "webhook", "address": "https://tickets.example.ma/x", "language": "fr"}

    made = client.post("/admin/contacts", data=form)

    assert made.status_code == 201
    with reading(site.engine) as db:
        (contact,) = contacts.listing(db)
    assert contact.secret in made.text
    assert contact.secret not in client.get(f"/admin/contacts/{contact.id}").text


def test_a_failed_notice_is_tried_again_from_the_page(site: Site):
    client = site.signed_in("operator")
    with writing(site.engine) as db:
        new = contacts.NewContact(name="x", kind="email", address="x@example.ma", language="fr")
        contact_id = contacts.create(db, new, [EVERYTHING], by="t", now=site.clock.now()).id
    notice_id = client.post(f"/api/v1/contacts/{contact_id}/test").json()["id"]
    Sender(site.engine, site.home.settings, clock=site.clock, deliver=lambda *_, **__: permanent("refused")).step()

    assert client.post(f"/admin/notices/{notice_id}/retry").headers["location"] == f"/admin/contacts/{contact_id}"
    assert client.get(f"/api/v1/notices/{notice_id}").json()["state"] == "queued"


def test_what_a_database_refuses_is_not_repeated_in_the_log(site: Site, caplog: pytest.LogCaptureFixture):
    with site.engine.begin() as db:
        db.exec_driver_sql("ALTER TABLE contact RENAME TO gone")
    hook = {"name": "tickets", "kind": "webhook", "address": f"https://tickets.example.ma/{KEY}", "secret": KEY * 2}

    answer = site.signed_in().post("/api/v1/contacts", json=hook)

    assert answer.status_code == 503
    assert "database unavailable" in caplog.text
    assert KEY not in caplog.text + answer.text
