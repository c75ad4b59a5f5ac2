"""Passwords: Argon2id with the library's parameters (64 MiB, three passes), and what a new one must be."""

import re
import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from annexfleet_controller.access.errors import PasswordWeak, TooManyAttempts

SHORTEST = 12
LONGEST = 200
"""Hashing time grows with the length; nobody types more."""

# Without l, 1, o and 0: a one-time password is read from one screen and typed at another.
READABLE = "abcdefghijkmnpqrstuvwxyz23456789"
_COMMON = (
    "password", "passwort", "motdepasse", "mdp", "azerty", "azertyuiop", "qwerty", "qwertyuiop", "qwertz", "welcome",
    "bienvenue", "bonjour", "salam", "marhaba", "annexfleet", "annexe", "letmein", "administrateur", "administration",
    "administrator", "admin", "root", "iloveyou", "jetaime", "maroc", "morocco", "maghrib", "berkane", "rabat",
    "casablanca", "province", "prefecture", "commune", "caidat", "moqataa", "changeme", "changezmoi", "secret",
    "football", "dragon", "monkey", "sunshine", "princess", "princesse", "soleil", "superman", "batman", "doudou",
    "chouchou", "loulou", "raja", "wydad", "barcelona", "realmadrid", "mohamed", "mohammed", "fatima", "youssef",
    "windows", "ordinateur", "computer", "internet", "service", "informatique", "utilisateur", "user", "test", "temp",
    "temporaire", "nouveau", "new", "login", "master", "hello", "abc", "qsd", "janvier", "fevrier", "mars", "avril",
    "mai", "juin", "juillet", "aout", "septembre", "octobre", "novembre", "decembre", "lundi", "mardi", "mercredi",
    "jeudi", "vendredi", "samedi", "dimanche", "ete", "hiver", "printemps", "automne", "كلمةالسر", "مرحبا", "المغرب",
)  # fmt: skip
"""What passwords of the lists that guessers begin with are made of, here and around: with figures and signs behind."""
_ONLY_COMMON = re.compile(f"(?:{'|'.join(sorted(_COMMON, key=len, reverse=True))})+")
_LOOKS_LIKE = str.maketrans("@4031$57!", "aaoeissti")
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz", "azertyuiop", "qsdfghjklm", "wxcvbn", "qwertyuiop", "asdfghjkl", "zxcvbnm",
    "01234567890", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "aqwzsxedcrfvtgbyhnuj", "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
)  # fmt: skip
_NEIGHBOURS = frozenset(pair for row in _ROWS for a, b in pairwise(row) for pair in ((a, b), (b, a)))

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
    return "-".join("".join(secrets.choice(READABLE) for _ in range(4)) for _ in range(5))


RULES = ("long_enough", "not_common", "not_your_name", "no_other_demands")
"""What is told before one is typed; each has words."""


def weakness(password: str, *, name: str, others: Collection[str] = ()) -> Weakness | None:
    """Why this will not do as a new password; None if it will.

    `others`: what else anybody knows of this person, such as the full name and the mail address.  No capitals, digits
    or signs are demanded, and nothing runs out: people then write `Password1!` and `Password2!` (NIST SP 800-63B).
    """
    plain = password.casefold()
    if len(password) < SHORTEST:
        return "too_short"
    if len(password) > LONGEST:
        return "too_long"
    if _is_easily_guessed(plain):
        return "too_common"
    known = {name.casefold(), *(word for other in others for word in re.split(r"[\W_]+", other.casefold()))}
    if any(len(word) >= 3 and word in plain for word in known if word == name.casefold() or len(word) >= 4):
        return "holds_name"
    return None


def _is_easily_guessed(plain: str) -> bool:
    if len(set(plain)) < 5:
        return True
    for part in range(1, len(plain) // 2 + 1):  # the same few letters again and again
        if part < 8 and (plain[:part] * len(plain))[: len(plain)] == plain:
            return True
    steps = [pair in _NEIGHBOURS for pair in pairwise(plain)]
    if sum(steps) >= 0.7 * len(steps):  # along the alphabet or a row of keys
        return True
    stem = re.sub(r"[\W\d_]+", "", plain)
    if len(plain) - len(stem) >= len(plain) - 3:  # figures and signs with hardly a letter: dates, telephone numbers
        return True
    unmasked = re.sub(r"[\W\d_]+", "", re.sub(r"[\W\d_]+$", "", plain).translate(_LOOKS_LIKE))
    return any(_ONLY_COMMON.fullmatch(word) for word in (stem, unmasked))


def check_new(password: str, *, name: str, others: Collection[str] = ()) -> None:
    """Raises PasswordWeak."""
    reason = weakness(password, name=name, others=others)
    if reason is not None:
        raise PasswordWeak(f"the new password is {reason}", reason=reason)
