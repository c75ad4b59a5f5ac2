"""Settings as people typed them, checked: each refusal names its field.  Thinks only."""

import re
from collections.abc import Collection

from msgspec import Struct

from annexfleet_controller import zones
from annexfleet_controller.errors import SettingWrong

LONGEST_NAME = 200
LONGEST_DEVICE_NAME = 120
LONGEST_PLACE = 80
LONGEST_NOTE = 500
MOST_TAGS = 20
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")
_TAG = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class AnnexWish(Struct, frozen=True, kw_only=True):
    """What a person decides about an annex."""

    name_fr: str
    name_ar: str
    time_zone: str = "Africa/Casablanca"
    district: str = ""
    """The id of one that there is, or empty."""
    note: str = ""


class DeviceWish(Struct, frozen=True, kw_only=True):
    """What a person decides about a device, apart from where it is."""

    name: str
    place: str = ""
    tags: tuple[str, ...] | None = None
    """None: as they are."""
    connection: tuple[str, str] | None = None
    """mqtt or ssh, and the address of ssh, both checked; None: as it is."""


def annex(wish: AnnexWish, *, districts: Collection[str]) -> AnnexWish:
    """The wish without blanks around it.  Raises SettingWrong."""
    district = wish.district.strip()
    if district and district not in districts:
        raise SettingWrong(field="district", reason="unknown")
    time_zone = wish.time_zone.strip()
    try:
        zones.zone(time_zone)
    except ValueError:
        raise SettingWrong(field="time_zone", reason="no_time_zone") from None
    return AnnexWish(
        name_fr=line(wish.name_fr, "name_fr", LONGEST_NAME), name_ar=line(wish.name_ar, "name_ar", LONGEST_NAME),
        time_zone=time_zone, district=district, note=_note(wish.note),
    )  # fmt: skip


def device(wish: DeviceWish) -> DeviceWish:
    """The wish without blanks around it, its tags in order.  Raises SettingWrong."""
    return DeviceWish(
        name=line(wish.name, "name", LONGEST_DEVICE_NAME),
        place=line(wish.place, "place", LONGEST_PLACE, may_be_empty=True),
        tags=None if wish.tags is None else tags(wish.tags),
        connection=wish.connection,
    )


def tags(typed: Collection[str]) -> tuple[str, ...]:
    """Raises SettingWrong for a word that can be no tag, or too many of them."""
    found = {tag.strip().lower() for tag in typed if tag.strip()}
    if any(not _TAG.fullmatch(tag) for tag in found):
        raise SettingWrong(field="tags", reason="not_a_tag")
    if len(found) > MOST_TAGS:
        raise SettingWrong(field="tags", reason="too_many")
    return tuple(sorted(found))


def short_name(text: str, field: str = "id") -> str:
    """An id for addresses.  Raises SettingWrong."""
    text = text.strip()
    if not text:
        raise SettingWrong(field=field, reason="missing")
    if not _ID.fullmatch(text):
        raise SettingWrong(field=field, reason="not_an_id")
    return text


def line(text: str, field: str, longest: int, *, may_be_empty: bool = False) -> str:
    """One line of text that every reader can see.  Raises SettingWrong."""
    text = " ".join(text.split(" ")).strip()
    if not text and not may_be_empty:
        raise SettingWrong(field=field, reason="missing")
    if not text.isprintable():
        raise SettingWrong(field=field, reason="not_text")
    if len(text) > longest:
        raise SettingWrong(field=field, reason="too_long")
    return text


def _note(text: str) -> str:
    """Several lines."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    if not all(one.isprintable() for one in lines):
        raise SettingWrong(field="note", reason="not_text")
    if len(note := "\n".join(one.rstrip() for one in lines)) > LONGEST_NOTE:
        raise SettingWrong(field="note", reason="too_long")
    return note
