"""What notices say, in each language and form."""

import json
from datetime import timedelta

import pytest
from tests.controller.notify.planning import MONDAY, incident

from annexfleet_controller.i18n.catalogues import CODES, language
from annexfleet_controller.notify import sms, texts
from annexfleet_controller.notify.channels import Message
from annexfleet_controller.notify.model import CONTACT_KINDS, HOURS, NOTICE_KINDS, NOTICE_STATES, WHATS, Item, What
from annexfleet_controller.notify.outcome import REASONS
from annexfleet_controller.notify.texts import Place, Said
from annexfleet_controller.things import AUDIENCES, SEVERITIES, Rank

PLACES = {"berkane-1": Place("Annexe de Berkane", "ملحقة بركان")}
RANK = Rank(score=10, people_waiting=12.4, services_blocked=("residence",), minutes=30)


def said(what: What = "opened", **changes: object) -> Said:
    facts = {"printer": "HP guichet 1", "ratio": 0.08}
    of = incident(**({"rank": RANK, "facts": facts} | changes))
    return Said(Item(incident_id=of.id, what=what, severity=of.severity), of)


def written(code: str, *of: Said, url: str = "https://fleet.example.ma/") -> Message:
    kind = "test" if not of else "digest" if len(of) > 1 else of[0].item.what
    return texts.message(
        language(code), kind, of, PLACES, notice_id="1-a", public_url=url, now=MONDAY + timedelta(hours=1)
    )


def bare(text: str) -> str:
    return text.replace("\u2068", "").replace("\u2069", "").replace("\u202f", " ").replace("\xa0", " ")


def test_a_notice_says_what_where_since_when_who_is_affected_and_what_to_do():
    lines = bare(written("fr", said()).text).splitlines()

    assert lines[0].startswith("Annexe de Berkane : ")
    assert "HP guichet 1" in lines[0]
    assert lines[1].startswith("Depuis le 23 nov. 2026")
    assert lines[2] == "Gravité : Avertissement."
    assert lines[3] == "12 personnes attendent."
    assert lines[4].startswith("Services qui ne peuvent pas être rendus : ")
    assert lines[5].startswith("Que faire : ")
    assert lines[-1] == "Détails : https://fleet.example.ma/incidents/1"


def test_an_estimate_is_called_one():
    of = said(rank=Rank(people_waiting=12.4, people_estimated=True))

    assert "About 12 people are waiting, as is usual at this hour." in bare(written("en", of).text)


def test_the_end_says_how_long_it_lasted_and_asks_for_nothing():
    of = said("resolved", state="resolved", ended_at=MONDAY + timedelta(minutes=50))
    text = bare(written("en", of).text)

    assert "lasted 50 min" in text
    assert "What to do" not in text


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("what", WHATS)
def test_every_word_in_every_language_is_whole(code: str, what: What):
    message = written(code, said(what))

    for text in (message.subject, message.text, message.html, message.short):
        assert text
        assert "%(" not in text
    assert "\n" not in message.subject
    assert len({written(code, said(one)).subject for one in WHATS}) == len(WHATS)


@pytest.mark.parametrize("code", CODES)
def test_a_stranger_cannot_turn_the_text_around(code: str):
    of = said(facts={"printer": "\u202eevil\u2069 <b>name</b>\r\nBcc: x"})
    message = written(code, of)

    assert "\u202e" not in message.text
    assert "<b>" not in message.html
    assert "&lt;b&gt;" in message.html
    for text in (message.subject, message.text):
        assert text.count("\u2068") == text.count("\u2069")
    assert "\n" not in message.subject
    assert "\r" not in message.subject


def test_arabic_mail_runs_from_right_to_left():
    message = written("ar", said())

    assert message.html.startswith('<div lang="ar" dir="rtl">')
    assert "ملحقة بركان" in message.subject
    assert "12 شخصا في الانتظار" in message.text


def test_a_digest_lists_the_first_and_counts_the_rest():
    message = written("en", *(said("opened", id=number) for number in range(1, 26)))

    assert bare(message.subject).startswith("annexfleet: 25 matters, first: Annexe de Berkane")
    assert message.text.count("Annexe de Berkane") == texts.MOST_IN_A_DIGEST
    assert "and 5 more" in message.text
    assert bare(message.text).rstrip().endswith("https://fleet.example.ma/incidents")


def test_many_annexes_are_counted_and_none_is_the_province():
    many = said(annexes=tuple(f"annexe-{number}" for number in range(9)))
    none = said(annex_id="", annexes=())

    assert "and 6 more" in written("en", many).subject
    assert "the whole province" in written("en", none).subject


@pytest.mark.parametrize("code", CODES)
def test_a_short_message_takes_two_segments_at_most(code: str):
    long = said(facts={"printer": "imprimante " * 40, "portal": "p" * 900})

    assert 1 <= sms.segments(written(code, long).short) <= 2
    assert sms.segments(written(code, *[long] * 9).short) <= 2
    assert sms.segments(written(code).short) <= 2


def test_a_short_message_in_french_stays_in_the_alphabet_of_telephones():
    short = written("fr", said()).short

    assert all(letter in sms._GSM or letter in sms._GSM_TWICE for letter in short)
    assert "https://fleet.example.ma/incidents/1" in short


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3), ("€" * 80, 1), ("€" * 81, 2), ("", 1),
        ("ع" * 70, 1), ("ع" * 71, 2), ("ع" * 134, 2), ("ع" * 135, 3), ("ê", 1),
    ],
)  # fmt: skip
def test_how_many_segments_a_text_takes(text: str, expected: int):
    assert sms.segments(text) == expected


def test_what_does_not_fit_is_left_out_or_cut_with_its_isolation_closed():
    assert sms.fitted(["l’imprimante « HP »", "x" * 400]) == 'l\'imprimante " HP "'
    cut = sms.fitted(["\u2068" + "ع" * 300 + "\u2069"])
    assert cut.endswith("\u2069...")
    assert sms.segments(cut) == 2


def test_another_system_gets_codes_and_words():
    told = json.loads(written("en", said("worsened", severity="critical")).json)

    assert (told["version"], told["notice"], told["kind"]) == (1, "1-a", "worsened")
    (one,) = told["incidents"]
    assert {name: one[name] for name in ("id", "what", "state", "cause", "severity", "annexes")} == {
        "id": 1, "what": "worsened", "state": "open", "cause": "paper_jam", "severity": "critical",
        "annexes": ["berkane-1"],
    }  # fmt: skip
    assert one["began_at"] == "2026-11-23T09:00:00Z"
    assert one["services_blocked"] == ["residence"]
    assert one["url"] == "https://fleet.example.ma/incidents/1"
    assert "\u2068" not in one["title"] + one["action"]
    assert json.loads(written("en").json)["incidents"] == []


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("notice_reason", [reason for reason in REASONS if reason]),
        ("notice_kind", NOTICE_KINDS),
        ("notice_state", NOTICE_STATES),
        ("notice_hours", HOURS),
        ("contact_kind", CONTACT_KINDS),
        ("audience", AUDIENCES),
        ("severity", SEVERITIES),
    ],
)
def test_every_code_has_words(code: str, kind: str, codes: list[str]):
    assert [one for one in codes if not language(code).knows(kind, one)] == []
