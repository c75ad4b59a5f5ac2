"""The languages of the product: their words from the gettext catalogues in locales/, compiled in memory at start.

English is the language of the message ids, and has a catalogue too, because codes (metrics, causes, states, errors) are
ids that nobody should read.  A code is looked up with its kind as gettext's context: `language.name("metric", code)`.
"""

import gettext
import io
from functools import cache
from pathlib import Path
from typing import Literal

from babel import Locale
from babel.messages import mofile, pofile
from msgspec import Struct

LOCALES_DIR = Path(__file__).parent / "locales"
_FIRST = ("fr", "ar", "en")


def languages_in(directory: Path) -> tuple[str, ...]:
    """The languages that have a catalogue there: a folder `zgh` with a `messages.po` is enough for one more."""
    there = {file.parent.name for file in directory.glob("*/messages.po")}
    return (*(code for code in _FIRST if code in there), *sorted(there.difference(_FIRST)))


CODES = languages_in(LOCALES_DIR)
"""The first is the one when nobody asked for another: the administration writes French."""

_LOCALES = {"en": "en_GB", "fr": "fr_MA", "ar": "ar_MA"}
"""Where a language is written otherwise here than elsewhere; others go by their code."""


class Language(Struct, frozen=True):
    """One language, with its words and its habits."""

    code: str
    direction: Literal["ltr", "rtl"]
    locale: Locale
    words: gettext.GNUTranslations

    def gettext(self, sentence: str) -> str:
        return self.words.gettext(sentence)

    def ngettext(self, one: str, many: str, count: int) -> str:
        return self.words.ngettext(one, many, count)

    def name(self, kind: str, code: str) -> str:
        """The words for a code of the protocol or of an error; one that is not known here is shown as it is."""
        return self.words.pgettext(kind, code)

    def knows(self, kind: str, code: str) -> bool:
        return self.words.pgettext(kind, code) != code


@cache
def language(code: str) -> Language:
    """The language of this code; the first of CODES for one that is not there."""
    if code not in CODES:
        code = CODES[0]
    locale = Locale.parse(_LOCALES.get(code, code))
    return Language(code, "rtl" if locale.text_direction == "rtl" else "ltr", locale, _compiled(code))


def catalogue_file(code: str) -> Path:
    return LOCALES_DIR / code / "messages.po"


def negotiate(*wishes: str, accept: str = "") -> str:
    """The first wish that is one of CODES, else the best of an Accept-Language header, else the first of CODES."""
    for wish in wishes:
        if wish in CODES:
            return wish
    offers: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept.split(",")[:20]):
        tag, _, rest = part.strip().partition(";")
        code = tag.partition("-")[0].lower()
        if code in CODES:
            offers.append((-_quality(rest), place, code))
    offers = [offer for offer in offers if offer[0] < 0]
    return min(offers)[2] if offers else CODES[0]


def _quality(parameter: str) -> float:
    key, _, value = parameter.strip().partition("=")
    if key.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _compiled(code: str) -> gettext.GNUTranslations:
    with catalogue_file(code).open("rb") as file:
        catalogue = pofile.read_po(file, locale=code)
    compiled = io.BytesIO()
    mofile.write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
