"""Why there is no PDF."""

from annexfleet_controller.errors import AnnexfleetError


class PaperUnavailable(AnnexfleetError):
    """A PDF needs packages of the system that are not installed; `packages` in the facts names them."""

    code = "paper_unavailable"


class PaperBusy(AnnexfleetError):
    """Others wait for their PDF already: it may be tried again soon."""

    code = "paper_busy"


class PaperFailed(AnnexfleetError):
    """The document could not be made within its bounds."""

    code = "paper_failed"
