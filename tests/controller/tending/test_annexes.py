"""Annexes and districts as people change them, close and open them again.  On SQLite and PostgreSQL."""

from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import Engine
from tests.controller.tending.hands import NOW, fleet, hand, row

from annexfleet_controller.errors import (
    AnnexExists,
    AnnexUnknown,
    DistrictUnknown,
    OutOfService,
    SettingChanged,
    SettingWrong,
)
from annexfleet_controller.store import annexes, districts, links, readiness, tokens
from annexfleet_controller.store import fleet as looking
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.devices import Token
from annexfleet_controller.store.tables.places import BoardLink
from annexfleet_controller.tending import annexes as tending
from annexfleet_controller.tending import devices as tending_devices
from annexfleet_controller.tending import undo
from annexfleet_controller.tending.errors import Unconfirmed, UndoRefused, UndoUnknown
from annexfleet_controller.tending.typed import AnnexWish, DeviceWish

WISH = AnnexWish(name_fr="Annexe Hassan II", name_ar="ملحقة الحسن الثاني")


def close(engine: Engine, by, annex_id: str = "berkane-1", *, now=NOW) -> int:
    with writing(engine) as db:
        _, reach = tending.retiring(db, by, annex_id, now=now)
        return tending.retire(db, by, annex_id, confirmed=reach.digest, now=now)


def open_up(engine: Engine) -> None:
    """A token and a link to the board of the first annex."""
    with writing(engine) as db:
        db.add(
            Token(
                id="t1", annex_id="berkane-1", role="", public_key=b"k" * 32, max_devices=3, created_at=NOW,
                created_by="amina", expires_at=NOW + timedelta(days=1),
            )
        )  # fmt: skip
        db.add(BoardLink(annex_id="berkane-1", digest="d", label="hall", created_at=NOW, created_by="amina"))


def open_ids(engine: Engine) -> list[str]:
    with reading(engine) as db:
        return [place.id for place in annexes.listing(db)]


def test_an_annex_gets_other_names_a_district_and_a_note_and_gets_the_old_ones_back(engine: Engine):
    fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        tending.create_district(db, amina, "ahfir", name_fr="Ahfir", name_ar="أحفير", now=NOW)
        wish = AnnexWish(
            name_fr=" Annexe Hassan II", name_ar=WISH.name_ar, district="ahfir", time_zone="Africa/El_Aaiun",
            note="Clé chez le gardien\r\n0536 00 00 00 ",
        )  # fmt: skip
        step = tending.change(db, amina, "berkane-1", wish, version=1, now=NOW)
    with reading(engine) as db:
        changed = annexes.get(db, WHOLE, "berkane-1")
        assert tending.kept(changed) == {
            "name_fr": "Annexe Hassan II", "name_ar": WISH.name_ar, "time_zone": "Africa/El_Aaiun",
            "district_id": "ahfir", "note": "Clé chez le gardien\n0536 00 00 00",
        }  # fmt: skip
        assert districts.counts(db, WHOLE) == {"ahfir": 1, "": 1}

    with writing(engine) as db:
        undo.undo(db, amina, step, now=NOW)

    with reading(engine) as db:
        back = annexes.get(db, WHOLE, "berkane-1")
        assert (back.name_fr, back.district_id, back.note, back.version) == ("Annexe 1", "", "", 3)


@pytest.mark.parametrize(
    ("wish", "field", "reason"),
    [
        (AnnexWish(name_fr="", name_ar="ا"), "name_fr", "missing"),
        (AnnexWish(name_fr="a", name_ar="ا" * 201), "name_ar", "too_long"),
        (AnnexWish(name_fr="a", name_ar="ا", time_zone="Africa/Nowhere"), "time_zone", "no_time_zone"),
        (AnnexWish(name_fr="a", name_ar="ا", time_zone="../../etc/passwd"), "time_zone", "no_time_zone"),
        (AnnexWish(name_fr="a", name_ar="ا", district="nowhere"), "district", "unknown"),
        (AnnexWish(name_fr="a", name_ar="ا", note="x" * 501), "note", "too_long"),
        (AnnexWish(name_fr="a", name_ar="ا", note="a\u202eb"), "note", "not_text"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(sqlite_engine: Engine, wish: AnnexWish, field: str, reason: str):
    fleet(sqlite_engine)

    with writing(sqlite_engine) as db, pytest.raises(SettingWrong) as refused:
        tending.change(db, hand(sqlite_engine), "berkane-1", wish, version=1, now=NOW)

    assert refused.value.facts == {"field": field, "reason": reason}


def test_annexes_are_made_with_an_id_of_their_own(engine: Engine):
    fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        tending.create(db, amina, "berkane-9", WISH, now=NOW)
    assert "berkane-9" in open_ids(engine)

    with writing(engine) as db, pytest.raises(AnnexExists):
        tending.create(db, amina, "berkane-9", WISH, now=NOW)
    with writing(engine) as db, pytest.raises(SettingWrong) as refused:
        tending.create(db, amina, "Berkane 9", WISH, now=NOW)
    assert refused.value.facts == {"field": "id", "reason": "not_an_id"}


def test_of_two_who_edit_an_annex_the_second_is_told(engine: Engine):
    fleet(engine)
    with writing(engine) as db:
        tending.change(db, hand(engine), "berkane-1", WISH, version=1, now=NOW)

    with writing(engine) as db, pytest.raises(SettingChanged):
        tending.change(db, hand(engine, "badr"), "berkane-1", WISH, version=1, now=NOW)


def test_closing_an_annex_says_what_it_touches_and_takes_it_all_along(engine: Engine):
    ids = fleet(engine)
    amina = hand(engine)
    open_up(engine)
    with writing(engine) as db, pytest.raises(Unconfirmed):
        tending.retire(db, amina, "berkane-1", confirmed="", now=NOW)
    with reading(engine) as db:
        _, reach = tending.retiring(db, amina, "berkane-1", now=NOW)
        assert (reach.annexes, reach.devices, reach.asks) == (1, 3, True)
        assert set(reach.effects) >= {"devices_retired", "tokens_end", "boards_end"}

    step = close(engine, amina)

    assert open_ids(engine) == ["berkane-2"]
    with reading(engine) as db:
        assert [found.id for found in looking.devices(db, WHOLE, now=NOW)] == ids[3:]
        assert annexes.get(db, WHOLE, "berkane-1").retired_at == NOW
        assert [found.readiness.annex_id for found in readiness.now(db, WHOLE)] == ["berkane-2"]
        token = tokens.find(db, "t1")
        assert token is not None
        assert token.revoked_at == NOW
    with writing(engine) as db, pytest.raises(OutOfService):
        tending.change(db, amina, "berkane-1", WISH, version=2, now=NOW)
    with writing(engine) as db, pytest.raises(SettingWrong):
        tending_devices.moving(db, amina, ids[3:], "berkane-1")

    with writing(engine) as db:
        undo.undo(db, amina, step, now=NOW + timedelta(minutes=1))
    with reading(engine) as db:
        assert len(looking.devices(db, WHOLE, now=NOW)) == 4
        token = tokens.find(db, "t1")
        assert token is not None
        assert token.revoked_at is None
        assert db.query(BoardLink).one().revoked_at is None


def test_what_somebody_revoked_while_the_annex_was_closed_stays_revoked(engine: Engine):
    fleet(engine)
    open_up(engine)
    amina = hand(engine)
    step = close(engine, amina)
    later = NOW + timedelta(minutes=1)

    with writing(engine) as db:
        (board,) = links.boards(db, WHOLE)
        assert tokens.revoke(db, "t1", later)
        assert links.revoke_board(db, WHOLE, board.id, now=later)[1]
    with writing(engine) as db:
        assert not tokens.revoke(db, "t1", later + timedelta(seconds=1))  # a second time changes nothing
        assert not links.revoke_board(db, WHOLE, board.id, now=later + timedelta(seconds=1))[1]
        undo.undo(db, amina, step, now=NOW + timedelta(minutes=2))

    with reading(engine) as db:
        token = tokens.find(db, "t1")
        assert token is not None
        assert (token.revoked_at, links.boards(db, WHOLE)[0].revoked_at) == (later, later)


def test_a_closing_is_refused_when_a_device_came_meanwhile(engine: Engine):
    ids = fleet(engine)
    amina = hand(engine)
    with reading(engine) as db:
        _, shown = tending.retiring(db, amina, "berkane-2", now=NOW)
    with writing(engine) as db:
        _, _, reach = tending_devices.moving(db, amina, ids[:1], "berkane-2")
        tending_devices.move(db, amina, ids[:1], "berkane-2", confirmed=reach.digest, now=NOW)

    with writing(engine) as db, pytest.raises(Unconfirmed):
        tending.retire(db, amina, "berkane-2", confirmed=shown.digest, now=NOW)


def test_an_annex_opens_again_without_its_devices(engine: Engine):
    fleet(engine)
    amina = hand(engine)
    close(engine, amina)

    with writing(engine) as db:
        tending.reopen(db, amina, "berkane-1", version=2, now=NOW)

    assert open_ids(engine) == ["berkane-1", "berkane-2"]
    with reading(engine) as db:
        assert looking.devices(db, WHOLE, now=NOW, annex_id="berkane-1") == []


def test_a_device_is_not_taken_back_into_a_closed_annex(engine: Engine):
    ids = fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        _, _, reach = tending_devices.moving(db, amina, ids[3:], "berkane-1")
        step = tending_devices.move(db, amina, ids[3:], "berkane-1", confirmed=reach.digest, now=NOW)
    close(engine, amina, "berkane-2")

    with writing(engine) as db, pytest.raises(UndoRefused) as refused:
        undo.undo(db, amina, step, now=NOW)

    assert refused.value.facts["reason"] == "annex_closed"


def test_nobody_takes_back_what_another_did_or_what_is_out_of_their_sight(engine: Engine):
    ids = fleet(engine)
    amina, confined = hand(engine), hand(engine, "confined", annex="berkane-1")
    with writing(engine) as db:
        step = tending_devices.change(db, confined, ids[0], DeviceWish(name="a"), version=1, now=NOW)

    with writing(engine) as db, pytest.raises(UndoUnknown):
        undo.undo(db, amina, step, now=NOW)
    with writing(engine) as db, pytest.raises(UndoRefused) as refused:
        undo.undo(db, hand(engine, "confined").__class__(confined.user_id, "confined", "session",
                  hand(engine, "other", annex="berkane-2").scope), step, now=NOW)  # fmt: skip
    assert refused.value.facts["reason"] == "out_of_sight"
    with writing(engine) as db, pytest.raises(AnnexUnknown):
        tending.change(db, confined, "berkane-2", WISH, version=1, now=NOW)


def test_districts_are_renamed_and_removed_when_they_are_empty(engine: Engine):
    fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        tending.create_district(db, amina, "ahfir", name_fr="Ahfir", name_ar="أحفير", now=NOW)
        step = tending.rename_district(db, amina, "ahfir", name_fr="Ahfir-Est", name_ar="أحفير", now=NOW)
        tending.change(
            db, amina, "berkane-1", AnnexWish(name_fr="a", name_ar="ا", district="ahfir"), version=1, now=NOW
        )
    with writing(engine) as db, pytest.raises(SettingWrong) as refused:
        tending.create_district(db, amina, "ahfir", name_fr="x", name_ar="x", now=NOW)
    assert refused.value.facts["reason"] == "taken"
    with writing(engine) as db, pytest.raises(SettingWrong) as refused:
        tending.remove_district(db, amina, "ahfir", now=NOW)
    assert refused.value.facts["reason"] == "not_empty"
    with writing(engine) as db:
        undo.undo(db, amina, step, now=NOW)
    with writing(engine) as db:
        assert districts.get(db, "ahfir").name_fr == "Ahfir"
        tending.change(db, amina, "berkane-1", WISH, version=2, now=NOW)
        tending.remove_district(db, amina, "ahfir", now=NOW)
    with reading(engine) as db, pytest.raises(DistrictUnknown):
        districts.get(db, "ahfir")


def test_a_district_is_the_province_s_also_when_its_name_is_taken_back(engine: Engine):
    fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        tending.create_district(db, amina, "ahfir", name_fr="Ahfir", name_ar="أحفير", now=NOW)
        step = tending.rename_district(db, amina, "ahfir", name_fr="Ahfir-Est", name_ar="أحفير", now=NOW)
    confined = msgspec.structs.replace(amina, scope=Scope(frozenset({"berkane-1"})))

    with writing(engine) as db, pytest.raises(UndoRefused) as refused:
        undo.undo(db, confined, step, now=NOW)

    assert refused.value.facts["reason"] == "out_of_sight"
    with reading(engine) as db:
        assert districts.get(db, "ahfir").name_fr == "Ahfir-Est"


def test_a_step_remembers_only_what_it_replaced(engine: Engine):
    fleet(engine)
    amina = hand(engine)
    with writing(engine) as db:
        assert tending.change(
            db, amina, "berkane-1", AnnexWish(name_fr="Annexe 1", name_ar="الملحقة 1"), version=1, now=NOW
        ) == 0  # fmt: skip
        assert row(db, fleet_first(db)).version == 1
        assert undo.newest(db, amina, now=NOW) is None


def fleet_first(db) -> str:
    return looking.devices(db, WHOLE, now=NOW)[0].id
