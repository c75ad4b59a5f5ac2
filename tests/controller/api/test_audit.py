import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places
from tests.controller.web.test_pages import LANGUAGES, POLYGLOTS, Parsed

from annexfleet_controller.access import users
from annexfleet_controller.store import audit
from annexfleet_controller.store.database import reading, writing


@pytest.fixture
def place(site: Site) -> Site:
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
            places.device(db, number, f"berkane-{number}", now=site.clock.now())
    return site.with_authority()


def write(site: Site, **of: object) -> None:
    whole = {
        "now": site.clock.now(), "actor": "tech", "via": "session", "act": "run.create", "subject": "run:12",
        "facts": {"playbook": "packages", "check": True},
    }  # fmt: skip
    with writing(site.engine) as db:
        audit.add(db, **(whole | of))  # type: ignore[arg-type]


def test_entries_come_in_pages_the_newest_first(place: Site):
    for number in range(5):
        write(place, subject=f"run:{number}")
    client = place.signed_in("operator")

    first = client.get("/api/v1/audit?limit=3").json()
    second = client.get("/api/v1/audit", params={"limit": 3, "cursor": first["next"]}).json()

    assert [one["subject"] for one in (*first["items"], *second["items"])] == [f"run:{n}" for n in (4, 3, 2, 1, 0)]
    assert second["next"] is None
    assert first["items"][0]["facts"] == {"playbook": "packages", "check": True}
    assert client.get("/api/v1/audit?cursor=WyJ4Il0").status_code == 422


def test_who_is_confined_reads_only_of_their_annexes(place: Site):
    write(place)
    write(place, act="command.send", annex_id="berkane-1")
    write(place, act="command.send", annex_id="berkane-2")

    found = place.signed_in("operator", annex="berkane-1").get("/api/v1/audit").json()["items"]

    assert [one["annex"] for one in found] == ["berkane-1"]


def test_tokens_and_people_leave_entries_without_their_secrets(place: Site):
    client = place.signed_in("operator", name="boss")
    token = client.post("/api/v1/tokens", json={"annex": "berkane-1"}).json()
    client.delete(f"/api/v1/tokens/{token['id']}")
    now = place.clock.now()
    passwords = [users.create(place.engine, "karim", "staff", now=now, annex_ids=["berkane-2"], by="root")]
    passwords.append(users.reset(place.engine, "karim", now=now, by="root"))
    passwords.append(users.create_key(place.engine, "karim", "the wall", now=now, by="root"))
    users.disable(place.engine, "karim", now=now, by="root")

    told = client.get("/api/v1/audit")

    assert [(one["act"], one["actor"], one["subject"]) for one in reversed(told.json()["items"])] == [
        ("token.create", "boss", f"token:{token['id']}"),
        ("token.revoke", "boss", f"token:{token['id']}"),
        ("user.create", "root", "user:karim"),
        ("user.reset", "root", "user:karim"),
        ("key.create", "root", "user:karim"),
        ("user.disable", "root", "user:karim"),
    ]
    assert not any(secret in told.text for secret in (token["text"], *passwords))
    with reading(place.engine) as db:
        assert audit.verify(db) is None


def test_the_page_says_who_did_what_to_which_device(place: Site):
    write(place, act="command.send", subject=f"device:{device_id(1)}", annex_id="berkane-1",
          facts={"command": "reboot", "delay_s": 60})  # fmt: skip
    answer = place.signed_in("operator").get("/admin/audit")

    text = " ".join(Parsed(answer.text).text.split())
    assert "Sent a command" in text
    assert "Device guichet-1 Annexe administrative 1" in text
    assert "command Restart the device" in text
    assert f'href="/devices/{device_id(1)}"' in answer.text


def test_the_page_is_narrowed_and_says_when_nothing_is_left(place: Site):
    client = place.signed_in("operator")
    assert "Nothing has been done yet" in client.get("/admin/audit").text
    write(place)
    write(place, actor="boss", act="run.cancel", subject="run:13")

    assert "run.cancel" in (page := client.get("/admin/audit?actor=bos").text)
    assert "#2" in page
    assert "#1<" not in page
    assert "Nothing of that kind was done." in client.get("/admin/audit?subject=run:99").text


def test_the_page_leads_to_older_ones(place: Site):
    for number in range(103):
        write(place, subject=f"run:{number}")
    client = place.signed_in("operator")

    page = client.get("/admin/audit?act=run.create").text

    assert "/admin/audit?act=run.create&amp;before=4" in page
    assert "#3<" in client.get("/admin/audit?act=run.create&before=4").text


def test_the_page_in_every_language_and_a_name_is_a_name_and_nothing_else(place: Site):
    acts = ("run.create", "run.cancel", "command.send", "device.revoke", "token.create", "user.reset", "key.create")
    for act in acts:
        write(place, act=act, actor=POLYGLOTS[0], facts={"reason": POLYGLOTS[1], "role": "technician"})
    client = place.signed_in("operator")
    for code in LANGUAGES:
        client.post("/language", data={"code": code})

        page = client.get("/admin/audit")

        assert page.status_code == 200
        text = Parsed(page.text).text
        assert not [act for act in acts if act in text]
        assert POLYGLOTS[0] in text
        assert "<script>alert" not in page.text
