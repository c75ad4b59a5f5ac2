"""Delivery is durable: claimed rows, attempts that wait longer and longer, failures that are shown."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs
from sqlalchemy import Engine
from tests.controller.notify.bureau import EVERYTHING, Bureau

from annexfleet_controller.errors import NoticeOvertaken
from annexfleet_controller.notify import send
from annexfleet_controller.notify.outcome import again, permanent
from annexfleet_controller.store import contacts, figures, incidents, notices
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE

OPEN_AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def test_from_trouble_to_its_end(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    trouble = bureau.trouble()

    (opened,) = bureau.send()
    assert "Annexe 1" in opened
    assert bureau.send() == []
    bureau.clock.turn(minutes=31)
    bureau.resolve(trouble)
    (ended,) = bureau.send()
    assert "terminé" in ended

    assert bureau.states() == ["sent", "sent"]
    with reading(engine) as db:
        story = [(line.kind, line.by, line.facts["what"]) for line in incidents.story(db, trouble.id)]
    assert story == [("told", "amina", "opened"), ("told", "amina", "resolved")]


def test_what_fails_is_tried_again_later_and_later(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    bureau.trouble()
    bureau.answers = [again("unreachable"), again("server_error", "HTTP 503")]

    assert bureau.send() == []
    (row,) = bureau.rows()
    assert (row.state, row.attempts, row.reason) == ("queued", 1, "unreachable")
    assert timedelta(seconds=22) <= row.due_at - bureau.now <= timedelta(seconds=38)
    assert bureau.send() == []
    bureau.clock.turn(seconds=38)
    bureau.send()
    assert (bureau.rows()[0].reason, bureau.rows()[0].detail) == ("server_error", "HTTP 503")
    bureau.clock.turn(seconds=76)
    assert len(bureau.send()) == 1
    assert bureau.states() == ["sent"]


@pytest.mark.parametrize(
    ("attempts", "chance", "expected"),
    [(1, 0.0, 22.5), (1, 1.0, 37.5), (2, 0.5, 60.0), (8, 0.5, 3600.0), (500, 0.0, 3600.0)],
)
def test_how_long_to_wait(attempts: int, chance: float, expected: float):
    assert send.pause_s(attempts, chance) == expected


def test_after_a_day_it_has_failed_for_good(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    bureau.trouble()
    bureau.plan()
    bureau.answers = [again("unreachable")] * 200

    for _ in range(24 * 4 + 1):
        bureau.sender.step()
        bureau.clock.turn(minutes=15)

    (row,) = bureau.rows()
    assert (row.state, row.reason) == ("failed", "unreachable")
    assert 20 < row.attempts < 60
    assert bureau.send() == []
    with reading(engine) as db:
        assert [found[0] for found in notices.failing(db).values()] == ["unreachable"]


def test_what_cannot_help_is_not_tried_again_until_somebody_asks(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    bureau.trouble()
    bureau.answers = [permanent("unauthorised", "HTTP 401")]

    assert bureau.send() == []
    bureau.clock.turn(days=1)
    assert bureau.send() == []
    (row,) = bureau.rows()
    assert (row.state, row.reason, row.detail) == ("failed", "unauthorised", "HTTP 401")

    with writing(engine) as db:
        notices.retry(db, row.id, now=bureau.now)
    assert len(bureau.send()) == 1
    with reading(engine) as db:
        assert notices.failing(db) == {}


def test_a_failure_that_was_overtaken_is_not_sent_again(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    trouble = bureau.trouble()
    bureau.answers = [permanent("refused")]
    bureau.send()
    bureau.clock.turn(minutes=31)
    bureau.change(trouble, severity="critical")
    assert len(bureau.send()) == 1

    for row in bureau.rows():
        with pytest.raises(NoticeOvertaken), writing(engine) as db:
            notices.retry(db, row.id, now=bureau.now)


def test_a_sender_that_dies_after_its_claim_is_replaced_after_the_lease(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    bureau.trouble()
    bureau.plan()
    with writing(engine) as db:
        assert len(notices.claim(db, "died", now=bureau.now, lease=send.LEASE, at_most=10)) == 1

    assert bureau.send() == []
    bureau.clock.turn(seconds=send.LEASE.total_seconds() + 1)
    assert len(bureau.send()) == 1


def test_after_a_crash_between_sending_and_recording_the_same_id_is_sent_again(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    bureau.trouble()
    bureau.plan()
    dying = bureau.new_sender()
    dying._record = lambda *_: None  # type: ignore[method-assign]
    dying.step()

    bureau.clock.turn(seconds=send.LEASE.total_seconds() + 1)
    bureau.send()

    (first, second) = (message.notice_id for _, message in bureau.delivered)
    assert first == second
    assert bureau.states() == ["sent"]


def test_who_lost_the_claim_records_nothing(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    bureau.trouble()
    bureau.plan()
    with writing(engine) as db:
        (notice_id,) = notices.claim(db, "slow", now=bureau.now, lease=timedelta(seconds=1), at_most=1)
    bureau.clock.turn(seconds=2)
    assert len(bureau.send()) == 1

    with writing(engine) as db:
        assert not notices.end(db, notice_id, "slow", "failed", now=bureau.now)
        assert not notices.put_off(db, notice_id, "slow", due_at=bureau.now, reason="unknown", detail="")
    assert bureau.states() == ["sent"]


def test_several_senders_send_no_row_twice(engine: Engine):
    bureau = Bureau(engine)
    for number in range(24):
        bureau.queue_test(bureau.contact(f"person-{number}"))
    lock, seen = threading.Lock(), []

    def deliver(message, to, ways, *, now):
        with lock:
            seen.append(to.address)
        return send.Outcome("sent")

    senders = [bureau.new_sender() for _ in range(4)]
    for sender in senders:
        sender._deliver = deliver

    def work(sender: send.Sender) -> None:
        while sender.step():
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, senders))

    assert sorted(seen) == sorted(f"person-{number}@example.ma" for number in range(24))
    assert set(bureau.states()) == {"sent"}


def test_two_planners_at_once_queue_one_notice(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    bureau.trouble()

    with ThreadPoolExecutor(4) as pool:
        queued = list(pool.map(lambda _: bureau.plan(), range(8)))

    assert sum(queued) == 1
    assert len(bureau.rows()) == 1


def test_the_same_wish_is_stored_once(engine: Engine):
    bureau = Bureau(engine)
    contact_id = bureau.contact()
    new = notices.NewNotice(contact_id=contact_id, kind="test", due_at=bureau.now, dedupe_key="1/same")

    with writing(engine) as db:
        assert len(notices.queue(db, [new, new], now=bureau.now)) == 1
    with writing(engine) as db:
        assert notices.queue(db, [new], now=bureau.now) == []


def test_what_is_over_before_it_went_out_is_dropped_with_the_reason(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    trouble = bureau.trouble()
    bureau.plan()
    bureau.resolve(trouble)

    assert bureau.send() == []
    assert [(row.state, row.reason) for row in bureau.rows()] == [("dropped", "over")]
    bureau.clock.turn(hours=1)
    assert bureau.send() == []


def test_what_a_digest_left_out_has_not_been_told(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    troubles = [bureau.trouble(number) for number in range(1, 6)]
    bureau.plan()
    bureau.resolve(troubles[0])

    (digest,) = bureau.send()
    assert "4 points" in digest
    bureau.clock.turn(minutes=31)
    bureau.resolve(troubles[1])
    (ended,) = bureau.send()

    assert "terminé" in ended
    assert bureau.states() == ["sent", "sent"]


def test_a_contact_that_was_switched_off_hears_nothing_more_but_a_test(engine: Engine):
    bureau = Bureau(engine)
    contact_id = bureau.contact()
    bureau.trouble()
    bureau.plan()
    with writing(engine) as db:
        contacts.get(db, contact_id).enabled = False

    assert bureau.send() == []
    assert [(row.state, row.reason) for row in bureau.rows()] == [("dropped", "contact_disabled")]
    bureau.queue_test(contact_id)
    assert bureau.send() == ["annexfleet : ceci est un essai"]
    with reading(engine) as db:
        assert contacts.get(db, contact_id).verified_at == bureau.now


def test_a_notice_that_cannot_be_written_does_not_hold_the_others(engine: Engine):
    bureau = Bureau(engine)
    for number in range(2):
        bureau.queue_test(bureau.contact(f"person-{number}"))

    def deliver(message, to, ways, *, now):
        if to.address.startswith("person-0"):
            raise ZeroDivisionError("secret")
        return send.Outcome("sent")

    bureau.sender._deliver = deliver
    bureau.sender.step()

    assert [(row.state, row.reason, row.detail) for row in bureau.rows()] == [
        ("queued", "internal", "ZeroDivisionError"), ("sent", "", ""),
    ]  # fmt: skip


def test_nobody_is_told_of_an_audience_that_is_not_theirs(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact("staff", send_route("staff"))
    bureau.contact("technician", send_route("technician"))
    bureau.trouble(rule_id="printer.blocked")

    bureau.send()
    assert [to.address for to, _ in bureau.delivered] == ["staff@example.ma"]
    bureau.clock.turn(minutes=30)
    bureau.send()
    assert [to.address for to, _ in bureau.delivered] == ["staff@example.ma", "technician@example.ma"]


def send_route(audience: str):
    from msgspec.structs import replace

    return replace(EVERYTHING, audiences=audience)


def test_an_answer_stops_the_escalation(engine: Engine):
    from msgspec.structs import replace

    bureau = Bureau(engine)
    bureau.contact("first")
    bureau.contact("second", replace(EVERYTHING, level=1, after_s=900))
    trouble = bureau.trouble()
    bureau.send()
    with writing(engine) as db:
        incidents.acknowledge(db, trouble.id, by="amina", now=bureau.now)
    bureau.clock.turn(minutes=20)

    assert bureau.send() == []


def test_old_notices_are_forgotten_once_their_incidents_are_over(engine: Engine):
    bureau = Bureau(engine)
    bureau.contact()
    trouble = bureau.trouble()
    bureau.send()
    later = bureau.now + timedelta(days=1)

    with writing(engine) as db:
        assert notices.prune(db, before=later, at_most=10) == 0
    bureau.resolve(trouble)
    with writing(engine) as db:
        assert notices.prune(db, before=later, at_most=10) == 1
        assert incidents.get(db, WHOLE, trouble.id).state == "resolved"
    assert bureau.rows() == []


def test_the_loop_plans_and_sends_until_it_is_stopped(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    bureau = Bureau(engine)
    bureau.contact()
    trouble = bureau.trouble()
    stop = threading.Event()
    monkeypatch.setattr(send, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(send, "open_database", lambda _: engine)

    def deliver(message, to, ways, *, now):
        stop.set()
        return bureau._deliver(message, to, ways, now=now)

    monkeypatch.setattr(send.channels, "deliver", deliver)
    monkeypatch.setattr(send.Sender.__init__, "__kwdefaults__", send.Sender.__init__.__kwdefaults__ | {
        "deliver": deliver, "clock": bureau.clock,
    })  # fmt: skip

    send.run(bureau.home, stop, lambda db: (send.Ruleset(), {}))

    assert trouble.id
    assert bureau.states() == ["sent"]


def test_notices_that_cannot_be_planned_are_told_and_hold_nothing_up(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: object, **__: object) -> int:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(send.planning, "plan_notices", failing)
    send.plan_or_say(engine, lambda _: (send.Ruleset(), {}), now=OPEN_AT)

    with reading(engine) as db:
        assert figures.read(db)[send.PLANNING_FAILED_AT][0] == OPEN_AT.timestamp()


def test_who_hears_of_one_annex_is_told_the_name_of_no_other(engine: Engine):
    bureau = Bureau(engine, annex_count=2)
    ours = structs.replace(EVERYTHING, annexes='["berkane-1"]', annex_ids=("berkane-1",))
    bureau.contact("of-one", ours)
    bureau.contact("of-all")
    bureau.trouble(annex_id="", annexes=("berkane-1", "berkane-2"))
    bureau.send()

    told = {to.address: f"{said.subject} {said.text} {said.json!r}" for to, said in bureau.delivered}

    assert "Annexe 1" in told["of-one@example.ma"]
    assert "Annexe 2" not in told["of-one@example.ma"]
    assert "berkane-2" not in told["of-one@example.ma"]
    assert "Annexe 2" in told["of-all@example.ma"]
