"""Which device tells of which printers, kept in memory: the news is read, and of very many only now and then."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.jammed import NOW, Annex
from tests.controller.site import Site
from tests.controller.web import places
from tests.controller.web.places import Printed

from annexfleet_controller.store import overview, printers, sightings
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.overview import Numbers
from annexfleet_controller.store.scope import WHOLE, Scope

NEW = Printed("new", "idle", (), address="10.0.0.10:631")


def names(engine: Engine, scope: Scope = WHOLE, *, now: datetime = NOW) -> list[str]:
    with reading(engine) as db:
        return [one.words.split()[1] for one in sightings.found(db, scope, "printers", now=now)]


def tells(engine: Engine, *printed: Printed, now: datetime = NOW) -> None:
    """The third device, which saw none before."""
    with writing(engine) as db:
        places.printers(db, 3, list(printed), at=now)


def test_a_printer_that_two_devices_name_is_one_and_knows_both(engine: Engine):
    annex = Annex(engine)

    with reading(engine) as db:
        (one,) = sightings.found(db, WHOLE, "printers", now=NOW)

    assert (one.id, one.annex_id, one.in_trouble) == (annex.printer.id, "berkane-1", True)
    assert sorted(one.devices) == [device_id(1), device_id(2)]


def test_nobody_finds_what_is_not_in_sight(engine: Engine):
    Annex(engine)

    assert names(engine, Scope(frozenset({"berkane-1"}))) == ["p"]
    assert names(engine, Scope(frozenset({"berkane-2"}))) == []


def test_of_few_devices_the_news_is_read_each_time(engine: Engine):
    Annex(engine)
    assert names(engine) == ["p"]

    tells(engine, NEW)

    assert sorted(names(engine)) == ["new", "p"]


def test_of_very_many_it_is_read_after_a_while_or_beside(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sightings, "MANY", 1)
    Annex(engine)
    assert names(engine) == ["p"]
    tells(engine, NEW)

    assert names(engine) == ["p"]
    assert sorted(names(engine, now=NOW + sightings.FRESH_FOR)) == ["new", "p"]

    tells(engine, NEW, Printed("newer", "idle", (), address="10.0.0.11:631"), now=NOW + timedelta(seconds=1))
    with reading(engine) as db:
        sightings.renew(db, "printers", now=NOW)
    assert sorted(names(engine)) == ["new", "newer", "p"]


def test_what_was_read_is_not_read_again(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    Annex(engine)
    assert names(engine) == ["p"]
    monkeypatch.setattr(sightings, "_known", lambda part: pytest.fail(f"device {part.device_number} was read again"))

    assert names(engine) == ["p"]


def test_a_printer_is_found_without_its_annex_and_without_any_trace_but_what_devices_name(engine: Engine):
    Annex(engine)
    tells(engine, NEW)
    with reading(engine) as db:
        id_ = next(one.id for one in sightings.found(db, WHOLE, "printers", now=NOW) if "new" in one.words)

        assert printers.find(db, WHOLE, id_, now=NOW).printer.name == "new"


def test_a_printer_that_the_watch_saw_in_trouble_is_listed_before_the_news_is_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sightings, "MANY", 1)
    now = site.clock.now()
    Annex(site.engine, now=now)
    tells(site.engine, NEW, now=now)
    client = site.signed_in("staff")

    def troubled() -> list[str]:
        items = client.get("/api/v1/printers?in_trouble=true").json()["items"]
        return [item["name"] for item in items]

    assert troubled() == ["p"]
    site.clock.turn(seconds=1)
    tells(site.engine, Printed("new", "stopped", ("paper_jam",), address="10.0.0.10:631"), now=site.clock.now())
    assert troubled() == ["p"]
    with writing(site.engine) as db:
        overview.write(db, {"berkane-1": Numbers(printers=2, troubled=2)}, now=site.clock.now())

    assert sorted(troubled()) == ["new", "p"]


def test_a_search_finds_printers_by_name_and_by_id(site: Site):
    annex = Annex(site.engine, now=site.clock.now())
    tells(site.engine, NEW, now=site.clock.now())
    client = site.signed_in("staff")

    def found(search: str) -> list[str]:
        return [item["name"] for item in client.get(f"/api/v1/printers?search={search}").json()["items"]]

    assert found("NEW") == ["new"]
    assert found(annex.printer.id[3:20]) == ["p"]
    assert found("nothing") == []
