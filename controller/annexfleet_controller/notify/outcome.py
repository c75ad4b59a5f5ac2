"""What became of one attempt to deliver, in codes that have words in every language (`notice_reason`).

Nothing here holds an address, an answer or a secret: what the other side says may repeat what it was sent.
"""

from typing import Literal, get_args

from msgspec import Struct

Reason = Literal[
    "",
    "unreachable",
    "timed_out",
    "certificate_wrong",
    "rate_limited",
    "server_error",
    "not_accepted",
    "unauthorised",
    "refused",
    "redirected",
    "address_wrong",
    "address_forbidden",
    "not_configured",
    "unknown",
    "internal",
    # why a notice was dropped
    "over",
    "muted",
    "eased",
    "acknowledged",
    "reopened",
    "contact_disabled",
]
REASONS: tuple[Reason, ...] = get_args(Reason)


class Outcome(Struct, frozen=True):
    result: Literal["sent", "again", "permanent"]
    """again: trying again may help."""
    reason: Reason = ""
    detail: str = ""
    """A status, or the name of an error."""


def sent() -> Outcome:
    return Outcome("sent")


def again(reason: Reason, detail: str = "") -> Outcome:
    return Outcome("again", reason, detail)


def permanent(reason: Reason, detail: str = "") -> Outcome:
    return Outcome("permanent", reason, detail)


def of_status(status: int) -> Outcome:
    """What an HTTP status that is no success means."""
    detail = f"HTTP {status}"
    if status in {401, 403}:
        return permanent("unauthorised", detail)
    if status == 429:
        return again("rate_limited", detail)
    if status in {408, 425} or status >= 500:
        return again("server_error", detail)
    if 300 <= status < 400:
        return permanent("redirected", detail)
    return permanent("refused", detail)


def of_smtp(status: int) -> Outcome:
    """What a reply of a mail server means: 4xx may pass, 5xx stays."""
    detail = f"SMTP {status}"
    if status in {530, 534, 535}:
        return permanent("unauthorised", detail)
    if status in {421, 450, 451, 452} or 400 <= status < 500:
        return again("not_accepted", detail)
    return permanent("refused", detail)
