"""The sheet that goes with new devices: what to type, what to scan, in Arabic and French.

It holds the token, so it is in one answer only, like the token itself.
"""

from datetime import datetime

import segno
from markupsafe import Markup
from msgspec import Struct

from annexfleet_controller.i18n import formats
from annexfleet_controller.i18n.catalogues import language
from annexfleet_controller.store.tables.places import Annex

_STEPS = ("step_install", "step_type", "step_paste", "step_tablet", "step_seen", "step_shred")
COMMAND = "sudo annexfleet-agent enrol -"


class Side(Struct, frozen=True):
    """The sheet in one language."""

    code: str
    direction: str
    title: str
    place: str
    facts: tuple[tuple[str, str], ...]
    steps: tuple[str, ...]


class Sheet(Struct, frozen=True):
    code: Markup
    """The token as a picture: an SVG of our own making."""
    command: str
    token: str
    sides: tuple[Side, ...]


def sheet(token: str, place: Annex, *, role: str, devices: int, until: datetime) -> Sheet:
    """Everything that is printed."""
    # Medium correction: the sheet is folded and carried along; more would make the squares too small for old cameras.
    picture = segno.make(token, error="m", micro=False).svg_inline(border=4, scale=1, omitsize=True, light="#fff")
    return Sheet(
        Markup(picture),  # noqa: S704  # made here, of the token's letters alone
        COMMAND, token, tuple(_side(code, place, role=role, devices=devices, until=until) for code in ("ar", "fr")),
    )  # fmt: skip


def _side(code: str, place: Annex, *, role: str, devices: int, until: datetime) -> Side:
    words = language(code)
    facts = (
        (words.name("enrol_sheet", "role"), words.name("device_role", role) if role else "–"),
        (words.name("enrol_sheet", "devices"), formats.number(words, devices)),
        (words.name("enrol_sheet", "until"), formats.moment(words, until)),
    )
    return Side(
        code, words.direction, words.name("enrol_sheet", "title"), place.name_ar if code == "ar" else place.name_fr,
        facts, tuple(words.name("enrol_sheet", step) for step in _STEPS),
    )  # fmt: skip
