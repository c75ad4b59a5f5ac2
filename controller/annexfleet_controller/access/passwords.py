"""Passwords: Argon2id with the library's parameters (64 MiB, three passes), and what a new one must be."""

import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from annexfleet_controller.errors import PasswordWeak, TooManyAttempts

SHORTEST = 12
LONGEST = 200
"""Hashing time grows with the length; nobody types more."""

# Without l, 1, o and 0: a one-time password is read from one screen and typed at another.
_READABLE = "abcdefghijkmnpqrstuvwxyz23456789"
_COMMON = re.compile(
    r"(password|motdepasse|azerty|qwerty|welcome|bienvenue|annexfleet|letmein|administrat|iloveyou|maroc|berkane)[\W\d_]*"
)

AT_ONCE = 2
"""Each takes 64 MiB and a core for a tenth of a second."""
WAITING = 8
"""Who comes after those is sent away: else a crowd would take every thread of the pages."""

_places = threading.BoundedSemaphore(AT_ONCE)
_queue = threading.BoundedSemaphore(WAITING)
_hasher = PasswordHasher()
_nobody = _hasher.hash(secrets.token_urlsafe(16))

Weakness = Literal["too_short", "too_long", "too_common", "holds_name"]


@contextmanager
def turn() -> Iterator[None]:
    """Stand in the queue for a check.  Raises TooManyAttempts if it is full."""
    if not _queue.acquire(blocking=False):
        raise TooManyAttempts("too many sign-ins at once", wait_s=2)
    try:
        yield
    finally:
        _queue.release()


def hashed(password: str) -> str:
    with _places:
        return _hasher.hash(password)


def fits(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one hashed.  None (nobody of that name) takes as long as a wrong password."""
    try:
        with _places:
            return _hasher.verify(password_hash or _nobody, password[: LONGEST + 1]) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def one_time() -> str:
    """100 bits, in five groups of four readable characters."""
    return "-".join("".join(secrets.choice(_READABLE) for _ in range(4)) for _ in range(5))


def weakness(password: str, *, name: str) -> Weakness | None:
    """Why this will not do as a new password; None if it will."""
    plain = password.casefold()
    if len(password) < SHORTEST:
        return "too_short"
    if len(password) > LONGEST:
        return "too_long"
    if len(set(plain)) < 5 or _COMMON.fullmatch(plain) or plain in "0123456789" * 3:
        return "too_common"
    if len(name) >= 3 and name.casefold() in plain:
        return "holds_name"
    return None


def check_new(password: str, *, name: str) -> None:
    """Raises PasswordWeak."""
    reason = weakness(password, name=name)
    if reason is not None:
        raise PasswordWeak(f"the new password is {reason}", reason=reason)
