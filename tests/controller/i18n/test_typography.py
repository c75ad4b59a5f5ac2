"""Messages are set as a printer of that language would set them.

French: typographic apostrophes, a narrow no-break space before ; ! ? and a no-break space before : and % and inside
guillemets, so that no sign begins a line.  Arabic: its own comma, semicolon and question mark.
"""

import re
from collections.abc import Iterator

import pytest
from babel.messages import pofile

from annexfleet_controller.i18n.catalogues import catalogue_file

NARROW, WIDE = "\u202f", "\u00a0"
_AS_TYPED = re.compile(r"https?://\S+|ipps?://|usb://|hôte:port|HH:MM|%\([a-z_]+\)[sd]|\d\d:\d\d|[a-z]+:(?=\u00a0»)")
"""Notations that people type or read as they are, and what is put in later."""
_ARABIC = "\u0600-\u06ff"


def said(code: str) -> Iterator[str]:
    """Every translation of a language, each plural form by itself; notations stand as a letter."""
    with catalogue_file(code).open("rb") as file:
        for message in pofile.read_po(file, locale=code):
            forms = message.string if isinstance(message.string, tuple) else (message.string,)
            yield from (_AS_TYPED.sub("x", str(form)) for form in forms if message.id)


def broken(code: str, pattern: str) -> list[str]:
    return [text for text in said(code) if re.search(pattern, text)]


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a straight apostrophe", r"\w'[\w«]"),
        ("no narrow space before ; ! ?", rf"[^{NARROW}\s(«][;!?](?=\s|$|[)»])|[ {WIDE}][;!?]"),
        ("no space that holds before :", rf"[^{WIDE}\s(]:(?=\s|$|[)»])|[ {NARROW}]:(?=\s|$|[)»])"),
        ("no space that holds inside guillemets", rf"«(?!{WIDE})|(?<!{WIDE})»"),
        ("no space that holds before %", r"[\dx][ \u202f]?%(?!\w)"),
        ("three full stops for an ellipsis", r"\.\.\."),
        ("a straight quotation mark", r'"'),
    ],
)
def test_french_is_set_as_it_is_printed(what: str, pattern: str):
    assert not broken("fr", pattern), what


def test_a_device_has_one_name_in_french():
    assert not broken("fr", r"(?i)\b(postes?|machines?)\b"), "they are called appareils"


def test_arabic_uses_its_own_signs():
    assert not broken("ar", rf"[{_ARABIC}]\s*[,;?](?!\w)|[,;?]\s*[{_ARABIC}]")


def test_the_program_on_a_device_has_one_name_in_arabic():
    assert not broken("ar", r"الوكيل|برنامج المراقبة"), "it is called البرنامج المحلي"
