"""Pages by cursor: an opaque word that says after which item the next page begins."""

import base64
import binascii
import json
from typing import Annotated

from fastapi import Query

from annexfleet_controller.errors import Invalid

Limit = Annotated[int, Query(ge=1, le=500, description="At most so many items")]
Cursor = Annotated[str, Query(max_length=2000, description="`next` of the page before")]
Search = Annotated[str, Query(max_length=100, description="Part of a name, an id, a model or a serial number")]


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
    if not isinstance(found, list) or len(found) != count or not all(isinstance(key, str) for key in found):
        raise Invalid("not a cursor", field="cursor")
    return found
