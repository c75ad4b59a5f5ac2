"""Refusals at the door, of accounts, second factors and keys."""

from annexfleet_controller.errors import AnnexfleetError, Conflict, Forbidden, Invalid, NotFound


class SignedOut(AnnexfleetError):
    """Nobody is signed in, or no longer."""

    code = "signed_out"


class SignInRefused(AnnexfleetError):
    """Name and password do not belong together, or the person may no longer come in: nobody can tell which."""

    code = "sign_in_refused"


class TooManyAttempts(AnnexfleetError):
    """`wait_s` in the facts says when to try again."""

    code = "too_many_attempts"


class PasswordMustChange(AnnexfleetError):
    """Signed in with a one-time password: a new one comes first."""

    code = "password_must_change"


class PasswordWeak(AnnexfleetError):
    """`reason` in the facts is a code: too_short, too_long, too_common, holds_name or same_as_before."""

    code = "password_weak"


class ForeignRequest(AnnexfleetError):
    """A request that changes something and does not come from our own pages."""

    code = "foreign_request"


class IdempotencyKeyReused(Conflict):
    """The same Idempotency-Key with another request."""

    code = "idempotency_key_reused"


class SecondFactorMissing(AnnexfleetError):
    """Signed in without a second factor where one is demanded: setting one up comes first."""

    code = "second_factor_missing"


class SecondFactorRequired(Forbidden):
    """A second factor cannot be switched off where everybody of that role must have one."""

    code = "second_factor_required"


class SecondFactorState(Conflict):
    """It is on already, or nothing waits to be confirmed."""

    code = "second_factor_state"


class CodeRefused(SignInRefused):
    """Not the code of now, one that opened before, or no recovery code: nobody can tell which."""

    code = "code_refused"


class KeyReadsOnly(Forbidden):
    """A key that only reads was used to change something."""

    code = "key_reads_only"


class BySessionOnly(Forbidden):
    """What a person does in a browser and no key may do: one's own account, making keys, and making administrators or
    one-time passwords of people who are there."""

    code = "by_session_only"


class AccountWrong(Invalid):
    """An account or key that cannot be so; `field` in the facts names where, `reason` is a code that has words."""

    code = "account_wrong"


class MadeAlready(Conflict):
    """A form that makes something came a second time: the browser was told to load its answer anew."""

    code = "made_already"


class NotOneself(Conflict):
    """Nobody lowers, confines, shuts out or resets themselves: for that they show their password."""

    code = "not_oneself"


class LastAdmin(Conflict):
    """Somebody must be left who may manage people."""

    code = "last_admin"


class KeyUnknown(NotFound):
    code = "key_unknown"


class SessionUnknown(NotFound):
    code = "session_unknown"
