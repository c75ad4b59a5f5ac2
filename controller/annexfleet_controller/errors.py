"""Errors that a person can act on.  Each has a code, whose text is in the catalogues, and the facts."""


class AnnexfleetError(Exception):
    """The root of them.  `code` is stable; the message is for logs and the command line, in English."""

    code = "error"

    def __init__(self, message: str = "", **facts: object) -> None:
        super().__init__(message or self.code)
        self.facts = facts


class SettingsWrong(AnnexfleetError):
    code = "settings_wrong"


class NotFound(AnnexfleetError):
    """Something that is not there, or that this person may not see: nobody can tell which."""

    code = "not_found"


class AnnexUnknown(NotFound):
    code = "annex_unknown"


class DeviceUnknown(NotFound):
    code = "device_unknown"


class Conflict(AnnexfleetError):
    code = "conflict"
