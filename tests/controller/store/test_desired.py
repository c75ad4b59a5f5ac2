from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session
from tests.controller.fleet import add_annex, add_devices, device_id

from annexfleet_controller.desired.document import EMPTY, Document, parse
from annexfleet_controller.desired.resolve import PROVINCE, Layer
from annexfleet_controller.errors import (
    AnnexUnknown,
    DesiredChanged,
    DesiredLayerUnknown,
    DesiredVersionUnknown,
    DeviceUnknown,
    Invalid,
)
from annexfleet_controller.store import desired
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.desired import DesiredVersionRow

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
ANNEX = Layer("annex", "berkane-1")


@pytest.fixture
def db(engine: Engine):
    add_annex(engine, "berkane-1")
    add_annex(engine, "berkane-2")
    add_devices(engine, 1)
    with writing(engine) as session:
        yield session


def packages(**wishes: str | None) -> Document:
    return parse({"packages": wishes})


def put(db: Session, layer: Layer, document: Document, version: int, **over: str) -> desired.Version:
    return desired.put(db, layer, document, version=version, by="amina", now=NOW, **over)


def test_every_version_stays(db: Session):
    put(db, PROVINCE, packages(htop="present"), 0, reason="To see load")
    put(db, PROVINCE, packages(htop="absent"), 1)

    now = desired.get(db, PROVINCE)
    assert (now.document, now.version, now.by, now.at) == (packages(htop="absent"), 2, "amina", NOW)
    assert [(one.version, one.reason) for one in desired.history(db, PROVINCE)] == [(2, ""), (1, "To see load")]
    assert [one.version for one in desired.history(db, PROVINCE, before=2)] == [1]
    assert desired.at_version(db, PROVINCE, 1).document == packages(htop="present")
    assert desired.at_version(db, PROVINCE, 0).document == EMPTY
    with pytest.raises(DesiredVersionUnknown):
        desired.at_version(db, PROVINCE, 3)


def test_a_revision_tells_what_all_layers_came_to_then(db: Session):
    first = put(db, PROVINCE, packages(htop="present"), 0).revision
    second = put(db, ANNEX, packages(htop=None), 0).revision
    third = put(db, ANNEX, EMPTY, 1).revision

    assert first < second < third == desired.newest(db)
    assert desired.layers(db, revision=first) == {PROVINCE: packages(htop="present")}
    assert desired.layers(db, revision=second) == {PROVINCE: packages(htop="present"), ANNEX: packages(htop=None)}
    assert desired.layers(db) == desired.layers(db, revision=third) == {PROVINCE: packages(htop="present")}
    assert desired.layers(db, revision=first - 1) == {}


def test_who_read_an_older_version_is_refused(db: Session):
    put(db, ANNEX, packages(htop="present"), 0)

    with pytest.raises(DesiredChanged):
        put(db, ANNEX, packages(htop="absent"), 0)

    assert desired.get(db, ANNEX).document == packages(htop="present")


def test_what_changes_nothing_makes_no_version(db: Session):
    put(db, ANNEX, packages(htop="present"), 0)

    assert put(db, ANNEX, packages(htop="present"), 1).version == 1
    assert put(db, Layer("role", "kiosk"), EMPTY, 0).version == 0
    assert desired.newest(db) == desired.get(db, ANNEX).revision


def test_a_layer_is_taken_back_by_a_new_version(db: Session):
    put(db, ANNEX, packages(htop="present"), 0)
    put(db, ANNEX, packages(htop="absent"), 1)

    back = desired.take_back(db, ANNEX, 1, version=2, by="brahim", now=NOW, reason="It broke")

    assert (back.version, back.document, back.takes_back_to) == (3, packages(htop="present"), 1)
    assert desired.take_back(db, ANNEX, 0, version=3, by="brahim", now=NOW).document == EMPTY
    with pytest.raises(DesiredVersionUnknown):
        desired.take_back(db, ANNEX, 9, version=4, by="brahim", now=NOW)
    with pytest.raises(DesiredChanged):
        desired.take_back(db, ANNEX, 2, version=3, by="brahim", now=NOW)


def test_layers_in_sight(db: Session):
    put(db, Layer("device", device_id(1)), packages(htop="present"), 0)
    put(db, Layer("annex", "berkane-2"), packages(htop="present"), 0)
    put(db, PROVINCE, packages(htop="present"), 0)
    put(db, Layer("role", "kiosk"), packages(htop="present"), 0)

    assert [one.layer.kind for one in desired.deciding(db, WHOLE)] == ["province", "role", "annex", "device"]
    assert [one.layer.kind for one in desired.deciding(db, Scope(frozenset({"berkane-2"})))] == [
        "province", "role", "annex",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "error"),
    [
        (Layer("province", "x"), DesiredLayerUnknown),
        (Layer("role", "king"), DesiredLayerUnknown),
        (Layer("annex", "berkane-9"), AnnexUnknown),
        (Layer("annex", "berkane-1"), AnnexUnknown),
        (Layer("device", "d-x"), DeviceUnknown),
        (Layer("device", device_id(1)), DeviceUnknown),
    ],
)
def test_a_layer_that_is_not_there_or_not_in_sight(db: Session, layer: Layer, error: type[Exception]):
    with pytest.raises(error):
        desired.demand_layer(db, Scope(frozenset({"berkane-2"})), layer)


def test_a_document_of_another_release_counts_as_empty_and_stays(db: Session, caplog: pytest.LogCaptureFixture):
    put(db, PROVINCE, packages(htop="present"), 0)
    db.execute(update(DesiredVersionRow).values(document='{"fonts": {}}'))

    assert desired.layers(db) == {}
    assert desired.get(db, PROVINCE).version == 1
    assert "cannot be read" in caplog.text
    assert put(db, PROVINCE, packages(htop="absent"), 1).version == 2


def test_a_reason_that_is_too_long(db: Session):
    with pytest.raises(Invalid):
        put(db, PROVINCE, packages(htop="present"), 0, reason="x" * 201)
