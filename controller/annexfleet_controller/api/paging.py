"""Pages by cursor: an opaque word that says after which item the next page begins."""

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime

from annexfleet_controller.errors import Invalid

Limit = Annotated[int, Query(ge=1, le=500, description="At most so many items")]
Cursor = Annotated[str, Query(max_length=2000, description="`next` of the page before")]
Search = Annotated[str, Query(max_length=100, description="Part of a name, an id, a model or a serial number")]


LARGEST_ID = 2**63 - 1
"""What the databases number rows up to."""


def _in_reach(at: datetime) -> datetime:
    if not is_in_reach(at):
        raise ValueError("a moment from 1971 to 9000")
    return at


def is_in_reach(at: datetime) -> bool:
    """Whether one can count on from a moment, in any time zone."""
    return at.tzinfo is not None and 1971 <= at.year <= 9000


Moment = Annotated[AwareDatetime, AfterValidator(_in_reach)]


def cursor(*keys: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=")


def keys(text: str, count: int) -> list[str] | None:
    """What `cursor` was given; None for no cursor.  Raises Invalid for one that is not ours."""
    if not text:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):  # ValueError: not UTF-8, not ASCII or not JSON
        raise Invalid("not a cursor", field="cursor") from None
    if not isinstance(found, list) or len(found) != count or not all(map(_is_text, found)):
        raise Invalid("not a cursor", field="cursor")
    return found


def _is_text(key: object) -> bool:
    """Whether a database takes it as text: JSON may hold a NUL and half of a surrogate pair, which none does."""
    return isinstance(key, str) and "\0" not in key and not any("\ud800" <= letter <= "\udfff" for letter in key)
