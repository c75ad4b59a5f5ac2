"""Refusals of accounts, second factors and keys.  Each has a code, whose text is in the catalogues, and the facts."""

from annexfleet_controller.errors import AnnexfleetError, Conflict, Forbidden, Invalid, NotFound, SignInRefused


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
