"""Devices as people change them, and how each act is taken back.  On SQLite and PostgreSQL."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, select
from tests.controller.tending.hands import NOW, fleet, hand, row
from tests.controller.web import places

from annexfleet_controller.errors import DeviceUnknown, OutOfService, SettingChanged, SettingWrong
from annexfleet_controller.store import audit, certificates, devices, links, reaching
from annexfleet_controller.store import fleet as looking
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Certificate
from annexfleet_controller.tending import devices as tending
from annexfleet_controller.tending import undo
from annexfleet_controller.tending.errors import Unconfirmed, UndoRefused
from annexfleet_controller.tending.typed import DeviceWish


def tags(engine: Engine, device_id: str) -> list[str]:
    with reading(engine) as db:
        number = row(db, device_id).number
        return reaching.tags(db, [number]).get(number, [])


def certify(engine: Engine, device_id: str, serial: int) -> None:
    with writing(engine) as db:
        certificates.insert(
            db, serial=serial, device_number=row(db, device_id).number, public_key_digest=f"{serial:064x}",
            issued_at=NOW - timedelta(days=1), expires_at=NOW + timedelta(days=90),
        )  # fmt: skip


def move(engine: Engine, by, ids: list[str], to: str, *, now=NOW) -> int:
    with writing(engine) as db:
        _, _, reach = tending.moving(db, by, ids, to)
        return tending.move(db, by, ids, to, confirmed=reach.digest, now=now)


def retire(engine: Engine, by, ids: list[str], *, now=NOW) -> int:
    with writing(engine) as db:
        _, reach = tending.retiring(db, by, ids)
        return tending.retire(db, by, ids, confirmed=reach.digest, now=now)


def test_a_device_gets_another_name_place_and_tags_and_gets_the_old_ones_back(engine: Engine):
    first = fleet(engine)[0]
    amina = hand(engine)
    with writing(engine) as db:
        reaching.put_tags(db, 1, ["ring-0"])

    with writing(engine) as db:
        wish = DeviceWish(name="  guichet 3 ", place="salle 2", tags=("Kiosks", "ring-1"))
        step = tending.change(db, amina, first, wish, version=1, now=NOW)
    with reading(engine) as db:
        changed = row(db, first)
        assert (changed.name, changed.place, changed.version) == ("guichet 3", "salle 2", 2)
    assert tags(engine, first) == ["kiosks", "ring-1"]

    with writing(engine) as db:
        undo.undo(db, amina, step, now=NOW + timedelta(minutes=9))

    with reading(engine) as db:
        back = row(db, first)
        assert (back.name, back.place, back.version) == ("device 1", "", 3)
        acts = [(entry.act, entry.subject, entry.actor) for entry in audit.entries(db, WHOLE)]
    assert tags(engine, first) == ["ring-0"]
    assert acts == [
        ("settings.undo", f"device:{first}", "amina"), ("device.change", f"device:{first}", "amina"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wish", "field", "reason"),
    [
        (DeviceWish(name="  "), "name", "missing"),
        (DeviceWish(name="x" * 121), "name", "too_long"),
        (DeviceWish(name="a\u202eb"), "name", "not_text"),
        (DeviceWish(name="a", place="y" * 81), "place", "too_long"),
        (DeviceWish(name="a", tags=("not a tag",)), "tags", "not_a_tag"),
        (DeviceWish(name="a", tags=tuple(f"t{n}" for n in range(21))), "tags", "too_many"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(sqlite_engine: Engine, wish: DeviceWish, field: str, reason: str):
    first = fleet(sqlite_engine)[0]

    with writing(sqlite_engine) as db, pytest.raises(SettingWrong) as refused:
        tending.change(db, hand(sqlite_engine), first, wish, version=1, now=NOW)

    assert refused.value.facts == {"field": field, "reason": reason}


def test_of_two_who_edit_at_once_the_second_is_told(engine: Engine):
    first = fleet(engine)[0]
    with writing(engine) as db:
        tending.change(db, hand(engine), first, DeviceWish(name="a"), version=1, now=NOW)

    with writing(engine) as db, pytest.raises(SettingChanged) as refused:
        tending.change(db, hand(engine, "badr"), first, DeviceWish(name="b"), version=1, now=NOW)

    assert refused.value.facts["version"] == 2


def test_a_step_is_not_taken_back_once_somebody_changed_the_device_again(engine: Engine):
    first = fleet(engine)[0]
    amina, badr = hand(engine), hand(engine, "badr")
    with writing(engine) as db:
        step = tending.change(db, amina, first, DeviceWish(name="a"), version=1, now=NOW)
        tending.change(db, badr, first, DeviceWish(name="b"), version=2, now=NOW)

    with writing(engine) as db, pytest.raises(UndoRefused) as refused:
        undo.undo(db, amina, step, now=NOW)

    assert refused.value.facts["reason"] == "changed"
    with reading(engine) as db:
        assert row(db, first).name == "b"


@pytest.mark.parametrize(("after", "twice", "reason"), [(601, False, "too_late"), (5, True, "undone")])
def test_a_step_is_taken_back_once_and_within_ten_minutes(sqlite_engine: Engine, after: int, twice: bool, reason: str):
    first = fleet(sqlite_engine)[0]
    amina = hand(sqlite_engine)
    with writing(sqlite_engine) as db:
        step = tending.change(db, amina, first, DeviceWish(name="a"), version=1, now=NOW)
    if twice:
        with writing(sqlite_engine) as db:
            undo.undo(db, amina, step, now=NOW)

    with writing(sqlite_engine) as db, pytest.raises(UndoRefused) as refused:
        undo.undo(db, amina, step, now=NOW + timedelta(seconds=after))

    assert refused.value.facts["reason"] == reason


def test_a_move_names_what_it_is_about_and_is_refused_when_that_changed(engine: Engine):
    ids = fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        _, _, shown = tending.moving(db, amina, ids[:2], "berkane-2")
        assert shown.devices == 2
        assert shown.asks
        assert set(shown.effects) >= {"alerts_anew", "sight_changes"}
    with writing(engine) as db:
        tending.change(db, amina, ids[0], DeviceWish(name="renamed"), version=1, now=NOW)

    with writing(engine) as db, pytest.raises(Unconfirmed):
        tending.move(db, amina, ids[:2], "berkane-2", confirmed=shown.digest, now=NOW)

    with reading(engine) as db:
        assert {row(db, id_).annex_id for id_ in ids[:2]} == {"berkane-1"}


def test_devices_are_moved_together_and_taken_back_together(engine: Engine):
    ids = fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        tending.change(db, amina, ids[0], DeviceWish(name="a", place="guichet 1"), version=1, now=NOW)

    step = move(engine, amina, ids[:2], "berkane-2")
    with reading(engine) as db:
        assert [(row(db, id_).annex_id, row(db, id_).place) for id_ in ids[:2]] == [("berkane-2", "")] * 2
        assert audit.entries(db, WHOLE)[0].annex_id == ""
    with writing(engine) as db:
        undo.undo(db, amina, step, now=NOW)

    with reading(engine) as db:
        assert [(row(db, id_).annex_id, row(db, id_).place) for id_ in ids[:2]] == [
            ("berkane-1", "guichet 1"), ("berkane-1", ""),
        ]  # fmt: skip


def test_who_moves_a_device_must_see_both_annexes(engine: Engine):
    ids = fleet(engine)
    confined = hand(engine, "confined", annex="berkane-1")

    with writing(engine) as db, pytest.raises(SettingWrong) as refused:
        tending.moving(db, confined, ids[:1], "berkane-2")
    assert refused.value.facts == {"field": "annex", "reason": "unknown"}
    with writing(engine) as db, pytest.raises(DeviceUnknown):
        tending.moving(db, confined, ids[3:], "berkane-1")
    with writing(engine) as db, pytest.raises(SettingWrong) as refused:
        tending.moving(db, hand(engine), ids[:1], "berkane-1")
    assert refused.value.facts["reason"] == "same_annex"


def test_a_retired_device_is_out_of_every_list_its_past_stays_and_nobody_changes_it(engine: Engine):
    first, *others = fleet(engine)
    certify(engine, first, 0xA1)
    retire(engine, hand(engine), [first])

    with reading(engine) as db:
        assert [found.id for found in looking.devices(db, WHOLE, now=NOW)] == others
        gone = looking.device(db, WHOLE, first)
        assert (gone.retired_at, gone.revoked_at) == (NOW, NOW)
        assert certificates.revoked(db, ending_after=NOW) == {0xA1: NOW}
        assert row(db, first).number not in looking.placements(db)
    with writing(engine) as db, pytest.raises(OutOfService):
        tending.change(db, hand(engine), first, DeviceWish(name="x"), version=2, now=NOW)
    with writing(engine) as db, pytest.raises(DeviceUnknown):
        tending.retiring(db, hand(engine), [first])


def test_a_retirement_taken_back_lets_in_the_certificates_that_it_revoked_and_no_others(engine: Engine):
    first = fleet(engine)[0]
    certify(engine, first, 0xA1)
    certify(engine, first, 0xA2)
    with writing(engine) as db:
        old = db.scalars(select(Certificate).where(Certificate.serial == "a1")).one()
        old.revoked_at = NOW - timedelta(days=2)
    amina = hand(engine)
    step = retire(engine, amina, [first])

    with writing(engine) as db:
        undo.undo(db, amina, step, now=NOW)

    with reading(engine) as db:
        assert (row(db, first).retired_at, row(db, first).revoked_at) == (None, None)
        assert certificates.revoked(db, ending_after=NOW).keys() == {0xA1}


def test_a_device_that_was_shut_out_after_it_was_retired_does_not_come_back(engine: Engine):
    first = fleet(engine)[0]
    amina = hand(engine)
    step = retire(engine, amina, [first])
    with writing(engine) as db:
        devices.revoke(db, row(db, first).number, NOW + timedelta(minutes=1))

    with writing(engine) as db, pytest.raises(UndoRefused) as refused:
        undo.undo(db, amina, step, now=NOW + timedelta(minutes=2))

    assert refused.value.facts["reason"] == "changed"


def test_a_new_device_takes_the_place_of_an_old_one_whose_past_leads_to_it(engine: Engine):
    old, new, third, _ = fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        wish = DeviceWish(name="guichet-1", place="guichet 1", tags=("ring-0",))
        tending.change(db, amina, old, wish, version=1, now=NOW)
        row(db, old).role = "kiosk"
    with writing(engine) as db:
        _, _, reach = tending.replacing(db, amina, old, new)
        step = tending.replace(db, amina, old, new, confirmed=reach.digest, now=NOW)

    with reading(engine) as db:
        made, gone = row(db, new), row(db, old)
        assert (made.name, made.place, made.role) == ("guichet-1", "guichet 1", "kiosk")
        assert (gone.replaced_by, gone.retired_at) == (made.number, NOW)
        assert [one.id for one in devices.predecessors(db, made.number)] == [old]
    assert tags(engine, new) == ["ring-0"]
    with writing(engine) as db:
        _, _, reach = tending.replacing(db, amina, new, third)
        tending.replace(db, amina, new, third, confirmed=reach.digest, now=NOW)
    with reading(engine) as db:
        assert [one.id for one in devices.predecessors(db, row(db, third).number)] == [new, old]
    with writing(engine) as db, pytest.raises(UndoRefused):
        undo.undo(db, amina, step, now=NOW)


def test_a_replacement_taken_back_leaves_both_devices_as_they_were(engine: Engine):
    old, new, _, _ = fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        _, _, reach = tending.replacing(db, amina, old, new)
        step = tending.replace(db, amina, old, new, confirmed=reach.digest, now=NOW)
    with writing(engine) as db:
        undo.undo(db, amina, step, now=NOW)

    with reading(engine) as db:
        assert (row(db, old).name, row(db, old).revoked_at, row(db, old).replaced_by) == ("device 1", None, None)
        assert row(db, new).name == "device 2"


def test_what_cannot_replace_is_refused(sqlite_engine: Engine):
    engine = sqlite_engine
    old, new, third, elsewhere = fleet(engine)
    amina = hand(engine)
    for other, reason in ((old, "same_device"), (elsewhere, "other_annex")):
        with writing(engine) as db, pytest.raises(SettingWrong) as refused:
            tending.replacing(db, amina, old, other)
        assert refused.value.facts == {"field": "new", "reason": reason}
    retire(engine, amina, [new])
    with writing(engine) as db, pytest.raises(SettingWrong) as refused:
        tending.replacing(db, amina, old, new)
    assert refused.value.facts["reason"] == "out_of_service"
    with writing(engine) as db:  # an old one that is out of service already can still hand its place on
        _, _, reach = tending.replacing(db, amina, new, third)
        tending.replace(db, amina, new, third, confirmed=reach.digest, now=NOW)
    with reading(engine) as db:
        assert row(db, third).name == "device 2"


def test_tags_are_put_on_many_devices_and_taken_off(engine: Engine):
    ids = fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        reaching.put_tags(db, 1, ["ring-0", "old"])
    with writing(engine) as db:
        chosen = devices.chosen(db, WHOLE, ids[:2])
        step = tending.tag(db, amina, chosen, add="Summer ring-1", remove="old", now=NOW)
    assert [tags(engine, id_) for id_ in ids[:2]] == [["ring-0", "ring-1", "summer"], ["ring-1", "summer"]]

    with writing(engine) as db:
        undo.undo(db, amina, step, now=NOW)

    assert [tags(engine, id_) for id_ in ids[:2]] == [["old", "ring-0"], []]


def test_the_code_on_a_device_s_own_printer_goes_with_it_and_comes_back(engine: Engine):
    ids = fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        both = [places.Printed("usb"), places.Printed("net", address="10.0.0.9:631")]
        places.printers(db, row(db, ids[0]).number, both, at=NOW)
        rows = looking.devices(db, WHOLE, now=NOW)
        of = {one.printer.name: one.id for one in looking.printers(rows, looking.known(db, rows))}
        usb, _ = links.put_label(db, WHOLE, "berkane-1", of["usb"], place="Guichet 2", now=NOW)
        net, _ = links.put_label(db, WHOLE, "berkane-1", of["net"], place="Accueil", now=NOW)

    step = move(engine, amina, ids[:1], "berkane-2")
    with reading(engine) as db:  # the same code, for it is stuck on the printer; where it stands nobody said yet
        assert links.labels(db, WHOLE, "berkane-2") == {
            usb.printer_id: links.Label(of["usb"], "berkane-2", usb.code, "")
        }
        assert links.labels(db, WHOLE, "berkane-1") == {net.printer_id: net}

    with writing(engine) as db:
        undo.undo(db, amina, step, now=NOW)
    with reading(engine) as db:
        assert links.labels(db, WHOLE, "berkane-1") == {usb.printer_id: usb, net.printer_id: net}
