"""/account/notices: what was sent to whoever looks, whether it arrived, and how anything comes to be sent."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session
from tests.controller.site import Site
from tests.controller.web import places, troubled

from annexfleet_controller.store import contacts, notices, people
from annexfleet_controller.store.contacts import NewContact
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.notices import NewItem, NewNotice
from annexfleet_controller.store.tables.notices import NoticeItem, NoticeRow
from annexfleet_controller.store.tables.people import User
from annexfleet_controller.web.pages import own_notices


@pytest.fixture
def site(site: Site) -> Site:
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
    return site


def contact(db: Session, site: Site, address: str, **changes) -> int:
    new = NewContact(**{"name": address, "kind": "email", "address": address, "language": "fr"} | changes)
    return contacts.create(db, new, [], by="x", now=site.clock.now()).id


def tell(db: Session, site: Site, contact_id: int, *incident_ids: int, key: str = "k", **ended) -> int:
    items = tuple(NewItem(incident_id=one, what="opened", severity="critical") for one in incident_ids)
    kind = "opened" if items else "test"
    now = site.clock.now()
    new = NewNotice(contact_id=contact_id, kind=kind, items=items, due_at=now, dedupe_key=key)
    (notice_id,) = notices.queue(db, [new], now=now)
    if ended:
        db.execute(update(NoticeRow).where(NoticeRow.id == notice_id).values(ended_at=now, **ended))
    return notice_id


def mail(site: Site, name: str, email: str) -> None:
    with writing(site.engine) as db:
        db.execute(update(User).where(User.name == name).values(email=email))


def test_one_sees_what_was_sent_how_when_and_whether_it_arrived(site: Site):
    client = site.signed_in("technician", name="amina")
    with writing(site.engine) as db:
        mine = contact(db, site, "+212600000001", kind="sms", user_id=people.get(db, "amina").id)
        jam = troubled.jam(db, now=site.clock.now())
        tell(db, site, mine, jam.id, key="a", state="sent")
        tell(db, site, mine, key="b", state="failed", reason="unauthorised")

    page = client.get("/account/notices").text

    assert f'href="/incidents/{jam.id}"' in page
    assert "Delivered" in page or 'class="mark sent"' in page
    assert 'class="mark failed"' in page
    assert "Refused the name, password or key" in page
    assert page.index('class="mark failed"') < page.index('class="mark sent"'), "the newest first"
    assert 'href="/account/notices"' in client.get("/account").text


def test_a_contact_with_ones_address_is_ones_own_unless_it_is_anothers(site: Site):
    client = site.signed_in("technician", name="amina")
    site.signed_in("technician", name="youssef")
    mail(site, "amina", "Amina@Example.ma")
    with writing(site.engine) as db:
        contact(db, site, "amina@example.ma", name="by-address")
        contact(db, site, "amina@example.ma", name="of-youssef", user_id=people.get(db, "youssef").id)
        contact(db, site, "other@example.ma", name="of-nobody")
        contact(db, site, "amina@example.ma", name="no-mail", kind="webhook")

    page = client.get("/account/notices").text

    assert "by-address" in page
    assert not [name for name in ("of-youssef", "of-nobody", "no-mail") if name in page]
    assert "Nothing was sent to you yet." in page
    assert "Amina@Example.ma" in page


def test_without_a_contact_it_says_how_one_is_told(site: Site):
    client = site.signed_in("technician")
    with writing(site.engine) as db:
        contact(db, site, "")

    page = client.get("/account/notices").text

    assert "No contact is yours yet" in page
    assert "Your account has no e-mail address" in page
    assert "/admin/contacts/new" not in page
    assert "/admin/contacts/new" in site.signed_in("operator").get("/account/notices").text


def test_an_incident_elsewhere_is_not_named(site: Site):
    client = site.signed_in("technician", annex="berkane-2", name="amina")
    with writing(site.engine) as db:
        mine = contact(db, site, "a@example.ma", user_id=people.get(db, "amina").id)
        jam = troubled.jam(db, now=site.clock.now(), name="guichet-hp")
        tell(db, site, mine, jam.id)

    page = client.get("/account/notices").text

    assert "an incident outside of your annexes" in page
    assert "guichet-hp" not in page
    assert f"/incidents/{jam.id}" not in page


def test_what_was_left_out_was_not_said(site: Site):
    client = site.signed_in("technician", name="amina")
    with writing(site.engine) as db:
        mine = contact(db, site, "a@example.ma", user_id=people.get(db, "amina").id)
        jam = troubled.jam(db, now=site.clock.now())
        tell(db, site, mine, jam.id, state="dropped", reason="over")
        db.execute(update(NoticeItem).values(left_out=True))

    assert f"/incidents/{jam.id}" not in client.get("/account/notices").text


def test_it_comes_in_pages(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(own_notices, "PAGE", 2)
    client = site.signed_in("technician", name="amina")
    with writing(site.engine) as db:
        mine = contact(db, site, "a@example.ma", user_id=people.get(db, "amina").id)
    for number in range(3):
        site.clock.turn(minutes=1)
        with writing(site.engine) as db:
            tell(db, site, mine, key=str(number), state="sent")

    first, second = (client.get(f"/account/notices?page={number}").text for number in (1, 2))

    assert (first.count('class="mark sent"'), second.count('class="mark sent"')) == (2, 1)
    assert 'href="/account/notices?page=2"' in first
    assert 'href="/account/notices?page=1"' in second
    assert client.get("/account/notices?page=0").status_code == 422


def test_notices_of_contacts_on_both_databases(engine, tmp_path):
    site = Site(engine, tmp_path)
    with writing(engine) as db:
        ids = [contact(db, site, f"{name}@example.ma") for name in "ab"]
        made = [tell(db, site, one, key=str(one)) for one in ids]
    with reading(engine) as db:
        assert [row.id for row, _ in notices.of_contacts(db, ids, skip=0, limit=9)] == made[::-1]
        assert [row.id for row, _ in notices.of_contacts(db, ids[:1], skip=0, limit=9)] == made[:1]
        assert [one.id for one in contacts.of_person(db, 0, "A@EXAMPLE.MA")] == ids[:1]
