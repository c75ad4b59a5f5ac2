"""A call for help: to whom it goes and when, and the road from the button to a mailbox."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine
from tests.controller.notify.bureau import EVERYTHING, Bureau
from tests.controller.notify.office import mail_server
from tests.controller.notify.planning import ALL, World, receiver, told
from tests.controller.notify.test_texts import RANK, bare, written

from annexfleet_controller.alerts import answers
from annexfleet_controller.i18n.catalogues import CODES
from annexfleet_controller.notify import channels, planning, texts
from annexfleet_controller.notify.model import Route
from annexfleet_controller.notify.outcome import again, permanent
from annexfleet_controller.notify.send import Sender
from annexfleet_controller.store import incidents
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.things import Incident

# -- whom and when


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (Route(audiences=("technician",)), ["1 help 1"]),
        (Route(audiences=("it",)), ["1 help 1"]),
        (Route(audiences=("staff",)), []),
        (Route(audiences=("staff", "it")), ["1 help 1"]),
        (Route(audiences=("it",), min_severity="critical"), ["1 help 1"]),
        (Route(audiences=("it",), annexes=("berkane-1",)), ["1 help 1"]),
        (Route(audiences=("it",), annexes=("berkane-2",)), []),
        (Route(audiences=("it",), level=1, after_s=600), []),
        (Route(audiences=("it",), hours="opening", critical_always=False), ["1 help 1"]),
    ],
)
@pytest.mark.parametrize("muted", [False, True])
def test_who_is_called(route: Route, expected: list[str], muted: bool):
    world = World(receiver(1, route))
    world.opens(muted=muted, severity="info")
    world.asks()

    assert [one for one in world.tell() if " help " in one] == expected


@pytest.mark.parametrize(
    ("hours", "expected"), [("always", ["1 help 1"]), ("opening", []), ("custom", [])]
)  # fmt: skip
def test_quiet_hours_hold_a_call_while_the_annex_is_closed(hours: str, expected: list[str]):
    world = World(receiver(1, Route(audiences=ALL, hours=hours, min_severity="critical")))  # type: ignore[arg-type]
    world.later(hours=10).opens()
    world.asks()

    assert world.tell() == expected
    # The next morning the annex is open, and who has hours of another time is called all the same.
    assert world.later(hours=13, minutes=30).tell() == ([] if expected else ["1 help 1"])


def test_a_call_does_not_wait_for_what_was_said_and_is_told_once_in_half_an_hour():
    world = World()
    world.opens()
    assert world.tell() == ["1 opened 1"]
    world.later(minutes=1).asks()
    assert world.tell() == ["1 help 1"]
    for _ in range(28):
        world.later(minutes=1).asks()
        assert world.tell() == []

    assert world.later(minutes=2).tell() == ["1 help 1"]
    assert world.later(hours=3).tell() == []
    world.resolves()
    assert world.tell() == ["1 resolved 1"]


def test_the_end_is_told_to_whom_only_the_call_was_and_waits_for_its_half_hour():
    world = World(receiver(1, Route(audiences=ALL, min_severity="critical")))
    world.opens()
    world.asks()
    world.tell()
    world.later(minutes=5).resolves()

    assert world.tell() == []
    assert world.later(minutes=25).tell() == ["1 resolved 1"]


def test_a_queued_call_is_not_queued_again_while_nobody_can_be_reached():
    world = World()
    world.opens()
    for _ in range(9):
        world.asks()
        world.queue()
        world.later(minutes=31)

    assert [told(row) for row in world.told] == ["1 help 1"]


CHAIN = (
    receiver(1, Route(audiences=("technician",), min_severity="critical")),
    receiver(2, Route(audiences=("it",), level=1, after_s=900, min_severity="critical")),
    receiver(3, Route(audiences=("it",), level=2, after_s=3600, min_severity="critical")),
)


def test_the_next_level_is_called_after_its_time():
    world = World(*CHAIN)
    world.opens()
    world.asks()

    assert world.tell() == ["1 help 1"]
    assert world.later(minutes=14).tell() == []
    assert world.later(minutes=1).tell() == ["2 help 1"]
    assert world.later(minutes=45).tell() == ["3 help 1"]
    assert world.later(hours=5).tell() == []


@pytest.mark.parametrize("acknowledged_after_s", [-60.0, 60.0])
def test_the_next_level_is_left_alone_once_somebody_has_it_in_charge(acknowledged_after_s: float):
    world = World(*CHAIN)
    world.opens()
    world.later(minutes=5).asks()
    world.becomes(acknowledged_at=world.now + timedelta(seconds=acknowledged_after_s))
    told_now = world.tell()

    assert world.later(hours=2).tell() == []
    # Who has it in charge already hears that somebody waits for them; who took it since knows.
    assert told_now == (["1 help 1"] if acknowledged_after_s < 0 else [])


def test_a_call_of_the_next_level_that_was_answered_is_not_sent():
    world = World(*CHAIN)
    world.opens()
    world.asks()
    world.tell()
    world.later(minutes=15).queue()
    world.becomes(acknowledged_at=world.now)

    assert world.deliver() == []


def test_where_nobody_comes_first_the_next_level_counts_from_the_call():
    world = World(CHAIN[1])
    world.opens()
    world.later(hours=1).asks()

    assert world.tell() == []
    assert world.later(minutes=15).tell() == ["2 help 1"]


def test_in_a_storm_calls_come_in_the_digest_and_first():
    world = World()
    for number in range(1, 6):
        world.opens(number, severity="critical")
    world.opens(9)
    world.asks(9)

    assert world.tell() == ["1 digest 9 1 2 3 4 5"]


# -- in words


def called(code: str, call: texts.Call | None, **changes: object) -> texts.Said:
    of = World()
    of.opens(rank=RANK, facts={"printer": "HP guichet 1"}, **changes)
    of.asks()
    (notice,) = of.planned()
    return texts.Said(notice.items[0], of.incidents[1], call)


def test_a_call_says_who_asks_what_they_write_what_is_wrong_and_who_waits():
    call = texts.Call(World().now, "karim", "It\nsmells of smoke")
    lines = bare(written("en", called("en", call)).text).splitlines()

    assert lines[0] == "Annexe de Berkane asks for help: Paper jam (HP guichet 1)."
    assert lines[1].startswith("Asked by karim on ")
    assert lines[2] == "They write: It smells of smoke"
    assert "12 people are waiting." in lines
    assert lines[-1] == "Details: https://fleet.example.ma/incidents/1"


@pytest.mark.parametrize("code", CODES)
def test_a_call_without_a_name_or_a_word_is_whole(code: str):
    for call in (None, texts.Call(World().now, "", "")):
        message = written(code, called(code, call))

        assert "%(" not in message.text
    assert bare(written("en", called("en", None)).text).splitlines()[1] == "Asked by staff of the annex."


@pytest.mark.parametrize("code", CODES)
def test_what_a_caller_writes_cannot_turn_or_fill_the_message(code: str):
    evil = "\u202e<b>x</b>\u2069\r\nBcc: y " + "long " * 300
    message = written(code, called(code, texts.Call(World().now, evil[:80], evil)))

    assert "\u202e" not in message.text + message.subject + message.short
    assert message.text.count("\u2068") == message.text.count("\u2069")
    assert "<b>" not in message.html
    assert len(message.text) < 1500
    assert "https://fleet.example.ma/incidents/1" in message.short


# -- from the button to a mailbox


@pytest.fixture
def bureau(engine: Engine) -> Bureau:
    return Bureau(engine)


def ask(bureau: Bureau, of: Incident, *, by: str = "karim", note: str = "") -> planning.Called:
    with writing(bureau.engine) as db:
        answers.ask_help(db, WHOLE, of.id, by=by, note=note, now=bureau.now)
    return reached(bureau, of)


def reached(bureau: Bureau, of: Incident) -> planning.Called:
    with reading(bureau.engine) as db:
        asked = incidents.help_asked(db, [of.id])[of.id]
        return planning.called(db, of, asked_at=asked.at)


def deliver(bureau: Bureau) -> list[str]:
    before = len(bureau.delivered)
    while bureau.sender.step():
        pass
    return [message.subject for _, message in bureau.delivered[before:]]


def test_the_button_reaches_a_mailbox(sqlite_engine: Engine):
    with mail_server() as post:
        bureau = Bureau(
            sqlite_engine, mail_url=post.url, public_url="https://fleet.example.ma"
        )  # fmt: skip
        bureau.contact("amina", language="fr")
        bureau.contact("caisse", replace(EVERYTHING, audiences="staff"))
        of = bureau.trouble(muted=True)

        assert ask(bureau, of, note="Ça sent la fumée") == planning.Called(1, "told")
        sender = Sender(sqlite_engine, bureau.home.settings, clock=bureau.clock, deliver=channels.deliver)
        while sender.step():
            pass

        (mail,) = post.mails
        assert mail["X-Receiver"] == "amina@example.ma"
        assert bare(mail["Subject"]).startswith("Annexe 1, demande d’aide : ")
        body = bare(mail.get_body(("plain",)).get_content())  # type: ignore[union-attr]
        assert "Aide demandée par karim" in body
        assert "Message : Ça sent la fumée" in body
        with reading(sqlite_engine) as db:
            story = [(line.kind, line.by, line.facts) for line in incidents.story(db, of.id)]
        assert story == [
            ("help_asked", "karim", {"note": "Ça sent la fumée"}),
            ("told", "amina", {"what": "help", "channel": "email"}),
        ]


def test_the_same_person_in_two_ways_is_one_and_a_system_is_nobody(bureau: Bureau):
    of = bureau.trouble()
    assert ask(bureau, of) == planning.Called(0, "nobody")
    bureau.contact("caisse", replace(EVERYTHING, audiences="staff"))
    assert reached(bureau, of) == planning.Called(0, "nobody")
    bureau.contact("tickets", kind="webhook", address="https://tickets.example.ma/hook", secret="shared")
    assert ask(bureau, of, by="salma") == planning.Called(0, "later")
    bureau.contact("amina")
    bureau.contact("youssef", kind="sms", address="+212600000001")
    assert ask(bureau, of, by="nadia") == planning.Called(2, "told")


def test_pressed_again_it_tells_nobody_twice_and_says_the_same(bureau: Bureau):
    bureau.contact()
    of = bureau.trouble()
    for minute in range(29):
        assert ask(bureau, of, by=f"karim-{minute % 3}", note=f"word {minute}") == planning.Called(1, "told")
        bureau.clock.turn(minutes=1)
        deliver(bureau)

    assert [row.kind for row in bureau.rows()] == ["help"]


def test_the_same_person_may_call_again_after_half_an_hour(bureau: Bureau):
    bureau.contact()
    of = bureau.trouble()
    ask(bureau, of)
    deliver(bureau)
    bureau.clock.turn(minutes=29)
    ask(bureau, of)
    assert deliver(bureau) == []
    bureau.clock.turn(minutes=1)
    ask(bureau, of)

    assert len(deliver(bureau)) == 1


def test_the_loop_calls_the_next_level(bureau: Bureau):
    bureau.contact("amina", replace(EVERYTHING, min_severity="critical"))
    bureau.contact("provincial", replace(EVERYTHING, min_severity="critical", level=1, after_s=900))
    of = bureau.trouble()
    assert ask(bureau, of) == planning.Called(1, "told")
    deliver(bureau)
    bureau.clock.turn(minutes=15)

    assert len(bureau.send()) == 1
    assert bureau.delivered[-1][0].address == "provincial@example.ma"
    assert reached(bureau, of) == planning.Called(2, "told")


@pytest.mark.parametrize("outcome", [again("unreachable"), permanent("refused")])
def test_who_could_not_be_reached_does_not_count(bureau: Bureau, outcome: object):
    bureau.contact()
    of = bureau.trouble()
    assert ask(bureau, of) == planning.Called(1, "told")
    bureau.answers = [outcome]  # type: ignore[list-item]
    deliver(bureau)

    assert reached(bureau, of) == planning.Called(0, "later")


def test_at_night_nobody_is_told_until_the_annex_opens(bureau: Bureau):
    bureau.contact("amina", replace(EVERYTHING, hours="opening", min_severity="critical"))
    bureau.clock.turn(hours=10)
    of = bureau.trouble()
    assert ask(bureau, of) == planning.Called(0, "later")
    bureau.clock.turn(hours=13, minutes=30)

    assert len(bureau.send()) == 1
    assert reached(bureau, of) == planning.Called(1, "told")


def test_a_call_of_before_the_end_is_forgotten_when_trouble_comes_back(bureau: Bureau):
    of = bureau.trouble()
    ask(bureau, of)
    with writing(bureau.engine) as db:
        incidents.tell(db, [incidents.Told(of.id, bureau.now, "resolved")])
    with reading(bureau.engine) as db:
        assert incidents.help_asked(db, [of.id]) == {}
