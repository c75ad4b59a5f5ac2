"""The second factor: codes of six digits that change every 30 s (TOTP, RFC 6238), and recovery codes for who lost it.

A code of one step before or after is taken too, for clocks differ; none opens twice.  The secret is sealed under a key
of the home; recovery codes are kept as digests.
"""

import hashlib
import hmac
import logging
import secrets
import unicodedata
from datetime import datetime
from typing import Literal

import pyotp
from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.access import sealing
from annexfleet_controller.access.errors import CodeRefused, SecondFactorRequired, SecondFactorState
from annexfleet_controller.access.passwords import READABLE
from annexfleet_controller.settings import Home, SecondFactor
from annexfleet_controller.store import audit, factors, people
from annexfleet_controller.store.accounts import by_id
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.people import User

log = logging.getLogger(__name__)

STEP_S = 30
STEPS_EITHER_SIDE = 1
RECOVERY_CODES = 8
_GROUPS, _GROUP = 4, 4
"""16 of 32 letters are 80 bits."""
ISSUER = "annexfleet"


class Offered(Struct, frozen=True):
    """A new secret, as it is shown once."""

    key: str
    """In base 32, for typing."""
    address: str
    """`otpauth://…`, for the square that a camera reads."""


class Standing(Struct, frozen=True):
    """How somebody's second factor stands."""

    since: datetime | None
    """None: there is none."""
    waits: bool
    """A secret was shown, and no code of it typed yet."""
    codes_left: int
    demanded: bool


def demanded(setting: SecondFactor, role: str) -> bool:
    """Whether somebody of this role must have one."""
    return setting == "everybody" or (setting == "operators" and role not in {"staff", "technician"})


def standing(db: Session, home: Home, user_id: int) -> Standing:
    user = by_id(db, user_id)
    return Standing(
        since=user.totp_confirmed_at,
        waits=user.totp_sealed is not None and user.totp_confirmed_at is None,
        codes_left=factors.codes_left(db, user_id),
        demanded=demanded(home.settings.second_factor, user.role),
    )


def begin(engine: Engine, home: Home, user_id: int) -> Offered:
    """A new secret, of which one code has to be typed before it counts.  The caller has asked the password.

    Raises SecondFactorState if a confirmed one is there.
    """
    secret = pyotp.random_base32()
    sealed = sealing.seal(home, user_id, secret.encode())
    with writing(engine) as db:
        name = by_id(db, user_id).name
        if not factors.begin(db, user_id, sealed):
            raise SecondFactorState("a second factor is on already")
    return Offered(key=secret, address=pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER))


def confirm(engine: Engine, home: Home, user_id: int, typed: str, *, session: str, now: datetime) -> list[str]:
    """From now on codes are asked for; recovery codes, shown once.  All other sessions of the person end.

    Raises SecondFactorState if no secret waits for it, and CodeRefused.
    """
    codes = _new_codes()
    with reading(engine) as db:
        user = by_id(db, user_id)
        sealed, name = user.totp_sealed, user.name
        if sealed is None or user.totp_confirmed_at is not None:
            raise SecondFactorState("no second factor waits to be confirmed")
    step = _step_of(home, user_id, sealed, typed, now)
    if step is None:
        raise CodeRefused("not a code of this secret")
    with writing(engine) as db:
        if not factors.confirm(db, user_id, sealed=sealed, step=step, now=now):
            raise SecondFactorState("another secret was begun meanwhile")
        factors.replace_codes(db, user_id, [_digest(code) for code in codes])
        people.close_sessions(db, user_id, but=session)
        audit.add(db, now=now, actor=name, via="session", act="factor.on", subject=f"user:{name}")
    return codes


def check(db: Session, home: Home, user: User, typed: str, now: datetime) -> Literal["code", "recovery", ""]:
    """Spend what was typed: which of the two it was, or nothing where it opens nothing.  In a writing transaction."""
    if user.totp_confirmed_at is None or user.totp_sealed is None:
        return ""
    if len(plain := _plain(typed)) == _GROUPS * _GROUP:
        return "recovery" if factors.spend_code(db, user.id, _digest(plain), now) else ""
    step = _step_of(home, user.id, user.totp_sealed, typed, now)
    if step is None or not factors.spend_step(db, user.id, sealed=user.totp_sealed, step=step):
        return ""
    return "code"


def new_codes(db: Session, user: User, *, now: datetime) -> list[str]:
    """Eight new recovery codes, shown once; the old ones open no more.  The caller has checked password and code."""
    codes = _new_codes()
    factors.replace_codes(db, user.id, [_digest(code) for code in codes])
    audit.add(db, now=now, actor=user.name, via="session", act="factor.codes", subject=f"user:{user.name}")
    return codes


def switch_off(db: Session, home: Home, user: User, *, now: datetime) -> None:
    """The caller has checked password and code.  Raises SecondFactorRequired where the role must have one."""
    if demanded(home.settings.second_factor, user.role):
        raise SecondFactorRequired
    factors.remove(db, user.id)
    audit.add(db, now=now, actor=user.name, via="session", act="factor.off", subject=f"user:{user.name}")


def grouped(code: str) -> str:
    """In groups of four, as one reads and types them."""
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


def _new_codes() -> list[str]:
    return ["".join(secrets.choice(READABLE) for _ in range(_GROUPS * _GROUP)) for _ in range(RECOVERY_CODES)]


def _digest(code: str) -> str:
    return hashlib.sha256(f"annexfleet recovery code {code}".encode()).hexdigest()


def _plain(typed: str) -> str:
    """Without what stands between groups, and with digits of any script as 0 to 9."""
    kept = (letter for letter in typed[:80].casefold() if letter.isalnum())
    return "".join(str(unicodedata.decimal(letter, letter)) for letter in kept)


def _step_of(home: Home, user_id: int, sealed: bytes, typed: str, now: datetime) -> int | None:
    """The step whose code this is; None if it is of none that counts now."""
    code = _plain(typed)
    if len(code) != 6 or not code.isdecimal():
        return None
    try:
        totp = pyotp.TOTP(sealing.unseal(home, user_id, sealed).decode())
    except sealing.Unsealable:
        log.exception("second factor cannot be checked user=%s", user_id)
        return None
    present = int(now.timestamp()) // STEP_S
    found = None
    for step in range(present - STEPS_EITHER_SIDE, present + STEPS_EITHER_SIDE + 1):
        if hmac.compare_digest(totp.generate_otp(step), code):
            found = step
    return found
