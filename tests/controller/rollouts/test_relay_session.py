"""A session with a device's runner, told everything, at every hour: nothing here sleeps or touches a socket."""

import secrets

import pytest
from tests.controller.rollouts.relay_line import BOOT, Asker, Line, kinds

from annexfleet_agent.protocol.channel import Channel, Part
from annexfleet_agent.protocol.envelope import (
    ENVELOPE,
    FRAME,
    Challenge,
    Refusal,
    Request,
    pack,
)
from annexfleet_agent.protocol.requests import RequestGathering
from annexfleet_agent.protocol.sealing import Seal
from annexfleet_controller.rollouts.relay import opening, session, words
from annexfleet_controller.rollouts.relay.errand import Errand
from annexfleet_controller.rollouts.relay.framing import Verdict
from annexfleet_controller.rollouts.relay.opening import NotSigned

DIGEST, OTHER_DIGEST = bytes(32), b"1" * 32


def test_nothing_is_asked_before_the_runner_has_taken_up_the_session():
    line = Line()
    line.ask()
    line.challenge()
    line.sign()

    assert [packet[:1] for packet in line.sent] == [b"K", ENVELOPE, FRAME]  # the frame is a ping
    line.accept()
    line.deliver()
    assert kinds(line) == ["ping", "request"]
    (request,) = [part for part in line.heard if part.kind == "request"]
    assert RequestGathering().add(request) == Request(op="exec", argv=["true"])


def test_a_result_ends_the_errand_and_the_next_one_begins_in_the_same_session():
    line = Line()
    _, first = line.ask()
    _, second = line.ask()
    line.open()
    line.deliver()
    line.result(1, exit_code=3)
    line.deliver()
    line.result(2)

    assert first.verdict == Verdict(exit_code=3)
    assert second.verdict == Verdict(exit_code=0)
    assert len(line.asked) == 1


def test_a_knock_that_is_not_answered_makes_it_unreachable():
    line = Line()
    _, asker = line.ask()

    line.turn(opening.CHALLENGE_WITHIN_S + 1)

    assert asker.verdict is not None
    assert "did not answer within 10 s" in asker.verdict.unreachable
    assert line.session.reason == "unanswered"


def test_a_knock_may_have_been_lost_while_the_line_was_away():
    line = Line()
    line.ask()
    line.session.line_is_back(line.now)

    assert len({knock.session for knock in line.knocks()}) == 2
    first = line.knocks()[0].session
    body = Challenge(session=first, challenge="0" * 32, boot_id=BOOT, keys_version=0, exchange_key="0" * 64)
    line.session.hear(pack(body), line.now)
    assert line.asked == [body]


def test_a_challenge_that_nobody_asked_for_is_not_signed():
    line = Line()
    line.ask()
    body = Challenge(session="0" * 16, challenge="0" * 32, boot_id=BOOT, keys_version=0, exchange_key="0" * 64)

    line.session.hear(pack(body), line.now)

    assert line.asked == []


def test_the_signers_refusal_is_told():
    line = Line()
    _, asker = line.ask()
    line.challenge()
    line.session.answered(line.asked[-1], NotSigned("no leave", "run_overdue"), line.now)

    assert asker.verdict == Verdict(unreachable="no leave")
    assert line.session.reason == "run_overdue"
    assert not line.session.was_sent


def test_a_signer_that_is_silent_is_not_waited_for_long():
    line = Line()
    _, asker = line.ask()
    line.challenge()

    line.turn(opening.LEAVE_WITHIN_S + 1)

    assert asker.verdict == Verdict(unreachable=words.SIGNER_AWAY)


def test_an_envelope_that_was_lost_is_followed_by_another_and_nothing_was_asked_twice():
    line = Line()
    _, asker = line.ask()
    line.challenge()
    line.sign()
    line.turn(session.CONFIRM_WITHIN_S + 1)
    assert len(line.knocks()) == 2

    line.open()
    line.deliver()
    line.result(1)

    assert asker.verdict == Verdict(exit_code=0)
    assert kinds(line).count("request") == 1


def test_a_runner_that_never_takes_up_a_session_is_given_up():
    line = Line()
    _, asker = line.ask()
    for _ in range(opening.MOST_ATTEMPTS):
        line.challenge()
        line.sign()
        line.turn(session.CONFIRM_WITHIN_S + 1)

    assert asker.verdict == Verdict(unreachable=words.NOT_OPENED)


def test_a_busy_device_is_asked_again_until_ten_minutes_are_over():
    line = Line()
    _, asker = line.ask()
    while asker.verdict is None and line.now < 2000:
        if line.knocks():
            line.challenge(busy=True)
            line.sent.clear()
        line.turn(0.5)

    assert asker.verdict is not None
    assert "busy" in asker.verdict.unreachable
    assert 600 <= line.now - 1000 < 620
    assert line.asked == []


@pytest.mark.parametrize("reason", ["stale_boot", "expired", "replayed", "foreign_challenge", "no_session"])
def test_what_a_race_may_cause_is_tried_again_and_not_for_ever(reason: str):
    line = Line()
    _, asker = line.ask()
    for _ in range(opening.MOST_ATTEMPTS):
        assert asker.verdict is None
        line.challenge()
        line.sign()
        line.refuse(reason)

    assert asker.verdict is not None
    assert asker.verdict.unreachable
    assert len(line.refusals) == opening.MOST_ATTEMPTS


@pytest.mark.parametrize("reason", ["not_allowed", "keys_wrong", "bad_signature", "what a newer one says"])
def test_any_other_refusal_is_final(reason: str):
    line = Line()
    _, asker = line.ask()
    line.challenge()
    line.sign()
    line.refuse(reason)

    assert asker.verdict == Verdict(unreachable=words.refused(reason))
    assert line.session.reason == reason


def test_in_mid_task_silence_is_asked_about_and_then_counts_as_cut():
    line = Line()
    _, asker = line.ask()
    line.open()
    line.deliver()
    line.sent.clear()

    line.turn(session.PING_AFTER_S + 1)
    assert asker.verdict is None
    assert any(packet[:1] == FRAME for packet in line.sent)
    line.turn(session.SILENT_FOR_S)

    assert asker.verdict is not None
    assert "the line was cut in mid-task" in asker.verdict.unreachable
    line.deliver()
    assert "bye" not in kinds(line)  # the device finishes what it began


def test_a_device_that_answers_pings_may_take_as_long_as_it_needs():
    line = Line()
    _, asker = line.ask()
    line.open()
    for _ in range(20):
        line.turn(30)
        line.deliver()
        if "ping" in kinds(line):
            line.say(Part("pong", 0))
    line.result(1)

    assert asker.verdict == Verdict(exit_code=0)


def test_a_goodbye_before_a_session_ends_what_waits_for_one():
    line = Line()
    _, asker = line.ask()
    line.challenge()

    line.session.said_goodbye(line.now)

    assert asker.verdict == Verdict(unreachable=words.OFFLINE)
    _, late = line.ask()
    assert late.verdict == Verdict(unreachable=words.OFFLINE)


def test_a_device_that_goes_between_two_tasks_is_waited_for_a_little():
    line = Line()
    line.ask()
    line.open()
    line.result(1)

    line.session.said_goodbye(line.now)
    _, asker = line.ask()
    line.turn(session.BACK_WITHIN_S / 2)
    assert asker.verdict is None
    line.deliver()
    assert all(part.request != 2 for part in line.heard)
    line.session.said_hello(BOOT, line.now)
    line.deliver()
    line.result(2)
    assert asker.verdict == Verdict(exit_code=0)

    line.session.said_goodbye(line.now)
    _, asker = line.ask()
    line.turn(session.BACK_WITHIN_S + 1)
    assert asker.verdict == Verdict(unreachable=words.OFFLINE)


def test_a_goodbye_in_mid_task_is_no_end():
    line = Line()
    _, asker = line.ask()
    line.open()
    line.session.said_goodbye(line.now)
    assert asker.verdict is None
    line.session.said_hello(BOOT, line.now)
    line.deliver()
    line.result(1)
    assert asker.verdict == Verdict(exit_code=0)


def test_a_hello_of_another_boot_ends_the_session_at_once():
    line = Line()
    _, asker = line.ask()
    line.open()
    line.session.said_hello("boot-2", line.now)

    assert asker.verdict == Verdict(unreachable=words.RESTARTED)
    _, again = line.ask()
    line.open()
    line.deliver()
    line.result(2)
    assert again.verdict == Verdict(exit_code=0)


def test_a_session_that_the_runner_forgot_is_opened_anew():
    line = Line()
    _, first = line.ask()
    line.open()
    line.deliver()
    line.result(1)
    assert first.verdict is not None

    line.turn(session.STALE_AFTER_S + 5)
    _, second = line.ask()
    line.refuse("no_session")  # to the ping, which came before anything was asked
    line.open()
    line.deliver()
    line.result(2)

    assert second.verdict == Verdict(exit_code=0)
    assert kinds(line).count("request") == 2


def test_a_cancel_is_told_to_the_device_and_its_end_is_awaited_shortly():
    line = Line()
    errand, asker = line.ask()
    line.open()
    line.session.cancel(errand, line.now)
    line.deliver()
    assert kinds(line)[-1] == "cancel"
    assert not line.session.is_idle

    line.turn(session.CANCEL_WITHIN_S + 1)

    assert asker.verdict == Verdict(unreachable=words.CANCELLED)
    line.deliver()
    assert kinds(line)[-1] == "bye"
    assert line.session.is_idle


def test_what_was_not_sealed_by_the_runner_ends_the_session_and_is_counted():
    line = Line()
    _, asker = line.ask()
    line.open()
    line.deliver()
    foreign = [Seal(secrets.token_bytes(32)) for _ in range(2)]
    forged = Channel(line.asked[-1].session, out=foreign[0], in_=foreign[1], send=line._up, now=line.now)

    for _ in range(4):  # one of them has the number that is due
        forged.put(Part("result", 1, b'{"exit_code":0}'), line.now)

    assert asker.verdict == Verdict(unreachable=words.BROKEN)
    assert line.refusals == ["broken"]


def test_a_runner_that_talks_nonsense_is_told_from_one_that_fails():
    line = Line()
    _, asker = line.ask()
    line.open()
    line.deliver()
    line.say(Part("result", 1, b"nonsense"))

    assert asker.verdict == Verdict(unreachable=words.NONSENSE)
    assert line.refusals == ["nonsense"]


@pytest.mark.parametrize("reason", ["a\nforged=line", "\x1b[31m", "nul\0", "\u202e"])
def test_a_refusal_whose_reason_cannot_be_shown_is_none(reason: str):
    line = Line()
    _, asker = line.ask()
    line.challenge()
    line.sign()
    line.session.hear(pack(Refusal(session=line.knocks()[-1].session, reason=reason)), line.now)

    assert line.refusals == []
    assert asker.verdict is None


def test_files_that_are_not_of_the_module_are_not_given_away():
    line = Line()
    _, asker = line.ask()
    line.open()
    line.deliver()
    line.say(Part("missing", 1, bytes(32)))

    assert asker.verdict == Verdict(unreachable=words.NONSENSE)


@pytest.mark.parametrize("asked", [[DIGEST * 2], [DIGEST, DIGEST], [DIGEST, OTHER_DIGEST]])
def test_a_device_gets_each_file_of_a_module_once_however_often_it_asks(asked: list[bytes]):
    packed: list[list[str]] = []
    line = Line()
    asker = Asker()
    line.session.add(Errand(Request(op="module"), asker, lambda digests: packed.append(digests) or b"files"), line.now)
    line.open()
    line.deliver()
    for digests in asked:
        line.say(Part("missing", 1, digests))

    assert asker.verdict == Verdict(unreachable=words.NONSENSE)
    assert len(packed) == len(asked) - 1


def test_a_command_begins_with_its_envelope_and_is_sent_again_if_that_was_lost():
    line = Line(is_command=True)
    asker = Asker()
    errand = Errand(None, asker)
    line.session.add(errand, line.now)
    line.challenge()
    line.sign()
    assert line.session.was_sent
    line.turn(session.CONFIRM_WITHIN_S + 1)

    line.open()
    line.deliver()
    line.result(1, receipt="done")

    assert asker.verdict == Verdict(exit_code=0)
    assert errand.result is not None
    assert errand.result.receipt == "done"
    assert "request" not in kinds(line)
