"""What a person decides about a contact, checked, and as the tables hold it."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from annexfleet_controller.errors import AnnexfleetError, ContactWrong
from annexfleet_controller.i18n.catalogues import CODES
from annexfleet_controller.notify import book
from annexfleet_controller.notify.channels import Destination, Ways, is_address
from annexfleet_controller.notify.model import CONTACT_KINDS, HOURS, ContactKind
from annexfleet_controller.store.contacts import NewContact, NewRoute
from annexfleet_controller.store.tables.notices import Contact
from annexfleet_controller.things import AUDIENCES, SEVERITIES

LONGEST_NAME = 120
LONGEST_ADDRESS = 2000
SHORTEST_SECRET = 16
LONGEST_SECRET = 120
MOST_ROUTES = 20
MOST_LEVEL = 9
MOST_AFTER_MINUTES = 7 * 24 * 60


class RouteWish(Struct, frozen=True, kw_only=True):
    """One line of what somebody wants to hear."""

    audiences: tuple[str, ...]
    annexes: tuple[str, ...] | None = None
    """None: the whole province."""
    min_severity: str = "warning"
    hours: str = "always"
    week: Mapping[str, Any] | None = None
    """Of custom hours, as a calendar's document has it: `{"monday": [["08:30", "12:00"]]}`."""
    critical_always: bool = True
    level: int = 0
    after_minutes: float = 0.0


class Wish(Struct, frozen=True, kw_only=True):
    """A contact as a person wants it."""

    name: str
    kind: str
    address: str = ""
    """Empty: the one it has."""
    secret: str = ""
    """Of a webhook; empty: the one it has, or a new one."""
    language: str = CODES[0]
    enabled: bool = True
    user_id: int | None = None
    routes: tuple[RouteWish, ...] = ()


def checked(wish: Wish, kept: Contact | None, ways: Ways) -> tuple[NewContact, list[NewRoute]]:
    """The wish as the tables hold it; `kept` is the contact that is changed, if it is one.

    Raises ContactWrong with `field` (such as `address` or `routes.0.week`) and `reason`, a code: missing, too_long,
    too_short, unknown, not_understood or too_many.
    """
    name = wish.name.strip()
    _demand(bool(name), "name", "missing")
    _demand(len(name) <= LONGEST_NAME, "name", "too_long")
    _demand(name.isprintable(), "name", "not_understood")
    _demand(wish.kind in CONTACT_KINDS, "kind", "unknown")
    _demand(wish.language in CODES, "language", "unknown")
    _demand(len(wish.routes) <= MOST_ROUTES, "routes", "too_many")
    same = kept if kept is not None and kept.kind == wish.kind else None
    new = NewContact(
        name=name, kind=wish.kind, address=_address(wish, same, ways), secret=_secret(wish, same),
        language=wish.language, enabled=wish.enabled, user_id=wish.user_id,
    )  # fmt: skip
    return new, [_route(route, f"routes.{place}") for place, route in enumerate(wish.routes)]


def _address(wish: Wish, same: Contact | None, ways: Ways) -> str:
    address = wish.address.strip()
    if not address and same is not None:
        return same.address
    _demand(bool(address), "address", "missing")
    _demand(len(address) <= LONGEST_ADDRESS, "address", "too_long")
    kind: ContactKind = next(kind for kind in CONTACT_KINDS if kind == wish.kind)
    if kind == "sms":
        address = "".join(sign for sign in address if sign not in " .-()")
    _demand(address.isprintable() and is_address(Destination(kind, address), ways), "address", "not_understood")
    return address


def _secret(wish: Wish, same: Contact | None) -> str:
    if wish.kind != "webhook":
        return ""
    if wish.secret:
        _demand(len(wish.secret) >= SHORTEST_SECRET, "secret", "too_short")
        _demand(len(wish.secret) <= LONGEST_SECRET, "secret", "too_long")
        return wish.secret
    return same.secret if same is not None else secrets.token_urlsafe(32)


def _route(route: RouteWish, field: str) -> NewRoute:
    _demand(bool(route.audiences), f"{field}.audiences", "missing")
    _demand(set(route.audiences) <= set(AUDIENCES), f"{field}.audiences", "unknown")
    _demand(route.annexes is None or bool(route.annexes), f"{field}.annexes", "missing")
    _demand(route.min_severity in SEVERITIES, f"{field}.min_severity", "unknown")
    _demand(route.hours in HOURS, f"{field}.hours", "unknown")
    _demand(0 <= route.level <= MOST_LEVEL, f"{field}.level", "not_understood")
    _demand(0 <= route.after_minutes <= MOST_AFTER_MINUTES, f"{field}.after_minutes", "not_understood")
    _demand(route.level == 0 or route.after_minutes > 0, f"{field}.after_minutes", "missing")
    annexes = None if route.annexes is None else tuple(sorted(set(route.annexes)))
    return NewRoute(
        audiences=",".join(one for one in AUDIENCES if one in route.audiences),
        annexes=None if annexes is None else msgspec.json.encode(annexes).decode(),
        annex_ids=annexes or (),
        min_severity=route.min_severity, hours=route.hours, week=_week(route, field),
        critical_always=route.critical_always, level=route.level,
        after_s=route.after_minutes * 60 if route.level else 0.0,
    )  # fmt: skip


def _week(route: RouteWish, field: str) -> str | None:
    if route.hours != "custom":
        return None
    _demand(bool(route.week), f"{field}.week", "missing")
    try:
        hours = book.week_of(dict(route.week or {}))
    except AnnexfleetError:
        raise ContactWrong("hours not understood", field=f"{field}.week", reason="not_understood") from None
    _demand(any(hours), f"{field}.week", "missing")
    return msgspec.json.encode(route.week).decode()


def _demand(fine: bool, field: str, reason: str) -> None:
    if not fine:
        raise ContactWrong(f"{field}: {reason}", field=field, reason=reason)
