"""Everyone is told what is wrong and what to do, whatever is known of it and whoever named it."""

# ruff: noqa: E501  # a table is read along its rows

import re
import unicodedata

import pytest
from babel.messages import pofile

from annexfleet_agent.protocol import causes as protocol
from annexfleet_controller.i18n.catalogues import CODES, catalogue_file, language
from annexfleet_controller.i18n.guidance import (
    CAUSES,
    LONGEST_FACT,
    LONGEST_LIST,
    TEXTS,
    guidance,
    has_guidance,
    is_for_technician,
    then_who,
    who,
)

PROMISED = [
    "device_offline", "device_missing", "device_flapping", "cpu_high", "memory_high", "swap_high", "disk_low",
    "disk_critical", "disk_read_only", "battery_low", "battery_critical", "battery_worn", "temperature_high",
    "clock_wrong", "reboot_needed", "reboot_unexpected", "agent_outdated", "agent_backlog", "config_drift",
    "orders_forged",
    "power_cut", "line_cut", "portal_down", "portal_down_everywhere", "portal_slow", "portal_certificate",
    "queue_long", "queue_critical", "queue_stalled", "queue_silent", "print_queue_deep", "print_queue_healed",
    "print_queue_not_healed", "jam_repeat", "supply_low", "supply_empty", "waste_almost_full", "waste_full",
    "annex_cannot_serve", "annex_degraded", "update_tonight", "i_fixed_it", "ask_help", "fix_checking",
    "fix_confirmed", "fix_not_confirmed", "fix_unknown",
]  # fmt: skip
ALL_FACTS = {
    "printer": "HP M404", "device": "PC-3", "queue": "Etat civil", "portal": "e-Rdv", "annex": "Berkane 1",
    "tray": "tray-2", "media": "iso_a4_210x297mm", "colour": "black", "supply": "opc", "services": "A, B",
    "time": "12 min", "ratio": "8\u202f%", "temperature": "91 °C", "count": "12", "cause": "paper_jam",
}  # fmt: skip
HOSTILE = "\u202e\u2067\u2069%s%(x)s\r\n\u2029<b>\u061c\ud800" + "يييي" * 200
FSI, PDI = "\u2068", "\u2069"
ISOLATED = re.compile(f"{FSI}([^{FSI}{PDI}]*){PDI}")


def sentences(code: str) -> dict[tuple[str, str], str]:
    with catalogue_file(code).open("rb") as file:
        read = pofile.read_po(file, locale=code)
    return {(m.context, m.id): m.string for m in read if m.context in {"cause_title", "cause_action"}}  # type: ignore[misc]


def read(code: str, cause: str, facts: dict[str, str]) -> str:
    """Title and action in one, without the isolates; which spaces hold is `test_typography`'s to say."""
    words = guidance(language(code), cause, facts)
    return re.sub("[\xa0\u202f]", " ", re.sub(f"[{FSI}{PDI}]", "", f"{words.title}: {words.action}"))


@pytest.mark.parametrize("code", CODES)
def test_the_catalogues_hold_each_sentence_of_the_table_and_no_other(code: str):
    assert set(sentences(code)) == {one for row in TEXTS.values() for one in row.ids()}


@pytest.mark.parametrize("code", CODES)
def test_a_sentence_mentions_the_facts_of_its_id_and_no_other_percent_sign(code: str):
    for (_, id_), text in sentences(code).items():
        assert sorted(re.findall(r"%\(\w+\)s", id_)) == sorted(re.findall(r"%\(\w+\)s", text)), id_
        assert "%" not in re.sub(r"%\(\w+\)s", "", text), id_


def test_no_choice_of_words_is_hidden_by_one_before_it():
    for row in TEXTS.values():
        for choices in filter(None, (row.titles, row.actions)):
            sets = [set(facts.split()) for facts in choices]
            assert sets[-1] == set(), row.id
            assert not [one for place, one in enumerate(sets) if any(earlier <= one for earlier in sets[:place])], (
                row.id
            )


@pytest.mark.parametrize("code", CODES)
def test_titles_have_no_full_stop_and_actions_have_one(code: str):
    for (context, id_), text in sentences(code).items():
        assert text.endswith(".") == (context == "cause_action"), id_
        assert len(text) <= (100 if context == "cause_title" else 160), id_


def test_every_cause_that_was_promised_and_every_cause_of_a_printer_has_words():
    assert [cause for cause in (*PROMISED, *protocol.CAUSES) if not has_guidance(cause)] == []
    assert not has_guidance("printer_on_fire")
    assert set(protocol.CAUSES) <= set(CAUSES) <= set(TEXTS)
    assert not {"i_fixed_it", "fix_checking", "annex_ok"} & set(CAUSES)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("facts", [{}, ALL_FACTS], ids=["no facts", "all facts"])
def test_every_text_renders_and_tells_who_must_act_what_to_do(code: str, facts: dict[str, str]):
    for cause in TEXTS:
        words = guidance(language(code), cause, facts)

        assert words.title, cause
        assert "_" not in words.title + words.action, cause
        assert "%(" not in words.title + words.action, cause
        assert words.action or who(cause) == "nobody", cause
        assert (FSI in words.title + words.action) <= bool(facts), cause
        for text in (words.title, words.action):
            assert not re.search(r"  |\( *\)|[:،,;(] *[.)]", text), text


def test_each_known_fact_of_a_text_is_shown():
    for row in TEXTS.values():
        for choices in (row.titles, row.actions):
            for facts in choices:
                given = {fact: ALL_FACTS[fact] for fact in facts.split()}
                words = guidance(language("en"), row.id, given)
                assert len(ISOLATED.findall(words.title)) + len(ISOLATED.findall(words.action)) >= len(given), row.id


@pytest.mark.parametrize("code", CODES)
def test_a_hostile_fact_neither_turns_the_text_nor_ends_its_isolation(code: str):
    facts = dict.fromkeys(ALL_FACTS, HOSTILE)
    for cause in TEXTS:
        words = guidance(language(code), cause, facts)
        for text in (words.title, words.action):
            text.encode("utf-8")
            values, outside = ISOLATED.findall(text), ISOLATED.sub("", text)
            assert not {FSI, PDI} & set(outside), cause  # each isolate is closed, none is closed early
            assert not {unicodedata.bidirectional(sign) for sign in text} & {"RLO", "RLE", "RLI", "LRI", "PDF", "B"}, (
                cause
            )
            assert not {"\u061c", "\u200f", "\u200e", "\r", "\n"} & set(text), cause
            assert all(len(value) <= LONGEST_LIST for value in values)
            assert len(text) <= 3 * LONGEST_FACT + LONGEST_LIST + 160, cause


def test_a_long_name_is_cut_and_a_percent_sign_is_only_a_sign():
    words = guidance(language("en"), "paper_jam", {"printer": "%(title)s %d 100% " + "x" * 500})

    assert words.title == f"Paper jam ({FSI}%(title)s %d 100% {'x' * 41}…{PDI})"
    assert ISOLATED.findall(words.title)[0] == "%(title)s %d 100% " + "x" * 41 + "…"


@pytest.mark.parametrize("empty", ["", "  ", "\u200b", "\u202e\u2069", "\n\u2029", "\u200d", "\ud800"])
def test_a_fact_that_shows_nothing_is_one_that_nobody_knows(empty: str):
    assert guidance(language("fr"), "paper_empty", {"tray": empty, "printer": empty}) == guidance(
        language("fr"), "paper_empty"
    )


@pytest.mark.parametrize(
    ("cause", "facts", "expected"),
    [
        ("paper_empty", {}, "Plus de papier: Remettez du papier dans le bac. L’impression reprendra automatiquement."),
        ("paper_empty", {"tray": "Tray 2"}, "Plus de papier: Remettez du papier dans le bac 2. L’impression reprendra automatiquement."),
        ("tray_missing", {"tray": "Backup"}, "Bac à papier absent: Insérez le bac Backup à fond dans l’imprimante."),
        ("tray_missing", {"tray": "bac3"}, "Bac à papier absent: Insérez le bac 3 à fond dans l’imprimante."),
        ("paper_wrong", {"media": "iso_a4_210x297mm"}, "Le document demande un autre papier: Placez du papier A4 dans le bac, puis validez sur l’imprimante."),
        ("paper_wrong", {"media": "na_letter_8.5x11in", "tray": "1"}, "Le document demande un autre papier: Placez du papier Letter dans le bac 1, puis validez sur l’imprimante."),
        ("toner_low", {"colour": "yellow", "supply": "tonerCartridge"}, "Cartouche jaune bientôt vide: L’impression fonctionne encore ; une nouvelle cartouche est prévue."),
        ("toner_low", {"colour": "TK-1170"}, "Cartouche TK-1170 bientôt vide: L’impression fonctionne encore ; une nouvelle cartouche est prévue."),
        ("supply_low", {"colour": "#000000", "ratio": "8 %"}, "Cartouche noire bientôt vide: Il en reste environ 8 %. L’impression fonctionne encore ; un remplacement est prévu."),
        ("supply_low", {"colour": "#123456"}, "Consommable de l’imprimante bientôt épuisé: L’impression fonctionne encore ; un remplacement est prévu."),
        ("supply_low", {"colour": "black", "supply": "opc"}, "Consommable bientôt épuisé : tambour: L’impression fonctionne encore ; un remplacement est prévu."),
        ("portal_down", {"annex": "Berkane 1"}, "Le portail citoyen ne répond pas (Berkane 1): Le service informatique est prévenu."),
        ("portal_down", {"portal": "e-Rdv"}, "Portail sans réponse : e-Rdv: Le service informatique est prévenu."),
        ("disk_low", {"ratio": "91 %", "device": "PC-3"}, "Le disque de l’appareil est plein à 91 % (PC-3): N’y enregistrez pas de fichiers volumineux ; le service informatique est prévenu."),
        ("fix_not_confirmed", {"printer": "P2", "cause": "toner_empty"}, "P2 signale toujours : Cartouche vide: Veuillez réessayer ; si le problème persiste et que personne n’a encore demandé d’aide, appuyez sur « Demander de l’aide »."),
        ("fix_checking", {"time": "2 min"}, "Vérification en cours, 2 min au plus: "),
        ("printer_on_fire", {"printer": "P2"}, "L’imprimante signale un problème (P2): Regardez son écran ; en cas de doute, appuyez sur « Demander de l’aide »."),
    ],
)  # fmt: skip
def test_the_sentence_is_the_one_for_what_is_known(cause: str, facts: dict[str, str], expected: str):
    assert read("fr", cause, facts) == expected


def test_a_figure_keeps_its_narrow_space_and_arabic_its_agreement():
    words = guidance(language("ar"), "supply_empty", {"colour": "black"})

    assert (
        guidance(language("fr"), "battery_low", {"ratio": "8\u202f%"}).title
        == f"Batterie faible\xa0: {FSI}8\u202f%{PDI}"
    )
    assert words.title == f"خرطوشة الحبر {FSI}السوداء{PDI} فارغة"


@pytest.mark.parametrize("code", CODES)
def test_a_button_is_named_as_the_sentences_name_it(code: str):
    button = guidance(language(code), "ask_help").title
    quoted = {name for text in sentences(code).values() for name in re.findall(r"[“«]\s?([^”»]+?)\s?[”»]", text)}

    assert quoted == {button}


def test_who_can_end_a_printers_trouble_is_what_the_protocol_says():
    for cause in protocol.CAUSES.values():
        assert who(cause.id) == ("nobody" if cause.who == "auto" else cause.who)
        assert then_who(cause.id) == cause.then


def test_nobody_is_asked_twice_and_an_unknown_cause_is_for_it():
    assert [row.id for row in TEXTS.values() if row.who == row.then] == []
    assert (who("queue_paused"), then_who("queue_paused")) == ("nobody", "technician")
    assert (who("printer_on_fire"), then_who("printer_on_fire")) == ("it", None)


@pytest.mark.parametrize(
    ("cause", "goes"),
    [
        ("fuser_fault", True),
        ("toner_empty", True),  # staff first, then the technician
        ("paper_empty", False),
        ("sleep_or_warmup", False),
        ("something_newer", True),
    ],
)
def test_what_a_technician_goes_to(cause: str, *, goes: bool):
    assert is_for_technician(cause) is goes
