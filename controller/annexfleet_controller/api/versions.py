"""The optimistic lock as HTTP has it: `ETag` tells the version, `If-Match` or `version` in the body gives it back."""

from typing import Annotated

from fastapi import Header
from pydantic import Field

from annexfleet_controller.errors import Invalid, VersionMissing

LARGEST = 2**31 - 1
LARGEST_STAMP = 2**53 - 1
"""Where a moment or a digest stands for the version: what a program in any language reads without loss."""

IfMatch = Annotated[
    str, Header(alias="If-Match", max_length=40, description="The `ETag` that was read, in place of `version`")
]
Version = Annotated[
    int | None, Field(ge=1, le=LARGEST, description="As it was read; refused if somebody changed it since")
]


def etag(version: int) -> str:
    return f'"{version}"'


def demanded(if_match: str, version: int | None, *, least: int = 1, largest: int = LARGEST) -> int:
    """The version that the caller read.

    Raises VersionMissing where they say none (`*`, whatever there is, is none), and Invalid where If-Match is not one
    of ours or contradicts the body.
    """
    given = if_match.strip()
    if given in ("", "*"):
        if version is None:
            raise VersionMissing("If-Match or version is needed", field="version")
        return version
    text = given.removeprefix('"').removesuffix('"')
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= largest:
        raise Invalid("not an ETag of ours", field="If-Match", reason="wrong_form")
    if version is not None and version != int(text):
        raise Invalid("If-Match and version are not the same", field="version", reason="contradicts")
    return int(text)
