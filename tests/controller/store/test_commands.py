"""Orders to devices: sent once by one relay, settled once, by whichever way the receipt comes."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import add_annex, add_devices

from annexfleet_agent.protocol import receipts
from annexfleet_agent.protocol.commands import ParameterWrong
from annexfleet_controller.store import commands, states
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.commands import CommandRow

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def device(engine: Engine) -> str:
    add_annex(engine)
    return connected(engine, add_devices(engine, 2))[0]


def connected(engine: Engine, ids: list[str]) -> list[str]:
    with writing(engine) as db:
        known = states.lock(db, ids)
        states.write_connections(db, [one._replace(connected=True) for one in known.values()])
    return ids


def order(engine: Engine, name: str = "reboot", **parameters: object) -> str:
    with writing(engine) as db:
        row = commands.create(
            db, device_number=1, name=name, parameters=parameters, author="amina", now=NOW  # type: ignore[arg-type]
        )  # fmt: skip
        return row.id


def row(engine: Engine, id_: str) -> CommandRow:
    with writing(engine) as db:
        found = commands.find(db, id_)
        assert found is not None
        db.expunge(found)
        return found


def due(engine: Engine, now: datetime = NOW) -> list[str]:
    with writing(engine) as db:
        return [command.id for command in commands.due(db, now=now, again_before=now - MINUTE)]


def test_an_order_keeps_its_parameters_checked_and_filled_in(engine: Engine, device: str):
    id_ = order(engine)

    assert row(engine, id_).parameters == '{"delay_s":60}'
    assert row(engine, id_).state == "waiting"
    assert due(engine) == [id_]


def test_an_order_that_is_none_is_not_kept(engine: Engine, device: str):
    with pytest.raises(ParameterWrong):
        order(engine, "restart_service", unit="--help")

    assert due(engine) == []


def test_a_device_that_is_away_is_not_due(engine: Engine):
    add_annex(engine)
    add_devices(engine, 1)
    order(engine)

    assert due(engine) == []


def test_what_was_sent_and_not_answered_is_due_again_after_a_while(engine: Engine, device: str):
    id_ = order(engine)
    with writing(engine) as db:
        assert commands.claim(db, id_, now=NOW)

    assert due(engine, SOON) == []
    assert due(engine, NOW + 2 * MINUTE) == [id_]


def test_what_was_not_acted_on_waits_again(engine: Engine, device: str):
    id_ = order(engine)
    with writing(engine) as db:
        commands.claim(db, id_, now=NOW)
        commands.put_back(db, id_)

    assert row(engine, id_).sent_at is None
    assert due(engine, SOON) == [id_]


def test_it_is_not_sent_once_it_is_too_late(engine: Engine, device: str):
    id_ = order(engine)
    late = NOW + commands.GIVE_UP_AFTER

    with writing(engine) as db:
        assert not commands.claim(db, id_, now=late)
        assert commands.give_up(db, now=late) == [1]
        assert commands.give_up(db, now=late) == []

    assert (row(engine, id_).state, row(engine, id_).outcome) == ("ended", "not_sent")
    assert due(engine, late) == []


def test_a_receipt_settles_once_and_only_from_its_own_device(engine: Engine, device: str):
    id_ = order(engine)
    other = add_devices(engine, 1, first=7)[0]
    with writing(engine) as db:
        commands.claim(db, id_, now=NOW)
        assert commands.settle(db, id_, "done", now=SOON, device_id=other) is None
        assert commands.settle(db, id_, "done", now=SOON, device_id=device) == 1
        assert commands.settle(db, id_, "failed", now=SOON, device_id=device) is None

    assert row(engine, id_).outcome == "done"


def test_a_late_receipt_replaces_that_nothing_was_heard(engine: Engine, device: str):
    id_ = order(engine)
    with writing(engine) as db:
        commands.claim(db, id_, now=NOW)
        assert commands.forget(db, sent_before=SOON, now=SOON) == [1]
    assert (row(engine, id_).outcome, row(engine, id_).detail) == ("unknown", commands.NO_ANSWER)

    with writing(engine) as db:
        assert commands.settle(db, id_, "done", now=SOON, device_id=device) == 1

    assert (row(engine, id_).outcome, row(engine, id_).detail) == ("done", "")


def prove(engine: Engine, id_: str, device: str, outcome: str = "done", *, proof: str | None = None) -> int | None:
    with writing(engine) as db:
        made = receipts.proof(db.get_one(CommandRow, id_).receipt_key, id_, outcome, "")
        return commands.settle_by_receipt(
            db, id_, outcome, now=SOON, device_id=device, detail="", proof=made if proof is None else proof
        )


def test_a_receipt_over_the_broker_counts_only_with_the_devices_own_proof(engine: Engine, device: str):
    id_, other = order(engine), order(engine)
    with writing(engine) as db:
        of_other = receipts.proof(db.get_one(CommandRow, other).receipt_key, id_, "done", "")
        of_failure = receipts.proof(db.get_one(CommandRow, id_).receipt_key, id_, "failed", "")

    for forged in ("", "0" * 32, of_other, of_failure, "\u0665" * 32):
        with pytest.raises(commands.ReceiptForged):
            prove(engine, id_, device, proof=forged)
    assert row(engine, id_).state == "waiting"

    assert prove(engine, id_, device) == 1
    assert (row(engine, id_).state, row(engine, id_).outcome) == ("ended", "done")
    assert prove(engine, other, "d-foreign") is None


@pytest.mark.parametrize("told", ["refused", "not_sent"])
def test_what_a_device_did_counts_for_more_than_a_refusal_that_anybody_may_have_told(
    engine: Engine, device: str, told: str
):
    id_ = order(engine)
    with writing(engine) as db:
        commands.claim(db, id_, now=NOW)
        commands.settle(db, id_, told, now=SOON, device_id=device, detail="not_allowed")

    assert prove(engine, id_, device) == 1
    assert (row(engine, id_).outcome, row(engine, id_).detail) == ("done", "")


def test_a_file_that_comes_behind_its_receipt_is_noted(engine: Engine, device: str):
    id_ = order(engine, "diagnostics")
    with writing(engine) as db:
        commands.claim(db, id_, now=NOW)
        commands.settle(db, id_, "done", now=SOON, device_id=device)
        commands.settle(db, id_, "done", now=SOON, device_id=device, attachment="a.tar.gz")

    assert row(engine, id_).attachment == "a.tar.gz"


def test_old_ones_are_forgotten_and_their_files_named(engine: Engine, device: str):
    id_, young = order(engine, "diagnostics"), order(engine)
    with writing(engine) as db:
        commands.claim(db, id_, now=NOW)
        commands.settle(db, id_, "done", now=NOW, device_id=device, attachment="a.tar.gz")

        assert commands.prune(db, before=SOON) == ["a.tar.gz"]
        assert [left.id for left in commands.of_device(db, 1)] == [young]
