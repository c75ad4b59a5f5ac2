"""Commands to single devices, from the order to its receipt, through the console's relay."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.flow.broker import Broker
from tests.flow.relaying import Bed, relay_bed
from tests.flow.runners import FakeRunner, Work

from annexfleet_agent.protocol import receipts, topics, wire
from annexfleet_agent.protocol.envelope import Result
from annexfleet_agent.protocol.messages import Receipt
from annexfleet_controller.rollouts import dispatch
from annexfleet_controller.store import commands, devices
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.commands import CommandRow


@pytest.fixture
def bed(broker: Broker) -> Iterator[Bed]:
    with relay_bed(broker) as made:
        made.start_relay(None)
        yield made


def order(bed: Bed, runner: FakeRunner, name: str = "reboot", *, stored: str = "", **parameters: object) -> str:
    """A new order; `stored` takes the place of its parameters."""
    with writing(bed.engine) as db:
        device = devices.find(db, runner.device_id)
        assert device is not None
        row = commands.create(
            db, device_number=device.number, name=name, parameters=parameters, author="amina", now=datetime.now(UTC)  # type: ignore[arg-type]
        )  # fmt: skip
        row.parameters = stored or row.parameters
        return row.id


def state(bed: Bed, id_: str) -> tuple[str, str, str]:
    with reading(bed.engine) as db:
        found = db.get(CommandRow, id_)
        assert found is not None
        return found.state, found.outcome, found.detail


def ended(bed: Bed, id_: str) -> tuple[str, str]:
    bed.wait_until(lambda: state(bed, id_)[0] == "ended", "the command ends")
    return state(bed, id_)[1:]


def done(work: Work) -> None:
    work.end(Result(receipt="done"))


def test_an_order_goes_to_its_device_and_its_receipt_settles_it(bed: Bed):
    runner = bed.device(does=done)

    id_ = order(bed, runner, "restart_service", unit="cups.service")

    assert ended(bed, id_) == ("done", "")
    (arguments,) = runner.arguments
    assert (arguments.command, arguments.parameters) == ("restart_service", {"unit": "cups.service"})
    bed.wait_until(lambda: runner.byes == 1, "the session is closed")


def test_what_went_wrong_there_is_told_by_its_code(bed: Bed):
    runner = bed.device(does=lambda work: work.end(Result(receipt="failed", detail="exit_5", exit_code=5)))

    assert ended(bed, order(bed, runner)) == ("failed", "exit_5")


def test_a_diagnostic_bundle_is_kept_in_a_file(bed: Bed):
    content = os.urandom(3_000_000)

    def collect(work: Work) -> None:
        work.say(content)
        work.end(Result(receipt="done"))

    id_ = order(bed, bed.device(does=collect), "diagnostics")

    assert ended(bed, id_) == ("done", "")
    with reading(bed.engine) as db:
        row = db.get(CommandRow, id_)
        assert row is not None
        file = bed.home.path / "diagnostics" / row.attachment
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_bundle_without_end_is_cut_off(bed: Bed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dispatch, "MAX_ATTACHMENT_BYTES", 500_000)

    def endless(work: Work) -> None:
        while not work.cancelled.is_set():
            work.say(bytes(40_000))

    runner = bed.device(does=endless)
    order(bed, runner, "diagnostics")

    bed.wait_until(lambda: runner.works and runner.works[-1].cancelled.is_set(), "it is ended on the device")
    assert list((bed.home.path / "diagnostics").iterdir()) == []


def test_a_busy_device_gets_it_a_little_later(bed: Bed):
    runner = bed.device(does=done)
    runner.busy_knocks = 1

    assert ended(bed, order(bed, runner)) == ("done", "")


def test_what_the_runner_refuses_is_refused(bed: Bed):
    runner = bed.device(does=done)
    runner.refuses = ["not_allowed"]

    assert ended(bed, order(bed, runner)) == ("refused", "not_allowed")


def test_what_the_signer_refuses_is_not_sent(bed: Bed):
    runner = bed.device(does=done)
    id_ = order(bed, runner, stored='{"delay_s":1e9}')

    assert ended(bed, id_) == ("not_sent", "command_invalid")
    assert runner.sessions == 0


def test_a_device_that_is_away_is_waited_for_until_it_is_too_late(bed: Bed):
    runner = bed.device(does=done, is_connected=False)
    id_ = order(bed, runner)
    with writing(bed.engine) as db:
        row = db.get(CommandRow, id_)
        assert row is not None
        row.give_up_at = datetime.now(UTC) - timedelta(seconds=1)

    assert ended(bed, id_) == ("not_sent", "")
    assert runner.sessions == 0


def test_an_order_that_was_not_answered_is_sent_again_and_the_device_says_what_it_did(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dispatch, "SENT_AGAIN_AFTER", timedelta(seconds=0.5))
    runner = bed.device(does=lambda _work: None)
    id_ = order(bed, runner)
    bed.wait_until(lambda: runner.works, "it was sent")

    runner.does = done
    runner.restart()
    runner.hello()

    assert ended(bed, id_) == ("done", "")
    assert runner.sessions == 2


def test_a_relay_that_ends_leaves_a_command_to_its_device(bed: Bed):
    runner = bed.device(does=lambda _work: None)
    id_ = order(bed, runner)
    bed.wait_until(lambda: runner.works, "it was sent")

    bed.stop_relay()

    assert state(bed, id_) == ("sent", "", "")
    assert not runner.works[-1].cancelled.is_set()
    assert runner.byes == 0


def test_a_device_that_says_what_no_receipt_can_be_is_not_repeated_to_anybody(bed: Bed):
    runner = bed.device(
        does=lambda work: work.end(Result(receipt="<b>fine</b> and much longer", detail="a\0\x1b[31mb\nforged=line"))
    )

    id_ = order(bed, runner)

    assert ended(bed, id_) == ("unknown", "a\ufffdb forged=line")


def test_a_device_that_never_ends_keeps_no_place(bed: Bed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dispatch, "LONGEST_S", 1.0)
    runner = bed.device(does=lambda _work: None)

    id_ = order(bed, runner)

    bed.wait_until(lambda: runner.works and runner.works[-1].cancelled.is_set(), "it is let go of")
    assert state(bed, id_)[0] == "sent", "nobody knows what became of it"


def test_the_receipt_that_comes_as_an_item_settles_it_as_well(bed: Bed):
    runner = bed.device(does=lambda _work: None)
    bed.start_ingest()
    runner.hello()
    bed.wait_until(lambda: bed.is_connected(runner), "it is connected")
    id_ = order(bed, runner)
    bed.wait_until(lambda: runner.works, "it was sent")

    with reading(bed.engine) as db:
        proof = receipts.proof(db.get_one(CommandRow, id_).receipt_key, id_, "done", "x")
    for seq, said in ((1, ""), (2, proof[::-1]), (3, proof)):
        receipt = Receipt(
            seq=seq, at=datetime.now(UTC).timestamp(), command_id=id_, outcome="done", detail="x", proof=said
        )
        runner._client.publish(topics.up(runner.device_id, "receipt"), wire.encode(receipt), 1)

    assert ended(bed, id_) == ("done", "x")
