import re

import pytest
from tests.controller.fleet import add_annex, add_devices, device_id
from tests.controller.site import Site
from tests.controller.web import places, troubled

from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.devices import Device, DeviceTag
from annexfleet_controller.store.tables.places import Annex, District


def listed(site: Site, query: str = "", **who: str) -> list[str]:
    html = site.signed_in(**who).get(f"/devices?{query}").text
    return re.findall(r'data-label="Name"><span><a href="/devices/([\w-]+)"', html)


@pytest.fixture
def seeded(site: Site) -> Site:
    places.province(site.engine, now=site.clock.now(), past_days=0.01)
    return site


def test_it_is_narrowed_by_all_that_one_knows_of_a_device(seeded: Site):
    now = seeded.clock.now()
    with writing(seeded.engine) as db:
        db.add(District(id="south", name_fr="Sud", name_ar="الجنوب", created_at=now))
        db.get_one(Annex, "berkane-2").district_id = "south"
        db.add(DeviceTag(device_number=3, tag="ring-0"))
        db.get_one(Device, 4).place = "Guichet 100%"
        db.get_one(Device, 5).retired_at = now
        troubled.alert(db, "device.offline", "device", device_id(6), now=now)

    assert len(listed(seeded)) == 28
    assert len(listed(seeded, "annex=berkane-1")) == 13
    assert len(listed(seeded, "district=south")) == 10
    assert set(listed(seeded, "presence=silent")) == {device_id(6), device_id(13)}
    assert listed(seeded, "presence=never") == [device_id(29)]
    assert listed(seeded, "presence=revoked") == [device_id(5)]
    assert len(listed(seeded, "presence=online")) == 25
    assert listed(seeded, "tag=ring-0") == [device_id(3)]
    assert listed(seeded, "trouble=yes") == [device_id(6)]
    assert listed(seeded, "q=7cxk0007") == [device_id(7)]
    assert listed(seeded, "q=100%25") == [device_id(4)]  # taken literally
    assert listed(seeded, "q=guichet-7+optiplex") == [device_id(7)]
    assert len(listed(seeded, "version=0.1.0&role=kiosk")) == 4
    assert listed(seeded, "version=9") == []


def test_a_confined_person_finds_only_their_own(seeded: Site):
    assert len(listed(seeded, role="staff", annex="berkane-2")) == 10
    assert listed(seeded, "annex=berkane-1", role="staff", annex="berkane-2") == []


def test_it_comes_in_pages_that_keep_the_filter(site: Site):
    add_devices(site.engine, 120, annex_id=add_annex(site.engine))

    first = site.signed_in().get("/devices?role=counter").text

    assert "120 devices" in first
    assert "/devices?role=counter&amp;page=2" in first
    pages = [listed(site, f"page={n}") for n in (1, 2, 3)]
    assert [len(page) for page in pages] == [50, 50, 20]
    assert len({one for page in pages for one in page}) == 120
    assert len(listed(site, "page=9000")) == 20


def test_what_cannot_be_asked_is_refused(site: Site):
    client = site.signed_in()

    assert client.get("/devices?presence=asleep").status_code == 422
    assert client.get("/devices?page=0").status_code == 422
    assert client.get(f"/devices?q={'x' * 81}").status_code == 422


def test_an_empty_list_says_why_and_what_next(site: Site):
    assert "/admin/tokens" in site.signed_in().get("/devices").text
    assert "No device is like that" in site.signed_in().get("/devices?q=nothing").text
