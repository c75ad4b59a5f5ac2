"""No sentence is missing in any catalogue, and none is left over; whose wish counts, and how one counts."""

import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages import pofile
from babel.messages.extract import extract_from_dir
from tests.controller.i18n.words import ROOM, msgids

from annexfleet_controller.i18n.catalogues import CODES, catalogue_file, language, languages_in, negotiate


@cache
def asked_for() -> set[str]:
    """Every sentence that templates and code ask to be translated."""
    found = extract_from_dir(
        ROOM,
        method_map=[("**/templates/**.html", "jinja2.ext:babel_extract"), ("**.py", "python")],
        options_map={"**/templates/**.html": {"newstyle_gettext": "true", "silent": "false"}},
        keywords={"_": None, "gettext": None, "ngettext": (1, 2)},
    )
    return {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}


def test_a_catalogue_is_all_that_one_more_language_needs(tmp_path: Path):
    for code in (*CODES, "zgh"):
        (tmp_path / code).mkdir()
        (tmp_path / code / "messages.po").touch()
    (tmp_path / "notes").mkdir()

    assert languages_in(tmp_path) == ("fr", "ar", "en", "zgh")


@pytest.mark.parametrize("code", CODES)
def test_every_sentence_is_in_every_catalogue_and_none_is_left_over(code: str):
    sentences = {id_ for context, id_ in msgids(code) if context is None}

    assert sentences == asked_for()


@pytest.mark.parametrize("code", CODES)
def test_all_catalogues_hold_the_same(code: str):
    assert msgids(code) == msgids("en")


@pytest.mark.parametrize("code", CODES)
def test_nothing_is_left_untranslated(code: str):
    with catalogue_file(code).open("rb") as file:
        read = pofile.read_po(file, locale=code)

    for message in read:
        texts = [message.string] if isinstance(message.string, str) else list(message.string)
        assert all(texts), message.id
        assert not message.fuzzy, message.id
        assert len(texts) in {1, read.num_plurals}, message.id


@pytest.mark.parametrize("code", CODES)
def test_placeholders_are_those_of_the_sentence(code: str):
    with catalogue_file(code).open("rb") as file:
        read = pofile.read_po(file, locale=code)

    with catalogue_file("en").open("rb") as file:
        english = {(m.context, m.id): str(m.string) for m in pofile.read_po(file, locale="en") if isinstance(m.id, str)}

    for message in read:
        if not message.id or isinstance(message.id, tuple | list):
            continue  # a plural form may leave the number out: "two devices"
        is_code = message.context and re.fullmatch(r"[\w.]+", message.id)
        sentence = english[message.context, message.id] if is_code else message.id
        assert set(re.findall(r"%\(\w+\)s", sentence)) == set(re.findall(r"%\(\w+\)s", str(message.string))), message.id


@pytest.mark.parametrize(
    ("wishes", "accept", "expected"),
    [
        ((), "", "fr"),
        ((), "ar-MA,ar;q=0.9,fr;q=0.5", "ar"),
        ((), "de,en;q=0.3,fr;q=0.2", "en"),
        ((), "en;q=0,ar;q=0.1", "ar"),
        ((), "de;q=1,*;q=0.5", "fr"),
        ((), "en;q=high", "fr"),
        (("ar", "en"), "fr", "ar"),
        (("", "en"), "fr", "en"),
        (("xx",), "en", "en"),
    ],
)
def test_whose_wish_counts_for_the_language(wishes: tuple[str, ...], accept: str, expected: str):
    assert negotiate(*wishes, accept=accept) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "لا جهاز متصل"),
        (1, "جهاز واحد متصل"),
        (2, "جهازان متصلان"),
        (3, "3 أجهزة متصلة"),
        (11, "11 جهازا متصلا"),
        (99, "99 جهازا متصلا"),
        (100, "100 جهاز متصل"),
        (103, "103 أجهزة متصلة"),
    ],
)
def test_arabic_counts_in_six_ways(count: int, expected: str):
    text = language("ar").ngettext("%(num)s device online", "%(num)s devices online", count)

    assert text.replace("%(num)s", str(count)) == expected


def test_a_code_that_nobody_knows_is_shown_as_it_is():
    assert language("ar").name("cause", "printer_on_fire") == "printer_on_fire"
